"""Any tensor survives the text, and any bytes give a tensor or an InputError."""

from __future__ import annotations

import numpy as np
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from slimai.blobs.octrl import format_octrl, parse_octrl
from slimai.blobs.reader import parse_blob
from slimai.blobs.writer import format_fixed_blob, format_float_blob
from slimai.errors import InputError

shapes = hnp.array_shapes(min_dims=1, max_dims=4, max_side=4)


@given(hnp.arrays(np.float32, shapes, elements=st.floats(width=32, allow_nan=False)))
def test_floats_come_back_as_they_were_printed(values):
    back = parse_blob(format_float_blob(values), "x").real(values.shape)
    magnitude = np.abs(values).max()
    if 0.01 <= magnitude < 1e6:
        printed = np.array([f"{value:f}" for value in values.ravel().tolist()], np.float64)
        np.testing.assert_array_equal(back, printed.astype(np.float32).reshape(values.shape))
    else:  # nine significant digits tell any two float32 apart
        np.testing.assert_array_equal(back, values)


@given(
    st.sampled_from(["int8", "uint8", "int16"]).flatmap(lambda dtype: hnp.arrays(dtype, shapes)),
    st.integers(-128, 255),
    st.floats(1e-9, 1e9),
)
def test_integers_come_back_exactly(values, zero_point, scale):
    if values.dtype == np.int16:
        zero_point = 0
    blob = parse_blob(format_fixed_blob(values, scale, zero_point), "x")
    nhwc = blob.numbers.transpose(0, 2, 3, 1).reshape(values.shape)
    np.testing.assert_array_equal(nhwc, values.astype(np.int64) - zero_point)


@settings(max_examples=300)
@given(st.binary(max_size=200))
@example(b"1 1 1 1 1 F32\n\xff")
@example(b"1e400 1 1 1 1 F32\n1")
@example(b"1 1 1 1 1 S8\nnan")
def test_any_bytes_give_a_tensor_or_an_input_error(data):
    try:
        blob = parse_blob(data, "x")
    except InputError as error:
        assert str(error).startswith("x:")  # noqa: PT017
    else:
        assert blob.numbers.ndim == 4


@settings(max_examples=300)
@given(st.lists(st.sampled_from([b"1", b"2", b"0.5", b"-7", b"1e9", b"F32", b"S8", b"\n", b"x", b"nan"]), max_size=14))
def test_nearly_right_blobs(words):
    data = b" ".join(words).replace(b" \n ", b"\n")
    try:
        parse_blob(data, "x")
    except InputError as error:
        assert str(error).startswith("x:")  # noqa: PT017


@given(st.lists(st.text("abcXYZ019_.-", min_size=1), min_size=1, unique=True))
def test_octrl_round_trip(names):
    assert parse_octrl(format_octrl(names), "x") == tuple(names)


@given(st.text(max_size=60))
def test_any_octrl_text_gives_names_or_an_input_error(text):
    try:
        assert parse_octrl(text, "x")
    except InputError as error:
        assert str(error).startswith("x: ")  # noqa: PT017
