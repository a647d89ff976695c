"""From the name and the typed input of a metric to the metric: one lazy table."""

from __future__ import annotations

from slimai.metrics.base import Metric, MetricContext
from slimai.metrics.plugin import load_metric
from slimai.metrics.rescaled import Rescaled
from slimai.metrics.table import METRICS, Spec
from slimai.schema.metric import default_metric as named_by_default

__all__ = ["METRICS", "create_metric", "default_metric"]


def default_metric(context: MetricContext) -> str:
    """Return the metric of a job that names none: top1_5 for class Classification with labels, else cosine."""
    labelled = bool(context.samples) and all(sample.labels for sample in context.samples)
    return named_by_default(context.network_class, labelled=labelled)


def create_metric(
    metric_cls: str | None,
    spec: Spec,
    context: MetricContext,
    *,
    score_range: tuple[float, float] | None = None,
) -> Metric:
    """Return the metric `metric_cls`, its labels read and its options checked against the outputs.

    spec: the typed `metric_input`; for a metric of the user's own the string or mapping as written; None =
    the metric's defaults. score_range: values that become the scores 0 and 1, in place of the metric's own score.

    Raises: InputError with every missing label file and every option that does not fit, at once.
    """
    name = metric_cls or default_metric(context)
    build = METRICS.get(name) if name in METRICS else load_metric
    metric = build(name, spec, context)
    if score_range is None:
        return metric

    return Rescaled(metric, score_range)
