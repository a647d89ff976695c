"""Gives a plug-in of the vendor's form, which reads blob files of a whole set, the shape of a metric."""

from __future__ import annotations

import logging
import tempfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from slimai.blobs.names import blob_name, check_blob_names
from slimai.blobs.octrl import OCTRL_NAME, format_octrl
from slimai.blobs.writer import format_float_blob, nhwc_shape
from slimai.data.sample import Sample
from slimai.metrics.base import Array, MetricContext, Record, Result
from slimai.metrics.outputs import check_outputs, image_index, in_order
from slimai.metrics.vendor.base import SHAPES, custom_metric_base, image_list_text
from slimai.metrics.vendor.calls import analyse, guarded
from slimai.metrics.vendor.modules import vendor_modules

log = logging.getLogger(__name__)

LARGEST_FOLDER = 10_000
IMAGE_LIST = "tmp_images.txt"

__all__ = ["VendorMetric"]


class VendorMetric:
    """A plug-in class. Records keep the outputs as compressed blobs; `combine` lays them out and asks the plug-in.

    A value outside 0..1 has no score. Each `combine` has its own instance of the class, so that nothing of one
    candidate is left for the next.
    """

    uses_float = False
    higher_is_better = True
    value_range = (0.0, 1.0)

    def __init__(
        self, cls: type[custom_metric_base], name: str, params: Any, context: MetricContext, folder: Path | None
    ) -> None:
        """`folder` is the plug-in's, whose modules it may import."""
        self.name = name
        self._class = cls
        self._params = "" if params is None else params
        self._outputs = context.outputs
        self._samples = {sample.index: sample for sample in context.samples}
        self._folder = folder
        self.files = tuple(_files(folder, self._params))
        for shape in context.shapes:
            nhwc_shape(shape)
        check_blob_names([sample.stem for sample in context.samples], context.outputs)
        with vendor_modules(folder):
            self._instance()

    def _instance(self) -> custom_metric_base:
        metric: custom_metric_base = guarded(self._class, f"{self.name}.__init__", self._class)
        guarded(lambda: metric.init_params(self._params), f"{self.name}.init_params", self._class)
        return metric

    def measure(self, sample: Sample, outputs: Sequence[Array], reference: Sequence[Array] | None = None) -> Record:
        """Return the compressed blob [n] uint8 and the shape of every output of one picture."""
        del reference
        check_outputs(sample, outputs, self._outputs)
        record: dict[str, Array] = {"image": image_index(sample)}
        for place, output in enumerate(outputs):
            packed = zlib.compress(format_float_blob(output), 1)
            record[f"blob/{place}"] = np.frombuffer(packed, np.uint8)
            record[f"shape/{place}"] = np.array(output.shape, np.int64)
        return record

    def combine(self, records: Sequence[Record]) -> Result:
        """Return what the plug-in says of these pictures."""
        if not records:
            return Result(float("nan"), None)
        with tempfile.TemporaryDirectory(prefix="slimai_metric_") as name:
            folder = Path(name)
            try:
                values = self._ask(folder, in_order(records))
            finally:
                for path in [path for path in SHAPES if Path(path).parent.parent == folder]:
                    del SHAPES[path]
        return self._result(values)

    def quick_score(self, records: Sequence[Record]) -> float | None:
        """Return None: asking the plug-in again and again about resampled pictures would take too long."""
        del records
        return None

    def _ask(self, folder: Path, records: Sequence[Record]) -> tuple[float, ...]:
        blobs = folder / "outputs"
        blobs.mkdir()
        octrl = folder / OCTRL_NAME
        octrl.write_text(format_octrl(self._outputs), encoding="utf-8")
        samples = [self._lay_out(blobs, record) for record in records]
        images = folder / IMAGE_LIST
        images.write_text(image_list_text(samples), encoding="utf-8")
        known: Mapping[str, Any] = {
            "count": len(samples),
            "octrl_file": str(octrl),
            "tmpdir": str(folder),
            "outdir": str(folder),
            "verbose": False,
        }
        with vendor_modules(self._folder):
            metric = self._instance()
            metric.octrl_file = str(octrl)
            return analyse(metric, str(blobs), str(images), known)

    def _lay_out(self, blobs: Path, record: Record) -> Sample:
        """Write the blobs of one picture; return its sample."""
        sample = self._samples[int(record["image"][0])]
        for place, output in enumerate(self._outputs):
            path = blobs / blob_name(sample.stem, output)
            path.write_bytes(zlib.decompress(record[f"blob/{place}"].tobytes()))
            SHAPES[str(path)] = tuple(int(side) for side in record[f"shape/{place}"])
        return sample

    def _result(self, values: tuple[float, ...]) -> Result:
        names = [self.name, *(f"{self.name}/{place}" for place in range(1, len(values)))]
        value = values[0]
        if not 0.0 <= value <= 1.0:
            log.warning(
                "metric '%s' returned %g, outside 0..1, so it has no score; set metric.score_range", self.name, value
            )
        score = value if 0.0 <= value <= 1.0 else None
        return Result(value, score, dict(zip(names, values, strict=True)))


def _files(folder: Path | None, params: Any) -> Iterator[Path]:
    """Yield what a result depends on: the code beside the plug-in, and the files and folders its settings name."""
    if folder is not None:
        yield from sorted(folder.glob("*.py"))
    for word in params.split() if isinstance(params, str) else ():
        with suppress(OSError):  # a word that is too long for a name, say
            yield from _at(Path(word))


def _at(path: Path) -> list[Path]:
    if path.is_dir():
        return sorted(item for item in islice(path.iterdir(), LARGEST_FOLDER) if item.is_file())
    return [path] if path.is_file() else []
