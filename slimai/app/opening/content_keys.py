"""What earlier results depend on, by parts, so that stale ones never count and the reason can be told."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import slimai
from slimai.app.opening.job import Job
from slimai.artifacts.cache import content_key, hash_files
from slimai.artifacts.journal import Journal
from slimai.graph.facts import once_a_graph
from slimai.quantizer.key import plan_key
from slimai.quantizer.prequantized import stored_plan
from slimai.schema.metric_specs import MetricSpec

if TYPE_CHECKING:
    from slimai.graph.ir import Graph

_SCORE_PARTS = ("slimai version", "model", "preprocessing", "validation images", "labels", "metric", "target")
_NOT_SCORED = {"output_debug", "adjust", "allow_low_float_score", "fail_under"}
_SPACE = {"accuracy_level", "range", "calibration", "limits", "mix_goal", "weight_rounding"}


@dataclass(frozen=True)
class ContentKeys:
    """score: decides a score beside the integers. plan: decides the integers beside the candidate. parts: hashes."""

    score: str
    plan: str
    parts: Mapping[str, str]


def content_keys(job: Job, edits: Mapping[str, tuple[float, float]]) -> ContentKeys:
    """Return the keys of a job's results; `edits` are limits edited by hand."""
    config = job.config
    metric = config.metric.model_dump(mode="json", exclude=_NOT_SCORED)
    quantization = config.quantization.model_dump(mode="json", exclude=_SPACE)
    quantization["histogram_bins"] = config.quantization.bins  # what is not set depends on `limits`
    rules = [path for path in (config.quantization.nodename_datatypes, config.quantization.nodekind_datatypes) if path]
    parts = {
        "slimai version": slimai.__version__,
        "model": content_key(graph_hash(job.graph), _stored_key(job)),
        "preprocessing": content_key(preprocessing_key(job)),
        "validation images": job.validation_hash,
        "labels": content_key([sample.labels for sample in job.validation], hash_files(_label_files(job))),
        "metric": content_key(metric, hash_files(path for path in getattr(job.metric, "files", ()) if path.is_file())),
        "target": content_key(config.target.model_dump(mode="json")),
        "calibration images": job.calibration_hash,
        "quantization": content_key(quantization, hash_files(rules)),
        "edited limits": content_key(dict(edits)),
    }
    return ContentKeys(score_key(parts), content_key(list(parts.values())), parts)


def score_key(parts: Mapping[str, str]) -> str:
    """Return the key of what decides a score beside the integers, of the parts of a job or of a run's lock."""
    return content_key([parts[name] for name in _SCORE_PARTS])


def _stored_key(job: Job) -> str:
    """Return the hash of the integers and parameters of a pre-quantized network, or an empty string."""
    if job.stored is None:
        return ""

    return plan_key(stored_plan(job.stored, keep_asymmetric_weights=True))


def _label_files(job: Job) -> list[Path]:
    """Return what the score depends on beside settings and images."""
    settings = getattr(job.config.metric, "metric_input", None)
    values = dict(settings).values() if isinstance(settings, MetricSpec) else ()  # a plug-in's is text or a mapping
    named = [value for value in values if isinstance(value, Path)]
    found: list[Path] = []
    for path in named:
        found += sorted(item for item in path.iterdir() if item.is_file()) if path.is_dir() else [path]
    found += [job.config.path.image_dir / label for sample in job.validation for label in sample.labels]
    return [path for path in found if path.is_file()]


def changed_parts(journal: Journal, keys: ContentKeys) -> list[str]:
    """Return the names of the parts that differ from the last run of the journal; empty without one."""
    earlier = [entry["parts"] for entry in journal.entries() if isinstance(entry.get("parts"), dict)]
    if not earlier:
        return []
    return [name for name, value in keys.parts.items() if earlier[-1].get(name) != value]


@once_a_graph
def graph_hash(graph: Graph) -> str:
    """Return the sha256, in hex, of the network as it is saved."""
    from slimai.graph.save import to_onnx  # noqa: PLC0415 - spares onnx

    return content_key(to_onnx(graph).SerializeToString(deterministic=True))


def preprocessing_key(job: Job) -> str:
    """Return the settings that turn image files into inputs, as text."""
    keep = {"input_data_layout", "channel_order", "mean", "stddev", "resize", "input_node_name", "exif"}
    return json.dumps(job.config.network.model_dump(mode="json", include=keep), sort_keys=True)
