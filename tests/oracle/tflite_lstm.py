"""UNIDIRECTIONAL_SEQUENCE_LSTM: a TFLite model of it, of random integers and scales."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from tflite_builder import Step, Tensor, build_network


@dataclass
class LstmCase:
    """One LSTM in TFLite's order of gates (input, forget, cell, output).

    x: [N, T, I] integers. w: 4 of [H, I]. r: 4 of [H, H]. scales of w and r: [4]. bias: [4, H]. Grids are
    (scale, zero point). cell_power: log2 of the cell's scale. wide: int16 activations.
    """

    x: np.ndarray
    w: np.ndarray
    r: np.ndarray
    w_scale: np.ndarray
    r_scale: np.ndarray
    bias: np.ndarray
    x_grid: tuple[float, int]
    y_grid: tuple[float, int]
    cell_power: int
    wide: bool


def random_case(rng, batch, steps, inputs, units, *, wide=False, spread=1.0, full=False) -> LstmCase:
    """Return a case whose gates' sums spread over about `spread`; full: extreme weights, inputs and grids."""
    kind = np.int16 if wide else np.int8
    low, high = np.iinfo(kind).min, np.iinfo(kind).max
    x = rng.choice([low, high], (batch, steps, inputs)) if full else rng.integers(low, high + 1, (batch, steps, inputs))
    draw = (lambda shape: rng.choice([-127, 127], shape)) if full else (lambda shape: rng.integers(-127, 128, shape))
    scales = np.array([np.exp(rng.uniform(-1, 1)) / high, rng.uniform(0.3, 1.2) / high], np.float32)
    x_scale, y_scale = scales.astype(float).tolist()
    zero = (0, 0) if wide else (int(rng.integers(-128, 128)), int(rng.integers(-128, 128)))
    size = 74 * (high / 2) * np.sqrt([inputs, units])
    w_scale = np.float32(spread * rng.uniform(0.5, 1.5, 4) / size[0] / x_scale)
    r_scale = np.float32(spread * rng.uniform(0.5, 1.5, 4) / size[1] / y_scale)
    bias = np.rint(rng.normal(0, 0.5, (4, units)) / (x_scale * w_scale[:, None])).clip(-(2**30), 2**30).astype(np.int64)
    return LstmCase(
        x.astype(kind), draw((4, units, inputs)).astype(np.int8), draw((4, units, units)).astype(np.int8), w_scale,
        r_scale, bias, (x_scale, zero[0]), (y_scale, zero[1]), int(rng.integers(-15, -9)), wide,
    )  # fmt: skip


def lstm_model(case: LstmCase, *, time_major: bool = False, clip: float = 0.0) -> bytes:
    """Return the TFLite model of a case."""
    kind, bias_kind = ("int16", "int64") if case.wide else ("int8", "int32")
    batch, steps, inputs = case.x.shape
    units = case.r.shape[1]
    order = (steps, batch) if time_major else (batch, steps)
    tensors = [Tensor("x", (*order, inputs), kind, *case.x_grid)]
    tensors += [Tensor(f"w{n}", w.shape, "int8", case.w_scale[n], 0, data=w) for n, w in enumerate(case.w)]
    tensors += [Tensor(f"r{n}", r.shape, "int8", case.r_scale[n], 0, data=r) for n, r in enumerate(case.r)]
    bias_scale = [case.x_grid[0] * float(scale) for scale in case.w_scale]
    tensors += [
        Tensor(f"b{n}", b.shape, bias_kind, bias_scale[n], 0, data=b.astype(bias_kind)) for n, b in enumerate(case.bias)
    ]
    tensors += [
        Tensor("h", (batch, units), kind, *case.y_grid, variable=True),
        Tensor("c", (batch, units), "int16", 2.0**case.cell_power, 0, variable=True),
        Tensor("y", (*order, units), kind, *case.y_grid),
    ]
    inner = [Tensor(f"inner{n}", (0,), "int16", 2.0**-12, 0) for n in range(4)]
    tensors += [*inner, Tensor("hidden", (0,), kind, *case.y_grid)]
    listed = [*range(9), -1, -1, -1, *range(9, 13), -1, -1, 13, 14, -1, -1, -1, -1]
    fields = {"FusedActivationFunction": 4, "CellClip": clip, "ProjClip": 0.0, "TimeMajor": time_major}
    step = Step(
        "UNIDIRECTIONAL_SEQUENCE_LSTM", listed, [15], "UnidirectionalSequenceLSTM", fields, 3, list(range(16, 21))
    )
    return build_network(tensors, [step], [0], [15])
