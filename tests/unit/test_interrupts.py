"""An interruption is kept until somebody has answered it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from slimai import interrupts


@pytest.fixture
def handler():
    before = signal.getsignal(signal.SIGINT)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    interrupts.install()
    yield
    interrupts.answered()
    signal.signal(signal.SIGINT, before)


def interrupt():
    os.kill(os.getpid(), signal.SIGINT)


def test_one_during_the_start_waits_for_its_end(handler):
    interrupt()
    assert interrupts.pending()
    with pytest.raises(KeyboardInterrupt):
        interrupts.started()


def test_one_that_is_lost_is_raised_at_the_next_safe_point(handler):
    interrupts.started()

    class Finalized:
        def __del__(self):
            interrupt()

    hook, sys.unraisablehook = sys.unraisablehook, lambda _: None
    try:
        Finalized()  # Python drops what a finalizer raises
    finally:
        sys.unraisablehook = hook
    with pytest.raises(KeyboardInterrupt):
        interrupts.check()
    interrupts.answered()
    interrupts.check()
    assert not interrupts.pending()


def test_one_that_is_ignored_stays_so():
    source = (
        "import signal; from slimai import interrupts as i; i.install(); print(signal.getsignal(2) == signal.SIG_IGN)"
    )
    command = ["sh", "-c", f"trap '' INT; exec {sys.executable} -c '{source}'"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stdout == "True\n"
