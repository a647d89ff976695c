"""``run.lock.yaml``: all that a run was made of, so that it can be repeated, or the change be named."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

import slimai
from slimai.app.delivery.inspection import environment
from slimai.artifacts.atomic import write_text
from slimai.errors import InputError
from slimai.language import language
from slimai.schema.root import SlimaiConfig
from slimai.yaml_reader import DATA, check_scalars, compose_yaml, plain_value, read_text

LOCK = "run.lock.yaml"
PARTS = ("config", "content", "versions")
HEAD = "# What this run was made of; slimai rerun FOLDER repeats it.\n"


@dataclass(frozen=True)
class Lock:
    """config: the resolved settings. content: part (model, labels ...) -> hash. versions: package -> version.

    language: that of the page.
    """

    config: SlimaiConfig
    content: Mapping[str, str]
    versions: Mapping[str, str]
    language: str = "en"


def write_lock(config: SlimaiConfig, content: Mapping[str, str]) -> None:
    """Write the lock of a run into its output folder; `content` are the hashes of what its results depend on."""
    settings = config.model_dump(mode="json", by_alias=True)
    del settings["path"]["input_dir"]  # where the command was given from; the model's path is whole
    values = {
        "slimai": slimai.__version__,
        "config": settings,
        "versions": environment(),
        "content": dict(content),
        "language": language(),  # of the page
    }
    text = yaml.safe_dump(values, sort_keys=False, allow_unicode=True, width=120)
    write_text(config.path.output_dir / LOCK, HEAD + str(text))


def read_lock(folder: Path) -> Lock:
    """Return the lock of a run.

    Raises:
        InputError: there is none, it is damaged, or it is of another version of slimai.
    """
    file = folder / LOCK
    if not folder.is_dir():
        raise InputError.at(str(folder), "there is no such folder", cure="give the output folder of a run")
    if not file.is_file():
        cure = "give the output folder of a run of this version"
        raise InputError.at(str(folder), f"has no {LOCK}: no run of this version ended its calibration here", cure=cure)
    root = compose_yaml(read_text(file, DATA), str(file), DATA)
    problems = check_scalars(root, str(file))
    if problems:
        raise InputError(problems)
    values: Any = None if root is None else plain_value(root)
    if not isinstance(values, dict) or not all(
        isinstance(values.get(key), dict) for key in ("config", "content", "versions")
    ):
        raise InputError.at(str(file), "is not the lock of a run", cure="run again to write it anew")
    if values.get("slimai") != slimai.__version__:
        cure = f"install that version, or run again with {slimai.__version__}"
        raise InputError.at(str(file), "is of another version of slimai", values.get("slimai"), cure=cure)
    try:
        config = SlimaiConfig.model_validate(values["config"])
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        key = ".".join(map(str, first["loc"]))
        raise InputError.at(str(file), f"its configuration is damaged: {first['msg']}", key=f"config.{key}") from None
    return Lock(config, values["content"], values["versions"], str(values.get("language", "en")))
