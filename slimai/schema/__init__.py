"""Pydantic models of every configuration section: the one source of truth.

Import the models from their modules: `slimai.schema.root.SlimaiConfig` is the whole.
"""
