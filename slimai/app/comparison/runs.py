"""Two runs side by side: settings, inputs, scores over the same images, layers, time, bytes."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from slimai.app.delivery.finished import finished_run
from slimai.app.delivery.lock_file import Lock, read_lock
from slimai.app.opening.content_keys import score_key
from slimai.app.opening.open_job import prepare
from slimai.data.array_file import NpzFile
from slimai.errors import InputError, SlimaiError
from slimai.metrics.base import Metric, Record
from slimai.number_text import decimals
from slimai.schema.root import MACHINE_KEYS
from slimai.search.paired import paired_difference
from slimai.search.race import image_order
from slimai.search.records import load_images, load_records, records_path
from slimai.simulator.integer_file import stored_on_device

Row = tuple[str, Any, Any]
BY_SETTING = ("metric", "target", "quantization", "slimai version")  # told key by key, or refused


@dataclass(frozen=True)
class FinishedResult:
    """A run's folder, lock, results and the candidate that it delivered."""

    folder: Path
    lock: Lock
    results: Mapping[str, Any]
    delivered: Mapping[str, Any]


@dataclass
class RunsReport:
    """settings, content, results: (name, first, second) of what differs. pair: the paired difference of the scores."""

    settings: list[Row] = field(default_factory=list)
    content: list[str] = field(default_factory=list)
    results: list[Row] = field(default_factory=list)
    scores: Row = ("score", None, None)
    pair: dict[str, Any] | None = None
    unpaired: str = ""
    layers: list[Row] = field(default_factory=list)
    integers: bool = True

    @property
    def same(self) -> bool:
        """Whether settings, inputs and integers are equal; what differs then is told all the same."""
        layers = any(one != other for _, one, other in self.layers)
        results = any(one != other for _, one, other in (*self.results, self.scores))
        return not (self.settings or self.content or results or layers) and self.integers

    def to_json(self) -> dict[str, Any]:
        """Return what ``--format json`` prints."""
        return {
            "kind": "runs",
            "same": self.same,
            "same_integers": self.integers,
            "config": [{"key": key, "first": one, "second": other} for key, one, other in self.settings],
            "content": self.content,
            "score": {"first": self.scores[1], "second": self.scores[2], "paired": self.pair, "note": self.unpaired},
            "results": {key: {"first": one, "second": other} for key, one, other in self.results},
            "sqnr": [{"tensor": key, "first": one, "second": other} for key, one, other in self.layers],
        }

    def lines(self) -> list[str]:
        """Return the report as lines of text."""
        lines = [f"{key}: {one!r} -> {other!r}" for key, one, other in self.settings] or ["settings: the same"]
        lines += [f"{name}: not the same files or values" for name in self.content]
        lines.append("integers: the same" if self.integers else "integers: not the same")
        lines.append(f"score: {decimals(self.scores[1], 4)} -> {decimals(self.scores[2], 4)}{self._paired()}")
        lines += [f"{key}: {_number(one)} -> {_number(other)}" for key, one, other in self.results]
        apart = [(key, one, other) for key, one, other in self.layers if one != other]
        if not apart:
            return [*lines, f"SQNR: the same in all {len(self.layers)} layers"]
        width = max(len(key) for key, _, _ in apart)
        lines.append(f"SQNR in dB against float, where it differs ({len(apart)} of {len(self.layers)} layers):")
        return lines + [f"  {key:{width}} {decimals(one, 1):>8} {decimals(other, 1):>8}" for key, one, other in apart]

    def _paired(self) -> str:
        if self.pair is None:
            return f" ({self.unpaired})" if self.unpaired else ""
        low, high = self.pair["interval"]
        size = (
            f"{self.pair['difference']:+.4f}, 95 % {low:+.4f}..{high:+.4f} over the same {self.pair['images']} images"
        )
        return f" ({size}{'' if self.pair['decided'] else ': no difference can be told'})"


def _number(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def finished_result(folder: Path) -> FinishedResult:
    """Return a run's results.

    Raises:
        InputError: it has not ended, or it is of another version.
    """
    finished_run(folder)
    lock = read_lock(folder)
    results = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    delivered = results.get("delivered")
    if not isinstance(delivered, dict):
        raise InputError.at(str(folder / "run.json"), "has delivered nothing", cure="let the run score a candidate")
    return FinishedResult(folder, lock, results, delivered)


def compare_runs(first: Path, second: Path) -> RunsReport:
    """Return what two runs differ in.

    Raises:
        InputError: one is not finished, of another version, or they are of networks with other outputs.
    """
    one, other = finished_result(first), finished_result(second)
    outputs = [item.results.get("outputs") for item in (one, other)]
    if outputs[0] != outputs[1]:
        names = [str(item.results.get("network")) for item in (one, other)]
        message = f"is a run of another network ({names[1]}) than {first} ({names[0]}): their outputs are not the same"
        raise InputError.at(str(second), message, cure="compare runs of one network")
    report = RunsReport(
        settings=list(_settings(one.lock, other.lock)),
        content=[name for name in one.lock.content if _differs(one.lock, other.lock, name)],
        integers=one.delivered["key"] == other.delivered["key"],
        scores=("score", one.delivered["score"], other.delivered["score"]),
    )
    report.results = [
        ("profile", one.delivered["profile"], other.delivered["profile"]),
        ("level", one.delivered["accuracy_level"], other.delivered["accuracy_level"]),
        ("estimated ms", one.delivered["latency_ms"], other.delivered["latency_ms"]),
        ("bytes of constants", _constants(one), _constants(other)),
    ]
    mine, theirs = _sqnr(one), _sqnr(other)
    report.layers = [(name, mine.get(name), theirs.get(name)) for name in dict.fromkeys([*mine, *theirs])]
    _pair(report, one, other)
    return report


def _settings(one: Lock, other: Lock) -> Iterator[Row]:
    mine, theirs = (dict(_flat(lock.config.model_dump(mode="json", by_alias=True))) for lock in (one, other))
    for key in dict.fromkeys([*mine, *theirs]):
        if mine.get(key) != theirs.get(key) and not any(
            key == own or key.startswith(f"{own}.") for own in MACHINE_KEYS
        ):
            yield key, mine.get(key), theirs.get(key)


def _flat(values: Mapping[str, Any], head: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, dict) and value:
            yield from _flat(value, f"{head}{key}.")
        else:
            yield f"{head}{key}", value


def _differs(one: Lock, other: Lock, name: str) -> bool:
    return name not in BY_SETTING and one.content.get(name) != other.content.get(name)


def _constants(run: FinishedResult) -> int | None:
    file = run.folder / f"{run.results['network']}_quant.npz"
    if not file.is_file():
        return None
    total = 0
    for name, (shape, dtype) in NpzFile(file).headers.items():
        if not stored_on_device(name):
            continue
        size = dtype.itemsize
        for axis in shape:
            size *= axis
        total += size
    return total


def _sqnr(run: FinishedResult) -> dict[str, float | None]:
    """Return tensor -> SQNR in dB inside the integer network; nothing where the run has saved no analysis."""
    try:
        document = json.loads((run.folder / ".slimai" / "report.json").read_text(encoding="utf-8"))
        return {str(row["profile"]): row["sqnr"] for row in document["layers"]}
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def _pair(report: RunsReport, one: FinishedResult, other: FinishedResult) -> None:
    """Put the paired difference into the report, or why there is none."""
    shared = ("metric", "labels", "validation images")
    changed = [name for name in shared if one.lock.content.get(name) != other.lock.content.get(name)]
    if changed:
        report.unpaired = f"not paired: the {' and the '.join(changed)} are not the same"
        return
    try:
        job = prepare(one.lock.config)
        rows = [_records(run, len(job.validation)) for run in (one, other)]
        if not all(rows):
            report.unpaired = "not paired: a run has not kept the records of its images; run it again to have them"
            return
        found = _difference(job.metric, rows)
    except SlimaiError as error:
        report.unpaired = f"not paired: {str(error).splitlines()[0]}"
        return
    if found is None:
        report.unpaired = "not paired: the metric gives no score of parts"
    report.pair = found


def _difference(metric: Metric, rows: list[list[Record]]) -> dict[str, Any] | None:
    found = paired_difference(metric, rows[0], rows[1])
    if found is None:
        return None
    return {
        "difference": found.difference,
        "interval": [found.low, found.high],
        "images": found.images,
        "decided": found.decided,
    }


def _records(run: FinishedResult, images: int) -> list[Record]:
    """Return the records of what was delivered in the order of the validation list; empty where some lack."""
    settings = run.lock.config.search
    folder = run.folder / ".slimai" / "records"
    place = records_path(
        folder, str(run.delivered["key"]), score_key(run.lock.content), settings.strategy, settings.seed
    )
    rows = load_records(place)
    if not rows:  # the winner of a race is followed by candidates that are scored on all images in order
        others = ("exhaustive", 0)
        rows = load_records(records_path(folder, str(run.delivered["key"]), score_key(run.lock.content), *others))
        return rows if len(rows) == images else []
    if len(rows) != images:
        return []
    if settings.strategy == "exhaustive":
        return rows
    ordered: list[Record] = [{}] * images
    order = load_images(place) or image_order(images, settings.seed)
    for place_in_list, row in zip(order, rows, strict=True):
        ordered[place_in_list] = row
    return ordered
