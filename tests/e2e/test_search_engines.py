"""Existing engines: Ray under the search; joblib, submitit, ray launchers and the Optuna sweeper under Hydra.

Each needs an optional extra and is skipped, by name, without it. docs/search.md holds the versions tried.
"""

from __future__ import annotations

import json
import os
import secrets
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import psutil
import pytest

BASE = (
    "+model=mobilenet_digits",
    "quantization.weight_rounding=nearest",
    "dataset.validation_count=32",
    "smart_search.seed=0",
)
pytestmark = pytest.mark.slow
LAUNCHERS = {
    "joblib": ("hydra-joblib-launcher", ("hydra/launcher=joblib", "hydra.launcher.n_jobs=2")),
    "submitit": ("hydra-submitit-launcher", ("hydra/launcher=submitit_local", "hydra.launcher.timeout_min=10")),
    "ray-launcher": ("hydra-ray-launcher", ("hydra/launcher=ray", "+hydra.launcher.ray.init.num_cpus=2")),
}


def need(distribution: str, extra: str) -> None:
    try:
        version(distribution)
    except PackageNotFoundError:
        pytest.skip(f"{distribution} is not installed (extra slimai[{extra}])")


def results(output):
    """Return the bytes of the files that every engine must give alike."""
    names = ("run.json", "FixedPoint_Results.txt", "BestProfile.txt", "mobilenet_digits_quant.npz")
    return {name: (output / name).read_bytes() for name in names}


@pytest.mark.parametrize("strategy", ["exhaustive", "racing"])
def test_ray_actors_give_the_bytes_of_one_process(slimai, tmp_path, cache_dir, strategy):
    need("ray", "ray")
    words = (
        *BASE,
        "quantization.accuracy_level=[0,3]",
        "quantization.range=92:100:8",
        f"path.tmp_dir={cache_dir}",
        f"smart_search.strategy={strategy}",
    )
    one = slimai(*words, f"path.output_dir={tmp_path / 'one'}")
    assert one.returncode == 0, one.stderr
    ray = slimai(*words, f"path.output_dir={tmp_path / 'ray'}", "smart_search.executor=ray", "smart_search.workers=2")
    assert ray.returncode == 0, ray.stderr
    assert results(tmp_path / "one") == results(tmp_path / "ray")


# as sitecustomize of every process: tells, at the first import of ONNX Runtime, whether its telemetry is off by then
WATCH = """
import os, sys
class Watch:
    def find_spec(self, name, path=None, target=None):
        if name == "onnxruntime":
            kind = "actor" if any("default_worker" in word for word in sys.orig_argv) else "main"
            with open(os.environ["TELEMETRY_LOG"], "a") as log:
                log.write(f"{kind} {os.getpid()} {os.environ.get('ORT_DISABLE_TELEMETRY')}\\n")
sys.meta_path.insert(0, Watch())
"""


def test_telemetry_is_off_in_ray_actors_before_onnx_runtime_is_imported(slimai, tmp_path, cache_dir, monkeypatch):
    need("ray", "ray")
    log = tmp_path / "log"
    (tmp_path / "sitecustomize.py").write_text(WATCH, encoding="utf-8")
    monkeypatch.setenv("TELEMETRY_LOG", str(log))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")]))
    monkeypatch.delenv("ORT_DISABLE_TELEMETRY", raising=False)
    words = (
        *BASE,
        "quantization.accuracy_level=[0,3]",
        f"path.tmp_dir={cache_dir}",
        f"path.output_dir={tmp_path / 'out'}",
    )
    ran = slimai(*words, "smart_search.executor=ray", "smart_search.workers=2", timeout=600)
    assert ran.returncode == 0, ran.stderr
    told = {tuple(line.split()) for line in log.read_text(encoding="utf-8").splitlines()}
    assert {value for _, _, value in told} == {"1"}, told
    assert len({process for kind, process, _ in told if kind == "actor"}) == 2, told


RACE = (
    *BASE,
    "quantization.accuracy_level=[0,3]",
    "quantization.range=92:100:8",
    "dataset.calibration_count=37",
    "smart_search.strategy=racing",
)
# a run whose workers take even the smallest float pass, and that tells what they are handed
SHARING = """
import sys, time
from slimai.app.execution import crew
from slimai.app.float_pass import shared
from slimai.app.opening import batch_sizes
from slimai.app.cli import main
from slimai.app.execution.ray_actors import Actors

batch_sizes.MOST_IMAGES = 5
crew.LEAST_SAVING, crew.START_SECONDS, crew.PART_SECONDS = -1.0, 0.0, 0.0
plain = Actors.run

def run(self, work):
    def told():
        for item in work:
            print("handed", type(item).__name__, flush=True)
            yield item
    return plain(self, told())

def ready(self):
    while not plain_ready(self):
        time.sleep(0.02)
    return True

plain_ready, Actors.ready, Actors.run = Actors.ready, ready, run
sys.exit(main(sys.argv[1:]))
"""


def share(tmp_path, *words):
    command = [sys.executable, "-c", SHARING, *map(str, words)]
    return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False)


@pytest.fixture(scope="module")
def cluster():
    """Start a Ray cluster of one node with two CPUs, closed to others by a token; return what joins it.

    That is environment variables. The cluster is stopped afterwards. It has a folder of its own, where other starts of
    Ray do not look for a running cluster; the name is short because Ray's sockets lie in it.
    """
    need("ray", "ray")
    token = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with tempfile.TemporaryDirectory(prefix="ray", dir="/tmp", ignore_cleanup_errors=True) as folder:
        words = (f"--port={port}", "--node-ip-address=127.0.0.1", "--num-cpus=2", f"--temp-dir={folder}")
        log = Path(folder) / "head.log"
        with log.open("w") as file:
            head = subprocess.Popen(
                [
                    *(Path(sys.executable).with_name("ray"), "start", "--head", "--block"),
                    *(*words, "--include-dashboard=false", "--disable-usage-stats"),
                ],
                stdout=file,
                stderr=subprocess.STDOUT,
                env={**{name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"}, **token},
            )
        try:
            end = time.monotonic() + 120
            while "Ray runtime started" not in log.read_text():
                assert head.poll() is None, log.read_text()
                assert time.monotonic() < end, log.read_text()
                time.sleep(0.5)
            yield {**token, "RAY_ADDRESS": f"127.0.0.1:{port}"}
            assert head.poll() is None, "a run that joined the cluster has stopped it"
        finally:
            stop(head)


def stop(head):
    """End a cluster's head and what it started."""
    family = psutil.Process(head.pid).children(recursive=True) if head.poll() is None else []
    head.terminate()
    head.wait(timeout=60)
    for process in family:
        with suppress(psutil.NoSuchProcess):
            process.kill()


def join(cluster, monkeypatch):
    for name, value in cluster.items():
        monkeypatch.setenv(name, value)


def test_a_cluster_is_joined_through_its_address(cluster, slimai, tmp_path, monkeypatch):
    """Calibration, float reference and search on actors of a cluster that was there before and stays."""
    words = (*RACE, "smart_search.workers=1", f"path.output_dir={tmp_path / 'one'}")
    one = slimai(*words, f"path.tmp_dir={tmp_path / 'cache1'}")
    assert one.returncode == 0, one.stderr
    join(cluster, monkeypatch)
    words = (*RACE, "smart_search.executor=ray", "smart_search.workers=2", f"path.output_dir={tmp_path / 'ray'}")
    ray = share(tmp_path, *words, f"path.tmp_dir={tmp_path / 'cache2'}")
    assert ray.returncode == 0, ray.stderr
    handed = ray.stdout.splitlines()
    caches = [sorted((tmp_path / name).glob("*.stats.npz")) for name in ("cache1", "cache2")]
    parts = [handed.count(f"handed {kind}") for kind in ("CalibrationWork", "ReferenceWork")]
    assert parts == [6 * len(caches[0]), 5], "a pass for each of the float networks"
    assert "handed UnitWork" in handed
    assert results(tmp_path / "one") == results(tmp_path / "ray")
    assert [path.name for path in caches[0]] == [path.name for path in caches[1]]
    assert [path.read_bytes() for path in caches[0]] == [path.read_bytes() for path in caches[1]]


def test_more_actors_than_the_cluster_has_processors_are_refused(cluster, slimai, tmp_path, monkeypatch):
    join(cluster, monkeypatch)
    words = (f"path.output_dir={tmp_path / 'out'}", "smart_search.executor=ray", "smart_search.workers=64")
    done = slimai(*BASE, *words)
    assert done.returncode == 1
    assert "smart_search.workers: the Ray cluster has 2 CPUs" in done.stderr


def test_ray_that_is_absent_is_refused_by_name(slimai, tmp_path):
    try:
        version("ray")
    except PackageNotFoundError:
        done = slimai(*BASE, f"path.output_dir={tmp_path / 'out'}", "smart_search.executor=ray")
        assert done.returncode == 2
        assert "smart_search.executor: Ray is not installed (got 'ray'); install slimai[ray]" in done.stderr
        assert not (tmp_path / "out" / "run.json").exists()
    else:
        pytest.skip("Ray is installed")


@pytest.mark.parametrize("name", LAUNCHERS)
def test_a_launcher_runs_the_jobs_of_a_multirun(slimai, tmp_path, cache_dir, name):
    distribution, words = LAUNCHERS[name]
    need(distribution, name)
    common = (*BASE, "quantization.range=100", "quantization.accuracy_level=0,3")
    plain = slimai("-m", *common, f"path.tmp_dir={cache_dir}", f"path.output_dir={tmp_path / 'plain'}")
    assert plain.returncode == 0, plain.stderr
    fresh = (f"path.tmp_dir={tmp_path / 'cache'}", f"path.output_dir={tmp_path / 'out'}")
    done = slimai("-m", *common, *words, *fresh, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    logs = [(tmp_path / "out" / job / "slimai.log").read_text() for job in ("job0", "job1")]
    assert sum("found in the cache" in log for log in logs) == 1, "one of the jobs makes the pass"
    jobs = json.loads((tmp_path / "out" / "multirun.json").read_text())["jobs"]
    assert [job["status"] for job in jobs] == ["done", "done"]
    for job in ("job0", "job1"):
        assert results(tmp_path / "plain" / job) == results(tmp_path / "out" / job)


def test_optuna_uses_the_returned_score(slimai, tmp_path, cache_dir):
    need("hydra-optuna-sweeper", "optuna")
    done = slimai(
        "-m",
        *BASE,
        f"path.tmp_dir={cache_dir}",
        f"path.output_dir={tmp_path / 'out'}",
        "hydra/sweeper=optuna",
        "hydra.sweeper.direction=maximize",
        "hydra.sweeper.n_trials=3",
        "hydra.sweeper.n_jobs=1",
        "hydra.sweeper.sampler.seed=1",
        "quantization.accuracy_level=choice(0,1,3)",
        "quantization.range=choice(30,100)",
    )
    assert done.returncode == 0, done.stderr
    scores = [json.loads(path.read_text())["score"] for path in (tmp_path / "out").glob("job*/.slimai/status.json")]
    assert len(scores) >= 2
    found = (tmp_path / "out" / "optimization_results.yaml").read_text()
    assert f"best_value: {max(scores)}" in found
