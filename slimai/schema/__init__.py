"""Pydantic models of every configuration section: the one source of truth."""
