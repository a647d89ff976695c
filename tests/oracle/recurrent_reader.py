"""LSTM and GRU for `integer_reader`: from the file of integers, docs/deploy.md and docs/arithmetic.md alone."""

import numpy as np
from gate_functions import clamp, half_up, narrowed, rdiv, rha, sigma, tanh


class _Gates:
    """The sums of a layer's gates from its tables, and its walk over steps."""

    def __init__(self, layer):
        self.layer, self.attrs = layer, layer.attrs
        (self.x, x_grid), self.y = layer.operands[0], layer.grid
        self.x_zero, self.wide = x_grid["zero_point"], "s16" in (x_grid["type"], self.y["type"])
        self.w, self.r = (layer.table(name)[0].tolist() for name in ("weight", "recurrent"))
        both = layer.table("bias")[0].tolist()
        self.b, self.d = both[: len(self.w)], both[len(self.w) :]
        self.units = len(self.r[0])
        bits = layer.network["accumulator"]["bits"]
        self.bits, self.wraps = (bits if bits < 32 else 64), layer.network["accumulator"]["overflow"] == "wrap"

    def held(self, total):
        if not self.wraps:
            return clamp(total, self.bits)
        half = 1 << (self.bits - 1)
        return (total + half) % (2 * half) - half

    def gate(self, total, name, row):
        m, e = (int(self.layer.table(f"{name}_{what}")[row]) for what in ("multiplier", "exponent"))
        return half_up(self.held(total) * m, e) if self.wide else narrowed(self.held(total), m, e)

    def input(self, x, row):
        total = sum(w * (v - self.x_zero) for w, v in zip(self.w[row], x, strict=True)) + self.b[row]
        return clamp(self.gate(total, "weight", row), 32)

    def hidden(self, h, row, name, added=0):
        return self.gate(sum(w * v for w, v in zip(self.r[row], h, strict=True)) + added, name, row)

    def joined(self, a, b):
        if "cell_clip" in self.attrs:
            return clamp(clamp(a, 16) + (clamp(b, 16) if self.wide else b), 16)
        reach = 43691 if self.wide else 2**15
        return min(max(a + clamp(b, 32), -reach), reach - 1)

    def number(self, name):
        return tuple(int(self.layer.table(f"{name}_{what}")[0]) for what in ("multiplier", "exponent"))

    def out(self, v):
        low, high = self.layer.layer["clamp"]
        return min(max(self.y["zero_point"] + narrowed(v, *self.number("output")), low), high)

    def initial(self, place, row):
        """Return an initial state without its zero point, and its scale over the output's."""
        if place not in self.layer.operands:
            return [0] * self.units
        values, grid = self.layer.operands[place]
        values = np.broadcast_to(values, (1, self.x.shape[1], self.units))
        return (values[0, row] - grid["zero_point"]).tolist()

    def walk(self, begin, step):
        """Return what `step(x, state, first)` gives of each step and row, [T, N] lists; it returns (state, made)."""
        times, rows = self.x.shape[:2]
        order = range(times) if self.attrs["direction"] == "forward" else range(times - 1, -1, -1)
        made = [[None] * rows for _ in range(times)]
        for row in range(rows):
            state = begin(row)
            for place, t in enumerate(order):
                state, made[t][row] = step(self.x[t, row].tolist(), state, place == 0)
        return made, order[-1]

    def first(self, first):
        """Return the name of the tables of hidden values: those of the first step have a grid of their own."""
        return "first" if first and "first_multiplier" in self.layer.tables else "recurrent"


def lstm(layer):
    g, units = _Gates(layer), _Gates(layer).units
    bits, (low, high) = int(layer.table("cell_bits")[0]), layer.table("cell_limits").tolist()

    def cell(i, c, f, old):
        entering, staying = i * c, f * old
        if g.wide:  # 2^-15 and 2^-(15 + k) as m and e
            kept, added = narrowed(staying, 2**30, -14), narrowed(entering, 2**30, -14 - bits)
            new = clamp(kept, 16) + clamp(added, 16)
        else:
            new = rdiv(staying, 15) + rdiv(entering, 15 + bits)
        return min(max(clamp(new, 16), low), high)

    def step(x, state, first):
        h, c = state
        sums = [g.joined(g.input(x, row), g.hidden(h, row, g.first(first))) for row in range(4 * units)]
        i, o, f = ([sigma(v, g.wide) for v in sums[part * units : (part + 1) * units]] for part in range(3))
        t = [tanh(v, 3, g.wide) for v in sums[3 * units :]]
        cells = [cell(*item) for item in zip(i, t, f, c, strict=True)]
        y = [g.out(gate * tanh(value, bits, g.wide)) for gate, value in zip(o, cells, strict=True)]
        return ([v - g.y["zero_point"] for v in y], cells), (y, cells)

    made, last = g.walk(lambda row: (g.initial(4, row), g.initial(5, row)), step)
    y, cells = (np.array([[item[kind] for item in rows] for rows in made])[:, None] for kind in (0, 1))
    return [y, y[last], cells[last], cells][: len(layer.layer["outputs"])]


def gru(layer):
    g = _Gates(layer)
    units, after, k = g.units, g.attrs["linear_before_reset"], int(layer.table("state_bits")[0])
    scale = layer.operands[4][1]["scale"] if 4 in layer.operands else g.y["scale"]
    first_d = [rha(d * (g.y["scale"] / scale)) for d in g.d]

    def begin(row):
        h = g.initial(4, row)
        return h, [clamp(narrowed(v, *g.number("state")), 16) for v in h]

    def step(x, state, first):
        (h, s), name = state, g.first(first)
        sums = [g.joined(g.input(x, row), g.hidden(h, row, name)) for row in range(2 * units)]
        z, r = ([sigma(v, g.wide) for v in part] for part in (sums[:units], sums[units:]))
        new = []
        for j in range(units):
            row = 2 * units + j
            if after:
                added = (first_d if first else g.d)[row]
                u = (r[j] * clamp(g.hidden(h, row, name, added), 32) + 2**14) >> 15
            else:
                u = g.hidden([(gate * v + 2**14) >> 15 for gate, v in zip(r, h, strict=True)], row, name)
            value = tanh(g.joined(g.input(x, row), u), 3, g.wide)
            new.append(clamp(half_up((2**15 - z[j]) * value + ((z[j] * s[j]) << k), 15 + k), 16))
        y = [g.out(v) for v in new]
        return ([v - g.y["zero_point"] for v in y], new), y

    made, last = g.walk(begin, step)
    y = np.array(made)[:, None]
    return [y, y[last]][: len(layer.layer["outputs"])]
