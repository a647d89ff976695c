"""The options of a command, with its help in the language of the user."""

from __future__ import annotations

import argparse
from typing import Any, NoReturn

from slimai.errors import EXIT_INVALID
from slimai.language import cells, label, language, translated


class CommandParser(argparse.ArgumentParser):
    """An argument parser whose texts are written in English and shown in the language of the environment."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**{"formatter_class": _formatter(), **settings})

    def format_help(self) -> str:
        """Return the help."""
        if language() != "en":
            self.description = translated(self.description or "")
            self.epilog = translated(self.epilog or "")
            for group in self._action_groups:
                group.title = translated(group.title or "")
            for action in self._actions:
                action.help = translated(action.help) if action.help else action.help
        return _with_usage(super().format_help())

    def error(self, message: str) -> NoReturn:
        """Show the usage and what is wrong with the options, and end with code 2."""
        if language() == "en":
            super().error(message)
        self.exit(
            EXIT_INVALID, f"{_with_usage(self.format_usage())}{self.prog}: {label('error')}{translated(message)}\n"
        )


def _with_usage(text: str) -> str:
    """Return the text with its first word translated; argparse itself cuts `format_usage` by the English word."""
    return label("usage") + text.removeprefix("usage: ") if text.startswith("usage: ") else text


class _WideFormatter(argparse.RawDescriptionHelpFormatter):
    """Folds help by the columns that wide letters take."""

    def _split_lines(self, text: str, width: int) -> list[str]:
        lines = [""]
        for item in " ".join(text.split()):
            if cells(lines[-1]) + cells(item) > width:
                lines.append("")
            lines[-1] += item
        return [line.strip() for line in lines]


def _formatter() -> type[argparse.HelpFormatter]:
    return argparse.RawDescriptionHelpFormatter if language() == "en" else _WideFormatter
