"""Ctrl-C that cannot get lost: a handler keeps a flag, safe points ask for it.

A KeyboardInterrupt alone vanishes where Python may not raise (callbacks, finalizers) and turns an import that it ends
into another error. So the handler notes it first, `check` raises it again at the next safe point, and whoever meets an
unlikely error asks `pending` before believing it. Who has acted on it says `answered`.
"""

from __future__ import annotations

import signal
import sys
import threading
from types import FrameType

_state = {"pending": False, "raises": True}


def install() -> None:
    """Take SIGINT over in the main thread; one that is ignored (``nohup``, a job in the background) stays so."""
    if threading.current_thread() is threading.main_thread() and (
        signal.getsignal(signal.SIGINT) is signal.default_int_handler
    ):
        _state.update(pending=False, raises=False)
        signal.signal(signal.SIGINT, _note)
        sys.unraisablehook = _unraisable


def started() -> None:
    """Let an interruption raise from now on; one that came during the start raises here."""
    _state["raises"] = True
    check()


def ended() -> None:
    """Ignore interruptions from now on: all is done and said."""
    if signal.getsignal(signal.SIGINT) is _note:
        signal.signal(signal.SIGINT, signal.SIG_IGN)


def pending() -> bool:
    """Return whether an interruption has come that nobody has answered."""
    return _state["pending"]


def check() -> None:
    """Raise KeyboardInterrupt when one has come that nobody has answered."""
    if _state["pending"]:
        raise KeyboardInterrupt


def answered() -> None:
    """Say that the interruption has been acted on."""
    _state["pending"] = False


def _unraisable(item: sys.UnraisableHookArgs) -> None:
    """Say nothing of an interruption where Python may not raise: it is noted, and the next safe point answers it."""
    if not (issubclass(item.exc_type, KeyboardInterrupt) and _state["pending"]):
        sys.__unraisablehook__(item)


def _note(signum: int, frame: FrameType | None) -> None:  # noqa: ARG001 - the form of a handler
    _state["pending"] = True
    if _state["raises"]:
        raise KeyboardInterrupt
