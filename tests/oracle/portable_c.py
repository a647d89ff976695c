"""Builds generated C with the machine's compiler, runs it, and compares every tensor with the simulator."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from plans import Op, build_plan, params

from slimai.codegen.generate import files_of
from slimai.codegen.network import Network, build_network
from slimai.codegen.options import CodeOptions
from slimai.codegen.project import sources
from slimai.codegen.source import arguments, traced
from slimai.codegen.vectors import in_memory
from slimai.quantizer.params import S8
from slimai.quantizer.plan import QWeight
from slimai.schema.target import TargetSection
from slimai.simulator.program import Program, compile_plan

WARNINGS = ("-std=c99", "-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Wshadow", "-Werror")
SANITIZED = ("-O0", "-g0", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")

DUMP = """
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include "{folder}/{p}.h"
void {p}_test_trace(int layer, const void *values, size_t bytes);
void {p}_test_trace(int layer, const void *values, size_t bytes)
{{
    (void)layer;
    fwrite(values, 1, bytes, stdout);
}}
int {p}_dump(const void *weights);
int {p}_dump(const void *weights)
{{
{declared}
    void *arena = malloc({U}_ARENA_BYTES); /* exactly: the sanitizer sees what lies beyond */
    (void)weights;
    while (fread(in0, 1, sizeof in0, stdin) == sizeof in0) {{
{read}
        if ({p}_run({call}) != 0) {{
            return 1;
        }}
    }}
    free(arena);
    return 0;
}}
"""
MAIN = """
#include <stdio.h>
#include <stdlib.h>
{prototypes}
int main(int count, char **words)
{{
    const int which = count > 1 ? atoi(words[1]) : 0;
    static unsigned char weights[{weights}] __attribute__((aligned(8)));
    if (count > 2) {{
        FILE *file = fopen(words[2], "rb");
        if (file == NULL || fread(weights, 1, sizeof weights, file) == 0) {{
            return 2;
        }}
        fclose(file);
    }}
{cases}
    return 3;
}}
"""


def compiler() -> str:
    """Return the C compiler; skip where there is none."""
    found = shutil.which("gcc") or shutil.which("cc")
    if found is None:
        pytest.skip("no C compiler on this machine (gcc or cc)")
    return found


@dataclass
class Subject:
    """A program and its C."""

    program: Program
    network: Network
    folder: Path
    number: int = 0
    binary: Path | None = None

    def dump(self, feeds: list[dict[str, np.ndarray]]) -> list[dict[str, np.ndarray]]:
        """Return every traced tensor of each sample, flat in memory order, as the C computes them."""
        entered = [self.program.entering(item) for item in feeds]
        data = b"".join(
            in_memory(self.network, name, item[name]).tobytes()
            for item in entered for name in self.network.plan.graph.inputs
        )  # fmt: skip
        words = [str(self.binary), str(self.number)]
        if self.network.constants.as_file:
            words.append(str(self.folder / f"{self.network.prefix}_weights.bin"))
        done = subprocess.run(words, input=data, capture_output=True, timeout=600, check=False)
        assert done.returncode == 0, done.stderr.decode()[-3000:]
        found, at = [], 0
        for _ in feeds:
            sample = {}
            for _, name in traced(self.network):
                kind = np.dtype(self.network.c_type(name).removesuffix("_t"))
                sample[name] = np.frombuffer(done.stdout, kind, self.network.count(name), at)
                at += sample[name].nbytes
            found.append(sample)
        assert at == len(done.stdout)
        return found

    def differences(self, feeds: list[dict[str, np.ndarray]]) -> dict[str, int]:
        """Return tensor -> differing integers over all samples, of those that differ."""
        names = [name for _, name in traced(self.network)]
        wrong: dict[str, int] = {}
        for sample, found in zip(feeds, self.dump(feeds), strict=True):
            expected = self.program.run(sample, capture=names)
            for name in names:
                count = int(np.count_nonzero(found[name] != in_memory(self.network, name, expected[name])))
                if count:
                    wrong[name] = wrong.get(name, 0) + count
        return wrong


def subject(program: Program, target, folder: Path, prefix: str, **options) -> Subject:
    """Write the C of a program below `folder`."""
    network = build_network(program, target, CodeOptions(prefix, **options))
    place = folder / prefix
    for name, data in files_of(network, program, []).items():
        file = place / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)
    return Subject(program, network, place)


def build(subjects: list[Subject], folder: Path, flags: tuple[str, ...] = SANITIZED) -> None:
    """Compile and link all subjects into one binary, each under its number."""
    gcc, files, defines, prototypes, cases = compiler(), [], [], [], []
    most = 1
    for number, item in enumerate(subjects):
        prefix = item.network.prefix
        item.number, item.binary = number, folder / "dump"
        files += [item.folder / name for name in sources(item.network)]
        (folder / f"{prefix}_dump.c").write_text(_dump(item))
        files.append(folder / f"{prefix}_dump.c")
        defines.append(f"-D{prefix.upper()}_TEST")
        prototypes.append(f"int {prefix}_dump(const void *weights);")
        cases.append(f"    if (which == {number}) {{ return {prefix}_dump(weights); }}")
        if item.network.constants.as_file:
            most = max(most, len(item.network.constants.file("little")))
    text = MAIN.format(prototypes="\n".join(prototypes), cases="\n".join(cases), weights=most)
    (folder / "main.c").write_text(text)
    words = [gcc, *WARNINGS, *flags, *defines, *map(str, files), str(folder / "main.c"), "-o", str(folder / "dump")]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[:4000]


def _dump(item: Subject) -> str:
    network, graph = item.network, item.network.plan.graph
    named = arguments(network)
    outputs = named[len(graph.inputs) :]
    declared = [
        f"    static {kind.removeprefix('const ')} in{n}[{network.count(tensor)}];"
        for n, (kind, _, tensor) in enumerate(named[: len(graph.inputs)])
    ]  # fmt: skip
    declared += [f"    static {kind} y{n}[{network.count(tensor)}];" for n, (kind, _, tensor) in enumerate(outputs)]
    read = [
        f"        if (fread(in{n}, 1, sizeof in{n}, stdin) != sizeof in{n}) {{ return 4; }}"
        for n in range(1, len(graph.inputs))
    ]
    call = [f"in{n}" for n in range(len(graph.inputs))] + [f"y{n}" for n in range(len(outputs))] + ["arena"]
    call += ["weights"] if network.constants.as_file else []
    return DUMP.format(
        p=network.prefix, U=network.prefix.upper(), folder=item.folder, declared="\n".join(declared),
        read="\n".join(read), call=", ".join(call),
    )  # fmt: skip


def extremes(program: Program, seed: int = 0) -> list[dict[str, np.ndarray]]:
    """Return samples of lowest, highest and alternating integers, and noise."""
    rng, plan = np.random.default_rng(seed), program.plan
    made: list[dict[str, np.ndarray]] = [{} for _ in range(5)]
    for name in plan.graph.inputs:
        kind, shape = plan.tensors[name].dtype, plan.graph.shape(name)
        ends = np.array([kind.low, kind.high])
        low, high = np.full(shape, kind.low), np.full(shape, kind.high)
        noise = rng.integers(kind.low, kind.high + 1, shape)
        for sample, values in zip(made, (low, high, rng.choice(ends, shape), noise, noise // 7), strict=True):
            sample[name] = values.astype(kind.numpy)
    return made


SQUARE = {"strides": (1, 1), "dilations": (1, 1), "pads": (1, 1, 1, 1), "group": 1}


def small_program(seed=0, arithmetic="gemmlowp"):
    """Return a convolution, a reshape, and a dense layer."""
    rng = np.random.default_rng(seed)
    x, y = params("u8", 0.02, 110), params("u8", 0.05, 20)
    conv = QWeight(rng.integers(-127, 128, (6, 3, 3, 3)).astype(np.int8), S8, rng.uniform(0.001, 0.01, 6))
    dense = QWeight(rng.integers(-127, 128, (4, 150)).astype(np.int8), S8, np.array([0.004]))
    ops = [
        Op("Conv", ("x",), "a", SQUARE, conv, rng.integers(-500, 500, 6)),
        Op("Reshape", ("a",), "b", {"shape": (1, 150)}),
        Op("Gemm", ("b",), "y", {"transB": 1}, dense, rng.integers(-500, 500, 4)),
    ]
    shapes = {"x": (1, 3, 5, 5), "a": (1, 6, 5, 5), "b": (1, 150), "y": (1, 4)}
    plan = build_plan(ops, shapes, {"x": x, "a": y, "b": y, "y": params("u8", 0.2, 128)}, ("x",), ("y",))
    return compile_plan(plan, TargetSection(), arithmetic=arithmetic)


def written(folder, files):
    for name, data in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
