"""From float graph and limits to an integer network."""
