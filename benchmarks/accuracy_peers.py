"""Outputs of other post-training quantizers, for accuracy.py: same float network, calibration and validation images.

A peer is `tool:method`; see `PEERS` for the tools. All of them quantize activations to 8 bits and weights to 8 bits, by
channel but where a method says otherwise, and run in float between quantization and dequantization (ONNX Runtime
without graph optimizations, AIMET's own simulation): on processors without VNNI the fused u8 x s8 kernels of ONNX
Runtime saturate inside, which would be held against the peer. All but ONNX Runtime are optional: extra `peers`, or
environments that peers.py makes.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

Feeds = Mapping[str, np.ndarray]

STRIDE = 8  # calibration images whose activations ONNX Runtime holds at once
ADAROUND_STEPS = 10_000  # a layer, as AIMET has it


@dataclass(frozen=True)
class Task:
    """What every peer is given: the float network as an ONNX file, and images as inputs by name (batch 1)."""

    model: Path
    calibration: Sequence[Feeds]
    validation: Sequence[Feeds]


class _Reader:
    """Calibration images for ONNX Runtime's quantizer, in strides so that it does not hold all activations."""

    def __init__(self, images: Sequence[Feeds]) -> None:
        self._all = images
        self._images = iter(images)

    def __len__(self) -> int:
        return len(self._all)

    def set_range(self, start_index: int, end_index: int) -> None:
        self._images = iter(self._all[start_index:end_index])

    def get_next(self) -> Feeds | None:
        return next(self._images, None)


def ort(method: str, task: Task, *, symmetric: bool = False) -> list[Feeds]:
    """Return the outputs of ONNX Runtime's quantize_static: weights per channel, QDQ; activations u8, or s8 symmetric.

    `method` is MinMax, Entropy or Percentile with its default bins; the last may end in a percentage: Percentile99.99.
    """
    from onnxruntime.quantization import CalibrationMethod, QuantFormat, QuantType, quantize_static

    target = task.model.with_name(f"{task.model.stem}_{method}{'_s8' if symmetric else ''}.onnx")
    percent = method.removeprefix("Percentile") if method.startswith("Percentile") else ""
    quantize_static(
        task.model,
        target,
        _Reader(task.calibration),
        quant_format=QuantFormat.QDQ,
        per_channel=True,
        activation_type=QuantType.QInt8 if symmetric else QuantType.QUInt8,
        weight_type=QuantType.QInt8,
        calibrate_method=CalibrationMethod[method.removesuffix(percent)],
        extra_options={"CalibStridedMinMax": math.gcd(len(task.calibration), STRIDE), "ActivationSymmetric": symmetric}
        | ({"CalibPercentile": float(percent)} if percent else {}),
    )
    return _run_qdq(target.read_bytes(), task.validation)


def nncf(method: str, task: Task) -> list[Feeds]:
    """Return the outputs of nncf.quantize on the ONNX model, all calibration images.

    `method` is a preset: `mixed` has asymmetric activations, `performance` symmetric ones; weights are symmetric per
    channel. Network outputs, and what stands between a convolution and its SiLU, stay in float. Behind the preset:
    `+bc` takes the accurate bias correction in place of the fast one; `+tensor` gives every activation one scale, as
    the other tools and the targets here have it, where NNCF else takes one a channel before a depthwise convolution.
    """
    import nncf as tool
    import onnx
    from nncf.quantization.advanced_parameters import AdvancedQuantizationParameters, QuantizationParameters

    preset, *aids = method.split("+")
    scales = QuantizationParameters(per_channel=False if "tensor" in aids else None)
    model = tool.quantize(
        onnx.load(task.model),
        tool.Dataset(list(task.calibration)),
        preset=tool.QuantizationPreset(preset),
        subset_size=len(task.calibration),
        fast_bias_correction="bc" not in aids,
        advanced_parameters=AdvancedQuantizationParameters(activations_quantization_params=scales),
    )
    return _run_qdq(model.SerializeToString(), task.validation)


def aimet(method: str, task: Task) -> list[Feeds]:
    """Return the outputs of aimet-onnx's QuantizationSimModel: 8-bit activations, 8-bit weights, its default config.

    `method` is a scheme, `min_max` or `tf_enhanced`. Behind it: `+cle` equalizes the layers first; `+adaround` rounds
    the weights by AdaRound on the calibration images (`+adaround1000`: so many steps a layer; else the tool's 10,000);
    `+tensor` gives weights one scale a tensor (else one a channel), `+w4` 4 bits.
    """
    import onnx
    from aimet_onnx.common.quantsim_config.utils import get_path_for_per_tensor_config
    from aimet_onnx.quantsim import QuantizationSimModel

    scheme, *aids = method.split("+")
    model = onnx.load(task.model)
    names = [item.name for item in model.graph.output]  # the simulation has them in this order, renamed
    if "cle" in aids:
        from aimet_onnx.cross_layer_equalization import equalize_model

        equalize_model(model)
    sim = QuantizationSimModel(
        model,
        quant_scheme=scheme,
        param_type="int4" if "w4" in aids else "int8",
        config_file=get_path_for_per_tensor_config() if "tensor" in aids else "default",
        session_options_kwargs={"intra_op_num_threads": 1},
    )
    images = [dict(feeds) for feeds in task.calibration]
    rounding = next((item for item in aids if item.startswith("adaround")), None)
    if rounding is not None:  # freezes the weights' scales, so that activations come after it
        from aimet_onnx import apply_adaround

        apply_adaround(sim, images, num_iterations=int(rounding.removeprefix("adaround") or ADAROUND_STEPS))
    sim.compute_encodings(images)
    return [dict(zip(names, sim.session.run(None, dict(feeds)), strict=True)) for feeds in task.validation]


def onnxsim(method: str, task: Task) -> list[Feeds]:
    """Return the outputs of onnxsim.quantize_static: every activation u8 asymmetric, weights s8 per channel, QDQ.

    `method` is minmax, percentile, mse, entropy or auto, each with the tool's own settings. Its AdaRound and GPTQ are
    for MatMul and Gemm with 4-bit weights and float activations (`quantize_weight_only_int4`), not for convolutions.
    """
    import onnx
    import onnxsim as tool

    model = tool.quantize_static(onnx.load(task.model), list(task.calibration), method=method, full_graph=True)
    return _run_qdq(model.SerializeToString(), task.validation)


def quark(method: str, task: Task) -> list[Feeds]:
    """Return the outputs of AMD Quark's ModelQuantizer for ONNX.

    `method` is one of its configurations, for example A8W8 (s8 symmetric), INT8_CNN_DEFAULT (u8) or XINT8 (scales that
    are powers of two). All of these have one scale a weight tensor; `+channel` behind one gives it one a channel.
    """
    import onnx
    from quark.onnx import ModelQuantizer, QConfig

    name, *aids = method.split("+")
    config = copy.deepcopy(QConfig.get_default_config(name))  # the tool's own object, into which it writes
    config.global_quant_config.per_channel = "channel" in aids
    model = ModelQuantizer(config).quantize_model(
        onnx.load(task.model), calibration_data_reader=_Reader(task.calibration)
    )
    return _run_qdq(model.SerializeToString(), task.validation)


PEERS: Mapping[str, tuple[str, Callable[[str, Task], list[Feeds]]]] = {
    "ort": ("onnxruntime", ort),
    "nncf": ("nncf", nncf),
    "aimet": ("aimet-onnx", aimet),
    "onnxsim": ("onnxsim", onnxsim),
    "quark": ("amd-quark", quark),
}


def version(peer: str) -> str | None:
    """Return the installed version of the tool of `tool:method`, None where it is not installed.

    Raises:
        SystemExit: there is no such tool.
    """
    tool = peer.partition(":")[0]
    if tool not in PEERS:
        raise SystemExit(f"--peers: {peer}: no such tool (got {tool}); take one of {', '.join(PEERS)}")
    try:
        return metadata.version(PEERS[tool][0])
    except metadata.PackageNotFoundError:
        return None


def outputs_of(peer: str, task: Task) -> list[Feeds]:
    """Return the outputs by name of `tool:method`, one mapping a validation image."""
    tool, _, method = peer.partition(":")
    return PEERS[tool][1](method, task)


def _run_qdq(model: bytes, images: Sequence[Feeds]) -> list[Feeds]:
    from slimai.runtime.session import FloatSession

    session: Any = FloatSession(model, optimize=False)
    return [session.run(feeds) for feeds in images]
