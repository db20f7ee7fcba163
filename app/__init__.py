"""The sample shop: what the lab and the launch template run, and what a Region's loss must not lose."""
