"""What a run leaves for a person to look at: debug dumps, per-layer analysis, the report."""

from __future__ import annotations

import platform
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

import slimai
from slimai.app.candidates.room import Room
from slimai.app.candidates.stored_reference import ADVICE
from slimai.app.delivery.dumps import LAYER_FOLDER, Dumps, dumped_layers, remove_layer_blobs
from slimai.app.delivery.layer_facts import layer_facts, memory_table, proof_table
from slimai.app.delivery.remedy_programs import RemedyPrograms
from slimai.app.delivery.score_alone import score_losses, score_of_first
from slimai.app.delivery.suggestions import commands, suggested, write_suggested
from slimai.app.delivery.worst_images import worst_images
from slimai.app.float_pass.local import float_runner
from slimai.app.float_pass.notes import states_note, turned_note
from slimai.app.opening.batch_sizes import float_batch
from slimai.app.opening.content_keys import content_keys
from slimai.app.opening.dump_check import FIXED, LAYERS, OUTPUTS
from slimai.artifacts.cache import content_key
from slimai.data.loader import iter_batches
from slimai.quantizer.known_layers import KnownLayers
from slimai.report import document
from slimai.report.alone import AloneRounding, images_for, scored_images
from slimai.report.analysis import Analyser, batch_for
from slimai.report.page import write_page
from slimai.report.pictures import pair
from slimai.report.probes import probes as probe
from slimai.report.ranking import SUSPECTS, Trials, by_loss, rank
from slimai.report.reach import reach_notes
from slimai.report.together import together
from slimai.runtime.memory import return_freed
from slimai.schema.root import MACHINE_KEYS
from slimai.search.evaluate import batches
from slimai.search.events import Reporter
from slimai.simulator.cost import estimate

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from slimai.app.candidates.quantizer import QuantizedCandidate, Quantizer
    from slimai.app.delivery.deliver import Delivery
    from slimai.app.opening.job import Job
    from slimai.graph.ir import Graph
    from slimai.report.pictures import Pair
    from slimai.report.probes import Probe
    from slimai.report.ranking import Remedy, Suspect
    from slimai.search.candidate import Candidate
    from slimai.search.evaluate import Validation
    from slimai.search.loop import SearchState
    from slimai.simulator.program import Program

    Arrays = Mapping[str, NDArray[Any]]

ANALYSIS = 3  # counted up with what the analysis saves: an earlier one is made again
ANALYSED, ANALYSED_LATE = 32, 4  # images of the per-layer analysis; after the time limit
TRIED = 4  # images on which remedies are tried
SHOWN, SEARCHED = 4, 256  # worst images shown, and images that they are looked for in
PACKAGES = ("numpy", "onnx", "onnxruntime", "numba", "pydantic", "hydra-core", "pillow")


@dataclass(frozen=True)
class Findings:
    """What the analysis of the delivered candidate found.

    useful: the remedies that help beside each other, worst first. alone: noise over signal of the outputs by the tensor
    that alone is rounded. scored: images that the loss of the score by single tensors was looked at with.
    """

    analyser: Analyser
    suspects: tuple[Suspect, ...]
    useful: tuple[Remedy, ...]
    probes: tuple[Probe, ...]
    alone: Mapping[str, float]
    scored: int


def first_dumps(job: Job, reporter: Reporter) -> None:
    """Write what is known before anything is quantized: the lists; and the calibration set's float outputs."""
    dumps = Dumps(job)
    dumps.lists()
    for line in dumps.notes():
        reporter.line(line)
    if dumps.level < FIXED:
        return
    run, batch = float_runner(job), float_batch(job, job.graph, job.calibration)
    with reporter.stage("dump calibration outputs", len(job.calibration)) as stage:
        for samples, feeds in iter_batches(job.calibration, job.preprocess, batch):
            dumps.float_outputs(dumps.output / dumps.name, samples, run(feeds))
            stage.advance(len(samples))


def reference_dumps(job: Job, validation: Validation) -> None:
    """Write the float outputs of the validation set, where the level asks for them."""
    dumps = Dumps(job)
    if dumps.level < OUTPUTS:
        return
    for indices in batches(range(len(validation.samples)), validation.batch):
        samples = [validation.samples[index] for index in indices]
        outputs = validation.reference.pick(indices, validation.outputs)
        dumps.float_outputs(dumps.reference_folder, samples, outputs)


class Inspection:
    """Writes the debug files and the report of one run, beside its results."""

    def __init__(
        self, job: Job, delivery: Delivery, quantizer: Quantizer, reporter: Reporter, memory_limit: int
    ) -> None:
        self.job, self.delivery, self.quantizer, self.reporter = job, delivery, quantizer, reporter
        self.room = Room(memory_limit, self._spare)
        self._rounding: AloneRounding | None = None
        self.dumps = Dumps(job)

    def _spare(self) -> None:
        """Forget weights that no program holds, memory that no array lies in, and sessions that can be made again."""
        if self._rounding is not None:
            self._rounding.release()
        self.quantizer.store.clear()
        self.quantizer.pool.clear()

    def finish(self, validation: Validation, state: SearchState) -> None:
        """Write the outputs that the level asks for, analyse what is delivered and write the report."""
        reference_dumps(self.job, validation)
        if self.dumps.level >= FIXED:
            self._fixed_outputs(validation, state)
        delivered = self.delivery.choice(state).delivered
        if delivered is None:
            return
        for candidate in {delivered.candidate, *(item.candidate for item in state.outcomes)}:
            remove_layer_blobs(self.candidate_folder(candidate))  # of another best, before an interruption
        known = KnownLayers()
        item = self.quantizer(delivered.candidate, known)
        late = bool(state.cut_short)
        key = self._key(item, late=late)
        if self.dumps.level >= LAYERS or document.saved_key(self.delivery.output) != key:
            findings = self._analyse(item, known, validation, late=late)
            if self.dumps.level >= LAYERS:
                self.dumps.similarity(findings.analyser.rows())
            self.room.make()
            self._save(item, findings, self._worst(item, validation), key)
            item.release()
            self.room.make()
        saved = document.load(self.delivery.output)
        write_suggested(self.job.config, saved["suggested"])
        self.delivery.tell_hurts(saved["suspects"], tuple(saved["suggested"]))
        self.delivery.results(state)
        self.delivery.report = write_page(self.delivery.output)

    def _key(self, item: QuantizedCandidate, *, late: bool) -> str:
        """Return the hash of what the analysis depends on: an equal one is not made again."""
        keys = content_keys(self.job, self.quantizer.edits)
        every = self.dumps.level >= LAYERS
        settings = config_text(self.job.config)
        return content_key(ANALYSIS, keys.score, keys.plan, item.candidate, item.key, late, every, settings)

    def _fixed_outputs(self, validation: Validation, state: SearchState) -> None:
        """Write every candidate's fixed-point outputs; equal integers are run once."""
        groups: dict[str, list[Candidate]] = {}
        for outcome in state.outcomes:
            item = self.quantizer(outcome.candidate)
            groups.setdefault(item.key, []).append(outcome.candidate)
        with self.reporter.stage("dump fixed-point outputs", len(groups) * len(validation.samples)) as stage:
            for members in groups.values():
                item = self.quantizer(members[0])
                folders = [self.candidate_folder(candidate) for candidate in members]
                for samples, outputs in fixed_batches(item.program, validation):
                    self.dumps.fixed_outputs(folders, samples, outputs, item.plan)
                    stage.advance(len(samples))

    def candidate_folder(self, candidate: Candidate) -> Path:
        """Return the folder of a candidate's fixed-point outputs: its profile's name without suffix."""
        return self.delivery.folder(candidate) / candidate.profile(self.dumps.name)

    def _analyse(self, item: QuantizedCandidate, known: KnownLayers, validation: Validation, *, late: bool) -> Findings:
        """Return what two integer forwards an image tell of each layer; `late`: the time limit has passed."""
        graph, _ = self.quantizer.networks.get(self.quantizer.aids(item.candidate).rewrites)
        analyser = Analyser(graph, item.program)
        every = self.dumps.level >= LAYERS
        count = len(validation.samples)
        shown = min(count, ANALYSED_LATE if late else ANALYSED)
        if every:
            self.reporter.line(self.dumps.check_room(item.plan, count))
        trials: Trials | None = None  # of few images of the first batch
        batch: Trials | None = None
        probes: tuple[Probe, ...] = ()
        with self.reporter.stage("analyse layers", count if every else shown) as stage:
            for indices in batches(range(count if every else shown), batch_for(graph)):
                feeds = validation.inputs.pick(indices)
                self.room.make()
                sink = self._layer_sink(item, [validation.samples[index] for index in indices]) if every else None
                truth, _ = analyser.add(feeds, single=indices[0] < shown, sink=sink)
                if every:
                    self._float_layers(item, analyser, [validation.samples[index] for index in indices], truth)
                if trials is None and not late and self.job.stored is None:
                    rebuild = RemedyPrograms(self.quantizer, item, known, self.room)
                    batch = Trials(feeds, {name: truth[name] for name in graph.outputs}, rebuild)
                    trials = batch.first(TRIED)
                stage.advance(len(indices))
                del truth
        analyser.finish()
        return_freed()
        self.room.make()
        if trials is not None:
            probes = probe(graph, item.plan, trials.feeds, trials.truth)
        rounding = self._rounding = None if trials is None else AloneRounding(graph, item.plan)
        self.room.make()
        alone = {} if trials is None or rounding is None else self._alone(item, graph, trials, rounding)
        self.room.make()
        suspects = self._ranking(item, analyser, trials, alone)
        if rounding is None:
            return Findings(analyser, suspects, (), probes, alone, 0)
        scored = min(count, scored_images(item.plan, len(suspects)))
        tensors = [suspect.row.tensor for suspect in suspects if rounding.has(suspect.row.tensor)]
        with self.reporter.stage("score tensors alone", scored if tensors else 0) as stage:
            losses = score_losses(rounding, tensors, validation, self.job.metric, scored, stage.advance)
        rounding.release()
        self.room.make()
        suspects = by_loss(suspects, losses)
        return Findings(
            analyser, suspects, self._useful(suspects, batch, validation), probes, alone, scored if losses else 0
        )

    def _useful(self, suspects: Sequence[Suspect], batch: Trials | None, validation: Validation) -> tuple[Remedy, ...]:
        """Return the remedies of the suspects that help beside each other, on the first batch of the images."""
        changes = [suspect.change for suspect in suspects if suspect.change is not None]
        if batch is None or not changes:
            return ()
        with self.reporter.stage("try them together", len(changes)) as stage:
            score = partial(score_of_first, validation=validation, metric=self.job.metric)
            return tuple(together(changes, batch, score, stage.advance))

    def _alone(
        self, item: QuantizedCandidate, graph: Graph, trials: Trials, rounding: AloneRounding
    ) -> dict[str, float]:
        """Return what each tensor, rounded alone, does to the outputs, on a few of the images of the trials."""
        count = images_for(graph, item.plan)
        with self.reporter.stage("round tensors alone", len(rounding.grids)) as stage:
            rounding.add({name: values[:count] for name, values in trials.feeds.items()}, stage.advance)
        return rounding.ratios()

    def _float_layers(
        self, item: QuantizedCandidate, analyser: Analyser, samples: Sequence[Any], truth: Arrays
    ) -> None:
        """Write the float values of the layers that `_layer_sink` writes, under the same names and in the same units.

        They are those of the network that was quantized: equalization and clustering scale channels inside it.
        """
        folder = self.dumps.reference_folder / LAYER_FOLDER
        names = dumped_layers(item.plan)[0]
        self.dumps.float_outputs(folder, samples, {name: truth[analyser.source(name)] for name in names})

    def _layer_sink(self, item: QuantizedCandidate, samples: Sequence[Any]) -> Any:
        folder = self.candidate_folder(item.candidate) / LAYER_FOLDER
        fitting = set(dumped_layers(item.plan)[0])

        def sink(outputs: Arrays) -> None:
            kept = {name: values for name, values in outputs.items() if name in fitting}
            self.dumps.fixed_outputs([folder], samples, kept, item.plan)

        return sink

    def _ranking(
        self, item: QuantizedCandidate, analyser: Analyser, trials: Trials | None, alone: Mapping[str, float]
    ) -> tuple[Suspect, ...]:
        with self.reporter.stage("try remedies", SUSPECTS if trials is not None else 0) as stage:
            rows = analyser.rows()
            found = rank(rows, item.plan, analyser.graph, item.stats, item.program, trials, stage.advance, alone)
        if self.job.stored is None:
            return found

        return tuple(replace(suspect, remedy=ADVICE) for suspect in found)

    def _worst(self, item: QuantizedCandidate, validation: Validation) -> list[Pair]:
        """Return pictures of the images that lose most by quantization."""
        count = min(SEARCHED, len(validation.samples))
        part = replace(validation, samples=validation.samples[:count])
        found = worst_images(item.program, part, self.job.metric, SHOWN)
        pairs = []
        for index, reason in found:
            floats = validation.reference.pick([index])
            made = item.program.samples(validation.inputs.pick([index]))
            fixed = item.program.dequantize(made)
            outputs = tuple([each[name] for name in validation.outputs] for each in (floats, fixed))
            pairs.append(pair(self.job.metric, validation.samples[index], reason, (outputs[0], outputs[1])))
        return pairs

    def _save(self, item: QuantizedCandidate, findings: Findings, pairs: list[Pair], key: str) -> None:
        config = self.job.config
        rows = findings.analyser.rows()
        facts = layer_facts(item.plan, config.target, self.quantizer.arithmetic(item.plan), program=item.program)
        shown = [*self.job.graph.inputs, *(row.tensor for row in rows)]
        given = suggested(item, self.quantizer, findings.suspects, findings.useful)
        document.save(
            self.delivery.output,
            {
                "key": key,
                "profile": f"{item.candidate.profile(self.dumps.name)}.yaml",
                "level": item.candidate.level,
                "analysed": findings.analyser.images,
                "config": config_text(config),
                "environment": environment(),
                "arithmetics": sorted(set(item.program.arithmetic.values())),
                "layers": document.layer_table(rows, findings.alone),
                "network": document.network_table(item.plan),
                "suspects": document.suspect_table(findings.suspects, given.pastes),
                "scored_alone": findings.scored,
                "suggested": dict(given.files),
                "commands": commands(config, item.candidate, list(given.files), None),
                "probes": document.probe_table(findings.probes),
                "proofs": proof_table(facts),
                "memory": memory_table(facts.memory),
                "histograms": document.histograms(item.stats, shown),
                "cost": document.cost_table(estimate(item.plan, config.target, config.performance)),
                "pictures": document.picture_table(pairs),
                "changes": list(self.job.graph.history),
                "refusals": list(self.job.graph.refusals),
                "notes": [
                    *states_note(self.job),
                    *turned_note(self.job),
                    *(f"{note.where}: {note.what} ({note.why})" for note in item.plan.decisions),
                    *reach_notes(findings.analyser.reach, item.plan.tensors, item.plan.profile_names),
                ],
            },
        )


def fixed_batches(program: Program, validation: Validation) -> Iterator[tuple[list[Any], Arrays]]:
    """Yield (samples, integers of the outputs in the metric's order) of all validation images."""
    for indices in batches(range(len(validation.samples)), validation.batch):
        found = program.samples(validation.inputs.pick(indices))
        yield [validation.samples[index] for index in indices], {name: found[name] for name in validation.outputs}


def environment() -> dict[str, str]:
    """Return the versions that a result may depend on; nothing about the machine's name or the time."""
    found = {"slimai": slimai.__version__, "python": platform.python_version(), "system": platform.system()}
    found["machine"] = platform.machine()
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found


def config_text(config: Any) -> str:
    """Return the settings that decide what is computed, as YAML."""
    data = config.model_dump(mode="json", by_alias=True)
    for key in (*MACHINE_KEYS, "path.input_dir"):  # the model's path is whole
        section, _, name = key.rpartition(".")
        place = data.get(section) if section else data
        if isinstance(place, dict):
            place.pop(name or key, None)
    return str(yaml.safe_dump(data, sort_keys=False, allow_unicode=True))
