"""Section `target`: the simulated chip, its arithmetic and its speed."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from slimai.schema.base import Int, Real, Section, legacy, wrong
from slimai.schema.values import Flag, distinct

Preset = Literal["xi_sym", "gemmlowp", "tflite_s64", "single", "ort_f32"]
Arithmetic = Literal["native", "xi_sym", "gemmlowp", "tflite_s64", "single", "ort_f32"]
DtypePair = Literal["s8s8", "u8s8", "s16s8", "s16s16", "s8s4", "u8s4"]
WeightBits = Literal[8, 4]
PerCycle = Annotated[Real, Field(gt=0)]
_MACS: dict[DtypePair, float] = {"s8s8": 256.0, "u8s8": 256.0, "s16s8": 128.0, "s16s16": 64.0}


def _with_eight(bits: tuple[WeightBits, ...]) -> tuple[WeightBits, ...]:
    if 8 not in bits:
        raise wrong("every target has weights of 8 bits", "write [8], or [8, 4]")
    return bits


class NativeTable(Section):
    """Which preset `arithmetic: native` takes, by the kind of a node's input activations."""

    s16: Preset = Field(default="tflite_s64", description="Preset of nodes with 16-bit inputs.")
    sym8: Preset = Field(default="xi_sym", description="Preset of nodes with symmetric 8-bit inputs.")
    asym8: Preset = Field(
        default="gemmlowp", description="Preset of nodes with an asymmetric 8-bit tensor on either side."
    )


class ElementwiseLanes(Section):
    """Elements that one elementwise instruction handles."""

    bits8: PerCycle = Field(default=128.0, description="Elements a cycle of 8-bit tensors.")
    bits16: PerCycle = Field(default=64.0, description="Elements a cycle of 16-bit tensors.")


class TargetSection(Section):
    """The simulated chip."""

    name: str = Field(default="vision_dsp", description="Name of the target, for reports.")
    arithmetic: Arithmetic = Field(
        default="native", description="Requantization: the target's own table (native), or one preset for all nodes."
    )
    native: NativeTable = Field(default_factory=NativeTable, description="The target's own table of presets.")
    acc_bits: Annotated[Int, Field(ge=16, le=64)] = Field(
        default=32, description="Width of the accumulator of 8-bit layers, in bits."
    )
    acc_overflow: Literal["wrap", "saturate"] = Field(
        default="saturate", description="What an accumulator does that is too small for the full sum with bias."
    )
    per_channel_ops: tuple[Literal["Conv", "ConvTranspose", "Gemm", "MatMul", "LSTM", "GRU"], ...] = Field(
        default=("Conv", "ConvTranspose", "LSTM", "GRU"),
        description="Operators whose weights may have one scale an output channel: one a row of the matrices of an "
        "LSTM or GRU, which have it beside Gemm too.",
    )
    weight_bits: Annotated[tuple[WeightBits, ...], AfterValidator(distinct("widths")), AfterValidator(_with_eight)] = (
        Field(
            default=(8,),
            description="Bits that weights may have beside 8-bit activations. Of 4 bits they have one scale an output "
            "channel, whatever `per_channel_ops` says.",
        )
    )
    clamp_per_channel: Flag = Field(
        default=False, description="Whether a clamp may differ by channel: equalization can then pass through ReLU6."
    )
    macs_per_cycle: dict[DtypePair, PerCycle] = Field(
        default_factory=lambda: dict(_MACS),
        description="Multiply-accumulates a cycle by activation and weight type (u8s8 = u8 activations, s8 weights). "
        "A pair with s4 that is not given is as fast as the one with s8.",
    )
    elementwise_lanes: ElementwiseLanes = Field(
        default_factory=ElementwiseLanes, description="Elements a cycle of elementwise operators."
    )
    host_macs_per_cycle: PerCycle = Field(
        default=1.0,
        description="Multiply-accumulates (or elements, where there are none) of layers that run in float on the host, "
        "in a cycle of the target's clock.",
    )
    dma_bytes_per_cycle: PerCycle = Field(default=8.0, description="Main memory traffic, in bytes a cycle.")
    local_memory_bytes: Annotated[Int, Field(ge=1)] = Field(
        default=262_144, description="Local memory, in bytes; layers that do not fit are tiled."
    )
    tcm_reserve_low: Annotated[Int, Field(ge=0)] = Field(
        default=0x280,
        description="Local memory kept for the system at its low end, in bytes.",
        json_schema_extra=legacy("system.tcm_reserve_low"),
    )
    tcm_reserve_high: Annotated[Int, Field(ge=0)] = Field(
        default=0x3000,
        description="Local memory kept for the system at its high end, in bytes.",
        json_schema_extra=legacy("system.tcm_reserve_high"),
    )
