"""Windows to output integers in one kernel, and its NumPy twin, against sums of int64 with `Requantizer.exact`."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slimai.quantizer.params import S8, S16, U8, QParams
from slimai.simulator import _kernels_requantize, _kernels_windows, _reference_fused, windows
from slimai.simulator.buffers import BufferPool
from slimai.simulator.finish import Scaled, TwoStep, Xi, finish_of
from slimai.simulator.product import Matrix
from slimai.simulator.requantize import PRESETS, build_requantizer
from slimai.simulator.rows import fast_kernel
from slimai.simulator.windows import DepthwiseSums, Window, WindowSums, cut_bands

broad = pytest.mark.skipif(not _kernels_windows.BROAD, reason="this CPU has no AVX-512")
# engine, preset, type of inputs and of outputs with their zero points, largest weight
CASES = {
    "quads xi": ("quads", "xi_sym", (S8, 0), (S8, 0), 127),
    "quads gemmlowp": ("quads", "gemmlowp", (U8, 131), (U8, 77), 127),
    "pairs s64": ("pairs", "tflite_s64", (S16, 0), (S16, 0), 200),
    "pairs xi": ("pairs", "xi_sym", (S8, -77), (S8, -5), 900),
    "halves s64": ("halves", "tflite_s64", (S16, 0), (S16, 0), 32767),
    "halves s64 to s8": ("halves", "tflite_s64", (S16, 0), (S8, -77), 32767),
}
RULES = {"xi_sym": Xi, "gemmlowp": TwoStep, "tflite_s64": Scaled}


def layer(name, data, depthwise):
    """Return window, x [N, H, W, C], weights [KH, KW, C / group, O], both types and the groups of one drawn layer."""
    _, _, x_type, out_type, reach = CASES[name]
    draw = data.draw
    pair = lambda low, high: (draw(st.integers(low, high)), draw(st.integers(low, high)))
    kernel, strides, dilations = pair(1, 3), pair(1, 2), pair(1, 2)
    window = Window(kernel, strides, dilations, tuple(draw(st.integers(-1, 2)) for _ in range(4)))
    channels, groups = draw(st.integers(1, 40)), draw(st.sampled_from([1, 1, 2]))
    groups = channels if depthwise else groups
    depth = 1 if depthwise else channels
    channels = channels if depthwise else channels * groups
    outputs = channels if depthwise else groups * draw(st.integers(1, 70))
    rng = np.random.default_rng(draw(st.integers(0, 999)))
    weights = rng.integers(-reach, reach + 1, (*kernel, depth, outputs))
    low, high = x_type[0].low, x_type[0].high
    x = rng.integers(low, high + 1, (draw(st.integers(1, 3)), *pair(7, 12), channels)).astype(x_type[0].numpy)
    if draw(st.booleans()):
        x = np.ascontiguousarray(x.transpose(0, 3, 1, 2)).transpose(0, 2, 3, 1)
    return window, x, weights, QParams(x_type[0], 0.1, x_type[1]), QParams(out_type[0], 0.2, out_type[1]), groups


def brute(x, weights, window, zero, groups):
    """Return sums of (x - zero) * w in int64, [N * OH * OW, O]."""
    top, left, bottom, right = window.pads
    inner = window.cropped(x).astype(np.int64) - zero
    padded = np.pad(inner, ((0, 0), (max(top, 0), max(bottom, 0)), (max(left, 0), max(right, 0)), (0, 0)))
    height, width = window.output(x.shape[1], x.shape[2])
    total = 0
    for ky, kx in np.ndindex(*window.kernel):
        y, at = ky * window.dilations[0], kx * window.dilations[1]
        rows = slice(y, y + (height - 1) * window.strides[0] + 1, window.strides[0])
        part = padded[:, rows, at : at + (width - 1) * window.strides[1] + 1 : window.strides[1]]
        pairs = zip(np.split(part, groups, axis=3), np.split(weights[ky, kx], groups, axis=1), strict=True)
        total = total + np.concatenate([a @ b for a, b in pairs], axis=3)
    return total.reshape(-1, total.shape[3])


def prepared(name, data, depthwise):
    """Return x, the sums, its layer, the rule and the requantizer with its bias, of one drawn layer."""
    window, x, weights, params, out, groups = layer(name, data, depthwise)
    engine, preset, *_ = CASES[name]
    engine = "pairs" if engine == "quads" and not _kernels_windows.QUADS else engine
    outputs, totals = weights.shape[3], np.abs(weights).sum(axis=(0, 1, 2))
    if depthwise:
        matrices = (Matrix(weights.reshape(-1, outputs)),)
    else:
        matrices = tuple(Matrix(part.reshape(-1, outputs // groups)) for part in np.split(weights, groups, axis=3))
    made = (DepthwiseSums if depthwise else WindowSums)(engine, matrices, window, params, BufferPool())
    sums = brute(x, weights, window, params.zero_point, groups)
    rng = np.random.default_rng(0)
    bias, largest = rng.integers(-5000, 5001, outputs), max(*np.abs(sums).max(axis=0), 1)
    real = 2.0 ** (rng.uniform(-3, 1, outputs) + out.dtype.bits) / float(largest)
    real[::3] = 2.0 ** np.round(np.log2(real[::3]))  # exact ties
    limits = out.dtype.low, out.dtype.high - 3
    requantizer = build_requantizer(PRESETS[preset], np.minimum(real, 0.9), out, "node", limits)
    bound = float(
        totals.max() * max(params.dtype.high - params.zero_point, params.zero_point - params.dtype.low) + 5000
    )
    rule = made.finish(fast_kernel(requantizer, bias - made.zero * weights.sum(axis=(0, 1, 2)), bound), bound)
    return x, sums + bias, made, rule, requantizer


@broad
@pytest.mark.parametrize("name", sorted(CASES))
@pytest.mark.parametrize("depthwise", [False, True], ids=["dense", "depthwise"])
@given(data=st.data(), small=st.booleans(), twin=st.booleans())
@settings(max_examples=25, deadline=None)
def test_fused_layers_are_exact(name, depthwise, data, small, twin):
    """Any geometry, groups, bands and memory order; ties and both ends of the clamp; nothing beyond the last row."""
    x, sums, made, rule, requantizer = prepared(name, data, depthwise)
    assert isinstance(rule, RULES[CASES[name][1]])
    found = np.full((len(sums) + 1, sums.shape[1]), 99, requantizer.out.dtype.numpy)
    with pytest.MonkeyPatch.context() as patch:
        if small:
            patch.setattr(windows, "_BAND_BYTES", 300)
        if twin:
            made._fused = getattr(_reference_fused, made._fused.__name__)
        cut_bands.cache_clear()
        made.write(x, rule, found[:-1])
        cut_bands.cache_clear()
    assert np.array_equal(found[:-1], requantizer.exact(sums))
    assert np.all(found[-1] == 99)


def test_rules_are_made_only_where_they_are_exact():
    blocks, bias, s16 = np.array([0]), np.array([3, -7]), QParams(S16, 0.1, 0)
    wide = build_requantizer(PRESETS["tflite_s64"], np.array([2.0**-20, 2.0**-9]), s16, "node")
    kernel = fast_kernel(wide, bias, 2.0**40)
    assert kernel.args[0] is _kernels_requantize.scaled_long_rows
    assert isinstance(finish_of(kernel, 2.0**40, blocks), Scaled)
    assert finish_of(kernel, 2.0**48, blocks) is None
    assert finish_of(None, 1.0, blocks) is None
    single = fast_kernel(build_requantizer(PRESETS["ort_f32"], np.array([0.01]), s16, "node"), bias, 99.0)
    assert finish_of(single, 99.0, blocks) is None


def test_tables_lie_by_blocks_of_columns():
    bias = np.arange(20)
    requantizer = build_requantizer(PRESETS["xi_sym"], np.full(20, 2.0**-9), QParams(S8, 0.1, 0), "node")
    kernel = fast_kernel(requantizer, bias, 1000.0)
    rule = finish_of(kernel, 1000.0, np.array([0, 4]))
    assert rule.tables.shape == (2, 7, 16)
    assert np.array_equal(rule.tables[1], kernel.args[1][0][:, 4:])
    rest = finish_of(kernel, 1000.0, np.array([0, 16])).tables[1]
    assert np.array_equal(rest[:, :4], kernel.args[1][0][:, 16:])
    assert not rest[:, 4:].any()
