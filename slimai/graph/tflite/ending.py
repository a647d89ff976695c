"""A file's network that ends earlier: what computes nothing but later tensors is left out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from slimai.errors import Diagnostic, InputError
from slimai.graph.tflite.file import FileModel
from slimai.graph.tflite.naming import unique_names
from slimai.suggest import suggest

KEY = "network.cut_outputs"


def ended(model: FileModel, outputs: Sequence[str], where: str) -> FileModel:
    """Return the model whose outputs are these tensors, in this order; the model as it is without any.

    Raises:
        InputError: tensors that no operator computes, all at once.
    """
    if not outputs:
        return model
    numbers = {name: number for number, name in enumerate(unique_names(model))}
    writers = {number: op for op in model.operators for number in op.outputs}
    made = [name for name, number in numbers.items() if number in writers]
    unknown = [name for name in outputs if name not in made]
    if unknown:
        message = "no operator of the model computes this tensor"
        raise InputError([Diagnostic(message + suggest(name, made), KEY, name, "", where) for name in unknown])
    wanted = {numbers[name] for name in outputs}
    waiting, handed_on = list(wanted), dict(model.states)
    while waiting:
        number = waiting.pop()
        if number in handed_on and handed_on[number] not in wanted:  # what a state takes over is computed as well
            wanted.add(handed_on[number])
            waiting.append(handed_on[number])
        op = writers.get(number)
        fresh = set(op.inputs if op is not None else ()) - wanted
        wanted |= fresh
        waiting += fresh
    kept = tuple(op for op in model.operators if not wanted.isdisjoint(op.outputs))
    inputs = tuple(number for number in model.inputs if number in wanted)
    states = tuple(pair for pair in model.states if pair[0] in wanted)
    ends = dict.fromkeys((*(numbers[name] for name in outputs), *(number for _, number in states)))
    return replace(model, operators=kept, inputs=inputs, outputs=tuple(ends), states=states)
