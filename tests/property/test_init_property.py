"""Whatever legal ONNX network: the preset that init writes validates with its files, or one refusal says why not."""

from __future__ import annotations

import io
import os
import tempfile
from contextlib import chdir, redirect_stderr, redirect_stdout
from pathlib import Path

import numpy as np
import onnx
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper

import slimai
from slimai.app import cli

FLOATS = (TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.DOUBLE)
OTHERS = (TensorProto.INT8, TensorProto.UINT8, TensorProto.INT32, TensorProto.INT64, TensorProto.BOOL)
SIDES = st.sampled_from([1, 2, 3, 4, 8, 20])


@st.composite
def networks(draw) -> onnx.ModelProto:
    """Return a network of one to three inputs of any rank and type, each reshaped, scaled and given out."""
    inputs, outputs, nodes = [], [], []
    for place in range(draw(st.integers(1, 3))):
        shape = [draw(SIDES) for _ in range(draw(st.integers(0, 5)))]
        if shape and draw(st.booleans()):
            shape[0] = 1
        open_axes = {axis for axis in range(len(shape)) if draw(st.integers(0, 5)) == 0}
        declared = [f"d{place}_{axis}" if axis in open_axes else size for axis, size in enumerate(shape)]
        kind = draw(st.sampled_from((*FLOATS, *FLOATS, *FLOATS, *OTHERS)))
        name = draw(st.sampled_from(["x", "input:0", "a/b", "模型", "in put"])) + str(place)
        inputs.append(helper.make_tensor_value_info(name, kind, declared))
        nodes.append(helper.make_node("Cast", [name], [f"c{place}"], to=TensorProto.FLOAT))
        nodes.append(helper.make_node(draw(st.sampled_from(["Relu", "Sigmoid", "Exp"])), [f"c{place}"], [f"y{place}"]))
        outputs.append(helper.make_tensor_value_info(f"y{place}", TensorProto.FLOAT, None))
    graph = helper.make_graph(nodes, "net", inputs, outputs)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)


@settings(max_examples=25, deadline=None)
@given(networks(), st.sampled_from(["none", "pictures", "arrays"]))
def test_the_preset_validates_or_one_refusal_says_why(model, samples):
    with tempfile.TemporaryDirectory() as place, chdir(place):
        onnx.save(model, "net.onnx")
        words = ["init", "net.onnx"]
        if samples != "none":
            Path("samples").mkdir()
            for number in range(3):
                _sample(samples, model, number)
            words += ["--images", "samples"]
        said, told = io.StringIO(), io.StringIO()
        with redirect_stdout(said), redirect_stderr(told):
            code = cli.main(words)
        if code == 0:
            assert [item for item in slimai.validate("+model=net", deep=True) if item.severity == "error"] == []
        else:
            assert code == 2, told.getvalue()
            assert told.getvalue().strip()
            assert "internal error" not in told.getvalue()
            assert not os.path.exists("conf")  # noqa: PTH110 - nothing is half written
            assert not os.path.exists("lists")  # noqa: PTH110


def _sample(samples, model, number):
    if samples == "pictures":
        from PIL import Image

        Image.fromarray(np.full((20, 20, 3), number * 40, np.uint8)).save(f"samples/{number}.png")
        return
    sizes = [dim.dim_value or 2 for dim in model.graph.input[0].type.tensor_type.shape.dim]
    np.save(f"samples/{number}.npy", np.full(sizes, number, np.float32))
