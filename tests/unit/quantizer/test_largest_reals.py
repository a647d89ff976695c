"""The lowest float32, which masks are made of, comes back finite from any grid that reaches it."""

import numpy as np
import pytest

from slimai.quantizer.params import INT_TYPES, LARGEST_REAL, QParams


@pytest.mark.parametrize("kind", ["s8", "u8", "s16"])
@pytest.mark.parametrize("share", [0.5, 1.0, 1.001])
def test_the_end_of_a_grid_of_masks_is_finite(kind, share):
    dtype = INT_TYPES[kind]
    params = QParams(dtype, share * LARGEST_REAL / dtype.high, dtype.low // 2 if dtype.signed else 0)
    ends = np.array([dtype.low, dtype.high], dtype.numpy)
    with np.errstate(over="raise"):
        found = params.dequantize(ends)
    wanted = [(int(end) - params.zero_point) * params.scale for end in ends]
    np.testing.assert_array_equal(found, np.clip(wanted, -LARGEST_REAL, LARGEST_REAL).astype(np.float32))
