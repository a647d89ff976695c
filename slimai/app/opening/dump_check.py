"""Whether the blobs that a job asks for can be written, looked at before anything slow."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from slimai.blobs.names import check_blob_names
from slimai.errors import Diagnostic, InputError

if TYPE_CHECKING:
    from slimai.data.sample import Sample
    from slimai.graph.ir import Graph

OUTPUTS, FIXED, LAYERS = 1, 2, 3  # output_debug from which each kind of file is written
BLOB_AXES = 4


def blob_rank(graph: Graph, name: str) -> int:
    """Return how many axes of a tensor a blob has to hold; the steps of a sequence stand in front."""
    from slimai.graph.samples import sample_shape  # noqa: PLC0415 - spares numpy

    shape = graph.shape(name)
    return len(sample_shape(shape) if graph.sequences else shape)


def check_dumps(job_outputs: Sequence[str], graph: Graph, level: int, sets: Iterable[Sequence[Sample]]) -> None:
    """Raise InputError where blobs of this job would share a file name or cannot be written as a blob.

    sets: the image sets whose outputs are dumped, each into its own folder.
    """
    if level < OUTPUTS:
        return
    errors = [
        Diagnostic(
            f"the output has {blob_rank(graph, name)} dimensions, a blob at most {BLOB_AXES}",
            key=name,
            suggestion="set metric.output_debug=0, or reshape this output in the network",
        )
        for name in job_outputs
        if blob_rank(graph, name) > BLOB_AXES
    ]
    errors += [
        Diagnostic(
            "the output has no element, and a blob at least one",
            key=name,
            value=list(graph.shape(name)),
            suggestion="set metric.output_debug=0, or remove this output from the network",
        )
        for name in job_outputs
        if 0 in graph.shape(name)
    ]
    for samples in sets:
        try:
            check_blob_names([sample.stem for sample in samples], job_outputs)
        except InputError as error:
            errors.extend(error.diagnostics)
    if errors:
        raise InputError(dict.fromkeys(errors))
