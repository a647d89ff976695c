"""``slimai codegen``: portable C of a finished run, or of an already quantized model."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from slimai.app.commands.simulate import ARITHMETIC
from slimai.app.delivery.finished import FinishedRun, finished_run
from slimai.app.options import CommandParser
from slimai.artifacts.atomic import write_tree
from slimai.codegen.generate import files_of
from slimai.codegen.network import build_network
from slimai.codegen.options import CodeOptions
from slimai.codegen.vectors import noise
from slimai.data.array_file import read_npz
from slimai.errors import EXIT_DONE, InputError
from slimai.quantizer.prequantized import preset_as_stored
from slimai.quantizer.quantized_file import load_quantized
from slimai.schema.codegen import CodegenSection
from slimai.schema.target import TargetSection
from slimai.simulator.program import Program, compile_plan
from slimai.suggest import suggest

Array = NDArray[Any]
EPILOG = """examples:
  slimai codegen slimai_output/kws                          writes slimai_output/kws/<name>_c
  slimai codegen kws_int8.tflite -o kws_c codegen.prefix=kws
  slimai codegen net_qdq.onnx codegen.weights=file --inputs images.npz

Test vectors: without --inputs they are seeded noise in the whole range of the inputs' integers.
"""


def main(argv: Sequence[str]) -> int:
    """Write the C of what the command line names; return 0."""
    options = _parser().parse_intermixed_args(list(argv))
    section = _section(options.settings)
    if not options.source.exists():
        cure = "give the output folder of a finished run, or a quantized .onnx or .tflite file"
        raise InputError.at(str(options.source), "there is no such run folder or model file", cure=cure)
    run = finished_run(options.source) if options.source.is_dir() else None
    if run is not None and options.arithmetic is not None:
        raise InputError.at("--arithmetic", "is the run's own", options.arithmetic, cure="leave it out")
    program, target = _of_run(run) if run is not None else _of_model(options.source, options.arithmetic)
    name = run.name if run is not None else options.source.stem
    code = CodeOptions.of(section, name)
    network = build_network(program, target, code)
    samples = _samples(program, section, options.inputs)
    folder: Path = options.output or (options.source if run is not None else Path()) / f"{name}_c"
    write_files(folder, files_of(network, program, samples))
    sys.stdout.write(
        f"{len(network.steps)} layers, {network.constants.size} bytes of constants, "
        f"arena {network.storage.arena} bytes, "
        f"{len(samples)} test vectors -> {folder}\n"
    )
    return EXIT_DONE


def _of_run(run: FinishedRun) -> tuple[Program, TargetSection]:
    program = compile_plan(load_quantized(run.model), run.target, arithmetic=run.arithmetic)
    run.require_same_integers(program.table())
    return program, run.target


def _of_model(path: Path, arithmetic: str | None) -> tuple[Program, TargetSection]:
    target = TargetSection()
    stored = path.suffix == ".tflite" and arithmetic in (None, "native")
    plan = load_quantized(path)
    preset = preset_as_stored(plan, target) if stored else arithmetic or "native"  # as LiteRT, symmetric layers too
    return compile_plan(plan, target, arithmetic=preset), target


def write_files(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write the files of a folder.

    Raises:
        InputError: one cannot be written.
    """
    try:
        write_tree(folder, files)
    except OSError as error:
        cure = "give the name of a folder that can be written (-o DIR)"
        message = f"cannot be written ({error.strerror})"
        raise InputError.at(str(error.filename or folder), message, cure=cure) from error


def _samples(program: Program, section: CodegenSection, inputs: Path | None) -> list[dict[str, Array]]:
    """Return the samples of the test vectors, each input [1, ...]."""
    if inputs is None:
        return noise(program, section.test_vectors)
    arrays = program.entering(read_npz(inputs))
    axes = {name: program.plan.graph.shape(name) for name in arrays}
    counts = {arrays[name].shape[0] // shape[0] if shape else 1 for name, shape in axes.items()}
    if len(counts) != 1:
        raise InputError.at(str(inputs), "inputs differ in their number of samples", sorted(counts))
    if 0 in counts:
        raise InputError.at(str(inputs), "holds no sample", cure="give at least one row an input")
    count = min(counts.pop(), section.test_vectors)
    return [
        {
            name: np.ascontiguousarray(arrays[name][i * shape[0] : (i + 1) * shape[0]] if shape else arrays[name])
            for name, shape in axes.items()
        }
        for i in range(count)
    ]  # fmt: skip


def _section(words: Sequence[str]) -> CodegenSection:
    """Return the section of ``codegen.KEY=VALUE`` words."""
    values: dict[str, str] = {}
    errors = []
    known = CodegenSection.model_fields
    for word in words:
        key, equals, value = word.partition("=")
        if not equals or not key.startswith("codegen."):
            errors.append(InputError.at(word, "is no codegen.KEY=VALUE", cure="slimai codegen --help"))
        elif key.removeprefix("codegen.") not in known:
            hint = suggest(key, [f"codegen.{name}" for name in known])
            errors.append(InputError(f"{key}: no such setting{hint}"))
        else:
            values[key.removeprefix("codegen.")] = value
    try:
        section = CodegenSection.model_validate(
            {key: int(text) if text.lstrip("-").isdigit() else text for key, text in values.items()}
        )
    except ValidationError as error:
        for item in error.errors():
            where = ".".join(["codegen", *map(str, item["loc"])])
            cure = str(item.get("ctx", {}).get("cure", ""))
            errors.append(InputError.at(where, str(item["msg"]), item["input"], cure=cure))
    if errors:
        raise InputError(found for error in errors for found in error.diagnostics)
    return section


def _parser() -> argparse.ArgumentParser:
    parser = CommandParser(
        prog="slimai codegen",
        description="Write portable C99 that computes the integers of the simulator.",
        epilog=EPILOG,
    )
    add = parser.add_argument
    add("source", type=Path, metavar="RUN_DIR|MODEL", help="folder of a finished run, or a quantized .onnx or .tflite")
    add(
        "settings", nargs="*", default=[], metavar="codegen.KEY=VALUE", help="prefix, test_vectors, weights, byte_order"
    )
    add("-o", "--output", type=Path, metavar="DIR", help="folder to write (default: <name>_c)")
    add("--arithmetic", choices=ARITHMETIC, help="requantization of all layers of a model (default: native)")
    add("--inputs", type=Path, metavar="X.npz", help="samples for the test vectors, one array per network input")
    return parser
