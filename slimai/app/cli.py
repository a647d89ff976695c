"""The command line: a sub-command word, or the main job in Hydra's grammar."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module

from slimai import __version__, interrupts
from slimai.app.help import HELP
from slimai.errors import EXIT_FAILED, EXIT_INTERRUPTED, EXIT_INVALID, SlimaiError, printable
from slimai.language import sentence, translated
from slimai.suggest import suggest

COMMANDS = {
    "init": "slimai.app.commands.init:main",
    "validate": "slimai.app.commands.validate:main",
    "models": "slimai.app.commands.models:main",
    "explain": "slimai.app.commands.explain:main",
    "convert": "slimai.app.commands.convert:main",
    "export": "slimai.app.commands.export:main",
    "schema": "slimai.app.commands.schema:main",
    "inspect": "slimai.app.commands.inspect:main",
    "simulate": "slimai.app.commands.simulate:main",
    "codegen": "slimai.app.commands.codegen:main",
    "metric": "slimai.app.commands.metric:main",
    "rerun": "slimai.app.commands.rerun:main",
    "report": "slimai.app.commands.report:main",
    "compare": "slimai.app.commands.compare:main",
    "diff": "slimai.app.commands.diff:main",
}

COMPLETION = ("-sc", "--shell_completion", "--shell-completion")
QUIET = "--quiet"
INTERRUPTED = "slimai: interrupted"
Command = Callable[[Sequence[str]], int]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line `argv` (default: the process's own) and return the exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    try:
        with _loudness(words):
            code, said = _run(words), ""
    except SystemExit as stop:  # argparse and Hydra end this way
        code, said = stop.code if isinstance(stop.code, int) else (EXIT_FAILED if stop.code else 0), ""
    except KeyboardInterrupt:
        code, said = EXIT_INTERRUPTED, INTERRUPTED
    except Exception as error:  # the last door: a sentence instead of a traceback
        if debugging(words) and not interrupts.pending():
            raise
        code, said = _explained(error)
    if interrupts.pending():  # whatever else it has looked like: an import that was cut, a lost exception
        interrupts.answered()
        code, said = EXIT_INTERRUPTED, INTERRUPTED
    if said:
        _say(said)
    return code


@contextmanager
def _loudness(words: list[str]) -> Iterator[None]:
    """Take QUIET out of the words of a job and heed it while they run, by the environment that launched jobs get."""
    if QUIET not in words or words[0] in COMMANDS:
        yield
        return
    words.remove(QUIET)
    before = os.environ.get("SLIMAI_QUIET")
    os.environ["SLIMAI_QUIET"] = "1"
    try:
        yield
    finally:  # whoever called `main` goes on as loud as before
        if before is None:
            del os.environ["SLIMAI_QUIET"]
        else:
            os.environ["SLIMAI_QUIET"] = before


def _explained(error: Exception) -> tuple[int, str]:
    """Return the exit code and the sentence of an error."""
    if isinstance(error, SlimaiError):
        return error.exit_code, sentence(error)
    if isinstance(error, OSError) and error.errno == errno.ENAMETOOLONG:
        return EXIT_INVALID, f"{error.filename}: {error.strerror}"
    hint = "" if isinstance(error, OSError) else " (internal error; SLIMAI_DEBUG=1 shows the traceback)"
    return EXIT_FAILED, f"slimai: {type(error).__name__}: {error}{hint}"


def debugging(words: Sequence[str] = ()) -> bool:
    """Return whether tracebacks are wanted: SLIMAI_DEBUG=1 or hydra.verbose=true."""
    return os.environ.get("SLIMAI_DEBUG", "") not in ("", "0") or "hydra.verbose=true" in (w.lower() for w in words)


def _run(words: list[str]) -> int:
    first = words[0] if words else ""
    if first in COMMANDS:
        return _command(first)(words[1:])
    if first and not first.startswith(("-", "+", "~")) and "=" not in first:
        return _unknown(first)
    if not {"-h", "--help"}.isdisjoint(words):
        sys.stdout.write(translated(HELP))
        return 0
    if first == "--version":
        sys.stdout.write(f"slimai {__version__}\n")
        return 0
    if first in COMPLETION:
        from slimai.app.completion.query import answer  # noqa: PLC0415 - spares argparse and the scripts

        return answer(words, COMMANDS)
    from slimai.app.launch.main_job import run_words  # noqa: PLC0415 - spares hydra, omegaconf, pydantic, yaml

    return run_words(words)


def _command(word: str) -> Command:
    module, _, name = COMMANDS[word].partition(":")
    command: Command = getattr(import_module(module), name)
    return command


def _unknown(word: str) -> int:
    what = "file" if word.endswith((".cfg", ".yaml", ".yml")) else "command"
    cure = f"; to check it: slimai validate {word}" if what == "file" else suggest(word, COMMANDS)
    _say(translated(f"slimai: unknown command '{word}'{cure}"))
    return EXIT_INVALID


def _say(text: str) -> None:
    sys.stderr.write(printable(text) + "\n")
