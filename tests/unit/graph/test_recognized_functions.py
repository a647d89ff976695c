"""Functions recognized in any spelling: ONNX Runtime on the file is the oracle; near misses stay as they are."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from spellings import NORMS, SOFTMAXES, SPELLINGS, Speller

from slimai.graph.load import load_onnx
from slimai.graph.passes import PASSES, run_pass, run_passes
from slimai.graph.passes.divide_to_multiply import DIVIDE_TO_MULTIPLY

TOLERANCE = 1e-4
SHAPES = ([1, 6], [1, 5, 6], [1, 6, 4, 5])
generated = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
few = settings(generated, max_examples=8)
CASES = [(op, spelling) for op, spellings in SPELLINGS.items() for spelling in spellings]
IDS = [spelling.__name__ for _, spelling in CASES]
SEEDS = st.integers(0, 2**32 - 1)


def ops(graph):
    return [node.op for node in graph.nodes]


def last_op(graph):
    return graph.producers[graph.outputs[0]].op


def spelled(build, spelling, shape, seed, *, shifted=None, layer=False, watched=None):
    """Return the file of a network that ends with the spelled function of its input, or of a layer's output."""
    s = Speller(seed, shifted)
    x = "x"
    if layer and len(shape) == 4:
        s.nodes.append(("Conv", ["x", "weight"], ["c"], {}))
        s.constants["weight"] = s.rng.normal(size=(6, 6, 1, 1)).astype(np.float32)
        s.shifted = None if shifted is None else shifted + 1
        x = "c"
    y = spelling(s, x)
    inner = [outputs[0] for _, _, outputs, _ in s.nodes if outputs[0] not in {y, "c"}]
    outputs = [y] if watched is None else [y, inner[watched % len(inner)]]
    return build(s.nodes, {"x": shape}, outputs, s.constants), s


@pytest.mark.parametrize(("op", "spelling"), CASES, ids=IDS)
@given(seed=SEEDS, shape=st.sampled_from(SHAPES), layer=st.booleans())
@generated
def test_a_spelling_becomes_the_operator(build, compare, op, spelling, seed, shape, layer):
    path, s = spelled(build, spelling, shape, seed, layer=layer)
    graph = load_onnx(path)
    if op == "HardSigmoid" and "weight" in s.constants:  # ONNX Runtime may fold its sums and factors: a clamp is left
        assert set(ops(graph)) <= {"Conv", "HardSigmoid", "Clip", "Add", "Mul"}
    else:
        assert ops(graph) == (["Conv", op] if "weight" in s.constants else [op])
    compare(path, graph, TOLERANCE)


@pytest.mark.parametrize(("op", "spelling"), CASES, ids=IDS)
@given(seed=SEEDS, data=st.data())
@generated
def test_another_constant_is_another_function(build, compare, op, spelling, seed, data):
    _, s = spelled(build, spelling, SHAPES[0], seed)
    if op == "HardSigmoid" or not s.constants:
        return
    shifted = data.draw(st.integers(0, len(s.constants) - 1))
    path, _ = spelled(build, spelling, SHAPES[0], seed, shifted=shifted)
    graph = load_onnx(path)
    assert last_op(graph) != op
    compare(path, graph, TOLERANCE, low=0.0)  # a broken power of a negative number is none


@pytest.mark.parametrize(("op", "spelling"), [case for case in CASES if case[0] != "HardSigmoid"],
                         ids=[name for name in IDS if not name.startswith("hard_sigmoid")])  # fmt: skip
@given(seed=SEEDS, watched=st.integers(0, 20))
@generated
def test_a_value_that_others_read_keeps_the_spelling(build, compare, op, spelling, seed, watched):
    path, _ = spelled(build, spelling, SHAPES[2], seed, watched=watched)
    graph = load_onnx(path)
    assert last_op(graph) != op
    assert any(line.endswith("is an output of the network") for line in graph.refusals)
    compare(path, graph, TOLERANCE)


def test_quick_gelu_is_no_gelu(build, compare):
    nodes = [("Mul", "xk", "a", {}), ("Sigmoid", "a", "s", {}), ("Mul", "xs", "y", {})]
    path = build(nodes, {"x": [1, 6]}, ["y"], {"k": np.float32(1.702)})
    graph = load_onnx(path)
    assert ops(graph) == ["Mul", "Sigmoid", "Mul"]
    compare(path, graph, TOLERANCE)


NEAR = {
    "a gate of another tensor": [("Sigmoid", "z", "s", {}), ("Mul", "xs", "y", {})],
    "a constant a channel": [
        ("Add", "xc", "a", {}), ("Clip", "alh", "p", {}), ("Mul", "xp", "m", {}), ("Mul", "mf", "y", {})],
    "a clamp of 0 and 1": [("Relu", "x", "r", {}), ("Min", "rw", "y", {})],
    "a sum cut at another top": [("Add", "xt", "a", {}), ("Clip", "alv", "p", {}), ("Mul", "pf", "y", {})],
    "a sum cut at another bottom": [("Add", "xt", "a", {}), ("Clip", "awh", "p", {}), ("Mul", "pf", "y", {})],
}  # fmt: skip


@pytest.mark.parametrize("case", NEAR)
def test_a_near_miss_is_left_alone(build, compare, case):
    constants = {"c": np.full((6, 1, 1), 3, np.float32), "l": 0.0, "h": 6.0, "f": 1 / 6, "w": 1.0, "t": 3.0, "v": 5.0}
    used = {name for _, inputs, _, _ in NEAR[case] for name in inputs}
    constants = {key: np.asarray(value, dtype=np.float32) for key, value in constants.items() if key in used}
    inputs = {name: [1, 6, 4, 5] for name in "xz" if name in used}
    path = build(NEAR[case], inputs, ["y"], constants)
    graph = load_onnx(path)
    assert not {"SiLU", "HardSwish", "HardSigmoid"} & set(ops(graph))
    compare(path, graph, TOLERANCE)


def test_a_clipped_first_hard_sigmoid_has_the_numbers_of_its_constants(build):
    nodes = [("Clip", "xlh", "c", {}), ("Mul", "cf", "m", {}), ("Add", "mt", "y", {})]
    constants = {"l": -2.0, "h": 3.0, "f": 0.2, "t": 0.4}
    constants = {key: np.float32(value) for key, value in constants.items()}
    (node,) = load_onnx(build(nodes, {"x": [1, 6]}, ["y"], constants)).nodes
    assert node.op == "HardSigmoid"
    assert (node.attrs["alpha"], node.attrs["beta"]) == (pytest.approx(0.2, rel=1e-6), pytest.approx(0.4, rel=1e-6))


PLACES = {"last": ([1, 5, 8], (-1,)), "last two": ([1, 3, 4, 6], (2, 3)), "channels": ([1, 6, 4, 5], (1,))}


def normed(build, spelling, place, seed, **kwargs):
    shape, axes = PLACES[place]
    s = Speller(seed)
    positive = [axis % len(shape) for axis in axes]
    row = [size if axis in positive else 1 for axis, size in enumerate(shape)][min(positive) :]
    gain, bias = s.rng.uniform(0.2, 3, row) * s.rng.choice([-1, 1], row), s.rng.normal(size=row)
    epsilon = float(s.rng.choice([1e-12, 1e-6, 1e-5, 1e-3]))
    y = spelling(s, "x", list(axes), epsilon, gain, bias)
    return build(s.nodes, {"x": shape}, [y], s.constants, **kwargs), s, epsilon


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("spelling", NORMS, ids=[item.__name__ for item in NORMS])
@given(seed=SEEDS)
@generated
def test_a_spelled_layer_norm_becomes_one(build, compare, spelling, place, seed):
    path, _, epsilon = normed(build, spelling, place, seed)
    graph = load_onnx(path)
    moves = ["Transpose"] * (place == "channels")
    assert ops(graph) == [*moves, "LayerNormalization", *moves]
    node = next(node for node in graph.nodes if node.op == "LayerNormalization")
    assert node.attrs["epsilon"] == pytest.approx(epsilon, rel=1e-6)
    compare(path, graph, TOLERANCE)


def test_gain_and_bias_of_a_spelled_layer_norm_are_its_constants_to_the_bit(build):
    path, s, _ = normed(build, NORMS[0], "last", 3)
    graph = load_onnx(path)
    _, gain, bias = (node := graph.nodes[0]).inputs
    rows = [value for value in s.constants.values() if value.size > 1]
    assert node.op == "LayerNormalization"
    np.testing.assert_array_equal(graph.constants[gain], rows[0])
    np.testing.assert_array_equal(np.abs(graph.constants[bias]), np.abs(rows[1]))


@pytest.mark.parametrize(("shape", "axis"), [([1, 5, 8], -1), ([1, 6, 4, 5], 1), ([1, 3, 4, 6], 2)], ids=str)
@pytest.mark.parametrize("spelling", SOFTMAXES, ids=[item.__name__ for item in SOFTMAXES])
@given(seed=SEEDS)
@generated
def test_a_spelled_softmax_becomes_one(build, compare, spelling, shape, axis, seed):
    s = Speller(seed)
    path = build(s.nodes, {"x": shape}, [spelling(s, "x", axis)], s.constants)
    graph = load_onnx(path)
    assert ops(graph) == ["Softmax"]
    assert graph.nodes[0].attrs["axis"] == axis % len(shape)
    compare(path, graph, TOLERANCE)


@pytest.mark.parametrize("case", ["another sum", "a factor in between", "squares", "an output in between"])
def test_what_is_no_softmax_stays(build, compare, case):
    s = Speller(1)
    powers = s.add("Exp", s.add("Sub", "x", s.add("ReduceMax", "x", axes=[-1], keepdims=1)))
    if case == "squares":
        powers = s.add("Mul", powers, powers)
    summed = s.add("Mul", powers, powers) if case == "another sum" else powers
    total = s.add("ReduceSum", summed, s.integers([-1]), keepdims=1)
    if case == "a factor in between":
        total = s.add("Mul", total, 1.5)
    outputs = [s.add("Div", powers, total)] + ([powers] if case == "an output in between" else [])
    path = build(s.nodes, {"x": [1, 5, 8]}, outputs, s.constants)
    graph = load_onnx(path)
    assert "Softmax" not in ops(graph)
    if case == "an output in between":
        assert any(line.startswith("fuse_softmax: ") and line.endswith("is an output of the network")
                   for line in graph.refusals)  # fmt: skip
    compare(path, graph, TOLERANCE)


def norm(*, mean=(-1,), variance=(-1,), gain=None):
    nodes = [
        ("ReduceMean", "x", "m", {"axes": list(mean)}), ("Sub", "xm", "d", {}), ("Mul", "dd", "q", {}),
        ("ReduceMean", "q", "v", {"axes": list(variance)}), ("Add", "ve", "w", {}), ("Sqrt", "w", "r", {}),
        ("Div", "dr", "n", {}), ("Mul", "ng", "y", {}),
    ]  # fmt: skip
    return nodes, {"e": np.float32(1e-5), "g": np.float32(2) if gain is None else gain}


NEAR_NORMS = {
    "means over other axes": (*norm(mean=(1,)), []),
    "the batch among the axes": (*norm(mean=(0, 2), variance=(0, 2)), []),
    "a gain a row": (*norm(gain=np.arange(1, 6, dtype=np.float32).reshape(5, 1)), ["LayerNormalization", "Mul"]),
    "no mean is subtracted": (
        [("Mul", "xx", "q", {}), ("ReduceMean", "q", "v", {"axes": [-1]}), ("Add", "ve", "w", {}),
         ("Sqrt", "w", "r", {}), ("Div", "xr", "y", {})], {"e": np.float32(1e-5)}, []),
}  # fmt: skip


@pytest.mark.parametrize("case", NEAR_NORMS)
def test_what_is_no_layer_norm_stays(build, compare, case):
    nodes, constants, wanted = NEAR_NORMS[case]
    path = build(nodes, {"x": [1, 5, 8]}, ["y"], constants)
    graph = load_onnx(path)
    assert [op for op in ops(graph) if op == "LayerNormalization"] == wanted[:1]
    compare(path, graph, TOLERANCE)


def test_a_layer_norm_with_a_watched_mean_stays(build, compare):
    nodes, constants = norm()
    path = build(nodes, {"x": [1, 5, 8]}, ["y", "m"], constants)
    graph = load_onnx(path)
    assert "LayerNormalization" not in ops(graph)
    assert "fuse_layer_norm: div6: 'm' is an output of the network" in graph.refusals
    compare(path, graph, TOLERANCE)


def test_division_by_a_constant_is_a_product(build, compare):
    nodes = [("Relu", "x", "r", {}), ("Div", "rk", "y", {})]
    path = build(nodes, {"x": [1, 6, 4, 5]}, ["y"], {"k": np.linspace(0.3, 9, 6, dtype=np.float32).reshape(6, 1, 1)})
    graph = load_onnx(path)
    assert ops(graph) == ["Relu", "Mul"]
    compare(path, graph, 1e-6)


@pytest.mark.parametrize("value", [0.0, 1e-42, 2.0**127, np.inf])
def test_a_constant_without_a_reciprocal_is_divided_by(build, value):
    nodes = [("Relu", "x", "r", {}), ("Div", "rk", "y", {})]
    before = load_onnx(build(nodes, {"x": [1, 6]}, ["y"], {"k": np.float32(value)}), optimize=False)
    graph, (change,) = run_pass(before, DIVIDE_TO_MULTIPLY)
    assert (change.applied, change.reason) == (False, "the divisor has no reciprocal in float32")
    assert ops(graph) == ["Relu", "Div"]


@few
@given(seed=SEEDS, turned_first=st.booleans(), channels_first=st.booleans())
def test_a_mean_that_is_turned_beside_its_tensor_is_part_of_the_norm(
    build, compare, seed, turned_first, channels_first
):
    """Transpose(x) - Transpose(mean(x)), in either order of the nodes, as ONNX Runtime's optimizer may leave it."""
    rng = np.random.default_rng(seed)
    size = int(rng.integers(2, 9))
    perm, axis = ([0, 2, 1], 1) if channels_first else ([0, 1, 2], 2)
    shape = [1, size, 3] if channels_first else [1, 3, size]
    turned = ("Transpose", "x", "t", {"perm": perm})
    mean = [("ReduceMean", "x", "m", {"axes": [axis]}), ("Transpose", "m", "n", {"perm": perm})]
    nodes = [turned, *mean] if turned_first else [*mean, turned]
    nodes += [("Sub", "tn", "d", {}), ("Mul", "dd", "q", {}), ("ReduceMean", "q", "v", {"axes": [2]}),
              ("Add", "ve", "w", {}), ("Sqrt", "w", "r", {}), ("Div", "dr", "y", {})]  # fmt: skip
    path = build(nodes, {"x": shape}, ["y"], {"e": np.float32(1e-7)})
    graph, _ = run_passes(load_onnx(path, optimize=False), PASSES)
    assert ops(graph) == ["Transpose"] * channels_first + ["LayerNormalization"]
    compare(path, graph, TOLERANCE)


def test_a_turned_mean_that_others_read_stays(build, compare):
    nodes = [("ReduceMean", "x", "m", {"axes": [1]}), ("Transpose", "m", "n", {"perm": [0, 2, 1]}),
             ("Transpose", "x", "t", {"perm": [0, 2, 1]}), ("Sub", "tn", "d", {}), ("Mul", "xm", "z", {})]  # fmt: skip
    path = build(nodes, {"x": [1, 4, 3]}, ["d", "z"], {})
    graph, _ = run_passes(load_onnx(path, optimize=False), PASSES)
    assert sorted(ops(graph)) == ["Mul", "ReduceMean", "Sub", "Transpose", "Transpose"]
    compare(path, graph, 1e-6)


@few
@given(
    seed=SEEDS,
    shape=st.sampled_from([[1, 4], [1, 3, 5], [1, 2, 3, 4]]),
    spelled_as=st.lists(st.booleans(), min_size=2, max_size=4),
)
def test_a_root_of_squares_is_one_operator(build, compare, seed, shape, spelled_as):
    """Of two to four parts, each squared by Mul or Pow, added from left to right or from right to left."""
    rng = np.random.default_rng(seed)
    parts, nodes, constants = "abcd"[: len(spelled_as)], [], {"p": np.float32(2.0)}
    for name, by_product in zip(parts, spelled_as, strict=True):
        constants[name.upper()] = rng.normal(size=shape[1:]).astype(np.float32)
        nodes.append(("Mul", f"x{name.upper()}", name, {}))
        square = name * 2 if by_product else f"{name}p"
        nodes.append(("Mul" if by_product else "Pow", square, [f"{name}2"], {}))
    total = f"{parts[0]}2"
    for number, name in enumerate(parts[1:]):
        pair = [total, f"{name}2"] if rng.random() < 0.5 else [f"{name}2", total]
        total = f"sum{number}"
        nodes.append(("Add", pair, [total], {}))
    path = build([*nodes, ("Sqrt", [total], "y", {})], {"x": shape}, ["y"], constants)
    graph = load_onnx(path)
    assert [op for op in ops(graph) if op in {"Sqrt", "Pow", "ReduceL2"}] == ["ReduceL2"]
    compare(path, graph, 1e-5)


ROOTS = {
    "something else added": ([("Mul", "xx", "a", {}), ("Add", "ax", "s", {}), ("Sqrt", "s", "y", {})], ["y"]),
    "one square": ([("Mul", "xx", "a", {}), ("Sqrt", "a", "y", {})], ["y"]),
    "a watched sum": (
        [("Mul", "xx", "a", {}), ("Mul", "xk", "b", {}), ("Mul", "bb", "c", {}), ("Add", "ac", "s", {}),
         ("Sqrt", "s", "y", {})], ["y", "s"]),
}  # fmt: skip


@pytest.mark.parametrize("case", ROOTS)
def test_other_roots_stay(build, case):
    nodes, outputs = ROOTS[case]
    graph = load_onnx(build(nodes, {"x": [1, 6]}, outputs, {"k": np.float32(3.0)}))
    assert "ReduceL2" not in ops(graph)
    assert "Sqrt" in ops(graph)
