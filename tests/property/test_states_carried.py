"""States handed on from step to step: one long run, in float and in integers.

Oracle of the float network: all steps unrolled into one ONNX model on ONNX Runtime (1e-4 of the largest value; other
fusions, and the error of a step goes into the next). Of the integer network: the program itself, called once a step
with integers that are handed on here, exactly; and the exported QDQ model on ONNX Runtime, which has the same grids.
"""

from __future__ import annotations

import numpy as np
import onnx
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from slimai.calibration.collect import collect
from slimai.graph.load import load_onnx
from slimai.graph.samples import run_samples
from slimai.graph.states import with_states
from slimai.quantizer.layers import quantized_tensors, weighted_inputs
from slimai.quantizer.options import QuantOptions
from slimai.quantizer.planner import build_plan
from slimai.quantizer.qdq import to_qdq
from slimai.runtime.session import FloatSession
from slimai.schema.network import InputNode
from slimai.schema.target import TargetSection
from slimai.simulator.program import compile_plan


class Cell:
    """One drawn step: nodes from x and the states to y and what is handed on.

    kind ring: a buffer of the last columns in front of a convolution; elman: a tanh cell; host: a state of any leading
    dimension that only an operator on the host reads, through moves; lead: one that integer operators read.
    """

    def __init__(self, draw):
        self.rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
        self.kinds = draw(st.lists(st.sampled_from(["ring", "elman", "host", "lead"]), min_size=1, max_size=2))
        self.steps = draw(st.integers(3, 9))
        self.wide = draw(st.integers(1, 4))
        self.inputs, self.states, self.outputs, self.nodes, self.constants = {}, {}, {}, [], {}
        for place, kind in enumerate(self.kinds):
            getattr(self, kind)(place, draw(st.integers(1, 3)))

    def constant(self, name, value):
        self.constants[name] = value
        return name

    def weights(self, name, *shape):
        value = self.rng.normal(size=shape) / np.sqrt(np.prod(shape[:-1]))
        return self.constant(name, value.astype(np.float32))

    def add(self, op, inputs, outputs, **attrs):
        self.nodes.append(helper.make_node(op, inputs, outputs, name=f"n{len(self.nodes)}", **attrs))

    def ring(self, at, size):
        x, s, out = f"x{at}", f"cache{at}", f"cache{at}_out"
        self.inputs[x], self.states[s] = (1, self.wide, 1), (out, (1, self.wide, size))
        bounds = [self.constant(f"b{at}_{key}", np.array([value])) for key, value in (("a", 1), ("b", 99), ("c", 2))]
        self.add("Concat", [s, x], [f"j{at}"], axis=2)
        self.add("Slice", [f"j{at}", *bounds], [out])
        kernel = (self.rng.normal(size=(3, self.wide, size + 1)) / 2).astype(np.float32)
        self.add("Conv", [f"j{at}", self.constant(f"k{at}", kernel)], [f"y{at}"])
        self.outputs[f"y{at}"] = (1, 3, 1)

    def elman(self, at, size):
        x, s, out = f"x{at}", f"h{at}", f"h{at}_out"
        self.inputs[x], self.states[s] = (1, self.wide), (out, (1, 4 * size))
        self.add("MatMul", [x, self.weights(f"u{at}", self.wide, 4 * size)], [f"a{at}"])
        self.add("MatMul", [s, self.weights(f"v{at}", 4 * size, 4 * size)], [f"r{at}"])
        self.add("Add", [f"a{at}", f"r{at}"], [f"p{at}"])
        self.add("Tanh", [f"p{at}"], [out])
        self.add("MatMul", [out, self.weights(f"o{at}", 4 * size, 3)], [f"y{at}"])
        self.outputs[f"y{at}"] = (1, 3)

    def host(self, at, size):
        x, s, out = f"x{at}", f"c{at}", f"c{at}_out"
        self.inputs[x], self.states[s] = (1, size + 1, self.wide), (out, (size + 1, 1, self.wide))
        self.add("Transpose", [s], [f"t{at}"], perm=[1, 0, 2])
        half = self.constant(f"half{at}", np.array(0.7, np.float32))
        self.add("Sin", [f"t{at}"], [f"q{at}"])  # no integer kernel
        self.add("Cos", [x], [f"e{at}"])
        self.add("Mod", [f"q{at}", half], [f"m{at}"], fmod=1)
        self.add("Mod", [f"e{at}", half], [f"w{at}"], fmod=1)
        self.add("Atan", [f"m{at}"], [f"z{at}"])
        self.add("Transpose", [f"z{at}"], [out], perm=[1, 0, 2])
        self.add("MatMul", [f"w{at}", self.weights(f"o{at}", self.wide, 3)], [f"y{at}"])
        self.outputs[f"y{at}"] = (1, size + 1, 3)

    def lead(self, at, size):
        x, s, out = f"x{at}", f"state{at}", f"state{at}_out"
        self.inputs[x], self.states[s] = (size + 1, self.wide), (out, (size + 1, self.wide))
        keep = self.constant(f"keep{at}", np.full((1,), 0.8, np.float32))
        self.add("Mul", [s, keep], [f"d{at}"])
        self.add("Add", [f"d{at}", x], [f"a{at}"])
        self.add("Sigmoid", [f"a{at}"], [out])
        self.add("MatMul", [out, self.weights(f"o{at}", self.wide, 3)], [f"y{at}"])
        self.outputs[f"y{at}"] = (size + 1, 3)

    def model(self):
        return _model(
            self.nodes,
            {**self.inputs, **{name: shape for name, (_, shape) in self.states.items()}},
            {**self.outputs, **dict(self.states.values())},
            self.constants,
        )

    def unrolled(self):
        """Return one model of all steps: its inputs are x@0, x@1 ..., the first states zeros."""
        nodes, inputs, outputs = [], {}, {}
        constants = {
            **self.constants,
            **{f"{name}@0": np.zeros(shape, np.float32) for name, (_, shape) in self.states.items()},
        }
        for step in range(self.steps):
            names = {name: f"{out}@{step - 1}" if step else f"{name}@0" for name, (out, _) in self.states.items()}

            def at(name, step=step, names=names):
                return name if not name or name in self.constants else names.get(name, f"{name}@{step}")

            for node in self.nodes:
                copy = onnx.NodeProto()
                copy.CopyFrom(node)
                copy.name = f"{node.name}@{step}"
                copy.input[:], copy.output[:] = (
                    [at(name) for name in node.input],
                    [f"{name}@{step}" for name in node.output],
                )
                nodes.append(copy)
            inputs |= {f"{name}@{step}": shape for name, shape in self.inputs.items()}
            given = {**self.outputs, **dict(self.states.values())}
            outputs |= {f"{name}@{step}": shape for name, shape in given.items()}
        return _model(nodes, inputs, outputs, constants)

    def samples(self, count):
        """Return x [count, steps, ...] and zeros of the states [count, ...]."""
        found = {}
        for name, shape in self.inputs.items():
            own = shape[1:] if shape[:1] == (1,) else shape
            found[name] = self.rng.normal(size=(count, self.steps, *own)).astype(np.float32)
        for name, (_, shape) in self.states.items():
            own = shape[1:] if shape[:1] == (1,) else shape
            found[name] = np.zeros((count, *own), np.float32)
        return found


def _model(nodes, inputs, outputs, constants):
    def infos(shapes):
        return [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in shapes.items()]

    tensors = [numpy_helper.from_array(value, name) for name, value in constants.items()]
    graph = helper.make_graph(nodes, "g", infos(inputs), infos(outputs), tensors)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


@st.composite
def cells(draw):
    return Cell(draw)


def loaded(cell, folder):
    path = folder / "m.onnx"
    onnx.save(cell.model(), path)
    return with_states(load_onnx(path), {name: InputNode(seq=True) for name in cell.inputs})


@settings(
    max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(cell=cells(), level=st.sampled_from([1, 3, 4]))
def test_carried_states_are_one_long_run(tmp_path, cell, level):
    graph = loaded(cell, tmp_path)
    assert set(graph.states) == set(cell.states)
    feeds = cell.samples(2)
    session = FloatSession(graph)
    found = run_samples(graph, session.run, feeds)
    long = FloatSession(cell.unrolled().SerializeToString(), optimize=False)
    for sample in range(2):
        rows = {
            f"{name}@{step}": feeds[name][sample, step].reshape(shape)
            for name, shape in cell.inputs.items()
            for step in range(cell.steps)
        }
        truth = long.run(rows)
        for name in graph.outputs:
            for step in range(cell.steps):
                wanted = truth[f"{name}@{step}"]
                got = found[name][sample, step].reshape(wanted.shape)
                np.testing.assert_allclose(got, wanted, rtol=0, atol=1e-4 * max(1.0, np.abs(wanted).max()))
    program = integer_program(graph, feeds, level)
    _tied_states(graph, program, cell)
    _handed_on(graph, program, feeds)
    _near_the_export(graph, program, feeds, level)


def integer_program(graph, feeds, level):
    batches = [{name: value[row : row + 1] for name, value in feeds.items()} for row in range(2)]
    stats = collect(graph, batches, tensors=quantized_tensors(graph), per_channel=weighted_inputs(graph))
    assert stats.images == 2
    plan = build_plan(graph, stats, QuantOptions(level=level), TargetSection())
    return compile_plan(plan, TargetSection())


def _tied_states(graph, program, cell):
    tensors = program.plan.tensors
    for state, output in graph.states.items():
        if state in tensors and output in tensors:
            assert tensors[state] == tensors[output]
    for at, kind in enumerate(cell.kinds):
        if kind == "host":
            assert not {f"c{at}", f"c{at}_out"} & tensors.keys(), "a state that only the host reads is not rounded"


def _handed_on(graph, program, feeds):
    """Compare with a loop of single runs, sample by sample, that hands integers on as they are."""
    found = program.samples(feeds)
    for sample in range(2):
        held = {name: feeds[name][sample].reshape(graph.shape(name)) for name in graph.states}
        for step in range(next(feeds[name].shape[1] for name in graph.sequences)):
            x = {name: feeds[name][sample, step].reshape(graph.shape(name)) for name in graph.sequences}
            once = program.run({**x, **held})
            for name, value in once.items():
                np.testing.assert_array_equal(found[name][sample, step].ravel(), value.ravel())
            held = {state: once[output] for state, output in graph.states.items()}


def _near_the_export(graph, program, feeds, level):
    """Compare with the exported model, which gives real values: they are on the grid, and may be some steps off.

    One step of the sum in front of a Tanh is about three of the state, and is carried on from step to step.
    """
    session = FloatSession(to_qdq(program.plan).SerializeToString(), optimize=False)
    exported = run_samples(graph, session.run, feeds)
    ours = program.dequantize(program.samples(feeds))
    for name in graph.outputs:
        step = program.plan.tensors[name].scale if name in program.plan.tensors else 1e-4
        most = np.abs(ours[name] - exported[name]).max() / step
        assert most <= (24 if level < 4 else 64), (name, most)
