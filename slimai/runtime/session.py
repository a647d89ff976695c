"""Networks on ONNX Runtime: the float one, parts of it, QDQ models. With `graph.optimize` the only door to it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slimai.errors import InputError, SlimaiError
from slimai.graph.ir import Graph
from slimai.graph.optimize import first_line, quiet_options, runtime_errors

Array = NDArray[Any]
OPTIMIZATIONS = {
    "disabled": "ORT_DISABLE_ALL",
    "basic": "ORT_ENABLE_BASIC",
    "extended": "ORT_ENABLE_EXTENDED",
    "layout": "ORT_ENABLE_LAYOUT",
    "all": "ORT_ENABLE_ALL",
}  # the levels of graph optimization by ONNX Runtime's names, from none on; the last is what a session does by default


class FloatSession:
    """A network ready to run; each instance holds its own threads, and with `reuse` the arrays of its last run.

    Args:
        model: a serialized ONNX model, or a graph (run at batch 1, or any batch when it is batchable).
        outputs: tensors to return, in this order; default all outputs. With a graph, inner tensors too.
        threads: threads inside an operator; results do not depend on it beyond float rounding.
        optimize: False runs the nodes as they are. ONNX Runtime's own passes change a network that holds
            QuantizeLinear: its WeightBiasQuantization rounds float weights and biases to 8 and 32 bits.
        as_users: a key of `OPTIMIZATIONS`: the session is one that a user of the model opens at that level, with what
            ONNX Runtime makes of QuantizeLinear and DequantizeLinear there; `optimize` then says nothing.
        reuse: True lets the next run of the same input shapes overwrite the arrays of the last one: for loops that
            are done with them by then. It saves what the system charges for fresh memory, half of such a run.

    Raises:
        InputError: ONNX Runtime cannot run the model, or it has no such output.
    """

    def __init__(
        self,
        model: bytes | Graph,
        outputs: Iterable[str] | None = None,
        threads: int = 1,
        *,
        optimize: bool = True,
        as_users: str | None = None,
        reuse: bool = False,
    ) -> None:
        import onnxruntime  # noqa: PLC0415 - spares onnxruntime

        wanted = None if outputs is None else tuple(dict.fromkeys(outputs))
        data = _serialized(model, wanted or ()) if isinstance(model, Graph) else model
        options = quiet_options(threads, fuse_integers=as_users is not None)
        if as_users is not None:
            level = getattr(onnxruntime.GraphOptimizationLevel, OPTIMIZATIONS[as_users])
            options.graph_optimization_level = level
        elif not optimize:
            options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        # a plan of the memory of all inner tensors, which a run allocates as a whole beside what earlier runs have left
        options.enable_mem_pattern = not reuse
        try:
            self._session = onnxruntime.InferenceSession(
                data, options, providers=["CPUExecutionProvider"], enable_fallback=0
            )
        except runtime_errors() as error:
            raise InputError(f"ONNX Runtime cannot run this model: {first_line(error)}") from error
        if hasattr(self._session, "_model_bytes"):  # kept for a fallback to other providers, which is switched off
            self._session._model_bytes = None  # noqa: SLF001 - there is no other way, and it is the size of the model
        self._dtypes: dict[str, np.dtype[Any] | None] = {
            item.name: _DTYPES.get(item.type) for item in self._session.get_inputs()
        }
        given = tuple(item.name for item in self._session.get_outputs())
        unknown = [name for name in wanted or () if name not in given]
        if unknown:
            raise InputError(f"the model has no output '{unknown[0]}' (outputs: {', '.join(given)})")
        self.inputs: tuple[str, ...] = tuple(self._dtypes)
        self.outputs: tuple[str, ...] = given if wanted is None else wanted
        self._reuse = reuse
        self._kept: tuple[tuple[tuple[int, ...], ...], dict[str, Array]] | None = None  # input shapes, outputs

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """Return output name -> array, for inputs of any memory layout; floats are converted to the model's type.

        Raises:
            InputError: an input is missing or unknown, or its shape does not fit.
            SlimaiError: ONNX Runtime failed on valid inputs.
        """
        if set(feeds) != set(self.inputs):
            raise InputError(f"the model's inputs are {', '.join(self.inputs)} (got {', '.join(feeds) or 'none'})")
        if not self.outputs:
            return {}  # ONNX Runtime takes an empty list for all of them
        # not ascontiguousarray, which gives a scalar an axis
        ready = {name: np.asarray(value, dtype=self._dtypes[name], order="C") for name, value in feeds.items()}
        shapes = tuple(value.shape for value in ready.values())
        try:
            if self._kept is not None and self._kept[0] == shapes:
                return self._run_into(ready, self._kept[1])
            values = dict(zip(self.outputs, self._session.run(list(self.outputs), ready), strict=True))
        except runtime_errors() as error:
            kind = InputError if type(error).__name__ == "InvalidArgument" else SlimaiError
            raise kind(f"ONNX Runtime failed: {first_line(error)}") from error
        if self._reuse and all(value.dtype == np.float32 for value in values.values()):
            self._kept = shapes, values
        return values

    def _run_into(self, feeds: Mapping[str, Array], outputs: dict[str, Array]) -> dict[str, Array]:
        """Compute into the arrays `outputs` and return them."""
        binding = self._session.io_binding()
        for name, value in feeds.items():
            binding.bind_cpu_input(name, value)
        for name, array in outputs.items():
            binding.bind_output(name, "cpu", 0, np.float32, array.shape, array.ctypes.data)
        self._session.run_with_iobinding(binding)
        return dict(outputs)


def known_optimizations() -> tuple[str, ...]:
    """Return the keys of `OPTIMIZATIONS` that this version of ONNX Runtime has, from none on."""
    import onnxruntime  # noqa: PLC0415 - spares onnxruntime

    levels = onnxruntime.GraphOptimizationLevel
    return tuple(key for key, name in OPTIMIZATIONS.items() if hasattr(levels, name))


def runtime_version() -> str:
    """Return ONNX Runtime's version."""
    import onnxruntime  # noqa: PLC0415 - spares onnxruntime

    return str(onnxruntime.__version__)


def _serialized(graph: Graph, outputs: tuple[str, ...]) -> bytes:
    from slimai.graph.save import to_onnx  # noqa: PLC0415 - spares onnx

    unknown = [name for name in outputs if name not in graph.tensors]
    if unknown:
        raise InputError(f"network '{graph.name}' has no tensor '{unknown[0]}'")
    data: bytes = to_onnx(graph, extra_outputs=outputs, batch="N" if graph.batchable else 1).SerializeToString()
    return data


_DTYPES: dict[str, np.dtype[Any]] = {
    "tensor(float)": np.dtype(np.float32),
    "tensor(double)": np.dtype(np.float64),
    "tensor(float16)": np.dtype(np.float16),
    **{f"tensor({name})": np.dtype(name) for name in ("uint8", "int8", "uint16", "int16", "int32", "int64", "bool")},
}
