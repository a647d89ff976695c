"""How Ray is started and joined, and what a node must see; Ray itself is replaced."""

from __future__ import annotations

import socket
import sys
from types import SimpleNamespace

import pytest

from slimai.app.execution import ray_actors
from slimai.app.execution.ray_actors import MOST_DEATHS, STARTS, Actors, _connect
from slimai.app.execution.work import Opener, machine
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


class LostError(Exception):
    """Stands for Ray's errors of actors that are gone."""


class Cluster:
    """A Ray of so many CPUs whose actors work when they are waited for, the last that was given work first.

    deaths: how often an actor dies, by the value of its work. kinds: (machine, whether it sees) of the actors in turn.
    """

    def __init__(self, cpus, deaths=(), kinds=()):
        self.cpus, self.deaths, self.kinds = cpus, dict(deaths), list(kinds)
        self.actors, self.results, self.log = [], {}, []
        self.exceptions = SimpleNamespace(
            RayTaskError=ZeroDivisionError, RayActorError=LostError, ObjectLostError=LostError, RayError=LostError
        )

    def is_initialized(self):
        return True

    def cluster_resources(self):
        return {"CPU": float(self.cpus)}

    def put(self, value):
        return value

    def remote(self, **_):
        return lambda kind: SimpleNamespace(remote=lambda spec: self._actor(kind, spec))

    def _actor(self, kind, spec):
        made = kind(spec)
        number = len(self.actors)
        found = self.kinds[number] if number < len(self.kinds) else (machine(), True)
        made.begin = lambda: found
        actor = SimpleNamespace(number=number)
        for name in ("begin", "do", "adopt"):
            setattr(actor, name, SimpleNamespace(remote=self._caller(actor, made, name)))
        self.actors.append(actor)
        return actor

    def _caller(self, actor, made, name):
        def call(*values):
            if name == "adopt":  # an actor does things in order
                return getattr(made, name)(*values)
            reference = len(self.results)
            self.results[reference] = (actor, lambda: getattr(made, name)(*values), values)
            return reference

        return call

    def wait(self, references, num_returns, timeout):
        del timeout
        return list(references)[::-1][:num_returns], []

    def get(self, reference):
        actor, call, values = self.results[reference]
        value = getattr(values[0], "value", None) if values else None
        if self.deaths.get(value, 0):
            self.deaths[value] -= 1
            raise LostError("the node is gone")
        if value is not None:
            self.log.append((actor.number, value))
        return call()

    def kill(self, actor):
        self.log.append(("killed", actor.number))


class Plain:
    """Opens nothing, sees everything."""

    def seen(self):
        return True

    def open(self, stopped):
        del stopped
        return "here"


class Twice:
    """Doubles a number, where the job was opened."""

    def __init__(self, value, *, machine_bits=False):
        self.value, self.machine_bits = value, machine_bits

    def run(self, worker):
        return worker, 2 * self.value


@pytest.fixture
def actors(monkeypatch):
    """Return a maker of workers on a replaced Ray."""

    def make(count, **settings):
        cluster = Cluster(count, **settings)
        monkeypatch.setitem(sys.modules, "ray", cluster)
        return Actors(Plain(), count), cluster

    return make


@pytest.mark.parametrize("count", [1, 2, 5])
def test_results_come_in_the_order_of_the_work_whoever_is_done_first(actors, count):
    pool, _ = actors(count)
    assert list(pool.run(Twice(value) for value in range(1, 12))) == [("here", 2 * value) for value in range(1, 12)]
    assert list(pool.run(iter(()))) == []
    assert list(pool.run([Twice(30)])) == [("here", 60)]


def test_work_of_an_actor_that_died_is_done_by_another_one(actors, caplog):
    pool, cluster = actors(2, deaths={3: MOST_DEATHS - 1, 4: 1})
    assert list(pool.run(Twice(value) for value in range(1, 8))) == [("here", 2 * value) for value in range(1, 8)]
    dead = [item[1] for item in cluster.log if item[0] == "killed"]
    assert len(dead) == MOST_DEATHS
    assert len(cluster.actors) == 2 + len(dead), "each has one in its place"
    assert caplog.messages.count("smart_search.executor: a Ray actor died; another one does its work") == len(dead)
    assert {actor for actor, value in cluster.log if value in (3, 4)} - set(dead)


def test_work_that_actors_die_of_ends_the_run(actors):
    pool, _ = actors(2, deaths={3: MOST_DEATHS})
    with pytest.raises(SlimaiError, match=r"smart_search\.executor: a Ray actor died \(out of memory"):
        list(pool.run(Twice(value) for value in range(1, 8)))


def test_float_work_goes_to_no_other_processor(actors):
    pool, cluster = actors(2, kinds=[("another processor", True)])
    pool.open(Twice(0))
    while not pool.ready():
        pass
    assert not pool.same_machine()
    found = list(pool.run(Twice(value, machine_bits=True) for value in range(1, 7)))
    assert found == [("here", 2 * value) for value in range(1, 7)]
    assert {actor for actor, value in cluster.log if value != 0} == {1}
    assert {actor for actor, value in cluster.log if value == 0} == {0, 1}


def test_float_work_without_such_a_node_ends_the_run(actors):
    pool, _ = actors(1, kinds=[("another processor", True)])
    with pytest.raises(SlimaiError, match="no node with this machine's processor and ONNX Runtime"):
        list(pool.run([Twice(1, machine_bits=True)]))


def test_an_actor_that_sees_no_folder_gets_carried_work(actors):
    pool, cluster = actors(2, kinds=[(machine(), False)])

    class Carrier:
        def spec(self):
            return SimpleNamespace(open=lambda *_: "carried", seen=lambda: True)

        def work(self, work, share):
            return Twice(share(100 * work.value).reference)

    pool.carried_by(Carrier())
    found = list(pool.run(Twice(value) for value in range(1, 5)))
    by_actor = {value: actor for actor, value in cluster.log if actor != "killed"}
    assert found == [
        ("carried", 200 * value) if by_actor.get(100 * value) == 0 else ("here", 2 * value) for value in range(1, 5)
    ]
    assert {actor for actor, _ in cluster.log} == {0, 1}


def test_a_cluster_without_any_cpu_left_ends_the_run(actors, monkeypatch):
    pool, cluster = actors(1)
    monkeypatch.setattr(ray_actors, "ALONE_SECONDS", 0.0)
    monkeypatch.setattr(cluster, "wait", lambda references, **_: ([], references))
    cluster.cpus = 0
    with pytest.raises(SlimaiError, match="the Ray cluster has no node with a CPU any more"):
        list(pool.run([Twice(1)]))
