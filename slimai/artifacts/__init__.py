"""Files of a run: atomic, locked, content-keyed."""
