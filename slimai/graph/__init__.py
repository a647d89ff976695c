"""The float network: loading, rewriting, saving."""
