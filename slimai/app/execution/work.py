"""What a worker does: it opens the job once, then runs whatever work it is handed, in any process or Ray actor."""

from __future__ import annotations

import platform
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from slimai.runtime.session import runtime_version

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Arrays = dict[str, NDArray[Any]]


class Spec(Protocol):
    """Plain values that another process can be sent, and that become an opened job there."""

    def open(self, stopped: Callable[[], bool]) -> Any:
        """Return what `Work.run` gets."""
        ...

    def seen(self) -> bool:
        """Return whether this machine sees the files that opening and the work read."""
        ...


class Work(Protocol):
    """Something a worker can do: a plain value that other processes and machines can be sent."""

    @property
    def machine_bits(self) -> bool:
        """Whether the last bits of the result depend on the machine's processor and ONNX Runtime."""
        ...

    def run(self, worker: Any) -> Any:
        """Return the result, a plain value too."""
        ...


class Handle(Protocol):
    """A value that was sent once; any worker can get it, read-only, in any number of works."""

    def get(self) -> Any:
        """Return the value."""
        ...


Share = Callable[[Any], Handle]  # puts a value where all workers can get it


class Carrier(Protocol):
    """Makes, in the main process, what a worker gets that does not see the run's files: values in their place."""

    def spec(self) -> Spec:
        """Return what opens the job without its files; SlimaiError where this job cannot do without."""
        ...

    def work(self, work: Any, share: Share) -> Work:
        """Return the work with what it would read; values that several works need are put once, by `share`."""
        ...


class Opener:
    """A worker that opens the job with its first work, so that what is wrong reaches the caller; one a process.

    stopped: says when nobody waits for its work any more.
    """

    def __init__(self, spec: Spec, stopped: Callable[[], bool] = lambda: False) -> None:
        self._spec = spec
        self._stopped = stopped
        self._worker: Any = None

    def do(self, work: Work) -> Any:
        """Return the result of the work."""
        if self._worker is None:
            self._worker = self._spec.open(self._stopped)
        return work.run(self._worker)


def machine() -> str:
    """Return what decides the last bits of a float pass here: the processor's kind and ONNX Runtime's version."""
    wanted = ("model name", "flags", "Features", "CPU part")
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").partition("\n\n")[0].splitlines()
    except OSError:
        lines = [platform.processor()]
    kind = [line for line in lines if line.startswith(wanted)] or lines
    return "\n".join((platform.machine(), *kind, runtime_version()))
