"""Blob files: the header, the order of the values, the dtypes, mistakes; names; the list of outputs."""

from __future__ import annotations

import numpy as np
import pytest

from slimai.blobs.names import blob_name, check_blob_names, safe_name, safe_names
from slimai.blobs.octrl import format_octrl, parse_octrl, read_octrl
from slimai.blobs.reader import parse_blob, read_blob
from slimai.blobs.writer import format_fixed_blob, format_float_blob, nhwc_shape, write_blob
from slimai.errors import InputError


def test_the_guides_example():
    values = np.arange(5618 * 15, dtype=np.float32).reshape(1, 1, 5618, 15)
    first, second, end = format_float_blob(values).split(b"\n")
    assert first == b"1.00000000e+00 5618 1 15 1 F32"
    assert second.split()[:3] == [b"0.000000", b"15.000000", b"30.000000"]  # W runs fastest
    assert end == b""


@pytest.mark.parametrize(
    ("shape", "nhwc"),
    [
        ((), (1, 1, 1, 1)),
        ((2,), (2, 1, 1, 1)),
        ((1, 10), (1, 1, 1, 10)),
        ((1, 7, 4), (1, 1, 7, 4)),
        ((2, 3, 4, 5), (2, 3, 4, 5)),
    ],
)
def test_missing_dimensions_come_after_the_batch(shape, nhwc):
    assert nhwc_shape(shape) == nhwc


def test_five_dimensions_are_refused():
    with pytest.raises(InputError, match=r"a blob has up to 4 dimensions \(got \(1, 3, 85, 13, 13\)\)"):
        nhwc_shape((1, 3, 85, 13, 13))


@pytest.mark.parametrize("shape", [(1, 4), (1, 7, 4), (1, 3, 5, 2), (2, 3, 4, 5)])
def test_round_trip_of_floats(tmp_path, shape):
    values = np.random.default_rng(0).integers(-(2**20), 2**20, shape).astype(np.float32) / 64  # exact in 6 decimals
    write_blob(tmp_path / "a.blob", format_float_blob(values))
    np.testing.assert_array_equal(read_blob(tmp_path / "a.blob").real(shape), values)
    assert [path.name for path in tmp_path.iterdir()] == ["a.blob"]


@pytest.mark.parametrize(
    ("dtype", "zero", "token"),
    [("int8", 0, "S8"), ("uint8", 0, "U8"), ("uint8", 3, "S16"), ("int8", -128, "S16"), ("int16", 0, "S16"),
     ("int32", 0, "S32")],
)  # fmt: skip
def test_fixed_point(dtype, zero, token):
    info = np.iinfo(dtype)
    integers = np.array([[info.min, -1 if info.min else 5, 0, 7, info.max]], dtype)
    scale = 0.0123
    data = format_fixed_blob(integers, scale, zero)
    assert data.split(b"\n")[0] == f"{1 / scale:.8e} 1 1 5 1 {token}".encode()
    blob = parse_blob(data, "x")
    np.testing.assert_array_equal(blob.numbers.ravel(), integers[0].astype(np.int64) - zero)
    np.testing.assert_allclose(blob.real((1, 5)), (integers.astype(float) - zero) * scale, rtol=1e-7)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", r"x:1: expected 'coefficient W H C N dtype' \(got ''\)"),
        (b"1.0 2 1 1 F32\n1 2", r"x:1: expected 'coefficient W H C N dtype'"),
        (b"0 2 1 1 1 F32\n1 2", r"x:1: the coefficient must be a positive number \(got '0'\)"),
        (b"nan 2 1 1 1 F32\n1 2", r"x:1: the coefficient must be a positive number \(got 'nan'\)"),
        (b"1 2 -1 1 1 F32\n1 2", r"x:1: W, H, C and N must be whole numbers above 0 \(got '2 -1 1 1'\)"),
        (b"1 2 1 1 1 F64\n1 2", r"x:1: the dtype is one of F32, S8, U8, S16, S32 \(got 'F64'\)"),
        (b"1 2 1 1 1 F32\n1    ", r"x:2: expected 2 values \(W H C N of line 1\), found 1"),
        (b"1 2 1 1 1 F32\n1 2 3", r"x:2: expected 2 values \(W H C N of line 1\), found more than 2"),
        (b"1 2 1 1 1 F32\n1 pear", r"x:2: not a number \(got 'pear'\)"),
        (b"1 2 1 1 1 U8\n1 256", r"x:2: a number of U8 is whole, 0..255 \(got 256.0\)"),
        (b"1 2 1 1 1 S8\n1 1.5", r"x:2: a number of S8 is whole, -128..127 \(got 1.5\)"),
        (b"1 99999999 9999 9999 9 F32\n1 2", r"x:1: \d+ values are announced, more than the file can hold \(got 3\)"),
    ],
)
def test_mistakes(data, message):
    with pytest.raises(InputError, match=message):
        parse_blob(data, "x")


def test_a_missing_file_and_a_wrong_shape(tmp_path):
    with pytest.raises(InputError, match=r"no.blob: the blob cannot be read: No such file"):
        read_blob(tmp_path / "no.blob")
    with pytest.raises(InputError, match=r"the blob holds 2 values, not those of shape \(1, 3\)"):
        parse_blob(b"1 2 1 1 1 F32\n1 2", "x").real((1, 3))


def test_names():
    assert safe_name("NCHW_output:0/a b-c.d") == "NCHW_output_0_a_b-c.d"
    assert blob_name("ILSVRC2012_val_00000001", "add_30") == "ILSVRC2012_val_00000001_add_30.blob"
    assert safe_names(["a:0", "b"]) == {"a:0": "a_0", "b": "b"}
    with pytest.raises(InputError, match=r"output names 'a:0', 'a/0' all become 'a_0' in file names; rename one"):
        safe_names(["a:0", "b", "a/0"])


def test_blobs_of_two_images_and_outputs_must_differ():
    check_blob_names(["a", "b"], ["x", "y"])
    with pytest.raises(InputError, match=r"images of the same name would share their blobs: a"):
        check_blob_names(["a", "b", "a"], ["x"])
    with pytest.raises(InputError, match=r"'a_b / c', 'a / b_c' all become 'a_b_c.blob'"):
        check_blob_names(["a_b", "a"], ["c", "b_c"])


def test_octrl(tmp_path):
    assert format_octrl(["reshape_3800", "reshape:40"]) == "[reshape_3800 reshape_40] save\n"
    assert parse_octrl("[a b] save", "x") == ("a", "b")
    assert parse_octrl("  [ a ] save top1_5 labels.txt\r\n", "x") == ("a",)
    for text in ("", "a b save", "[] save", "[a] [b] save", "[a] keep"):
        with pytest.raises(InputError, match=r"expected one line '\[name1 name2\] save'"):
            parse_octrl(text, "x")
    with pytest.raises(InputError, match=r"x: an output is named twice"):
        parse_octrl("[a a] save", "x")
    with pytest.raises(InputError, match=r"the list of outputs cannot be read"):
        read_octrl(tmp_path / "none")
