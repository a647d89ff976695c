"""What a run says about what serves as reference, and about turned pictures."""

from __future__ import annotations

from slimai.app.candidates.stored_reference import reference_text
from slimai.app.opening.job import Job


def reference_note(job: Job) -> tuple[str, ...]:
    """Return one line about a reference that is not the float network."""
    if job.stored is None:
        return ()
    return (f'pre-quantized network: nothing is calibrated; the reference ("float") is {reference_text(job)}',)


def outputs_note(job: Job) -> tuple[str, ...]:
    """Return one line about the outputs that `metric.replace_output` leaves out."""
    left = [name for name in job.graph.outputs if name not in job.outputs]
    return (f"outputs that metric.replace_output leaves out: {', '.join(left)}",) if left else ()


def turned_note(job: Job) -> tuple[str, ...]:
    """Return one line about the pictures that their EXIF orientation turns."""
    if not job.turned:
        return ()
    return (f"{job.turned} pictures are turned as EXIF says (network.exif: ignore reads them as they are stored)",)


def states_note(job: Job) -> tuple[str, ...]:
    """Return one line about the inputs that are states, and one about sequences."""
    graph, declared = job.graph, job.config.network.input_node_name
    told = []
    for name, output in graph.states.items():
        known = name in declared and declared[name].state
        told.append(f"{name} takes over {output}" + ("" if known else " (by their names; state: false is against it)"))
    lines = [f"states: {'; '.join(told)}"] if told else []
    if graph.sequences:
        fewest, most = job.steps or (0, 0)
        steps = f"{fewest} to {most}" if fewest < most else str(most)
        count = "" if job.steps is None else f", {steps} steps a validation sample"
        lines.append(f"sequences: {', '.join(graph.sequences)}{count}; states begin anew with every sample")
    return tuple(lines)
