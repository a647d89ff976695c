"""Everything that can be wrong with a job's files, opened once before anything slow starts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from slimai.app.opening.dump_check import FIXED, check_dumps
from slimai.app.opening.job import Job
from slimai.app.opening.mix import read_mix
from slimai.blobs.names import safe_names
from slimai.data.image_list import parse_image_list
from slimai.errors import Diagnostic, InputError
from slimai.schema.root import SlimaiConfig

if TYPE_CHECKING:
    from slimai.data.preprocess import Preprocess
    from slimai.data.sample import Sample
    from slimai.graph.ir import Graph
    from slimai.graph.tflite.stored import StoredNetwork
    from slimai.metrics.base import Metric

T = TypeVar("T")


@dataclass
class _Findings:
    """Collects what independent steps find wrong, so that all of it is told at once."""

    errors: list[Diagnostic] = field(default_factory=list)
    warnings: list[Diagnostic] = field(default_factory=list)

    def attempt(self, step: Callable[[], T]) -> T | None:
        try:
            return step()
        except InputError as error:
            self.errors.extend(error.diagnostics)
            return None

    def sort(self, found: list[Diagnostic]) -> None:
        for item in found:
            (self.errors if item.severity == "error" else self.warnings).append(item)


def prepare(config: SlimaiConfig) -> Job:
    """Return the job of a validated configuration.

    Raises InputError with every mistake of model, image lists, images and metric at once.
    """
    findings = _Findings()
    if config.search.executor == "ray":
        findings.sort([problem] if (problem := ray_problem()) else [])
    graph, stored = findings.attempt(lambda: open_network(config)) or (None, None)
    calibration = _samples(config, "calibration", findings)
    validation = _samples(config, "validation", findings) or calibration
    preprocess = None if graph is None else findings.attempt(lambda: preprocessing(config, graph))
    metric = outputs = mix = None
    turned = 0
    steps = None if preprocess is None else sequence_steps(preprocess, validation)
    if graph is not None:
        mix = findings.attempt(lambda: read_mix(config, graph))
        outputs = findings.attempt(lambda: output_order(config, graph))
        findings.sort(_host_layers(graph) if config.codegen.language == "c" else [])
    if graph is not None and outputs is not None and not findings.errors:
        metric = findings.attempt(lambda: metric_for(config, graph, outputs, validation, steps))
    if graph is not None and outputs is not None:
        findings.attempt(lambda: _check_dumps(config, graph, outputs, (calibration, validation)))
    if preprocess is not None:  # of the lists that can be read; pictures are looked at whatever else is wrong
        placed, found = preprocess.survey((*calibration, *validation))
        findings.sort(found)
        check = getattr(metric, "check_samples", None)
        if check is not None and not findings.errors:
            findings.sort(check([replace(sample, geometry=placed.get(sample.files)) for sample in validation]))
        turned = sum(geometry is not None and geometry.orientation != 1 for geometry in placed.values())
    if findings.errors or graph is None or preprocess is None or metric is None or outputs is None or mix is None:
        raise InputError(findings.errors)
    findings.warnings.extend((*mix.warnings, *_overlap(calibration, validation)))
    warnings = tuple(findings.warnings)
    return Job(
        config, graph, preprocess, calibration, validation, metric, outputs, warnings, mix, stored, turned, steps
    )


def _host_layers(graph: Graph) -> list[Diagnostic]:
    """Return what keeps a network from becoming C, by node."""
    from slimai.quantizer.layers import layer_steps  # noqa: PLC0415 - spares numpy

    return [
        Diagnostic(
            f"node {step.name} ({step.node.op}) runs in float on the host: {step.host}",
            key="codegen.language",
            value="c",
            suggestion="leave the node to the application, or set codegen.language=none",
        )
        for step in layer_steps(graph)
        if step.host
    ]


def _check_dumps(
    config: SlimaiConfig, graph: Graph, outputs: tuple[str, ...], sets: tuple[tuple[Sample, ...], tuple[Sample, ...]]
) -> None:
    level = config.metric.output_debug
    check_dumps(outputs, graph, level, sets if level >= FIXED else sets[1:])


def reopen(config_json: str, calibration: tuple[Sample, ...], validation: tuple[Sample, ...]) -> Job:
    """Return a job that another process has prepared: nothing is checked again."""
    config = SlimaiConfig.model_validate_json(config_json)
    graph, stored = open_network(config)
    outputs = output_order(config, graph)
    preprocess = preprocessing(config, graph)
    steps = sequence_steps(preprocess, validation)
    metric = metric_for(config, graph, outputs, validation, steps)
    mix = read_mix(config, graph)
    return Job(config, graph, preprocess, calibration, validation, metric, outputs, (), mix, stored, steps=steps)


def sequence_steps(preprocess: Preprocess, samples: tuple[Sample, ...]) -> tuple[int, int] | None:
    """Return the fewest and the most steps of the samples' sequences, by their headers; None without sequences.

    A file that cannot be read is told by the survey of all of them.
    """
    try:
        return preprocess.step_range(samples)
    except InputError:
        return None


def open_network(config: SlimaiConfig) -> tuple[Graph, StoredNetwork | None]:
    """Return the network of the configuration in float, and with its integers when it is a pre-quantized one."""
    from slimai.graph.states import with_states  # noqa: PLC0415 - spares numpy

    declared = config.network.input_node_name
    if config.network.model_type == "float":
        return with_states(load_network(config), declared), None
    from slimai.graph.tflite.load import load_tflite  # noqa: PLC0415 - spares numpy
    from slimai.quantizer.prequantized import require_level  # noqa: PLC0415 - spares numpy

    network = config.network
    stored = load_tflite(network.input_model, name=network.name, cut_outputs=network.cut_outputs)
    for level in config.quantization.accuracy_level:
        require_level(stored, level)
    stored = replace(stored, graph=with_states(stored.graph, declared))
    return stored.graph, stored


def load_network(config: SlimaiConfig) -> Graph:
    """Return the float network of the configuration."""
    from slimai.graph.load import load_onnx  # noqa: PLC0415 - spares numpy, onnx

    given = {name: node.shape for name, node in config.network.input_node_name.items() if node.shape}
    return load_onnx(
        config.network.input_model,
        input_shapes=given,
        name=config.network.name,
        batch_of_one=True,
        pictures=_Pictures(config),
        cut_outputs=config.network.cut_outputs,
    )


class _Pictures:
    """The inputs that hold pictures, by what the configuration says of each or of all."""

    def __init__(self, config: SlimaiConfig) -> None:
        self._network = config.network

    def __contains__(self, name: object) -> bool:
        """Return whether the input's layout is that of a picture."""
        from slimai.graph.states import named_as_state  # noqa: PLC0415 - spares numpy

        node = self._network.input_node_name.get(str(name))
        if (node is not None and node.state) or ((node is None or node.state is None) and named_as_state(str(name))):
            return False
        own = None if node is None else node.input_data_layout
        return (own or self._network.input_data_layout) != "NonImage"


def _samples(config: SlimaiConfig, which: str, findings: _Findings) -> tuple[Sample, ...]:
    path: Path | None = getattr(config.dataset, f"{which}_set")
    if path is None:
        return ()
    count: int | None = getattr(config.dataset, f"{which}_count")
    samples, found = parse_image_list(path, config.path.image_dir, count)
    findings.sort(found)
    return samples


def preprocessing(config: SlimaiConfig, graph: Graph) -> Preprocess:
    """Return what makes inputs of samples; raises InputError where the settings do not fit the network."""
    from slimai.data.preprocess import InputFacts, preprocess_for  # noqa: PLC0415 - spares numpy
    from slimai.graph.tokens import token_limits  # noqa: PLC0415 - spares numpy

    shapes = {name: graph.shape(name) for name in graph.inputs}
    tokens = token_limits(graph)
    facts = {}
    for name in graph.inputs:
        low, high, reader = tokens.get(name, (0, 0, ""))
        dtype, limits = graph.tensors[name].dtype, (low, high) if name in tokens else None
        facts[name] = InputFacts(dtype, name in graph.states, limits, reader)
    return preprocess_for(config.network, shapes, facts)


def output_order(config: SlimaiConfig, graph: Graph) -> tuple[str, ...]:
    """Return the outputs that `metric.replace_output` names, each once, in its order; without it the graph's.

    Outputs that it leaves out stay in the network; metric, dumps and analysis do not see them.
    """
    wanted = config.metric.replace_output
    safe = safe_names(graph.outputs)
    if not wanted:
        return graph.outputs
    by_name = {**{safe[name]: name for name in graph.outputs}, **{name: name for name in graph.outputs}}
    unknown = [name for name in wanted if name not in by_name]
    if unknown or len({by_name.get(name) for name in wanted}) != len(wanted):
        wrong = f"the network has no output '{unknown[0]}'" if unknown else "names an output twice"
        raise InputError(
            Diagnostic(
                wrong,
                key="metric.replace_output",
                value=list(wanted),
                suggestion="the outputs are " + " ".join(graph.outputs),
            )
        )
    return tuple(by_name[name] for name in wanted)


def metric_for(
    config: SlimaiConfig,
    graph: Graph,
    outputs: tuple[str, ...],
    samples: tuple[Sample, ...],
    steps: tuple[int, int] | None = None,
) -> Metric:
    """Return the metric of the configuration, the labels of `samples` read; raises InputError with what is wrong.

    steps: the fewest and the most of the samples' sequences, None without sequences.
    """
    from slimai.graph.samples import sample_shape  # noqa: PLC0415 - spares numpy
    from slimai.metrics.base import MetricContext  # noqa: PLC0415 - spares numpy
    from slimai.metrics.create import create_metric  # noqa: PLC0415 - spares numpy

    section = config.metric
    shapes = [sample_shape(graph.shape(name)) for name in outputs]
    if steps is not None:
        shapes = [(1, steps[1], *shape[1:]) for shape in shapes]
    context = MetricContext(
        outputs=outputs,
        shapes=tuple(shapes),
        image_dir=config.path.image_dir,
        base_dir=config.base_dir,
        network_class=config.network.network_class,
        input_layout=config.network.input_data_layout,
        input_size=_input_size(config, graph),
        samples=samples,
        annotation_fit=getattr(section, "annotation_fit", "auto"),
        exif=config.network.exif,
        annotation_exif=getattr(section, "annotation_exif", "turned"),
    )
    return create_metric(
        section.metric_cls,
        getattr(section, "metric_input", None),
        context,
        score_range=section.score_range,
    )


def _input_size(config: SlimaiConfig, graph: Graph) -> tuple[int, int] | None:
    shape = graph.shape(graph.inputs[0])
    layout = config.network.input_data_layout
    if layout == "NonImage" or len(shape) != 4:
        return None
    return (shape[3], shape[2]) if layout == "NCHW" else (shape[2], shape[1])


def _overlap(calibration: tuple[Sample, ...], validation: tuple[Sample, ...]) -> list[Diagnostic]:
    if calibration is validation:
        return []
    shared = {sample.files for sample in calibration} & {sample.files for sample in validation}
    if not shared:
        return []
    return [
        Diagnostic(
            f"{len(shared)} of {len(validation)} validation images are calibration images too: scores are optimistic",
            key="dataset.validation_set",
            suggestion="score on images that calibration has not seen",
            severity="warning",
        )
    ]


def ray_problem() -> Diagnostic | None:
    """Return why Ray cannot be used here, or None."""
    if find_spec("ray") is not None:
        return None
    return Diagnostic(
        "Ray is not installed",
        key="smart_search.executor",
        value="ray",
        suggestion="install slimai[ray], or set smart_search.executor=processes",
    )
