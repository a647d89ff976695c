"""Existing engines: Ray under the search; joblib, submitit, ray launchers and the Optuna sweeper under Hydra.

Each needs an optional extra and is skipped, by name, without it. docs/search.md holds the versions tried.
"""

from __future__ import annotations

import json
from importlib.metadata import PackageNotFoundError, version

import pytest

BASE = ("+model=mobilenet_digits", "dataset.validation_count=32", "smart_search.seed=0")
pytestmark = pytest.mark.slow
LAUNCHERS = {
    "joblib": ("hydra-joblib-launcher", ("hydra/launcher=joblib", "hydra.launcher.n_jobs=2")),
    "submitit": ("hydra-submitit-launcher", ("hydra/launcher=submitit_local", "hydra.launcher.timeout_min=10")),
    "ray_launcher": ("hydra-ray-launcher", ("hydra/launcher=ray", "+hydra.launcher.ray.init.num_cpus=2")),
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
    common = (*BASE, f"path.tmp_dir={cache_dir}", "quantization.range=100", "quantization.accuracy_level=0,3")
    plain = slimai("-m", *common, f"path.output_dir={tmp_path / 'plain'}")
    assert plain.returncode == 0, plain.stderr
    done = slimai("-m", *common, *words, f"path.output_dir={tmp_path / 'out'}", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
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
