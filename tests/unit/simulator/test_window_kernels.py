"""Sums of windows where they lie: kernels against their NumPy twins, `WindowSums` against Python's own sums."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slimai.quantizer.params import S8, S16, U8, QParams
from slimai.simulator import (
    _kernels_bytes,
    _kernels_depthwise,
    _kernels_elementwise,
    _kernels_pool,
    _kernels_softmax,
    _kernels_windows,
    _reference_bytes,
    _reference_depthwise,
    _reference_elementwise,
    _reference_pool,
    _reference_softmax,
    _reference_windows,
    windows,
)
from slimai.simulator.buffers import BufferPool
from slimai.simulator.lookup import look_up
from slimai.simulator.ops.tflite_softmax import exponentials8, tflite_parameters
from slimai.simulator.pictures import pictures_of
from slimai.simulator.product import Matrix
from slimai.simulator.windows import DepthwiseSums, Window, WindowSums, cut_bands, window_engine

broad = pytest.mark.skipif(not _kernels_windows.BROAD, reason="this CPU has no AVX-512")
quads = pytest.mark.skipif(not _kernels_windows.QUADS, reason="this CPU has no AVX512-VNNI, or an older LLVM")
KINDS = [
    pytest.param("quads", np.uint8, 4, marks=quads),
    pytest.param("pairs", np.int16, 2, marks=broad),
    pytest.param("halves", np.int16, 2, marks=broad),
]
INTEGERS = {"s8": (S8, 0), "s8 asymmetric": (S8, -77), "u8": (U8, 131), "s16": (S16, 0)}


def halves(values):
    low = (values + 128) % 256 - 128
    return (values - low) // 256, low


@pytest.mark.parametrize(("engine", "kind", "share"), KINDS)
@given(
    rows=st.integers(1, 30),
    columns=st.integers(1, 70),
    run=st.integers(1, 9),
    taps=st.integers(1, 4),
    seed=st.integers(0, 999),
)
@settings(max_examples=30, deadline=None)
def test_window_kernels_equal_their_twins(engine, kind, share, rows, columns, run, taps, seed):
    rng = np.random.default_rng(seed)
    info = np.iinfo(kind)
    x = rng.integers(info.min, info.max + 1, 4000).astype(kind)
    reach = 128 if engine == "quads" else 32767 if engine == "halves" else 255
    matrix = rng.integers(-reach, reach, (run * taps, columns))
    parts = halves(matrix) if engine == "halves" else (matrix,)
    packed = np.stack([_kernels_windows.pack_windows(part, run, share) for part in parts], axis=1)
    packed = packed.reshape(-1, *packed.shape[2:])
    starts = np.pad(rng.integers(0, 3000, rows), (0, 12)).astype(np.int32)
    offsets = (np.sort(rng.integers(0, 900, taps))[:, None] + np.arange(0, run, share)).reshape(-1).astype(np.int32)
    out = np.full((rows + 12) * columns + 32, -1, np.float64 if engine == "halves" else np.int32)
    mine, theirs = out.copy(), out.copy()
    name = f"window_{engine}"
    for module, acc in ((_kernels_windows, mine), (_reference_windows, theirs)):
        getattr(module, name)(x, starts, rows, offsets, packed, columns, acc)
    used = rows * columns
    assert np.array_equal(mine[:used], theirs[:used])
    places = np.arange(run)[None] + offsets.reshape(taps, -1)[:, :1]
    one = sum(int(x[starts[0] + at]) * int(w) for at, w in zip(places.reshape(-1), matrix[:, 0], strict=True))
    assert mine[0] == one


@pytest.mark.parametrize(("engine", "kind", "share"), KINDS)
@given(st.integers(1, 30), st.integers(1, 70), st.integers(1, 26), st.integers(0, 999))
@settings(max_examples=30, deadline=None)
def test_depthwise_kernels_equal_their_twins(engine, kind, share, rows, channels, taps, seed):
    rng = np.random.default_rng(seed)
    info = np.iinfo(kind)
    x = rng.integers(info.min, info.max + 1, 4000).astype(kind)
    reach = 128 if engine == "quads" else 32767 if engine == "halves" else 255
    matrix = rng.integers(-reach, reach, (taps, channels))
    parts = halves(matrix) if engine == "halves" else (matrix,)
    packed = np.stack([_kernels_depthwise.pack_taps(part, share) for part in parts], axis=2)
    packed = packed.reshape(len(packed), -1, *packed.shape[3:])
    starts = np.pad(rng.integers(0, 3000, rows), (0, 12)).astype(np.int32)
    offsets = np.pad(rng.integers(0, 900, taps), (0, -taps % share)).astype(np.int32)
    out = np.full((rows + 4) * channels + 16, -1, np.float64 if engine == "halves" else np.int32)
    mine, theirs = out.copy(), out.copy()
    for module, acc in ((_kernels_depthwise, mine), (_reference_depthwise, theirs)):
        getattr(module, f"depth_{engine}")(x, starts, rows, offsets, packed, channels, acc)
    used = rows * channels
    assert np.array_equal(mine[:used], theirs[:used])
    last = sum(
        int(x[starts[rows - 1] + at + channels - 1]) * int(w) for at, w in zip(offsets, matrix[:, -1], strict=False)
    )
    assert mine[used - 1] == last


def brute(x, weights, window, zero, depthwise):
    """Return sums of (x - zero) * w in int64, [N * OH * OW, O]; x [N, H, W, C], weights [KH, KW, C / group, O]."""
    top, left, bottom, right = window.pads
    inner = window.cropped(x).astype(np.int64) - zero
    padded = np.pad(inner, ((0, 0), (max(top, 0), max(bottom, 0)), (max(left, 0), max(right, 0)), (0, 0)))
    height, width = window.output(x.shape[1], x.shape[2])
    total = 0
    for ky in range(window.kernel[0]):
        for kx in range(window.kernel[1]):
            y, at = ky * window.dilations[0], kx * window.dilations[1]
            rows = slice(y, y + (height - 1) * window.strides[0] + 1, window.strides[0])
            part = padded[:, rows, at : at + (width - 1) * window.strides[1] + 1 : window.strides[1]]
            if depthwise:
                total = total + part * weights[ky, kx, 0]
            else:
                groups = weights.shape[3] // (weights.shape[3] * weights.shape[2] // part.shape[3])
                split = np.split(part, groups, axis=3)
                each = np.split(weights[ky, kx], groups, axis=1)
                total = total + np.concatenate([a @ b for a, b in zip(split, each, strict=True)], axis=3)
    return total.reshape(-1, total.shape[3])


@broad
@given(data=st.data(), kind=st.sampled_from(sorted(INTEGERS)), depthwise=st.booleans(), small=st.booleans())
@settings(max_examples=150, deadline=None)
def test_sums_of_windows_are_those_of_int64(data, kind, depthwise, small):
    """Any geometry, groups, bands of a few rows, memory in any order; the zero point's rest is told by `zero`."""
    draw = data.draw
    pair = lambda low, high: (draw(st.integers(low, high)), draw(st.integers(low, high)))
    kernel, strides, dilations = pair(1, 3), pair(1, 2), pair(1, 2)
    pads = tuple(draw(st.integers(-1, 2)) for _ in range(4))
    images, channels, groups = draw(st.integers(1, 3)), draw(st.integers(1, 20)), draw(st.sampled_from([1, 1, 2]))
    height, width = pair(7, 12)
    window = Window(kernel, strides, dilations, pads)
    params = QParams(INTEGERS[kind][0], 0.1, INTEGERS[kind][1])
    rng = np.random.default_rng(draw(st.integers(0, 999)))
    groups = channels if depthwise else groups
    channels, depth = (channels, 1) if depthwise else (channels * groups, channels)
    outputs = channels if depthwise else groups * draw(st.integers(1, 20))
    reach = 32767 if kind == "s16" else 127
    weights = rng.integers(-reach, reach + 1, (*kernel, depth, outputs))
    x = rng.integers(params.dtype.low, params.dtype.high + 1, (images, height, width, channels)).astype(
        params.dtype.numpy
    )
    if draw(st.booleans()):
        x = np.ascontiguousarray(x.transpose(0, 3, 1, 2)).transpose(0, 2, 3, 1)
    if depthwise:
        matrices = (Matrix(weights.reshape(-1, channels)),)
    else:
        matrices = tuple(Matrix(part.reshape(-1, outputs // groups)) for part in np.split(weights, groups, axis=3))
    most = float(np.abs(weights).sum(axis=(0, 1, 2)).max()) * max(params.dtype.high - params.zero_point, 256)
    engine = window_engine(matrices, params, most, 0.0)
    assert engine == (
        "halves" if most >= 2**31 else "pairs" if kind == "s16" or not _kernels_windows.QUADS else "quads"
    )
    with pytest.MonkeyPatch.context() as patch:
        if small:
            patch.setattr(windows, "_BAND_BYTES", 300)
            patch.setattr(windows, "_TILE_SUMS", 50)
        cut_bands.cache_clear()
        sums = (DepthwiseSums if depthwise else WindowSums)(engine, matrices, window, params, BufferPool())
        found, at = [], 0
        for first, part in sums(x):
            assert first == at
            at += len(part)
            found.append(part.astype(np.int64))
        cut_bands.cache_clear()
    rest = sums.zero * np.concatenate([matrix.values.astype(np.int64).sum(axis=0) for matrix in matrices])
    expected = brute(x, weights, window, params.zero_point, depthwise)
    assert np.array_equal(np.concatenate(found) - rest, expected)


@pytest.mark.parametrize("kind", [np.int8, np.uint8, np.int16], ids=lambda d: d.__name__)
@given(
    kernel=st.tuples(st.integers(1, 4), st.integers(1, 4)),
    stride=st.integers(1, 3),
    near=st.integers(0, 2),
    seed=st.integers(0, 99),
)
@settings(max_examples=20, deadline=None)
def test_pool_kernels_equal_their_twins(kind, kernel, stride, near, seed):
    rng, info = np.random.default_rng(seed), np.iinfo(kind)
    x = rng.integers(info.min, info.max + 1, (2, 6, 7, 5)).astype(kind)
    geometry = (kernel, (stride, 1), (1, 2), (near, 0))
    for name, out, other in (("window_sums", np.int32, np.int32(3)), ("window_maxima", kind, kind(info.min))):
        mine, theirs = (np.empty((2, 4, 6, 5), out) for _ in range(2))
        getattr(_kernels_pool, name)(x, other, *geometry, mine)
        getattr(_reference_pool, name)(x, other, *geometry, theirs)
        assert np.array_equal(mine, theirs)
        assert np.unique(mine).size > 2


@given(st.integers(1, 9), st.integers(1, 40), st.floats(1e-4, 1.0), st.integers(0, 999))
@settings(max_examples=40, deadline=None)
def test_softmax_kernels_equal_their_twins(rows, depth, scale, seed):
    rng = np.random.default_rng(seed)
    x = rng.integers(-128, 128, (rows, depth)).astype(np.int8)
    kernel = tflite_parameters(QParams(S8, scale, 5), QParams(S8, 2.0**-8, -128), depth, interpolated=False)
    powers, tables = exponentials8(kernel), np.zeros((2, 256), np.int64)
    tables[0, : powers.size], tables[1, : powers.size] = powers, (powers + 2048) >> 12
    table = np.rint(np.exp(-np.arange(256) * scale) * 2.0**23).astype(np.int64)
    cases = {"divided_rows": (table, 256, -128), "tflite_rows": (tables, kernel.radius, 12 + 31 - 8, -128)}
    for name, arguments in cases.items():
        mine, theirs = (np.empty((rows, depth), np.int64) for _ in range(2))
        getattr(_kernels_softmax, name)(x, *arguments, mine)
        getattr(_reference_softmax, name)(x, *arguments, theirs)
        assert np.array_equal(mine, theirs)


@pytest.mark.parametrize("planes", [False, True], ids=["channels last", "planes"])
@pytest.mark.parametrize(("source", "target"), [(np.uint8, np.uint8), (np.int8, np.int16), (np.int16, np.int16)])
@given(
    channels=st.integers(1, 4),
    pads=st.tuples(*[st.integers(-1, 2)] * 4),
    top=st.integers(-8, 4),
    tall=st.integers(1, 9),
    zero=st.integers(-128, 131),
)
@settings(max_examples=25, deadline=None)
def test_placing_is_what_its_twin_does_and_plain_padding(planes, source, target, channels, pads, top, tall, zero):
    """A band may begin within the picture (top < 0), end beyond it, or hold nothing of it; negative pads crop."""
    info = np.iinfo(source)
    x = np.random.default_rng(1).integers(info.min, info.max + 1, (2, 6, 5, channels)).astype(source)
    if planes:
        x = np.ascontiguousarray(x.transpose(0, 3, 1, 2)).transpose(0, 2, 3, 1)
    window = Window((1, 1), (1, 1), (1, 1), pads)
    pictures, inner = pictures_of(x, pads, pointwise=False), window.cropped(x)
    left, right = max(pads[1], 0), max(pads[3], 0)
    row, fill = (inner.shape[2] + left + right) * channels, target(7)
    arguments = (*pictures, np.int32(zero), fill, top, left * channels)
    mine, theirs = (np.empty(2 * tall * row, target) for _ in range(2))
    _kernels_windows.place(*arguments, mine, row)
    _reference_windows.place(*arguments, theirs, row)
    assert np.array_equal(mine, theirs)
    shifted = (inner.astype(np.int64) - zero).astype(target)
    far = np.pad(shifted, ((0, 0), (20, 20), (left, right), (0, 0)), constant_values=7)
    expected = far[:, 20 - top : 20 - top + tall]
    assert np.array_equal(mine.reshape(expected.shape), expected)


def test_pixels_of_a_pointwise_layer_are_rows_of_their_own():
    x = np.arange(2 * 3 * 4 * 5, dtype=np.int16).reshape(2, 5, 3, 4).transpose(0, 2, 3, 1)
    pictures = pictures_of(x, (0, 0, 0, 0), pointwise=True)
    assert pictures[1:] == ((1, 24, 1, 5), (120, 5, 5, 1))
    assert np.array_equal(pictures.flat, x.reshape(-1))


@pytest.mark.parametrize("kind", [np.int16, np.uint8], ids=lambda d: d.__name__)
def test_sloped_kernels_equal_their_twins(kind):
    rng, info = np.random.default_rng(2), np.iinfo(kind)
    x = rng.integers(info.min, info.max + 1, (40, 7)).astype(kind)
    slopes = rng.integers(-32767, 32768, 7).astype(np.int32)
    mine, theirs = np.empty((40, 7), np.int32), np.empty((40, 7), np.int32)
    _kernels_elementwise.sloped_rows(x, np.int32(9), slopes, mine)
    _reference_elementwise.sloped_rows(x, np.int32(9), slopes, theirs)
    assert np.array_equal(mine, theirs)
    below, above = rng.integers(-99, 99, 280).astype(np.int16), rng.integers(-99, 99, 280).astype(np.int16)
    chosen = [above.copy(), above.copy()]
    _kernels_elementwise.chosen_rows(x.reshape(-1), np.int32(9), below, chosen[0])
    _reference_elementwise.chosen_rows(x.reshape(-1), np.int32(9), below, chosen[1])
    assert np.array_equal(*chosen)
    assert not np.array_equal(chosen[0], above)


@pytest.mark.skipif(not _kernels_bytes.AVAILABLE, reason="this CPU has no AVX512-VBMI")
@pytest.mark.parametrize("kind", [np.int8, np.uint8], ids=lambda d: d.__name__)
@pytest.mark.parametrize("size", [1, 63, 64, 1000])
def test_tables_of_bytes_equal_their_twin_and_the_general_look_up(kind, size):
    rng, info = np.random.default_rng(size), np.iinfo(kind)
    x, table = rng.integers(info.min, info.max + 1, size).astype(kind), rng.permutation(256).astype(np.uint8)
    mine, theirs = np.empty(size, np.uint8), np.empty(size, np.uint8)
    _kernels_bytes.look_up_bytes(x.view(np.uint8), np.uint8(-info.min), table, mine)
    _reference_bytes.look_up_bytes(x.view(np.uint8), np.uint8(-info.min), table, theirs)
    assert np.array_equal(mine, theirs)
    assert np.array_equal(mine, table[x.astype(int) - info.min])
    assert np.array_equal(look_up(x, info.min, table, BufferPool()), mine)


@broad
@pytest.mark.parametrize("depth", [500, 3000, 9000])
def test_deep_sums_of_16_bits_are_added_in_parts(depth):
    """All weights and integers at their ends: no order of additions may leave 32 bits."""
    weights = np.full((depth, 17), 32767)
    weights[:, 1], weights[:, 2], weights[::2, 3] = -32767, 128, 127
    matrix, params = Matrix(weights.astype(np.int16)), QParams(S16, 0.1, 0)
    window = Window((1, 1), (1, 1), (1, 1), (0, 0, 0, 0))
    engine = window_engine((matrix,), params, float(depth) * 32767 * 32768, 0.0)
    assert engine == "halves"
    sums = WindowSums(engine, (matrix,), window, params, BufferPool())
    assert (sums.parts > 1) == (depth > 511)
    x = np.full((1, 1, 3, depth), -32768, np.int16)
    x[0, 0, 1] = 32767
    found = np.concatenate([part for _, part in sums(x)])
    assert np.array_equal(found.astype(np.int64), x.reshape(3, depth).astype(np.int64) @ weights)
    assert window_engine((matrix,), params, float(depth) * 32767 * 32768, 0.0, parted=False) == (
        "halves" if depth < 512 else None
    )
