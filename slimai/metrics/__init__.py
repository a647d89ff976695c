"""Scores of a network's outputs."""
