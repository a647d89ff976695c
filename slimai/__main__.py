"""``python -m slimai`` and the console script."""

from __future__ import annotations

import sys


def main() -> int:
    """Run the command line of the process and return its exit code."""
    from slimai.app.cli import main as run

    return run()


if __name__ == "__main__":
    sys.exit(main())
