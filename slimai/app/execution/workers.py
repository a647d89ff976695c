"""What a pool of workers is, and which one the settings ask for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Protocol

from slimai.app.execution.processes import Processes
from slimai.app.execution.ray_actors import Actors
from slimai.app.execution.work import Carrier, Spec, Work
from slimai.schema.smart_search import SmartSearchSection


class Pool(Protocol):
    """Workers that each open the job once."""

    def run(self, work: Iterable[Work]) -> Iterator[Any]:
        """Yield the results in the order of the work, which is taken from the iterable when there is room for it."""
        ...

    def carried_by(self, carrier: Carrier) -> None:
        """Let workers that do not see the run's files get what they would read from `carrier`."""
        ...

    def open(self, work: Work) -> None:
        """Let every worker do this, the opening of what follows, and return at once."""
        ...

    def ready(self) -> bool:
        """Return whether the workers have opened what they were told; raise what went wrong there."""
        ...

    def same_machine(self) -> bool:
        """Return whether a float pass gives the same bits on every worker as in this process."""
        ...

    def close(self) -> None:
        """Stop the workers; work that has not begun is forgotten."""
        ...


def start_pool(spec: Spec, settings: SmartSearchSection) -> Pool:
    """Return the workers that the settings ask for."""
    if settings.executor == "ray":
        return Actors(spec, settings.workers)
    return Processes(spec, settings.workers)
