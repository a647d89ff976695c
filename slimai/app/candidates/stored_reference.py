"""What stands in for the float network of a pre-quantized job: its own integers as stored, dequantized."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from slimai.app.opening.job import Job
from slimai.quantizer.prequantized import level_as_stored, preset_as_stored, stored_plan
from slimai.simulator.program import compile_plan

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from slimai.graph.tflite.stored import StoredNetwork
    from slimai.simulator.program import Program

    Arrays = Mapping[str, NDArray[Any]]

_REFERENCE = "the network's own integers (level {}, weights as stored), dequantized"
ADVICE = "its parameters are stored in the model: quantize the network again"


def stored_network(job: Job) -> StoredNetwork:
    """Return the stored network of a job that has one."""
    if job.stored is None:
        raise ValueError("the job's network is not a pre-quantized one")
    return job.stored


def reference_text(job: Job) -> str:
    """Return what the "float" result of the job is the result of."""
    return _REFERENCE.format(level_as_stored(stored_network(job)))


def reference_program(job: Job) -> Program:
    """Return the program of the reference: every parameter as stored."""
    plan = stored_plan(stored_network(job), keep_asymmetric_weights=True)
    target = job.config.target
    return compile_plan(plan, target, arithmetic=preset_as_stored(plan, target))


def reference_runner(job: Job) -> Callable[[Arrays], dict[str, Any]]:
    """Return the function from float inputs to the dequantized outputs of the reference."""
    program = reference_program(job)
    return lambda feeds: program.dequantize(program.samples(feeds))
