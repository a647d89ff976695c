"""The debug files of `metric.output_debug` (SPEC 12): lists, float and fixed-point outputs as blobs, similarity."""

from __future__ import annotations

import math
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from slimai.app.opening.dump_check import BLOB_AXES, OUTPUTS, blob_rank
from slimai.artifacts.atomic import write_text
from slimai.blobs.names import blob_name
from slimai.blobs.octrl import OCTRL_NAME, format_octrl
from slimai.blobs.writer import format_fixed_blob, format_float_blob, nhwc_shape, write_blob
from slimai.errors import SlimaiError
from slimai.graph.samples import has_batch, sample_shape

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from slimai.app.opening.job import Job
    from slimai.data.sample import Sample
    from slimai.quantizer.plan import QuantPlan
    from slimai.report.analysis import LayerRow

    Arrays = Mapping[str, NDArray[Any]]

LAYER_FOLDER, SIMILARITY = "layers", "similarity.txt"
_FIXED_BYTES, _FLOAT_BYTES = {8: 3.0, 16: 5.0}, 10.0  # text of one number with its space, on the average


class Dumps:
    """Writes the debug files of one job into its output folder; what the level does not ask for is left out."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.level = job.config.metric.output_debug
        self.output = job.config.path.output_dir
        self.name = job.config.network.name

    def lists(self) -> None:
        """Write `output_control.octrl` and the image lists as they are used."""
        if self.level < OUTPUTS:
            return
        write_text(self.output / OCTRL_NAME, format_octrl(self.job.outputs))
        for name, samples in self._named_lists():
            write_text(self.output / f"glow_{name}.txt", glow_list(samples))
            write_text(self.output / f"tmp_{name}.txt", image_list(samples, self.job.config.path.image_dir))

    def notes(self) -> list[str]:
        """Return one line for each output that the model gives no batch: how its blobs hold it."""
        if self.level < OUTPUTS:
            return []
        if self.job.graph.sequences:
            return ["blobs of sequences hold the steps as N, and behind it H W C of one step's output"]
        shapes = {name: self.job.graph.shape(name) for name in self.job.outputs}
        return [
            f"output {name}: the model gives {list(shape)} no batch axis; its blobs hold it as N H W C = "
            f"{' '.join(map(str, nhwc_shape(shape if len(shape) == BLOB_AXES else sample_shape(shape))))}"
            for name, shape in shapes.items()
            if not has_batch(shape)
        ]

    def _named_lists(self) -> list[tuple[str, Sequence[Sample]]]:
        """Return the lists by the stems of their files; equal stems get what the lists are for behind them."""
        pairs = [("calib", self.job.calibration), ("val", self.job.validation)]
        found = [(use, samples) for use, samples in pairs if samples]
        if self.job.validation is self.job.calibration:
            found = found[:1]
        stems = [Path(samples[0].list_file).stem or use for use, samples in found]
        same = len(set(stems)) < len(stems)
        return [(f"{stem}_{use}" if same else stem, samples) for stem, (use, samples) in zip(stems, found, strict=True)]

    @property
    def reference_folder(self) -> Path:
        """Folder of the float outputs of the validation set."""
        return self.output / f"{self.name}_ref"

    def float_outputs(self, folder: Path, samples: Sequence[Sample], outputs: Arrays) -> None:
        """Write the blobs of a batch of float outputs [N, ...] by name, one a sample."""
        folder.mkdir(parents=True, exist_ok=True)
        for name, values in outputs.items():
            for row, sample in enumerate(samples):
                data = format_float_blob(self._one(values, row))
                write_blob(folder / blob_name(sample.stem, name), data)

    def _one(self, values: NDArray[Any], row: int) -> NDArray[Any]:
        """Return one sample as a blob takes it; the steps of a sequence are its N."""
        return values[row] if self.job.graph.sequences else blob_axes(values[row : row + 1])

    def fixed_outputs(
        self, folders: Sequence[Path], samples: Sequence[Sample], outputs: Arrays, plan: QuantPlan
    ) -> None:
        """Write the blobs of a batch of integers [N, ...] by tensor name; float where the plan has no integers.

        folders: several candidates that have the same integers.
        """
        for folder in folders:
            folder.mkdir(parents=True, exist_ok=True)
        for name, values in outputs.items():
            for row, sample in enumerate(samples):
                data = tensor_blob(self._one(values, row), plan, name)
                for folder in folders:
                    write_blob(folder / blob_name(sample.stem, name), data)

    def similarity(self, rows: Sequence[LayerRow]) -> None:
        """Write `similarity.txt`: mean cosine of every layer over the validation images, in graph order."""
        write_text(self.output / SIMILARITY, similarity_text(rows))

    def check_room(self, plan: QuantPlan, images: int) -> str:
        """Return a line that tells the size of the per-layer dump.

        Raises:
            SlimaiError: the disk has not room for it.
        """
        steps = sum(self.job.preprocess.steps(sample) or 1 for sample in self.job.validation[:images])
        need = layer_bytes(plan, steps)
        free = shutil.disk_usage(self.output).free
        if need > free:
            raise SlimaiError(
                f"{self.output}: the per-layer outputs of {images} images need about {in_words(need)}, but "
                f"{in_words(free)} are free; lower dataset.validation_count or metric.output_debug"
            )
        return f"per-layer outputs of {images} images: about {in_words(need)} in {LAYER_FOLDER}/"


def remove_blobs(folder: Path) -> None:
    """Remove the blobs in `folder` and those of its layers; the folder too when nothing else is in it."""
    remove_layer_blobs(folder)
    _remove_blobs_of(folder)


def remove_layer_blobs(folder: Path) -> None:
    """Remove the blobs of the layers in the candidate's `folder`, which stays."""
    _remove_blobs_of(folder / LAYER_FOLDER)


def _remove_blobs_of(place: Path) -> None:
    for blob in place.glob("*.blob"):
        blob.unlink()
    if place.is_dir() and not any(place.iterdir()):
        place.rmdir()


def tensor_blob(values: NDArray[Any], plan: QuantPlan, name: str) -> bytes:
    """Return the blob of one image's tensor as the integer network holds it."""
    params, values = plan.tensors.get(name), blob_axes(values)
    if params is not None:
        return format_fixed_blob(values, params.scale, params.zero_point)
    return format_float_blob(values) if values.dtype.kind == "f" else format_fixed_blob(values, 1.0)


def blob_axes(values: NDArray[Any]) -> NDArray[Any]:
    """Return one sample [1, ...] as a blob takes it: four axes of a tensor without a batch are its N, H, W, C."""
    return values[0] if values.ndim == BLOB_AXES + 1 else values


def dumped_layers(plan: QuantPlan) -> tuple[list[str], list[str]]:
    """Return the tensors of all layers that a blob can hold, and those of more than four dimensions."""
    names = dict.fromkeys(name for layer in plan.layers for name in layer.outputs)
    fitting = [name for name in names if blob_rank(plan.graph, name) <= BLOB_AXES]
    return fitting, [name for name in names if name not in fitting]


def layer_bytes(plan: QuantPlan, images: int) -> int:
    """Return about how many bytes the blobs of all layers take, fixed-point and float."""
    total = 0.0
    for name in dumped_layers(plan)[0]:
        params = plan.tensors.get(name)
        each = _FLOAT_BYTES if params is None else _FIXED_BYTES.get(params.dtype.bits, _FLOAT_BYTES)
        total += (each + _FLOAT_BYTES) * math.prod(plan.graph.shape(name))
    return int(total * images)


def in_words(size: float) -> str:
    """Return a number of bytes with its unit: ``1.5 GiB``."""
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if size < 1024:
            return f"{size:.0f} {unit}" if unit == "bytes" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} TiB"


def similarity_text(rows: Sequence[LayerRow]) -> str:
    """Return the text of similarity.txt; tensors have their profile names."""
    return "".join(
        f"The similarity of {row.profile} between fixed and float model is: {row.cosine:.6f}\n" for row in rows
    )


def glow_list(samples: Sequence[Sample]) -> str:
    """Return the files of the samples, a sample a line, its inputs joined by commas; no count, no labels."""
    return "".join(",".join(str(file) for file in sample.files) + "\n" for sample in samples)


def image_list(samples: Sequence[Sample], image_dir: Path) -> str:
    """Return an image list of these samples: the count, then paths as from `image_dir`, and labels."""
    lines = [str(len(samples))]
    for sample in samples:
        paths = ",".join(_shown(file, image_dir) for file in sample.files)
        lines.append(" ".join([paths, *([",".join(sample.labels)] if sample.labels else [])]))
    return "\n".join(lines) + "\n"


def _shown(file: Path, image_dir: Path) -> str:
    return str(file.relative_to(image_dir)) if file.is_relative_to(image_dir) else str(file)
