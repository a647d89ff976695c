"""LSTM and GRU of one direction: their matrices, states, and the outputs that somebody reads."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slimai.codegen.constants import smallest
from slimai.codegen.layouts import identity
from slimai.codegen.writer import LayerWriter, params_type
from slimai.quantizer.params import QParams
from slimai.quantizer.recurrent import CELL, CELLS, HIDDEN, Y_C, Y_H, Y
from slimai.simulator.fixed_point import quantize_multiplier
from slimai.simulator.ops.recurrent import GateSums, Recurrent, cell_integer_bits, cell_limits, state_bits
from slimai.simulator.ops.tflite_tables import sigmoid_steps

Int = NDArray[np.int64]


class _Layer:
    """What an LSTM and a GRU have in common: sizes, types, matrices, the hidden state."""

    def __init__(self, writer: LayerWriter) -> None:
        self.writer, self.core = writer, Recurrent(writer.context)
        node = writer.layer.node
        self.steps, self.batch, self.inputs = writer.shape(node.inputs[0])
        self.units = self.core.units
        self._keep_what_is_read()
        self.hidden_type = _state_type(self.core.y, self.core.h)

    def _keep_what_is_read(self) -> None:
        """Leave out outputs that nobody reads: all hidden values or all cells can be most of a network's memory."""
        graph, step = self.writer.graph, self.writer.step
        read = [name for name in step.outputs if name in graph.outputs or graph.consumers.get(name)]
        step.outputs = tuple(read) or step.outputs[:1]

    def output(self, position: int) -> str:
        """Return the pointer to an output, or '' where it is not there or not read."""
        outputs = self.writer.layer.node.outputs
        name = outputs[position] if position < len(outputs) else ""
        if name not in self.writer.step.outputs:
            return ""
        return self.writer.output(name, identity(len(self.writer.shape(name))))

    def types(self) -> dict[str, str]:
        """Return the types of the kernel."""
        core, found = self.core, {}
        for word, sums in (("w_t", core.input_sums), ("r_t", core.hidden_sums)):
            found[word] = f"{smallest(sums.weights).dtype.name}_t"
        biases = np.concatenate([sums.bias for sums in (core.input_sums, core.hidden_sums, core.first_sums)])
        found["b_t"] = f"{smallest(biases, ('int32', 'int64')).dtype.name}_t"
        found["acc_t"] = "int64_t" if self._checked or core.largest_sum() >= 1 << 31 else "int32_t"
        return {"x_t": params_type(core.x), "h_t": self.hidden_type, "y_t": params_type(core.y), **found}

    @property
    def _checked(self) -> bool:
        return self.core.accumulator_bits() > 0

    def matrices(self, types: dict[str, str]) -> list[str]:
        """Return the constants of both matrices and of the bias."""
        core, constant = self.core, self.writer.constant
        return [
            constant("weight", core.input_sums.weights, types["w_t"]),
            constant("recurrent", core.hidden_sums.weights, types["r_t"]),
            constant("bias", core.input_sums.bias, types["b_t"]),
        ]

    def numbers(self, bits: int, cells: tuple[int, int], out: Iterable[int], entering: tuple[int, int]) -> str:
        """Return the address of the layer's sizes and numbers."""
        core, attrs = self.core, self.writer.context.attrs
        members = [
            self.steps, self.batch, self.inputs, self.units, int(core.backwards),
            int(attrs.get("linear_before_reset", 0)), int(core.wide), int(core.added), core.x.zero_point,
            bits, *cells, *out, *entering, core.accumulator_bits(), core.wraps,
        ]  # fmt: skip
        return f"&{self.writer.struct('recurrent', members, 'layer')}"

    def gates(self) -> str:
        """Return the tables of the three sums of products."""
        core = self.core
        named = [self._table(sums) for sums in (core.input_sums, core.first_sums, core.hidden_sums)]
        return self.writer.struct("gate_table @[3]", named, "gates", fixed=not self.writer.constants.as_file)

    def _table(self, sums: GateSums) -> str:
        """Return a sum's multipliers, one a gate where all rows of each gate have the same, else one a row."""
        pairs = np.stack([sums.multiplier, sums.exponent]).reshape(2, -1, self.units)
        one = bool((pairs == pairs[..., :1]).all())
        multiplier, exponent = pairs[..., 0] if one else pairs.reshape(2, -1)
        named = [
            self.writer.constant("multiplier", multiplier, "int32_t"),
            self.writer.constant("exponent", exponent, "int8_t"),
        ]
        return f"{{{', '.join(named)}, {self.units if one else 1}}}"

    def knots(self) -> str:
        """Return the knots of 16-bit gates, or a null pointer."""
        return self.writer.constant("knots", sigmoid_steps(), "uint16_t") if self.core.wide else "NULL"

    def memory(self, kind: str) -> str:
        """Return scratch memory for a state."""
        return self.writer.scratch(kind, self.batch * self.units)

    def enter(self, position: int, target: str, kind: str) -> None:
        """Write an initial state into `target`: without its zero point; zeros where there is none."""
        writer, context = self.writer, self.writer.context
        node, operand = writer.layer.node, writer.layer.operands.get(position)
        name = node.inputs[position] if position < len(node.inputs) else ""
        if not name:
            writer.step.lines.append(f"memset({target}, 0, sizeof *{target} * {self.batch * self.units}u);")
            return
        grid = context.input(position)
        if operand is not None:
            shape, source = operand[0].shape, writer.constant("initial", operand[0], params_type(grid))
        else:
            shape, source = writer.shape(name), writer.input(name, identity(len(writer.shape(name))))
        step = self.units if shape[-2] == self.batch else 0
        arguments = [source, self.batch, self.units, step, grid.zero_point, target]
        writer.call("enter_state", arguments, x_t=params_type(grid), h_t=kind)

    def leave(self, hidden: str) -> None:
        """Write the last hidden values where they are read."""
        target = self.output(Y_H)
        if target:
            arguments = [hidden, self.batch * self.units, self.core.y.zero_point, target]
            self.writer.call("leave_state", arguments, h_t=self.hidden_type, y_t=params_type(self.core.y))


def _state_type(*grids: QParams) -> str:
    """Return the smallest type of the integers of these grids without their zero points."""
    ends = [end - grid.zero_point for grid in grids for end in (grid.dtype.low, grid.dtype.high)]
    return f"{smallest(np.array(ends)).dtype.name}_t"


def write_lstm(writer: LayerWriter) -> None:
    """Write an LSTM of one direction."""
    layer, context = _Layer(writer), writer.context
    core = layer.core
    bits = cell_integer_bits(context, context.tensors[context.layer.node.outputs[CELLS]])
    out = core.lstm_output()
    cells = cell_limits(float(context.attrs.get("cell_clip", 0.0)), bits)
    types, source = layer.types(), writer.input(writer.layer.node.inputs[0], identity(3))
    hidden, following = layer.memory(layer.hidden_type), layer.memory(layer.hidden_type)
    cell = layer.output(Y_C) or layer.memory("int16_t")
    layer.enter(HIDDEN, hidden, layer.hidden_type)
    layer.enter(CELL, cell, "int16_t")
    arguments: list[Any] = [
        source, *layer.matrices(types), layer.numbers(bits, cells, out, (0, 0)), layer.gates(), layer.knots(), hidden,
        following, cell, layer.output(Y) or "NULL", layer.output(CELLS) or "NULL",
    ]  # fmt: skip
    writer.call("lstm", arguments, **types)
    layer.leave(hidden)


def write_gru(writer: LayerWriter) -> None:
    """Write a GRU of one direction."""
    layer = _Layer(writer)
    core = layer.core
    bits = state_bits(core.y, core.h)
    step = 2.0 ** (bits - 15)
    multiplier, exponent = (int(part[0]) for part in quantize_multiplier(np.array([core.h.scale / step])))
    types, source = layer.types(), writer.input(writer.layer.node.inputs[0], identity(3))
    hidden, following = layer.memory(layer.hidden_type), layer.memory(layer.hidden_type)
    layer.enter(HIDDEN, hidden, layer.hidden_type)
    numbers = layer.numbers(bits, (0, 0), core.output_numbers(step / core.y.scale), (multiplier, exponent))
    arguments: list[Any] = [
        source, *layer.matrices(types), _offsets(layer, types), numbers, layer.gates(), layer.knots(), hidden,
        following, layer.memory("int16_t"), writer.scratch(layer.hidden_type, layer.units), layer.output(Y) or "NULL",
    ]  # fmt: skip
    writer.call("gru", arguments, **types)
    layer.leave(hidden)


def _offsets(layer: _Layer, types: dict[str, str]) -> str:
    """Return the hidden gate's biases of the first step and of the others, where the sum has them."""
    writer, core = layer.writer, layer.core
    named = ["NULL", "NULL"]
    if writer.context.attrs.get("linear_before_reset", 0):
        named = [
            writer.constant("offset", sums.bias[2 * layer.units :], types["b_t"])
            for sums in (core.first_sums, core.hidden_sums)
        ]
    return writer.struct(f"{types['b_t']} *const @[2]", named, "offset", fixed=not writer.constants.as_file)
