"""ONNX Runtime as an offline graph optimizer: constant folding and fusions that keep standard operators."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from slimai.errors import InputError

Array = NDArray[Any]
LEFT_TO_US = ["ConvMulFusion"]  # `slimai.graph.passes.fold_scale` knows where a factor a channel has to stay


def optimize_offline(model: bytes, where: str, *, fuse: bool = True) -> bytes:
    """Return the model as ONNX Runtime rewrites it at its hardware-independent ("basic") level.

    Args:
        model: a serialized ModelProto with static input shapes.
        where: the file that messages name.
        fuse: False checks that the model can run and infers shapes, without any rewriting.

    Raises:
        InputError: ONNX Runtime refuses the model; its reason is quoted.
    """
    import onnxruntime  # noqa: PLC0415 - spares onnxruntime

    level = onnxruntime.GraphOptimizationLevel
    options = quiet_options()
    options.graph_optimization_level = level.ORT_ENABLE_BASIC if fuse else level.ORT_DISABLE_ALL
    with tempfile.TemporaryDirectory(prefix="slimai-") as folder:
        target = Path(folder) / "optimized.onnx"
        options.optimized_model_filepath = str(target)
        try:
            onnxruntime.InferenceSession(
                model, options, providers=["CPUExecutionProvider"], enable_fallback=0, disabled_optimizers=LEFT_TO_US
            )
            return target.read_bytes()
        except (*runtime_errors(), OSError) as error:  # type: ignore[misc]
            raise InputError.at(where, f"ONNX Runtime cannot run this model: {first_line(error)}") from error


def evaluate(model: bytes, feeds: Mapping[str, Array], outputs: Sequence[str]) -> list[Array]:
    """Return the values of `outputs`; used to fold constant subgraphs, never on images."""
    import onnxruntime  # noqa: PLC0415 - spares onnxruntime

    options = quiet_options()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"], enable_fallback=0)
    return list(session.run(list(outputs), dict(feeds)))


def quiet_options(threads: int = 1, *, fuse_integers: bool = False) -> Any:
    """Return session options with a fixed number of threads that write only fatal messages.

    fuse_integers: leave ONNX Runtime its own treatment of QuantizeLinear and DequantizeLinear.
    """
    import onnxruntime  # noqa: PLC0415 - spares onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    if not fuse_integers:
        # what it makes of QuantizeLinear and DequantizeLinear are other numbers: pairs dropped, coarser kernels
        options.add_session_config_entry("session.disable_quant_qdq", "1")
        options.add_session_config_entry("session.disable_double_qdq_remover", "1")
    options.use_deterministic_compute = True
    return options


@cache
def runtime_errors() -> tuple[type[Exception], ...]:
    """Return every exception type that ONNX Runtime raises for a bad model or bad inputs."""
    from onnxruntime.capi import onnxruntime_pybind11_state as state  # noqa: PLC0415 - spares onnxruntime

    own = [item for item in vars(state).values() if isinstance(item, type) and issubclass(item, Exception)]
    return (*own, RuntimeError, ValueError, TypeError, MemoryError)


def first_line(error: BaseException, limit: int = 300) -> str:
    """Return the first line of an error's text that says something, cut to `limit` characters."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    text = lines[0] if lines else type(error).__name__
    return text if len(text) <= limit else text[: limit - 3] + "..."
