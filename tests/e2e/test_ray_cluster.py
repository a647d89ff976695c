"""A search on a Ray cluster of several nodes, all on this machine: one CPU each, and a head without any.

The driver runs in a process of its own, as a user starts it; what it hands to which actor is printed by a patch. Nodes
that see no folder of the run are made so by an audit hook in their processes: opening a file below it fails there.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow
# as sitecustomize of every process: one of Ray's workers cannot open what lies below HIDDEN_FOLDER
HIDE = """
import os, sys
if any("default_worker" in word for word in sys.orig_argv):
    hidden = os.environ["HIDDEN_FOLDER"]
    def hide(event, arguments):
        if event == "open" and isinstance(arguments[0], (str, bytes)) and os.fsdecode(arguments[0]).startswith(hidden):
            with open(os.environ["HIDDEN_LOG"], "a") as log:
                log.write(os.fsdecode(arguments[0]) + "\\n")
            raise FileNotFoundError(2, "No such file or directory", os.fsdecode(arguments[0]))
    sys.addaudithook(hide)
"""
# a run that prints which actor is handed what; with EVERYTHING workers take even the smallest float pass
DRIVER = """
import os, sys, time
from slimai.app.execution import crew
from slimai.app.opening import batch_sizes
from slimai.app.cli import main
from slimai.app.execution.ray_actors import Actors

actors = []
def number(node):
    if node.actor not in actors:
        actors.append(node.actor)
    return actors.index(node.actor)

plain_send, plain_ready = Actors._send, Actors.ready
def send(self, node, ticket):
    work = self._for(node, ticket.work)
    print("handed", type(work).__name__, "to", number(node), flush=True)
    return plain_send(self, node, ticket)
def ready(self):
    while not plain_ready(self):
        time.sleep(0.02)
    return True

Actors._send = send
if os.environ.get("EVERYTHING"):
    batch_sizes.MOST_IMAGES = 5
    crew.LEAST_SAVING, crew.START_SECONDS, crew.PART_SECONDS = -1.0, 0.0, 0.0
    Actors.ready = ready
sys.exit(main(sys.argv[1:]))
"""
BASE = (
    "+model=mobilenet_digits",
    "quantization.weight_rounding=nearest",
    "quantization.accuracy_level=[0,3]",
    "quantization.range=92:100:8",
    "dataset.calibration_count=37",
    "smart_search.seed=0",
)
RAY = "smart_search.executor=ray"


def results(output):
    """Return the bytes of the files that a cluster must give as one process gives them."""
    names = ("run.json", "FixedPoint_Results.txt", "BestProfile.txt", "mobilenet_digits_quant.npz")
    return {name: (output / name).read_bytes() for name in names}


def patient(step):
    """Return what a step does that Ray gives up after 30 s, which a busy machine may need: it is tried three times."""
    for _ in range(2):
        with suppress(Exception):
            return step()
    return step()


class Nodes:
    """A cluster whose nodes come and go. hidden: what they do not see; log: what they tried to see of it."""

    def __init__(self, folder: Path) -> None:
        from ray.cluster_utils import Cluster

        self.hidden, self.log = folder / "hidden", folder / "log"
        head = {"num_cpus": 0, "include_dashboard": False}
        self.cluster = patient(lambda: Cluster(initialize_head=True, head_node_args=head))
        self.nodes: list = []

    def have(self, count):
        """Let there be so many nodes."""
        while len(self.nodes) < count:
            self.nodes.append(patient(lambda: self.cluster.add_node(num_cpus=1)))
        while len(self.nodes) > count:
            self.remove()

    def remove(self):
        """Kill a node, with the actor that is on it."""
        self.cluster.remove_node(self.nodes.pop(), allow_graceful=False)

    def command(self, *words):
        return [sys.executable, "-c", DRIVER, *map(str, words)]

    def environment(self, **more):
        return {**os.environ, "RAY_ADDRESS": self.cluster.address, "NO_COLOR": "1", **more}

    def run(self, *words, **more):
        return subprocess.run(
            self.command(*words), env=self.environment(**more), capture_output=True, text=True, timeout=600, check=False
        )


@pytest.fixture(scope="module")
def nodes(tmp_path_factory):
    try:
        version("ray")
    except PackageNotFoundError:
        pytest.skip("ray is not installed (extra slimai[ray])")
    folder = tmp_path_factory.mktemp("nodes")
    (folder / "hidden").mkdir()
    (folder / "sitecustomize.py").write_text(HIDE, encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_worker_niceness", "0")  # 15 by default: on a busy machine they would wait for everybody else
        patch.setenv("HIDDEN_FOLDER", str(folder / "hidden"))
        patch.setenv("HIDDEN_LOG", str(folder / "log"))
        patch.setenv("PYTHONPATH", os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", "")]))
        found = Nodes(folder)
        yield found
        found.cluster.shutdown()


def handed(text):
    """Return (kind of work, number of the actor) of each work that was handed out."""
    lines = [line.split() for line in text.splitlines() if line.startswith("handed ")]
    return [(line[1], int(line[3])) for line in lines]


@pytest.mark.parametrize("count", [2, 4])
@pytest.mark.parametrize("strategy", ["exhaustive", "racing"])
def test_so_many_nodes_give_the_bytes_of_one_process(nodes, slimai, tmp_path, cache_dir, strategy, count):
    words = (*BASE, f"path.tmp_dir={cache_dir}", f"smart_search.strategy={strategy}")
    one = slimai(*words, f"path.output_dir={tmp_path / 'one'}")
    assert one.returncode == 0, one.stderr
    nodes.have(count)
    ran = nodes.run(*words, f"path.output_dir={tmp_path / 'ray'}", RAY, f"smart_search.workers={count}")
    assert ran.returncode == 0, ran.stderr
    found = handed(ran.stdout)
    assert {kind for kind, _ in found} == {"UnitWork"}
    assert {actor for _, actor in found} == set(range(count)), "every node has its share"
    if strategy == "exhaustive":
        assert len(found) > 4, "256 images of the last candidates are cut in pieces"
    assert results(tmp_path / "one") == results(tmp_path / "ray")


def test_nodes_that_see_no_folder_get_images_networks_and_plans_through_the_object_store(nodes, slimai, tmp_path):
    here, examples = nodes.hidden / "data", Path(__file__).resolve().parents[2] / "examples" / "data"
    shutil.copytree(examples / "digits_cls", here)
    model = here / "digits.onnx"
    shutil.copy(examples / "models" / "mobilenet_digits.onnx", model)
    words = (
        *BASE,
        "smart_search.strategy=racing",
        f"path.image_dir={here}",
        f"network.input_model={model}",
        "dataset.validation_count=40",
    )
    one = slimai(*words, f"path.output_dir={nodes.hidden / 'one'}", f"path.tmp_dir={nodes.hidden / 'cache1'}")
    assert one.returncode == 0, one.stderr
    nodes.have(2)
    words = (*words, f"path.output_dir={nodes.hidden / 'ray'}", f"path.tmp_dir={nodes.hidden / 'cache2'}", RAY)
    ran = nodes.run(*words, "smart_search.workers=2", EVERYTHING="1")
    assert ran.returncode == 0, ran.stderr
    kinds = [kind for kind, _ in handed(ran.stdout)]
    assert set(kinds) == {"CarriedCalibration", "CarriedReference", "CarriedUnit"}
    tried = {Path(line) for line in nodes.log.read_text(encoding="utf-8").splitlines()}
    assert tried == {nodes.hidden / "ray" / ".slimai.lock"}, "a node looks for the run, and for nothing else"
    assert results(nodes.hidden / "one") == results(nodes.hidden / "ray")
    caches = [sorted((nodes.hidden / name).glob("*.stats.npz")) for name in ("cache1", "cache2")]
    assert [path.name for path in caches[0]] == [path.name for path in caches[1]]
    assert [path.read_bytes() for path in caches[0]] == [path.read_bytes() for path in caches[1]]
    handed_parts = [kinds.count(kind) for kind in ("CarriedCalibration", "CarriedReference")]
    assert handed_parts == [6 * len(caches[0]), 6], "8 batches each, of which the main process has timed two"


def test_a_node_killed_in_the_middle_and_one_added_change_no_byte(nodes, slimai, tmp_path, cache_dir):
    words = (
        *BASE,
        "quantization.accuracy_level=[0,1,2,3,4]",
        "quantization.range=90:100:2",
        f"path.tmp_dir={cache_dir}",
    )
    one = slimai(*words, f"path.output_dir={tmp_path / 'one'}")
    assert one.returncode == 0, one.stderr
    nodes.have(2)
    command = nodes.command(*words, f"path.output_dir={tmp_path / 'ray'}", RAY, "smart_search.workers=2")
    told = []
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    with subprocess.Popen(command, env=nodes.environment(), **pipes) as run:
        for line in run.stdout:
            told.append(line)
            units = handed("".join(told))
            if line.startswith("handed ") and len(units) == 4:
                nodes.remove()
                nodes.have(2)
    assert run.returncode == 0, "".join(told)
    units = handed("".join(told))
    assert {actor for _, actor in units} == {0, 1, 2}, "the third actor can only be on the node that was added"
    assert "a Ray actor died; another one does its work" in (tmp_path / "ray" / "slimai.log").read_text()
    assert results(tmp_path / "one") == results(tmp_path / "ray")


def test_a_metric_that_reads_label_pictures_says_that_it_needs_the_shared_folder(nodes, tmp_path):
    nodes.have(1)
    words = ("+model=unet_digits", f"path.output_dir={nodes.hidden / 'seg'}", f"path.tmp_dir={tmp_path / 'cache'}", RAY)
    ran = nodes.run(*words, "quantization.weight_rounding=nearest")
    assert ran.returncode == 1
    assert (
        "metric.metric_cls: MIU reads label files, which a node of the Ray cluster does not see, as it does not see "
        f"{nodes.hidden / 'seg'}; put path.output_dir and path.tmp_dir on a disk that all nodes share"
    ) in ran.stderr
