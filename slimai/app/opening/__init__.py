"""The checked job, and the keys that say what makes earlier results stale."""
