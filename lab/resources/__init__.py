"""What the lab makes of each resource type: one module per service, each a table of kinds."""
