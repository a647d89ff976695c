"""The functions that build the metrics that slimai brings, by name; loaded when one is asked for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from slimai.metrics.base import Metric, MetricContext
from slimai.registry import Registry
from slimai.schema import metric as schema
from slimai.schema.metric_specs import MetricSpec

Spec = MetricSpec | str | Mapping[str, Any] | None


Builder = Callable[[str, Any, MetricContext], Metric]

METRICS: Registry[Builder] = Registry("metric", {row.name: row.builder for row in schema.METRICS.values()})
