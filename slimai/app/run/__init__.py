"""The stages of a run in order, and what follows a search."""
