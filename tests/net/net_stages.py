"""One network through slimai's stages in this process, and through ONNX Runtime beside it."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
import onnx
from net_builder import Case

from slimai.calibration.collect import collect
from slimai.calibration.statistics import Statistics
from slimai.graph.ir import Graph
from slimai.graph.load import load_onnx
from slimai.graph.save import to_onnx
from slimai.quantizer.layers import quantized_tensors
from slimai.quantizer.options import QuantOptions
from slimai.quantizer.plan import QuantPlan
from slimai.quantizer.planner import build_plan
from slimai.quantizer.qdq import to_qdq
from slimai.quantizer.weight_store import WeightStore
from slimai.schema.target import TargetSection
from slimai.simulator.program import Program, compile_plan

Arrays = dict[str, np.ndarray]
TARGET = TargetSection()


def session(model: onnx.ModelProto):
    """Return ONNX Runtime's session of a model, node by node, without its own optimizations."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def run_all(model: onnx.ModelProto, feeds) -> list[Arrays]:
    """Return the outputs of a model for each sample, by name."""
    ready = session(model)
    names = [item.name for item in ready.get_outputs()]
    return [dict(zip(names, ready.run(names, item), strict=True)) for item in feeds]


def without_node_names(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return a copy whose nodes have no names: ONNX Runtime refuses equal ones, which exporters write."""
    plain = onnx.ModelProto()
    plain.CopyFrom(model)
    for node in plain.graph.node:
        node.name = ""
    return plain


def runs(stages: Stages) -> bool:
    """Return whether ONNX Runtime runs the network as it was written, and to finite values: it is the oracle."""
    from slimai.graph.optimize import runtime_errors

    try:
        return all(np.isfinite(value).all() for item in stages.expected for value in item.values())
    except runtime_errors():
        return False


@dataclass
class Level:
    """One accuracy level of a network: its plan, its program, and what both give for each sample."""

    plan: QuantPlan
    program: Program
    feeds: tuple[Arrays, ...]

    @cached_property
    def integers(self) -> list[Arrays]:
        """Outputs as the target holds them."""
        return [self.program.run(item) for item in self.feeds]

    @cached_property
    def outputs(self) -> list[Arrays]:
        """Outputs as real values."""
        return [self.program.dequantize(item) for item in self.integers]

    @cached_property
    def exported(self) -> list[Arrays]:
        """Outputs of the exported model on ONNX Runtime."""
        return run_all(to_qdq(self.plan), self.feeds)


@dataclass
class Stages:
    """Everything that is asked of one network, made on first use."""

    case: Case
    _levels: dict[int, Level] = field(default_factory=dict)
    _store: WeightStore = field(default_factory=WeightStore)

    @cached_property
    def expected(self) -> list[Arrays]:
        """Outputs of the network as it was written, on ONNX Runtime."""
        return run_all(without_node_names(self.case.model), self.case.feeds)

    @cached_property
    def graph(self) -> Graph:
        """The network as slimai reads it."""
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "net.onnx"
            path.write_bytes(self.case.model.SerializeToString())
            return load_onnx(path)

    @cached_property
    def saved(self) -> onnx.ModelProto:
        """The float network as slimai saves it."""
        return to_onnx(self.graph)

    @cached_property
    def statistics(self) -> Statistics:
        """Calibration over the samples."""
        return collect(self.graph, self.case.feeds, tensors=quantized_tensors(self.graph))

    def level(self, number: int) -> Level:
        """Return one accuracy level, without aids."""
        if number not in self._levels:
            plan = build_plan(self.graph, self.statistics, QuantOptions(level=number), TARGET, self._store)
            self._levels[number] = Level(plan, compile_plan(plan, TARGET), self.case.feeds)
        return self._levels[number]
