"""What a run leaves in run.json so that its dumps can be scored again as it scored them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from slimai.blobs.names import safe_name
from slimai.data.resize import Resize
from slimai.errors import InputError

if TYPE_CHECKING:
    from slimai.data.preprocess import InputSpec

KEY = "scoring"

__all__ = ["KEY", "RunFacts", "facts_of", "known_shapes", "read_run_facts"]


@dataclass(frozen=True)
class RunFacts:
    """image_dir: what the list's paths start from. metric: the section of that name, as plain values.

    layout, size (width, height; None = no image), resize, exif, column: of the network's first image input.
    shapes: of the outputs, by safe name.
    """

    image_dir: Path
    network_class: str
    metric: Mapping[str, Any]
    layout: str = "NCHW"
    size: tuple[int, int] | None = None
    resize: Resize | None = None
    exif: str = "apply"
    column: int = 0
    shapes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)


def facts_of(
    image_dir: Path, network_class: str, metric: Mapping[str, Any], inputs: Sequence[InputSpec]
) -> dict[str, Any]:
    """Return the mapping that `read_run_facts` finds in run.json under `KEY`."""
    first = next((spec for spec in inputs if spec.layout != "NonImage"), None)
    shown: dict[str, Any] = {"layout": "NonImage", "size": None, "resize": None, "exif": "apply", "column": 0}
    if first is not None:
        resize = None if first.resize is None else asdict(first.resize)
        shown = {"layout": first.layout, "size": list(first.size), "resize": resize, "exif": first.exif}
        shown["column"] = first.column or 0
    return {"image_dir": str(image_dir), "network_class": network_class, "metric": dict(metric), "input": shown}


def known_shapes(folder: Path) -> dict[str, tuple[int, ...]]:
    """Return safe output name -> shape that a run left in run.json; empty where there is none."""
    try:
        run = json.loads((folder / "run.json").read_text(encoding="utf-8"))
        return {safe_name(str(entry["name"])): tuple(int(side) for side in entry["shape"]) for entry in run["outputs"]}
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def read_run_facts(folder: Path) -> RunFacts | None:
    """Return the facts of the run in `folder`, or None where no run has finished there.

    Raises: InputError where its run.json is damaged, or of a version that did not write them.
    """
    path = folder / "run.json"
    if not path.is_file():
        return None
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))[KEY]
        shown, size = facts["input"], facts["input"]["size"]
        resize = shown["resize"] and Resize(**{**shown["resize"], "pad_value": tuple(shown["resize"]["pad_value"])})
        return RunFacts(
            image_dir=Path(facts["image_dir"]),
            network_class=str(facts["network_class"]),
            metric=dict(facts["metric"]),
            layout=str(shown["layout"]),
            size=None if size is None else (int(size[0]), int(size[1])),
            resize=resize or None,
            exif=str(shown["exif"]),
            column=int(shown["column"]),
            shapes=known_shapes(folder),
        )
    except (OSError, ValueError, KeyError, TypeError, IndexError, RecursionError) as error:
        raise InputError.at(
            str(path),
            f"does not say how the run was scored ({type(error).__name__}: {error})",
            cure="run the job again with this version, or copy octrl, list and blobs elsewhere and give the options",
        ) from None
