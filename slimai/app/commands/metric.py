"""``slimai metric``: scores dumped blobs without running a network."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter, ValidationError

from slimai.app.options import CommandParser
from slimai.blobs.octrl import read_octrl
from slimai.data.image_list import parse_image_list
from slimai.data.resize import Resize
from slimai.errors import EXIT_DONE, Diagnostic, InputError
from slimai.metrics.base import MetricContext
from slimai.metrics.geometry import PictureGeometry
from slimai.metrics.harness import Dump, score_dump
from slimai.metrics.run_facts import RunFacts, read_run_facts
from slimai.schema.metric import SPECS, MetricUnion, metric_kind
from slimai.schema.metric_specs import DetectionInput
from slimai.search.candidate import finite
from slimai.suggest import suggest

if TYPE_CHECKING:
    from slimai.data.sample import Sample
    from slimai.metrics.base import Result

EPILOG = """example:
  slimai metric --metric-cls voc_det_AP --metric-input 'voc/annotations voc_labels=[cat;dog]' \\
      --octrl out/output_control.octrl --imagelist out/tmp_val.txt --blobs out/net_96

A metric of your own, slimai_custom_metric/metric_plugin/my_metric.py, is tried in the same way:
  slimai metric --metric-cls my_metric --metric-input 'labels threshold=0.6' \\
      --octrl out/output_control.octrl --imagelist out/tmp_val.txt --blobs out/net_ref --count 3
"""


ZERO_IMAGES = 10  # from which a score of exactly 0 is worth a word
_RUN_KEYS = frozenset({"output_debug", "replace_output", "adjust", "allow_low_float_score"})  # not about the score


def main(argv: Sequence[str]) -> int:
    """Score the blobs that the command line names; return 0."""
    options = _parser().parse_args(list(argv))
    result, images, name = score(options)
    sys.stdout.write(_as_json(name, result, images) if options.format == "json" else _as_text(name, result, images))
    return EXIT_DONE


def score(options: argparse.Namespace) -> tuple[Result, int, str]:
    """Return the result, the number of images and the metric's name. Raises InputError and PluginError.

    What the options leave open is as in the run that left its run.json beside the octrl file.
    """
    facts = read_run_facts(options.octrl.parent)
    section = _section(options, facts)
    samples = _samples(options, facts)
    outputs = _outputs(options)
    shapes = {} if facts is None else facts.shapes
    known = all(name in shapes for name in outputs)
    spec = getattr(section, "metric_input", None)
    if facts is None and isinstance(spec, DetectionInput) and _input_size(options, spec, facts) is None:
        raise InputError.at(
            "--input-size",
            f"the size of the network's input is not known: no run.json beside {options.octrl}",
            cure="give <width>:<height>, and --resize where pictures were resized",
        )
    context = _context(options, samples, outputs, tuple(shapes[name] for name in outputs) if known else (), facts)
    context = replace(
        context,
        annotation_fit=getattr(section, "annotation_fit", "auto"),
        annotation_exif=getattr(section, "annotation_exif", "turned"),
        exif=_exif(options, facts),
    )
    result = score_dump(
        section.metric_cls,
        spec,
        Dump(outputs, options.blobs, options.ref, shapes),
        context,
        geometry=_geometry(options, spec, samples, facts),
        score_range=section.score_range,
    )
    if result.score == 0 and len(samples) >= ZERO_IMAGES:
        sys.stderr.write(f"warning: a score of exactly 0 on {len(samples)} images: check metric_input and labels\n")
    return result, len(samples), str(section.metric_cls)


def _section(options: argparse.Namespace, facts: RunFacts | None) -> Any:
    """Return the validated `metric` section that the options spell; the rest is the run's, if it had this metric."""
    values: dict[str, Any] = {"metric_cls": options.metric_cls}
    if facts is not None and facts.metric.get("metric_cls") == options.metric_cls:
        values = {key: value for key, value in facts.metric.items() if key not in _RUN_KEYS}
    if options.metric_input:
        values["metric_input"] = options.metric_input
    if options.annotation_exif:
        values["annotation_exif"] = options.annotation_exif
    if options.score_range:
        values["score_range"] = options.score_range
    adapter: TypeAdapter[Any] = TypeAdapter(MetricUnion)
    try:
        return adapter.validate_python(values, context={"base": Path.cwd()})
    except ValidationError as error:
        kind = metric_kind(values)
        raise InputError(_diagnostic(detail, kind) for detail in error.errors(include_url=False)) from None


def _diagnostic(detail: Mapping[str, Any], kind: str) -> Diagnostic:
    key = ".".join(["metric", *map(str, detail["loc"])])
    cure = str((detail.get("ctx") or {}).get("cure", ""))
    if detail["type"] == "extra_forbidden":
        return Diagnostic(f"unknown option{_near(str(detail['loc'][-1]), kind)}", key=key)
    return Diagnostic(str(detail["msg"]), key=key, value=detail.get("input"), suggestion=cure)


def _near(name: str, kind: str) -> str:
    """Return a hint for an option that a metric of this kind does not have."""
    known = list(SPECS[kind].model_fields) if kind in SPECS else []
    return suggest(name, known) if known else "; the metric has no options"


def _image_dir(options: argparse.Namespace, facts: RunFacts | None) -> Path:
    """Return what the list's paths start from: the run's folder for the lists that the run has written."""
    given: Path | None = options.image_dir
    if given is not None:
        return given
    beside: Path = options.imagelist.parent
    same = facts is not None and beside.resolve() == options.octrl.parent.resolve()
    return facts.image_dir if facts is not None and same else beside


def _samples(options: argparse.Namespace, facts: RunFacts | None) -> tuple[Sample, ...]:
    folder = _image_dir(options, facts)
    samples, found = parse_image_list(options.imagelist, folder, options.count, look=False)
    errors = [item for item in found if item.severity == "error"]
    if errors:
        raise InputError(errors)
    return samples


def _outputs(options: argparse.Namespace) -> tuple[str, ...]:
    known = read_octrl(options.octrl)
    wanted = tuple((options.replace_output or "").strip("[]").replace(",", " ").split())
    unknown = [name for name in wanted if name not in known]
    if unknown:
        raise InputError.at("--replace-output", f"not in {options.octrl}", unknown, cure=f"one of {' '.join(known)}")
    return wanted or known


def _context(
    options: argparse.Namespace,
    samples: tuple[Sample, ...],
    outputs: tuple[str, ...],
    shapes: tuple[Any, ...],
    facts: RunFacts | None,
) -> MetricContext:
    return MetricContext(
        outputs=outputs,
        shapes=shapes,
        image_dir=_image_dir(options, facts),
        base_dir=Path.cwd(),
        network_class="Other" if facts is None else facts.network_class,
        input_layout=options.layout or ("" if facts is None else facts.layout),
        input_size=_input_size(options, None, facts),
        samples=samples,
    )


def _input_size(options: argparse.Namespace, spec: Any, facts: RunFacts | None) -> tuple[int, int] | None:
    """Return (width, height) of the network's input: as given, as the run's, as metric_input says, or None."""
    own: tuple[int, int] | None = None if facts is None else facts.size
    return _size(options.input_size) or own or getattr(spec, "input_size", None)


def _exif(options: argparse.Namespace, facts: RunFacts | None) -> Any:
    return options.exif or ("apply" if facts is None else facts.exif)


def _size(text: str | None) -> tuple[int, int] | None:
    if text is None:
        return None
    parts = text.split(":")
    if len(parts) != 2 or not all(part.isascii() and part.isdigit() and int(part) > 0 for part in parts):
        raise InputError.at("--input-size", "expected <width>:<height> in pixels", text)
    return int(parts[0]), int(parts[1])


def _geometry(
    options: argparse.Namespace, spec: Any, samples: tuple[Sample, ...], facts: RunFacts | None
) -> PictureGeometry | None:
    """Return how the pictures lay in the input, or None where its size or the pictures are not known."""
    size, resize = _input_size(options, spec, facts), _resize(options, facts)
    column = 0 if facts is None else facts.column
    if size is None and options.resize:
        raise InputError.at("--resize", "the size of the network's input is not known", cure="add --input-size")
    if size is None or (resize is None and not all(sample.files[column].is_file() for sample in samples)):
        return None
    return PictureGeometry(size, resize, _exif(options, facts), column)


def _resize(options: argparse.Namespace, facts: RunFacts | None) -> Resize | None:
    if options.resize is None:
        return None if facts is None else facts.resize
    mode, _, anchor = options.resize.partition(",")
    return Resize(mode=mode, anchor=anchor or "center", short_side=options.short_side)


def _as_json(name: str, result: Result, images: int) -> str:
    values = {key: finite(value) for key, value in result.values.items()}
    answer = {
        "metric": name,
        "value": finite(result.value),
        "score": finite(result.score),
        "values": values,
        "images": images,
    }
    return json.dumps(answer, indent=2, allow_nan=False) + "\n"


def _as_text(name: str, result: Result, images: int) -> str:
    shown = "none" if result.score is None else f"{result.score:.6f}"
    lines = [f"{name}: value {result.value:.6f}, score {shown}, {images} images"]
    lines += [f"  {key:24} {value:.6f}" for key, value in result.values.items()]
    return "\n".join(lines) + "\n"


RESIZES = ("stretch", "letterbox", "letterbox,top_left", "center_crop")


def _parser() -> argparse.ArgumentParser:
    parser = CommandParser(
        prog="slimai metric",
        description="Score dumped blobs without running a network.",
        epilog=EPILOG,
    )
    add = parser.add_argument
    add("--metric-cls", required=True, help="name of a metric, or of a plug-in class")
    add("--metric-input", default="", help="its settings, as in metric.metric_input")
    add("--octrl", type=Path, required=True, help="output_control.octrl: names and order of the outputs")
    add("--imagelist", type=Path, required=True, help="list of the images (and their labels) that were run")
    add("--blobs", type=Path, required=True, help="folder of the blobs to score")
    add("--ref", type=Path, help="folder of the float network's blobs, for cosine and use_float")
    add("--count", type=int, help="score the first COUNT images only")
    add("--format", choices=("text", "json"), default="text", help="form of the answer")
    add("--image-dir", type=Path, help="folder of the pictures and labels (default: the list's)")
    add("--replace-output", help="output names in the metric's order, like '[boxes scores]'")
    add("--score-range", nargs=2, type=float, metavar=("LO", "HI"), help="values that become the scores 0 and 1")
    add("--layout", choices=("NCHW", "NHWC", "NonImage"), help="layout of the network's input")
    add("--input-size", metavar="W:H", help="size of the network's input, when metric_input does not say it")
    add("--resize", choices=RESIZES, help="how pictures were brought to that size; boxes go back in the same way")
    add("--exif", choices=("apply", "ignore"), help="whether pictures were turned as EXIF says")
    add("--annotation-exif", choices=("turned", "stored"), help="as metric.annotation_exif")
    add("--short-side", type=int, help="short side before a center_crop")
    return parser
