"""Candidates, their evaluation and ranking."""
