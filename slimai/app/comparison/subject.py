"""What a word of the command line names: a run, a quantized model, a device's dump, a profile."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from slimai.app.delivery.finished import FinishedRun, finished_run
from slimai.errors import InputError
from slimai.graph.names import profile_names
from slimai.quantizer.planner import layer_kinds
from slimai.quantizer.quantized_file import SUFFIXES, load_quantized
from slimai.schema.target import TargetSection
from slimai.simulator.program import Program, compile_plan

Kind = Literal["run", "model", "dump", "profile"]
_PROFILES = (".yaml", ".yml")


@dataclass(frozen=True)
class Subject:
    """kind and place; of a folder of C inside a run the place is the run's."""

    kind: Kind
    path: Path


def subject_of(path: Path) -> Subject:
    """Return what `path` is.

    Raises:
        InputError: it is not there, is a multirun, or nothing that can be compared.
    """
    if not path.exists():
        raise InputError.at(str(path), "is not there", cure="give a run's folder, a quantized model, or a board's dump")
    if not path.is_dir():
        return _file(path)
    if (path / "multirun.json").is_file():
        jobs = sorted(item.name for item in path.glob("job*") if (item / "run.json").is_file())
        cure = f"compare its jobs, as {path / jobs[0]}" if jobs else "it has no finished job"
        raise InputError.at(str(path), "is the folder of a multirun", cure=cure)
    if (path / "run.json").is_file() or (path / "run.lock.yaml").is_file():
        return Subject("run", path)
    if (path / "memory.json").is_file() and any(path.glob("*_kernels.h")):
        if (path.resolve().parent / "run.json").is_file():
            return Subject("run", path.resolve().parent)
        cure = "give the run or the model that it was written from"
        raise InputError.at(str(path), "is the C of a network, which does not hold its graph", cure=cure)
    if any(path.glob("*.blob")):
        return Subject("dump", path)
    raise InputError.at(str(path), "holds neither run.json nor .blob files", cure="give a run or a folder of blobs")


def _file(path: Path) -> Subject:
    if path.suffix == ".npz":
        return Subject("dump", path)
    if path.suffix in SUFFIXES:
        return Subject("model", path)
    if path.suffix in _PROFILES:
        return Subject("profile", path)
    cure = "give a folder, .npz, .onnx, .tflite or a profile .yaml"
    raise InputError.at(str(path), "is nothing that can be compared", path.suffix, cure=cure)


@dataclass(frozen=True, eq=False)
class Network:
    """A compiled network. names: tensor of the plan -> profile name. run: where it comes from one."""

    program: Program
    target: TargetSection
    arithmetic: str
    names: Mapping[str, str]
    run: FinishedRun | None = None


def network_of(subject: Subject, arithmetic: str | None = None) -> Network:
    """Return the integer network of a run or of a quantized model.

    arithmetic: one preset for all layers of a model; default `native`, of a TFLite model what LiteRT computes.

    Raises:
        InputError: the run is not finished, of another version, or not what its model computes; the model cannot be
            read; a run is given an arithmetic.
    """
    if subject.kind == "run":
        if arithmetic is not None:
            raise InputError.at("--arithmetic", "is the run's own", arithmetic, cure="leave it out")
        run = finished_run(subject.path)
        program = compile_plan(load_quantized(run.model), run.target, arithmetic=run.arithmetic)
        run.require_same_integers(program.table())
        return Network(program, run.target, run.arithmetic, _names(program), run)
    target = TargetSection()
    stored = subject.path.suffix == ".tflite" and arithmetic in (None, "native")
    preset = target.native.asym8 if stored else arithmetic or "native"
    program = compile_plan(load_quantized(subject.path), target, arithmetic=preset)
    return Network(program, target, preset, _names(program))


def _names(program: Program) -> dict[str, str]:
    """Return tensor -> profile name; a network read from a file has those of the run that wrote it."""
    plan = program.plan
    made = profile_names(plan.graph, layer_kinds(plan.graph))
    given = plan.profile_names
    return {
        name: made.get(name, name) if given.get(name, name) == name else given[name]
        for name in (*plan.graph.inputs, *(name for layer in plan.layers for name in layer.outputs))
        if name in plan.tensors
    }
