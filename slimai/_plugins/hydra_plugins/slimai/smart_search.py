"""``hydra/sweeper=smart_search``: the best combination of any overrides, by score, without running all of them.

Coordinate descent: one override after the other takes its best value while the others keep theirs, until a
round changes nothing. The number of jobs is about the sum of the choices instead of their product; with
``strategy=exhaustive`` it is the product. The configuration's own levels and ranges stay inside one job.
"""

from __future__ import annotations

import json
import logging
import math
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hydra.core.config_store import ConfigStore
from hydra.core.plugins import Plugins
from hydra.core.utils import JobStatus
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf

from slimai.config.sweep_axes import Axes, Point, read_axes

log = logging.getLogger(__name__)


NODE = {
    "_target_": "hydra_plugins.slimai.smart_search.SmartSearchSweeper",
    "strategy": "coordinate",  # or exhaustive
    "time_limit": None,  # seconds after which no job is begun
    "max_rounds": 5,
}
ConfigStore.instance().store(group="hydra/sweeper", name="smart_search", node=NODE, provider="slimai")


class SmartSearchSweeper(Sweeper):
    """Launches jobs in batches and reads the score that each returns."""

    def __init__(self, strategy: str = "coordinate", time_limit: float | None = None, max_rounds: int = 5) -> None:
        if strategy not in ("coordinate", "exhaustive"):
            raise ValueError(f"hydra.sweeper.strategy: one of coordinate, exhaustive (got {strategy!r})")
        self.strategy = strategy
        self.time_limit = time_limit
        self.max_rounds = max_rounds
        self._scores: dict[Point, float] = {}
        self._jobs: list[dict[str, Any]] = []
        self._axes = Axes()

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Keep what launching needs."""
        self.hydra_context = hydra_context  # the base class reads both
        self.config = self.hydra_config = config
        self.jobs_launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )

    def sweep(self, arguments: list[str]) -> dict[str, Any]:
        """Return the best overrides with their score, after running what the strategy asks for."""
        folder = Path(self.hydra_config.hydra.sweep.dir)
        folder.mkdir(parents=True, exist_ok=True)
        OmegaConf.save(self.hydra_config, folder / "multirun.yaml")
        self._axes = read_axes(arguments, self.hydra_context.config_loader if self.hydra_context else None)
        self._started = time.monotonic()
        best = self._exhaustive() if self.strategy == "exhaustive" else self._coordinate()
        chosen = self._axes.overrides(best)
        found = {"best": chosen, "score": _plain(self._scores.get(best)), "jobs": self._jobs}
        (folder / "smart_search.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
        log.info("smart_search: best of %d jobs: %s", len(self._jobs), " ".join(chosen))
        return found

    def _exhaustive(self) -> Point:
        points: list[Point] = [()]
        for values in self._axes.values:
            points = [(*point, index) for point in points for index in range(len(values))]
        self._run(points)
        return self._best(points)

    def _coordinate(self) -> Point:
        point: Point = tuple(0 for _ in self._axes.keys)
        self._run([point])
        for _ in range(self.max_rounds):
            before = point
            for axis, values in enumerate(self._axes.values):
                line = [(*point[:axis], index, *point[axis + 1 :]) for index in range(len(values))]
                self._run(line)
                point = self._best(line)
            if point == before or self._late():
                break
        return point

    def _best(self, points: Sequence[Point]) -> Point:
        """Return the point with the highest score; ties go to the earlier one, failures come last."""
        return max(points, key=lambda point: self._scores.get(point, -math.inf))

    def _late(self) -> bool:
        return self.time_limit is not None and time.monotonic() - self._started >= self.time_limit

    def _run(self, points: Sequence[Point]) -> None:
        """Launch the points that have no score yet, unless the time is over."""
        new = [point for point in points if point not in self._scores]
        if not new or (self._late() and self._scores):
            return
        batch = [self._axes.overrides(point) for point in new]
        self.validate_batch_is_legal(batch)
        results = self.jobs_launcher.launch(batch, initial_job_idx=len(self._jobs))
        for point, overrides, result in zip(new, batch, results, strict=True):
            value = result.return_value if result.status == JobStatus.COMPLETED else None
            known = isinstance(value, int | float) and math.isfinite(value)
            self._scores[point] = float(value) if known else -math.inf  # type: ignore[arg-type]
            self._jobs.append({"overrides": overrides, "score": _plain(self._scores[point])})


def _plain(score: float | None) -> float | None:
    return None if score is None or math.isinf(score) else score
