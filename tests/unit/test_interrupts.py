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
    before, hook = signal.getsignal(signal.SIGINT), sys.unraisablehook
    signal.signal(signal.SIGINT, signal.default_int_handler)
    interrupts.install()
    yield
    interrupts.answered()
    signal.signal(signal.SIGINT, before)
    sys.unraisablehook = hook


def interrupt():
    os.kill(os.getpid(), signal.SIGINT)


def test_one_during_the_start_waits_for_its_end(handler):
    interrupt()
    assert interrupts.pending()
    with pytest.raises(KeyboardInterrupt):
        interrupts.started()


def test_one_that_is_lost_is_raised_at_the_next_safe_point_and_python_says_nothing(handler, capsys):
    interrupts.started()

    class Finalized:
        def __del__(self):
            interrupt()

    Finalized()  # Python drops what a finalizer raises
    assert capsys.readouterr().err == ""
    with pytest.raises(KeyboardInterrupt):
        interrupts.check()
    interrupts.answered()
    interrupts.check()
    assert not interrupts.pending()


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_what_is_no_interruption_that_came_is_told(handler, capsys, error):
    class Finalized:
        def __del__(self):
            raise error("lost")

    Finalized()
    assert f"{error.__name__}: lost" in capsys.readouterr().err


def test_one_that_is_ignored_stays_so():
    source = (
        "import signal; from slimai import interrupts as i; i.install(); print(signal.getsignal(2) == signal.SIG_IGN)"
    )
    command = ["sh", "-c", f"trap '' INT; exec {sys.executable} -c '{source}'"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stdout == "True\n"
