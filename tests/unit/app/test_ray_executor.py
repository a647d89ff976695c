"""How Ray is started and joined, and what a node must see; Ray itself is replaced."""

from __future__ import annotations

import socket
from types import SimpleNamespace

import pytest

from slimai.app.execution.ray_actors import STARTS, _connect
from slimai.app.execution.work import Opener
from slimai.app.run.worker import WorkerSpec
from slimai.artifacts.lock import RUN, run_lock
from slimai.errors import SlimaiError

BUSY = "The current node timed out during startup. This could happen because some of the raylet failed to startup."


def fake(failures):
    """Return a Ray whose starts fail with these messages, one after the other, and the list of its starts."""
    starts = []

    def init(**settings):
        starts.append(settings)
        if len(starts) <= len(failures):
            raise Exception(failures[len(starts) - 1])  # noqa: TRY002 - as Ray does

    return SimpleNamespace(init=init, shutdown=lambda: None), starts


def test_a_busy_machine_is_asked_again(monkeypatch):
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    ray, starts = fake([BUSY] * (STARTS - 1))
    _connect(ray, 2)
    assert [item["num_cpus"] for item in starts] == [2] * STARTS


@pytest.mark.parametrize(("failures", "tried"), [([BUSY] * STARTS, STARTS), (["no port is free"], 1)])
def test_what_does_not_pass_is_told(monkeypatch, failures, tried):
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    ray, starts = fake(failures)
    with pytest.raises(SlimaiError, match=r"smart_search\.executor: Ray cannot be started: ") as caught:
        _connect(ray, 2)
    assert failures[-1] in str(caught.value)
    assert len(starts) == tried


def test_a_cluster_that_cannot_be_joined_is_named(monkeypatch):
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:1")
    ray, starts = fake([BUSY])
    with pytest.raises(SlimaiError, match=r"the Ray cluster of RAY_ADDRESS=127\.0\.0\.1:1 cannot be joined"):
        _connect(ray, 2)
    assert [item["address"] for item in starts] == ["127.0.0.1:1"]


@pytest.mark.parametrize("seen", ["nothing", "a folder of another run"])
def test_a_node_that_does_not_see_the_folder_of_the_run_is_told_by_name(tmp_path, seen):
    with run_lock(tmp_path / "here"):
        holder = (tmp_path / "here" / RUN).read_text()
    assert holder
    node = tmp_path / "there"
    if seen != "nothing":
        node.mkdir()
        (node / RUN).write_text(holder.replace(socket.gethostname(), "another"))
    spec = WorkerSpec("{}", node, holder, tmp_path, tmp_path, (), (), 1)
    with pytest.raises(SlimaiError) as caught:
        Opener(spec).do(None)
    assert str(caught.value) == (
        f"path.output_dir: a node ({socket.gethostname()}) does not see {node}; "
        "put path.output_dir and path.tmp_dir on a disk that all nodes share"
    )
