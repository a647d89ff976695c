"""What has to hold for every network: each check raises AssertionError with the figures, and has a name."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import onnx
from net_alone import power_alone
from net_peer import quantized
from net_stages import Arrays, Level, Stages, run_all, to_qdq

from slimai.graph.ir import Graph, Node
from slimai.graph.ops import TRAITS

FLOAT_TOLERANCE = 1e-4  # of the largest value of the output
ROUNDED = 3e-7  # float32 sums of numbers of size 1, as these networks have, are off by so much where they cancel
WIDE_DB = 50.0
PEER_DB = 3.0
# Two noise powers of one kind differ by chance. Each is a mean of squares; equal values of the output have the same
# error, so count as one. The standard deviation of the ratio of two such means is 10 / ln 10 * sqrt(2) * that of the
# mean over the mean (8.7 / sqrt(n) dB for normal noise of n different values). Allowed are three and a half of them, as
# few networks of thousands may fail by chance. The noise is the peer's: a fault of slimai cannot loosen its own bound.
DEVIATIONS = 3.5
STEPS = 2.001  # two; dequantized values are rounded to float32
# Functions of one 16-bit value are read from 513 knots, and a line. slimai lays them where the function bends: what
# is left is 128 steps in outputs that are steep, and below 57 dB nothing was found. Exp and Gelu have TFLite's knots,
# which lie over all integers up to half an input step off: a bend inside a step of 128 integers is off by up to a
# quarter of it in the input (32 steps), the head room of 16-bit limits makes it four times as much, and some
# functions in a row add up; so has Softsign, which is straight nowhere and bends at 0. Gates of recurrent operators
# have sums of 12 bits of fraction, which is coarse where outputs are small. Only outputs behind such a function have
# these bounds; how near one function has to be to its own chord is held exactly, and for any grids, by
# tests/oracle/test_recipe_domains.py and test_scalar_models.py.
LOOKUP = (50.0, 128.0)  # dB or steps
TFLITE_LOOKUP, TFLITE_FUNCTIONS = (30.0, 1024.0), frozenset({"Exp", "Gelu", "Softsign"})
# Steps of 16 bits, whose limits have head room, in one of 8 bits (127 / 32767, times 2): a join of unlike ranges has 16
# bits at every level, and two steps of the 8 bits that the peer's output has are allowed there too. An output that is
# one constant lies on the end of the peer's grid, exactly, and on no place of any other.
NARROW_STEPS = 129.0
EXACT_FUNCTIONS = frozenset(
    {"PRelu", "Log", "Pow", "Sqrt", "Rsqrt", "Reciprocal"}
)  # no knots over the input's integers
# What fades to nothing for negative values is known to this only: ONNX Runtime's Sigmoid in float32 is off by 2e-8, and
# 0 from -18 on, times an input of 16; 1 + erf(x) has lost its digits there too, and log(1 + exp(x)). Grids may be
# finer: outputs that are nothing but such a tail fill them.
FADING, FADING_STEP = frozenset({"Sigmoid", "SiLU", "Gelu", "Mish"}), 3e-7


def check_float(stages: Stages) -> None:
    """The saved network computes what the original computes: within 1e-4 of the largest value, shapes and types."""
    found = run_all(stages.saved, stages.case.feeds)
    for one, other in zip(found, stages.expected, strict=True):
        assert list(one) == list(other), f"outputs {list(one)} are not {list(other)}"
        for name, value in other.items():
            _same_form(name, one[name], value)
            if value.dtype.kind == "f":
                largest = float(np.abs(value).max(initial=1e-30))
                apart = float(np.abs(one[name] - value).max(initial=0.0))
                error = f"{name}: error {apart / largest:.3g} of the largest value"
                assert apart <= max(FLOAT_TOLERANCE * largest, ROUNDED), error
            elif name not in stages.case.indices:
                np.testing.assert_array_equal(one[name], value, err_msg=name)


def check_wide(stages: Stages) -> None:
    """Level 4: 50 dB, or within 2 steps, or what ONNX Runtime's 16 bits reach in a network that amplifies."""
    peers = _Peers(stages, 4)
    _near_float(stages, 4, lambda *item: _wide(*item) and peers.judge(*item))


def check_narrow(stages: Stages) -> None:
    """Levels 0 to 3: at most 3 dB behind ONNX Runtime's quantizer with the same types, or within 2 steps of it.

    Or at most 3 dB behind what its roundings can do where none of them cancels another by luck.
    """
    for number in range(4):
        _near_float(stages, number, _Peers(stages, number).judge)


def check_exported(stages: Stages) -> None:
    """The exported model and the simulator agree: within 2 steps, or as near to each other as either is to float."""
    for number in range(5):
        level = stages.level(number)
        for name in stages.graph.outputs:
            values = [[item[name] for item in run] for run in (level.exported, level.outputs, stages.expected)]
            exported, simulated, wanted = (np.stack(item) for item in values)
            _same_form(name, exported, wanted)
            apart = _steps(level, name, exported, simulated)
            if (
                wanted.dtype.kind != "f"
                or apart <= STEPS
                or _read_from_knots(stages, number, name, apart, simulated, exported)
            ):
                continue
            near, ours, theirs = (
                sqnr(exported, simulated), sqnr(wanted, simulated), sqnr(wanted, exported)
            )  # fmt: skip
            least = min(ours, theirs)
            text = (
                f"level {number}, {name}: export and simulator {near:.1f} dB, {apart:.1f} steps apart; "
                f"from float {theirs:.1f}, {ours:.1f}"
            )
            slack = 2 * PEER_DB + unsure(exported, wanted)
            assert near >= least - slack, text
            assert abs(ours - theirs) <= slack or near >= WIDE_DB, text


def check_indices(stages: Stages) -> None:
    """An ArgMax output is the place of the largest integer of the tensor that it reads (exact), at every level."""
    for number in range(5):
        level = stages.level(number)
        for name, (source, attrs) in stages.case.indices.items():
            if source not in stages.graph.outputs:
                continue
            for run in level.integers:
                np.testing.assert_array_equal(run[name], arg_max(run[source], attrs), err_msg=f"level {number}, {name}")


def check_batch(stages: Stages) -> None:
    """A batch of 3 gives the integers of 3 times 1 (exact)."""
    if not stages.graph.batchable:
        return
    three = stages.case.feeds[:3]
    together = {name: np.concatenate([item[name] for item in three]) for name in three[0]}
    for number in (1, 3, 4):
        level = stages.level(number)
        found = level.program.run(together)
        for name, value in found.items():
            apart = np.concatenate([item[name] for item in level.integers[:3]])
            np.testing.assert_array_equal(value, apart, err_msg=f"level {number}, {name}")


def check_host(stages: Stages) -> None:
    """On the host run the operators without an integer kernel, each with a reason, and no other."""
    level = stages.level(3)
    host = {layer.name: layer for layer in level.plan.layers if layer.mode == "host"}
    assert set(level.program.host_layers) == set(host)
    for name, layer in host.items():
        reason = level.program.host_layers[name]
        assert reason, f"{name} is on the host without a reason"
        op = layer.node.op.removeprefix("Onnx")
        foreseen = any(op == item and words in reason for item, words in stages.case.host)
        integer = op in TRAITS and TRAITS[op].integer
        if "only the host" in reason:  # what it moves nobody else reads
            readers = [item for item in level.plan.layers if set(layer.outputs) & set(item.node.inputs)]
            integer = not readers or any(item.name not in host for item in readers)
        assert foreseen or not integer, f"{name} is on the host: {reason}"


CHECKS: dict[str, Callable[[Stages], None]] = {
    "float": check_float,
    "host": check_host,
    "wide": check_wide,
    "narrow": check_narrow,
    "exported": check_exported,
    "indices": check_indices,
    "batch": check_batch,
}


class _Peers:
    """ONNX Runtime's quantizer at one level, asked only where slimai's outputs are not within 2 steps of float."""

    def __init__(self, stages: Stages, number: int) -> None:
        self.stages, self.number = stages, number
        self._found: list[Arrays] | None = None
        self._model: onnx.ModelProto | None = None

    def outputs(self, name: str) -> np.ndarray:
        level = self.stages.level(self.number)
        if self._found is None and any(layer.matrices for layer in level.plan.layers):
            # its quantizer leaves recurrent operators and their weights in float: with the integers of the weights
            self._found, self._model = level.exported, to_qdq(level.plan)
        if self._found is None:
            self._model = quantized(self.stages.saved, self.stages.case.feeds, level.plan)
            self._found = run_all(self._model, self.stages.case.feeds)
        return np.stack([item[name] for item in self._found])

    def judge(self, name: str, found: np.ndarray, wanted: np.ndarray) -> str:
        """Return the peer's figures where slimai's output is worse than allowed, or an empty string."""
        theirs = self.outputs(name)
        signal = sqnr(wanted, theirs)
        steps = _steps(self.stages.level(self.number), name, found, theirs)
        ours = sqnr(wanted, found)
        good = ours >= signal - PEER_DB - unsure(theirs, wanted) or steps <= STEPS
        good = good or ours >= self._alone(name, wanted) - PEER_DB
        return "" if good else f"ONNX Runtime's quantizer has {signal:.1f} dB, {steps:.1f} steps away"

    def _alone(self, name: str, wanted: np.ndarray) -> float:
        """Return the dB that the peer's roundings may leave where none cancels another."""
        if self._model is None:
            return np.inf
        power = power_alone(self._model, self.stages.case.feeds, name)
        signal = float(np.square(wanted.astype(np.float64)).mean())
        return 10 * np.log10(signal / power) if power and signal else np.inf


Judge = Callable[[str, np.ndarray, np.ndarray], str]


def _near_float(stages: Stages, number: int, judge: Judge) -> None:
    """Compare one level with float; judge says what is wrong with an output that is not within 2 steps."""
    level = stages.level(number)
    for name in stages.graph.outputs:
        found, wanted = (np.stack([item[name] for item in run]) for run in (level.outputs, stages.expected))
        if name in stages.case.indices:
            assert found.shape == wanted.shape, f"level {number}, {name}: shape {found.shape}, not {wanted.shape}"
            continue
        _same_form(f"level {number}, {name}", found, wanted)
        steps = _steps(level, name, found, wanted)
        params = level.plan.tensors.get(name)
        if number < 4 and params is not None and params.dtype.bits > 8:
            steps /= NARROW_STEPS
        problem = (
            ""
            if steps <= STEPS or _read_from_knots(stages, number, name, steps, found, wanted)
            else judge(name, found, wanted)
        )
        text = f"level {number}, {name}: {sqnr(wanted, found):.1f} dB, up to {steps:.1f} steps from float; {problem}"
        assert not problem, text


def _read_from_knots(
    stages: Stages, number: int, name: str, steps: float, found: np.ndarray, wanted: np.ndarray
) -> bool:
    """Return whether a 16-bit output behind functions of one value is as near to float as their knots are."""
    if number != 4:
        return False
    read = {node.op for node in _behind(stages.graph, name) if _from_knots(node)}
    least, most = TFLITE_LOOKUP if read & TFLITE_FUNCTIONS else LOOKUP
    return bool(read) and (steps <= most or sqnr(wanted, found) >= least)


def _from_knots(node: Node) -> bool:
    known = node.op in TRAITS and not node.domain
    return known and TRAITS[node.op].family in ("pointwise", "recurrent") and node.op not in EXACT_FUNCTIONS


def _behind(graph: Graph, name: str) -> Iterator[Node]:
    """Yield the nodes that a tensor depends on."""
    waiting, seen = [name], set()
    while waiting:
        node = graph.producers.get(waiting.pop())
        if node is not None and node.name not in seen:
            seen.add(node.name)
            waiting.extend(node.inputs)
            yield node


def _wide(name: str, found: np.ndarray, wanted: np.ndarray) -> str:
    del name
    return "" if sqnr(wanted, found) >= WIDE_DB else f"{WIDE_DB:g} dB or 2 steps are wanted"


def _same_form(name: str, found: np.ndarray, wanted: np.ndarray) -> None:
    assert found.shape == wanted.shape, f"{name}: shape {found.shape}, not {wanted.shape}"
    assert found.dtype == wanted.dtype, f"{name}: type {found.dtype}, not {wanted.dtype}"
    assert np.isfinite(found).all(), f"{name}: values that are not finite"


def _steps(level: Level, name: str, found: np.ndarray, wanted: np.ndarray) -> float:
    """Return the largest difference in steps of the output's grid (of float32's where it has none or a finer one)."""
    params = level.plan.tensors.get(name)
    scale = params.scale if params is not None else FLOAT_TOLERANCE * float(np.abs(wanted).max(initial=1e-30))
    if scale < FADING_STEP and any(node.op in FADING for node in _behind(level.plan.graph, name)):
        scale = FADING_STEP
    return float(np.abs(found.astype(np.float64) - wanted).max(initial=0.0)) / scale


def sqnr(wanted: np.ndarray, found: np.ndarray) -> float:
    """Return the power of `wanted` over that of the difference, in dB; 300 where they are equal."""
    noise = float(np.square(found.astype(np.float64) - wanted).sum())
    power = float(np.square(wanted.astype(np.float64)).sum())
    if noise == 0:
        return 300.0
    return 10 * np.log10(max(power, 1e-300) / noise)


def unsure(found: np.ndarray, wanted: np.ndarray) -> float:
    """Return by how many dB other noise of the kind of `found - wanted` may be stronger by chance."""
    power = np.square(found.astype(np.float64) - wanted).reshape(-1)
    if not power.any():
        return 0.0
    groups = np.unique(wanted, return_inverse=True)[1].reshape(-1)
    apart = np.bincount(groups, power - power.mean())
    deviation = 10 / np.log(10) * np.sqrt(2 * np.square(apart).sum()) / power.sum()
    return float(DEVIATIONS * deviation)


def arg_max(values: np.ndarray, attrs: dict) -> np.ndarray:
    """Return ONNX's ArgMax of integers, written out."""
    axis = attrs.get("axis", 0)
    turned = np.flip(values, axis) if attrs.get("select_last_index", 0) else values
    place = turned.argmax(axis)
    if attrs.get("select_last_index", 0):
        place = values.shape[axis] - 1 - place
    return np.expand_dims(place, axis) if attrs.get("keepdims", 1) else place


def as_text(model: onnx.ModelProto) -> str:
    """Return the model as text."""
    return onnx.printer.to_text(model)
