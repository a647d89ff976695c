"""From a model, a folder of samples and labels to a preset, its image lists, and what was guessed."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from slimai.app.check.verdict import judge_job
from slimai.app.draft.choose import Choice, choose
from slimai.app.draft.guess import Guess
from slimai.app.draft.inputs import Material, gather
from slimai.app.draft.preset_text import line_of, preset_text
from slimai.app.draft.samples import Shares, share_out
from slimai.app.draft.values import Frame
from slimai.config.target import load_target
from slimai.errors import Diagnostic, InputError

NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,99}")
WORDS = frozenset(("null", "true", "false", "nan", "inf"))  # that Hydra reads as values
CALIBRATION, VALIDATION = "calib.txt", "val.txt"

__all__ = ["Draft", "Request", "draft", "preset_name"]


@dataclass(frozen=True)
class Request:
    """What the user gave. images and labels: None where not given."""

    model: Path
    images: Path | None
    labels: Path | None
    name: str


@dataclass(frozen=True)
class Draft:
    """What is to be written, by path below the current folder, and what is to be said.

    edits: (line of the preset, key, what to do) of what has to be looked at before the scores mean anything.
    """

    name: str
    preset: Path
    files: Mapping[Path, bytes]
    guesses: tuple[Guess, ...]
    notes: tuple[str, ...]
    edits: tuple[tuple[int, str, str], ...]


def preset_name(given: str | None, model: Path) -> str:
    """Return the preset's name: the given one, else the model's stem with `_` for what a name cannot hold.

    Raises: InputError for a given name that is no word of letters, digits, `_` and `-`.
    """
    if given is None:
        word = re.sub(r"[^A-Za-z0-9_-]+", "_", model.stem).strip("_-")[:90] or "network"
        return word if NAME.fullmatch(word) and word.lower() not in WORDS else f"net_{word}"
    if NAME.fullmatch(given) is None or given.lower() in WORDS:
        cure = "a letter, then letters, digits, _ and -; at most 100"
        raise InputError(Diagnostic("cannot be the name of a preset", key="--name", value=given, suggestion=cure))
    return given


def draft(request: Request) -> Draft:
    """Return the draft for a request; nothing is written below the current folder.

    Raises: InputError: a file cannot be read, labels belong to no sample, or no preset could run the network.
    """
    material = gather(request.model, request.images, request.labels)
    shares = share_out(list(material.lines), material.labels.texts.keys() or set(material.lines))
    folder = Path("lists") / request.name
    with tempfile.TemporaryDirectory(prefix="slimai-init-") as place:
        staging = Path(place)
        for name, data in _list_files(material, shares).items():
            (staging / name).parent.mkdir(parents=True, exist_ok=True)
            (staging / name).write_bytes(data)
        frame = Frame(request.name, material, staging, staging if request.images is None else request.images)
        choice = choose(frame, shares)
        notes = _judged(frame, choice, shares, staging)
    frame = Frame(request.name, material, folder, folder if request.images is None else request.images)
    text = preset_text(frame.values(choice.network, choice.task, shares), _about(request, choice), choice.guesses)
    preset = Path("conf") / "model" / f"{request.name}.yaml"
    lists = {folder / name: data for name, data in _list_files(material, shares).items()}
    return Draft(
        request.name,
        preset,
        {**lists, preset: text.encode()},
        choice.guesses,
        (*material.notes, *_share_notes(material, shares), *choice.notes, *notes),
        tuple((line_of(text, key), key, what) for key, what in choice.edits),
    )


def _list_files(material: Material, shares: Shares) -> dict[str, bytes]:
    """Return the two lists, and the arrays of noise where there are no samples, by their path."""
    lines = {
        CALIBRATION: [material.lines[name] for name in shares.calibration],
        VALIDATION: [f"{material.lines[name]} {material.label(name)}".strip() for name in shares.validation],
    }
    lists = {name: "\n".join([str(len(rows)), *rows, ""]).encode() for name, rows in lines.items()}
    return {**material.made, **lists}


def _judged(frame: Frame, choice: Choice, shares: Shares, staging: Path) -> tuple[str, ...]:
    """Return the warnings about the preset; raises InputError with the errors, which the user's files have made."""
    file = staging / f"{frame.name}.yaml"
    file.write_text(preset_text(frame.values(choice.network, choice.task, shares), "draft", ()), encoding="utf-8")
    found = judge_job(load_target([str(file)]), deep=True).diagnostics
    errors = [item for item in found if item.severity == "error"]
    if errors:
        raise InputError([_unplaced(item, staging) for item in errors])
    return tuple(str(_unplaced(item, staging)) for item in found)


def _unplaced(item: Diagnostic, staging: Path) -> Diagnostic:
    """Return a diagnostic without a file that only stood in the staging folder."""
    placed = item.file is not None and Path(item.file).is_relative_to(staging)
    return Diagnostic(
        item.message,
        item.key,
        item.value,
        item.suggestion,
        None if placed else item.file,
        None if placed else item.line,
        severity=item.severity,
    )


def _share_notes(material: Material, shares: Shares) -> list[str]:
    count, labelled = len(material.lines), len(material.labels.texts)
    notes = []
    if shares.overlap and material.found is not None:
        notes.append("too few samples: validation samples are calibration samples too, so scores are optimistic")
    if 0 < labelled < count:
        notes.append(f"{labelled} of {count} samples have labels; the others serve calibration alone")
    return notes


def _about(request: Request, choice: Choice) -> str:
    metric = choice.task.metric["metric_cls"]
    return (
        f"{choice.task.network_class}: {request.model.name}, scored by {metric}. "
        "Drafted by slimai init: beside a key stands how sure it is."
    )
