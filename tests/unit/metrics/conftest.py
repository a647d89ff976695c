"""Builders of samples, contexts and annotation files for the metric tests."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from slimai.data.sample import ImageGeometry, Sample
from slimai.metrics.base import MetricContext


@pytest.fixture
def make_samples(tmp_path: Path) -> Callable[..., tuple[Sample, ...]]:
    def make(count: int, labels: Sequence[str] = (), geometry: ImageGeometry | None = None) -> tuple[Sample, ...]:
        return tuple(
            Sample(at, (tmp_path / f"img{at}.png",), (labels[at],) if labels else (), geometry) for at in range(count)
        )

    return make


@pytest.fixture
def make_context(tmp_path: Path) -> Callable[..., MetricContext]:
    def make(outputs: Sequence[str], samples: Sequence[Sample], **more) -> MetricContext:
        settings = {"shapes": (), "image_dir": tmp_path, "base_dir": tmp_path, **more}
        return MetricContext(outputs=tuple(outputs), samples=tuple(samples), **settings)

    return make


@pytest.fixture
def write_voc() -> Callable[..., Path]:
    def write(path: Path, objects: Sequence[tuple], size: tuple[int, int] = (100, 80)) -> Path:
        """Write objects (name, xmin, ymin, xmax, ymax[, difficult])."""
        parts = [f"<annotation><size><width>{size[0]}</width><height>{size[1]}</height><depth>3</depth></size>"]
        for name, *box in objects:
            corners = "".join(
                f"<{tag}>{value}</{tag}>" for tag, value in zip(("xmin", "ymin", "xmax", "ymax"), box[:4], strict=True)
            )
            difficult = box[4] if len(box) > 4 else 0
            parts.append(
                f"<object><name>{name}</name><difficult>{difficult}</difficult><bndbox>{corners}</bndbox></object>"
            )
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(parts) + "</annotation>", encoding="utf-8")
        return path

    return write
