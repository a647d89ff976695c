"""Every compiled kernel against its NumPy twin, and the engines of exact products against int64."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slimai.quantizer.params import S8, S16, U8, QParams
from slimai.simulator import (
    _kernels_conv,
    _kernels_elementwise,
    _kernels_gemm,
    _kernels_requantize,
    _reference_conv,
    _reference_elementwise,
    _reference_gemm,
    _reference_requantize,
)
from slimai.simulator.accumulate import Accumulator
from slimai.simulator.buffers import BufferPool
from slimai.simulator.context import Tally
from slimai.simulator.product import Matrix, Product, pair_engine
from slimai.simulator.requantize import PRESETS, TFLITE_DENSE, build_requantizer
from slimai.simulator.rows import FlatRequantizer, RowRequantizer, fast_kernel

RULES = {**PRESETS, "tflite_dense": TFLITE_DENSE}
INT = np.int32


def agree(module, twin, name, arguments, out):
    mine, theirs = out.copy(), out.copy()
    getattr(module, name)(*arguments, mine)
    getattr(twin, name)(*arguments, theirs)
    assert np.array_equal(mine, theirs)
    assert np.unique(mine).size > 2


@pytest.fixture
def rng():
    return np.random.default_rng(5)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int32], ids=lambda d: d.__name__)
def test_row_kernels_equal_their_twins(rng, dtype):
    acc = rng.integers(-(2**20), 2**20, (40, 19)).astype(dtype)
    out = np.empty((40, 19), np.int8)
    ends = (INT(3), INT(-100), INT(127))
    one = np.ones(19)
    bias = rng.integers(-999, 999, 19)
    xi = np.stack([bias, rng.integers(0, 9, 19), -32768 * one, 32000 * one, 40000 * one, (1 << 20) * one, 21 * one])
    real = np.stack([bias, 2.0**30 * one, rng.uniform(1e-5, 1e-3, 19)])
    shifts = np.stack([6 * one, 32 * one, one]).astype(INT)
    shifts[:, 0] = 0
    m = rng.integers(1 << 30, 1 << 31, 19)
    halves = np.stack([bias, 2.0**30 * one, m >> 16, (m & 0xFFFF) * 2.0**-16])
    long = np.concatenate([halves, [2.0**27 * one, 2.0**-28 * one]])
    very_long = np.stack([bias, 2**30 * one, m, 2**43 * one, 28 * one]).astype(np.int64)
    wide = np.stack([bias, 0 * one, (2**30) * one, 64 * one, 7 * one]).astype(np.int64)
    cases = {
        "xi_rows": (acc, xi.astype(INT), *ends),
        "scaled_rows": (acc, real, *ends),
        "scaled_long_rows": (acc, np.stack([bias, 2**30 * one, m, 2**33 * one, 34 * one]).astype(np.int64), *ends),
        "scaled_halves_rows": (acc, long, *ends),
        "scaled_wide_rows": (acc, very_long, *ends),
        "two_step_rows": (acc, real * np.array([[1], [1], [64]]), shifts, *ends),
        "two_step_halves_rows": (acc, halves, shifts, *ends),
        "two_step_short_rows": (acc, np.concatenate([[bias, m], shifts]).astype(INT), *ends),
        "two_step_wide_rows": (acc, wide, *ends),
        "double_rows": (acc, real[[0, 2]], np.float64(300), *ends),
        "float_rows": (acc, bias.astype(INT), real[2].astype(np.float32), np.float32(-103), np.float32(124), INT(3)),
    }
    for name, arguments in cases.items():
        agree(_kernels_requantize, _reference_requantize, name, arguments, out)


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int16], ids=lambda d: d.__name__)
def test_window_kernels_equal_their_twins(rng, dtype):
    info = np.iinfo(dtype)
    x = rng.integers(info.min, info.max + 1, (9, 10, 5)).astype(dtype)
    agree(_kernels_conv, _reference_conv, "widen", (x.reshape(-1), INT(3)), np.empty(x.size, np.float64))
    steps, taps = (2, 1, 5, 10, 0), (3, 2, 5)
    cols = np.empty((3 * 8, 30), np.int32)
    agree(_kernels_conv, _reference_conv, "gather_windows", (x.reshape(9, -1), INT(3), 1, 8, steps, taps), cols)
    for kernel, name in (((3, 3), "depthwise_any"), ((2, 4), "depthwise_any"), ((3, 3), "depthwise_wide")):
        kind = np.float64 if name == "depthwise_wide" else np.int32
        taps = rng.integers(-99, 99, (*kernel, 5)).astype(kind)
        acc = np.empty((3, 6, 5), kind)
        agree(_kernels_conv, _reference_conv, name, (x, taps, 1, (2, 1), (1, 1)), acc)
    for name, kind, reach in (("depthwise_nine", np.int32, 99), ("depthwise_nine_wide", np.float64, 32767)):
        nine = rng.integers(-reach, reach, (9, 5)).astype(kind)
        acc = np.empty((3, 3, 5), kind)
        agree(_kernels_conv, _reference_conv, name, (x, nine, 0, (1, 2), (2, 2)), acc)


@pytest.mark.parametrize(("stride", "dilation", "channels"), [(1, 1, 8), (2, 1, 5), (1, 2, 3), (2, 3, 16)])
def test_flat_depthwise_kernel_equals_its_twin(rng, stride, dilation, channels):
    width, columns = 11, (11 - 1) * stride + 2 * dilation + 1
    columns += -columns % stride
    x = rng.integers(-128, 128, (stride, 14, columns // stride * channels)).astype(np.int8)
    places = [column * dilation for column in range(3)]
    taps = (*(place % stride for place in places), *(place // stride * channels for place in places))
    weight = np.tile(rng.integers(-127, 128, (9, channels)), 4).astype(np.int32)
    acc = np.empty((3, width * channels), np.int32)
    agree(_kernels_conv, _reference_conv, "depthwise_nine_flat", (x, weight, 1, (2, dilation), taps), acc)


def test_overlap_add_equals_its_twin(rng):
    sums = rng.integers(-999, 999, (4 * 5, 3 * 2 * 7)).astype(np.int32)
    acc = np.zeros((8, 9, 7), np.int32)
    arguments = (sums, 5, (3, 2), (2, 2), (1, 2), (1, 0))
    agree(_kernels_conv, _reference_conv, "overlap_add", arguments, acc)


def test_table_and_quantize_kernels_equal_their_twins(rng):
    rows, tables = rng.integers(0, 256, (40, 6)).astype(np.uint8), rng.integers(-99, 99, (6, 256)).astype(np.int8)
    agree(_kernels_elementwise, _reference_elementwise, "look_up_rows", (rows, 0, tables), np.empty((40, 6), np.int8))
    real = rng.normal(0, 30, 999).astype(np.float32)
    real[:9] = np.arange(9) * 0.25  # ties
    numbers = (np.float64(0.5), np.float64(7), np.float64(-100), np.float64(120))
    agree(_kernels_elementwise, _reference_elementwise, "quantize_flat", (real, *numbers), np.empty(999, np.int8))


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int16], ids=lambda d: d.__name__)
def test_lowered_rows_equal_their_twin(rng, dtype):
    info = np.iinfo(dtype)
    rows = rng.integers(info.min, info.max + 1, (50, 37)).astype(dtype)
    limits = rng.integers(0, info.max + 1, 37).astype(dtype)
    mine, theirs = rows.copy(), rows.copy()
    _kernels_elementwise.lower_rows(mine, limits)
    _reference_elementwise.lower_rows(theirs, limits)
    assert np.array_equal(mine, theirs)
    assert (mine <= limits).all()
    assert 0 < np.count_nonzero(mine != rows) < rows.size


def test_elementwise_kernels_equal_their_twins(rng):
    a, b = rng.integers(-128, 128, 300).astype(np.int8), rng.integers(0, 256, 300).astype(np.uint8)
    table = rng.integers(-9999, 9999, 256).astype(np.int32)
    acc = np.empty(300, np.int32)
    cases = {
        "look_up_flat": (a, -128, table),
        "weighted_sum": (a, INT(3), INT(700), b, INT(128), INT(-900)),
        "table_sum": (a, -128, table, b, 0, table[::-1].copy()),
        "centred_product": (a, INT(3), b, INT(128)),
    }
    for name, arguments in cases.items():
        agree(_kernels_elementwise, _reference_elementwise, name, arguments, acc)


@pytest.mark.parametrize("shifts", [(0, 0, 3, 4, 1), (2, 2, 31, 1 << 30, -1), (31, 1 << 30, 0, 0, 1)])
def test_scaled_sum_equals_its_twin(rng, shifts):
    a, b = (rng.integers(-32768, 32768, 3000).astype(np.int16) for _ in range(2))
    a[:2], b[:2] = (-32768, 32767), (32767, -32768)
    ka, kb = (INT(rng.integers(1 << 30, 1 << 31)) for _ in range(2))
    arguments = (a, INT(0), ka, b, INT(0), kb, np.array((*shifts, 15), np.int32))
    agree(_kernels_elementwise, _reference_elementwise, "scaled_sum", arguments, np.empty(3000, np.int32))


@pytest.mark.skipif(not _kernels_gemm.AVAILABLE, reason="this CPU has no AVX2")
@given(st.integers(1, 20), st.integers(1, 40), st.integers(1, 40), st.integers(0, 99))
@settings(max_examples=60, deadline=None)
def test_pair_products_equal_their_twin_for_every_shape(rows, depth, columns, seed):
    rng = np.random.default_rng(seed)
    a = np.zeros((rows + -rows % 6, depth + depth % 2), np.int16)
    a[:rows, :depth] = rng.integers(-255, 256, (rows, depth))
    matrix = rng.integers(-127, 128, (depth, columns))
    packed = _kernels_gemm.pack(matrix)
    mine, theirs = (np.zeros((rows + 6) * columns + 16, np.int32) for _ in range(2))
    _kernels_gemm.multiply(a, rows, packed, columns, mine)
    _reference_gemm.multiply(a, rows, packed, columns, theirs)
    count = rows * columns
    assert np.array_equal(mine[:count], theirs[:count])
    assert np.array_equal(theirs[:count].reshape(rows, columns), a[:rows, :depth].astype(np.int64) @ matrix)


@pytest.mark.skipif(not _kernels_gemm.BROAD, reason="this CPU has no AVX-512")
@given(st.integers(1, 20), st.integers(1, 40), st.integers(1, 100), st.sampled_from([1, -1, 0]), st.integers(0, 99))
@settings(max_examples=80, deadline=None)
def test_broad_products_and_halves_equal_their_twins_and_python_integers(rows, depth, columns, ends, seed):
    rng = np.random.default_rng(seed)
    a = np.zeros((rows + -rows % 6, depth + depth % 2), np.int16)
    a[:rows, :depth] = rng.integers(-32768, 32768, (rows, depth)) if ends == 0 else -32768
    matrix = rng.integers(-128, 128, (depth, columns)) if ends == 0 else np.full((depth, columns), ends * 127)
    found = [np.zeros((rows + 6) * columns + 32, np.int32) for _ in range(2)]
    for module, out in zip((_kernels_gemm, _reference_gemm), found, strict=True):
        module.multiply_broad(a, rows, _kernels_gemm.pack(matrix), columns, out)
    count = rows * columns
    assert np.array_equal(found[0][:count], found[1][:count])
    assert np.array_equal(found[0][:count].reshape(rows, columns), a[:rows, :depth].astype(np.int64) @ matrix)
    high, low = rng.integers(-128, 129, (depth, columns)), matrix
    joined = [np.zeros((rows + 6) * columns + 32) for _ in range(2)]
    for module, out in zip((_kernels_gemm, _reference_gemm), joined, strict=True):
        module.multiply_halves(a, rows, _kernels_gemm.pack_halves(high, low), columns, out)
    truth = a[:rows, :depth].astype(np.int64) @ (256 * high + low)
    assert all(np.array_equal(out[:count].reshape(rows, columns), truth) for out in joined)


@pytest.mark.skipif(not _kernels_gemm.AVAILABLE, reason="this CPU has no AVX2")
@given(st.integers(1, 20), st.integers(1, 300), st.integers(1, 40), st.sampled_from([1, -1, 0]), st.integers(0, 99))
@settings(max_examples=80, deadline=None)
def test_wide_products_equal_their_twin_and_python_integers(rows, depth, columns, ends, seed):
    """`ends` of 1 and -1 take only the largest magnitudes, so that 32-bit sums wrap many times."""
    rng = np.random.default_rng(seed)
    a = np.zeros((rows + -rows % 6, depth + depth % 2), np.int16)
    a[:rows, :depth] = rng.integers(-32768, 32768, (rows, depth)) if ends == 0 else -32768
    matrix = rng.integers(-32767, 32768, (depth, columns)) if ends == 0 else np.full((depth, columns), ends * 32767)
    mine, theirs = (np.zeros((rows + 6) * columns + 16) for _ in range(2))
    for module, out in ((_kernels_gemm, mine), (_reference_gemm, theirs)):
        module.multiply_wide(a, rows, _kernels_gemm.pack(matrix), columns, out)
    count = rows * columns
    assert np.array_equal(mine[:count], theirs[:count])
    assert np.array_equal(mine[:count].reshape(rows, columns), a[:rows, :depth].astype(np.int64) @ matrix)


@pytest.mark.parametrize(
    ("x", "w_high", "engine"),
    [
        (QParams(U8, 1.0, 0), 127, "pairs"),
        (QParams(S16, 1.0, 0), 127, "pairs"),
        (QParams(S16, 1.0, 0), 32767, "wide"),
        (QParams(S16, 1.0, -1), 32767, "blas"),  # 32767 + 1 is no int16
        (QParams(S16, 1.0, 0), 32768, "blas"),
        (QParams(S8, 1.0, 0), 2**47, "blas"),
    ],
)
@pytest.mark.parametrize("available", ["broad", "pairs", "none"])
def test_products_are_exact_on_every_engine(monkeypatch, x, w_high, engine, available):
    monkeypatch.setattr(_kernels_gemm, "AVAILABLE", _kernels_gemm.AVAILABLE and available != "none")
    monkeypatch.setattr(_kernels_gemm, "BROAD", _kernels_gemm.BROAD and available == "broad")
    engine = "halves" if engine == "wide" and _kernels_gemm.BROAD else engine
    rng = np.random.default_rng(1)
    low, high = x.dtype.low - x.zero_point, x.dtype.high - x.zero_point
    rows, matrix = rng.integers(low, high + 1, (50, 33)), rng.integers(-w_high, w_high + 1, (33, 21))
    rows[0], rows[1], matrix[:, 0] = low, high, -w_high
    reach = float(np.abs(matrix).sum(axis=0).max()) * max(-low, high)
    product = Product(Matrix(matrix), x, reach, BufferPool())
    assert product.engine == (engine if _kernels_gemm.AVAILABLE else "blas")
    memory = product.rows(50)
    memory[:50, :33] = rows
    assert product.sums(50).dtype == product.multiply(memory, 50, product.sums(50)).dtype
    assert np.array_equal(product.multiply(memory, 50, product.sums(50)), rows @ matrix)


def test_halves_are_not_taken_where_either_could_overflow():
    deep = Matrix(np.full((1024, 3), 127 - 256))
    assert deep.half_magnitude == 127 * 1024
    assert pair_engine(deep, (-32768, 32767), 2.0**40, broad=True) == "wide"
    assert pair_engine(deep, (-128, 127), 2.0**40, broad=True) == "halves"
    matrix = Matrix(np.array([[-32767, -129, -128, 127, 128, 32767]]))
    high, low = matrix._halves
    assert np.array_equal(256 * high + low, matrix.values)
    assert (low.min(), low.max()) == (-128, 127)


def params(kind, zero):
    return QParams(kind, 0.5, zero)


@given(
    st.sampled_from(sorted(RULES)),
    st.sampled_from([(S8, 0), (S8, -77), (U8, 0), (U8, 131), (S16, 0)]),
    st.floats(-20, 3),
    st.integers(8, 30),
    st.integers(0, 2**31),
)
@settings(max_examples=300, deadline=None)
def test_fast_kernels_equal_the_exact_definition(name, out, exponent, bits, seed):
    """300 random (rule, type, multiplier, accumulator) cases, with ties and the limits of the accumulator."""
    rng = np.random.default_rng(seed)
    channels, bound = 5, float(1 << bits)
    real = 2.0 ** (exponent + rng.uniform(-2, 2, channels))
    real[0] = 2.0 ** np.round(exponent)  # exact ties
    requantizer = build_requantizer(RULES[name], real, params(*out), "node")
    bias = rng.integers(-1000, 1000, channels)
    kernel = fast_kernel(requantizer, bias, bound)
    acc = rng.integers(-(1 << bits) + 1000, (1 << bits) - 1000 if bits > 10 else 2000, (60, channels))
    acc[0], acc[1] = -(1 << bits) - bias, (1 << bits) - bias
    if kernel is None:
        return
    found = np.empty(acc.shape, requantizer.out.dtype.numpy)
    kernel(acc.astype(np.int32), found)
    assert np.array_equal(found, requantizer.exact(acc + bias))


@given(st.floats(-34, -6), st.integers(24, 46), st.sampled_from([(S16, 0), (S8, -77)]), st.integers(0, 2**31))
@settings(max_examples=60, deadline=None)
def test_sums_of_16_bit_layers_have_a_fast_kernel_that_is_exact(exponent, bits, out, seed):
    """Python integers: floor((sum * m + 2**(s - 1)) / 2**s); sums of up to 46 bits, ties and saturated outputs."""
    rng = np.random.default_rng(seed)
    channels, bound = 4, float(1 << bits)
    real = 2.0 ** (exponent + rng.uniform(-2, 2, channels))
    real[0], real[1] = 2.0 ** np.round(exponent), 0.0
    requantizer = build_requantizer(PRESETS["single"], real, params(*out), "node")
    bias = rng.integers(-1000, 1000, channels)
    kernel = fast_kernel(requantizer, bias, bound)
    assert kernel is not None
    acc = rng.integers(-(1 << bits) + 1000, (1 << bits) - 1000, (40, channels))
    near = min(int(2.0 ** (out[0].bits - exponent)), (1 << bits) - 1000)
    acc[20:] = rng.integers(-near, near + 1, (20, channels))
    acc[0], acc[1] = -(1 << bits) - bias, (1 << bits) - bias
    found = np.empty(acc.shape, requantizer.out.dtype.numpy)
    kernel(acc.astype(np.float64), found)
    for c in range(channels):
        m, s = int(requantizer.multiplier[c]), min(int(requantizer.shift[c]), 62)
        for row in range(40):
            value = ((int(acc[row, c]) + int(bias[c])) * m + (1 << s >> 1)) >> s
            clamped = min(max(value + out[1], requantizer.low), requantizer.high)
            assert found[row, c] == clamped, (row, c)


@pytest.mark.parametrize("name", sorted(RULES))
def test_common_layers_have_a_fast_kernel(name):
    requantizer = build_requantizer(RULES[name], np.geomspace(1e-4, 0.05, 16), params(S8, 0), "node")
    assert fast_kernel(requantizer, np.zeros(16, np.int64), 2.0**24) is not None


@pytest.mark.parametrize("name", sorted(RULES))
@pytest.mark.parametrize("shared", [True, False])
@given(columns=st.integers(1, 20), rows=st.integers(0, 150), seed=st.integers(0, 99))
@settings(max_examples=12, deadline=None)
def test_rows_of_few_columns_are_requantized_as_any_others(name, shared, columns, rows, seed):
    """Several short rows are taken as a long one, what is left row by row; memory with gaps as it is."""
    rng = np.random.default_rng(seed)
    real = rng.uniform(1e-4, 1e-2, 1 if shared else columns)
    requantizer = build_requantizer(RULES[name], real, params(S8, -3), "node")
    bias = rng.integers(-999, 999, columns)
    kernel = RowRequantizer(requantizer, bias, Accumulator("node", 32, "saturate", 2.0**20), columns)
    acc = rng.integers(-9999, 9999, (rows, columns)).astype(np.int32)
    out, gaps = np.empty(acc.shape, np.int8), np.empty((rows, columns + 1), np.int8)[:, 1:]
    for target in (out, gaps):
        kernel(acc, target, Tally())
        assert np.array_equal(target, requantizer.exact(acc + bias))


def test_flat_requantizer_keeps_shape_and_memory_order(rng):
    requantizer = build_requantizer(PRESETS["single"], np.array([0.01]), params(S8, 0), "node")
    flat = FlatRequantizer(requantizer, Accumulator("node", 32, "saturate", 1e6))
    acc = rng.integers(-9999, 9999, (3, 7, 11, 13)).transpose(0, 3, 1, 2)
    found = flat(acc, Tally())
    assert np.array_equal(found, requantizer.exact(acc))
    assert found.strides[1] == min(found.strides)


@pytest.mark.parametrize("overflow", ["saturate", "wrap"])
def test_narrow_accumulators_saturate_or_wrap_the_full_sum_and_count(overflow):
    requantizer = build_requantizer(PRESETS["single"], np.array([0.001]), params(S8, 0), "node")
    rows = RowRequantizer(requantizer, np.array([50]), Accumulator("layer", 16, overflow, 1e6), 1)
    acc = np.array([[32000], [32700], [32717], [32718], [-40000], [98304]], np.float32)
    out, tally = np.empty((6, 1), np.int8), Tally()
    rows(acc, out, tally)
    total = acc.astype(int) + 50
    expected = np.clip(total, -32768, 32767) if overflow == "saturate" else (total + 32768) % 65536 - 32768
    assert tally.overflows == {"layer": 3}
    assert np.array_equal(out, requantizer.exact(expected))
