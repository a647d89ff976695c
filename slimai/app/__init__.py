"""The conductor: command line, preflight, pipeline."""
