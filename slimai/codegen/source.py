"""The text of the network's own C files: the listing, its face, constants and kernels."""

from __future__ import annotations

import re

from slimai.codegen.network import Network
from slimai.codegen.writer import Pointer, Step

_MADE = "/* Written by slimai codegen. */\n"


def c_name(text: str) -> str:
    """Return a tensor's name as a C identifier."""
    name = re.sub(r"[^A-Za-z0-9_]", "_", text)
    return name if re.match(r"[A-Za-z]", name) else f"t_{name}"


def comment(text: str) -> str:
    """Return text that may stand in a C comment."""
    return text.replace("*/", "* /").replace("/*", "/ *").encode("ascii", "backslashreplace").decode()


def arguments(network: Network) -> list[tuple[str, str, str]]:
    """Return (C type, name, tensor) of each input and output argument, in order; names are unique."""
    graph = network.plan.graph
    found: list[tuple[str, str, str]] = []
    for stem, names, const in (("in", graph.inputs, "const "), ("out", graph.outputs, "")):
        for number, tensor in enumerate(names):
            found.append((f"{const}{network.c_type(tensor)}", f"{stem}{number}_{c_name(tensor)}"[:60], tensor))
    return found


def signature(network: Network) -> str:
    """Return the declaration of the run function, without a semicolon."""
    parts = [f"{kind} *{name}" for kind, name, _ in arguments(network)]
    parts += ["void *arena", *(["const void *weights"] if network.constants.as_file else [])]
    return f"int {network.prefix}_run({', '.join(parts)})"


def listing(network: Network) -> str:
    """Return ``<prefix>.c``: one call a layer."""
    prefix, upper = network.prefix, network.prefix.upper()
    head = [
        _MADE, f'#include "{prefix}.h"', "", f'#include "{prefix}_kernels.h"', "",
        f"#ifdef {upper}_TEST", '#include "test/trace.h"', "#endif",
        f"#ifndef {upper}_TRACE", f"#define {upper}_TRACE(layer, ptr, bytes) ((void)0)", "#endif", "",
    ]  # fmt: skip
    if not network.constants.as_file:
        head += [network.constants.declarations()]
    body = [signature(network), "{"]
    body += [f"    {line}" for line in _entry(network)]
    for step in network.steps:
        body += ["", f"    /* {step.index} {comment(step.name)}", f"       {comment(step.title)} */"]
        body += [f"    {line}" if line else "" for line in _layer(network, step)]
    body += [f"    {line}" for line in _copies(network)]
    return "\n".join([*head, *body, "    return 0;", "}", ""])


def _entry(network: Network) -> list[str]:
    """Return the lines that check the pointers."""
    lines = ["unsigned char *const memory = (unsigned char *)arena;"]
    checks = ["memory == NULL"] if network.storage.arena else []
    if network.constants.as_file:
        lines.append("const unsigned char *const bytes = (const unsigned char *)weights;")
        checks += ["bytes == NULL", "(uintptr_t)bytes % 8u != 0"]
    alignment = network.storage.alignment
    if alignment > 1:
        checks.append(f"(uintptr_t)memory % {alignment}u != 0")
    for kind, name, _ in arguments(network):
        checks.append(f"{name} == NULL")
        if not kind.endswith("int8_t"):
            checks.append(f"(uintptr_t){name} % sizeof(*{name}) != 0")
    if not network.storage.arena:
        lines.append("(void)memory;")
    return [*lines, f"if ({' || '.join(checks)}) {{", "    return 1;", "}"]


def _layer(network: Network, step: Step) -> list[str]:
    shown = [f"{network.prefix.upper()}_TRACE({_trace_index(network, step, name)}, {_address(network, name)}, "
             f"{network.bytes(name)});" for name in step.outputs]  # fmt: skip
    if step.alias:
        moved = []
        if _address(network, step.alias) != _address(network, step.outputs[0]):
            target, source = _address(network, step.outputs[0]), _address(network, step.alias)
            moved = [f"memcpy({target}, {source}, {network.bytes(step.alias)});"]
        return [*moved, *shown]
    lines = [_declared(network, step, pointer) for pointer in step.pointers]
    structs = [line for line in step.lines if line.startswith(("static const ", "const "))]
    calls = [line for line in step.lines if not line.startswith(("static const ", "const "))]
    return ["{", *(f"    {line}" for line in (*lines, *structs, *calls, *shown)), "}"]


def _trace_index(network: Network, step: Step, tensor: str) -> int:
    return traced(network).index((step.index, tensor))


def traced(network: Network) -> list[tuple[int, str]]:
    """Return (layer, tensor) of everything that is traced, in order."""
    return [(step.index, name) for step in network.steps for name in step.outputs]


def _declared(network: Network, step: Step, pointer: Pointer) -> str:
    where = _address(network, pointer.tensor) if pointer.tensor else _arena(
        network.storage.offsets[f"{network.steps.index(step)}:{pointer.name}"]
    )  # fmt: skip
    const = "" if pointer.written else "const "
    if where.startswith("memory"):
        return f"{const}{pointer.c_type} *const {pointer.name} = ({const}{pointer.c_type} *)(void *)({where});"
    return f"{const}{pointer.c_type} *const {pointer.name} = {where};"


def _address(network: Network, tensor: str) -> str:
    storage, graph = network.storage, network.plan.graph
    outside = storage.outside.get(tensor)
    if outside is None:
        return _arena(storage.offsets[tensor])
    named = arguments(network)
    side = named[len(graph.inputs) :] if outside in graph.outputs and outside not in graph.inputs else named
    return next(name for _, name, item in side if item == outside)


def _arena(offset: int) -> str:
    return f"memory + {offset}" if offset else "memory"


def _copies(network: Network) -> list[str]:
    lines = []
    named = arguments(network)[len(network.plan.graph.inputs) :]
    for output, source in network.storage.copies.items():
        target = next(name for _, name, item in named if item == output)
        lines.append(f"memcpy({target}, {_address(network, source)}, {network.bytes(output)});")
    return lines


def kernels_header(network: Network) -> str:
    """Return ``<prefix>_kernels.h``."""
    guard = f"{network.prefix.upper()}_KERNELS_H"
    return (
        f"{_MADE}#ifndef {guard}\n#define {guard}\n\n#include <stddef.h>\n#include <stdint.h>\n#include <string.h>\n\n"
        f"{network.kernels.header()}\n#endif\n"
    )


def kernels_source(network: Network) -> str:
    """Return ``<prefix>_kernels.c``."""
    return f'{_MADE}#include "{network.prefix}_kernels.h"\n\n{network.kernels.source()}'


def weights_source(network: Network) -> str:
    """Return ``<prefix>_weights.c``."""
    macro = f"{network.prefix.upper()}_ALIGN"
    return (
        f'{_MADE}#include "{network.prefix}.h"\n\n'
        f"/* What stands in front of every array, such as a section or __attribute__((aligned(16))). */\n"
        f"#ifndef {macro}\n#define {macro}\n#endif\n\n"
        f"{network.constants.declarations()}\n{network.constants.definitions(macro)}"
    )
