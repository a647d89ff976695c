"""From files and overrides to a validated configuration, with the place of every mistake."""
