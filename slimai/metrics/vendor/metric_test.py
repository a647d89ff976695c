"""The module ``metric_test``: tries a metric class on the blobs of an earlier run."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from slimai.artifacts.atomic import write_text
from slimai.blobs.names import blob_name
from slimai.blobs.octrl import read_octrl
from slimai.data.image_list import parse_image_list
from slimai.data.sample import Sample
from slimai.errors import InputError
from slimai.metrics.run_facts import RunFacts, known_shapes, read_run_facts
from slimai.metrics.vendor.base import SHAPES, image_list_text, image_names
from slimai.metrics.vendor.calls import analyse, guarded

HEADER = "# profile\tvalues\n"
IMAGE_LIST = "tmp_images.txt"

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
    file goes, as ``metric_test_<file>`` where a run has one of that name. The metric sees what it sees in a run:
    the path of an image list with whole paths and labels, and `metric_input`, unless the script has given it one.

    Raises: InputError where `count` exceeds the list, or a blob or an image list is missing.
    """
    names = image_names(imagelistfile)
    if not 0 < count <= len(names):
        raise InputError.at(str(imagelistfile), f"count must be 1..{len(names)}", count)
    outputs = read_octrl(Path(octrl_file))
    run = Path(octrl_file).parent
    facts = read_run_facts(run)
    _, result_file, kind, reference = par
    folders = {"float": Path(reference)} | {name: Path(tmpdir) / Path(name).stem for name in QProfile}
    found: dict[str, tuple[float, ...]] = {}
    metric_obj.octrl_file = str(octrl_file)
    _initialize(metric_obj, facts)
    with tempfile.TemporaryDirectory(prefix="slimai_metric_") as place:
        images = Path(place) / IMAGE_LIST
        samples = _samples(Path(imagelistfile), run, facts, count)
        images.write_text(image_list_text(samples), encoding="utf-8")
        for profile, folder in folders.items():
            _note_shapes(folder, names[:count], outputs, known_shapes(run))
            known = {
                "count": count,
                "verbose": verbose,
                "octrl_file": str(octrl_file),
                "tmpdir": tmpdir,
                "outdir": outdir,
            }
            found[profile] = analyse(metric_obj, str(folder), str(images), known)
            numbers = "\t".join(f"{value:.6f}" for value in found[profile])
            sys.stdout.write(f"{kind if profile != 'float' else 'Float'}\t{profile}\t{numbers}\n")
    rows = ["\t".join([profile, *(f"{value:.6f}" for value in values)]) for profile, values in found.items()]
    target = _result_path(Path(outdir), result_file)
    write_text(target, HEADER + "\n".join(rows) + "\n")
    if target.name != result_file:
        sys.stderr.write(f"{Path(outdir, result_file)} is the run's own; the values are in {target}\n")
    return found


def _initialize(metric: Any, facts: RunFacts | None) -> None:
    """Give the metric the run's `metric_input` when it is the run's metric and the script has given it none."""
    if facts is None or getattr(metric, "slimai_initialized", False):
        return
    if facts.metric.get("metric_cls") == type(metric).__name__:
        params = facts.metric.get("metric_input", "")
        guarded(lambda: metric.init_params(params), f"{type(metric).__name__}.init_params", type(metric))


def _samples(images: Path, run: Path, facts: RunFacts | None, count: int) -> Sequence[Sample]:
    """Return the first samples of the list; the paths in a list that a run has written start from its image_dir."""
    own = facts is not None and images.resolve().parent == run.resolve()
    folder = facts.image_dir if facts is not None and own else images.parent
    samples, problems = parse_image_list(images, folder.resolve(), count, look=False)
    errors = [item for item in problems if item.severity == "error"]
    if errors:
        raise InputError(errors)
    return samples


def _result_path(folder: Path, name: str) -> Path:
    """Return where the values go: never over a file that a run has written under that name."""
    path = folder / name
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            own = file.readline() == HEADER
    except FileNotFoundError:
        own = True
    return path if own else path.with_name(f"metric_test_{name}")


def _note_shapes(
    folder: Path, names: Sequence[str], outputs: Sequence[str], shapes: Mapping[str, tuple[int, ...]]
) -> None:
    for name in names:
        for output in outputs:
            if output in shapes:
                SHAPES[str(folder / blob_name(Path(name).stem, output))] = shapes[output]
