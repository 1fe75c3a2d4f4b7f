"""Running stages: what is stale, where work runs, what was done."""
