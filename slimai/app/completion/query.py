"""``slimai -sc install=SHELL``, ``uninstall=SHELL`` and, from the shell itself, ``query=SHELL``."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping, Sequence
from importlib import import_module

from slimai.app.completion.scripts import HOW, INSTALL, REMOVE
from slimai.errors import EXIT_DONE, Diagnostic, InputError
from slimai.suggest import suggest

BREAKS = "=:"  # where bash begins a word of its own


def answer(words: Sequence[str], commands: Mapping[str, str]) -> int:
    """Write what the shell, or the user, asks for; `commands` are the sub-commands with their functions.

    Raises:
        InputError: it is none of the three questions, or another shell.
    """
    verb, _, shell = (words[1] if len(words) > 1 else "").partition("=")
    texts = {"install": INSTALL, "uninstall": REMOVE, "query": HOW}.get(verb)
    if texts is None or shell not in texts:
        asked_for = " ".join(words[1:])
        known = [f"{name}={one}" for name in ("install", "uninstall") for one in INSTALL]
        raise InputError(Diagnostic(f"shell completion: unknown request '{asked_for}'" + suggest(asked_for, known)))
    if verb != "query":
        sys.stdout.write(texts[shell])
        return EXIT_DONE
    sys.stdout.write("".join(f"{word}\n" for word in replies(shell, commands)))
    return EXIT_DONE


def replies(shell: str, commands: Mapping[str, str]) -> list[str]:
    """Return the words for the line in COMP_LINE, up to COMP_POINT, as `shell` puts them in."""
    from slimai.app.completion.words import candidates  # noqa: PLC0415 - spares pydantic

    line = os.environ.get("COMP_LINE", "")
    point = os.environ.get("COMP_POINT", "")
    typed = line[: int(point)] if point.isdigit() else line
    words = typed.split()[1:] + ([""] if not typed or typed[-1].isspace() else [])
    found = candidates(words, tuple(commands), _options(words[0], commands) if words else ())
    if shell != "bash":
        return found
    cut = max((words[-1].rfind(sign) for sign in BREAKS), default=-1) + 1 if words else 0
    return [word[cut:] for word in found]


def _options(command: str, commands: Mapping[str, str]) -> tuple[str, ...]:
    place = commands.get(command)
    if place is None:
        return ()
    parser: argparse.ArgumentParser = vars(import_module(place.partition(":")[0]))["_parser"]()
    return tuple(name for action in parser._actions for name in action.option_strings if name.startswith("--"))  # noqa: SLF001 - argparse has no public list
