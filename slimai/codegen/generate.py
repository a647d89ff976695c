"""All files of a network's C, by name."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from numpy.typing import NDArray

from slimai.codegen import project, source
from slimai.codegen.header import header
from slimai.codegen.network import Network, build_network
from slimai.codegen.options import CodeOptions
from slimai.codegen.vectors import make_vectors
from slimai.simulator.program import Program, Target

Array = NDArray[Any]


def generate(
    program: Program, target: Target, options: CodeOptions, samples: Sequence[Mapping[str, Array]]
) -> dict[str, bytes]:
    """Return relative path -> content of the C of a program, with test vectors of `samples` (inputs [1, ...] each).

    Raises:
        InputError: layers that cannot become C; all of them, by name.
    """
    network = build_network(program, target, options)
    return files_of(network, program, samples)


def files_of(network: Network, program: Program, samples: Sequence[Mapping[str, Array]]) -> dict[str, bytes]:
    """Return the files of a network whose layers are made."""
    prefix = network.prefix
    texts = {
        f"{prefix}.h": header(network),
        f"{prefix}.c": source.listing(network),
        f"{prefix}_kernels.h": source.kernels_header(network),
        f"{prefix}_kernels.c": source.kernels_source(network),
        "test/trace.h": project.trace_header(network),
        "Makefile": project.makefile(network),
        "CMakeLists.txt": project.cmake(network),
        "README.md": project.readme(network),
        "memory.json": json.dumps(project.memory_map(network), indent=1) + "\n",
    }
    if not network.constants.as_file:
        texts[f"{prefix}_weights.c"] = source.weights_source(network)
    if samples:
        texts["test/main.c"] = project.runner(network)
        texts["test/vectors.h"] = project.vectors_source(network, make_vectors(network, program, samples))
    files = {name: text.encode() for name, text in texts.items()}
    if network.constants.as_file:
        files[f"{prefix}_weights.bin"] = network.constants.file(network.options.byte_order)
    return files
