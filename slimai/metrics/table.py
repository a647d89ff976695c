"""The metrics that slimai brings, by name: what each needs and what builds it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from slimai.metrics.base import Metric, MetricContext
from slimai.registry import Registry
from slimai.schema.metric_specs import MetricSpec

Spec = MetricSpec | str | Mapping[str, Any] | None


Builder = Callable[[str, Any, MetricContext], Metric]

_BUILDERS = "slimai.metrics.builders"

METRICS: Registry[Builder] = Registry(
    "metric",
    {
        "voc_det_AP": f"{_BUILDERS}:build_voc",
        "coco_det_AP": f"{_BUILDERS}:build_coco",
        **dict.fromkeys(("SegStats", "MIU", "PxAcc", "MAcc", "FrWIU"), f"{_BUILDERS}:build_segmentation"),
        **dict.fromkeys(("psnr", "l1", "l2", "ssim"), f"{_BUILDERS}:build_difference"),
        **dict.fromkeys(("top1", "top5", "top1_5"), f"{_BUILDERS}:build_top_k"),
        "cosine": f"{_BUILDERS}:build_cosine",
        "NoMetric": f"{_BUILDERS}:build_none",
    },
)
