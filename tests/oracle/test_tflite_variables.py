"""Variables of TFLite files as states, step by step against LiteRT's reference kernels."""

from __future__ import annotations

import numpy as np
import pytest
from tflite_builder import Step, Subgraph, Tensor, build_network, reference_interpreter

from slimai.errors import UnsupportedError
from slimai.graph.load import load_onnx
from slimai.graph.tflite.load import load_tflite
from slimai.quantizer.prequantized import stored_plan
from slimai.runtime.session import FloatSession
from slimai.schema.target import TargetSection
from slimai.simulator.program import compile_plan

CHANNELS, KEPT, STEPS = 4, 3, 12
X_SCALE, Y_SCALE = 0.05, 0.11


def file(
    *, dtype="int8", first=None, scale=X_SCALE, late=False, twice=False, unread=False, once=True, kept_as_is=False
) -> bytes:
    """Return a streaming network: what is kept of earlier steps is joined to the input, then summed by weights.

    first: what the variable begins with. scale: of what is assigned. late: a second read, behind the assignment, is an
    output. twice: another handle of the same name reads. unread: a second variable is assigned that nobody reads.
    once: the variable is filled by CALL_ONCE. kept_as_is: no step assigns it.
    """
    rng = np.random.default_rng(0)
    real = dtype == "float32"
    grid = {} if real else {"scale": X_SCALE, "zero_point": 3}
    whole, kept = (1, KEPT + 1, CHANNELS), (1, KEPT, CHANNELS)
    tensors = [
        Tensor("x", (1, 1, CHANNELS), dtype, **grid),
        Tensor("handle", (), "resource"),
        Tensor("held", kept, dtype, **grid),
        Tensor("joined", whole, dtype, **grid),
        *(Tensor(name, (3,), "int32", data=np.array(value, np.int32))
          for name, value in (("begin", [0, 1, 0]), ("end", [0, 0, 0]), ("by", [1, 1, 1]))),
        Tensor("rest", kept, dtype, **({} if real else {"scale": scale, "zero_point": 3})),
        Tensor("shape", (2,), "int32", data=np.array([1, whole[1] * CHANNELS], np.int32)),
        Tensor("flat", (1, whole[1] * CHANNELS), dtype, **grid),
        Tensor("w", (2, whole[1] * CHANNELS), dtype,
               data=rng.normal(0, 1, (2, whole[1] * CHANNELS)).astype(np.float32) if real else
               rng.integers(-127, 128, (2, whole[1] * CHANNELS)).astype(np.int8),
               **({} if real else {"scale": 0.01})),
        Tensor("y", (1, 2), dtype, **({} if real else {"scale": Y_SCALE, "zero_point": -5})),
    ]  # fmt: skip
    steps = [
        Step("VAR_HANDLE", [], [1], "VarHandle", {"SharedName": "buffer"}),
        Step("READ_VARIABLE", [1], [2], "ReadVariable"),
        Step("CONCATENATION", [2, 0], [3], "Concatenation", {"Axis": 1}),
        Step("STRIDED_SLICE", [3, 4, 5, 6], [7], "StridedSlice", {"BeginMask": 5, "EndMask": 7}),
        Step("ASSIGN_VARIABLE", [1, 7], [], "AssignVariable"),
        Step("RESHAPE", [3, 8], [9]),
        Step("FULLY_CONNECTED", [9, 10, -1], [11], "FullyConnected", version=4),
    ]
    outputs = [11]
    if kept_as_is:
        steps = [item for item in steps if item.operator != "ASSIGN_VARIABLE"]
    if late:
        tensors.append(Tensor("now", kept, dtype, **grid))
        steps.append(Step("READ_VARIABLE", [1], [len(tensors) - 1], "ReadVariable"))
        outputs.append(len(tensors) - 1)
    if twice:
        tensors += [Tensor("other", (), "resource"), Tensor("again", kept, dtype, **grid)]
        number = len(tensors) - 1
        steps.insert(2, Step("VAR_HANDLE", [], [number - 1], "VarHandle", {"SharedName": "buffer"}))
        steps.insert(3, Step("READ_VARIABLE", [number - 1], [number], "ReadVariable"))
        outputs.append(number)
    if unread:
        tensors.append(Tensor("lost", (), "resource"))
        steps.append(Step("VAR_HANDLE", [], [len(tensors) - 1], "VarHandle", {"SharedName": "lost"}))
        steps.append(Step("ASSIGN_VARIABLE", [len(tensors) - 1, 7], [], "AssignVariable"))
    more = ()
    if once:
        zero = 0 if real else 3
        values = np.full(kept, zero, dtype) if first is None else np.full(kept, first, dtype)
        more = (Subgraph(
            [Tensor("handle", (), "resource"), Tensor("zeros", kept, dtype, data=values, **grid)],
            [Step("VAR_HANDLE", [], [0], "VarHandle", {"SharedName": "buffer"}),
             Step("ASSIGN_VARIABLE", [0, 1], [], "AssignVariable")],
        ),)  # fmt: skip
        steps.insert(0, Step("CALL_ONCE", [], [], "CallOnce", {"InitSubgraphIndex": 1}))
    return build_network(tensors, steps, [0], outputs, more)


def litert(model: bytes, feeds) -> list[list[np.ndarray]]:
    """Return the outputs of each step."""
    interpreter = reference_interpreter(model)
    found = []
    for feed in feeds:
        interpreter.set_tensor(interpreter.get_input_details()[0]["index"], feed)
        interpreter.invoke()
        found.append([interpreter.get_tensor(item["index"]) for item in interpreter.get_output_details()])
    return found


FORMS = [{}, {"late": True}, {"twice": True}, {"unread": True}, {"late": True, "twice": True, "unread": True}]


@pytest.mark.parametrize("form", FORMS, ids=lambda form: "-".join(form) or "plain")
def test_every_step_has_litert_s_integers(tmp_path, form):
    path = tmp_path / "net.tflite"
    path.write_bytes(file(**form))
    rng = np.random.default_rng(1)
    feeds = [rng.integers(-128, 128, (1, 1, CHANNELS)).astype(np.int8) for _ in range(STEPS)]
    wanted = litert(path.read_bytes(), feeds)
    plan = stored_plan(load_tflite(path))
    graph, program = plan.graph, compile_plan(plan, TargetSection(), arithmetic="gemmlowp")
    assert graph.states == {"held": "rest"}
    assert graph.inputs == ("x", "held")
    assert not program.host_layers
    own = {"y": 0, **({"rest": 1} if "late" in form else {}), **({"held": -1} if "twice" in form else {})}
    held = np.full(graph.shape("held"), plan.tensors["held"].zero_point, np.int8)
    for feed, outputs in zip(feeds, wanted, strict=True):
        found = program.run({"x": feed, "held": held})
        for name, place in own.items():
            np.testing.assert_array_equal(found[name], outputs[place], err_msg=name)
        held = found["rest"]


def test_a_float_network_has_litert_s_values(tmp_path):
    path = tmp_path / "net.tflite"
    path.write_bytes(file(dtype="float32"))
    rng = np.random.default_rng(2)
    feeds = [rng.normal(0, 1, (1, 1, CHANNELS)).astype(np.float32) for _ in range(STEPS)]
    graph = load_onnx(path)
    assert graph.states == {"held": "rest"}
    session, held = FloatSession(graph), np.zeros(graph.shape("held"), np.float32)
    for feed, (wanted,) in zip(feeds, litert(path.read_bytes(), feeds), strict=True):
        found = session.run({"x": feed, "held": held})
        np.testing.assert_allclose(found["y"], wanted, rtol=0, atol=1e-5)
        held = found["rest"]


def test_a_network_that_ends_earlier_keeps_what_its_states_take_over(tmp_path):
    path = tmp_path / "net.tflite"
    path.write_bytes(file())
    graph = load_tflite(path, cut_outputs=["joined"]).graph
    assert graph.states == {"held": "rest"}
    assert graph.outputs == ("joined", "rest")


def test_a_variable_that_nothing_fills_begins_with_zeros(tmp_path):
    path = tmp_path / "net.tflite"
    path.write_bytes(file(once=False))
    assert load_tflite(path).graph.states == {"held": "rest"}


@pytest.mark.parametrize("dtype", ["int8", "float32"])
def test_a_variable_that_no_step_assigns_is_a_constant(tmp_path, dtype):
    """Integers exactly, float within 1e-4 of values up to 300."""
    path = tmp_path / "net.tflite"
    path.write_bytes(file(dtype=dtype, first=7, kept_as_is=True))
    rng = np.random.default_rng(3)
    feed = rng.normal(0, 50, (1, 1, CHANNELS)).clip(-128, 127).astype(dtype)
    ((wanted,),) = litert(path.read_bytes(), [feed])
    if dtype == "float32":
        graph = load_onnx(path)
        found = FloatSession(graph).run({"x": feed})["y"]
        np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-4)
    else:
        plan = stored_plan(load_tflite(path))
        graph = plan.graph
        found = compile_plan(plan, TargetSection(), arithmetic="gemmlowp").run({"x": feed})["y"]
        np.testing.assert_array_equal(found, wanted)
    assert graph.inputs == ("x",)
    assert not graph.states


@pytest.mark.parametrize(
    ("form", "message"),
    [
        ({"first": 4}, "that begins with other values; a state of a network begins with zeros"),
        ({"scale": 0.2}, "that is written as int8 [1, 3, 4] at scale 0.2 and read as int8 [1, 3, 4] at scale 0.05"),
    ],
)
def test_what_is_no_state_is_refused_by_name(tmp_path, form, message):
    path = tmp_path / "net.tflite"
    path.write_bytes(file(**form))
    with pytest.raises(UnsupportedError) as error:
        load_tflite(path)
    assert str(error.value) == f"{path}: buffer: a variable {message}"
