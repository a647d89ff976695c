"""``<prefix>.h``: the face of the network."""

from __future__ import annotations

from slimai.codegen.layouts import channels_last, identity
from slimai.codegen.network import Network
from slimai.codegen.source import arguments, comment, signature


def header(network: Network) -> str:
    """Return the header: sizes, parameters of inputs and outputs, the run function, helpers in float."""
    upper, storage = network.prefix.upper(), network.storage
    lines = [
        "/* Written by slimai codegen. */",
        f"/* {comment(network.name)}: one call computes one sample, in integers alone. */",
        f"#ifndef {upper}_H", f"#define {upper}_H", "", "#include <stddef.h>", "#include <stdint.h>", "",
        "#ifdef __cplusplus", 'extern "C" {', "#endif", "",
        f"#define {upper}_ARENA_BYTES {max(storage.arena, 1)}",
        f"#define {upper}_ARENA_ALIGNMENT {storage.alignment}",
    ]  # fmt: skip
    if network.constants.as_file:
        size = len(network.constants.file(network.options.byte_order))
        lines += [f"#define {upper}_WEIGHTS_BYTES {size}", f"#define {upper}_WEIGHTS_ALIGNMENT 8"]
    lines += ["", *_tensors(network), *_about(network), f"{signature(network)};", "", *_helpers(network)]
    return "\n".join([*lines, "#ifdef __cplusplus", "}", "#endif", "", "#endif", ""])


def _tensors(network: Network) -> list[str]:
    lines = []
    for _, name, tensor in arguments(network):
        macro = f"{network.prefix}_{name.split('_')[0]}".upper()
        shape, params = network.memory_shape(tensor), network.plan.tensors.get(tensor)
        lines.append(f"/* {comment(tensor)}: {list(shape)} {network.c_type(tensor)}{_layout(network, tensor)} */")
        lines.append(f"#define {macro}_COUNT {network.count(tensor)}")
        if params is not None:
            lines.append(f"#define {macro}_SCALE {params.scale!r}")
            lines.append(f"#define {macro}_ZERO_POINT ({params.zero_point})")
        lines.append("")
    return lines


def _layout(network: Network, tensor: str) -> str:
    """Return what the order of axes of a picture is called."""
    rank = len(network.plan.graph.shape(tensor))
    nodes = (*network.plan.graph.consumers.get(tensor, ()), *_producer(network, tensor))
    stored_last = any(node.attrs.get("channels_last", 0) for node in nodes)
    if rank != 4:
        return "" if network.orders[tensor] == identity(rank) else ", channels last"
    last = stored_last or network.orders[tensor] == channels_last(rank)
    return ", NHWC" if last else ", NCHW"


def _producer(network: Network, tensor: str) -> tuple:  # type: ignore[type-arg]
    node = network.plan.graph.producers.get(tensor)
    return () if node is None else (node,)


def _about(network: Network) -> list[str]:
    weights = ", `weights` the bytes of the weights file, aligned to 8" if network.constants.as_file else ""
    return [
        "/* Computes one sample. Inputs and outputs must not overlap; `arena` is scratch memory of",
        f"   {network.prefix.upper()}_ARENA_BYTES bytes that holds nothing between calls{weights}.",
        "   Returns 0, or 1 for a null or misaligned pointer. Re-entrant: every call with its own arena. */",
    ]  # fmt: skip


def _helpers(network: Network) -> list[str]:
    """Return float helpers, which are compiled only where they are asked for."""
    upper = network.prefix.upper()
    lines = [
        f"#ifdef {upper}_FLOAT_HELPERS",
        "/* For hosts with floating point: real = scale * (integer - zero point). */",
    ]
    graph = network.plan.graph
    for number, tensor in enumerate(graph.inputs):
        params = network.plan.tensors.get(tensor)
        if params is not None:
            macro = f"{upper}_IN{number}"
            low, high, kind = params.dtype.low, params.dtype.high, network.c_type(tensor)
            lines += [
                f"static inline {kind} {network.prefix}_quantize_in{number}(double real)", "{",
                f"    const double value = real / {macro}_SCALE;",
                "    const double size = value < 0 ? -value : value;",
                "    int32_t whole;",
                f"    if (value + {macro}_ZERO_POINT <= {low}) {{", f"        return {low};", "    }",
                f"    if (value + {macro}_ZERO_POINT >= {high}) {{", f"        return {high};", "    }",
                "    whole = (int32_t)size;",
                "    if (size - (double)whole > 0.5 || (size - (double)whole >= 0.5 && whole % 2 != 0)) {",
                "        whole++;", "    }",
                f"    return ({kind})((value < 0 ? -whole : whole) + {macro}_ZERO_POINT);", "}",
            ]  # fmt: skip
    for number, tensor in enumerate(graph.outputs):
        if network.plan.tensors.get(tensor) is not None:
            macro = f"{upper}_OUT{number}"
            lines += [
                f"static inline double {network.prefix}_dequantize_out{number}({network.c_type(tensor)} integer)", "{",
                f"    return {macro}_SCALE * ((double)integer - {macro}_ZERO_POINT);", "}",
            ]  # fmt: skip
    return [*lines, "#endif", ""]
