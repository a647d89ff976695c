"""The module ``metric_test``: tries a metric class on the blobs of an earlier run."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from slimai.blobs.names import blob_name, safe_name
from slimai.blobs.octrl import read_octrl
from slimai.errors import InputError
from slimai.metrics.vendor.base import SHAPES, image_names
from slimai.metrics.vendor.calls import analyse

__all__ = ["compute_metric"]


def compute_metric(
    imagelistfile: str,
    octrl_file: str,
    tmpdir: str,
    count: int,
    QProfile: Sequence[str],  # noqa: N803 - the vendor's name
    par: Sequence[Any],
    verbose: bool,
    metric_obj: Any,
    outdir: str,
) -> dict[str, tuple[float, ...]]:
    """Return the values of `metric_obj` for the float outputs and for each profile; also prints and writes them.

    imagelistfile, octrl_file: as a run with output_debug = 2 leaves them. tmpdir: the folder with a folder of
    blobs a profile. count: the first images of the list. QProfile: profile files, ``<name>_92.yaml``; their
    stem is the folder. par: (worker count, result file, kind, folder of float blobs). outdir: where the result
    file goes.

    Raises: InputError where `count` exceeds the list, or a blob or an image list is missing.
    """
    names = image_names(imagelistfile)
    if not 0 < count <= len(names):
        raise InputError.at(str(imagelistfile), f"count must be 1..{len(names)}", count)
    picked = names[:count]
    outputs = read_octrl(Path(octrl_file))
    _, result_file, kind, reference = par
    folders = {"float": Path(reference)} | {name: Path(tmpdir) / Path(name).stem for name in QProfile}
    shapes = _known_shapes(Path(octrl_file).parent)
    found: dict[str, tuple[float, ...]] = {}
    metric_obj.octrl_file = str(octrl_file)
    for profile, folder in folders.items():
        _note_shapes(folder, picked, outputs, shapes)
        found[profile] = analyse(metric_obj, str(folder), picked, {"count": count, "verbose": verbose})
        line = f"{kind if profile != 'float' else 'Float'}\t{profile}\t" + "\t".join(f"{v:.6f}" for v in found[profile])
        sys.stdout.write(line + "\n")
    rows = ["\t".join([profile, *(f"{value:.6f}" for value in values)]) for profile, values in found.items()]
    Path(outdir, result_file).write_text("# profile\tvalues\n" + "\n".join(rows) + "\n", encoding="utf-8")
    return found


def _known_shapes(folder: Path) -> dict[str, tuple[int, ...]]:
    """Return output -> shape of the run.json beside the octrl file, as far as there is one."""
    try:
        run = json.loads((folder / "run.json").read_text(encoding="utf-8"))
        return {safe_name(entry["name"]): tuple(entry["shape"]) for entry in run["outputs"]}
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def _note_shapes(
    folder: Path, names: Sequence[str], outputs: Sequence[str], shapes: dict[str, tuple[int, ...]]
) -> None:
    for name in names:
        for output in outputs:
            if output in shapes:
                SHAPES[str(folder / blob_name(Path(name).stem, output))] = shapes[output]
