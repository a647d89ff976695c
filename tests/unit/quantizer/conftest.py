"""Small float networks built by hand, and statistics with chosen limits."""

import numpy as np
import pytest

from slimai.calibration.histogram import HistogramBuilder
from slimai.calibration.statistics import Statistics, TensorStatistics
from slimai.graph.ir import Graph, Node, TensorInfo


class Net:
    """Collects nodes; every tensor is [1, C, H, W] unless a shape is given."""

    def __init__(self, shape=(1, 4, 8, 8)):
        self.nodes, self.tensors, self.constants = [], {}, {}
        self.inputs = ()
        self.add_input("x", shape)

    def add_input(self, name, shape):
        self.tensors[name] = TensorInfo(name, shape)
        self.inputs += (name,)

    def const(self, name, value):
        value = np.asarray(value, np.float32)
        self.constants[name] = value
        self.tensors[name] = TensorInfo(name, value.shape)
        return name

    def node(self, op, inputs, output, dims=None, dtype="float32", **attrs):
        outputs = (output,) if isinstance(output, str) else tuple(output)
        for name in outputs:
            self.tensors[name] = TensorInfo(name, dims or self.tensors[inputs[0]].shape, dtype)
        self.nodes.append(Node(f"n_{outputs[0]}", op, tuple(inputs), outputs, attrs))
        return output

    def conv(self, x, output, weight, bias=None, group=1):
        inputs = [x, self.const(f"{output}_w", weight)]
        if bias is not None:
            inputs.append(self.const(f"{output}_b", bias))
        n, _, *spatial = self.tensors[x].shape
        return self.node(
            "Conv",
            inputs,
            output,
            (n, np.shape(weight)[0], *spatial),
            strides=(1, 1),
            dilations=(1, 1),
            pads=(0, 0, 0, 0),
            group=group,
        )

    def graph(self, *outputs):
        return Graph("net", tuple(self.nodes), self.inputs, outputs, self.tensors, self.constants)


@pytest.fixture
def net():
    return Net


@pytest.fixture(scope="session")
def net_class():
    """Return the same as `net`, for generated tests."""
    return Net


@pytest.fixture
def stats_of():
    def make(bins=64, **limits):
        tensors = {}
        for name, values in limits.items():
            builder = HistogramBuilder(2 * bins)
            builder.add(np.array(values, np.float32))
            tensors[name] = TensorStatistics(builder.result())
        return Statistics(tensors, 1, bins)

    return make


@pytest.fixture
def rng():
    return np.random.default_rng(7)
