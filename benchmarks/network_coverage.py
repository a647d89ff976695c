"""Networks x share of nodes and MACs in integers x SQNR of output 0 at levels 1, 3 and 4, beside ONNX Runtime's QDQ.

    python benchmarks/coverage.py [--networks bert,mobilenet_v2,PATH.onnx ...] [--target vision_dsp,npu]
        [--limits "range 100,percentile 99.99"] [--pictures FOLDER]

Networks: seeded ones by name, networks of installed packages (nudenet, rapidocr-onnxruntime, openwakeword 0.4), any
file; benchmarks/minilm.py writes one. Samples: the arrays of an .npz beside the file, [samples, ...] an input; else
pictures of FOLDER, with the network's own mean and spread where they are known (networks that read text: seeded pages);
else seeded ones. Calibration on 16, SQNR on 8 others: 10 log10(sum y^2 / sum (y - y~)^2). A level is as it is delivered
by default (network_delivery.py): limits and then nearest or compensated weights are chosen on 8 further samples,
neither calibrated nor reported. ONNX Runtime: weights per channel, the better of MinMax and Percentile 99.99 on the
reported samples, once with s8 symmetric activations (beside level 1), once with u8 asymmetric ones (beside level 3).
What was chosen is told on stderr, with the ratio of range 100 and nearest weights.
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
from text_pictures import text_picture

LEVELS = (1, 3, 4)
CALIBRATION, VALIDATION, CHOICE = 16, 8, 8
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
# mean and spread of the pixels 0 .. 255 that these networks were trained with
PIXELS = {
    "320n": (0.0, 255.0),
    "ch_PP-OCRv4_det_infer": ((123.675, 116.28, 103.53), (58.395, 57.12, 57.375)),
    "ch_ppocr_mobile_v2.0_cls_infer": (127.5, 127.5),
}
READERS = {"ch_PP-OCRv4_det_infer", "ch_ppocr_mobile_v2.0_cls_infer"}  # seeded pages and lines of text are for these


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


def samples(graph: Any, path: Path, pictures: Sequence[Path], seed: int, count: int) -> list[Feeds]:
    """Return inputs from number `seed` on: stored ones, pictures, or seeded ones (smooth pictures, normal noise)."""
    stored = path.with_suffix(".npz")
    if stored.is_file():
        with np.load(stored) as arrays:
            return [{name: arrays[name][seed + i][None] for name in graph.inputs} for i in range(count)]
    if path.stem in READERS:
        (name,) = graph.inputs
        _, _, height, width = graph.shape(name)
        pages = (text_picture(seed + index, width, height) for index in range(count))
        return [{name: _normalized(page, graph.shape(name), *PIXELS[path.stem])} for page in pages]
    if pictures and path.stem in PIXELS:
        (name,) = graph.inputs
        chosen = [pictures[(seed + index) % len(pictures)] for index in range(count)]
        return [{name: _picture(file, graph.shape(name), *PIXELS[path.stem])} for file in chosen]
    return [_seeded(graph, seed + index) for index in range(count)]


def _picture(path: Path, shape: Sequence[int], mean: Any, spread: Any) -> np.ndarray:
    from PIL import Image

    with Image.open(path) as file:
        return _normalized(file, shape, mean, spread)


def _normalized(picture: Any, shape: Sequence[int], mean: Any, spread: Any) -> np.ndarray:
    pixels = np.asarray(picture.convert("RGB").resize((shape[3], shape[2])), dtype=np.float32)
    scaled = (pixels - np.asarray(mean, dtype=np.float32)) / np.asarray(spread, dtype=np.float32)
    return np.ascontiguousarray(scaled.transpose(2, 0, 1)[None], dtype=np.float32)


def _seeded(graph: Any, seed: int) -> Feeds:
    from networks import photographs

    rng = np.random.default_rng(seed)
    feeds = {}
    for name in graph.inputs:
        shape = graph.shape(name)
        picture = len(shape) == 4 and shape[1] == 3 and shape[2] == shape[3]
        value = next(photographs(1, shape[2], seed)) if picture else rng.normal(size=shape)
        feeds[name] = value.astype(np.float32)
    return feeds


def signal_to_noise(wanted: Sequence[np.ndarray], found: Sequence[np.ndarray]) -> float:
    """Return the SQNR in dB over all samples."""
    signal = sum(float(np.square(item.astype(float)).sum()) for item in wanted)
    noise = sum(float(np.square(a.astype(float) - b).sum()) for a, b in zip(wanted, found, strict=True))
    return 10 * np.log10(signal / noise) if noise else np.inf


class Network:
    """A float network with its samples and results, and what peers and levels are measured against."""

    def __init__(self, path: Path, pictures: Sequence[Path], folder: Path) -> None:
        from slimai.graph.load import load_onnx
        from slimai.graph.save import to_onnx
        from slimai.runtime.session import FloatSession

        shape = SHAPES.get(path.stem)
        self.graph = load_onnx(path, input_shapes={_only_input(path): shape} if shape else None)
        self.calibration = samples(self.graph, path, pictures, 0, CALIBRATION)
        self.validation = samples(self.graph, path, pictures, CALIBRATION, VALIDATION)
        self.choice = samples(self.graph, path, pictures, CALIBRATION + VALIDATION, CHOICE)
        self.output = self.graph.outputs[0]
        session = FloatSession(self.graph)
        self.wanted, self.chosen = (
            [session.run(feeds)[self.output] for feeds in some] for some in (self.validation, self.choice)
        )
        self.file = folder / f"{path.stem}_float.onnx"
        self.file.write_bytes(to_onnx(self.graph).SerializeToString())

    def peer(self, *, symmetric: bool) -> float:
        """Return the SQNR of ONNX Runtime's quantizer, the better of its methods."""
        task = Task(self.file, self.calibration, self.validation)
        with redirect_stdout(sys.stderr):  # the quantizer tells its progress there
            found = [ort(method, task, symmetric=symmetric) for method in METHODS]
        return max(signal_to_noise(self.wanted, [item[self.output] for item in each]) for each in found)

    def levels(self, target: str, limits: Sequence[str], work: Path) -> tuple[list[float], str]:
        """Return the SQNR of each level as delivered, and the share of layers and MACs in integers."""
        from network_delivery import Job, opened

        work = work / f"{self.file.stem}_{target}"
        files = {"calib": self.calibration, "val": self.choice}
        job = Job(opened(self.file, self.graph.inputs, files, target, work), work)
        found, share = [], ""
        for level in LEVELS:
            item = job.delivered(level, limits, lambda program: self._ratio(program, self.choice, self.chosen))
            found.append(self._ratio(item.program, self.validation, self.wanted))
            share = "{:.0f} / {:.0f} %".format(*integer_share(item.plan, item.program))
            plain = self._ratio(job.built(level, "range 100").program, self.validation, self.wanted)
            told = f"{self.file.stem} {target} level {level}: {item.limits}, {item.weights} weights: {found[-1]:.1f} dB"
            print(f"{told}; range 100, nearest weights: {plain:.1f} dB", file=sys.stderr, flush=True)
        return found, share

    def _ratio(self, program: Any, samples: Sequence[Feeds], wanted: Sequence[np.ndarray]) -> float:
        return signal_to_noise(wanted, [program.dequantize(program.run(feeds))[self.output] for feeds in samples])


def integer_share(plan: Any, program: Any) -> tuple[float, float]:
    """Return the percentages of layers, and of MACs, that run in integers."""
    from slimai.simulator.cost import layer_macs

    macs = {layer.name: layer_macs(plan.graph, layer) for layer in plan.layers}
    inside = [layer.name for layer in plan.layers if layer.name not in program.host_layers]
    whole = sum(macs.values())
    return 100 * len(inside) / len(plan.layers), 100 * sum(macs[name] for name in inside) / whole if whole else 100.0


def _only_input(path: Path) -> str:
    import onnx

    model = onnx.load(path, load_external_data=False)
    constants = {item.name for item in model.graph.initializer}
    return next(item.name for item in model.graph.input if item.name not in constants)


def main(arguments: Sequence[str]) -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--networks", default="")
    parser.add_argument("--target", default="vision_dsp,npu")
    parser.add_argument("--limits", default="range 100,percentile 99.99")
    parser.add_argument("--pictures", type=Path)
    given = parser.parse_args(arguments)
    pictures = sorted(given.pictures.glob("*.jpg")) if given.pictures else []
    print(
        "| network | target | integer layers / MACs | level 1 | ONNX Runtime s8 | level 3 | ONNX Runtime u8 | level 4 |"
    )
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    with tempfile.TemporaryDirectory() as name:
        for path in networks([item for item in given.networks.split(",") if item], Path(name)):
            network = Network(path, pictures, Path(name))
            peers = [network.peer(symmetric=symmetric) for symmetric in (True, False)]
            for target in given.target.split(","):
                limits = [item.strip() for item in given.limits.split(",")]
                found, share = network.levels(target, limits, Path(name))
                cells = (found[0], peers[0], found[1], peers[1], found[2])
                print(
                    f"| {path.stem} | {target} | {share} | {' | '.join(f'{item:.1f}' for item in cells)} |", flush=True
                )
    return 0
