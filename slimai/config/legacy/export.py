"""A configuration as a legacy cfg for the vendor's compiler, with the values that a run has found."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from slimai.config.legacy import mapping
from slimai.config.legacy.left_out import left_out
from slimai.config.legacy.lexer import split_comment
from slimai.config.legacy.limit_words import LimitWords, Tuned, limit_words, percent_of
from slimai.config.legacy.metric_line import metric_faults, metric_lines
from slimai.config.legacy.settings import Relative
from slimai.errors import Diagnostic
from slimai.number_text import shortest
from slimai.schema.network import NetworkSection
from slimai.schema.root import SlimaiConfig

__all__ = ["MARK", "Export", "Tuned", "delivered_row", "export_cfg", "tuned_from"]

MARK = "# Written by `slimai export`."
"""The first line of every exported file; such a file may be exported again over itself."""

LAYOUT_WORDS = {"NHWC": "DWH", "NCHW": "WHD"}
# written in any case: the vendor's compiler wants them, or they say what the file is about
_ALWAYS = frozenset(
    {
        "path.output_dir",
        "path.image_dir",
        "network.name",
        "network.input_model",
        "network.class",
        "network.input_data_layout",
        "network.mean",
        "network.stddev",
        "network.channel_order",
        "quantization.range",
        "quantization.accuracy_level",
        "performance.optimization",
        "smart_search.smart_search_level",
    }
)
_LIMITS = frozenset({"quantization.range", "quantization.histogram_bins", "quantization.calibration"})


@dataclass(frozen=True)
class Export:
    """The text of a cfg, and what was left out of it (warnings) or cannot be in it (errors)."""

    text: str
    diagnostics: tuple[Diagnostic, ...]

    @property
    def failed(self) -> bool:
        """Whether a setting cannot be written."""
        return any(item.severity == "error" for item in self.diagnostics)


@dataclass
class _Lines:
    """Lines of the cfg by section, in the order of the mapping table."""

    by_section: dict[str, list[tuple[str, str]]] = field(default_factory=dict)

    def add(self, key: mapping.Key, text: str) -> None:
        self.by_section.setdefault(key.section, []).append((key.name, text))

    def text(self) -> str:
        blocks = [f"{MARK}\n"]
        for section in mapping.SECTIONS:
            if section in self.by_section:
                lines = (f"{name} = {text}\n" for name, text in self.by_section[section])
                blocks.append(f"[{section}]\n{''.join(lines)}")
        return "\n".join(blocks)


def export_cfg(config: SlimaiConfig, target: Path, tuned: Tuned | None = None) -> Export:
    """Return the cfg of `config` for the file `target`; nothing is written.

    Paths below the current folder become relative to the cfg's folder, others stay absolute.
    `tuned` takes the place of the level and range (or method) of the configuration, and ends the search.
    """
    relative = Relative(target)
    words = limit_words(config.quantization, tuned)
    lines = _Lines()
    for key in mapping.KEYS:
        text = _text(key, config, relative, tuned, words) if key.fate == "mapped" else None
        if text is not None:
            lines.add(key, text)
    _add_layouts(lines, config.network)
    found = [
        *words.problems,
        *_unwritable(lines, config),
        *metric_faults(config, relative),
        *left_out(config, searched=tuned is None),
    ]
    return Export(lines.text(), tuple(found))


def _add_layouts(lines: _Lines, network: NetworkSection) -> None:
    """Add a [graph] tensor line for each of several inputs with a layout of its own."""
    key = next(key for key in mapping.KEYS if key.kind == "tensor")
    if len(network.input_node_name) < 2:
        return
    for name, node in network.input_node_name.items():
        if node.input_data_layout in LAYOUT_WORDS:
            lines.add(key, f"{name}, {LAYOUT_WORDS[node.input_data_layout]}")


def _text(
    key: mapping.Key, config: SlimaiConfig, relative: Relative, tuned: Tuned | None, words: LimitWords
) -> str | None:
    """Return the text of one key, or None when it is not written."""
    section, _, name = key.target.partition(".")
    if _skipped(key, config, tuned):
        return None
    if section == "metric":
        return metric_lines(config, relative).get(name)
    if key.target in _LIMITS:
        text: str | None = getattr(words, name)
        return text
    if tuned and key.target == "quantization.accuracy_level":
        return str(tuned.accuracy_level)
    if key.target in _SPECIAL:
        return _SPECIAL[key.target](config, relative)
    model, attribute = getattr(config, section), _attribute(key)
    value = getattr(model, attribute)
    return None if key.target not in _ALWAYS and value == _default(model, attribute) else _plain(key, value, relative)


def _skipped(key: mapping.Key, config: SlimaiConfig, tuned: Tuned | None) -> bool:
    """Return whether a key is left out whatever its value."""
    match key.target:
        case "network.type":
            return True  # follows from the suffix of the model
        case "path.input_dir":
            return "input_dir" not in config.path.model_fields_set  # then the model is written relative to the cfg
        case "network.channel_order":
            return config.network.input_data_layout == "NonImage"
    alone = key.section == "smart_search" and (tuned is not None or config.smart_search is None)
    return alone or key.kind in {"tensor", "description"}


def _attribute(key: mapping.Key) -> str:
    return "network_class" if key.target == "network.class" else key.target.partition(".")[2]


def _default(model: Any, attribute: str) -> Any:
    info = type(model).model_fields[attribute]
    return info.get_default(call_default_factory=True)


def _model_text(config: SlimaiConfig, relative: Relative) -> str:
    given = "input_dir" in config.path.model_fields_set
    return relative.inside(config.network.input_model, config.path.input_dir if given else None)


def _list_text(path: Path | None, config: SlimaiConfig, relative: Relative) -> str | None:
    return None if path is None else relative.inside(path, config.path.image_dir)


def _layout_text(config: SlimaiConfig) -> str:
    """Return the layout of the one input, which may be said at the input itself."""
    nodes = list(config.network.input_node_name.values())
    own = nodes[0].input_data_layout if len(nodes) == 1 else None
    return own or config.network.input_data_layout


_SPECIAL: dict[str, Callable[[SlimaiConfig, Relative], str | None]] = {
    "network.input_model": _model_text,
    "network.input_data_layout": lambda config, _: _layout_text(config),
    "network.input_node_name": lambda config, _: ",".join(config.network.input_node_name) or None,
    "dataset.calibration_set": lambda config, relative: _list_text(config.dataset.calibration_set, config, relative),
    "dataset.validation_set": lambda config, relative: _list_text(config.dataset.validation_set, config, relative),
}
"""The keys whose text hangs on others: paths that start from another folder, and the graph inputs."""


def _plain(key: mapping.Key, value: Any, relative: Relative) -> str:
    if isinstance(value, Path):
        return relative.cfg(value)
    if isinstance(value, tuple):
        return ",".join(_plain(key, item, relative) for item in value)
    if isinstance(value, int) and key.section == "system":
        return hex(value)
    if isinstance(value, float):
        return shortest(value)
    return str(value)


def _unwritable(lines: _Lines, config: SlimaiConfig) -> Iterator[Diagnostic]:
    """Yield the settings whose text would not be read back as it is."""
    for section, entries in lines.by_section.items():
        for name, text in entries:
            if text and (split_comment(f" {text}") != (text, "") or text[0] in "\"'" or _breaks(text)):
                message = "cannot be written in a cfg: a line break, a quote or a comment sign would change it"
                yield Diagnostic(message, key=f"[{section}] {name}", value=text)
    yield from _odd_inputs(config.network)


def _odd_inputs(network: NetworkSection) -> Iterator[Diagnostic]:
    for name in network.input_node_name:
        if "," in name or name != name.strip() or not name:
            message = "an input whose name has a comma or outer blanks cannot be written in a cfg"
            yield Diagnostic(message, key="[network] input_node_name", value=name)


def _breaks(text: str) -> bool:
    return "\n" in text or "\r" in text


def tuned_from(run: Mapping[str, Any]) -> Tuned | None:
    """Return the candidate that the run of a ``run.json`` delivered, or None when it has none.

    That is not its best score where `max_drop` or `latency_limit` asked for another.

    Raises:
        KeyError, TypeError, ValueError: the mapping is not of that form.
    """
    best = delivered_row(run)
    if best is None:
        return None
    percent = best["range"]
    if percent is None:
        return Tuned(int(best["accuracy_level"]), None, best.get("calibration"))
    central = best.get("range_mode") == "percentile" or "percentile" in str(best.get("variant", "")).split("_")
    return Tuned(int(best["accuracy_level"]), percent_of(percent), central=central)


def delivered_row(run: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return the row of a ``run.json`` that the run's files hold; a run of an older version names its best alone."""
    found: Mapping[str, Any] | None = run.get("delivered", run["best"])
    return found
