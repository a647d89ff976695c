"""Scores dumped blobs without running a network."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from slimai.blobs.names import blob_name, check_blob_names, safe_name
from slimai.blobs.reader import read_blob
from slimai.data.sample import Sample
from slimai.errors import Diagnostic, InputError
from slimai.metrics.base import Array, Metric, MetricContext, Result
from slimai.metrics.create import create_metric
from slimai.metrics.geometry import PictureGeometry
from slimai.metrics.table import Spec

log = logging.getLogger(__name__)

Shapes = Mapping[str, tuple[int, ...]]

__all__ = ["Dump", "score_dump"]


@dataclass(frozen=True)
class Dump:
    """Blobs of an earlier run: their folder, that of the float network's blobs, outputs in the metric's order.

    shapes: of the outputs by safe name, where known; blobs of the others are read as [N, H, W, C].
    """

    outputs: tuple[str, ...]
    blobs: Path
    reference: Path | None = None
    shapes: Shapes | None = None


def score_dump(
    metric_cls: str,
    spec: Spec,
    dump: Dump,
    context: MetricContext,
    *,
    geometry: PictureGeometry | None = None,
    score_range: tuple[float, float] | None = None,
) -> Result:
    """Return the result over `context.samples`.

    Raises: InputError with every missing blob; whatever the metric says of labels, options and values.
    """
    check_blob_names([sample.stem for sample in context.samples], dump.outputs)
    _require_blobs(dump, context.samples)
    metric = create_metric(metric_cls, spec, context, score_range=score_range)
    if metric.uses_float and dump.reference is None:
        raise InputError.at(
            "--ref", f"{metric.name} compares with the float network", cure="give the folder of its blobs"
        )
    samples = [sample if geometry is None else replace(sample, geometry=geometry(sample)) for sample in context.samples]
    _check(metric, samples)
    records = []
    for sample in samples:
        reference = _read(dump.reference, sample, dump) if metric.uses_float and dump.reference else None
        records.append(metric.measure(sample, _read(dump.blobs, sample, dump), reference))
    return metric.combine(records)


def _check(metric: Metric, samples: Sequence[Sample]) -> None:
    """Log what labels and pictures say against each other; raises InputError with what is wrong."""
    check = getattr(metric, "check_samples", None)
    found: list[Diagnostic] = [] if check is None else check(samples)
    for item in found:
        if item.severity == "warning":
            log.warning("%s", item)
    errors = [item for item in found if item.severity == "error"]
    if errors:
        raise InputError(errors)


def _read(folder: Path, sample: Sample, dump: Dump) -> list[Array]:
    shapes = dump.shapes or {}
    found: list[Array] = []
    for output in dump.outputs:
        path = folder / blob_name(sample.stem, output)
        try:
            found.append(read_blob(path).real(shapes.get(safe_name(output))))
        except InputError as error:
            text = str(error)
            raise error if text.startswith(str(path)) else InputError.at(str(path), text) from None
        finite = np.isfinite(found[-1])
        if not finite.all():
            what = f"{np.count_nonzero(~finite)} of {finite.size} values are not finite, so it has no score"
            raise InputError.at(str(path), what, float(found[-1][~finite][0]))
    return found


def _require_blobs(dump: Dump, samples: Sequence[Sample]) -> None:
    folders = [folder for folder in (dump.blobs, dump.reference) if folder is not None]
    absent = [folder for folder in folders if not folder.is_dir()]
    if absent:
        raise InputError(Diagnostic("no such folder of blobs", file=str(folder)) for folder in absent)
    missing = [
        path
        for folder in folders
        for sample in samples
        for output in dump.outputs
        if not (path := folder / blob_name(sample.stem, output)).is_file()
    ]
    if missing:
        more = [Diagnostic(f"and {len(missing) - 20} more blobs are missing")] if len(missing) > 20 else []
        raise InputError([*(Diagnostic("no such blob", file=str(path)) for path in missing[:20]), *more])
