"""A shipped network with its images, planned and compiled."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from slimai.app.opening.open_job import prepare
from slimai.calibration.collect import collect
from slimai.config.compose import compose_job, hydra_ready
from slimai.config.diagnose import judge
from slimai.data.loader import iter_batches
from slimai.quantizer.options import QuantOptions
from slimai.quantizer.planner import build_plan
from slimai.simulator.program import compile_plan


@dataclass
class Case:
    """A network of conf/model with statistics of a few images and some inputs."""

    job: Any
    stats: Any
    feeds: dict[str, np.ndarray]

    @classmethod
    def load(cls, *words, calibration=16, images=8):
        with hydra_ready():
            verdict = judge(compose_job(list(words)))
        assert verdict.config is not None, verdict
        job = prepare(verdict.config)
        stats = collect(job.graph, (feeds for _, feeds in batches(job, job.calibration[:calibration])), bins=2048)
        parts = [feeds for _, feeds in batches(job, job.validation[:images])]
        return cls(job, stats, {name: np.concatenate([part[name] for part in parts]) for name in job.graph.inputs})

    @property
    def graph(self):
        return self.job.graph

    @property
    def target(self):
        return self.job.config.target

    def plan(self, options):
        return build_plan(self.graph, self.stats, options, self.target)

    def program(self, options):
        return compile_plan(self.plan(options), self.target, arithmetic=self.target.arithmetic)


def batches(job, samples):
    return iter_batches(samples, job.preprocess, 4 if job.graph.batchable else 1)


@pytest.fixture(scope="session")
def load_case():
    return Case.load


@pytest.fixture(scope="session")
def digits():
    return Case.load("+model=mobilenet_digits")


@pytest.fixture(scope="session")
def level1():
    return QuantOptions(level=1)
