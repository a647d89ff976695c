"""The settings of a draft: what files settle, what a trial on labelled samples decides, what is only usual."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from slimai.app.draft.array_grid import search_grid
from slimai.app.draft.guess import LIKELY, SURE, UNSURE, WORTH, Guess, by_trial
from slimai.app.draft.metric import FITS, Task, fitted, network_class, picture_tasks, tasks
from slimai.app.draft.model import InputFacts
from slimai.app.draft.preprocessing import begins_normalized, normalizations, resizes, stored_normalization
from slimai.app.draft.samples import Shares
from slimai.app.draft.trial import Bench, Tried, preferred
from slimai.app.draft.values import LABEL_LIST, Frame
from slimai.data.sample import Sample

Settings = Mapping[str, Any]
PICTURES, CLASS_PICTURES, ARRAYS, BOXED = 12, 48, 64, 64  # samples of a trial; of the estimate of anchors
ANCHORS = "metric.metric_input.anchors"

__all__ = ["Choice", "choose"]


@dataclass(frozen=True)
class Choice:
    """What the draft says.

    network: settings of the inputs. edits: (key, what to do) of what is known to be a stand-in.
    """

    network: Settings
    task: Task
    guesses: tuple[Guess, ...]
    notes: tuple[str, ...] = ()
    edits: tuple[tuple[str, str], ...] = ()


def choose(frame: Frame, shares: Shares) -> Choice:
    """Return the settings for the samples and labels of `frame`."""
    material = frame.material
    facts, labels = material.facts, material.labels
    kind, why = network_class(facts)
    cosine = Task(kind, {"metric_cls": "cosine"}, why)
    fixed = (*_shapes(frame), *_levels(frame))
    if labels.kind == "none":
        network, guesses = _usual(frame, kind)
        plain = _class_guess(kind, UNSURE if kind == "Other" else LIKELY, why)
        score = Guess("metric.metric_cls", "cosine", SURE, "no labels: outputs are compared with the float network's")
        return Choice(network, cosine, (*fixed, plain, *guesses, score))
    readings = tasks(facts, labels, LABEL_LIST)
    tried, bench = _tried(frame, shares, readings)
    if not tried or tried[0].score < WORTH:
        pictures, _ = _tried(frame, shares, picture_tasks(facts, labels))
        tried = max(tried, pictures, key=lambda found: found[0].score if found else 0.0)
    if not tried:
        network, guesses = _usual(frame, kind)
        unread = f"no metric reads its outputs {_outputs(frame)} with these labels"
        reason = bench.refused[0] if bench.refused else unread
        score = Guess("metric.metric_cls", "cosine", UNSURE, f"the labels could not be used: {reason}")
        return Choice(network, cosine, (*fixed, _class_guess(kind, UNSURE, why), *guesses, score), (score.why,))
    return _chosen(frame, tried, fixed)


def _class_guess(kind: str, how: str, why: str) -> Guess:
    return Guess("network.class", kind, how, why)


def _outputs(frame: Frame) -> str:
    return ", ".join(f"{name} {list(shape)}" for name, shape in frame.material.facts.outputs.items())


def _shapes(frame: Frame) -> list[Guess]:
    facts = frame.material.facts
    guesses = []
    for item in facts.inputs:
        key = (
            f"network.input_node_name.{item.name}.input_data_layout"
            if len(facts.inputs) > 1
            else ("network.input_data_layout")
        )
        how = SURE if item.sure else LIKELY
        guesses.append(Guess(key, item.layout, how, f"input '{item.name}' is {list(item.shape)}"))
        if item.name in facts.chosen:
            why = "the model leaves its sizes open; this is the pictures' size, or 224 where they have several"
            guesses.append(Guess(f"network.input_node_name.{item.name}", str(list(item.shape)), UNSURE, why))
    return guesses


def _levels(frame: Frame) -> list[Guess]:
    facts = frame.material.facts
    if facts.quantized:
        why = "a quantized network: its roundings are compared"
        return [Guess("quantization.accuracy_level", "0, 2, 3", SURE, why)]
    return [Guess("quantization.accuracy_level", "1, 3", SURE, "8 bits: symmetric and asymmetric activations")]


def _usual(frame: Frame, kind: str) -> tuple[Settings, list[Guess]]:
    """Return settings that nothing was tried for, and what they rest on."""
    facts = frame.material.facts
    settings = {item.name: _first_settings(frame, item, kind) for item in facts.inputs}
    single = len(facts.inputs) == 1
    guesses: list[Guess] = []
    for item in facts.inputs:
        own = settings[item.name]
        head = "network" if single else f"network.input_node_name.{item.name}"
        if item.limits is not None:
            continue  # whole numbers are taken as they are
        stored = stored_normalization(item) is not None
        how, why = (SURE, "the file's own quantization of the input") if stored else _no_trial(frame, item, kind)
        guesses.append(Guess(f"{head}.mean", _pair(own), how, why))
        if own.get("channel_order") in ("RGB", "BGR"):
            guesses.append(Guess(f"{head}.channel_order", own["channel_order"], UNSURE, "the usual order"))
        if own.get("resize") is not None:
            guesses.append(Guess(f"{head}.resize", _text(own["resize"]), UNSURE, f"usual for class {kind}"))
    return (settings[facts.inputs[0].name] if single else settings), guesses


def _no_trial(frame: Frame, item: InputFacts, kind: str) -> tuple[str, str]:
    if item.layout == "NonImage":
        return LIKELY, "arrays are taken as they are"
    if begins_normalized(frame.material.facts):
        return LIKELY, "the graph itself scales its input"
    return UNSURE, f"the most usual of class {kind}; labels would let it be tried"


def _first_settings(frame: Frame, item: InputFacts, kind: str) -> dict[str, Any]:
    if item.limits is not None:
        return {"input_data_layout": item.layout}
    if item.size is None:
        base: dict[str, Any] = {"mean": 0, "stddev": 1}
    else:
        base = normalizations(frame.material.facts, kind, item.channels)[0]
        base["resize"] = resizes(kind, item.size, list(frame.material.sizes.values()))[0]
    return {"input_data_layout": item.layout, **base, **(stored_normalization(item) or {})}


def _pair(settings: Settings) -> str:
    return f"mean {_text(settings['mean'])}, stddev {_text(settings['stddev'])}"


def _text(value: Any) -> str:
    if isinstance(value, Mapping):
        return " ".join(f"{part}" if key == "mode" else f"{key}={part}" for key, part in value.items())
    return "none" if value is None else str(value)


def _tried(frame: Frame, shares: Shares, readings: Sequence[Task]) -> tuple[list[Tried], Bench]:
    """Return the combinations that were tried, best first, and the bench."""
    facts = frame.material.facts
    classes = bool(readings) and readings[0].network_class == "Classification"
    item = facts.inputs[0]
    count = ARRAYS if item.layout == "NonImage" and classes else CLASS_PICTURES if classes else PICTURES
    bench = Bench(facts.graph, _samples(frame, shares, count), frame.values)
    if not readings:
        return [], bench
    kind = readings[0].network_class
    if len(facts.inputs) > 1:
        return bench.best([_usual(frame, kind)[0]], readings), bench
    if item.size is None:
        return _with_arrays(frame, bench, readings), bench
    sizes = list(frame.material.sizes.values())
    first = _first_settings(frame, item, kind)
    stored = stored_normalization(item) or {}
    norms = [{**first, **norm, **stored} for norm in normalizations(facts, kind, item.channels)]
    norms = [norm for at, norm in enumerate(norms) if norm not in norms[:at]]
    doubtful = kind == "Detection" and all(size == item.size for size in sizes)
    plain = [norm for norm in norms if norm["channel_order"] != "BGR"]
    for fits in (FITS,) if doubtful else (FITS[:1], FITS[1:]):
        found = bench.best(plain, [fitted(task, fit) for fit in fits for task in readings])
        if found or kind != "Detection":
            break
    if found:
        turned = [norm for norm in norms if _same_pair(norm, found[0].network) and norm["channel_order"] == "BGR"]
        found = preferred([*found, *bench.best(turned, [found[0].task])])
    for resize in resizes(kind, item.size, sizes)[1:] if found else ():
        found = preferred([*found, *bench.best([{**found[0].network, "resize": resize}], [found[0].task])])
    if found and found[0].task.heads:  # anchors want more boxes than a comparison does
        alike = [norm for norm in norms if _norm(norm) == _norm(found[0].network)]
        rivals = [{**norm, "resize": resize} for resize in resizes(kind, item.size, sizes) for norm in alike]
        wide = Bench(facts.graph, _samples(frame, shares, BOXED), frame.values)
        rest = [one for one in found if one.network not in rivals or _reading(one) != _reading(found[0])]
        found = [*wide.best(rivals, [found[0].task]), *rest]
    return found, bench


def _same_pair(one: Settings, other: Settings) -> bool:
    """Return whether two settings, the first in BGR, mean the same normalization."""
    return all((one[key][::-1] if isinstance(one[key], list) else one[key]) == other[key] for key in ("mean", "stddev"))


def _with_arrays(frame: Frame, bench: Bench, readings: Sequence[Task]) -> list[Tried]:
    """Return what arrays score as they are and, where they are integers, with a mean and stddev that are searched."""
    item = frame.material.facts.inputs[0]
    base = _first_settings(frame, item, readings[0].network_class)
    found = bench.best([base], readings)
    if not found or item.limits is not None or stored_normalization(item) is not None or not bench.integers():
        return found
    task = found[0].task

    def score(settings: list[dict[str, Any]]) -> list[float]:
        ran = (bench.best([{**base, **each}], [task]) for each in settings)
        return [each[0].score if each else 0.0 for each in ran]

    mean, stddev = search_grid(score)
    return preferred([*found, *bench.best([{**base, "mean": mean, "stddev": stddev}], [task])])


def _samples(frame: Frame, shares: Shares, count: int) -> list[Sample]:
    """Return the first labelled samples, as their list would."""
    material = frame.material
    return [
        Sample(
            index,
            tuple(frame.images / part for part in material.lines[name].split(",")),
            (material.label(name),) if material.label(name) else (),
        )
        for index, name in enumerate(shares.validation[:count])
    ]


def _chosen(frame: Frame, tried: Sequence[Tried], fixed: Sequence[Guess]) -> Choice:
    best = tried[0]
    single = len(frame.material.facts.inputs) == 1
    labels = frame.material.labels
    guesses = [*fixed, _class_guess(best.task.network_class, SURE, best.task.why)]
    item = frame.material.facts.inputs[0]
    if single and item.limits is None:
        guesses += _network_guesses(item, tried)
    else:
        guesses += _usual(frame, best.task.network_class)[1]
    how, why = by_trial(tried, _reading, _text)
    shown = f"the float network has {best.shown:.4f} on {best.images} samples"
    guesses.append(Guess("metric.metric_cls", best.task.metric["metric_cls"], SURE, shown))
    head = best.task.input.get("custom_pp")
    if head:
        guesses.append(Guess("metric.metric_input.custom_pp", head, how, why))
    for key in ("data_offset", "axis", "threshold", "range"):
        if key in best.task.input and not (key == "threshold" and head):
            guesses.append(Guess(f"metric.metric_input.{key}", str(best.task.input[key]), how, why))
    if labels.names and labels.kind != "coco":
        place = "metric.metric_input.voc_labels" if "voc_labels" in best.task.input else "labels"
        known = SURE if labels.sure else UNSURE
        guesses.append(Guess(place, f"{len(labels.names)} classes", known, labels.order))
    edits = _edits(best)
    return Choice(best.network, best.task, tuple(guesses), edits=edits)


def _network_guesses(item: InputFacts, tried: Sequence[Tried]) -> list[Guess]:
    best = tried[0].network
    stored = stored_normalization(item) is not None
    how, why = (
        (SURE, "the file's own quantization of the input")
        if stored
        else by_trial(tried, lambda item: _norm(item.network), _text)
    )
    guesses = [Guess("network.mean", _pair(best), how, why)]
    if best.get("channel_order") in ("RGB", "BGR"):
        guesses.append(Guess("network.channel_order", best["channel_order"], *by_trial(tried, _order, _text)))
    if best.get("resize") is not None:
        guesses.append(Guess("network.resize", _text(best["resize"]), *by_trial(tried, _resize, _text)))
    return guesses


def _norm(network: Settings) -> str:
    """Return mean and stddev of an input as text, in the order RGB."""
    turned = [network["mean"], network["stddev"]]
    if network.get("channel_order") == "BGR":
        turned = [value[::-1] if isinstance(value, list) else value for value in turned]
    return f"mean {_text(turned[0])}, stddev {_text(turned[1])}"


def _order(tried: Tried) -> Any:
    return tried.network.get("channel_order")


def _resize(tried: Tried) -> Any:
    return tried.network.get("resize")


def _reading(tried: Tried) -> str:
    hidden = ("instances", "annotations", "labels", "voc_labels", "classes", "anchors", "input_size", "priors")
    inside = {key: value for key, value in tried.task.input.items() if key not in hidden}
    return " ".join(f"{key}={value}" for key, value in inside.items()) or str(tried.task.metric["metric_cls"])


def _edits(best: Tried) -> tuple[tuple[str, str], ...]:
    if best.boxes is None:
        return ()
    count, whole = best.boxes
    few = f"partly stand-ins ({count} labelled boxes are too few)"
    state = f"estimated from {count} labelled boxes" if whole else few
    return ((ANCHORS, f"anchors are not in the model; these are {state}: put in the network's own"),)
