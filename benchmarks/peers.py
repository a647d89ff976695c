"""The accuracy and time tables beside other quantizers, each in an environment of its own, in one command.

Usage: SLIMAI_SHARED=../shared python benchmarks/peers.py [--peers ort,nncf,aimet,onnxsim,quark] [--networks a,b]
       [--images N] [--calibration N] [--work peers_work] [--no-time] [--again]

For each peer a virtual environment is made below --work; slimai, from this checkout, and the newest version of the peer
that goes with it are installed there; accuracy.py measures the peer, and peer_times.py what it takes. slimai itself is
measured in the environment that this runs in. An installation or a network that fails is a row with its reason. What
has been installed, or measured with the same settings, is not done again: a run that was stopped goes on, and a tool
that failed is tried anew. --again forgets all of it.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import venv
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
LAST_LINES = 400  # of what an installer or a measurement has said, in which its reason is looked for


@dataclass(frozen=True)
class Peer:
    """packages: what is installed beside slimai. methods: what accuracy.py is asked for."""

    name: str
    packages: tuple[str, ...]
    methods: tuple[str, ...]

    def asked(self) -> str:
        """Return the methods as accuracy.py takes them."""
        return ",".join(f"{self.name}:{method}" for method in self.methods)


NNCF = ("mixed", "performance", "mixed+bc", "mixed+tensor", "performance+tensor", "mixed+tensor+bc")
QUARK = ("A8W8", "INT8_CNN_DEFAULT", "XINT8", "A8W8+channel", "INT8_CNN_DEFAULT+channel")
# Quark imports torch and reads onnxruntime's inner parts; the bound is that of its own extra `cli`
PEERS = (
    Peer("ort", ("onnxruntime",), ("MinMax", "Percentile", "Entropy")),
    Peer("nncf", ("nncf",), NNCF),
    Peer("aimet", ("aimet-onnx",), ("min_max", "tf_enhanced", "tf_enhanced+cle")),
    Peer("onnxsim", ("onnxsim",), ("minmax", "percentile", "mse")),
    Peer("quark", ("amd-quark", "torch", "onnxruntime<=1.28.0"), QUARK),
)
OURS = Peer("slimai", (), ("100", "p99.99", "ImprovedMSE"))


@dataclass
class Result:
    """What became of a peer. failed: why it could not be installed or measured, or empty. scores: file of the rows."""

    peer: Peer
    versions: dict[str, str] = field(default_factory=dict)
    rows: list[dict[str, Any]] = field(default_factory=list)
    times: dict[str, Any] = field(default_factory=dict)
    failed: str = ""
    scores: Path | None = None


def reason(text: str) -> str:
    """Return the line of a tool's last words that says why it failed: an error, else the last one that is not empty."""
    lines = [line.strip() for line in text.splitlines()[-LAST_LINES:] if line.strip()]
    errors = [line for line in lines if line.startswith("ERROR:") or _raised(line)]
    return (errors or lines or ["it said nothing"])[-1][:300]


def _raised(line: str) -> bool:
    """Return whether a line is the last one of a traceback: the name of an exception and its message."""
    name = line.partition(":")[0]
    return name.rpartition(".")[2].endswith(("Error", "Exception", "SystemExit")) and " " not in name


class Environment:
    """A peer's virtual environment below `work`, made and filled once."""

    def __init__(self, peer: Peer, work: Path, run: Callable[..., Any] = subprocess.run) -> None:
        self.peer = peer
        self.folder = work / peer.name
        self.python = self.folder / "bin" / "python"
        self._run = run

    def install(self) -> str:
        """Make it; return why that failed, or an empty string."""
        done = self.folder / "installed"
        if done.is_file():
            return ""
        shutil.rmtree(self.folder, ignore_errors=True)
        venv.create(self.folder, with_pip=True)
        said = self._said([self.python, "-m", "pip", "install", "--quiet", str(HERE.parent), *self.peer.packages])
        if said is not None:
            return f"does not install: {said}"
        done.write_text("", encoding="utf-8")
        return ""

    def versions(self) -> dict[str, str]:
        """Return the versions of what was asked for, and of what it runs on."""
        wanted = [re.split("[<>=!~ ]", package)[0] for package in self.peer.packages]
        names = list(dict.fromkeys([*wanted, "onnxruntime", "onnx", "numpy"]))
        told = f"{{name: version(name) for name in {names}}}"
        code = f"import json\nfrom importlib.metadata import version\nprint(json.dumps({told}))"
        done = self._run([self.python, "-c", code], capture_output=True, text=True, check=False)
        return dict(json.loads(done.stdout)) if done.returncode == 0 else {}

    def measure(self, script: str, *words: str) -> str:
        """Run a script of this folder; return why that failed, or an empty string."""
        return self._said([self.python, str(HERE / script), *words]) or ""

    def _said(self, command: Sequence[Any]) -> str | None:
        """Return the reason of a command's failure, None where it did not fail."""
        surroundings = {**os.environ, "PYTHONPATH": str(HERE.parent)}  # this checkout, which may have changed since
        done = self._run([str(word) for word in command], env=surroundings, capture_output=True, text=True, check=False)
        return None if done.returncode == 0 else reason(f"{done.stdout}\n{done.stderr}")


class Here(Environment):
    """The environment that this runs in."""

    def __init__(self, peer: Peer, work: Path) -> None:
        super().__init__(peer, work)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.python = Path(sys.executable)

    def install(self) -> str:
        """Return an empty string: it is there."""
        return ""


def measured(place: Environment, given: argparse.Namespace) -> Result:
    """Return what a peer scores and takes, measured now or earlier."""
    result = Result(place.peer)
    result.failed = place.install()
    if result.failed:
        return result
    result.versions = place.versions()
    words = _words(place.peer, given)
    scores, times = place.folder / f"scores-{_digest(words)}.json", place.folder / "times.json"
    if not scores.is_file():
        part = scores.with_suffix(".part")
        result.failed = place.measure("accuracy.py", *words, "--json", str(part))
        rows = json.loads(part.read_text(encoding="utf-8")) if part.is_file() else []
        if not result.failed and not any("failed" in row for row in rows):  # what failed is tried again
            part.rename(scores)
        scores = part if part.is_file() else scores
    if scores.is_file():
        result.scores, result.rows = scores, json.loads(scores.read_text(encoding="utf-8"))
    if not given.no_time and not times.is_file():
        failed = place.measure("peer_times.py", place.peer.asked().partition(",")[0], "--json", str(times))
        result.failed = "; ".join(filter(None, [result.failed, failed and f"times: {failed}"]))
    result.times = json.loads(times.read_text(encoding="utf-8")) if times.is_file() else {}
    return result


def _digest(words: Sequence[str]) -> str:
    return hashlib.sha256("\n".join(words).encode()).hexdigest()[:12]


def _words(peer: Peer, given: argparse.Namespace) -> list[str]:
    common = ["--images", str(given.images), "--calibration", str(given.calibration)]
    if given.networks:
        common += ["--networks", given.networks]
    if peer is OURS:
        return [*common, "--peers", "", "--levels", "3", "--methods", ",".join(peer.methods)]
    return [*common, "--levels", "", "--peers", peer.asked()]


def table(results: Sequence[Result]) -> Iterator[str]:
    """Yield the lines of the tables: versions and failures, the score of each network, and times in F."""
    yield "| tool | versions | failed |"
    yield "|---|---|---|"
    for item in results:
        versions = ", ".join(f"{name} {number}" for name, number in item.versions.items())
        yield f"| {item.peer.name} | {versions or '-'} | {item.failed or '-'} |"
    networks = list(dict.fromkeys(row["network"] for item in results for row in item.rows))
    yield ""
    yield f"| tool, method | {' | '.join(networks)} |"
    yield f"|---|{'---|' * len(networks)}"
    yield f"| float | {' | '.join(_float(results, name) for name in networks)} |"
    for item in results:
        for method in dict.fromkeys(row["method"] for row in item.rows):
            cells = [_cell(item.rows, method, name) for name in networks]
            yield f"| {item.peer.name} {method} | {' | '.join(cells)} |"
    timed = [item for item in results if item.times]
    if timed:
        yield ""
        yield "| tool, method | quantizing, F a calibration image | a simulated image, F | F, ms |"
        yield "|---|---|---|---|"
    for item in timed:
        found = item.times
        yield f"| {found['what']} | {found['quantize']:.1f} | {found['image']:.2f} | {found['forward_ms']:.2f} |"


def _float(results: Sequence[Result], network: str) -> str:
    found = next(row["float"] for item in results for row in item.rows if row["network"] == network)
    return f"{found[0]:.4f}"


def _cell(rows: Sequence[dict[str, Any]], method: str, network: str) -> str:
    """Return the score at level 3, or that it failed (accuracy.py's summary says why)."""
    for row in rows:
        if (row["method"], row["network"]) == (method, network):
            return "failed" if "failed" in row else f"{row['3'][0]:.4f}"
    return "-"


def chosen(names: str) -> list[Peer]:
    """Return the peers of a comma list.

    Raises:
        SystemExit: one is not known.
    """
    known = {peer.name: peer for peer in PEERS}
    wanted = [name for name in names.split(",") if name]
    for name in wanted:
        if name not in known:
            raise SystemExit(f"--peers: there is no such peer (got {name}); take some of {', '.join(known)}")
    return [known[name] for name in wanted]


def main() -> None:
    """Install, measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--peers", default=",".join(peer.name for peer in PEERS))
    parser.add_argument("--networks", default="", help="of accuracy.py; default: all that it has")
    parser.add_argument("--images", type=int, default=0, help="validation images a network (0: all)")
    parser.add_argument("--calibration", type=int, default=32, help="calibration images (0: all)")
    parser.add_argument("--work", type=Path, default=Path("peers_work"), help="folder of environments and figures")
    parser.add_argument("--no-time", action="store_true", help="scores alone")
    parser.add_argument("--again", action="store_true", help="forget what was installed and measured before")
    given = parser.parse_args()
    peers = chosen(given.peers)
    if given.again:
        shutil.rmtree(given.work, ignore_errors=True)
    work = given.work.resolve()
    results = []
    for place in [Here(OURS, work), *(Environment(peer, work) for peer in peers)]:
        print(f"{place.peer.name} ...", file=sys.stderr, flush=True)
        results.append(measured(place, given))
    print("\n".join(table(results)))
    failures = [row for item in results for row in item.rows if "failed" in row]
    for row in failures:
        print(f"{row['network']}: {row['aids']} {row['method']} failed: {row['failed']}")
    scored = [str(item.scores) for item in results if item.scores is not None]
    subprocess.run([sys.executable, str(HERE / "accuracy.py"), "--from", *scored], check=True)


if __name__ == "__main__":
    main()
