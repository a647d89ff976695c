"""Which preset a layer runs under: the one named for all, or the target's own table (`native`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from slimai.errors import InputError
from slimai.quantizer.params import QParams
from slimai.simulator.requantize import PRESETS, RequantRule
from slimai.suggest import suggest

NATIVE = "native"
VISION_DSP = {"s16": "tflite_s64", "asym8": "gemmlowp", "sym8": "xi_sym"}


def situation(inputs: Sequence[QParams], outputs: Sequence[QParams]) -> str:
    """Return the row of a target's table: s16 (inputs), asym8 (a zero point on either side) or sym8."""
    if any(params.dtype.bits > 8 for params in inputs):
        return "s16"
    if any(params.zero_point for params in (*inputs, *outputs)):
        return "asym8"
    return "sym8"


def rule_for(
    arithmetic: str, native: Mapping[str, str], inputs: Sequence[QParams], outputs: Sequence[QParams]
) -> RequantRule:
    """Return the rule of one layer.

    Args:
        arithmetic: a preset name, or ``native``.
        native: the target's table, `situation` -> preset name.
        inputs: parameters of the quantized input activations.
        outputs: parameters of the quantized outputs.

    Raises:
        InputError: an unknown preset; the message lists the nearest.
    """
    name = native[situation(inputs, outputs)] if arithmetic == NATIVE else arithmetic
    if name not in PRESETS:
        raise InputError(f"target.arithmetic: unknown preset '{name}'{suggest(name, [*PRESETS, NATIVE])}")
    return PRESETS[name]
