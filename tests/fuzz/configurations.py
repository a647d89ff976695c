"""Legacy cfgs, YAML configurations and overrides."""

from __future__ import annotations

import random
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import OverrideParseException

from slimai.app.commands.validate import check
from slimai.config.legacy.convert import convert_cfg
from slimai.config.legacy.lexer import lex
from slimai.errors import InputError
from tests.fuzz.mutate import edited, tree_edit, yaml_text
from tests.property.legacy import test_fuzz as legacy

ROOT = Path(__file__).resolve().parents[2]
PRESETS = [path.read_bytes() for path in sorted((ROOT / "conf" / "model").glob("*.yaml"))]
CFGS = [path.read_bytes() for path in sorted((ROOT / "legacy_cfg").glob("*.cfg"))]


def _text(path: Path) -> str:
    return path.read_bytes().decode("utf-8", "replace")


def make_cfg(rng: random.Random) -> bytes:
    return legacy.mutated(rng) if rng.random() < 0.5 else edited(rng, rng.choice(CFGS), legacy.SPLICES, 2)


def parse_cfg(path: Path) -> Any:
    lines = lex(_text(path), str(path))
    if any(item.severity == "error" for item in lines.items if hasattr(item, "severity")) or not lines.entries:
        raise InputError("refused")
    return lines


def use_cfg(path: Path, _: Any) -> None:
    convert_cfg(path, path.with_name("x.yaml"))


def use_config(path: Path, _: Any) -> None:
    check([str(path)])


@cache
def _parsed() -> list[Any]:
    return [yaml.safe_load(preset) for preset in PRESETS]


def make_config(rng: random.Random) -> bytes:
    if rng.random() < 0.3:
        return yaml.safe_dump(tree_edit(rng, rng.choice(_parsed()))).encode()
    return yaml_text(rng, rng.choice(PRESETS))


KEYS = [
    "target",
    "model",
    "path.output_dir",
    "network.resize",
    "quantization.range",
    "quantization.accuracy_level",
    "metric",
    "network.input_node_name",
    "stages",
    "smart_search.seed",
    "smart_search",
    "metric.metric_input",
    "hydra.job",
    "x",
    "",
]
VALUES = [
    "[0,1]",
    "{a:1}",
    "null",
    "nan",
    "1e999",
    "9" * 50,
    "9" * 5000,
    "${x}",
    "${oc.decode:'nan'}",
    "${oc.env:HOME}",
    "[[1]]",
    "'a b'",
    "a,b",
    "range(0,9)",
    "choice(1,2)",
    "glob(*)",
    "\\",
    "'",
    "x" * 300,
    "???",
    "96:99:1",
    "true",
    "-1",
    "{a:{b:[1]}}",
    "[" * 200,
    "数据",
    "int(3)",
    "str([1])",
    "sort(3,1)",
    "1:2:3",
    '"x"',
    "[s16",
    "@",
    "~",
]


def make_overrides(rng: random.Random) -> bytes:
    words = []
    for _ in range(rng.randint(1, 3)):
        value = rng.choice(VALUES) if rng.random() < 0.8 else rng.choice(VALUES) + rng.choice(VALUES)
        words.append(f"{rng.choice(['', '', '', '+', '++', '~'])}{rng.choice(KEYS)}={value}")
    return "\n".join(words).encode()


def parse_overrides(path: Path) -> list[str]:
    words = _text(path).split("\n")
    try:
        OverridesParser.create().parse_overrides(words)
    except (OverrideParseException, ValueError, RecursionError):
        check(["+model=yolo", *words])  # what is refused here still has to be said
        raise InputError("refused by the grammar") from None
    return words


def use_overrides(_: Path, words: list[str]) -> None:
    check(["+model=yolo", *words])
