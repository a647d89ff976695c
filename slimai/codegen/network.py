"""From a compiled program to the C of each layer: refusals first, then layers, constants, kernels and memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from slimai.codegen.constants import Constants
from slimai.codegen.kernels import KernelSet
from slimai.codegen.layers import writer_for
from slimai.codegen.layouts import Order, memory_orders
from slimai.codegen.options import CodeOptions
from slimai.codegen.storage import Storage, plan_storage
from slimai.codegen.writer import LayerWriter, Step
from slimai.errors import InputError
from slimai.quantizer.plan import QuantPlan
from slimai.simulator.context import LayerContext, Overflow
from slimai.simulator.host import HostSegment
from slimai.simulator.program import IntegerStep, Program, Target

_HOST = "move it into the integer network, or leave it to the application (network.cut_outputs)"


@dataclass(frozen=True, eq=False)
class Network:
    """A network whose C is made: its layers, what they read, and where their tensors lie."""

    name: str
    plan: QuantPlan
    options: CodeOptions
    steps: tuple[Step, ...]
    orders: Mapping[str, Order]
    constants: Constants
    kernels: KernelSet
    storage: Storage
    arithmetic: Mapping[str, str]

    @property
    def prefix(self) -> str:
        """The prefix of every external symbol."""
        return self.options.prefix

    def c_type(self, tensor: str) -> str:
        """Return the C type of a tensor's elements."""
        params = self.plan.tensors.get(tensor)
        return "int64_t" if params is None else f"{params.dtype.numpy.name}_t"

    def count(self, tensor: str) -> int:
        """Return the number of elements of a tensor."""
        return int(np.prod(self.plan.graph.shape(tensor)))

    def bytes(self, tensor: str) -> int:
        """Return the bytes of a tensor."""
        return self.count(tensor) * np.dtype(self.c_type(tensor).removesuffix("_t")).itemsize

    def memory_shape(self, tensor: str) -> tuple[int, ...]:
        """Return a tensor's shape in memory order."""
        return tuple(self.plan.graph.shape(tensor)[axis] for axis in self.orders[tensor])


def build_network(program: Program, target: Target, options: CodeOptions) -> Network:
    """Return the C of a program's layers.

    Raises:
        InputError: layers on the host, under `ort_f32`, of an operator without a C kernel, or of a shape that the
            kernels cannot walk; all of them, by name.
    """
    _refuse(program)
    plan = program.plan
    orders = tensor_orders(program)
    constants = Constants(options.prefix, options.weights == "file")
    kernels = KernelSet(options.prefix)
    steps, errors = [], []
    for index, item in enumerate(program.steps):
        if isinstance(item, IntegerStep):
            try:
                steps.append(write_step(index, item, plan, target, orders, constants, kernels))
            except InputError as error:
                errors.append(error)
    if errors:
        raise InputError(item for error in errors for item in error.diagnostics)
    storage = storage_of(plan, steps)
    return Network(
        plan.graph.name, plan, options, tuple(steps), orders, constants, kernels, storage, dict(program.arithmetic)
    )


def tensor_orders(program: Program) -> Mapping[str, Order]:
    """Return tensor -> axes in memory order, of the network's inputs too."""
    graph = program.plan.graph
    layers = tuple(step.layer for step in program.steps if isinstance(step, IntegerStep))
    orders = dict(memory_orders(graph, layers))
    for name in graph.inputs:
        orders.setdefault(name, tuple(range(len(graph.shape(name)))))
    return orders


def storage_of(plan: QuantPlan, steps: Sequence[Step]) -> Storage:
    """Return where the tensors of the steps lie."""
    graph = plan.graph
    sizes = {name: _size(plan, name) for step in steps for name in (*step.inputs, *step.outputs)}
    sizes.update({name: _size(plan, name) for name in graph.inputs})
    return plan_storage(steps, sizes, graph.inputs, graph.outputs)


def _size(plan: QuantPlan, tensor: str) -> tuple[int, int]:
    params = plan.tensors.get(tensor)
    width = 8 if params is None else params.dtype.numpy.itemsize
    return int(np.prod(plan.graph.shape(tensor))) * width, width


def write_step(
    index: int, item: IntegerStep, plan: QuantPlan, target: Target, orders: Mapping[str, Order], constants: Constants,
    kernels: KernelSet,
) -> Step:  # fmt: skip
    """Return the C of one layer, whose operator has a kernel."""
    layer = item.layer
    overflow: Overflow = target.acc_overflow
    context = LayerContext(layer, plan.graph, plan.tensors, item.rule, acc_bits=target.acc_bits, overflow=overflow)
    writer = LayerWriter(index, context, item.compiled.tables, orders, constants, kernels)
    write = writer_for(main_operator(item))
    if write is None:
        raise ValueError(f"{layer.name}: refused before")
    write(writer)
    step = writer.finish()
    _lower_channels(writer, context)
    step.title = _title(plan, item)
    return step


def has_kernel(item: IntegerStep) -> bool:
    """Return whether the C library has a kernel for a layer under its arithmetic."""
    return item.rule.recipe != "ort" and writer_for(main_operator(item)) is not None


def main_operator(item: IntegerStep) -> str:
    """Return the operator that a layer's writer is chosen by."""
    return "Requantize" if item.layer.kind == "Requantize" else item.layer.node.op


def _lower_channels(writer: LayerWriter, context: LayerContext) -> None:
    """Write the upper limits of the channels behind a layer that has them."""
    high = context.channel_high
    if high is None or high.min() == high.max():
        return
    output = writer.layer.outputs[0]
    at, shape = writer.axis(output, 1), writer.memory_shape(output)
    outer, inner = int(np.prod(shape[:at])), int(np.prod(shape[at + 1 :]))
    if writer.step.alias:
        raise ValueError(f"{writer.layer.name}: a layer without code has a clamp")
    limits = writer.constant("clamp_high", high, writer.c_type(output))
    writer.call("lower_channels", [writer.output(), limits, outer, high.size, inner], y_t=writer.c_type(output))


def _title(plan: QuantPlan, item: IntegerStep) -> str:
    def told(name: str) -> str:
        params = plan.tensors.get(name)
        return f"{list(plan.graph.shape(name))} {'s64' if params is None else params.dtype.name}"

    layer = item.layer
    reads = ", ".join(told(name) for name in layer.inputs)
    writes = ", ".join(told(name) for name in layer.outputs)
    return f"{layer.kind}: {reads} -> {writes}; {item.rule.name}"


def _refuse(program: Program) -> None:
    errors, floats = [], []
    for step in program.steps:
        if isinstance(step, HostSegment):
            errors += [
                InputError.at(f"codegen: {layer.name}", f"runs in float on the host: {layer.note}", cure=_HOST)
                for layer in step.layers
            ]
        elif step.rule.recipe == "ort":
            floats.append(step.layer.name)
        elif writer_for(main_operator(step)) is None:
            message = f"{step.layer.node.op} has no kernel in the C library yet"
            errors.append(InputError.at(f"codegen: {step.layer.name}", message, cure=_HOST))
    if floats:  # one cause, however many layers
        others = f", here and in {len(floats) - 1} more layers" if len(floats) > 1 else ""
        message = f"ort_f32 is float arithmetic by definition{others}"
        cure = "choose another arithmetic (target.arithmetic, --arithmetic)"
        errors.append(InputError.at(f"codegen: {floats[0]}", message, cure=cure))
    if errors:
        raise InputError(item for error in errors for item in error.diagnostics)
