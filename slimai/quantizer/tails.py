"""Tails: a tensor that only saturating functions and clamps read needs no integers for values where they are flat.

SiLU of -8 and of -30 are both nothing beside a step of SiLU's output, yet a value of -30 stretches the grid between a
convolution and its SiLU over a range that decides nothing. Such limits end where the function comes within a quarter
of an output step of its limit, so that rounding gives the tail the integer that the limit itself has, or its neighbour.
A clamp that is a layer of its own is flat from its end on, and what only leads to something flat (a LeakyRelu, a
pooling by the maximum, a move of elements) is flat where no value of its output is needed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from slimai.calibration.limits import Limits
from slimai.graph.ir import Node
from slimai.graph.ops import TRAITS, clamp_range, is_clamp, operators
from slimai.quantizer.layers import Step
from slimai.quantizer.plan import Decision

SHARE_OF_STEP = 0.25  # of a step of the output: far below the rounding that it gets anyway
SATURATING = operators(saturates=True)
_BISECTIONS = 64  # more than a float64 has bits

StepSize = Callable[[Step], float]
Formula = Callable[[Mapping[str, Any], float], Limits | None]  # attributes, tolerance -> flat outside


def flat_limits(node: Node, tolerance: float) -> Limits | None:
    """Return the input range outside which the node's function is within `tolerance` of its value at infinity.

    An end is infinite where the function does not saturate. None: it saturates nowhere.
    tolerance: positive, in units of the output.
    """
    formula = FLAT.get(node.op)
    return None if formula is None else formula(node.attrs, tolerance)


def _sigmoid(_attrs: Mapping[str, Any], tolerance: float) -> Limits:
    reach = math.log(1.0 / tolerance - 1.0) if tolerance < 0.5 else 0.0
    return Limits(-reach, reach)


def _tanh(_attrs: Mapping[str, Any], tolerance: float) -> Limits:
    reach = math.atanh(1.0 - tolerance) if 0.0 < 1.0 - tolerance < 1.0 else 0.0
    return Limits(-reach, reach)


def _hard_sigmoid(attrs: Mapping[str, Any], _tolerance: float) -> Limits | None:
    alpha, beta = float(attrs["alpha"]), float(attrs["beta"])
    return Limits(-beta / alpha, (1.0 - beta) / alpha) if alpha > 0 else None


def _elu(attrs: Mapping[str, Any], tolerance: float) -> Limits:
    alpha = abs(float(attrs["alpha"]))  # |f(-d) + alpha| = alpha e^-d
    return Limits(-math.log(alpha / tolerance) if alpha > tolerance else 0.0, math.inf)


def _silu_tail(distance: float) -> float:
    """Return |SiLU(-distance)|."""
    return distance / (1.0 + math.exp(min(distance, 700.0)))


def _mish_tail(distance: float) -> float:
    """Return |Mish(-distance)|."""
    return distance * math.tanh(math.log1p(math.exp(-distance)))


def _bisected(fall: Callable[[float], float], tolerance: float, near: float) -> float:
    """Return the distance from `near` on beyond which `fall` stays within the tolerance."""
    far = 512.0
    if fall(near) <= tolerance:
        return near
    for _ in range(_BISECTIONS):
        middle = (near + far) / 2
        near, far = (middle, far) if fall(middle) > tolerance else (near, middle)
    return far


def _below(fall: Callable[[float], float]) -> Formula:
    """Return the formula of a function that falls without end beyond its largest value, which lies before 2."""
    return lambda _attrs, tolerance: Limits(-_bisected(fall, tolerance, 2.0), math.inf)


def _exp(_attrs: Mapping[str, Any], tolerance: float) -> Limits:
    return Limits(min(math.log(tolerance), 0.0), math.inf)


def _softplus(_attrs: Mapping[str, Any], tolerance: float) -> Limits:
    """ln(1 + e^-d) is the tolerance at d = -ln(e^tolerance - 1)."""
    return Limits(min(math.log(math.expm1(tolerance)), 0.0), math.inf)


def _selu(attrs: Mapping[str, Any], tolerance: float) -> Limits:
    depth = abs(float(attrs["alpha"]) * float(attrs["gamma"]))
    return Limits(-math.log(depth / tolerance) if depth > tolerance else 0.0, math.inf)


def _celu(attrs: Mapping[str, Any], tolerance: float) -> Limits | None:
    alpha = float(attrs["alpha"])  # f(-d) + alpha = alpha e^(-d / alpha)
    if alpha <= 0:
        return None
    return Limits(-alpha * math.log(alpha / tolerance) if alpha > tolerance else 0.0, math.inf)


def _erf_tail(distance: float) -> float:
    """Return 1 - erf(distance)."""
    return math.erfc(distance)


def _erf(_attrs: Mapping[str, Any], tolerance: float) -> Limits:
    reach = _bisected(_erf_tail, tolerance, 0.0)
    return Limits(-reach, reach)


def _gelu(attrs: Mapping[str, Any], tolerance: float) -> Limits:
    tail = _gelu_tanh_tail if attrs["approximate"] == "tanh" else _gelu_tail
    return Limits(-_bisected(tail, tolerance, 2.0), math.inf)


def _gelu_tail(distance: float) -> float:
    """Return |Gelu(-distance)|."""
    return 0.5 * distance * math.erfc(distance * math.sqrt(0.5))


def _gelu_tanh_tail(distance: float) -> float:
    """Return |Gelu(-distance)| of the form by tanh: d / (1 + e^(2 t))."""
    inner = math.sqrt(2.0 / math.pi) * (distance + 0.044715 * distance**3)
    return distance / (1.0 + math.exp(min(2.0 * inner, 700.0)))


# Of the operators whose row in `slimai.graph.ops` says that they saturate.
FLAT: Mapping[str, Formula] = {
    "Sigmoid": _sigmoid,
    "Tanh": _tanh,
    "HardSigmoid": _hard_sigmoid,
    "Elu": _elu,
    "HardSwish": lambda _attrs, _tolerance: Limits(-3.0, math.inf),
    "SiLU": _below(_silu_tail),
    "Mish": _below(_mish_tail),
    "Gelu": _gelu,
    "Erf": _erf,
    "Exp": _exp,
    "Softplus": _softplus,
    "Selu": _selu,
    "Celu": _celu,
}


def clip_tails(
    steps: Sequence[Step], limits: Mapping[str, Limits], kept: frozenset[str], step_size: StepSize
) -> tuple[dict[str, Limits], tuple[Decision, ...]]:
    """Return the limits with flat tails left out, and where.

    kept: tensors that stay as they are, such as network outputs. step_size: of the grid that a layer's output has, in
    units of its values. A tensor with several readers has to be flat for every one of them.
    """
    readers: dict[str, list[Step]] = {}
    for step in steps:
        for name in step.inputs:
            readers.setdefault(name, []).append(step)
    kept = kept.union(*(step.outputs for step in steps if _takes_over(step, readers)))
    ends = _Ends(readers, kept, step_size)
    found, decisions = dict(limits), []
    for name, steps_here in readers.items():
        if name in kept or name not in limits:
            continue
        flat = ends.of(name)
        low, high = max(limits[name].low, flat.low), min(limits[name].high, flat.high)
        if (low, high) != limits[name]:
            found[name] = Limits(low, high).with_zero()
            decisions.append(_told(name, steps_here, limits[name], found[name]))
    return found, tuple(decisions)


_EVERYTHING = Limits(-math.inf, math.inf)


def _takes_over(step: Step, readers: Mapping[str, list[Step]]) -> bool:
    """Return whether a Concat has what others read too: a grid of its own costs it a Requantize and wins nothing."""
    return (
        step.integer and TRAITS[step.node.op].scale == "concat" and any(len(readers[name]) > 1 for name in step.inputs)
    )


class _Ends:
    """Where each tensor's readers are all flat."""

    def __init__(self, readers: Mapping[str, list[Step]], kept: frozenset[str], step_size: StepSize) -> None:
        self._readers, self._kept, self._step_size = readers, kept, step_size
        self._known: dict[str, Limits] = {}

    def of(self, tensor: str) -> Limits:
        """Return the range outside which no reader of the tensor tells its values apart; infinite where one does."""
        waiting = [tensor]  # no recursion: a chain of moves may be long
        while waiting:
            name = waiting[-1]
            behind = [] if name in self._kept else [output for step in self._passing(name) for output in step.outputs]
            missing = [output for output in behind if output not in self._known]
            waiting += missing
            if not missing:
                self._known[name] = self._found(name)
                waiting.pop()
        return self._known[tensor]

    def _passing(self, name: str) -> list[Step]:
        return [step for step in self._readers.get(name, ()) if passes_limits(step)]

    def _found(self, name: str) -> Limits:
        readers = self._readers.get(name, ())
        if name in self._kept or not readers:
            return _EVERYTHING
        ends = [self._flat(step) for step in readers]
        return Limits(min(end.low for end in ends), max(end.high for end in ends))

    def _flat(self, step: Step) -> Limits:
        if not step.integer:
            return _EVERYTHING
        if step.node.op in SATURATING:
            tolerance = SHARE_OF_STEP * self._step_size(step)
            return (flat_limits(step.node, tolerance) if tolerance > 0 else None) or _EVERYTHING
        if is_clamp(step.node):
            return Limits(*clamp_range(step.node))
        if not passes_limits(step):
            return _EVERYTHING
        behind = [self._known[name] for name in step.outputs]
        low, high = min(item.low for item in behind), max(item.high for item in behind)
        slope = float(step.node.attrs["alpha"]) if step.node.op == "LeakyRelu" else 1.0
        return Limits(*(end / slope if end < 0 else end for end in (low, high)))


def passes_limits(step: Step) -> bool:
    """Return whether limits of all outputs of a layer are limits of its input, by a known factor below zero."""
    if not step.integer or step.activation is not None:
        return False
    if step.node.op == "LeakyRelu":
        return float(step.node.attrs["alpha"]) > 0
    return TRAITS[step.node.op].scale == "same" and step.node.op != "Resize"  # a mean of clipped values is another one


def _told(name: str, readers: list[Step], before: Limits, after: Limits) -> Decision:
    behind = "what follows {}"
    told = (behind.format(step.node.op) if passes_limits(step) else step.node.op for step in readers)
    functions = ", ".join(dict.fromkeys(told))
    why = f"{functions} is flat beyond: {before.low:.4g} to {before.high:.4g} before"
    return Decision(name, f"limits {after.low:.4g} to {after.high:.4g}", why)
