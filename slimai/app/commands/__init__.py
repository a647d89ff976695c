"""The sub-commands: one module each, imported when its word is given."""
