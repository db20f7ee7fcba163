"""Two Regions on one machine."""
