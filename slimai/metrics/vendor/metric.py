"""The module ``metric`` of plug-ins."""

from __future__ import annotations

from slimai.metrics.vendor.base import custom_metric_base, metric_register

__all__ = ["custom_metric_base", "metric_register"]
