"""Networks x share of nodes and MACs in integers x SQNR of output 0 at levels 1, 3 and 4, beside ONNX Runtime's QDQ.

    python benchmarks/coverage.py [--networks bert,mobilenet_v2,PATH.onnx ...] [--target vision_dsp,npu] [--unscaled]

Networks: seeded ones by name, networks of installed packages (nudenet, rapidocr-onnxruntime, openwakeword), any file.
Calibration on 16 seeded samples, SQNR on 8 others: 10 log10(sum y^2 / sum (y - y~)^2). Settings are the defaults of a
level, range 100. ONNX Runtime: u8 asymmetric activations, weights per channel, the better of MinMax and
Percentile 99.99. `--unscaled` leaves the scaling between LayerNormalization and linear layers out.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import redirect_stdout
from importlib import util
from pathlib import Path
from typing import Any

import numpy as np
from accuracy_peers import Feeds, Task, ort

LEVELS = (1, 3, 4)
CALIBRATION, VALIDATION = 16, 8
METHODS = ("MinMax", "Percentile99.99")
# package -> files of it that are float networks
PACKAGES = {
    "nudenet": ("320n.onnx",),
    "rapidocr_onnxruntime": ("models/ch_PP-OCRv4_det_infer.onnx", "models/ch_ppocr_mobile_v2.0_cls_infer.onnx"),
    "openwakeword": ("resources/models/embedding_model.onnx",),
}
# sizes that the files leave open
SHAPES = {
    "320n": (1, 3, 320, 320),
    "ch_PP-OCRv4_det_infer": (1, 3, 320, 320),
    "ch_ppocr_mobile_v2.0_cls_infer": (1, 3, 48, 192),
    "embedding_model": (1, 76, 32, 1),
}


def networks(names: Sequence[str], folder: Path) -> Iterator[Path]:
    """Yield the files of the named networks; of all seeded ones and installed packages where none is named."""
    from networks import mobilenet_v2, saved
    from transformer import bert

    seeded = {"bert": bert, "mobilenet_v2": lambda: mobilenet_v2(size=96)}
    for name in names or seeded:
        yield saved(seeded[name](), folder) if name in seeded else Path(name)
    for package, files in PACKAGES.items() if not names else ():
        found = util.find_spec(package)
        for file in files if found is not None and found.submodule_search_locations else ():
            path = Path(next(iter(found.submodule_search_locations))) / file
            if path.is_file():
                yield path


def samples(graph: Any, seed: int, count: int) -> list[Feeds]:
    """Return seeded inputs: smooth pictures for three channels, normal noise for others."""
    from networks import photographs

    found = []
    for index in range(count):
        rng = np.random.default_rng(seed + index)
        feeds = {}
        for name in graph.inputs:
            shape = graph.shape(name)
            picture = len(shape) == 4 and shape[1] == 3 and shape[2] == shape[3]
            value = next(photographs(1, shape[2], seed + index)) if picture else rng.normal(size=shape)
            feeds[name] = value.astype(np.float32)
        found.append(feeds)
    return found


def signal_to_noise(wanted: Sequence[np.ndarray], found: Sequence[np.ndarray]) -> float:
    """Return the SQNR in dB over all samples."""
    signal = sum(float(np.square(item.astype(float)).sum()) for item in wanted)
    noise = sum(float(np.square(a.astype(float) - b).sum()) for a, b in zip(wanted, found, strict=True))
    return 10 * np.log10(signal / noise) if noise else np.inf


def rewritten(graph: Any, images: Sequence[Feeds], target: Any, *, scaled: bool) -> Any:
    """Return the float network that the defaults of all levels start from."""
    from slimai.calibration.collect import channel_magnitudes
    from slimai.quantizer.rewrites.constant_channels import fold_constant_channels
    from slimai.quantizer.rewrites.equalization import equalize
    from slimai.quantizer.rewrites.norm_scaling import norms_with_readers, scale_through_norms

    graph, _ = fold_constant_channels(graph)
    graph = equalize(graph, channel_magnitudes(graph, images)).graph
    names = [item.norm.outputs[0] for item in norms_with_readers(graph)] if scaled else []
    if not names:
        return graph
    peaks = channel_magnitudes(graph, images, axes={name: len(graph.shape(name)) - 1 for name in names})
    return scale_through_norms(graph, peaks, target.per_channel_ops).graph


def levels(graph: Any, calibration: Sequence[Feeds], target: Any) -> Iterator[tuple[Any, Any]]:
    """Yield (plan, program) of each level."""
    from slimai.calibration.collect import collect
    from slimai.quantizer.options import QuantOptions
    from slimai.quantizer.planner import build_plan
    from slimai.quantizer.rewrites.aids import DEFAULTS
    from slimai.simulator.program import compile_plan

    stats = collect(graph, calibration, bins=10240, per_channel=True)
    for level in LEVELS:
        aids = DEFAULTS[level]
        options = QuantOptions(level=level, bias_correction=aids.bias_correction, tail_clipping=aids.tail_clipping)
        plan = build_plan(graph, stats, options, target)
        yield plan, compile_plan(plan, target)


def integer_share(plan: Any, program: Any) -> tuple[float, float]:
    """Return the percentages of layers, and of MACs, that run in integers."""
    from slimai.simulator.cost import layer_macs

    macs = {layer.name: layer_macs(plan.graph, layer) for layer in plan.layers}
    inside = [layer.name for layer in plan.layers if layer.name not in program.host_layers]
    whole = sum(macs.values())
    return 100 * len(inside) / len(plan.layers), 100 * sum(macs[name] for name in inside) / whole if whole else 100.0


def row(path: Path, target: Any, *, scaled: bool, folder: Path) -> str:
    """Return one row of the table."""
    from slimai.graph.load import load_onnx
    from slimai.graph.save import to_onnx
    from slimai.runtime.session import FloatSession

    shape = SHAPES.get(path.stem)
    graph = load_onnx(path, input_shapes={_only_input(path): shape} if shape else None)
    calibration, validation = samples(graph, 0, CALIBRATION), samples(graph, 1000, VALIDATION)
    output = graph.outputs[0]
    session = FloatSession(graph)
    wanted = [session.run(feeds)[output] for feeds in validation]
    cells, share = [], ""
    for plan, program in levels(rewritten(graph, calibration, target, scaled=scaled), calibration, target):
        found = [program.dequantize(program.run(feeds))[output] for feeds in validation]
        cells.append(f"{signal_to_noise(wanted, found):.1f}")
        share = "{:.0f} / {:.0f} %".format(*integer_share(plan, program))
    float_file = folder / f"{path.stem}_float.onnx"
    float_file.write_bytes(to_onnx(graph).SerializeToString())
    peer = max(_peer(method, Task(float_file, calibration, validation), output, wanted) for method in METHODS)
    return f"| {path.stem} | {target.name} | {share} | {' | '.join(cells)} | {peer:.1f} |"


def _peer(method: str, task: Task, output: str, wanted: Sequence[np.ndarray]) -> float:
    with redirect_stdout(sys.stderr):  # the quantizer tells its progress there
        found = ort(method, task)
    return signal_to_noise(wanted, [item[output] for item in found])


def _only_input(path: Path) -> str:
    import onnx

    model = onnx.load(path, load_external_data=False)
    constants = {item.name for item in model.graph.initializer}
    return next(item.name for item in model.graph.input if item.name not in constants)


def main(arguments: Sequence[str]) -> int:
    """Print the table."""
    from slimai.config.target import load_target
    from slimai.schema.target import TargetSection

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--networks", default="")
    parser.add_argument("--target", default="vision_dsp,npu")
    parser.add_argument("--unscaled", action="store_true")
    given = parser.parse_args(arguments)
    print("| network | target | integer layers / MACs | level 1 | level 3 | level 4 | ONNX Runtime |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    with tempfile.TemporaryDirectory() as name:
        for path in networks([item for item in given.networks.split(",") if item], Path(name)):
            for target in given.target.split(","):
                section = TargetSection.model_validate(load_target([f"target={target}"]).values["target"])
                print(row(path, section, scaled=not given.unscaled, folder=Path(name)), flush=True)
    return 0
