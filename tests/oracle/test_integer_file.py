"""The file of integers is enough by itself: a reader that imports nothing of the project computes every tensor from it.

Oracle: `integer_reader`, NumPy and Python integers alone. Every integer of every tensor is equal to the simulator's.
"""

from __future__ import annotations

import ast
import zlib
from pathlib import Path

import gate_functions
import integer_reader
import numpy as np
import onnx
import pytest
import reader_arithmetic
import reader_functions
import reader_layers
import reader_pools
import reader_softmax
import recurrent_reader
from hypothesis import given, settings
from hypothesis import strategies as st
from operators import SAMPLES, integer_case

from slimai.calibration.collect import channel_magnitudes, collect
from slimai.codegen.vectors import noise
from slimai.data.array_file import read_npz
from slimai.graph.load import load_onnx
from slimai.quantizer.options import QuantOptions
from slimai.quantizer.planner import build_plan
from slimai.quantizer.prequantized import preset_as_stored
from slimai.quantizer.quantized_file import load_quantized
from slimai.quantizer.rewrites.clustering import cluster_channels
from slimai.schema.target import TargetSection
from slimai.simulator.integer_file import integer_file, smallest, stored_tables
from slimai.simulator.program import compile_plan

SHARED = ("kws_dscnn.onnx", "resnet8_cifar10.onnx")
STORED = ("kws_ref_model_int8", "resnet8_cifar10_int8", "ad01_int8", "hello_world_int8", "mobilenet_v1_0.25_128_quant")
NORMALIZATIONS = ("LayerNormalization", "InstanceNormalization")
PRESETS = ("native", "xi_sym", "single", "gemmlowp", "tflite_s64")


def imported(module):
    tree = ast.parse(Path(module.__file__).read_text(encoding="utf-8"))
    found = [node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)]
    return {
        name for node in found for name in ([node.module] if isinstance(node, ast.ImportFrom) else _names(node))
    }  # fmt: skip


def _names(node):
    return [item.name for item in node.names]


def test_the_reader_knows_nothing_of_the_project():
    parts = {"reader_arithmetic", "reader_functions", "reader_layers", "reader_pools", "reader_softmax"}
    assert imported(integer_reader) == {"copy", "json", "math", "numpy", "recurrent_reader", *parts}
    assert imported(reader_arithmetic) == {"numpy"}
    assert imported(reader_functions) == {"math", "numpy", "reader_arithmetic"}
    assert imported(reader_softmax) == {"numpy", "reader_arithmetic"}
    assert imported(reader_pools) == {"math", "numpy", "reader_arithmetic"}
    assert imported(reader_layers) == {"math", "numpy", "reader_arithmetic"}
    assert imported(recurrent_reader) == {"numpy", "gate_functions"}
    assert imported(gate_functions) == {"__future__", "math", "functools"}


@pytest.mark.parametrize("bits", [32, 16])
@pytest.mark.parametrize("dtype", ["s8", "u8", "s16"])
@pytest.mark.parametrize("op", ["LSTM", "GRU"])
def test_it_computes_recurrent_layers(tmp_path, op, dtype, bits):
    for number, sample in enumerate(SAMPLES[op]):
        rng = np.random.default_rng(zlib.crc32(f"{op} {dtype} {bits} {number}".encode()))
        plan, feeds, _ = integer_case(op, sample, "xi_sym", dtype, rng)
        target = TargetSection(acc_bits=bits)
        program = compile_plan(plan, target, arithmetic="xi_sym")
        np.savez(tmp_path / "net.npz", **integer_file(program, target))
        names = [name for name in plan.layers[0].outputs if name]
        expected = program.run(feeds, capture=names)
        real = {name: plan.tensors[name].dequantize(feeds[name]) for name in plan.graph.inputs}
        found = integer_reader.run(tmp_path / "net.npz", real)
        for name in names:
            np.testing.assert_array_equal(found[name], expected[name], err_msg=f"{name} of sample {number}")


def images(graph, seed, count=3):
    """Return feeds that look like pictures, and at last one of extremes."""
    rng = np.random.default_rng(seed)
    feeds = [{name: rng.normal(0.2, 0.7, graph.shape(name)).astype(np.float32) for name in graph.inputs}]
    feeds += [{name: rng.uniform(-1, 1, graph.shape(name)).astype(np.float32) for name in graph.inputs}] * (count - 2)
    return [*feeds, {name: rng.choice([-9.0, 9.0], graph.shape(name)).astype(np.float32) for name in graph.inputs}]


def compare(graph, path, level, arithmetic="native", target=None, seed=1):
    """Run both on a file of the network and compare every tensor."""
    target = target or TargetSection()
    feeds = images(graph, seed)
    plan = build_plan(graph, collect(graph, feeds[:2], per_channel=True), QuantOptions(level=level), target)
    program = compile_plan(plan, target, arithmetic=arithmetic)
    assert not program.host_layers
    np.savez(path, **integer_file(program, target))
    names = [name for layer in plan.layers for name in layer.outputs]
    for feed in (feeds[0], feeds[-1]):
        expected, found = program.run(feed, capture=names), integer_reader.run(path, feed)
        for name in names:
            np.testing.assert_array_equal(found[name], expected[name], err_msg=f"{name}, level {level}")
    return program


@pytest.mark.parametrize("level", range(5))
@pytest.mark.parametrize("model", ["mobilenet_digits", "unet_digits"])
def test_it_computes_the_examples(repo_root, tmp_path, model, level):
    compare(load_onnx(repo_root / f"examples/data/models/{model}.onnx"), tmp_path / "net.npz", level)


@pytest.mark.shared
@pytest.mark.parametrize("level", range(5))
@pytest.mark.parametrize("model", SHARED)
def test_it_computes_real_networks(shared_data, tmp_path, model, level):
    compare(load_onnx(shared_data / "models/onnx" / model), tmp_path / "net.npz", level)


@pytest.mark.shared
@pytest.mark.parametrize("model", STORED)
def test_it_computes_stored_networks(shared_data, tmp_path, model):
    """TFLite networks are NHWC; their integers are the file's own."""
    target = TargetSection()
    plan = load_quantized(shared_data / f"models/tflite/{model}.tflite")
    program = compile_plan(plan, target, arithmetic=preset_as_stored(plan, target))
    np.savez(tmp_path / "net.npz", **integer_file(program, target))
    grids = {name: plan.tensors[name] for name in plan.graph.inputs}
    names = [name for layer in plan.layers for name in layer.outputs]
    for sample in noise(program, 2):
        expected = program.run(sample, capture=names)
        feed = {name: grids[name].dequantize(value) for name, value in sample.items()}
        found = integer_reader.run(tmp_path / "net.npz", feed)
        for name in names:
            np.testing.assert_array_equal(found[name], expected[name], err_msg=name)


class _Drawn:
    """A network being drawn: nodes and constants, and a source of numbers."""

    def __init__(self, draw):
        self.draw, self.nodes, self.constants = draw, [], {}
        self.rng = np.random.default_rng(draw(st.integers(0, 2**31)))

    def const(self, value):
        name = f"c{len(self.constants)}"
        self.constants[name] = np.asarray(value)
        return name

    def normal(self, *shape, scale=1.0):
        return self.const((self.rng.normal(size=shape) * scale).astype(np.float32))

    def node(self, op, *inputs, **attributes):
        self.nodes.append(onnx.helper.make_node(op, list(inputs), [f"t{len(self.nodes)}"], **attributes))
        return f"t{len(self.nodes) - 1}"

    def stem(self, channels):
        """Add a convolution with an activation."""
        draw, kernel = self.draw, self.draw(st.sampled_from([1, 3]))
        pads = [draw(st.integers(0, kernel // 2)) for _ in range(4)]
        weight = self.normal(channels, 3, kernel, kernel, scale=self.rng.uniform(0.1, 3))
        strides = draw(st.sampled_from([[1, 1], [2, 1]]))
        near = zip((6, 7), pads[:2], pads[2:], strides, strict=True)
        self.space = [(size + first + last - kernel) // stride + 1 for size, first, last, stride in near]
        x = self.node("Conv", "x", weight, self.normal(channels), pads=pads, strides=strides)
        kinds = ["Relu", "Sigmoid", "Tanh", "HardSwish", "LeakyRelu", "Clip", "PRelu", "none"]
        kind = draw(st.sampled_from(kinds))
        if kind == "none":
            return x
        further = {
            "Clip": lambda: [self.const(np.float32(-0.5)), self.const(np.float32(2.0))],
            "PRelu": lambda: [self.normal(channels, 1, 1, scale=0.3)],
        }
        return self.node(kind, x, *further.get(kind, list)())

    def branch(self, x, channels):
        """Add a layer that keeps the shape."""
        kind = self.draw(st.sampled_from(["depthwise", "MaxPool", "AveragePool", "Mul", *NORMALIZATIONS]))
        if kind == "InstanceNormalization":
            return self.node(kind, x, self.normal(channels), self.normal(channels), epsilon=self.epsilon())
        if kind == "LayerNormalization":
            gain, bias = self.normal(*self.space), self.normal(*self.space)
            return self.node(kind, x, gain, bias, axis=2, epsilon=self.epsilon())
        if kind == "depthwise":
            return self.node("Conv", x, self.normal(channels, 1, 3, 3), group=channels, pads=[1] * 4)
        if kind == "Mul":
            return self.node("Mul", x, self.normal(channels, 1, 1))
        return self.node(kind, x, kernel_shape=[3, 3], pads=[1] * 4)

    def epsilon(self):
        return self.draw(st.sampled_from([1e-12, 1e-5, 1e-3]))

    def tail(self, x, size):
        """Add what the network ends with."""
        places = self.draw(st.sampled_from(["asymmetric", "half_pixel", "align_corners"]))
        tails = {
            "nearest": lambda: self._resized(x, "nearest", "asymmetric"),
            "linear": lambda: self._resized(x, "linear", places),
            "transpose": lambda: self.node("Transpose", x, perm=[0, 2, 3, 1]),
            "pad": lambda: self.node("Pad", x, self.const(np.array([0, 0, 1, 0, 0, 0, 0, 2]))),
            "up": lambda: self.node("ConvTranspose", x, self.normal(size, 2, 2, 2), strides=[2, 2]),
            "head": lambda: self._head(x, size),
        }
        return tails[self.draw(st.sampled_from(sorted(tails)))]()

    def _resized(self, x, mode, places):
        scales = self.const(np.array([1, 1, 2, 1.5], np.float32))
        return self.node("Resize", x, "", scales, mode=mode, coordinate_transformation_mode=places)

    def _head(self, x, size):
        flat = self.node("Flatten", self.node("GlobalAveragePool", x))
        return self.node("Softmax", self.node("Gemm", flat, self.normal(size, 5)), axis=1)


def network(draw):
    """Draw a network with branches: convolutions, pools, joins of unlike grids, functions, moves, Softmax."""
    drawn, channels, make = _Drawn(draw), draw(st.sampled_from([2, 4])), onnx.helper
    stem = drawn.stem(channels)
    branches = [stem, *(drawn.branch(stem, channels) for _ in range(draw(st.integers(1, 2))))]
    join = draw(st.sampled_from(["Concat", "Add", "Sub", "Div"]))
    whole = drawn.node("Concat", *branches, axis=1) if join == "Concat" else drawn.node(join, *branches[:2])
    last = drawn.tail(whole, channels * (len(branches) if join == "Concat" else 1))
    graph = make.make_graph(
        drawn.nodes,
        "net",
        [make.make_tensor_value_info("x", 1, [1, 3, 6, 7])],
        [make.make_tensor_value_info(last, 1, None)],
        [onnx.numpy_helper.from_array(value, name) for name, value in drawn.constants.items()],
    )
    return make.make_model(graph, opset_imports=[make.make_opsetid("", 17)], ir_version=9)


@given(st.data())
@settings(max_examples=40, deadline=None)
def test_it_computes_drawn_networks(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("drawn")
    onnx.save(network(data.draw), folder / "net.onnx")
    level, preset = data.draw(st.integers(0, 4)), data.draw(st.sampled_from(PRESETS))
    bits = data.draw(st.sampled_from([32, 32, 20]))
    target = TargetSection(acc_bits=bits)
    compare(load_onnx(folder / "net.onnx"), folder / "net.npz", level, preset, target, data.draw(st.integers(0, 99)))


def test_channels_with_limits_of_their_own_are_in_the_file(repo_root, tmp_path):
    graph = load_onnx(repo_root / "examples/data/models/mobilenet_digits.onnx")
    clustered = cluster_channels(graph, channel_magnitudes(graph, images(graph, 3)), everywhere=True).graph
    compare(clustered, tmp_path / "net.npz", 3)


def test_another_integer_in_the_file_is_seen(repo_root, tmp_path):
    """The reader reads the tables: one other multiplier gives other integers."""
    path = tmp_path / "net.npz"
    graph = load_onnx(repo_root / "examples/data/models/mobilenet_digits.onnx")
    program = compare(graph, path, 3)
    feed = images(graph, 1)[0]
    before = integer_reader.run(path, feed)
    arrays = dict(read_npz(path))
    key = next(key for key in arrays if key.endswith("/multiplier"))
    arrays[key] = arrays[key] // 2
    np.savez(path, **arrays)
    after = integer_reader.run(path, feed)
    assert any(not np.array_equal(after[name], before[name]) for name in program.plan.graph.outputs)


def test_what_is_compared_with_a_model_is_what_the_program_gives(repo_root, tmp_path):
    program = compare(load_onnx(repo_root / "examples/data/models/unet_digits.onnx"), tmp_path / "net.npz", 3)
    stored, own = stored_tables(read_npz(tmp_path / "net.npz")), program.table()
    assert stored.keys() == own.keys()
    for key, table in own.items():
        np.testing.assert_array_equal(stored[key], table)


@given(st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1, max_size=5))
def test_integers_have_the_smallest_type_that_holds_them(values):
    array = np.array(values, np.int64)
    found = smallest(array)
    np.testing.assert_array_equal(found, array)
    for name in ("int8", "uint8", "int16", "uint16", "int32", "uint32"):
        kind = np.iinfo(name)
        if kind.min <= min(values) and max(values) <= kind.max:
            assert found.dtype.itemsize <= np.dtype(name).itemsize
