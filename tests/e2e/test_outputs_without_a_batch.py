"""A whole job on outputs without a batch axis, of rank 0 and 1, constant and four-dimensional: no value is lost.

Oracle: ONNX Runtime on the file, read back from the blobs; float blobs 1e-4 of the largest value over all images (six
digits are printed, the network is rewritten), fixed ones 3 % at 8 bits and 0.1 % at 16.
"""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from slimai.blobs.octrl import read_octrl
from slimai.blobs.reader import read_blob
from slimai.runtime.session import FloatSession

SHAPES = {
    "boxes": (5, 4), "scores": (5,), "count": (), "grid": (2, 3, 4, 5), "priors": (3, 2), "rows": (1, 9), "one": (1,),
}  # fmt: skip
# N, C, H, W of each blob: four axes of a tensor without a batch are its own N, H, W, C
BLOBS = {
    "boxes": (1, 4, 1, 5), "scores": (1, 5, 1, 1), "count": (1, 1, 1, 1), "grid": (2, 5, 3, 4), "priors": (1, 2, 1, 3),
    "rows": (1, 9, 1, 1), "one": (1, 1, 1, 1),
}  # fmt: skip


def write(path):
    rng = np.random.default_rng(3)
    names = [name for name in SHAPES if name != "priors"]
    values = {f"w_{name}": rng.normal(size=(7, int(np.prod(SHAPES[name])))).astype(np.float32) for name in names}
    values |= {f"s_{name}": np.array(SHAPES[name], np.int64) for name in names}
    values["priors"] = rng.normal(size=SHAPES["priors"]).astype(np.float32)
    nodes = [helper.make_node("Relu", ["a"], ["r"])]
    for name in names:
        nodes.append(helper.make_node("MatMul", ["r", f"w_{name}"], [f"m_{name}"], name=f"mm_{name}"))
        nodes.append(helper.make_node("Reshape", [f"m_{name}", f"s_{name}"], [name], name=f"reshape_{name}"))
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("a", TensorProto.FLOAT, [1, 7])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in SHAPES.items()],
        [numpy_helper.from_array(value, name) for name, value in values.items()],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


@pytest.fixture(scope="module")
def finished(tmp_path_factory, slimai, cache_dir):
    folder = tmp_path_factory.mktemp("job")
    model = write(folder / "m.onnx")
    rng = np.random.default_rng(0)
    images = [rng.normal(size=(1, 7)).astype(np.float32) for _ in range(4)]
    for place, image in enumerate(images):
        np.save(folder / f"s{place}.npy", image)
    (folder / "list.txt").write_text("4\n" + "".join(f"s{place}.npy\n" for place in range(4)))
    (folder / "job.yaml").write_text(
        f"path: {{image_dir: ., output_dir: out, tmp_dir: {cache_dir}}}\n"
        "network: {name: net, input_model: m.onnx, class: Other, input_data_layout: NonImage}\n"
        "dataset: {calibration_set: list.txt, validation_set: list.txt}\n"
        "quantization: {accuracy_level: [1, 4]}\n"
        "metric: {metric_cls: cosine, output_debug: 3}\n"
    )
    done = slimai("--config-dir", ".", "--config-name", "job", cwd=folder, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    oracle = FloatSession(model.read_bytes(), optimize=False)
    return folder / "out", [oracle.run({"a": image}) for image in images]


def test_every_output_is_named(finished):
    assert read_octrl(finished[0] / "output_control.octrl") == tuple(SHAPES)


@pytest.mark.parametrize(("place", "tolerance"), [("net_ref", 1e-4), ("acc1/net_100", 0.03), ("acc4/net_100", 1e-3)])
def test_every_value_is_in_its_blob(finished, place, tolerance):
    folder, truth = finished
    largest = {name: max(float(np.abs(outputs[name]).max()) for outputs in truth) for name in SHAPES}
    for number, outputs in enumerate(truth):
        for name, value in outputs.items():
            blob = read_blob(folder / place / f"s{number}_{name}.blob")
            assert blob.numbers.shape == BLOBS[name]
            found = blob.real(SHAPES[name])
            assert found.shape == SHAPES[name]
            np.testing.assert_allclose(found, value, rtol=0, atol=tolerance * largest[name])


def test_the_report_is_whole(finished):
    page = (finished[0] / "report.html").read_text()
    assert all(name in page for name in SHAPES if name != "priors")


def test_the_log_says_how_blobs_hold_them(finished):
    log = (finished[0] / "slimai.log").read_text()
    start = "the model gives {} no batch axis; its blobs hold it as N H W C = {}"
    assert f"output boxes: {start.format('[5, 4]', '1 1 5 4')}" in log
    assert f"output count: {start.format('[]', '1 1 1 1')}" in log
    assert f"output grid: {start.format('[2, 3, 4, 5]', '2 3 4 5')}" in log
    assert "output rows" not in log
