"""Manual mixed precision in a job: rules files, their expansion a level, and the graph to write rules from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from slimai.errors import Diagnostic, InputError
from slimai.schema.root import SlimaiConfig

if TYPE_CHECKING:
    from slimai.graph.ir import Graph
    from slimai.quantizer.mix_rules import Expansion, RulesFile
    from slimai.quantizer.params import IntType


@dataclass(frozen=True)
class Mix:
    """What rules files say.

    datatypes: level -> node name -> (bits read, bits written). weights: level -> node name -> type of its weights.
    lines: what every pattern matched, for the log.
    """

    datatypes: Mapping[int, Mapping[str, tuple[int, int]]] = field(default_factory=dict)
    weights: Mapping[int, Mapping[str, IntType]] = field(default_factory=dict)
    lines: tuple[str, ...] = ()
    warnings: tuple[Diagnostic, ...] = ()


def read_mix(config: SlimaiConfig, graph: Graph) -> Mix:
    """Return what the rules files of a job mean for its network; nothing without `mix: true`.

    Raises InputError with every mistake of both files.
    """
    section = config.quantization
    if section.mix is not True:
        return Mix()
    from slimai.quantizer.mix_rules import expand_rules  # noqa: PLC0415 - spares numpy, yaml

    by_name, by_kind = _files(section.nodename_datatypes, section.nodekind_datatypes)
    bits = config.target.weight_bits
    found = {
        level: expand_rules(graph, level, by_name.rules, by_kind.rules, bits)
        for level in sorted(section.accuracy_level)
    }
    warnings = [*by_name.warnings, *by_kind.warnings]
    for expansion in found.values():
        warnings += [item for item in expansion.warnings if item not in warnings]
    first = next(iter(found.values()))
    return Mix(
        {level: expansion.datatypes for level, expansion in found.items()},
        {level: expansion.weights for level, expansion in found.items()},
        tuple(_told(first)),
        tuple(warnings),
    )


def _files(*paths: Path | None) -> tuple[RulesFile, ...]:
    from slimai.quantizer.mix_rules import RulesFile, read_rules  # noqa: PLC0415 - spares numpy, yaml

    errors: list[Diagnostic] = []
    files = []
    for path in paths:
        try:
            files.append(RulesFile() if path is None else read_rules(path))
        except InputError as error:
            errors.extend(error.diagnostics)
    if errors:
        raise InputError(errors)
    return tuple(files)


def _told(expansion: Expansion) -> list[str]:
    return [f"mix: {pattern} is {', '.join(nodes)}" for pattern, nodes in expansion.matched]
