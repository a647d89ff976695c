"""Which jobs, all judged first; one job in Hydra; many jobs and their table."""
