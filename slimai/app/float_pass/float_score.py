"""A float score that cannot be right ends a run before its search; a low one is warned about (SPEC 25)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from slimai.errors import Diagnostic, SlimaiError

if TYPE_CHECKING:
    from slimai.app.opening.job import Job
    from slimai.metrics.base import Record, Result

ZERO_IMAGES, ONE_CLASS_IMAGES, CHANCE_IMAGES = 10, 50, 100
TAIL = 0.005  # on either side of a 99 % interval
SHOWN = 4
KEY = "metric.allow_low_float_score"

__all__ = ["FloatVerdict", "chance_score", "could_be", "judge_float_score"]


@dataclass(frozen=True)
class FloatVerdict:
    """What a float score says of a job. impossible: why it cannot be right, or empty. warnings: what is doubtful."""

    impossible: str = ""
    causes: tuple[str, ...] = ()
    warnings: tuple[Diagnostic, ...] = ()

    def stop(self, page: str) -> SlimaiError:
        """Return the error that ends the run; page: where four of the pictures are shown."""
        return SlimaiError(
            f"metric: {self.impossible}, which cannot be right; likely causes: {'; '.join(self.causes)}. "
            f"{page} shows {SHOWN} of the pictures; {KEY}: true goes on"
        )


def judge_float_score(job: Job, records: Sequence[Record], result: Result) -> FloatVerdict:
    """Return the verdict on the float network's `result` over the validation images."""
    if result.score is None:
        return FloatVerdict()
    why = _zero(job, records, result) or _one_class(records) or _chance(job, records)
    causes = _causes(job)
    if why and not job.config.metric.allow_low_float_score:
        return FloatVerdict(why, causes)
    if why:
        message = f"{why}, which cannot be right; it goes on as {KEY} says"
    elif result.score <= chance_score(job):
        message = f"the float network scores only {result.score:.4f}: search cannot mend that"
    else:
        return FloatVerdict()
    cure = "check before searching: " + "; ".join(causes)
    return FloatVerdict(warnings=(Diagnostic(message, key="network", suggestion=cure, severity="warning"),))


def chance_score(job: Job) -> float:
    """Return the score that hardly anything but a mistake gives: twice chance for classes, else 5 %."""
    classes = _classes(job)
    return 0.05 if classes is None else min(0.2, 2.0 / classes)


def _zero(job: Job, records: Sequence[Record], result: Result) -> str:
    if result.score != 0.0 or len(records) < ZERO_IMAGES:
        return ""
    worth = "" if result.value == 0.0 else f" (value {result.value:g}, score_range {job.config.metric.score_range})"
    return f"the float network scores exactly 0 on {len(records)} images{worth}"


def _one_class(records: Sequence[Record]) -> str:
    if len(records) < ONE_CLASS_IMAGES or not all({"best", "label"} <= record.keys() for record in records):
        return ""
    best = {int(record["best"][0]) for record in records}
    labels = {int(record["label"][0]) for record in records}
    if len(best) > 1 or len(labels) < 2:
        return ""
    return f"the float network says class {best.pop()} for all {len(records)} images, whose labels name {len(labels)}"


def _chance(job: Job, records: Sequence[Record]) -> str:
    classes = _classes(job)
    if (
        classes is None
        or classes < 2
        or len(records) < CHANCE_IMAGES
        or not all("rank" in record for record in records)
    ):
        return ""
    hits = sum(int(record["rank"][0]) == 0 for record in records)
    if not could_be(hits, len(records), 1 / classes):
        return ""
    share = hits / len(records)
    return f"the float network's top-1 of {share:.4f} on {len(records)} images is chance for {classes} classes"


def could_be(hits: int, images: int, share: float) -> bool:
    """Return whether the 99 % interval of hits / images holds `share`: the exact one of Clopper and Pearson (1934)."""
    ways = [_log_binomial(images, count, share) for count in range(images + 1)]
    likely = np.exp(np.array(ways))
    return float(likely[: hits + 1].sum()) > TAIL and float(likely[hits:].sum()) > TAIL


def _log_binomial(images: int, count: int, share: float) -> float:
    ways = math.lgamma(images + 1) - math.lgamma(count + 1) - math.lgamma(images - count + 1)
    return ways + count * math.log(share) + (images - count) * math.log1p(-share)


def _classes(job: Job) -> int | None:
    """Return the number of classes of a classification metric, None for another metric."""
    shape = job.graph.shape(job.outputs[0])
    if not job.metric.name.startswith("top") or not shape:
        return None
    offset = getattr(getattr(job.config.metric, "metric_input", None), "data_offset", 0)
    return max(1, math.prod(shape) + offset)


def _causes(job: Job) -> tuple[str, ...]:
    """Return the usual causes of a wrong float score, likeliest first."""
    network, name = job.config.network, job.metric.name
    mean, stddev = (",".join(f"{value:g}" for value in values) for values in (network.mean, network.stddev))
    pictures = (
        f"network.mean {mean} and stddev {stddev}, on pixels of 0..255",
        f"channel_order {network.channel_order}",
        f"resize {'none' if network.resize is None else network.resize.mode}",
    )
    own = {
        "top": ("labels in another order than the network's classes, or moved by one (data_offset)",),
        "voc": ("custom_pp, anchors, layout and input_size of metric_input", "data_offset and the class names"),
        "coco": ("custom_pp, anchors, layout and input_size of metric_input", "data_offset"),
    }
    words = next((found for start, found in own.items() if name.startswith(start)), ("labels and metric_input",))
    order = ("the order of the outputs (metric.replace_output)",) if len(job.outputs) > 1 else ()
    return (*words, *order, *(pictures if network.input_data_layout != "NonImage" else ("mean and stddev",)))
