"""The memory that an integer network needs, without its C: the arena, and RAM and tables by layer.

Layers that the C library has are planned from the calls that it would make, so the figures are those of `memory.json`.
Others are planned from their tensors alone: no scratch memory, in place where each output element reads its own place.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass

from slimai.codegen.constants import Constants
from slimai.codegen.kernels import KernelSet
from slimai.codegen.layouts import Order
from slimai.codegen.network import has_kernel, storage_of, tensor_orders, write_step
from slimai.codegen.writer import Step
from slimai.errors import InputError
from slimai.graph.ops import TRAITS
from slimai.quantizer.plan import QuantPlan
from slimai.simulator.program import IntegerStep, Program, Target

_ELEMENTWISE = frozenset({"pointwise", "clamp", "arithmetic"})


@dataclass(frozen=True)
class LayerMemory:
    """One layer. ram: bytes of the arena that live while it runs. flash: of its tables. planned: without a C kernel."""

    name: str
    ram: int
    flash: int
    planned: bool


@dataclass(frozen=True)
class MemoryPlan:
    """arena: bytes of the whole. flash: of all tables, equal ones once. layers: in the order that they run."""

    arena: int
    flash: int
    layers: tuple[LayerMemory, ...]

    @property
    def peak(self) -> tuple[str, ...]:
        """The layers that need most RAM."""
        most = max((layer.ram for layer in self.layers), default=0)
        return tuple(layer.name for layer in self.layers if most and layer.ram == most)


def memory_key(plan: QuantPlan) -> Hashable:
    """Return what the arena of a plan depends on: its layers, the types of tensors, and which are on one grid."""
    grids = {params: number for number, params in enumerate(dict.fromkeys(plan.tensors.values()))}
    return tuple(
        (
            layer.name, layer.kind, layer.mode, layer.activation is not None,
            tuple(
                (name, plan.tensors[name].dtype.name, grids[plan.tensors[name]]) if name in plan.tensors else (name,)
                for name in (*layer.inputs, *layer.outputs)
            ),
        )
        for layer in plan.layers
    )  # fmt: skip


def memory_plan(program: Program, target: Target) -> MemoryPlan | None:
    """Return the memory plan of a network at batch 1, or None where layers run on the host, whose memory is its own."""
    if program.host_layers:
        return None
    orders, constants, kernels = tensor_orders(program), Constants("plan", as_file=False), KernelSet("plan")
    steps, planned = [], set()
    for index, item in enumerate(program.steps):
        if not isinstance(item, IntegerStep):
            continue
        step = _written(index, item, program, target, orders, constants, kernels)
        if step is None:
            planned.add(item.layer.name)
        steps.append(_plain_step(index, item, program, constants) if step is None else step)
    storage = storage_of(program.plan, steps)
    layers = tuple(
        LayerMemory(
            step.name,
            sum(item.size for item in storage.buffers if item.first <= number <= item.last),
            step.table_bytes,
            step.name in planned,
        )
        for number, step in enumerate(steps)
    )
    return MemoryPlan(storage.arena, constants.size, layers)


def _written(
    index: int, item: IntegerStep, program: Program, target: Target, orders: Mapping[str, Order], constants: Constants,
    kernels: KernelSet,
) -> Step | None:  # fmt: skip
    """Return the C of a layer, or None where the library has no kernel for it."""
    if not has_kernel(item):
        return None
    try:
        return write_step(index, item, program.plan, target, orders, constants, kernels)
    except InputError:  # a form of the operator that the library lacks
        return None


def _plain_step(index: int, item: IntegerStep, program: Program, constants: Constants) -> Step:
    """Return a layer as its tensors and the simulator's tables show it."""
    layer, tensors = item.layer, program.plan.tensors
    traits = TRAITS[layer.node.op]
    step = Step(index, layer.name, "", layer.inputs, layer.outputs)
    for key, values in item.compiled.tables.items():
        constants.add(f"{key}_{index}", values)
        step.table_bytes += values.nbytes
    same = len(layer.inputs) == 1 and tensors.get(layer.inputs[0]) == tensors.get(layer.outputs[0])
    if traits.view and same and layer.activation is None:
        step.alias = layer.inputs[0]
    elif traits.family in _ELEMENTWISE:
        step.in_place = layer.inputs
    return step
