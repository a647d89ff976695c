"""``python -m slimai.metrics.vendor SCRIPT.py [ARGS]``: runs a self-test script of the vendor's form."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from slimai.errors import EXIT_DONE, EXIT_INVALID, SlimaiError
from slimai.metrics.vendor.self_test import run_script


def main(argv: list[str]) -> int:
    """Run the script with the vendor's modules in place; return the exit code."""
    if len(argv) < 2 or not Path(argv[1]).is_file():
        sys.stderr.write("usage: python -m slimai.metrics.vendor SCRIPT.py [ARGS]\n")
        return EXIT_INVALID
    sys.argv = argv[1:]
    try:
        run_script(Path(argv[1]))
    except SlimaiError as error:
        if os.environ.get("SLIMAI_DEBUG") == "1":
            raise
        sys.stderr.write(f"error: {error}\n")
        return error.exit_code
    return EXIT_DONE


if __name__ == "__main__":
    sys.exit(main(sys.argv))
