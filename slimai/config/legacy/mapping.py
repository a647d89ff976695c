"""What becomes of every legacy key: the field it maps to, or the reason why it is dropped or refused.

One table, read by the converter, the exporter and the reference page of the docs. A key that is in no row is unknown.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Literal

from slimai.suggest import nearest

Fate = Literal["mapped", "dropped", "refused"]
Kind = Literal[
    "text", "number", "numbers", "switch", "path", "file", "names", "nodes", "tensor", "metric_input", "description"
]

SECTIONS = (
    "path",
    "network",
    "dataset",
    "quantization",
    "smart_search",
    "metric",
    "performance",
    "system",
    "out_cntrl",
    "graph",
    "yolo_parameters",
)

ANY = "*"
"""The section of a key that may stand in every one."""


@dataclass(frozen=True)
class Key:
    """One legacy key.

    `target` is the dotted field that a mapped key sets. `note` says how its value is read, why the key is dropped,
    or what to do instead of a refused one. `aliases` are other spellings that are read, never written.
    `flow` marks keys that the vendor's flow writes by itself, so that they turn up in foreign sections.
    """

    section: str
    name: str
    kind: Kind = "text"
    target: str = ""
    note: str = ""
    fate: Fate = "mapped"
    aliases: tuple[str, ...] = ()
    flow: bool = False

    @property
    def spellings(self) -> tuple[str, ...]:
        """Return every spelling in lower case; reading does not tell cases apart."""
        return tuple(name.lower() for name in (self.name, *self.aliases))

    @property
    def title(self) -> str:
        """Return ``[section] key``."""
        return f"[{self.section}] {self.name}" if self.section != ANY else self.name


def _dropped(section: str, name: str, note: str, *, flow: bool = False) -> Key:
    return Key(section, name, note=note, fate="dropped", flow=flow)


KEYS: tuple[Key, ...] = (
    Key("path", "output_dir", "path", "path.output_dir"),
    Key("path", "image_dir", "path", "path.image_dir"),
    Key("path", "input_dir", "path", "path.input_dir"),
    Key("path", "tmp_dir", "path", "path.tmp_dir"),
    _dropped("path", "annotation_dir", "the place of the labels is the first item of [metric] metric_input"),
    _dropped("path", "custom_op_lib_path", "no operator library is loaded; the host runs unknown operators", flow=True),
    Key("network", "name", "text", "network.name", "by default the stem of the cfg file"),
    Key("network", "input_model", "file", "network.input_model", "relative to input_dir", flow=True),
    Key("network", "model_type", "text", "network.model_type"),
    Key("network", "class", "text", "network.class"),
    Key("network", "type", "text", "network.type", flow=True),
    Key("network", "input_data_layout", "text", "network.input_data_layout"),
    Key("network", "channel_order", "text", "network.channel_order"),
    Key("network", "mean", "numbers", "network.mean", "one number, or one a channel with commas"),
    Key("network", "stddev", "numbers", "network.stddev", "one number, or one a channel with commas"),
    Key("network", "input_node_name", "nodes", "network.input_node_name", "several with commas", flow=True),
    Key(
        "network",
        "input_mean",
        note="write the numbers of the mean file into 'mean', and 'stddev' in units of 0..255",
        fate="refused",
    ),
    _dropped("network", "input_graph", "the network is input_model alone", flow=True),
    _dropped("network", "output_data_layout", "outputs keep the layout of the network", flow=True),
    _dropped("network", "out_cntrl", "the order of the outputs is [metric] replace_output", flow=True),
    _dropped("network", "input_quantize", "the input's type follows from accuracy_level"),
    _dropped("network", "streaming", "each sample is run by itself"),
    _dropped("network", "external_state_info", "no state is carried from sample to sample"),
    Key("dataset", "calibration_set", "file", "dataset.calibration_set", "relative to image_dir"),
    Key("dataset", "calibration_count", "number", "dataset.calibration_count"),
    Key("dataset", "validation_set", "file", "dataset.validation_set", "relative to image_dir"),
    Key("dataset", "validation_count", "number", "dataset.validation_count"),
    _dropped("dataset", "type", "both sets are image lists"),
    _dropped("dataset", "label_file", "labels stand in the image lists, or are named by [metric] metric_input"),
    Key("quantization", "accuracy_level", "numbers", "quantization.accuracy_level", "a list turns smart search on"),
    Key("quantization", "range", "text", "quantization.range", "the stop counts; 98:98 is one value"),
    Key("quantization", "histogram_bins", "number", "quantization.histogram_bins", "turns single-shot calibration on"),
    Key("quantization", "calibration", "text", "quantization.calibration"),
    Key("quantization", "Mix", "switch", "quantization.mix"),
    Key(
        "quantization",
        "nodename_datatypes",
        "path",
        "quantization.nodename_datatypes",
        "a file beside the cfg, with its stem",
        aliases=("nodename_datatype",),
    ),
    Key(
        "quantization",
        "nodekind_datatypes",
        "path",
        "quantization.nodekind_datatypes",
        "a file beside the cfg, with its stem",
        aliases=("nodekind_datatype",),
    ),
    Key("smart_search", "smart_search_level", "number", "smart_search.smart_search_level"),
    Key("smart_search", "time_limit", "number", "smart_search.time_limit", "seconds"),
    Key("metric", "metric_cls", "text", "metric.metric_cls", "a built-in metric, or the class of a plug-in file"),
    Key("metric", "metric_input", "metric_input", "metric.metric_input", "read into one field an option"),
    Key("metric", "output_debug", "number", "metric.output_debug"),
    Key("metric", "replace_output", "names", "metric.replace_output", "[name name]"),
    Key("metric", "Adjust", "switch", "metric.adjust"),
    _dropped("metric", "code_cache", "results are cached by content in any case"),
    Key("performance", "optimization", "text", "performance.optimization"),
    Key("performance", "dsp_frequency", "number", "performance.dsp_frequency", "MHz", flow=True),
    Key("performance", "read_delay", "number", "performance.read_delay", "cycles", flow=True),
    Key("performance", "write_delay", "number", "performance.write_delay", "cycles", flow=True),
    Key("system", "tcm_reserve_low", "number", "target.tcm_reserve_low", "bytes, decimal or 0x", flow=True),
    Key("system", "tcm_reserve_high", "number", "target.tcm_reserve_high", "bytes, decimal or 0x", flow=True),
    _dropped("system", "tcm_contiguous", "the local memory is simulated as one block", flow=True),
    _dropped("system", "xtensa_system", "no compiler of the target is called; the chip is section 'target'", flow=True),
    _dropped("system", "xtensa_core", "no compiler of the target is called; the chip is section 'target'", flow=True),
    _dropped("system", "xtensa_params", "no compiler of the target is called; the chip is section 'target'", flow=True),
    _dropped("system", "neo_params_file", "the chip is described by section 'target'", flow=True),
    Key(
        "out_cntrl",
        "description",
        "description",
        "metric.replace_output",
        'one line "[name name] save [metric_cls metric_input]"; [metric] goes first',
    ),
    Key(
        "graph",
        "tensor",
        "tensor",
        "network.input_data_layout",
        "NAME, DWH (NHWC) or WHD (NCHW), of an input that input_node_name names; may be repeated",
    ),
    _dropped("graph", "global_output", "all outputs of the network are kept"),
    _dropped("graph", "coefficient_tables", "no assembler is written; the integer tables go to <name>_quant.npz"),
    _dropped("yolo_parameters", "enable_yolo_pp", "post-processing is custom_pp=yolo in [metric] metric_input"),
    _dropped(ANY, "include", "the settings of other files are not read; copy them here"),
)


@cache
def _by_spelling() -> dict[tuple[str, str], Key]:
    return {(key.section, spelling): key for key in KEYS for spelling in key.spellings}


def find(section: str, name: str) -> Key | None:
    """Return the row of a key as written in `section` (lower case), or None."""
    table = _by_spelling()
    return table.get((section, name.lower())) or table.get((ANY, name.lower()))


def homes(name: str) -> tuple[Key, ...]:
    """Return the rows of the key `name` in all sections."""
    return tuple(key for key in KEYS if name.lower() in key.spellings)


def by_target(target: str) -> Key | None:
    """Return the row that writes the dotted field `target`, or None."""
    return next((key for key in KEYS if key.target == target), None)


def suggest_section(name: str) -> str:
    """Return the cure for an unknown section."""
    near = nearest(name, SECTIONS)
    if near:
        return f"did you mean [{near}]?"
    return "the sections are " + ", ".join(SECTIONS)


def suggest_key(section: str, name: str) -> str:
    """Return the cure for an unknown key: the nearest one of its section, then of the others, then the list."""
    near = nearest(name, [spelling for key in KEYS if key.section == section for spelling in key.spellings])
    if near:
        return f"did you mean '{_spelled(section, near)}'?"
    far = nearest(name, [spelling for key in KEYS for spelling in key.spellings], 0.75)
    if far:
        return f"did you mean '{homes(far)[0].name}' of [{homes(far)[0].section}]?"
    return f"the keys of [{section}] are " + ", ".join(key.name for key in KEYS if key.section == section)


def _spelled(section: str, spelling: str) -> str:
    key = find(section, spelling)
    return key.name if key and key.name.lower() == spelling else spelling


def table_rows() -> Iterator[tuple[str, str, str]]:
    """Yield (legacy key, fate, what happens) of every row, for the reference page."""
    for key in KEYS:
        names = " / ".join((key.name, *key.aliases))
        place = f"[{key.section}] {names}" if key.section != ANY else f"{names} (any section)"
        if key.fate == "mapped":
            yield place, "mapped", f"`{key.target}`" + (f" ({key.note})" if key.note else "")
        else:
            yield place, key.fate, key.note
