"""Metrics of the user's own: finding their file and giving it the shape of a metric."""

from __future__ import annotations

from slimai.errors import InputError
from slimai.metrics.base import Metric, MetricContext
from slimai.metrics.create import METRICS, Spec
from slimai.registry import suggest

__all__ = ["load_metric"]


def load_metric(name: str, spec: Spec, context: MetricContext) -> Metric:
    """Return the metric of the plug-in file ``<name>.py``; raises InputError where there is none."""
    del spec, context
    raise InputError.at("metric.metric_cls", f"unknown metric '{name}'{suggest(name, list(METRICS))}")
