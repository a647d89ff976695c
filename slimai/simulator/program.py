"""A compiled integer network: what the target computes, in the target's arithmetic, for any batch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from slimai.errors import InputError
from slimai.floating_point import guarded
from slimai.graph.ir import Graph
from slimai.graph.ops import TRAITS
from slimai.graph.samples import each_step, has_batch, run_samples
from slimai.quantizer.packing import packed
from slimai.quantizer.params import S4, QParams
from slimai.quantizer.plan import Layer, QuantPlan
from slimai.simulator.arithmetic import NATIVE, rule_for
from slimai.simulator.buffers import BufferPool
from slimai.simulator.channel_clamp import with_channel_clamp
from slimai.simulator.context import Compiled, LayerContext, Overflow, Tally
from slimai.simulator.host import HostSegment
from slimai.simulator.ops import compiler_for
from slimai.simulator.requantize import PRESETS, RequantRule
from slimai.simulator.scalars import with_scalars

Array = NDArray[Any]


class NativeTable(Protocol):
    """Preset names by the kind of a node's activations."""

    @property
    def s16(self) -> str:
        """Preset of nodes with a 16-bit input."""

    @property
    def sym8(self) -> str:
        """Preset of symmetric 8-bit nodes."""

    @property
    def asym8(self) -> str:
        """Preset of nodes with an asymmetric tensor on either side."""


class Target(Protocol):
    """What the simulator reads of the target section."""

    @property
    def native(self) -> NativeTable:
        """The target's own table of presets."""

    @property
    def acc_bits(self) -> int:
        """Width of the accumulator in bits."""

    @property
    def acc_overflow(self) -> Overflow:
        """What a sum beyond it does."""


@dataclass(frozen=True, eq=False)
class IntegerStep:
    """One integer layer ready to run."""

    layer: Layer
    rule: RequantRule
    compiled: Compiled

    @property
    def layers(self) -> tuple[Layer, ...]:
        """The one layer."""
        return (self.layer,)


Step = IntegerStep | HostSegment


class Program:
    """Runs a plan. Same bits for every batch size and number of threads.

    host_layers: layer name -> why it runs in float on the host. arithmetic: integer layer name -> preset name.
    overflows: layer name -> sums that left the accumulator, over all runs so far. last_use: for each step, the tensors
    that nothing after it reads.
    """

    def __init__(self, plan: QuantPlan, steps: tuple[Step, ...], threads: int = 1) -> None:
        self.plan = plan
        self.steps = steps
        self.threads = max(1, threads)
        self.overflows: Counter[str] = Counter()
        self.host_layers: dict[str, str] = {
            layer.name: layer.note for step in steps if isinstance(step, HostSegment) for layer in step.layers
        }
        self.arithmetic: dict[str, str] = {
            step.layer.name: step.rule.name for step in steps if isinstance(step, IntegerStep)
        }
        self.last_use = _last_uses(plan.graph, steps)

    def run(self, inputs: Mapping[str, Array], *, capture: Collection[str] | None = None) -> dict[str, Array]:
        """Return the network's outputs, and the activations named in `capture`, as integers.

        Args:
            inputs: graph input -> [N, ...]: floats, which are quantized by the plan, or integers of the
                planned type, which are taken as they are. A network that runs one sample at a time takes it in its
                own shapes; several where an input has a batch axis: outputs follow each other along the first axis.
            capture: names of further activations to return.

        Returns:
            Tensor name -> integers of the planned type; float32 (or an index type) where the plan has none.

        Raises:
            InputError: inputs are missing or unknown, differ in batch, or have the wrong shape or type.
        """
        kept = frozenset(capture or ())
        self._check_captured(kept)
        ready = self.entering(inputs)
        batch = self._batch_of(ready)
        parts = list(self._parts(ready, batch))
        if len(parts) == 1:
            results = [self._run_part(parts[0], kept)]
        elif self.threads == 1:
            results = [self._run_part(part, kept) for part in parts]
        else:
            with ThreadPoolExecutor(self.threads) as pool:
                results = list(pool.map(lambda part: self._run_part(part, kept), parts))
        for _, tally in results:
            self.overflows.update(tally.overflows)
        if len(results) == 1:
            return results[0][0]
        return {name: np.concatenate([np.atleast_1d(values[name]) for values, _ in results]) for name in results[0][0]}

    def samples(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """Return the outputs [n, ...] as integers, of sequences [n, steps, ...]; `feeds` like them."""
        return run_samples(self.plan.graph, self.run, feeds, self.carried)

    def each_step(
        self, feeds: Mapping[str, Array], *, capture: Collection[str] | None = None
    ) -> Iterator[tuple[dict[str, Array], Mapping[str, Array]]]:
        """Yield what goes in and what comes out in the network's own shapes, step after step (`each_step`)."""
        return each_step(self.plan.graph, lambda ready: self.run(ready, capture=capture), feeds, self.carried)

    def carried(self, state: str, value: Array) -> Array:
        """Return what the input `state` takes of its output: integers where both have one grid, else real values."""
        tensors, output = self.plan.tensors, self.plan.graph.states[state]
        if output not in tensors or tensors.get(state) == tensors[output]:
            return value
        return tensors[output].dequantize(value)

    def dequantize(self, outputs: Mapping[str, Array]) -> dict[str, NDArray[np.float32]]:
        """Return the real values of tensors of this network as float32."""
        tensors = self.plan.tensors
        return {
            name: tensors[name].dequantize(value) if name in tensors else np.asarray(value, np.float32)
            for name, value in outputs.items()
        }

    def table(self) -> dict[str, Array]:
        """Return ``<layer>/<table>`` -> integers: weights, biases, multipliers and shifts of every integer layer.

        Weights of 4 bits are ``weight_s4``, two a byte (`slimai.quantizer.packing`), and ``weight_shape``.
        """
        return {
            f"{step.layer.name}/{key}": value
            for step in self.steps
            if isinstance(step, IntegerStep)
            for name, table in step.compiled.tables.items()
            for key, value in _stored(step.layer, name, table).items()
        }

    def entering(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Return the inputs as the network holds them: integers of the plan, or their float type."""
        graph = self.plan.graph
        if set(inputs) != set(graph.inputs):
            raise InputError(
                f"inputs of '{graph.name}' are {', '.join(graph.inputs)} (got {', '.join(inputs) or 'none'})"
            )
        return {name: self._entering(name, np.asarray(value)) for name, value in inputs.items()}

    def _check_captured(self, kept: frozenset[str]) -> None:
        graph = self.plan.graph
        unknown = sorted(kept - set(graph.inputs) - {name for layer in self.plan.layers for name in layer.outputs})
        if unknown:
            raise InputError(f"'{graph.name}' has no activation '{unknown[0]}' to capture")

    def _entering(self, name: str, value: Array) -> Array:
        """Return an input as the network holds it: integers of the plan, or its float type."""
        expected = self.plan.graph.shape(name)
        free = has_batch(expected)
        if value.ndim != len(expected) or value.shape[free:] != expected[free:]:
            sizes = ", ".join(map(str, ("N", *expected[1:]) if free else expected))
            raise InputError.at(f"input {name}", f"shape is not [{sizes}]", value.shape)
        params = self.plan.tensors.get(name)
        if params is None:
            return value.astype(self.plan.graph.tensors[name].dtype, copy=False)
        if value.dtype.kind == "f":
            return quantize_input(value, params)
        if value.dtype != params.dtype.numpy:
            raise InputError.at(
                f"input {name}", f"integers are not of the planned type {params.dtype.numpy.name}", value.dtype.name
            )
        return value

    def _batch_of(self, ready: Mapping[str, Array]) -> int:
        sizes = {name: value.shape[0] for name, value in ready.items() if has_batch(self.plan.graph.shape(name))}
        if len(set(sizes.values())) > 1:
            raise InputError(f"inputs differ in batch size: {sizes}")
        return next(iter(sizes.values()), 1)

    def _parts(self, ready: Mapping[str, Array], batch: int) -> Iterator[dict[str, Array]]:
        """Yield the inputs in the pieces that run at once: shares of the batch, or single samples."""
        graph = self.plan.graph
        size = -(-batch // self.threads) if graph.batchable else 1
        if batch <= size:
            yield dict(ready)
            return
        batched = {name for name in graph.inputs if has_batch(graph.shape(name))}
        for first in range(0, batch, size):
            yield {name: value[first : first + size] if name in batched else value for name, value in ready.items()}

    def _run_part(self, feeds: dict[str, Array], kept: frozenset[str]) -> tuple[dict[str, Array], Tally]:
        tally, values = Tally(), dict(feeds)
        wanted = kept.union(self.plan.graph.outputs)
        for index, step in enumerate(self.steps):
            values.update(self.run_step(step, values, tally, kept))
            for name in self.last_use[index]:
                if name not in wanted:
                    values.pop(name, None)
        graph = self.plan.graph
        return {
            name: values[name] if name in values else graph.constants[name] for name in (*graph.outputs, *sorted(kept))
        }, tally

    def run_step(
        self, step: Step, values: Mapping[str, Array], tally: Tally, kept: frozenset[str] = frozenset()
    ) -> dict[str, Array]:
        """Return what one step makes of the tensors before it, by name."""
        if isinstance(step, HostSegment):
            return self._run_host(step, values, kept)
        with guarded(step.layer.name, f"it ran under {step.rule.name}"):
            produced = step.compiled.kernel([values[name] for name in step.layer.inputs], tally)
        return dict(zip(step.layer.outputs, produced, strict=True))

    def _run_host(self, step: HostSegment, values: Mapping[str, Array], kept: frozenset[str]) -> dict[str, Array]:
        tensors = self.plan.tensors
        feeds = {
            name: tensors[name].dequantize(values[name]) if name in tensors else values[name] for name in step.inputs
        }
        made = step.run(feeds, kept)
        return {
            name: quantize_input(value, tensors[name]) if name in tensors else value for name, value in made.items()
        }


def quantize_input(value: Array, params: QParams) -> Array:
    """Return `QParams.quantize` of floats, in their memory order."""
    from slimai.simulator._kernels_elementwise import quantize_flat  # noqa: PLC0415 - spares numba

    out = np.empty_like(value, dtype=params.dtype.numpy, order="K")
    low, high, zero = (np.float64(number) for number in (params.dtype.low, params.dtype.high, params.zero_point))
    quantize_flat(value.ravel(order="K"), np.float64(params.scale), zero, low, high, out.ravel(order="K"))
    return out


def _last_uses(graph: Graph, steps: tuple[Step, ...]) -> tuple[tuple[str, ...], ...]:
    """Return, for each step, the tensors that nothing after it reads."""
    last: dict[str, int] = {}
    for index, step in enumerate(steps):
        reads = step.inputs if isinstance(step, HostSegment) else step.layer.inputs
        writes = step.inner if isinstance(step, HostSegment) else step.layer.outputs
        last.update(dict.fromkeys((*reads, *writes), index))
    found: list[list[str]] = [[] for _ in steps]
    for name, index in last.items():
        if name not in graph.outputs:
            found[index].append(name)
    return tuple(tuple(names) for names in found)


def compile_plan(
    plan: QuantPlan,
    target: Target,
    *,
    arithmetic: str = NATIVE,
    threads: int = 1,
    pool: BufferPool | None = None,
    known: Callable[[QuantPlan, Layer], IntegerStep | None] = lambda *_: None,
) -> Program:
    """Return the program of a plan.

    Args:
        plan: the integer network.
        target: the simulated chip: its own table of presets, and its accumulator.
        arithmetic: ``native`` (the target's table) or one preset for all layers.
        threads: threads over the samples of a batch.
        pool: memory for activations and sums, which programs that do not run at the same time may share.
        known: returns a compiled layer of a program with the same target, arithmetic and pool (`KnownSteps.find`).

    Raises:
        InputError: layers that the arithmetic cannot express; all of them in one error, by name.
    """
    steps: list[Step] = []
    errors: list[InputError] = []
    pool = BufferPool() if pool is None else pool
    waiting: list[Layer] = []
    for layer in plan.layers:
        if layer.mode == "host":
            waiting.append(layer)
            continue
        _flush(plan.graph, waiting, steps, threads)
        try:
            steps.append(known(plan, layer) or compile_layer(plan, layer, target, arithmetic, pool))
        except InputError as error:
            errors.append(error)
    _flush(plan.graph, waiting, steps, threads)
    if errors:
        raise InputError(item for error in errors for item in error.diagnostics)
    return Program(plan, tuple(steps), threads)


def _flush(graph: Graph, waiting: list[Layer], steps: list[Step], threads: int) -> None:
    if waiting:
        steps.append(HostSegment(graph, tuple(waiting), threads))
        waiting.clear()


def compile_layer(plan: QuantPlan, layer: Layer, target: Target, arithmetic: str, pool: BufferPool) -> IntegerStep:
    """Return one integer layer of `plan`, or one that takes its place, ready to run."""
    context = layer_context(plan, layer, target, arithmetic, pool)
    with guarded(layer.name, f"its tables for {context.rule.name} were made"):
        compiled = with_channel_clamp(context, compiler_for(layer.kind, layer.node.op)(context))
    return IntegerStep(layer, context.rule, with_scalars(context, compiled))


def layer_context(
    plan: QuantPlan, layer: Layer, target: Target, arithmetic: str, pool: BufferPool | None = None
) -> LayerContext:
    """Return what an integer layer of `plan` is compiled from.

    Raises:
        InputError: an unknown preset, or one under which the operator has no kernel.
    """
    reads = [plan.tensors[name] for name in layer.inputs]
    writes = [plan.tensors[name] for name in layer.outputs if name in plan.tensors]
    table = {"s16": target.native.s16, "sym8": target.native.sym8, "asym8": target.native.asym8}
    rule = rule_for(arithmetic, table, reads, writes)
    recipes = TRAITS[layer.node.op].recipes
    if rule.recipe not in recipes:
        known = ", ".join(name for name, preset in PRESETS.items() if preset.recipe in recipes)
        message = f"{layer.node.op} has no kernel under the arithmetic {rule.name}"
        raise InputError.at(f"target.arithmetic: {layer.name}", f"{message}; it has one under {known}")
    return LayerContext(
        layer, plan.graph, plan.tensors, rule, acc_bits=target.acc_bits, overflow=target.acc_overflow,
        pool=BufferPool() if pool is None else pool,
    )  # fmt: skip


def integer_contexts(plan: QuantPlan, target: Target, arithmetic: str) -> tuple[LayerContext, ...]:
    """Return what each integer layer of `plan` is compiled from, in order; see `layer_context`."""
    return tuple(layer_context(plan, layer, target, arithmetic) for layer in plan.layers if layer.mode == "integer")


def _stored(layer: Layer, name: str, table: Array) -> dict[str, Array]:
    """Return a table of a layer as it lies in a file."""
    if name != "weight" or layer.weight is None or layer.weight.dtype != S4:
        return {name: table}
    return {"weight_s4": packed(table), "weight_shape": np.array(table.shape, np.int64)}
