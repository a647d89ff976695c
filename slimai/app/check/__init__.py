"""Everything that can be said about a job before it starts."""
