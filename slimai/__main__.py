"""``python -m slimai`` and the console script."""

from __future__ import annotations

import gc
import os
import sys

from slimai import interrupts
from slimai.errors import EXIT_FAILED, EXIT_INTERRUPTED
from slimai.streams import Streams, in_utf8

# the many small objects of imports and schemas all live on: looking for garbage among them costs a tenth of the start
GC_START = 300_000  # before the first look; `slimai validate` makes 80,000
GC_THRESHOLD = 50_000  # from then on


def main() -> int:
    """Run the command line of the process and return its exit code."""
    # slimai has no plug-ins of pydantic: looking for some reads a file of every installed package
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
    gc.set_threshold(GC_START)
    gc.callbacks.append(_after_start)
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
    gc.freeze()  # the process ends: its last looks for garbage find nothing to look through
    return code or (EXIT_FAILED if lost else code)


def _after_start(phase: str, info: dict[str, int]) -> None:  # noqa: ARG001 - the form of a callback
    """Look for garbage more often once there has been a first look."""
    gc.callbacks.remove(_after_start)
    gc.set_threshold(GC_THRESHOLD)


if __name__ == "__main__":
    sys.exit(main())
