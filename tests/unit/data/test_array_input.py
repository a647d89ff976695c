"""Arrays as inputs: whole numbers, sequences, states; every mistake with its file and list line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from slimai.data.preprocess import InputFacts, InputSpec, Preprocess, preprocess_for
from slimai.data.sample import Sample
from slimai.errors import InputError
from slimai.schema.network import NetworkSection


def sample(tmp_path, *arrays, line=3):
    files = []
    for place, array in enumerate(arrays):
        file = tmp_path / f"a{line}_{place}.npy"
        np.save(file, array)
        files.append(file)
    return Sample(line, tuple(files), list_file="list.txt", line=line)


def refused(preprocess, *samples):
    found = preprocess.check(samples, 1)
    return [str(item).replace(str(samples[0].files[0].parent) + "/", "") for item in found]


TOKENS = InputSpec("ids", (1, 4), layout="NonImage", dtype="int64", limits=(-20, 19), reader="embedding")


@pytest.mark.parametrize("dtype", ["int64", "int32", "int16", "uint8"])
def test_whole_numbers_come_as_they_are(tmp_path, dtype):
    given = sample(tmp_path, np.array([3, 19, 0, 7], dtype))
    found = Preprocess([TOKENS])(given)[1]["ids"]
    assert (found.dtype.name, found.tolist()) == ("int64", [[3, 19, 0, 7]])


@pytest.mark.parametrize(
    ("array", "expected"),
    [
        (np.array([0, 20, 1, 2]), "the number 20 is beyond the table of embedding, which takes -20 to 19"),
        (np.array([0, -21, 1, 2]), "the number -21 is beyond the table of embedding, which takes -20 to 19"),
        (np.array([0, 1, 2]), "the array's shape is [3], the network's input [1, 4]"),
        (np.zeros(4, np.float32), "the array holds float32; save it as int64, int32, int16, int8, uint8"),
    ],
)
def test_wrong_tokens_name_file_and_line(tmp_path, array, expected):
    (text,) = refused(Preprocess([TOKENS]), sample(tmp_path, array))
    assert text.startswith(f"list.txt:3: a3_0.npy: {expected}")


def test_a_number_beyond_the_type(tmp_path):
    spec = InputSpec("ids", (1, 1), layout="NonImage", dtype="int32")
    assert refused(Preprocess([spec]), sample(tmp_path, np.array([2**31]))) == [
        "list.txt:3: a3_0.npy: the number 2147483648 is no int32; correct the array, or the network"
    ]


@pytest.mark.parametrize(
    ("shape", "file", "expected"),
    [
        ((1, 4), (7, 4), (1, 7, 4)),
        ((1, 1, 4), (7, 4), (1, 7, 1, 4)),
        ((2, 1, 4), (7, 2, 4), (1, 7, 2, 1, 4)),  # a leading dimension that is no batch
        ((1, 1), (7,), (1, 7, 1)),
        ((), (7,), (1, 7)),
    ],
)
def test_sequences_have_their_steps_behind_the_sample(tmp_path, shape, file, expected):
    spec = InputSpec("x", shape, layout="NonImage", sequence=True, mean=(2.0,), stddev=(4.0,))
    array = np.random.default_rng(0).normal(size=file).astype(np.float32)
    given = sample(tmp_path, array)
    preprocess = Preprocess([spec])
    assert preprocess.steps(given) == 7
    found = preprocess(given)[1]["x"]
    assert found.shape == expected
    np.testing.assert_array_equal(found.ravel(), ((array - np.float32(2)) / np.float32(4)).ravel())


def test_the_mean_of_a_channel_in_every_step(tmp_path):
    spec = InputSpec("x", (1, 3, 2), layout="NonImage", sequence=True, mean=(1.0, 2.0, 3.0))
    found = Preprocess([spec])(sample(tmp_path, np.zeros((5, 3, 2), np.float32)))[1]["x"]
    assert found.shape == (1, 5, 3, 2)
    assert (found == -np.array([1, 2, 3], np.float32)[:, None]).all()


@pytest.mark.parametrize("file", [(4,), (7, 5), (7, 4, 2), (0, 4), ()])
def test_sequences_of_another_rank(tmp_path, file):
    spec = InputSpec("x", (1, 4), layout="NonImage", sequence=True)
    assert refused(Preprocess([spec]), sample(tmp_path, np.zeros(file, np.float32))) == [
        (
            f"list.txt:3: a3_0.npy: the array's shape is {list(file)}, the network's input [1, 4] a step; "
            "a sequence (seq: true) has its steps along axis 0: [steps, 4]"
        )
    ]


def test_sequences_of_a_list_may_differ_in_length_and_those_of_a_sample_may_not(tmp_path):
    one = InputSpec("x", (1, 4), layout="NonImage", sequence=True)
    samples = [sample(tmp_path, np.zeros((steps, 4), np.float32), line=line) for line, steps in ((2, 7), (3, 8))]
    assert refused(Preprocess([one]), *samples) == []
    assert Preprocess([one]).step_range(samples) == (7, 8)
    assert Preprocess([one]).uneven(samples)
    assert not Preprocess([one]).uneven(samples[1:])
    assert not Preprocess([InputSpec("x", (1, 4), layout="NonImage")]).uneven(samples)
    two = [one, InputSpec("z", (1, 1), 1, "NonImage", sequence=True)]
    uneven = sample(tmp_path, np.zeros((7, 4), np.float32), np.zeros(6, np.float32))
    assert refused(Preprocess(two), uneven) == [
        "list.txt:3: the sequences of one sample differ in length: x 7, z 6 steps"
    ]


def section(**nodes):
    return NetworkSection.model_validate(
        {"input_model": Path("m.onnx"), "input_data_layout": "NonImage", "mean": [1.0], "input_node_name": nodes}
    )


def test_states_are_zeros_unless_the_list_gives_them(tmp_path):
    facts = {"h": InputFacts(state=True)}
    preprocess = preprocess_for(section(h={"state": "hn"}), {"h": (2, 1, 3), "x": (1, 4)}, facts)
    x, h = np.ones((1, 4), np.float32), np.arange(6, dtype=np.float32).reshape(2, 3)
    without = preprocess(sample(tmp_path, x))[1]
    assert without["h"].shape == (1, 2, 1, 3)
    assert not without["h"].any()
    given = preprocess(sample(tmp_path, h, x))[1]  # in the order of the inputs
    assert given["h"].ravel().tolist() == [0, 1, 2, 3, 4, 5], "mean and stddev are not a state's"
    assert not given["x"].any()
    with pytest.raises(InputError, match=r"3 files, but the network's inputs \(x\) need 1, or 2 with the states \(h\)"):
        preprocess(sample(tmp_path, x, h, h))


def test_settings_of_pictures_at_states_and_tokens():
    nodes = {
        "h": {"state": "hn", "mean": [1.0]},
        "ids": {"resize": "stretch"},
        "x": {"input_data_layout": "NCHW", "seq": True},
    }
    facts = {"h": InputFacts(state=True), "ids": InputFacts("int64")}
    with pytest.raises(InputError) as caught:
        preprocess_for(section(**nodes), {"x": (1, 3, 4, 4), "h": (1, 3), "ids": (1, 4)}, facts)
    assert [str(item) for item in caught.value.diagnostics] == [
        "network.input_node_name.h.mean: a state takes its values as they are (got [1.0]); leave it out",
        (
            "network.input_node_name.ids.resize: an input of int64 takes its values as they are "
            "(got 'stretch'); leave it out"
        ),
        (
            "network.input_node_name.x.seq: a sequence is read from .npy arrays, not from pictures (got True); "
            "set network.input_node_name.x.input_data_layout: NonImage"
        ),
    ]


@pytest.mark.parametrize(
    ("nodes", "expected"),
    [
        ({"h": {"state": True}}, "state should be the name of an output, or false"),
        ({"h": {"state": ""}}, "should be the name"),
    ],
)
def test_states_that_name_nothing(nodes, expected):
    with pytest.raises(ValueError, match=expected):
        section(**nodes)
