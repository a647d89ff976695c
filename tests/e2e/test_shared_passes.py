"""Float passes shared out over workers: the bytes, the messages and the processes of one that is not.

Batches and the rule that leaves small passes to one process are made small here, as these networks are.
"""

from __future__ import annotations

import shutil
import threading
import time
from contextlib import contextmanager

import numpy as np
import psutil
import pytest

import slimai.app.execution.crew
import slimai.app.execution.processes
import slimai.app.opening.batch_sizes
from slimai import load_config
from slimai.app.run.pipeline import run_job
from slimai.errors import InputError, SlimaiError
from slimai.search.events import Silent
from tests.e2e.results import result_files

pytestmark = pytest.mark.slow
BASE = (
    "+model=mobilenet_digits",
    "quantization.weight_rounding=nearest",
    "dataset.validation_count=30",
    "quantization.range=100",
)
STATISTICS = ".stats.npz"


class Steps(Silent):
    """Keeps the steps of every stage."""

    def __init__(self):
        self.stages = {}

    @contextmanager
    def stage(self, title, total):
        steps = self.stages.setdefault(title, [])

        class Stage:
            def advance(self, count=1):
                steps.append(count)

            def note(self, text):
                pass

        yield Stage()
        assert title != "calibrate" or sum(steps) == total


@pytest.fixture
def handed(monkeypatch):
    """Share even the smallest pass, at once; return the kinds of work that the workers are handed."""
    kinds = []
    plain = slimai.app.execution.processes.Processes.run

    def run(self, work):
        def told():
            for item in work:
                kinds.append(type(item).__name__)
                yield item

        return plain(self, told())

    def ready(self):
        while not plain_ready(self):
            time.sleep(0.02)
        return True

    plain_ready = slimai.app.execution.processes.Processes.ready
    monkeypatch.setattr(slimai.app.execution.processes.Processes, "run", run)
    monkeypatch.setattr(slimai.app.execution.processes.Processes, "ready", ready)
    monkeypatch.setattr(slimai.app.opening.batch_sizes, "MOST_IMAGES", 5)
    monkeypatch.setattr(slimai.app.execution.crew, "LEAST_SAVING", -1.0)
    monkeypatch.setattr(slimai.app.execution.crew, "START_SECONDS", 0.0)
    monkeypatch.setattr(slimai.app.execution.crew, "PART_SECONDS", 0.0)
    return kinds


def run(output, *words, reporter=None, base=BASE):
    config = load_config(*base, f"path.output_dir={output}", f"path.tmp_dir={output / 'tmp'}", *words)
    return run_job(config, reporter=reporter)


def workers_alive():
    return [child for child in psutil.Process().children() if "spawn_main" in " ".join(child.cmdline())]


def files(output):
    return {name: data for name, data in result_files(output).items() if not name.endswith(".lock")}


@pytest.mark.parametrize("equalized", ["true", "false"])
def test_two_workers_leave_the_bytes_of_one(handed, tmp_path, equalized):
    words = (
        "quantization.accuracy_level=[0,1]",
        f"quantization.equalization={equalized}",
        "dataset.calibration_count=37",
    )
    run(tmp_path / "one", *words, "smart_search.workers=1")
    assert handed == []
    steps = Steps()
    run(tmp_path / "two", *words, "smart_search.workers=2", reporter=steps)
    assert handed.count("CalibrationWork") == 6, "of 8 batches the first two stay in the main process"
    assert handed.count("ReferenceWork") == 4
    assert handed.count("UnitWork") == 2
    assert steps.stages["calibrate"] == [5, 5, 5, 5, 5, 5, 5, 2]
    assert sum(steps.stages["float reference"]) == 30
    one, two = files(tmp_path / "one"), files(tmp_path / "two")
    assert sum(name.endswith(STATISTICS) for name in one) == 1
    assert one == two


def test_what_is_in_the_cache_starts_no_worker(handed, tmp_path):
    words = ("stages=[gen_quant_profile]", "smart_search.workers=2")
    run(tmp_path / "out", *words)
    assert set(handed) == {"CalibrationWork"}
    handed.clear()
    run(tmp_path / "out", *words)
    assert handed == []
    assert workers_alive() == []


def test_this_process_goes_on_while_the_workers_start(handed, monkeypatch, tmp_path):
    asked = []
    plain = slimai.app.execution.processes.Processes.ready
    monkeypatch.setattr(
        slimai.app.execution.processes.Processes,
        "ready",
        lambda self: asked.append(1) or (len(asked) > 3 and plain(self)),
    )
    words = ("dataset.calibration_count=37", "stages=[gen_quant_profile]")
    run(tmp_path / "one", *words)
    run(tmp_path / "two", *words, "smart_search.workers=2")
    assert handed == ["CalibrationWork"] * 3, "of 8 batches 2 are timed and 3 done before the workers are ready"
    one, two = (next((tmp_path / name / "tmp").glob(f"*{STATISTICS}")) for name in ("one", "two"))
    assert one.name == two.name
    assert one.read_bytes() == two.read_bytes()


def test_a_small_pass_stays_in_this_process(handed, monkeypatch, tmp_path):
    monkeypatch.setattr(slimai.app.execution.crew, "LEAST_SAVING", 1e6)
    run(tmp_path / "out", "stages=[gen_quant_profile]", "smart_search.workers=2")
    assert handed == []


def message(output, *words, base=BASE):
    with pytest.raises(InputError) as caught:
        run(output, *words, base=base)
    return str(caught.value), [str(item) for item in caught.value.diagnostics]


def test_an_unreadable_image_is_told_as_by_one_process(handed, tmp_path, repo_root):
    images = tmp_path / "images"
    shutil.copytree(repo_root / "examples" / "data" / "digits_cls", images)
    name = [line.split()[0] for line in (images / "calib.txt").read_text().splitlines() if "." in line][20]
    data = bytearray((images / name).read_bytes())
    data[len(data) // 2] ^= 0xFF  # a wrong checksum, which is found when the pixels are decoded
    (images / name).write_bytes(data)
    words = (f"path.image_dir={images}", "dataset.calibration_count=40")
    one = message(tmp_path / "one", *words)
    assert name in one[0]
    assert handed == []
    assert message(tmp_path / "two", *words, "smart_search.workers=2") == one
    assert "CalibrationWork" in handed


@pytest.fixture
def overflowing(tmp_path):
    """Return the words of a job whose 18th calibration array, and only that, is too large for float32."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    rng = np.random.default_rng(3)
    weights = (rng.uniform(0.5, 1, (4, 3)) * 1e37).astype(np.float32)
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"], "product")],
        "large",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 3])],
        [numpy_helper.from_array(weights, "w")],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]), tmp_path / "large.onnx")
    for index in range(24):
        values = rng.uniform(0.1, 1, (1, 4)).astype(np.float32)
        np.save(tmp_path / f"{index}.npy", values * (100 if index == 17 else 1))
    (tmp_path / "list.txt").write_text("24\n" + "".join(f"{index}.npy {index % 3}\n" for index in range(24)))
    return (
        "network.name=large",
        "network.class=Classification",
        f"network.input_model={tmp_path / 'large.onnx'}",
        "network.input_data_layout=NonImage",
        f"path.image_dir={tmp_path}",
        "dataset.calibration_set=list.txt",
        "dataset.validation_set=list.txt",
        "dataset.validation_count=4",
        "quantization.accuracy_level=1",
        "quantization.range=100",
        "metric.metric_cls=top1",
    )


def test_a_value_that_is_not_finite_is_told_as_by_one_process(handed, overflowing, tmp_path):
    one = message(tmp_path / "one", base=overflowing)
    assert f"y: the float network computes a value that is not finite for image 18 ({tmp_path}/17.npy)" in one[0]
    assert "(got inf)" in one[0]
    assert message(tmp_path / "two", "smart_search.workers=2", base=overflowing) == one
    assert "CalibrationWork" in handed


def test_an_interruption_stops_the_workers(handed, monkeypatch, tmp_path):
    def interrupted(self, work):
        results = plain(self, work)
        yield next(results)
        seen.extend(workers_alive())
        raise KeyboardInterrupt

    seen = []
    plain = slimai.app.execution.processes.Processes.run
    monkeypatch.setattr(slimai.app.execution.processes.Processes, "run", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "out", "smart_search.workers=2")
    assert seen
    _, alive = psutil.wait_procs(seen, timeout=20)
    assert alive == []


def test_a_worker_that_is_killed_ends_the_pass_with_a_message(handed, tmp_path):
    def kill():
        while not stop.wait(0.02):
            for child in workers_alive():
                child.kill()
                return

    stop = threading.Event()
    killer = threading.Thread(target=kill)
    killer.start()
    try:
        with pytest.raises(SlimaiError, match=r"smart_search\.workers: a worker process died"):
            run(tmp_path / "out", "smart_search.workers=2")
    finally:
        stop.set()
        killer.join()
    assert list((tmp_path / "out" / "tmp").glob(f"*{STATISTICS}")) == []


def test_edited_limits_reach_the_workers(handed, tmp_path):
    words = ("metric.adjust=true",)
    scores = []
    for name, workers in (("one", 1), ("two", 2)):
        output = tmp_path / name
        run(output, *words)
        path = output / "Adjust_yaml" / "mobilenet_digits.yaml"
        head, second, *rest = path.read_text().split("- NodeOutputName: ")
        rest[3] = "\n".join("  Max:            0.05" if "  Max:" in line else line for line in rest[3].split("\n"))
        path.write_text("- NodeOutputName: ".join((head, second, *rest)))
        scores.append(run(output, *words, f"smart_search.workers={workers}").best.value)
    assert scores[0] == scores[1]
    assert "UnitWork" in handed
