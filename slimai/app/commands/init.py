"""``slimai init``: a preset and image lists for a network of the user's own, and what was guessed."""

from __future__ import annotations

import argparse
import contextlib
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from slimai.app.options import CommandParser
from slimai.config.dirs import bundled_conf
from slimai.errors import EXIT_DONE, Diagnostic, InputError

if TYPE_CHECKING:
    from slimai.app.draft.make import Draft

EPILOG = """examples:
  slimai init detector.onnx --images pictures --labels instances.json
  slimai init classifier.onnx --images one_folder_a_class
  slimai init segmentation.tflite --images pictures --labels masks --name portrait
"""


def main(argv: Sequence[str]) -> int:
    """Write the preset and its lists, say what was guessed and the next command; return 0.

    Raises InputError for wrong files and for files that are there already; then nothing is written.
    """
    options = _parser().parse_args(list(argv))
    from slimai.app.draft.make import Request, draft, preset_name  # noqa: PLC0415 - spares numpy

    name = preset_name(options.name, options.model)
    found = draft(Request(options.model, options.images, options.labels, name))
    _require_free(found.files, force=options.force)
    _write(found.files)
    sys.stdout.write(_said(found))
    return EXIT_DONE


def _require_free(files: Mapping[Path, bytes], *, force: bool) -> None:
    there = [path for path in files if path.exists() or path.is_symlink()]
    folders = [path for path in there if path.is_dir()]
    if folders or (there and not force):
        cure = "move it" if folders else "--force replaces it; --name takes another name"
        raise InputError([Diagnostic("is there already", file=str(path), suggestion=cure) for path in folders or there])


def _write(files: Mapping[Path, bytes]) -> None:
    """Write all files, each atomically; where one cannot be written, what was new is taken away again."""
    from slimai.artifacts.atomic import write_bytes  # noqa: PLC0415 - spares tempfile

    new: list[Path] = []
    try:
        for path, data in files.items():
            new.extend(folder for folder in reversed(path.parents) if not folder.exists())
            if not path.exists():
                new.append(path)
            write_bytes(path, data)
    except OSError as error:
        _take_away(new)
        raise InputError(
            Diagnostic(f"cannot be written: {error.strerror}", file=str(path), suggestion="nothing was written")
        ) from error


def _take_away(paths: Sequence[Path]) -> None:
    for path in reversed(paths):
        with contextlib.suppress(OSError):  # it was never made, or holds what somebody else has put there
            path.rmdir() if path.is_dir() else path.unlink()


def _said(found: Draft) -> str:
    """Return what was written, what was guessed, what to look at, and the next command."""
    lines = [f"{found.preset} written, and {len(found.files) - 1} more in {_folder(found)}", ""]
    width = max(len(guess.key) for guess in found.guesses)
    lines += [f"{guess.how:<6}  {guess.key:<{width}}  {guess.value}: {guess.why}" for guess in found.guesses]
    lines += ["", *(f"note: {note}" for note in found.notes)] if found.notes else []
    if (bundled_conf() / "model" / f"{found.name}.yaml").is_file():
        lines.append(f"note: +model={found.name} now means this preset, no longer the one that comes with slimai")
    lines += [f"edit: {found.preset}:{line}: {key}: {what}" for line, key, what in found.edits]
    doubtful = sum(guess.how == "unsure" for guess in found.guesses)
    if doubtful:
        lines.append(f"{doubtful} guesses are unsure: look at them in {found.preset}")
    return "\n".join([*lines, f"next: slimai +model={shlex.quote(found.name)}", ""])


def _folder(found: Draft) -> Path:
    return next(path.parent for path in found.files if path != found.preset)


def _parser() -> argparse.ArgumentParser:
    parser = CommandParser(
        prog="slimai init",
        description="Write a preset and image lists for a network, guessing what its files do not say.",
        epilog=EPILOG,
    )
    parser.add_argument("model", type=Path, help="float .onnx, or fully quantized .tflite")
    parser.add_argument("--images", type=Path, metavar="DIR", help="folder of pictures, or of .npy arrays")
    parser.add_argument(
        "--labels",
        type=Path,
        metavar="FILE|DIR",
        help="COCO json; folder of VOC xml or of mask pictures; text, CSV or .npy of classes "
        "(default: one folder a class below --images, if it is sorted so)",
    )
    parser.add_argument("--name", help="name of the preset (default: the model's)")
    parser.add_argument("--force", action="store_true", help="replace files that are there")
    return parser
