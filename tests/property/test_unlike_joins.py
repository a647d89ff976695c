"""Generated ends of detectors: pixels beside scores in one output, written in every way that exporters write them.

ONNX Runtime's float network is the oracle: scores stay near it at every level, by themselves, whatever the boxes are.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from slimai.calibration.collect import collect
from slimai.graph.load import load_onnx
from slimai.quantizer.options import QuantOptions
from slimai.quantizer.planner import build_plan
from slimai.schema.target import TargetSection
from slimai.simulator.program import compile_plan

SIDE = 6
PLACES = SIDE * SIDE
WRITTEN = ("concat", "stack", "factors", "padded", "scatter", "where", "folded")
MOVED = ("none", "transpose", "reshape", "slice", "split", "unsqueeze")


@dataclass(frozen=True)
class End:
    """How the end of a network is written. reach: of the boxes, scores reach 1. heads: joined along the places."""

    written: str = "concat"
    moved: str = "none"
    places_first: bool = False
    classes: int = 3
    reach: float = 320.0
    heads: int = 1
    seed: int = 0


class Writer:
    """Nodes of a model, one after another."""

    def __init__(self, end: End) -> None:
        self.end, self.rng = end, np.random.default_rng(end.seed)
        self.nodes, self.constants, self.count = [], [], 0

    def constant(self, value, dtype=np.float32) -> str:
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(value, dtype), name))
        return name

    def node(self, op, *inputs, outputs=1, **attrs):
        names = [f"t{self.count + index}" for index in range(outputs)]
        self.count += outputs
        self.nodes.append(helper.make_node(op, list(inputs), names, f"n{len(self.nodes)}_{op}", **attrs))
        return names[0] if outputs == 1 else names

    def head(self, channels: int, bias=0.0, factors=()) -> str:
        """Return [1, channels, places], or [1, places, channels], of a convolution."""
        weights = self.constant(self.rng.normal(size=(channels, 4, 1, 1)))
        maps = self.node("Conv", "x", weights, self.constant(np.full(channels, bias)))
        if len(factors):
            maps = self.node("Mul", maps, self.constant(np.reshape(factors, (1, -1, 1, 1))))
        flat = self.node("Reshape", maps, self.constant([1, channels, PLACES], np.int64))
        return self.node("Transpose", flat, perm=[0, 2, 1]) if self.end.places_first else flat

    @property
    def axis(self) -> int:
        return 2 if self.end.places_first else 1

    def lengths(self, values) -> str:
        """Return a constant with one value a channel."""
        return self.constant(np.reshape(values, (1, 1, -1) if self.end.places_first else (1, -1, 1)))

    def pads(self, before: int, after: int) -> str:
        places = [0, 0, before] if self.end.places_first else [0, before, 0]
        behind = [0, 0, after] if self.end.places_first else [0, after, 0]
        return self.constant([*places, *behind], np.int64)

    def joined(self) -> str:
        classes, reach = self.end.classes, self.end.reach
        factors = [reach] * 4 + [1.0] * classes
        if self.end.written == "folded":
            return self.head(4 + classes, factors=factors)
        if self.end.written == "factors":
            values = self.node("Sigmoid", self.head(4 + classes))
            larger = self.node("Mul", values, self.lengths(factors))
            return self.node("Add", larger, self.lengths([reach / 4] * 4 + [0.0] * classes))
        boxes = self.node("Mul", self.node("Sigmoid", self.head(4)), self.constant(reach))
        scores = self.node("Sigmoid", self.head(classes, -1.0))
        write = {"stack": self._stacked, "padded": self._padded, "where": self._padded, "scatter": self._scattered}
        if self.end.written in write:
            return write[self.end.written](boxes, scores)
        return self.node("Concat", boxes, scores, axis=self.axis)

    def _padded(self, boxes: str, scores: str) -> str:
        """Return the parts beside each other, by Where or by Add."""
        wide, high = self.node("Pad", boxes, self.pads(0, self.end.classes)), self.node("Pad", scores, self.pads(4, 0))
        if self.end.written == "padded":
            return self.node("Add", wide, high)
        mask = [True] * 4 + [False] * self.end.classes
        shape = (1, 1, -1) if self.end.places_first else (1, -1, 1)
        return self.node("Where", self.constant(np.reshape(mask, shape), bool), wide, high)

    def _stacked(self, boxes: str, scores: str) -> str:
        parts = []
        for source, count in ((boxes, 4), (scores, self.end.classes)):
            pieces = self.node("Split", source, self.constant([1] * count, np.int64), outputs=count, axis=self.axis)
            for piece in pieces if count > 1 else [pieces]:
                line = self.node("Squeeze", piece, self.constant([self.axis], np.int64))
                parts.append(self.node("Unsqueeze", line, self.constant([self.axis], np.int64)))
        return self.node("Concat", *parts, axis=self.axis)

    def _scattered(self, boxes: str, scores: str) -> str:
        classes = self.end.classes
        shape = (1, PLACES, 4 + classes) if self.end.places_first else (1, 4 + classes, PLACES)
        indices = np.stack(np.meshgrid(*(np.arange(size) for size in shape), indexing="ij"), axis=-1)
        part = indices[:, :, :4] if self.end.places_first else indices[:, :4]
        whole = self.node("Concat", self.node("Sigmoid", self.head(4)), scores, axis=self.axis)
        return self.node("ScatterND", whole, self.constant(part, np.int64), boxes)

    def outputs(self) -> list[str]:
        parts = [self.joined() for _ in range(self.end.heads)]
        along = 3 - self.axis
        whole = parts[0] if len(parts) == 1 else self.node("Concat", *parts, axis=along)
        kind, total = 4 + self.end.classes, PLACES * self.end.heads
        if self.end.moved == "transpose":
            return [self.node("Transpose", whole, perm=[0, 2, 1])]
        if self.end.moved == "reshape":
            sizes = [1, total, 1, kind] if self.end.places_first else [1, kind, 1, total]
            return [self.node("Reshape", whole, self.constant(sizes, np.int64))]
        if self.end.moved == "slice":
            begin, stop, axes = (self.constant([value], np.int64) for value in (0, total - 3, along))
            return [self.node("Slice", whole, begin, stop, axes)]
        if self.end.moved == "split":
            return self.node("Split", whole, self.constant([4, kind - 4], np.int64), outputs=2, axis=self.axis)
        if self.end.moved == "unsqueeze":
            return [self.node("Unsqueeze", whole, self.constant([1], np.int64))]
        return [whole]


def model(end: End) -> onnx.ModelProto:
    writer = Writer(end)
    outputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in writer.outputs()]
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 4, SIDE, SIDE])]
    graph = helper.make_graph(writer.nodes, "end", inputs, outputs, writer.constants)
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return onnx.shape_inference.infer_shapes(made)


def scores(end: End, outputs: list[np.ndarray]) -> np.ndarray:
    """Return the scores in an output, flat."""
    if len(outputs) == 2:
        return outputs[1].reshape(-1)
    kind = 4 + end.classes
    axis = next(place for place, size in enumerate(outputs[0].shape) if size == kind)
    return np.take(outputs[0], range(4, kind), axis=axis).reshape(-1)


def levels_of(end: End, folder, levels=(0, 1, 2, 3)):
    """Yield (level, plan, float scores, integer network's scores) on pictures that calibration has not seen."""
    import onnxruntime

    path = folder / "end.onnx"
    onnx.save(model(end), path)
    graph = load_onnx(path, batch_of_one=True)
    rng = np.random.default_rng(end.seed + 1)
    pictures = [{"x": rng.normal(size=(1, 4, SIDE, SIDE)).astype(np.float32)} for _ in range(12)]
    stats = collect(graph, pictures[:8])
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    wanted = np.concatenate([scores(end, session.run(None, feeds)) for feeds in pictures[8:]])
    for level in levels:
        plan = build_plan(graph, stats, QuantOptions(level=level))
        program = compile_plan(plan, TargetSection())
        found = []
        for feeds in pictures[8:]:
            made = program.dequantize(program.run(feeds))
            found.append(scores(end, [made[name] for name in graph.outputs]))
        yield level, plan, wanted, np.concatenate(found)


ENDS = st.builds(
    End,
    written=st.sampled_from(WRITTEN),
    moved=st.sampled_from(MOVED),
    places_first=st.booleans(),
    classes=st.sampled_from([1, 2, 5]),
    reach=st.sampled_from([48.0, 96.0, 320.0, 640.0, 1333.0]),
    heads=st.sampled_from([1, 1, 2, 3]),
    seed=st.integers(0, 1000),
)


def check(end: End, folder) -> None:
    """Compare the scores of every level with float: a few 8-bit steps of their own, and steps of the 16-bit join."""
    for level, plan, wanted, found in levels_of(end, folder):
        error = float(np.sqrt(np.square(wanted - found).mean()))
        own = float(np.abs(wanted).max()) / 127
        grids = [plan.tensors[name] for name in plan.graph.outputs]
        assert {grid.dtype.name for grid in grids} == {"s16"}
        step = 2 * max(grid.scale for grid in grids)
        assert error <= 3.0 * own + step, (level, error, own, step)


@given(ENDS)
@example(End("factors", "transpose"))
@example(End("scatter", "split", places_first=True, reach=640.0))
@example(End("stack", "reshape", heads=3, reach=640.0))
@example(End("folded", "none", reach=640.0))
@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_scores_beside_boxes_stay_near_float_at_every_level(tmp_path_factory, end):
    check(end, tmp_path_factory.mktemp("end"))


@pytest.mark.slow
@given(ENDS)
@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_many_ends(tmp_path_factory, end):
    check(end, tmp_path_factory.mktemp("end"))
