"""Recurrent networks over many steps: SQNR of early and late steps at levels 1, 3 and 4, beside ONNX Runtime's QDQ.

    python benchmarks/recurrent.py [--seeds 4] [--steps 200] [--ops LSTM,GRU,cell] [--spreads uniform,normal]
        [--weights compensated]
    python benchmarks/recurrent.py --speech FOLDER [--silero silero_vad_16k_sequence.onnx]
        [--dtln model_1.onnx model_2.onnx]

Without files: seeded networks, an LSTM and a GRU whose weights are as training frameworks begin (uniform) or normal,
with a linear layer behind, and the same LSTM unrolled as a cell with two states. FOLDER holds speech as *.wav of 16
bits, one channel; two thirds of the files, in order of their names, are for calibration, the others measured. Silero's
sequence network (wheel silero-vad, silero_vad/data) takes 200 frames of 32 ms with white noise of -20 dB; DTLN (MIT,
breizhn/DTLN on GitHub, folder pretrained_model) is network 2 on what network 1 in float makes of the same sound, 100
steps of 8 ms, states carried. Figures are 10 log10(sum y^2 / sum (y - y~)^2) of output 0: of all steps, of the first
and of the last quarter of them. Settings are the defaults of a level, range 100, nearest weights or, with --weights
compensated, rounded ones as a run delivers them (of a sequence at most 32 single steps, kept where the outputs gain);
ONNX Runtime: weights per channel, the better of MinMax and Percentile 99.99, s8 symmetric activations beside level 1,
u8 beside level 3, states carried in float.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import wave
from collections.abc import Iterator, Mapping, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from accuracy_peers import Task, ort

LEVELS = (1, 3, 4)
METHODS = ("MinMax", "Percentile99.99")
RATE = 16000
Feeds = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Case:
    """A network file, its whole shapes, its sequences and states, and samples ([1, steps, ...] of sequences)."""

    path: Path
    calibration: Sequence[Feeds]
    validation: Sequence[Feeds]
    shapes: Mapping[str, tuple[int, ...]]
    declared: Mapping[str, Any]


def seeded(folder: Path, op: str, spread: str, seed: int, steps: int) -> Case:
    """Return an LSTM or GRU of 16 inputs and 32 units, or an LSTM unrolled as a cell (`cell`), and a linear layer."""
    import onnx
    from onnx import numpy_helper

    rng, inputs, units, gates = np.random.default_rng(seed), 16, 32, 3 if op == "GRU" else 4
    limit = 1 / np.sqrt(units)
    draw = {
        "uniform": lambda shape: rng.uniform(-limit, limit, shape),
        "normal": lambda shape: rng.normal(0, limit, shape),
    }
    cell = op == "cell"
    shapes = {"w": (gates * units, inputs), "r": (gates * units, units), "b": (gates * units,), "head": (units, 8)}
    shapes |= {} if cell else {"w": (1, *shapes["w"]), "r": (1, *shapes["r"]), "b": (1, 2 * gates * units)}
    body = {
        "cell": "s = Gemm<transB = 1>(x, w, b) t = Gemm<transB = 1>(h, r) a = Add(s, t) "
        "i, o, f, g = Split<axis = 1>(a, n) si = Sigmoid(i) so = Sigmoid(o) "
        "sf = Sigmoid(f) tg = Tanh(g) kept = Mul(sf, c) new = Mul(si, tg) "
        "cn = Add(kept, new) tc = Tanh(cn) hn = Mul(so, tc) y = MatMul(hn, head)",
    }.get(op, f"all = {op}<hidden_size = {units}>(x, w, r, b) y = MatMul(all, head)")  # fmt: skip
    head = (
        f"(float[1,{inputs}] x, float[1,{units}] h, float[1,{units}] c) "
        f"=> (float[1,8] y, float[1,{units}] hn, float[1,{units}] cn)"
        if cell
        else f"(float[{steps},1,{inputs}] x) => (float[{steps},1,1,8] y)"
    )
    model = onnx.parser.parse_model(f'<ir_version: 8, opset_import: ["" : 17]> net {head} {{ {body} }}')
    for name, shape in shapes.items():
        model.graph.initializer.append(numpy_helper.from_array(draw[spread](shape).astype(np.float32), name))
    if cell:
        model.graph.initializer.append(numpy_helper.from_array(np.full(4, units, np.int64), "n"))
    path = folder / f"{op}_{spread}_{seed}.onnx"
    onnx.save(model, path)
    shape = (1, steps, inputs) if cell else (steps, 1, inputs)
    samples = [{"x": rng.normal(0, 1, shape).astype(np.float32)} for _ in range(12)]
    declared = {"x": SimpleNamespace(state=None, seq=True)} if cell else {}
    return Case(path, samples[:8], samples[8:], {}, declared)


def sounds(folder: Path) -> list[np.ndarray]:
    """Return the speech of the files at 16 kHz, with white noise 20 dB below."""
    found = []
    for number, path in enumerate(sorted(folder.glob("*.wav"))):
        with wave.open(str(path)) as file:
            values = np.frombuffer(file.readframes(file.getnframes()), np.int16) / 32768
            places = np.arange(0, len(values), file.getframerate() / RATE)
        values = np.interp(places, np.arange(len(values)), values)
        noise = np.random.default_rng(number).normal(0, 0.1 * values.std(), values.shape)
        found.append((values + noise).astype(np.float32))
    return found


def divided(samples: Sequence[Feeds]) -> tuple[Sequence[Feeds], Sequence[Feeds]]:
    """Return the samples for calibration, and the others."""
    count = len(samples) * 2 // 3
    return samples[:count], samples[count:]


def silero(path: Path, speech: Sequence[np.ndarray], steps: int = 200) -> Case:
    """Return Silero's sequence network on frames of 512 with 64 of context in front."""
    samples = []
    for sound in speech:
        padded = np.concatenate([np.zeros(64, np.float32), np.resize(sound, steps * 512)])
        frames = np.stack([padded[at * 512 : at * 512 + 576] for at in range(steps)])
        samples.append({"input": frames, **{name: np.zeros((1, 1, 128), np.float32) for name in ("h", "c")}})
    whole = {name: SimpleNamespace(state=False, seq=False) for name in ("h", "c")}  # the steps are inside
    return Case(path, *divided(samples), {"input": (steps, 576)}, whole)


def dtln(first: Path, second: Path, speech: Sequence[np.ndarray], steps: int = 100) -> Case:
    """Return DTLN's network 2 on blocks of 512, 128 apart, that network 1 has masked."""
    import onnxruntime

    session = onnxruntime.InferenceSession(str(first), providers=["CPUExecutionProvider"])
    spectrum, state = (item.name for item in session.get_inputs())
    samples = []
    for sound in speech:
        held, blocks = np.zeros((1, 2, 128, 2), np.float32), []
        voiced = np.resize(sound, steps * 128 + 512)
        for at in range(steps):
            waves = np.fft.rfft(voiced[at * 128 : at * 128 + 512])
            mask, held = session.run(None, {spectrum: np.abs(waves).reshape(1, 1, -1).astype(np.float32), state: held})
            blocks.append(np.fft.irfft(waves * mask.reshape(-1)).reshape(1, 512))
        samples.append({"input_4": np.stack(blocks).astype(np.float32)[None]})
    declared = {
        "input_4": SimpleNamespace(state=None, seq=True),
        "input_5": SimpleNamespace(state="tf_op_layer_stack_5", seq=False),
    }
    return Case(second, *divided(samples), {}, declared)


class Network:
    """A case with its float results."""

    def __init__(self, case: Case, folder: Path) -> None:
        from slimai.graph.load import load_onnx
        from slimai.graph.save import to_onnx
        from slimai.graph.states import with_states
        from slimai.runtime.session import FloatSession

        self.case = case
        self.graph = with_states(load_onnx(case.path, input_shapes=case.shapes or None), case.declared)
        self.calibration, self.validation = (self._begun(item) for item in (case.calibration, case.validation))
        self.output = self.graph.outputs[0]
        session = FloatSession(self.graph)
        self.wanted = [self._over_steps(session.run, feeds) for feeds in self.validation]
        self.file = folder / f"{case.path.stem}_float.onnx"
        self.file.write_bytes(to_onnx(self.graph).SerializeToString())

    def _begun(self, samples: Sequence[Feeds]) -> list[Feeds]:
        """Return samples whose states begin with zeros."""
        zeros = {name: np.zeros(self.graph.shape(name), np.float32) for name in self.graph.inputs}
        return [{name: feeds.get(name, zeros[name]) for name in zeros} for feeds in samples]

    def _over_steps(self, run: Any, feeds: Feeds) -> np.ndarray:
        """Return output 0 with the steps in front."""
        from slimai.graph.samples import run_samples

        if self.graph.sequences:
            return run_samples(self.graph, run, feeds)[self.output][0]
        return run(feeds)[self.output].reshape(self._steps(feeds), -1)

    def _steps(self, feeds: Feeds) -> int:
        return max(value.shape[0] for value in feeds.values())

    def quarters(self, found: Sequence[np.ndarray]) -> list[float]:
        """Return the SQNR of all steps, of the first and of the last quarter of them."""
        pairs = [(np.asarray(a, float), np.asarray(b, float)) for a, b in zip(self.wanted, found, strict=True)]
        quarter = len(pairs[0][0]) // 4
        figures = []
        for part in (slice(None), slice(0, quarter), slice(-quarter, None)):
            signal = sum(np.square(a[part]).sum() for a, _ in pairs)
            figures.append(10 * np.log10(signal / sum(np.square(a[part] - b[part]).sum() for a, b in pairs)))
        return figures

    def peer(self, *, symmetric: bool) -> list[float]:
        """Return the figures of ONNX Runtime's quantizer, the better of its methods."""
        from slimai.graph.samples import each_step
        from slimai.runtime.session import FloatSession

        session = FloatSession(self.graph)
        steps = [step for feeds in self.calibration for step, _ in each_step(self.graph, session.run, feeds)]
        best = []
        for method in METHODS:
            with redirect_stdout(sys.stderr):
                ort(method, Task(self.file, steps, ()), symmetric=symmetric)
            name = f"{self.file.stem}_{method}{'_s8' if symmetric else ''}.onnx"
            quantized = FloatSession(self.file.with_name(name).read_bytes(), optimize=False)
            best.append(self.quarters([self._over_steps(quantized.run, feeds) for feeds in self.validation]))
        return max(best, key=min)

    def rounding(self, plan: Any, target: Any, folder: Path) -> Mapping[str, Any]:
        """Return the rounded weights that a run delivers with this plan, by node name."""
        from slimai.app.float_pass.weight_rounding import SEQUENCE_STEPS
        from slimai.calibration.unrolled import single_steps
        from slimai.simulator.rounding_guard import guarded
        from slimai.simulator.rounding_pass import Images, RoundingPass

        samples, graph = self.calibration, replace(self.graph, sequences=())
        if self.graph.sequences:
            samples = list(single_steps(self.graph, samples, SEQUENCE_STEPS))
        images = Images(len(samples), lambda: samples)
        found = RoundingPass(graph, plan, target, images, folder).run()
        return guarded(graph, plan, found, target, images, arithmetic="native").layers

    def levels(self, target: Any, *, compensated: bool = False) -> Iterator[list[float]]:
        """Yield the figures of each level."""
        from slimai.calibration.collect import collect
        from slimai.quantizer.options import QuantOptions
        from slimai.quantizer.planner import build_plan
        from slimai.quantizer.rewrites.aids import DEFAULTS
        from slimai.simulator.program import compile_plan

        stats = collect(self.graph, self.calibration, bins=10240, per_channel=True)
        for level in LEVELS:
            aids = DEFAULTS[level]
            options = QuantOptions(level=level, bias_correction=aids.bias_correction, tail_clipping=aids.tail_clipping)
            plan = build_plan(self.graph, stats, options, target)
            if compensated and level < 4:
                found = self.rounding(plan, target, self.file.with_suffix(".rounding"))
                plan = build_plan(self.graph, stats, replace(options, rounding=found), target)
            program = compile_plan(plan, target)
            run = lambda feeds, program=program: program.dequantize(program.run(feeds))  # noqa: E731

            yield self.quarters([self._over_steps(run, feeds) for feeds in self.validation])


def cases(given: argparse.Namespace, folder: Path) -> Iterator[Case]:
    """Yield the networks of the command line."""
    if given.silero or given.dtln:
        speech = sounds(given.speech)
        if given.silero:
            yield silero(given.silero, speech)
        if given.dtln:
            yield dtln(*given.dtln, speech)
        return
    for op in given.ops.split(","):
        for spread in given.spreads.split(","):
            for seed in range(given.seeds):
                yield seeded(folder, op, spread, seed, given.steps)


def main(arguments: Sequence[str]) -> int:
    """Print the table."""
    from slimai.config.target import load_target
    from slimai.schema.target import TargetSection

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=4)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--ops", default="LSTM,GRU,cell")
    parser.add_argument("--spreads", default="uniform,normal")
    parser.add_argument("--target", default="vision_dsp")
    parser.add_argument("--weights", choices=("nearest", "compensated"), default="nearest")
    parser.add_argument("--speech", type=Path)
    parser.add_argument("--silero", type=Path)
    parser.add_argument("--dtln", type=Path, nargs=2)
    given = parser.parse_args(arguments)
    target = TargetSection.model_validate(load_target([f"target={given.target}"]).values["target"])
    print("| network | level 1 | ONNX Runtime s8 | level 3 | ONNX Runtime u8 | level 4 |")
    print("| --- | --- | --- | --- | --- | --- |")
    with tempfile.TemporaryDirectory() as name:
        for case in cases(given, Path(name)):
            network = Network(case, Path(name))
            one, three, four = network.levels(target, compensated=given.weights == "compensated")
            peers = [network.peer(symmetric=item) for item in (True, False)]
            cells = (" / ".join(f"{item:.1f}" for item in found) for found in (one, peers[0], three, peers[1], four))
            print(f"| {case.path.stem} | {' | '.join(cells)} |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
