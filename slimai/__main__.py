"""``python -m slimai`` and the console script."""

from __future__ import annotations

import gc
import sys

from slimai.app.cli import main as run

# the many small objects of imports and schemas all live on: looking for garbage among them costs a tenth of the start
GC_THRESHOLD = 50_000


def main() -> int:
    """Run the command line of the process and return its exit code."""
    gc.set_threshold(GC_THRESHOLD)

    return run()


if __name__ == "__main__":
    sys.exit(main())
