"""From a candidate to its plan and its integer program."""
