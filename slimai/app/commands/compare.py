"""``slimai compare``: what two runs, quantized models or profiles differ in, or a device's tensors from a network's."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import Any, Protocol

from slimai.app.commands.diff import profile
from slimai.app.commands.simulate import ARITHMETIC
from slimai.app.comparison.board import board_inputs, compare_board, validation_image
from slimai.app.comparison.dump import open_dump
from slimai.app.comparison.models import compare_models
from slimai.app.comparison.runs import compare_runs
from slimai.app.comparison.subject import Subject, network_of, subject_of
from slimai.app.options import CommandParser
from slimai.errors import EXIT_DONE, EXIT_MISSED, Diagnostic, InputError, printable
from slimai.quantizer.profile import diff_profiles

EPILOG = """examples:
  slimai compare slimai_output/yolo slimai_output/yolo_mixed     two runs
  slimai compare slimai_output/yolo board.npz --image 0          a run and what a board has computed of an image
  slimai compare net_int8.tflite board.npz                       the input is in board.npz, by its name
  slimai compare before_quant.onnx after_quant.onnx              two quantized models
  slimai compare yolo_99.yaml yolo_96.yaml                       two profiles

A board's .npz has one array a tensor, named as in the profile; a folder of blobs has one file a tensor.
exit codes: 0 the same, 3 different, 2 the input is wrong
"""


class Report(Protocol):
    """What was found."""

    @property
    def same(self) -> bool:
        """Whether nothing differs."""

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON values."""

    def lines(self) -> list[str]:
        """Return it as lines of text."""


class ProfilesReport:
    """Two profiles."""

    def __init__(self, first: Path, second: Path) -> None:
        self._lines = diff_profiles(profile(first), profile(second))

    @property
    def same(self) -> bool:
        """Whether no tensor differs."""
        return not self._lines

    def to_json(self) -> dict[str, Any]:
        """Return what ``--format json`` prints."""
        return {"kind": "profiles", "same": self.same, "differences": self._lines}

    def lines(self) -> list[str]:
        """Return one line a tensor that differs."""
        return self._lines or ["no difference"]


def main(argv: Sequence[str]) -> int:
    """Tell what differs between what the command line names; return 0 when nothing does, else 3."""
    options = _parser().parse_args(list(argv))
    report = _report(options, *_subjects(options.first, options.second))
    if options.format == "json":
        text = json.dumps(report.to_json(), indent=1, ensure_ascii=False)
    else:
        text = "\n".join(printable(line) for line in report.lines())
    sys.stdout.write(text + "\n")
    return EXIT_DONE if report.same else EXIT_MISSED


def _subjects(*paths: Path) -> list[Subject]:
    """Return what both paths are; raises InputError with the mistakes of both."""
    found: list[Subject] = []
    errors: list[Diagnostic] = []
    for path in paths:
        try:
            found.append(subject_of(path))
        except InputError as error:
            errors.extend(error.diagnostics)
    if errors:
        raise InputError(dict.fromkeys(errors))
    return found


def _report(options: argparse.Namespace, first: Subject, second: Subject) -> Report:
    kinds = {first.kind, second.kind}
    _refuse_unused(options, kinds)
    if kinds == {"profile"}:
        return ProfilesReport(first.path, second.path)
    if kinds == {"run"}:
        return compare_runs(first.path, second.path)
    if kinds <= {"run", "model"}:
        networks = [network_of(item, options.arithmetic if item.kind == "model" else None) for item in (first, second)]
        return compare_models(networks[0], networks[1], options.seed)
    if "dump" in kinds and kinds & {"run", "model"}:
        known, dumped = (second, first) if first.kind == "dump" else (first, second)
        network = network_of(known, options.arithmetic)
        image = validation_image(network, options.image) if options.image else None
        dump = open_dump(dumped.path, network, "" if image is None else image.stem)
        return compare_board(network, board_inputs(network, dump) if image is None else image.feeds, dump)
    message = f"a {first.kind} and a {second.kind} cannot be compared"
    cure = "give two runs, two models, two profiles, or a run or model and a board's dump"
    raise InputError.at(str(second.path), message, cure=cure)


def _refuse_unused(options: argparse.Namespace, kinds: AbstractSet[str]) -> None:
    if options.image and "dump" not in kinds:
        raise InputError.at("--image", "is the input of a board's dump, and there is none", options.image)
    if options.arithmetic and "model" not in kinds:
        raise InputError.at("--arithmetic", "is for quantized models", options.arithmetic, cure="leave it out")


def _parser() -> argparse.ArgumentParser:
    parser = CommandParser(
        prog="slimai compare",
        description="Tell what two results differ in, and where a device's integers part from a network's.",
        epilog=EPILOG,
    )
    add = parser.add_argument
    add("first", type=Path, metavar="A", help="folder of a run, quantized .onnx or .tflite, or profile .yaml")
    add("second", type=Path, metavar="B", help="another of them, or a device's dump: .npz, or a folder of blobs")
    add("--image", default="", metavar="N|NAME", help="validation image that the device has run: index from 0, or name")
    add("--arithmetic", choices=ARITHMETIC, help="requantization of all layers of a model (default: native)")
    add("--seed", type=int, default=0, metavar="N", help="of the noise that two models are run on (default: 0)")
    add("--format", choices=("text", "json"), default="text", help="default: text")
    return parser
