"""``slimai simulate``: runs an already quantized model through the integer simulator."""

from __future__ import annotations

import argparse
import io
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from slimai.app.options import CommandParser
from slimai.artifacts.atomic import write_bytes
from slimai.data.array_file import read_npz
from slimai.errors import EXIT_DONE, InputError
from slimai.quantizer.prequantized import preset_as_stored
from slimai.quantizer.quantized_file import load_quantized
from slimai.schema.target import TargetSection
from slimai.simulator.program import compile_plan

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from slimai.simulator.program import Program

EPILOG = """examples:
  slimai simulate net_quant.onnx --inputs images.npz --outputs logits.npz
  slimai simulate kws_int8.tflite --inputs mfcc.npz --outputs scores.npz --arithmetic gemmlowp

The .npz files hold one array per network input and output, by name. Float inputs are quantized with the
model's own parameters. An output has the type that the model declares: float where it ends with a dequantization.
"""
ARITHMETIC = ("native", "xi_sym", "gemmlowp", "tflite_s64", "single", "ort_f32")


def main(argv: Sequence[str]) -> int:
    """Simulate the model that the command line names; return 0."""
    options = _parser().parse_args(list(argv))

    feeds = read_npz(options.inputs)
    plan = load_quantized(options.model)
    target = TargetSection()
    stored = options.model.suffix == ".tflite" and options.arithmetic == "native"
    arithmetic = preset_as_stored(plan, target) if stored else options.arithmetic  # as LiteRT, symmetric layers too
    program = compile_plan(plan, target, arithmetic=arithmetic, threads=options.threads)
    outputs = program.run(feeds)
    outputs = declared_outputs(program, outputs, integers=options.integers)
    write_arrays(options.outputs, outputs)
    sys.stdout.write(_summary(program, outputs, options.outputs))
    return EXIT_DONE


def declared_outputs(
    program: Program, outputs: Mapping[str, NDArray[Any]], *, integers: bool
) -> dict[str, NDArray[Any]]:
    """Return the outputs in the types that the model declares; with `integers` also as ``<name>__int``.

    Raises:
        InputError: `integers`, and an output bears such a name already.
    """
    declared, real = program.plan.declared, program.dequantize(outputs)
    floats = {name for name in outputs if name in program.plan.tensors and declared.get(name, "").startswith("float")}
    found = {
        name: real[name].astype(declared[name], copy=False) if name in floats else value
        for name, value in outputs.items()
    }
    if not integers:
        return found
    more = {f"{name}__int": value for name, value in outputs.items() if name in program.plan.tensors}
    taken = sorted(more.keys() & found.keys())
    if taken:
        raise InputError.at("--integers", "an output of the model has the name of another one's integers", taken[0])
    return {**found, **more}


def write_arrays(path: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write arrays to an .npz file atomically.

    Raises:
        InputError: the file cannot be written.
    """
    memory = io.BytesIO()
    named: dict[str, Any] = {name: np.asarray(value, order="C") for name, value in arrays.items()}
    np.savez(memory, **named)
    try:
        write_bytes(path, memory.getvalue())
    except OSError as error:
        raise InputError.at(str(path), f"cannot be written ({error.strerror})") from error


def _summary(program: Program, outputs: Mapping[str, NDArray[Any]], target: Path) -> str:
    lines = [f"{name}: {value.dtype.name} {list(value.shape)}" for name, value in outputs.items()]
    used = sorted(set(program.arithmetic.values()))
    lines.append(f"{len(program.arithmetic)} integer layers ({', '.join(used) or 'none'}) -> {target}")
    lines += [f"on the host: {name}: {why}" for name, why in program.host_layers.items()]
    lines += [f"accumulator overflows: {name}: {count}" for name, count in program.overflows.items()]
    return "\n".join(lines) + "\n"


def _parser() -> argparse.ArgumentParser:
    parser = CommandParser(
        prog="slimai simulate",
        description="Run an already quantized model (QDQ or QLinear ONNX, or TFLite) through the integer simulator.",
        epilog=EPILOG,
    )
    parser.add_argument("model", type=Path, metavar="MODEL", help=".onnx or .tflite file")
    parser.add_argument("--inputs", type=Path, required=True, metavar="X.npz", help="one array per network input")
    parser.add_argument("--outputs", type=Path, required=True, metavar="Y.npz", help="file to write")
    parser.add_argument(
        "--arithmetic", choices=ARITHMETIC, default="native", help="requantization of all layers (default: native)"
    )
    parser.add_argument(
        "--integers", action="store_true", help="write the integers of each quantized output too, as NAME__int"
    )
    parser.add_argument("--threads", type=int, default=1, metavar="N", help="threads over the samples (default: 1)")
    return parser
