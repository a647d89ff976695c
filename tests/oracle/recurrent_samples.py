"""LSTM and GRU: scalar models in Python integers, written from docs/arithmetic.md, section 6, and samples of them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from gate_functions import clamp, half_up, multiplier, narrow, rdiv, rha, sigma, tanh
from operator_case import Case, Sample
from plans import params

from slimai.graph.ir import Node
from slimai.quantizer.params import INT_TYPES
from slimai.quantizer.plan import QWeight


class Gates:
    """The sums of one layer's gates. case: W, R, B in `case.matrices`; initial states follow x in `case.x`."""

    def __init__(self, case: Case) -> None:
        self.case, self.x_q, self.y_q = case, case.ins[0], case.outs[0]
        self.wide = 16 in (self.x_q.bits, self.y_q.bits)
        self.apart = "cell_clip" in case.attrs  # of TFLite's own networks
        self.w, self.r = (case.matrices[n].values[0].tolist() for n in (1, 2))
        self.w_scale, self.r_scale = (case.matrices[n].scale.tolist() for n in (1, 2))
        both = case.matrices[3].values[0].tolist()
        self.b, self.d = both[: len(self.w)], both[len(self.w) :]
        self.units = len(self.r[0])

    def gate(self, v: int, real: float) -> int:
        if not self.wide:
            return narrow(v, real)
        m, e = multiplier(real)
        m16 = 32767 if m >= 0x7FFF0000 else (m + 2**15) >> 16
        return half_up(v * m16, min(max(15 - e, 0), 62))

    def join(self, a: int, b: int) -> int:
        return clamp(clamp(a, 16) + (clamp(b, 16) if self.wide else b), 16)

    def added(self, a: int, b: int) -> int:
        reach = 43691 if self.wide else 2**15
        return min(max(a + clamp(b, 32), -reach), reach - 1)

    @staticmethod
    def real(a: float, b: float) -> float:
        return float(np.float32(a) * np.float32(b)) * 2.0**12

    def input(self, x: list[int], row: int) -> int:
        total = sum(w * (v - self.x_q.zero) for w, v in zip(self.w[row], x, strict=True)) + self.b[row]
        return clamp(self.gate(total, self.real(self.x_q.scale, self.w_scale[row])), 32)

    def hidden(self, h: list[int], row: int, scale: float, added: int = 0) -> int:
        total = sum(w * v for w, v in zip(self.r[row], h, strict=True)) + added
        return self.gate(total, self.real(scale, self.r_scale[row]))

    def sequence(self):
        """Return steps in the order of the direction: (t, batch row, x)."""
        steps, batch, _ = self.case.x[0].shape
        order = range(steps) if self.case.attrs["direction"] == "forward" else range(steps - 1, -1, -1)
        return [(t, n, self.case.x[0][t][n].tolist()) for n in range(batch) for t in order]

    def initial(self, place: int, batch: int) -> list[int]:
        """Return an initial state without its zero point."""
        if len(self.case.x) <= place:
            return [0] * self.units
        zero = self.case.ins[place].zero
        return [v - zero for v in self.case.x[place][0][batch].tolist()]

    def out(self, v: int, real: float) -> int:
        y = self.y_q
        return min(max(y.zero + narrow(v, real), y.low), y.high)


def _collected(case, steps, values):
    """Return Y, Y_h (and Y_c, cells) as flat lists, from (t, n) -> list of integers of each kind."""
    count, batch, _ = case.x[0].shape
    last = count - 1 if case.attrs["direction"] == "forward" else 0
    found = []
    for kind in values:
        every = [v for t in range(count) for n in range(batch) for v in kind[t, n]]
        final = [v for n in range(batch) for v in kind[last, n]]
        found.append((every, final))
    (y, y_h), *cells = found
    return [y, y_h, *([cells[0][1], cells[0][0]] if cells else [])][:steps]


def lstm(case):
    g, ys, cs = Gates(case), {}, {}
    bits = round(math.log2(case.outs[-1].scale)) + 15
    units, scale = g.units, g.y_q.scale
    single = np.float32
    real = 2.0**-30 / scale if g.wide else float(single(2.0**-15) / single(scale) * single(2.0**-15))
    state: dict[int, tuple[list[int], list[int]]] = {}
    for t, n, x in g.sequence():
        first = n not in state
        h, c = state.get(n) or (g.initial(1, n), g.initial(2, n))
        s_h = case.ins[1].scale if first and len(case.ins) > 1 else scale
        join = g.join if g.apart else g.added
        sums = [join(g.input(x, row), g.hidden(h, row, s_h)) for row in range(4 * units)]
        new = []
        for j in range(units):
            i, o, f = (sigma(sums[part * units + j], g.wide) for part in range(3))
            entering, staying = i * tanh(sums[3 * units + j], 3, g.wide), f * c[j]
            if g.wide:
                kept, added = narrow(staying, 2.0**-15), narrow(entering, 2.0 ** -(15 + bits))
                cell = clamp(clamp(kept, 16) + clamp(added, 16), 16)
            else:
                cell = clamp(rdiv(staying, 15) + rdiv(entering, 15 + bits), 16)
            new.append((cell, g.out(o * tanh(cell, bits, g.wide), real)))
        cs[t, n], ys[t, n] = [cell for cell, _ in new], [y for _, y in new]
        state[n] = ([y - g.y_q.zero for y in ys[t, n]], cs[t, n])
    return _collected(case, 3, (ys, cs))


def gru(case):
    g, ys = Gates(case), {}
    units, scale, after = g.units, g.y_q.scale, case.attrs["linear_before_reset"]
    grids = [g.y_q, *case.ins[1:2]]
    reach = max(max(q.high - q.zero, q.zero - q.low) * q.scale for q in grids)
    k = max(math.ceil(math.log2(reach)), 0)
    state: dict[int, tuple[list[int], list[int]]] = {}
    for t, n, x in g.sequence():
        first = n not in state
        s_h = case.ins[1].scale if first and len(case.ins) > 1 else scale
        if first:
            h = g.initial(1, n)
            s = [clamp(narrow(v, s_h / 2.0 ** (k - 15)), 16) for v in h]
        else:
            h, s = state[n]
        sums = [g.added(g.input(x, row), g.hidden(h, row, s_h)) for row in range(2 * units)]
        gates = [sigma(v, g.wide) for v in sums]
        z, r = gates[:units], gates[units:]
        new = []
        for j in range(units):
            row = 2 * units + j
            if after:
                added = rha(g.d[row] * (scale / s_h))
                u = (r[j] * clamp(g.hidden(h, row, s_h, added), 32) + 2**14) >> 15
            else:
                u = g.hidden([(gate * v + 2**14) >> 15 for gate, v in zip(r, h, strict=True)], row, s_h)
            value = tanh(g.added(g.input(x, row), u), 3, g.wide)
            new.append(clamp(half_up((2**15 - z[j]) * value + ((z[j] * s[j]) << k), 15 + k), 16))
        ys[t, n] = [g.out(v, 2.0 ** (k - 15) / scale) for v in new]
        state[n] = ([y - g.y_q.zero for y in ys[t, n]], new)
    return _collected(case, 2, (ys,))


STEPS, BATCH, INPUTS, UNITS = 6, 2, 5, 4
_STATE = (1, BATCH, UNITS)


def _sample(model, gates, states, direction, **attrs):
    steps = (STEPS, 1, BATCH, UNITS)
    cells = (_STATE, steps) if model is lstm else ()
    constants = {1: (1, gates * UNITS, INPUTS), 2: (1, gates * UNITS, UNITS), 3: (1, 2 * gates * UNITS)}
    return Sample(
        model, ((STEPS, BATCH, INPUTS), *(_STATE,) * states), (steps, _STATE, *cells),
        {"direction": direction, "hidden_size": UNITS, **attrs}, constants, inner=len(cells) // 2,
    )  # fmt: skip


RECURRENT = {
    "LSTM": (
        _sample(lstm, 4, 0, "forward"),
        _sample(lstm, 4, 2, "reverse"),
        _sample(lstm, 4, 1, "forward"),
        _sample(lstm, 4, 2, "forward", cell_clip=0.0),
    ),
    "GRU": (
        _sample(gru, 3, 0, "forward", linear_before_reset=0),
        _sample(gru, 3, 1, "reverse", linear_before_reset=0),
        _sample(gru, 3, 1, "forward", linear_before_reset=1),
    ),
}


def matrices(node: Node, sample: Sample, dtype: str, rng: np.random.Generator) -> dict[int, QWeight]:
    """Return random integer weights, recurrent weights and biases of a layer."""
    wide = dtype == "s16"
    kind = INT_TYPES["s16" if wide else "s8"]
    gates = sample.constants[1][1] // UNITS
    found = {}
    for position in (1, 2):
        values = rng.integers(-kind.high, kind.high + 1, sample.constants[position]).astype(kind.numpy)
        scale = np.repeat(np.float32(rng.uniform(0.5, 2.0, gates) / kind.high), UNITS).astype(np.float64)
        found[position] = QWeight(values, kind, scale, 1)
    bias = np.zeros(sample.constants[3])
    bias[:, : gates * UNITS] = rng.normal(0, 60 if wide else 0.5, gates * UNITS) * kind.high * 64
    if sample.attrs.get("linear_before_reset"):
        bias[:, -UNITS:] = rng.normal(0, 60 if wide else 0.5, UNITS) * kind.high * 64
    stored = INT_TYPES["s64" if wide else "s32"]
    found[3] = QWeight(np.rint(bias).astype(stored.numpy), stored, np.ones(2 * gates * UNITS), 1)
    return found


def grid_of(position: int, dtype: str, steps: int, zero: int, rng: np.random.Generator) -> Any:
    """Return the grid of an output (0: Y, 1: Y_h alike; 2, 3: cells)."""
    if position >= 2:
        return params("s16", 2.0 ** int(rng.integers(-15, -10)))
    return params(dtype, float(np.float32(rng.uniform(1.0, 2.0))) / steps, zero)
