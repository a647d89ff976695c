"""A float network at every level against ONNX Runtime on the file itself, without its optimizations."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper

from slimai.calibration.collect import collect
from slimai.graph.load import load_onnx
from slimai.quantizer.options import QuantOptions
from slimai.quantizer.planner import build_plan
from slimai.runtime.session import FloatSession
from slimai.schema.target import TargetSection
from slimai.simulator.program import compile_plan

F32 = np.float32
LEVELS = (0, 1, 2, 3, 4)


def network(nodes, inputs, outputs, constants=None, opset=17, ir=8) -> onnx.ModelProto:
    """Return a model of (op, inputs, outputs, attributes) tuples with float inputs."""
    protos = [
        helper.make_node(op, list(ins), list(outs), name=f"{op.lower()}{place}", **attrs)
        for place, (op, ins, outs, attrs) in enumerate(nodes)
    ]
    graph = helper.make_graph(
        protos,
        "case",
        [helper.make_tensor_value_info(key, TensorProto.FLOAT, shape) for key, shape in inputs.items()],
        [helper.make_tensor_value_info(key, TensorProto.FLOAT, None) for key in outputs],
        [numpy_helper.from_array(np.asarray(value), key) for key, value in (constants or {}).items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=ir)


def plain_session(model: bytes) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4
    return ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])


class Case:
    """A model on disk, its samples, and what ONNX Runtime makes of them."""

    def __init__(self, folder: Path, model: onnx.ModelProto | Path, feeds: list[dict]) -> None:
        self.path, self.feeds = folder / "case.onnx" if isinstance(model, onnx.ModelProto) else model, feeds
        if isinstance(model, onnx.ModelProto):
            onnx.save(model, self.path)
        session = plain_session(self.path.read_bytes())
        names = [item.name for item in session.get_outputs()]
        self.wanted = [dict(zip(names, session.run(None, feed), strict=True)) for feed in feeds]
        self.graph = load_onnx(self.path)
        self.stats = collect(self.graph, feeds)

    def check_float(self, tolerance=1e-4) -> None:
        """The network that the front end made of the file computes what the file computes."""
        session = FloatSession(self.graph)
        for feed, wanted in zip(self.feeds, self.wanted, strict=True):
            found = session.run(feed)
            for name, value in wanted.items():
                assert found[name].shape == value.shape, name
                scale = np.abs(value[np.isfinite(value)]).max(initial=1e-30)
                np.testing.assert_allclose(found[name], value, rtol=0, atol=tolerance * scale)

    def error(self, level, arithmetic="native", **options) -> dict[str, tuple[float, float, float]]:
        """Return output -> (largest error / largest value, largest error in output steps, SQNR in dB)."""
        plan = build_plan(self.graph, self.stats, QuantOptions(level=level, **options), TargetSection())
        program = compile_plan(plan, TargetSection(), arithmetic=arithmetic)
        found = [program.dequantize(program.run(feed)) for feed in self.feeds]
        result = {}
        for name in self.wanted[0]:
            got, want = (np.stack([item[name] for item in items]).astype(np.float64) for items in (found, self.wanted))
            assert got.shape == want.shape, f"level {level}: {name}"
            worst, power = np.abs(got - want).max(), float((want**2).sum())
            step = plan.tensors[name].scale if name in plan.tensors else np.inf
            noise = float(((got - want) ** 2).sum())
            decibels = np.inf if noise == 0 else 10 * np.log10(max(power, 1e-300) / noise)
            result[name] = (worst / max(np.abs(want).max(), 1e-30), worst / step, decibels)
        return result

    def check_levels(self, eight: float, levels=LEVELS, arithmetic="native", steps=2.0) -> None:
        """Level 4: 50 dB or `steps` output steps. 8 bits: `eight` of the largest value, or `steps` output steps."""
        for level in levels:
            for name, (relative, places, decibels) in self.error(level, arithmetic).items():
                good = decibels >= 50 if level == 4 else relative <= eight
                assert good or places <= steps, (
                    f"level {level} {name}: {relative:.3g} of the largest, {places:.1f} steps, {decibels:.1f} dB"
                )


def samples(rng, shapes, count=4, low=-1.0, high=1.0) -> list[dict]:
    return [{name: rng.uniform(low, high, shape).astype(F32) for name, shape in shapes.items()} for _ in range(count)]
