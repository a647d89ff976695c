"""The files around the network's C: the test runner, build files, a README, the memory map."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np

from slimai.codegen.constants import C_TYPES, array_text
from slimai.codegen.network import Network
from slimai.codegen.source import arguments, comment, traced
from slimai.codegen.vectors import Vector

_FLAGS = "-std=c99 -Wall -Wextra -Wpedantic -Wconversion -Wshadow"


def sources(network: Network) -> list[str]:
    """Return the names of the network's own C files."""
    files = [f"{network.prefix}.c", f"{network.prefix}_kernels.c"]
    return files if network.constants.as_file else [*files, f"{network.prefix}_weights.c"]


def trace_header(network: Network) -> str:
    """Return ``test/trace.h``: where the layers go when the network is built for its test."""
    prefix, upper = network.prefix, network.prefix.upper()
    return (
        "/* Written by slimai codegen. */\n"
        f"#ifndef {upper}_TEST_TRACE_H\n#define {upper}_TEST_TRACE_H\n\n#include <stddef.h>\n\n"
        f"void {prefix}_test_trace(int layer, const void *values, size_t bytes);\n"
        f"#define {upper}_TRACE(layer, ptr, bytes) {prefix}_test_trace(layer, ptr, (size_t)(bytes))\n\n#endif\n"
    )


def vectors_source(network: Network, vectors: Sequence[Vector]) -> str:
    """Return ``test/vectors.h``: inputs, outputs and checksums as constant arrays."""
    upper, graph = network.prefix.upper(), network.plan.graph
    parts = [
        f"/* Written by slimai codegen. */\n#ifndef {upper}_TEST_VECTORS_H\n#define {upper}_TEST_VECTORS_H\n",
        "#include <stdint.h>\n", f"#define VECTORS {len(vectors)}\n#define TRACED {len(traced(network))}\n",
    ]  # fmt: skip
    for stem, names, side in (("in", graph.inputs, "inputs"), ("out", graph.outputs, "outputs")):
        for number, tensor in enumerate(names):
            rows = [getattr(vector, side)[tensor] for vector in vectors]
            kind = C_TYPES[rows[0].dtype]
            text = ",\n".join("{\n" + array_text(row) + "\n}" for row in rows)
            parts.append(f"static const {kind} {stem}{number}[VECTORS][{rows[0].size}] = {{\n{text}\n}};\n")
    sums = ",\n".join("{" + ", ".join(f"{item}ULL" for item in vector.checksums) + "}" for vector in vectors)
    parts.append(f"static const uint64_t checksums[VECTORS][TRACED] = {{\n{sums}\n}};\n")
    names_text = ",\n".join(f"    {json.dumps(_layer_name(network, index))}" for index, _ in traced(network))
    sizes = ", ".join(str(_width(network, tensor)) for _, tensor in traced(network))
    signs = ", ".join(str(int(not network.c_type(tensor).startswith("u"))) for _, tensor in traced(network))
    parts.append(f"static const char *const layers[TRACED] = {{\n{names_text}\n}};\n")
    parts.append(f"static const unsigned char widths[TRACED] = {{{sizes}}};\n")
    parts.append(f"static const unsigned char is_signed[TRACED] = {{{signs}}};\n\n#endif\n")
    return "\n".join(parts)


def _layer_name(network: Network, index: int) -> str:
    step = next(item for item in network.steps if item.index == index)
    return comment(step.name)


def _width(network: Network, tensor: str) -> int:
    return int(np.dtype(network.c_type(tensor).removesuffix("_t")).itemsize)


_RUNNER = """/* Written by slimai codegen: runs the test vectors and names the first layer that differs. */
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "../@P@.h"
#include "trace.h"
#include "vectors.h"

static int vector, first_wrong;

static union {
    unsigned char bytes[@U@_ARENA_BYTES];
    uint64_t aligned;
} arena;
@WEIGHTS@
void @P@_test_trace(int layer, const void *values, size_t bytes)
{
    const size_t width = widths[layer], count = bytes / width;
    uint64_t sum = 14695981039346656037ULL;
    size_t i;
    for (i = 0; i < count; i++) {
        uint64_t word = 0;
        if (width == 1) {
            const uint8_t value = ((const uint8_t *)values)[i];
            word = is_signed[layer] != 0 && value > 127 ? value | ~(uint64_t)0xFF : value;
        } else if (width == 2) {
            uint16_t value;
            memcpy(&value, (const unsigned char *)values + 2 * i, 2);
            word = is_signed[layer] != 0 && value > 32767 ? value | ~(uint64_t)0xFFFF : value;
        } else {
            memcpy(&word, (const unsigned char *)values + 8 * i, 8);
        }
        sum = sum * 1099511628211ULL + word;
    }
    if (first_wrong < 0 && sum != checksums[vector][layer]) {
        first_wrong = layer;
    }
}

int main(@MAIN@)
{
    int failed = 0;
@OUTPUTS@
@LOAD@    for (vector = 0; vector < VECTORS; vector++) {
        int wrong = 0;
        first_wrong = -1;
        if (@P@_run(@CALL@) != 0) {
            printf("vector %d: the network refused its pointers\\n", vector);
            failed = 1;
            continue;
        }
@COMPARE@
        if (first_wrong >= 0) {
            printf("vector %d: the first layer that differs is %d, %s\\n", vector, first_wrong, layers[first_wrong]);
        } else if (wrong != 0) {
            printf("vector %d: outputs differ\\n", vector);
        }
        failed |= wrong != 0 || first_wrong >= 0;
    }
    printf("%s: %d vectors, %d tensors each\\n", failed ? "FAILED" : "passed", VECTORS, TRACED);
    return failed;
}
"""
_LOAD = """    if (count < 2 || load(words[1]) != 0) {
        printf("give the weights file\\n");
        return 2;
    }
"""
_WEIGHTS = """
static union {
    unsigned char bytes[@U@_WEIGHTS_BYTES + 1]; /* a network may have no constants */
    uint64_t aligned;
} weights;

static int load(const char *path)
{
    FILE *file = fopen(path, "rb");
    size_t got;
    if (file == NULL) {
        return 1;
    }
    got = fread(weights.bytes, 1, @U@_WEIGHTS_BYTES, file);
    fclose(file);
    return got != @U@_WEIGHTS_BYTES;
}
"""


def runner(network: Network) -> str:
    """Return ``test/main.c``."""
    as_file = network.constants.as_file
    outputs = arguments(network)[len(network.plan.graph.inputs) :]
    call = [f"in{n}[vector]" for n, _ in enumerate(network.plan.graph.inputs)]
    call += [f"y{n}" for n, _ in enumerate(outputs)]
    call += ["arena.bytes", *(["weights.bytes"] if as_file else [])]
    filled = {
        "MAIN": "int count, char **words" if as_file else "void",
        "WEIGHTS": _WEIGHTS if as_file else "",
        "LOAD": _LOAD if as_file else "",
        "OUTPUTS": "\n".join(
            f"    static {kind} y{n}[{network.count(tensor)}];" for n, (kind, _, tensor) in enumerate(outputs)
        ),
        "CALL": ", ".join(call),
        "COMPARE": "\n".join(
            f"        wrong |= memcmp(y{n}, out{n}[vector], sizeof y{n});" for n, _ in enumerate(outputs)
        ),
    }
    text = _RUNNER
    for key, value in filled.items():
        text = text.replace(f"@{key}@", value)
    return text.replace("@P@", network.prefix).replace("@U@", network.prefix.upper())


def makefile(network: Network) -> str:
    """Return the Makefile: an object library, and its test."""
    prefix, upper = network.prefix, network.prefix.upper()
    words = f" {prefix}_weights.bin" if network.constants.as_file else ""
    return (
        f"CC ?= cc\nCFLAGS ?= {_FLAGS} -O3\nSOURCES = {' '.join(sources(network))}\n\n"
        f"lib{prefix}.a: $(SOURCES:.c=.o)\n\t$(AR) rcs $@ $^\n\n"
        f"test/run: $(SOURCES) test/main.c\n\t$(CC) $(CFLAGS) -I. -D{upper}_TEST -o $@ $^\n\n"
        f".PHONY: test clean\ntest: test/run\n\t./test/run{words}\n\n"
        f"clean:\n\trm -f *.o lib{prefix}.a test/run\n"
    )


def cmake(network: Network) -> str:
    """Return CMakeLists.txt."""
    prefix, upper = network.prefix, network.prefix.upper()
    words = f" ${{CMAKE_CURRENT_SOURCE_DIR}}/{prefix}_weights.bin" if network.constants.as_file else ""
    files = " ".join(sources(network))
    return (
        f"cmake_minimum_required(VERSION 3.13)\nproject({prefix} C)\nset(CMAKE_C_STANDARD 99)\n"
        f"if(NOT CMAKE_BUILD_TYPE)\n  set(CMAKE_BUILD_TYPE Release)\nendif()\n\n"
        f"add_library({prefix} STATIC {files})\n"
        f"target_include_directories({prefix} PUBLIC ${{CMAKE_CURRENT_SOURCE_DIR}})\n\nenable_testing()\n"
        f"add_executable({prefix}_test EXCLUDE_FROM_ALL {files} test/main.c)\n"
        f"target_include_directories({prefix}_test PRIVATE ${{CMAKE_CURRENT_SOURCE_DIR}})\n"
        f"target_compile_definitions({prefix}_test PRIVATE {upper}_TEST)\n"
        f"add_test(NAME {prefix} COMMAND {prefix}_test{words})\n"
    )


def memory_map(network: Network) -> dict[str, Any]:
    """Return what ``memory.json`` holds: the arena's map, and RAM and flash by layer, in bytes."""
    storage = network.storage
    layers = []
    for number, step in enumerate(network.steps):
        live = sum(item.size for item in storage.buffers if item.first <= number <= item.last)
        layers.append({"layer": step.index, "name": step.name, "ram": live, "flash": step.table_bytes})
    return {
        "arena": {"bytes": storage.arena, "alignment": storage.alignment},
        "flash": {"tables": network.constants.size},
        "buffers": [
            {"name": item.name, "offset": storage.offsets[item.name], "bytes": item.size,
             "first": item.first, "last": item.last} for item in storage.buffers
        ],
        "inputs": {name: network.bytes(name) for name in network.plan.graph.inputs},
        "outputs": {name: network.bytes(name) for name in network.plan.graph.outputs},
        "layers": layers,
    }  # fmt: skip


def readme(network: Network) -> str:
    """Return README.md of the folder."""
    prefix, storage = network.prefix, network.storage
    rows = [f"| `{name}` | {tensor} | `{kind}[{network.count(tensor)}]` | {list(network.memory_shape(tensor))} |"
            for kind, name, tensor in arguments(network)]  # fmt: skip
    extra = ", const void *weights" if network.constants.as_file else ""
    return (
        f"# {network.name} in C\n\nC99, integers alone at run time, no allocation. `{prefix}.h` is the face:\n"
        f"`int {prefix}_run(inputs..., outputs..., void *arena{extra})` computes one sample.\n\n"
        f"| argument | tensor | type | shape in memory |\n| --- | --- | --- | --- |\n" + "\n".join(rows) + "\n\n"
        f"Arena: {storage.arena} bytes, aligned to {storage.alignment}; it holds nothing between calls. "
        f"Constants: {network.constants.size} bytes. `memory.json` has the map, and RAM and flash by layer.\n\n"
        "## Test\n\n`make test` (or CMake and `ctest`) runs the vectors in `test/` and names the first layer that "
        f"differs. On a target, define `{prefix.upper()}_TEST` and link `test/main.c`; "
        f"`{prefix.upper()}_TRACE(layer, ptr, bytes)` is called behind every layer and is empty otherwise.\n"
    )
