"""What hurts, where the work is: a line to paste for each remedy, and files that the next run takes as they are."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from glob import escape
from typing import TYPE_CHECKING

from slimai.app.delivery.adjust_file import edited_file, header
from slimai.artifacts.atomic import write_text
from slimai.number_text import yaml_float
from slimai.quantizer.adjust import adjust_text, fixed_names
from slimai.quantizer.levels import LEVELS
from slimai.quantizer.tensor_names import layer_names
from slimai.search.candidate import Candidate, Variant, format_percent

if TYPE_CHECKING:
    from pathlib import Path

    from slimai.app.candidates.quantizer import QuantizedCandidate, Quantizer
    from slimai.report.ranking import Remedy, Suspect
    from slimai.schema.root import SlimaiConfig
    from slimai.search.choice import Choice

RULES, ADJUST = "suggested_rules.yaml", "suggested_adjust.yaml"
TYPES = {8: "s8", 16: "s16"}


@dataclass(frozen=True)
class Suggested:
    """pastes: of each suspect the line for a rules or adjust file, or an empty text. files: name -> text."""

    pastes: tuple[str, ...]
    files: Mapping[str, str]


def suggested(
    item: QuantizedCandidate, quantizer: Quantizer, suspects: Sequence[Suspect], useful: Sequence[Remedy]
) -> Suggested:
    """Return what can be given back to the next run: of the delivered candidate and what hurts it, worst first.

    A line to paste for the remedy of each suspect; in the files those that are `useful` beside each other.
    """
    if quantizer.job.stored is not None:
        return Suggested(("",) * len(suspects), {})
    naming = _Naming(item, quantizer)
    changes = [suspect.change for suspect in suspects]
    pastes = tuple("" if change is None else naming.paste(change) for change in changes)
    rules = {node: bits for change in useful for node, bits in naming.rules(change)}
    limits = {name: ends for change in useful for name, ends in naming.limits(change)}
    files = {}
    if rules:
        files[RULES] = _rules_text(naming, rules)
    if limits and _one_setting(quantizer.job.config, item.candidate):
        before = {item.plan.profile_names[name]: ends for name, ends in quantizer.edits.items()}
        files[ADJUST] = adjust_text(header(quantizer, item.candidate), item.plan, item.stats, before | limits)
    own = _given(quantizer.job.config)
    return Suggested(pastes, {name: text for name, text in files.items() if name not in own})


def _one_setting(config: SlimaiConfig, candidate: Candidate) -> bool:
    """Return whether overrides can ask for this candidate alone, which edited limits need."""
    return config.quantization.mix != "auto" and not candidate.variant & {Variant.CLIP, Variant.PERCENTILE}


class _Naming:
    """The names by which the user's network knows what a remedy changes in the rewritten one."""

    def __init__(self, item: QuantizedCandidate, quantizer: Quantizer) -> None:
        self.item, self.job = item, quantizer.job
        self._origin = quantizer.networks.rewritten(quantizer.aids(item.candidate).rewrites).origin
        self._layers = layer_names(self.job.graph)
        self._fixed = fixed_names(item.plan)

    def rules(self, change: Remedy) -> Iterator[tuple[str, tuple[int, int]]]:
        """Yield (node of the user's network, bits read and written)."""
        for name, bits in change.datatypes.items():
            node = self._origin.get(name, name)
            if node in self._layers:
                yield node, bits

    def limits(self, change: Remedy) -> Iterator[tuple[str, tuple[float, float]]]:
        """Yield (profile name, limits)."""
        for tensor, ends in change.limits.items():
            name = self.item.plan.profile_names.get(tensor, "")
            if name and name not in self._fixed:
                yield name, ends

    def present(self) -> dict[str, tuple[int, int]]:
        """Return the nodes that the candidate runs in other types already, and their bits."""
        level = self.item.candidate.level
        wide = LEVELS[level].raised_bits or LEVELS[level].bits
        return {**self.job.mix.datatypes.get(level, {}), **dict.fromkeys(self.item.candidate.raised, (wide, wide))}

    def rule(self, nodes: Sequence[str], bits: tuple[int, int]) -> str:
        """Return the line of a rules file for these nodes."""
        shown = ", ".join(json.dumps(escape(self._layers[node][0]), ensure_ascii=False) for node in nodes)
        return f"- {{nodes: [{shown}], intypes: [{TYPES[bits[0]]}], outtypes: [{TYPES[bits[1]]}]}}"

    def paste(self, change: Remedy) -> str:
        """Return the one line that does what a remedy does; empty where no file can say it."""
        rules = dict(self.rules(change))
        if rules:
            return self.rule(list(rules), next(iter(rules.values())))
        return "; ".join(
            f"- {{NodeOutputName: {json.dumps(name, ensure_ascii=False)}, Min: {yaml_float(low)}, "
            f"Max: {yaml_float(high)}}}"
            for name, (low, high) in self.limits(change)
        )


def _rules_text(naming: _Naming, added: Mapping[str, tuple[int, int]]) -> str:
    candidate = naming.item.candidate
    kept = {node: bits for node, bits in naming.present().items() if node not in added}
    lines = [
        f"# {naming.job.config.network.name}, level {candidate.level}: layers that gain by more bits, worst first.",
        "# To use them, edited or not, add to the same command:",
        f"#   {' '.join(rule_words(naming.job.config, candidate, RULES))}",
        *(naming.rule([node], bits) for node, bits in (*kept.items(), *added.items())),
    ]
    return "\n".join(lines) + "\n"


def rule_words(config: SlimaiConfig, candidate: Candidate, file: str) -> list[str]:
    """Return the overrides that run a candidate's level with a rules file."""
    words = [f"quantization.accuracy_level=[{candidate.level}]", "quantization.mix=true"]
    goal = ["~quantization.mix_goal"] if config.quantization.mix_goal is not None else []
    return [*words, *goal, f"quantization.nodename_datatypes={file}"]


def adjust_words(config: SlimaiConfig, candidate: Candidate, file: str) -> list[str]:
    """Return the overrides that run one candidate alone with an adjust file: its level, limits and weights."""
    section, percent = config.quantization, candidate.percent
    words = [f"quantization.accuracy_level=[{candidate.level}]"]
    if section.limits is not None:
        central = "percentile" if candidate.central else "range"
        entry = candidate.method if percent is None else f"{central} {format_percent(percent)}"
        words.append(f"'quantization.limits=[{entry}]'")
    elif percent is not None:
        words.append(f"quantization.range={format_percent(percent)}")
    elif candidate.method is not None:
        words.append(f"quantization.calibration={candidate.method}")
    if section.weight_rounding != ("nearest",):
        kind = "compensated" if Variant.COMPENSATED in candidate.variant else "nearest"
        words.append(f"quantization.weight_rounding={kind}")
    return [*words, f"metric.adjust={file}"]


def commands(config: SlimaiConfig, candidate: Candidate, names: Sequence[str], folder: Path | None) -> list[str]:
    """Return the words to add to a command for each suggested file, which lies in `folder`; None: its bare name."""
    makers = {RULES: rule_words, ADJUST: adjust_words}
    return [
        " ".join(maker(config, candidate, name if folder is None else str(folder / name)))
        for name, maker in makers.items()
        if name in names
    ]


def suggestions(config: SlimaiConfig, choice: Choice, names: Sequence[str]) -> tuple[str, ...]:
    """Return the words that give a run's suggested files back to the same command, by their whole paths."""
    if choice.delivered is None:
        return ()
    return tuple(commands(config, choice.delivered.candidate, names, config.path.output_dir))


def write_suggested(config: SlimaiConfig, files: Mapping[str, str]) -> None:
    """Write the suggested files into the output folder and remove those of earlier runs.

    A file that this run itself was given stays as it is.
    """
    for name in (RULES, ADJUST):
        path = config.path.output_dir / name
        if name in files:
            write_text(path, files[name])
        elif name not in _given(config):
            path.unlink(missing_ok=True)


def _given(config: SlimaiConfig) -> set[str]:
    """Return the suggested files of the output folder that this run was given."""
    paths: list[Path | None] = [config.quantization.nodename_datatypes, config.quantization.nodekind_datatypes]
    if config.metric.adjust:
        paths.append(edited_file(config))
    return {path.name for path in paths if path is not None and path.parent == config.path.output_dir}
