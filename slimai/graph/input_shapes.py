"""The shapes of a model's inputs: what the user gives, a batch of 1, and what the file says."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import onnx

from slimai.errors import Diagnostic, InputError
from slimai.graph.fixed_batch import dims_of
from slimai.suggest import suggest

ShapeCure = Callable[[str, Sequence[str]], str]


def in_configuration(name: str, sizes: Sequence[str]) -> str:
    """Return how a configuration gives the shape of an input."""
    return f"give its shape: network.input_node_name: {{{name}: {{shape: [{', '.join(sizes)}]}}}}"


def fix_input_shapes(
    model: onnx.ModelProto,
    given: Mapping[str, Sequence[int]],
    where: str,
    *,
    batch_of_one: bool,
    shape_cure: ShapeCure = in_configuration,
) -> None:
    """Set every input dimension: the given ones, then batch 1; what is still open is an error.

    batch_of_one: whether the first axis of a given shape is a batch where the model leaves it open or says 1.
    shape_cure: says how the user gives the shape of an input.
    """
    constants = {item.name for item in model.graph.initializer}
    inputs = {item.name: item for item in model.graph.input if item.name not in constants}
    problems = [
        Diagnostic(
            "the model has no such input" + suggest(name, list(inputs)),
            f"network.input_node_name.{name}.shape",
            file=where,
        )
        for name in given
        if name not in inputs
    ]
    for name, item in inputs.items():
        if not item.type.HasField("tensor_type"):
            problems.append(Diagnostic("only tensors can be inputs", name, item.type.WhichOneof("value"), "", where))
            continue
        found = dims_of(item)
        wanted = given.get(name)
        if wanted is not None and batch_of_one and _batch_axis(found, wanted):
            wanted = (1, *wanted[1:])
        shape, problem = _static_shape(name, found, wanted, where, shape_cure)
        problems.extend(problem)
        del item.type.tensor_type.shape.dim[:]
        for size in shape:
            item.type.tensor_type.shape.dim.add().dim_value = size
    if problems:
        raise InputError(problems)
    del model.graph.value_info[:]


def _batch_axis(found: list[int | str] | None, wanted: Sequence[int]) -> bool:
    """Return whether the first axis of an input is a batch: the model leaves it open, or holds it as 1."""
    if found is None or len(wanted) < 2:
        return len(wanted) > 1
    first = found[0] if found else 0
    return not isinstance(first, int) or first <= 1


def _static_shape(
    name: str, found: list[int | str] | None, wanted: Sequence[int] | None, where: str, shape_cure: ShapeCure
) -> tuple[list[int], list[Diagnostic]]:
    key = f"network.input_node_name.{name}.shape"
    if wanted is not None:
        shape = [int(size) for size in wanted]
        if min(shape, default=1) < 1:
            return shape, [Diagnostic("every size must be at least 1", key, shape)]
        if found is not None and len(found) != len(shape):
            return shape, [Diagnostic(f"the model's input has {len(found)} axes {found}", key, shape)]
        return shape, []
    if found is None:
        cure = shape_cure(name, ["1", "3", "224", "224"])
        return [], [Diagnostic("the model gives no shape for this input", name, suggestion=cure, file=where)]
    shape, problems = [], []
    for axis, size in enumerate(found):
        if isinstance(size, int) and size > 0:
            shape.append(size)
        elif axis == 0 and len(found) > 1:
            shape.append(1)
        else:
            example = [
                str(item) if isinstance(item, int) and item > 0 else "1" if place == 0 else "SIZE"
                for place, item in enumerate(found)
            ]
            cure = shape_cure(name, example)
            problems.append(Diagnostic(f"axis {axis} of this input has no fixed size", name, size, cure, where))
            shape.append(1)
    return shape, problems
