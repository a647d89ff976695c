"""A run or a quantized model against the tensors of a device: where they part, and what explains it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from slimai.app.comparison.dump import Dump
from slimai.app.comparison.subject import Network
from slimai.errors import InputError
from slimai.graph.samples import own_shapes
from slimai.simulator.divergence import Case, cases, spelled
from slimai.simulator.explanation import Explanation, Trials, explaining_presets, explanations, whole_presets
from slimai.simulator.program import IntegerStep
from slimai.suggest import did_you_mean

if TYPE_CHECKING:
    from slimai.data.sample import Sample

Array = NDArray[Any]
JUDGED = 40  # later layers for which presets are tried


@dataclass
class BoardReport:
    """compared, known: tensors of the network that the dump has, and that it could have. first: where they part."""

    compared: int
    known: int
    notes: list[str] = field(default_factory=list)
    first: dict[str, Any] | None = None
    later: list[dict[str, Any]] = field(default_factory=list)

    @property
    def same(self) -> bool:
        """Whether no compared integer differs."""
        return self.first is None

    def to_json(self) -> dict[str, Any]:
        """Return what ``--format json`` prints."""
        return {
            "kind": "board",
            "same": self.same,
            "compared": self.compared,
            "known": self.known,
            "notes": self.notes,
            "first": self.first,
            "later": self.later,
        }

    def lines(self) -> list[str]:
        """Return the report as lines of text."""
        lines = [f"{self.compared} of {self.known} tensors of the network are in the dump", *self.notes]
        if self.first is None:
            return [*lines, "no integer differs"]
        lines += _told(self.first)
        if self.later:
            names = ", ".join(item["node"] for item in self.later[:5])
            more = f" and {len(self.later) - 5} more" if len(self.later) > 5 else ""
            lines.append(f"{len(self.later)} later layers differ on the device's own inputs too: {names}{more}")
            for preset in _common(self.later):
                lines.append(f"  the preset {preset} gives the integers of each of them")
        return lines


def _told(first: Mapping[str, Any]) -> list[str]:
    node = f"written by {first['node']} ({first['preset']})" if first["preset"] else f"{first['node']}"
    lines = [
        f"first difference: {first['tensor']}, {node}",
        f"  {first['differs']}; at {first['at']} {first['expected']} here and {first['found']} on the device",
    ]
    if first["between"]:
        lines.append(f"  its cause may also be in {', '.join(first['between'])}: their outputs are not in the dump")
    if first["explanations"]:
        lines += [f"  {item['text']}" for item in first["explanations"]]
    else:
        lines.append(f"  no preset explains it; {first['differs']}")
    return lines


def _common(later: list[dict[str, Any]]) -> list[str]:
    shared = set.intersection(*(set(item["presets"]) for item in later)) if later else set()
    return sorted(shared)


def compare_board(network: Network, inputs: Mapping[str, Array], dump: Dump) -> BoardReport:
    """Return where the device's tensors part from what the network makes of `inputs`, and what explains it.

    Raises:
        InputError: an integer that the planned type does not hold, or samples that are not as many as the inputs'.
    """
    plan = network.program.plan
    report = BoardReport(0, len(network.names))
    for tensor, scale in dump.scales.items():
        own = plan.tensors[tensor].scale
        report.notes.append(
            f"{network.names[tensor]}: the blob states the scale {scale:.6g}, the network has {own:.6g}"
        )
    checked = _Counted(network, inputs, dump)
    for case in cases(network.program, inputs, checked):
        if report.first is None:
            report.first = first_case(network, inputs, case)
        else:
            report.later.append(_later(network, case, judged=len(report.later) < JUDGED))
    report.compared = len(checked.seen)
    if not report.compared:
        raise InputError.at(str(dump.where), "holds no tensor that a layer writes", cure="dump outputs of layers")
    return report


class _Counted:
    """A dump whose tensors have as many samples as the inputs."""

    def __init__(self, network: Network, inputs: Mapping[str, Array], dump: Dump) -> None:
        self._network, self._dump = network, dump
        first = next(iter(network.program.plan.graph.inputs))
        self._samples = inputs[first].shape[0] if network.program.plan.graph.batchable else None
        self.seen: set[str] = set()

    def __contains__(self, name: object) -> bool:
        return name in self._dump

    def __getitem__(self, name: str) -> Array:
        values = self._dump[name]
        if self._samples is not None and values.shape[0] != self._samples:
            where = f"{self._dump.where}: {self._network.names.get(name, name)}"
            raise InputError.at(where, f"has another number of samples than the input's {self._samples}", len(values))
        self.seen.add(name)
        own = self._network.program.plan.graph.shape(name)
        return values if self._samples is not None else values.reshape(own)


def _case(network: Network, case: Case) -> dict[str, Any]:
    parts = case.difference
    channels = spelled(parts.channels, parts.several)
    return {
        "tensor": network.names.get(case.tensor, case.tensor),
        "node": "a network input" if case.layer is None else case.layer.name,
        "preset": case.step.rule.name if isinstance(case.step, IntegerStep) else "",
        "differs": f"differs in {parts.count} of {parts.total} integers, by {parts.largest} at most, in {channels}",
        "count": parts.count,
        "total": parts.total,
        "largest": parts.largest,
        "at": list(parts.first),
        "expected": parts.expected,
        "found": parts.found,
        "between": list(case.between),
    }


def first_case(network: Network, inputs: Mapping[str, Array], case: Case) -> dict[str, Any]:
    """Return a difference with its explanations, as JSON values."""
    plan, target = network.program.plan, network.target
    found = _input_explanations(case) if case.layer is None else explanations(plan, target, case)
    if not found and case.between:
        names = whole_presets(target, plan, inputs, case, network.arithmetic)
        found = [Explanation("preset", f"the preset {name} in all layers gives them", name) for name in names]
    told = [{"kind": item.kind, "text": item.text, "preset": item.preset} for item in found]
    return {**_case(network, case), "explanations": told}


def _later(network: Network, case: Case, *, judged: bool) -> dict[str, Any]:
    presets: list[str] = []
    if judged and isinstance(case.step, IntegerStep):
        presets = list(explaining_presets(Trials(network.program.plan, network.target, case.step, case)))
    return {**_case(network, case), "presets": presets}


def _input_explanations(case: Case) -> list[Explanation]:
    """Return what in the preprocessing gives the device's input: channels in the other order, a constant offset."""
    away = np.unique(case.found.astype(np.int64) - case.expected)
    if len(away) == 1:
        return [Explanation("zero_point", f"all integers of the input are moved by {int(away[0])}: mean or zero point")]
    for axis in (1, case.expected.ndim - 1):
        if case.expected.ndim == 4 and np.array_equal(np.flip(case.expected, axis), case.found):
            return [Explanation("input", "the channels of the input are in the other order: RGB or BGR")]
    return []


@dataclass(frozen=True, eq=False)
class GivenImage:
    """A validation image of a run: its stem, and the network inputs that preprocessing makes of it."""

    stem: str
    feeds: Mapping[str, Array]


def validation_image(network: Network, wanted: str) -> GivenImage:
    """Return the validation image of a run by file name, stem, or index from 0.

    Raises:
        InputError: the network is of no run, its pictures are not there any more, or none is meant.
    """
    if network.run is None:
        cure = "put the input into the dump, by its name"
        raise InputError.at("--image", "is for runs: a model has no validation images", wanted, cure=cure)
    from slimai.app.delivery.lock_file import read_lock  # noqa: PLC0415 - spares yaml, pydantic
    from slimai.app.opening.open_job import prepare  # noqa: PLC0415 - spares onnx

    job = prepare(read_lock(network.run.folder).config)
    sample = _sample(job.validation, wanted)
    return GivenImage(sample.stem, own_shapes(network.program.plan.graph, job.preprocess(sample)[1]))


def board_inputs(network: Network, dump: Dump) -> Mapping[str, Array]:
    """Return what the device was given: the dump's inputs, or the validation image that its blobs are named after.

    Raises:
        InputError: neither is there.
    """
    graph = network.program.plan.graph
    if set(graph.inputs) <= set(dump.feeds):
        return {name: dump.feeds[name]() for name in graph.inputs}
    if network.run is not None and dump.stem:
        return validation_image(network, dump.stem).feeds
    missing = ", ".join(name for name in graph.inputs if name not in dump.feeds)
    cure = f"add the array {missing} to the dump" + ("" if network.run is None else ", or give --image")
    raise InputError.at(str(dump.where), "which input did the device run?", cure=cure)


def _sample(samples: tuple[Sample, ...], wanted: str) -> Sample:
    names = {sample.stem: sample for sample in reversed(samples)}
    for sample in samples:
        if wanted in (sample.stem, *(file.name for file in sample.files)):
            return sample
    if wanted.isdigit() and int(wanted) < len(samples):
        return samples[int(wanted)]
    cure = did_you_mean(wanted, names) or f"give a name, or an index from 0 to {len(samples) - 1}"
    raise InputError.at("--image", "is no validation image of the run", wanted, cure=cure)
