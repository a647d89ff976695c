"""Portable C of `slimai codegen` beside emx-onnx-cgen (our QDQ export) and TensorFlow Lite Micro (reference kernels).

All in one run, one thread, one compiler with the same flags: bytes of C text, of .text + .rodata, RAM for activations,
calls of malloc in one run, the best milliseconds of `--repeats` images in processor time, and outputs that differ from
the simulator's integers. F is ONNX Runtime's float network, one thread, in the same process time. The peers are
optional:

    python -m venv peers && peers/bin/pip install emx-onnx-cgen tflite-micro
    python benchmarks/codegen.py --data ../shared/data --peers peers/bin/python
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

FLOAT_NETWORKS = ("mobilenet_v1_0.25_224_imagenet", "kws_dscnn", "resnet8_cifar10")
TFLITE_NETWORKS = ("kws_ref_model_int8", "resnet8_cifar10_int8")
LEVEL = 3
RUNNER = """
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
@INCLUDE@
void *__real_malloc(size_t bytes);
void *__real_calloc(size_t count, size_t bytes);
void __real_free(void *memory);
static long calls, held, most;
void *__wrap_malloc(size_t bytes)
{
    size_t *memory = __real_malloc(bytes + 64);
    calls++;
    held += (long)bytes;
    most = held > most ? held : most;
    memory[0] = bytes;
    return (char *)memory + 64;
}
void *__wrap_calloc(size_t count, size_t bytes)
{
    char *memory = __wrap_malloc(count * bytes);
    size_t i;
    for (i = 0; i < count * bytes; i++) { memory[i] = 0; }
    return memory;
}
void __wrap_free(void *memory)
{
    if (memory != NULL) {
        held -= (long)*(size_t *)(void *)((char *)memory - 64);
        __real_free((char *)memory - 64);
    }
}
static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec * 1e-6;
}
@GLOBALS@
int main(int count, char **words)
{
    static union { unsigned char bytes[@IN@]; uint64_t aligned; } in;
    static union { unsigned char bytes[@OUT@]; uint64_t aligned; } out;
    FILE *file = fopen(words[1], "rb");
    double best = 1e30;
    int repeat, sample;
    if (count < 4 || file == NULL) { return 1; }
    for (sample = 0; fread(in.bytes, 1, sizeof in.bytes, file) == sizeof in.bytes; sample++) {
        FILE *to = fopen(words[2], sample != 0 ? "ab" : "wb");
        for (repeat = 0; repeat < (sample != 0 ? 1 : atoi(words[3])); repeat++) {
            const double from = now();
            calls = 0;
            @CALL@;
            best = now() - from < best ? now() - from : best;
        }
        fwrite(out.bytes, 1, sizeof out.bytes, to);
        fclose(to);
    }
    printf("{\\"ms\\": %.4f, \\"allocations\\": %ld, \\"heap\\": %ld}\\n", best, calls, most);
    return 0;
}
"""
MICRO = """
import json, sys, time
import numpy as np
from tflite_micro import runtime
model, inputs, outputs, repeats = sys.argv[1:]
interpreter = runtime.Interpreter.from_file(model)
samples, found, best = np.load(inputs), [], 1e30
for number, sample in enumerate(samples):
    interpreter.set_input(sample, 0)
    for _ in range(int(repeats) if number == 0 else 1):
        start = time.process_time()
        interpreter.invoke()
        best = min(best, time.process_time() - start)
    found.append(interpreter.get_output(0).copy())
np.save(outputs, np.stack(found))
print(json.dumps({"ms": best * 1e3}))
"""


@dataclass
class Row:
    """One line of the table; None: not measured."""

    network: str
    tool: str
    text: int | None = None
    image: int | None = None
    ram: int | None = None
    allocations: int | None = None
    ms: float | None = None
    differ: str = ""

    def cells(self) -> list[str]:
        """Return the cells as text."""
        numbers = [self.text, self.image, self.ram, self.allocations]
        texts = ["-" if value is None else f"{value:,}" for value in numbers]
        return [self.network, self.tool, *texts, "-" if self.ms is None else f"{self.ms:.2f}", self.differ]


class Bench:
    """The compiler, the peers, the number of repeats, a folder for files."""

    def __init__(self, options: argparse.Namespace, folder: Path) -> None:
        self.data, self.peers, self.repeats, self.folder = options.data, options.peers, options.repeats, folder
        self.compiler, self.flags = options.cc, options.flags.split()
        self.rows: list[Row] = []

    def compiled(self, sources: list[Path], runner: str, include: Path) -> tuple[Path, int]:
        """Return the binary of C files and a runner, and the bytes of .text + .rodata of the files."""
        words, image, objects = [self.compiler, "-w", f"-I{include}"], 0, []
        for number, source in enumerate(sources):
            objects.append(include / f"{number}.o")
            subprocess.run([*words, *self.flags, "-c", source, "-o", objects[-1]], check=True)
            image += _sections(objects[-1])
        (include / "runner.c").write_text(runner)
        binary = include / "runner"
        wrapped = [f"-Wl,--wrap={name}" for name in ("malloc", "calloc", "free")]
        subprocess.run(
            [*words, "-std=gnu11", "-O2", include / "runner.c", *objects, *wrapped, "-lm", "-o", binary], check=True
        )
        return binary, image

    def run(self, binary: Path, inputs: bytes) -> tuple[dict[str, Any], bytes]:
        """Return what the runner prints, and the outputs of all samples."""
        (binary.parent / "in").write_bytes(inputs)
        words = [binary, binary.parent / "in", binary.parent / "out", str(self.repeats)]
        done = subprocess.run(words, capture_output=True, text=True, check=True, cwd=binary.parent)
        return json.loads(done.stdout), (binary.parent / "out").read_bytes()


def _sections(file: Path) -> int:
    text = subprocess.run(["size", "-A", file], capture_output=True, text=True, check=True).stdout
    parts = [line.split() for line in text.splitlines() if line.startswith((".text", ".rodata"))]
    return sum(int(part[1]) for part in parts)


def samples_of(program: Any, count: int) -> list[dict[str, np.ndarray]]:
    """Return seeded noise in the inputs' ranges, as integers."""
    from slimai.codegen.vectors import noise

    return noise(program, count)


def ours(bench: Bench, name: str, program: Any, samples: list[dict[str, np.ndarray]]) -> None:
    """Add our row."""
    from slimai.codegen.generate import files_of
    from slimai.codegen.network import build_network
    from slimai.codegen.options import CodeOptions
    from slimai.codegen.project import sources
    from slimai.codegen.vectors import in_memory
    from slimai.schema.target import TargetSection

    network = build_network(program, TargetSection(), CodeOptions("net"))
    folder = bench.folder / f"{name}_slimai"
    files = {key: data for key, data in files_of(network, program, []).items() if "/" not in key}
    folder.mkdir()
    for key, data in files.items():
        (folder / key).write_bytes(data)
    (source,), (target,) = program.plan.graph.inputs, program.plan.graph.outputs
    runner = _runner(
        network.bytes(source), network.bytes(target), '#include "net.h"',
        "static union { unsigned char bytes[NET_ARENA_BYTES + 1]; uint64_t aligned; } arena;",
        "if (net_run((const void *)in.bytes, (void *)out.bytes, arena.bytes) != 0) { return 2; }",
    )  # fmt: skip
    binary, image = bench.compiled([folder / key for key in sources(network)], runner, folder)
    told, out = bench.run(binary, b"".join(in_memory(network, source, item[source]).tobytes() for item in samples))
    expected = b"".join(in_memory(network, target, program.run(item)[target]).tobytes() for item in samples)
    kind = program.plan.tensors[target].dtype.numpy
    differ = int(np.count_nonzero(np.frombuffer(out, kind) != np.frombuffer(expected, kind)))
    text = sum(len(data) for key, data in files.items() if key.endswith((".c", ".h")))
    size = len(np.frombuffer(out, kind))
    bench.rows.append(Row(name, "slimai", text, image, network.storage.arena, told["allocations"], told["ms"],
                          f"{differ} of {size}"))  # fmt: skip


def _runner(inputs: int, outputs: int, include: str, global_lines: str, call: str) -> str:
    text = RUNNER.replace("@IN@", str(inputs)).replace("@OUT@", str(outputs)).replace("@INCLUDE@", include)
    return text.replace("@GLOBALS@", global_lines).replace("@CALL@", call)


def emx(bench: Bench, name: str, program: Any, samples: list[dict[str, np.ndarray]]) -> None:
    """Add the row of emx-onnx-cgen on our QDQ export; say why where it is missing."""
    import onnx

    from slimai.quantizer.qdq import to_qdq

    tool = bench.peers.parent / "emx-onnx-cgen"
    if not tool.is_file():
        sys.stderr.write(f"{name}: emx-onnx-cgen is not installed beside {bench.peers}; its row is left out\n")
        return
    folder = bench.folder / f"{name}_emx"
    folder.mkdir()
    model = to_qdq(program.plan)
    for value in (*model.graph.input, *model.graph.output, *model.graph.value_info):
        for axis in value.type.tensor_type.shape.dim:
            if axis.dim_param:
                axis.dim_value = 1
    onnx.save(model, folder / "model.onnx")
    words = [tool, "compile", "model.onnx", "emx.c", "--model-name", "emx"]
    subprocess.run(words, check=True, capture_output=True, cwd=folder)
    graph, tensors = program.plan.graph, program.plan.tensors
    (source,), (target,) = graph.inputs, graph.outputs
    counts = [int(np.prod(graph.shape(item))) for item in (source, target)]
    text = (folder / "emx.c").read_text()
    load = 'static int loaded; if (!loaded) { loaded = emx_load("emx.bin"); }' if "emx_load(" in text else ""
    call = f"{load} emx((const void *)in.bytes, (void *)out.bytes)"
    declared = "void emx(const void *input, void *output);\n_Bool emx_load(const char *path);"
    runner = _runner(4 * counts[0], 4 * counts[1], declared, "", call)
    binary, image = bench.compiled([folder / "emx.c"], runner, folder)
    real = [tensors[source].dequantize(item[source]).astype(np.float32) for item in samples]
    told, out = bench.run(binary, b"".join(item.tobytes() for item in real))
    grid, floats = tensors[target], np.frombuffer(out, np.float32)
    expected = np.concatenate([program.run(item)[target].reshape(-1) for item in samples])
    differ = int(np.count_nonzero(grid.quantize(floats) != expected))
    weights = sum(path.stat().st_size for path in folder.glob("emx.bin"))
    bench.rows.append(Row(name, "emx-onnx-cgen", len(text), image + weights, told["heap"], told["allocations"],
                          told["ms"], f"{differ} of {floats.size}"))  # fmt: skip


def micro(bench: Bench, name: str, model: Path, program: Any, samples: list[dict[str, np.ndarray]]) -> None:
    """Add the row of TensorFlow Lite Micro's wheel; say why where it is missing."""
    words = [bench.peers, "-c", "import tflite_micro"]
    if not shutil.which(words[0]) or subprocess.run(words, capture_output=True, check=False).returncode:
        sys.stderr.write(f"{name}: tflite-micro is not installed for {bench.peers}; its row is left out\n")
        return
    (source,), (target,) = program.plan.graph.inputs, program.plan.graph.outputs
    np.save(bench.folder / "in.npy", np.stack([item[source] for item in samples]))
    out = bench.folder / "out.npy"
    words = [bench.peers, "-c", MICRO, model, bench.folder / "in.npy", out, str(bench.repeats)]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    expected = np.stack([program.run(item)[target] for item in samples])
    found = np.load(out)
    differ = int(np.count_nonzero(found.reshape(-1) != expected.reshape(-1)))
    ms = json.loads(done.stdout.splitlines()[-1])["ms"]
    bench.rows.append(Row(name, "tflite-micro", ms=ms, differ=f"{differ} of {found.size}"))


def float_time(bench: Bench, name: str, path: Path) -> None:
    """Add the row of ONNX Runtime's float network."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    item = session.get_inputs()[0]
    shape = [axis if isinstance(axis, int) else 1 for axis in item.shape]
    values, best = np.random.default_rng(0).normal(0, 1, shape).astype(np.float32), 1e30
    for _ in range(bench.repeats):
        start = time.process_time()
        session.run(None, {item.name: values})
        best = min(best, time.process_time() - start)
    bench.rows.append(Row(name, "F (ONNX Runtime, float)", ms=best * 1e3))


def float_network(bench: Bench, name: str) -> None:
    """Add the rows of a float network, quantized from seeded noise."""
    from slimai.calibration.collect import collect
    from slimai.graph.load import load_onnx
    from slimai.quantizer.options import QuantOptions
    from slimai.quantizer.planner import build_plan
    from slimai.schema.target import TargetSection
    from slimai.simulator.program import compile_plan

    path = bench.data / "models" / "onnx" / f"{name}.onnx"
    graph, rng = load_onnx(path), np.random.default_rng(zlib.crc32(name.encode()))
    feeds = [{item: rng.normal(0, 1, graph.shape(item)).astype(np.float32) for item in graph.inputs} for _ in range(2)]
    program = compile_plan(build_plan(graph, collect(graph, feeds), QuantOptions(level=LEVEL)), TargetSection())
    samples = [program.entering(item) for item in feeds]
    ours(bench, name, program, samples)
    emx(bench, name, program, samples)
    float_time(bench, name, path)


def tflite_network(bench: Bench, name: str) -> None:
    """Add the rows of a stored TFLite network."""
    from slimai.quantizer.quantized_file import load_quantized
    from slimai.schema.target import TargetSection
    from slimai.simulator.program import compile_plan

    path, target = bench.data / "models" / "tflite" / f"{name}.tflite", TargetSection()
    program = compile_plan(load_quantized(path), target, arithmetic=target.native.asym8)
    samples = samples_of(program, 4)
    ours(bench, name, program, samples)
    micro(bench, name, path, program, samples)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--peers", type=Path, default=Path(sys.executable), help="a Python that has the two peers")
    parser.add_argument("--cc", default="gcc")
    parser.add_argument("--flags", default="-O3")
    parser.add_argument("--repeats", type=int, default=30)
    parser.add_argument("--only", default="", help="part of the networks' names")
    options = parser.parse_args()
    options.peers = options.peers.absolute()
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(options, Path(folder))
        for names, measure in ((FLOAT_NETWORKS, float_network), (TFLITE_NETWORKS, tflite_network)):
            for name in names:
                if options.only in name:
                    measure(bench, name)
    head = ["network", "tool", "C text", ".text + .rodata", "RAM", "malloc", "ms", "differing outputs"]
    for cells in (head, ["---"] * len(head), *(row.cells() for row in bench.rows)):
        sys.stdout.write(f"| {' | '.join(cells)} |\n")


if __name__ == "__main__":
    main()
