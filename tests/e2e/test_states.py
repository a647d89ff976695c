"""Whole jobs on sequences: states carried over 120 steps, in one process and in two, and what is refused.

Oracle: ONNX Runtime on the file, one step after the other in a loop here; float blobs 1e-4 of the largest value (six
digits are printed). The integers keep their distance to float: the last steps lose at most 3 dB on the first ones.
"""

from __future__ import annotations

import json

import numpy as np
import onnx
import pytest
import yaml
from onnx import TensorProto, helper, numpy_helper

from slimai.blobs.reader import read_blob
from slimai.runtime.session import FloatSession

STEPS, SAMPLES = 120, 5


def cell(path, table=None):
    """Write a cell with three states: a ring buffer (1, 4, 2) before a convolution, h (1, 8) of a tanh cell, and c.

    c of (2, 1, 8) is read and written by the host alone, through moves. table: rows of an embedding that tokens index.
    """
    rng = np.random.default_rng(5)
    constants = {
        "k": rng.normal(size=(6, 4, 3)) / 3, "w": rng.normal(size=(6, 8)) / 2, "u": rng.normal(size=(8, 8)) / 4,
        "o": rng.normal(size=(8, 3)), "p": np.ones((8,)) * 0.3,
    }  # fmt: skip
    constants = {name: value.astype(np.float32) for name, value in constants.items()}
    constants |= {"a": np.array([1]), "e": np.array([9]), "axis": np.array([2]), "flat": np.array([1, 6])}
    constants |= {"first": np.array([0]), "second": np.array([1]), "third": np.array([2]), "row": np.array([1, 8])}
    add = helper.make_node
    nodes = [
        add("Concat", ["cache", "x"], ["j"], axis=2, name="join"),
        add("Slice", ["j", "a", "e", "axis"], ["cache_out"], name="keep"),
        add("Conv", ["j", "k"], ["f"], name="conv"),
        add("Relu", ["f"], ["r"], name="relu"),
        add("Reshape", ["r", "flat"], ["g"], name="flatten"),
        add("MatMul", ["g", "w"], ["v"], name="in"),
        add("MatMul", ["h", "u"], ["t"], name="again"),
        add("Add", ["v", "t"], ["s"], name="sum"),
        add("Tanh", ["s"], ["hn"], name="tanh"),
        add("MatMul", ["hn", "o"], ["y"], name="head"),
        add("Slice", ["c", "first", "second", "first"], ["c0"], name="cut0"),
        add("Slice", ["c", "second", "third", "first"], ["c1"], name="cut1"),
        add("Sin", ["c0"], ["s0"], name="sin0"),
        add("Cos", ["c1"], ["s1"], name="cos1"),
        add("Concat", ["s0", "s1"], ["cn"], axis=0, name="both"),
    ]
    inputs = {"x": [1, 4, 1], "cache": [1, 4, 2], "h": [1, 8], "c": [2, 1, 8]}
    kinds = dict.fromkeys(inputs, TensorProto.FLOAT)
    if table is not None:
        constants["table"] = rng.normal(size=(table, 4)).astype(np.float32)
        constants["column"] = np.array([1, 4, 1])
        first = [
            add("Gather", ["table", "x"], ["m"], name="embedding"),
            add("Reshape", ["m", "column"], ["xf"], name="col"),
        ]
        nodes[0].input[1] = "xf"
        nodes = [*first, *nodes]
        inputs["x"], kinds["x"] = [1, 1], TensorProto.INT64
    outputs = {"y": [1, 3], "cache_out": [1, 4, 2], "hn": [1, 8], "cn": [2, 1, 8]}
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info(name, kinds[name], shape) for name, shape in inputs.items()],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in outputs.items()],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


STATES = {"cache": ("cache_out", (1, 4, 2)), "h": ("hn", (1, 8)), "c": ("cn", (2, 1, 8))}


def folder_of(folder, cache_dir, sequences, table=None, node="{seq: true}", list_text=None):
    cell(folder / "m.onnx", table)
    for place, sequence in enumerate(sequences):
        np.save(folder / f"s{place}.npy", sequence)
    text = list_text or f"{len(sequences)}\n" + "".join(f"s{place}.npy\n" for place in range(len(sequences)))
    (folder / "list.txt").write_text(text)
    (folder / "job.yaml").write_text(
        f"path: {{image_dir: ., output_dir: out, tmp_dir: {cache_dir}}}\n"
        "network: {name: net, input_model: m.onnx, class: Other, input_data_layout: NonImage,\n"
        f"  input_node_name: {{x: {node}}}}}\n"
        "dataset: {calibration_set: list.txt, validation_set: list.txt}\n"
        "quantization: {accuracy_level: [1, 3, 4]}\n"
        "metric: {metric_cls: cosine, output_debug: 2}\n"
    )
    return folder


def sequences_of(count=SAMPLES):
    rng = np.random.default_rng(7)
    return [rng.normal(size=(STEPS, 4)).astype(np.float32) for _ in range(count)]


def truth_of(path, sequence, shape, state=None):
    """Return output name -> [steps, ...] of ONNX Runtime, which is handed its own states."""
    session = FloatSession(path.read_bytes(), optimize=False)
    held = {name: np.zeros(size, np.float32) for name, (_, size) in STATES.items()} | (state or {})
    found = []
    for step in sequence:
        found.append(session.run({"x": np.asarray(step).reshape(shape), **held}))
        held = {name: found[-1][output] for name, (output, _) in STATES.items()}
    return {name: np.stack([one[name] for one in found]) for name in found[0]}


def run_in(slimai, folder, *words):
    done = slimai("--config-dir", ".", "--config-name", "job", *words, cwd=folder, timeout=500)
    assert done.returncode == 0, done.stderr[-2000:]
    return folder / "out"


@pytest.fixture(scope="module")
def finished(tmp_path_factory, slimai, cache_dir):
    folder = folder_of(tmp_path_factory.mktemp("states"), cache_dir, sequences_of())
    return run_in(slimai, folder), [truth_of(folder / "m.onnx", one, (1, 4, 1)) for one in sequences_of()]


def steps_in(path, output, steps=STEPS):
    """Return [steps, ...] of a blob, whose N are the steps."""
    blob = read_blob(path)
    assert blob.numbers.shape[0] == steps, output
    return blob.real().reshape(steps, -1)


def test_float_blobs_hold_every_step(finished):
    out, truth = finished
    for number, outputs in enumerate(truth):
        for name, value in outputs.items():
            found = steps_in(out / "net_ref" / f"s{number}_{name}.blob", name)
            wanted = value.reshape(STEPS, -1)
            np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-4 * np.abs(wanted).max(), err_msg=name)


def decibels(truth, found):
    return 10 * np.log10(np.square(truth).sum() / max(np.square(truth - found).sum(), 1e-30))


@pytest.mark.parametrize(("level", "least"), [(1, 25), (3, 28), (4, 60)])
def test_integers_stay_near_float_to_the_last_step(finished, level, least):
    out, truth = finished
    for name in ("y", "hn", "cache_out"):
        pairs = [
            (
                outputs[name].reshape(STEPS, -1),
                steps_in(out / f"acc{level}" / "net_100" / f"s{number}_{name}.blob", name),
            )
            for number, outputs in enumerate(truth)
        ]
        wanted, found = (np.stack(side) for side in zip(*pairs, strict=True))
        first, last = decibels(wanted[:, :30], found[:, :30]), decibels(wanted[:, -30:], found[:, -30:])
        assert last >= first - 3.0, (name, first, last)
        assert last >= least, (name, last)


def test_a_state_of_the_host_is_not_rounded(finished):
    out, truth = finished
    for number, outputs in enumerate(truth):
        for level in (1, 3, 4):
            found = steps_in(out / f"acc{level}" / "net_100" / f"s{number}_cn.blob", "cn")
            np.testing.assert_allclose(found, outputs["cn"].reshape(STEPS, -1), atol=1e-5)


def test_the_log_names_states_and_sequences(finished):
    log = (finished[0] / "slimai.log").read_text()
    assert "states: cache takes over cache_out (by their names; state: false is against it); h takes over hn" in log
    assert f"sequences: x, {STEPS} steps a validation sample; states begin anew with every sample" in log
    assert "h takes over hn" in (finished[0] / "report.html").read_text()


def test_dumps_are_scored_as_the_run_scored_them(finished, slimai):
    out = finished[0]
    run = json.loads((out / "run.json").read_text())
    value = next(item["value"] for item in run["candidates"] if item["accuracy_level"] == 3)
    files = ("--octrl", out / "output_control.octrl", "--imagelist", out / "tmp_list_val.txt")
    words = ("--blobs", out / "acc3" / "net_100", "--ref", out / "net_ref", "--format", "json")
    done = slimai("metric", "--metric-cls", "cosine", *files, *words, cwd=out)
    assert done.returncode == 0, done.stderr
    assert abs(json.loads(done.stdout)["value"] - value) < 1e-5, "six digits are printed"


LENGTHS = (37, STEPS, 1, 64, 90)


def uneven_folder(folder, cache_dir, calibration):
    """Return a job that validates the first steps of the sequences, so many of each as LENGTHS says."""
    folder_of(folder, cache_dir, sequences_of())
    for place, (sequence, steps) in enumerate(zip(sequences_of(), LENGTHS, strict=True)):
        np.save(folder / f"v{place}.npy", sequence[:steps])
    (folder / "val.txt").write_text(f"{SAMPLES}\n" + "".join(f"v{place}.npy\n" for place in range(SAMPLES)))
    job = (folder / "job.yaml").read_text()
    lists = f"dataset: {{calibration_set: {calibration}, validation_set: val.txt}}"
    (folder / "job.yaml").write_text(
        job.replace("dataset: {calibration_set: list.txt, validation_set: list.txt}", lists)
    )
    return folder


def test_sequences_of_differing_length_give_what_the_whole_ones_began_with(finished, tmp_path, slimai, cache_dir):
    """Calibrated alike, a sequence's integers are those that the longer one has at its first steps, exactly."""
    whole, truth = finished
    out = run_in(slimai, uneven_folder(tmp_path, cache_dir, "list.txt"))
    for number, steps in enumerate(LENGTHS):
        for name, value in truth[number].items():
            found, wanted = steps_in(out / "net_ref" / f"v{number}_{name}.blob", name, steps), value[:steps]
            np.testing.assert_allclose(found, wanted.reshape(steps, -1), rtol=0, atol=1e-4 * np.abs(value).max())
            for level in (1, 3, 4):
                blobs = [
                    read_blob(folder / f"acc{level}" / "net_100" / f"{stem}{number}_{name}.blob").numbers
                    for folder, stem in ((out, "v"), (whole, "s"))
                ]
                np.testing.assert_array_equal(blobs[0], blobs[1][:steps], err_msg=f"{name} {level}")
    assert f"sequences: x, 1 to {STEPS} steps a validation sample" in (out / "slimai.log").read_text()
    run = json.loads((out / "run.json").read_text())
    assert {item["name"]: item["shape"] for item in run["outputs"]}["y"] == [1, -1, 3]
    value = next(item["value"] for item in run["candidates"] if item["accuracy_level"] == 3)
    files = ("--octrl", out / "output_control.octrl", "--imagelist", out / "tmp_val.txt")
    words = ("--blobs", out / "acc3" / "net_100", "--ref", out / "net_ref", "--format", "json")
    done = slimai("metric", "--metric-cls", "cosine", *files, *words, cwd=out)
    assert done.returncode == 0, done.stderr
    assert abs(json.loads(done.stdout)["value"] - value) < 1e-5, "six digits are printed"


def test_calibration_takes_every_step_of_sequences_of_differing_length(tmp_path, slimai):
    """The limits are those of all steps of all sequences in float; two workers find the same bytes as one process."""
    outs = []
    for workers in (1, 2):
        (tmp_path / str(workers)).mkdir()
        folder = uneven_folder(tmp_path / str(workers), tmp_path / f"cache{workers}", "val.txt")
        words = (f"smart_search.workers={workers}", "quantization.accuracy_level=3", "metric.output_debug=3")
        outs.append(run_in(slimai, folder, *words))
    steps = [truth_of(tmp_path / "1" / "m.onnx", one[:n], (1, 4, 1))["y"]
             for one, n in zip(sequences_of(), LENGTHS, strict=True)]  # fmt: skip
    every = np.concatenate([one.reshape(-1) for one in steps])
    profiles = [(out / "net_100.yaml").read_text() for out in outs]
    assert profiles[0] == profiles[1]
    entry = next(item for item in yaml.safe_load(profiles[0]) if item["NodeOutputName"] == "MatMul_head__1:0")
    np.testing.assert_allclose((entry["FloatMin"], entry["FloatMax"]), (every.min(), every.max()), rtol=1e-5)
    for number in range(SAMPLES):
        blobs = [out / "net_100" / f"v{number}_y.blob" for out in outs]
        assert blobs[0].read_bytes() == blobs[1].read_bytes()


def test_two_workers_and_a_second_run_find_the_same(finished, tmp_path, slimai, cache_dir):
    folder = folder_of(tmp_path, tmp_path / "cache", sequences_of())
    out = run_in(slimai, folder, "smart_search.workers=2")
    one, two = (json.loads((place / "run.json").read_text()) for place in (finished[0], out))
    keys = ("profile", "accuracy_level", "value", "score")
    assert [[item[key] for key in keys] for item in one["candidates"]] == [
        [item[key] for key in keys] for item in two["candidates"]
    ]
    for level in (1, 3, 4):
        for number in range(SAMPLES):
            blob = f"acc{level}/net_100/s{number}_y.blob"
            assert (finished[0] / blob).read_bytes() == (out / blob).read_bytes()


def test_tokens_and_given_states(tmp_path, slimai, cache_dir):
    rng = np.random.default_rng(3)
    tokens = [rng.integers(0, 11, size=STEPS) for _ in range(4)]
    folder = folder_of(tmp_path, cache_dir, tokens, table=11)
    state = rng.normal(size=(1, 8)).astype(np.float32)
    zeros = {name: np.zeros(size, np.float32) for name, (_, size) in STATES.items()}
    for name, value in {**zeros, "h": state}.items():
        np.save(folder / f"{name}.npy", value)
    columns = ",".join(f"{name}.npy" for name in STATES)
    (folder / "list.txt").write_text("4\n" + "".join(f"s{place}.npy,{columns}\n" for place in range(4)))
    job = (folder / "job.yaml").read_text()
    (folder / "job.yaml").write_text(job.replace("{x: {seq: true}}", "{x: {seq: true}, cache: {}, h: {}, c: {}}"))
    out = run_in(slimai, folder, "quantization.accuracy_level=3")
    truth = truth_of(folder / "m.onnx", tokens[0], (1, 1), {"h": state})
    found = steps_in(out / "net_ref" / "s0_y.blob", "y")
    np.testing.assert_allclose(found, truth["y"].reshape(STEPS, -1), atol=1e-4 * np.abs(truth["y"]).max())
    np.save(folder / "s2.npy", np.where(np.arange(STEPS) == 50, 11, tokens[2]))
    np.save(folder / "s3.npy", tokens[3].astype(np.float32))
    done = slimai("--config-dir", ".", "--config-name", "job", cwd=folder)
    assert done.returncode == 2
    assert "list.txt:4: " in done.stderr
    assert "s2.npy: the number 11 is beyond the table of" in done.stderr
    assert "s3.npy: the array holds float32; save it as int64, int32, int16, int8, uint8" in done.stderr
    assert "Traceback" not in done.stderr


def test_wrong_sequences_are_refused_at_once(tmp_path, slimai, cache_dir):
    folder = folder_of(tmp_path, cache_dir, [np.zeros((STEPS, 4), np.float32), np.zeros(STEPS, np.float32)])
    done = slimai("--config-dir", ".", "--config-name", "job", cwd=folder)
    assert done.returncode == 2
    assert "the array's shape is [120], the network's input [1, 4, 1] a step" in done.stderr
    done = slimai("--config-dir", ".", "--config-name", "job", "metric.metric_cls=top1", cwd=folder)
    assert done.returncode == 2
    assert (
        "this metric scores one output a sample, and a sequence (seq: true) has one a step (got 'top1')" in done.stderr
    )
