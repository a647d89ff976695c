"""``python -m slimai`` and the console script."""

from __future__ import annotations

import gc
import sys

from slimai import interrupts
from slimai.errors import EXIT_FAILED, EXIT_INTERRUPTED
from slimai.streams import Streams, in_utf8

# the many small objects of imports and schemas all live on: looking for garbage among them costs a tenth of the start
GC_THRESHOLD = 50_000


def main() -> int:
    """Run the command line of the process and return its exit code."""
    gc.set_threshold(GC_THRESHOLD)
    interrupts.install()
    in_utf8(sys.argv[1:])
    streams = Streams()
    try:
        from slimai.app.cli import main as run  # noqa: PLC0415 - an interruption during this import is answered

        interrupts.started()
        code = run()
    except KeyboardInterrupt:  # during the start, or a second one while the first was being answered
        sys.stderr.write("slimai: interrupted\n")
        code = EXIT_INTERRUPTED
    interrupts.ended()
    lost = streams.lost()
    if lost:
        sys.stderr.write(f"slimai: standard output: {lost}; not all that was to be shown is there\n")
    return code or (EXIT_FAILED if lost else code)


if __name__ == "__main__":
    sys.exit(main())
