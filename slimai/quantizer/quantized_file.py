"""An already quantized model file as an integer network: TFLite, or ONNX with QDQ or QLinear operators."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from slimai.errors import InputError
from slimai.graph.damage import damage_refused
from slimai.graph.tflite.load import is_float_tflite, load_tflite
from slimai.quantizer.prequantized import stored_plan
from slimai.quantizer.qdq_check import require_sound_parameters
from slimai.quantizer.quantized_onnx import is_quantized, plan_of_quantized

if TYPE_CHECKING:
    from slimai.graph.ir import Graph
    from slimai.quantizer.plan import QuantPlan

SUFFIXES = (".onnx", ".tflite")


@damage_refused("quantized model")
def load_quantized(path: str | Path, /, **given: Any) -> QuantPlan:
    """Return the integer network in the file, every parameter as stored.

    given: what `load_onnx` is told of shapes and cuts; a quantized .tflite takes cuts alone.

    Raises:
        InputError: the suffix is neither .onnx nor .tflite, the file cannot be read, or it is not quantized.
    """
    path = Path(path)
    if path.suffix not in SUFFIXES:
        raise InputError.at(str(path), "not a model that can be simulated", path.suffix, cure="give .onnx or .tflite")
    if path.suffix == ".tflite":
        return _of_tflite(path, **given)
    graph = quantized_graph(path, **given)
    if graph is None:
        raise _not_quantized(path)
    require_sound_parameters(graph, str(path))
    return plan_of_quantized(graph)


def _not_quantized(path: Path) -> InputError:
    return InputError.at(str(path), "the model is not quantized", cure="quantize it first, or give a QDQ model")


def is_quantized_file(path: Path, **given: Any) -> bool:
    """Return whether the file holds a quantized network, as far as one can tell before it is read.

    given: what `load_onnx` is told of shapes and cuts.

    Raises:
        InputError: the file cannot be read.
    """
    return not is_float_tflite(path) if path.suffix == ".tflite" else quantized_graph(path, **given) is not None


def _of_tflite(path: Path, **given: Any) -> QuantPlan:
    if is_float_tflite(path):
        raise _not_quantized(path)
    if given.get("input_shapes"):
        raise InputError.at(
            str(path), "a quantized .tflite has the shapes that it was stored with", given["input_shapes"]
        )
    return stored_plan(load_tflite(path, cut_outputs=given.get("cut_outputs", ())), keep_asymmetric_weights=True)


def quantized_graph(path: Path, **given: Any) -> Graph | None:
    """Return the graph of a quantized ONNX model, its operators as they are, or None when it is a float model.

    given: what `load_onnx` is told of shapes and cuts.

    Raises:
        InputError: the file cannot be read.
    """
    from slimai.graph.load import load_onnx  # noqa: PLC0415 - spares onnx

    try:
        graph = load_onnx(path, optimize=False, **given)
    except InputError:
        # Shapes may be open until constants are folded; only float models may be rewritten so.
        if is_quantized(load_onnx(path, **given)):
            raise
        return None
    return graph if is_quantized(graph) else None
