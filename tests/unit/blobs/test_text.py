"""Blob text against C's printf by way of Python's % operator, byte for byte; compiled loops against their twins."""

from __future__ import annotations

import numpy as np
import pytest

from slimai.blobs import _kernels, text


def compiled_fixed(values):
    out = np.empty(values.size * 16, np.uint8)
    return out[: _kernels.format_fixed(values.view(np.int32), out)].tobytes()


def awkward_floats(seed):
    rng = np.random.default_rng(seed)
    bits = rng.integers(0, 2**32, 30000, np.uint32).view(np.float32)
    bits = bits[np.isfinite(bits)]
    ties = (rng.integers(-(2**20), 2**20, 5000) * 2 + 1) * np.float32(2.0**-7) * np.float32(1e-4)
    halves = rng.integers(-(2**19), 2**19, 5000) / np.float32(128)
    edges = [0.0, -0.0, 1e-45, -1e-45, 5e-7, -5e-7, 4.9999999e-7, 999999.94, -999999.94, 0.5, 1 / 128, 3 / 128]
    values = np.concatenate([bits, ties, halves, rng.normal(size=5000), edges]).astype(np.float32)
    return values[np.abs(values) < 1e6]


@pytest.mark.parametrize("seed", range(3))
def test_compiled_fixed_equals_printf(seed):
    values = awkward_floats(seed)
    assert len(values) > 10000
    expected = " ".join([f"{value:f}" for value in values.tolist()]).encode()
    assert compiled_fixed(values) == expected
    assert text.plain_fixed(values) == expected


def test_compiled_integers_equal_python():
    rng = np.random.default_rng(0)
    values = np.concatenate([rng.integers(-40000, 40000, 9000), [0, 2**31 - 1, -(2**31)]])
    assert text.wholes_to_text(values) == " ".join(map(str, values.tolist())).encode()


@pytest.mark.parametrize("size", [5, 6000])
@pytest.mark.parametrize(
    ("values", "form"),
    [
        ([0.01001, 0.0], "%f"),
        ([0.0099999, 0.0], "%.9g"),
        ([0.0, -0.0], "%.9g"),
        ([999999.94, 1e-9], "%f"),
        ([1e6, 0.5], "%.9g"),
        ([np.inf, 0.5], "%.9g"),
        ([np.nan, 0.5], "%f"),
        ([3.4e38, 1e-45], "%.9g"),
    ],
)
def test_the_largest_magnitude_chooses_the_format(values, form, size):
    array = np.resize(np.array(values, np.float32), size)
    assert text.floats_to_text(array) == " ".join(form % value for value in array.tolist()).encode()


def test_compiled_parser_equals_python():
    rng = np.random.default_rng(1)
    words = [f"{value:f}" for value in rng.normal(0, 1000, 4000)]
    words += [f"{value:.9g}" for value in rng.normal(0, 1, 4000) * 10.0 ** rng.integers(-40, 38, 4000)]
    words += ["-0", "+5", "1.", ".5", "nan", "-inf", "1e5", "123456789012345678", "0.000000000000000001"] * 50
    rng.shuffle(words)
    data = "  \n\t ".join(words).encode()
    assert len(data) > text.WORTH_COMPILING * 8
    found = text.parse_numbers(data, len(words))
    np.testing.assert_array_equal(found, np.array([float(word) for word in words]))
    np.testing.assert_array_equal(np.signbit(found), np.signbit([float(word) for word in words]))
    np.testing.assert_array_equal(text.parse_plain(data, len(words)), found)


@pytest.mark.parametrize("word", ["abc", "1_0", "1.2.3", "--1", "0x10", "1e", "+", ".", "é", "infinity", "1e999999"])
@pytest.mark.parametrize("size", [3, 9000])
def test_words_that_are_no_numbers(word, size):
    data = " ".join(["0.5"] * size + [word]).encode()
    with pytest.raises(ValueError, match=r".+"):
        text.parse_numbers(data, size + 1)


def test_more_numbers_than_asked_for_are_seen():
    assert len(text.parse_numbers(b"1 2 3 4 5", 3)) == 4
    assert len(text.parse_numbers(b"1 " * 40000, 3)) == 4
