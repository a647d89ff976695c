"""Guarded standard streams: what is lost is said once, what waits is written."""

from __future__ import annotations

import os
import subprocess
import sys

SOURCE = """
import sys
from slimai.streams import Streams
streams = Streams()
print("x" * 100_000)
print("\\udcff 结果", file=sys.stderr)
sys.exit(streams.lost() or 0)
"""


def run(shell):
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    command = ["sh", "-c", f'"$0" -c "$1" {shell}', sys.executable, SOURCE]
    return subprocess.run(command, capture_output=True, text=True, env=environment, check=False)


def test_a_full_disk_is_told():
    assert "No space left on device" in run(">/dev/full").stderr


def test_closed_streams_become_the_null_device():
    assert run(">&-").returncode == 0
    assert run(">&- 2>&- <&-").returncode == 0


def test_a_reader_that_has_gone_is_no_loss():
    assert run("| head -c 1").stdout == "x"
    assert "BrokenPipe" not in run("| head -c 1").stderr


def test_what_the_encoding_lacks_is_escaped():
    assert run("").stderr == "\\udcff \\u7ed3\\u679c\n"
    assert len(run("").stdout) == 100_001
