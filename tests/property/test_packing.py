"""Two integers of 4 bits in a byte: what is packed comes back, whatever its shape, and the layout is ONNX's."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from onnx import numpy_helper

from slimai.quantizer.packing import packed, unpacked
from slimai.quantizer.params import S4

NIBBLES = arrays.arrays(np.int8, arrays.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=5),
                        elements=st.integers(-8, 7))  # fmt: skip


@given(NIBBLES)
def test_what_is_packed_comes_back(values):
    data = packed(values)
    assert data.dtype == np.uint8
    assert data.size == S4.bytes_of(values.size) == (values.size + 1) // 2
    found = unpacked(data, values.shape)
    assert found.dtype == np.int8
    assert found.shape == values.shape
    np.testing.assert_array_equal(found, values)


@given(NIBBLES)
def test_the_bytes_are_those_of_an_onnx_file(values):
    assert numpy_helper.from_array(values.astype(ml_dtypes.int4)).raw_data == packed(values).tobytes()


@given(st.integers(-128, 127).filter(lambda value: not -8 <= value <= 7), st.integers(0, 5))
def test_a_number_beyond_4_bits_is_refused(wrong, others):
    values = np.array([*[0] * others, wrong], np.int8)
    with pytest.raises(ValueError, match=r"integers of 4 bits are -8..7 \(got "):
        packed(values)


def test_another_number_of_bytes_is_refused():
    with pytest.raises(ValueError, match=r"3 integers of 4 bits take 2 bytes \(got 3\)"):
        unpacked(np.zeros(3, np.uint8), (3,))


def test_the_first_lies_in_the_low_half():
    assert packed(np.array([1, -1, 7])).tolist() == [0xF1, 0x07]
