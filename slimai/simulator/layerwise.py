"""A network run layer by layer over many images, so that a layer can be changed by what it computes.

Two runs of every layer are all it takes to revise each one after the layers before it, whatever their number.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from numpy.typing import NDArray

from slimai.graph.samples import own_shapes
from slimai.quantizer.plan import Layer, QuantPlan
from slimai.simulator.arithmetic import NATIVE
from slimai.simulator.buffers import BufferPool
from slimai.simulator.context import Tally
from slimai.simulator.program import IntegerStep, Target, compile_layer, compile_plan

Array = NDArray[Any]
Revise = Callable[[Layer, "list[Array]"], Layer | None]


def revise_layers(
    plan: QuantPlan,
    target: Target,
    batches: Iterable[Mapping[str, Array]],
    revise: Revise,
    *,
    arithmetic: str = NATIVE,
    threads: int = 1,
) -> None:
    """Run the plan over all batches side by side; each integer layer may be replaced before the next one reads it.

    revise: gets an integer layer and its first output for every batch (integers), and returns the layer that takes
    its place, with the same tensors, or None. The activations of all batches that are still to be read stay in memory.
    """
    program = compile_plan(plan, target, arithmetic=arithmetic, threads=threads)
    states = [program.entering(own_shapes(plan.graph, feeds)) for feeds in batches]
    pool, tally = BufferPool(), Tally()
    for index, step in enumerate(program.steps):
        made = [program.run_step(step, values, tally) for values in states]
        if isinstance(step, IntegerStep):
            changed = revise(step.layer, [values[step.layer.outputs[0]] for values in made])
            if changed is not None:
                again = compile_layer(plan, changed, target, arithmetic, pool)
                made = [program.run_step(again, values, tally) for values in states]
        for values, produced in zip(states, made, strict=True):
            values.update(produced)
            for name in program.last_use[index]:
                values.pop(name, None)
