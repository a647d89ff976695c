# ruff: noqa: E501
"""Plug-ins of the vendor's form run unchanged; every mistake of theirs names their file and line."""

from __future__ import annotations

import logging
import sys
import textwrap

import numpy as np
import pytest

from slimai.errors import InputError, SlimaiError
from slimai.metrics.create import create_metric
from slimai.metrics.plugin import find_plugin
from slimai.metrics.scores import quick_score, require_score, resampled_scores
from slimai.metrics.vendor.calls import PluginError
from slimai.metrics.vendor.modules import NAMES

PLUGIN = """\
import numpy as np
from file_utils import blob_file_reader
from metric import metric_register, custom_metric_base

{decorator}
class my_metric(custom_metric_base):
    def __init__(self):
        super().__init__()
        self.params = None

    def init_params(self, params):
        self.params = params

    def load_and_analysis(self, blobsfile, imglist):
        from file_utils import blob_file_reader as again
        assert again is blob_file_reader
        found = []
        for blobs in self._prep_filelist(blobsfile, imglist):
            arrays = [blob_file_reader(blob) for blob in blobs]
            assert arrays[0].dtype == np.float32
            found.append((arrays[0].shape, float(arrays[0].sum()), float(arrays[1].sum())))
        return self.accumulate_results(found)

    def accumulate_results(self, found):
        assert {{shape for shape, _, _ in found}} == {{(1, 3, 4)}}, found
        return sum(first for _, first, _ in found) / 100, len(found), float(self.params.split("=")[1])
{after}"""


@pytest.fixture
def write_plugin(tmp_path):
    def write(text, name="my_metric"):
        folder = tmp_path / "slimai_custom_metric" / "metric_plugin"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{name}.py").write_text(textwrap.dedent(text))
        return folder / f"{name}.py"

    return write


@pytest.fixture
def build(make_samples, make_context):
    def make(params="threshold=0.25", name="my_metric", count=3, **more):
        samples = make_samples(count, [f"label{at}" for at in range(count)])
        context = make_context(("loc:0", "conf"), samples, shapes=((1, 3, 4), (1, 2)))
        return create_metric(name, params, context, **more), samples

    return make


def outputs(at):
    return [np.full((1, 3, 4), at + 0.5, np.float32), np.full((1, 2), at, np.float32)]


def score(metric, samples):
    return metric.combine([metric.measure(sample, outputs(sample.index), None) for sample in samples])


@pytest.mark.parametrize(
    ("decorator", "after"),
    [
        ("", ""),
        ("@metric_register", ""),
        ('@metric_register("my_metric")', ""),
        ("", 'metric_register("my_metric", my_metric)\n'),
        ("@metric_register()", ""),
    ],
)
def test_a_vendor_plugin_runs_unchanged(write_plugin, build, decorator, after):
    before, path = dict(sys.modules), list(sys.path)
    write_plugin(PLUGIN.format(decorator=decorator, after=after))
    metric, samples = build()
    result = score(metric, samples)
    assert result.value == pytest.approx(12 * (0.5 + 1.5 + 2.5) / 100)
    assert result.score == result.value
    assert result.values == {"my_metric": result.value, "my_metric/1": 3.0, "my_metric/2": 0.25}
    assert sys.path == path
    assert not [name for name in NAMES if name in sys.modules]
    new = {name.partition(".")[0] for name in set(sys.modules) - set(before)}
    assert new <= {"slimai", "numba", *sys.stdlib_module_names}


def test_modules_of_the_same_names_come_back(write_plugin, build, monkeypatch):
    monkeypatch.setitem(sys.modules, "metric", sys)
    write_plugin(PLUGIN.format(decorator="", after=""))
    build()
    assert sys.modules["metric"] is sys


def test_modules_beside_the_plugin_can_be_imported(write_plugin, build):
    write_plugin("FACTOR = 2", "plugin_helper")
    write_plugin(PLUGIN.format(decorator="", after="from plugin_helper import FACTOR\n"))
    build()
    assert "plugin_helper" not in sys.modules


def test_nothing_of_one_candidate_is_left_for_the_next(write_plugin, build):
    write_plugin("""\
        from metric import custom_metric_base
        class my_metric(custom_metric_base):
            def __init__(self):
                self.seen = 0
            def init_params(self, params):
                pass
            def load_and_analysis(self, blobsfile, imglist):
                self.seen += 1
                return self.seen / 10
            def accumulate_results(self):
                pass
        """)
    metric, samples = build()
    assert [score(metric, samples).value for _ in range(3)] == [0.1, 0.1, 0.1]


def test_it_may_ask_for_more_by_name(write_plugin, build):
    write_plugin("""\
        from metric import custom_metric_base
        class my_metric(custom_metric_base):
            def init_params(self, params): pass
            def load_and_analysis(self, files, images, count, octrl_file, verbose=False):
                from pathlib import Path
                assert Path(octrl_file).read_text() == "[loc_0 conf] save\\n"
                lines = Path(images).read_text().split("\\n")
                assert lines[0] == "3" and lines[1].endswith("img0.png label0"), lines
                return count / 10
            def accumulate_results(self): pass
        """)
    metric, samples = build()
    assert score(metric, samples).value == 0.3


BASE = """\
from metric import custom_metric_base
class my_metric(custom_metric_base):
    def init_params(self, params): {init}
    def load_and_analysis(self, blobsfile, imglist{more}):
        {body}
    def accumulate_results(self): pass
"""


@pytest.mark.parametrize(
    ("body", "more", "message"),
    [
        ("return 1 / 0", "", r"my_metric.py:5: my_metric.load_and_analysis failed: ZeroDivisionError: division by zero"),
        ("return None", "", r"my_metric.py:4: my_metric.load_and_analysis must return one or several finite numbers \(got None\)"),
        ("return []", "", r"must return one or several finite numbers \(got \[\]\)"),
        ("return float('nan')", "", r"must return one or several finite numbers \(got nan\)"),
        ("return 'high'", "", r"must return one or several finite numbers \(got 'high'\)"),
        ("raise SystemExit(3)", "", r"my_metric.py:5: my_metric.load_and_analysis failed: SystemExit: 3"),
        ("return open(imglist + '.xml')", "", r"my_metric.py:5: .*FileNotFoundError: .*No such file.*tmp_images.txt.xml"),
        ("return 1", ", cheese", r"my_metric.py:4: load_and_analysis asks for 'cheese', which slimai does not know"),
        ("return self._prep_filelist(blobsfile, ['img7.png'])", "", r"my_metric.py:5: .*no such blob: .*img7_loc_0.blob"),
    ],
)  # fmt: skip
def test_mistakes_while_it_runs(write_plugin, build, body, more, message):
    write_plugin(BASE.format(body=body, more=more, init="pass"))
    metric, samples = build()
    with pytest.raises(PluginError, match=message):
        score(metric, samples)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("def broken(:", r"my_metric.py:\d+: loading the plug-in failed: SyntaxError"),
        ("x = 1\nraise RuntimeError('no GPU')", r"my_metric.py:2: loading the plug-in failed: RuntimeError: no GPU"),
        ("import no_such_module", r"my_metric.py:1: loading the plug-in failed: ModuleNotFoundError"),
        ("class my_metrik: pass", r"my_metric.py: no metric class 'my_metric'; did you mean 'my_metrik'\?"),
        ("class my_metric: pass", r"my_metric.py:1: 'my_metric' is not a metric; subclass custom_metric_base"),
        (
            "from metric import custom_metric_base\nclass my_metric(custom_metric_base):\n    init_params = id\n",
            r"my_metric.py:2: class 'my_metric' lacks load_and_analysis, accumulate_results",
        ),
        (
            BASE.format(body="return 1", more="", init="raise ValueError('threshold?')"),
            r"my_metric.py:3: my_metric.init_params failed: ValueError: threshold\?",
        ),
    ],
)
def test_mistakes_at_the_start(write_plugin, build, text, message):
    write_plugin(text)
    with pytest.raises(SlimaiError, match=message):
        build()
    assert not [name for name in NAMES if name in sys.modules]


def test_a_value_outside_the_range(write_plugin, build, caplog):
    write_plugin(BASE.format(body="return 1.7", more="", init="pass"))
    metric, samples = build()
    result = score(metric, samples)
    assert (result.value, result.score) == (1.7, None)
    assert "metric 'my_metric' returned 1.7, outside 0..1, so it has no score; set metric.score_range" in caplog.text
    require_score(metric, result, candidates=1)
    with pytest.raises(InputError) as caught:
        require_score(metric, result, candidates=2)
    assert str(caught.value) == (
        "metric.metric_cls: my_metric gives 1.7 for the float network, outside 0..1: candidates cannot be compared; "
        "set metric.score_range: [lo, hi], the values that become the scores 0 and 1"
    )
    scaled, _ = build(score_range=(0.0, 2.0))
    assert score(scaled, samples).score == pytest.approx(0.85)


def test_resampling_does_not_ask_the_plugin(write_plugin, build):
    write_plugin(BASE.format(body="return 0.5", more="", init="pass"))
    metric, samples = build()
    records = [metric.measure(sample, outputs(0), None) for sample in samples]
    assert quick_score(metric, records) is None
    assert quick_score(create_metric("my_metric", "", metric_context(build), score_range=(0, 2)), records) is None


def metric_context(build):
    _, samples = build()
    from slimai.metrics.base import MetricContext

    folder = samples[0].files[0].parent
    return MetricContext(("loc:0", "conf"), ((1, 3, 4), (1, 2)), folder, folder, samples=samples)


def test_where_plugins_are_looked_for(tmp_path, write_plugin, monkeypatch, caplog):
    beside = write_plugin("x = 1")
    other = tmp_path / "other"
    other.mkdir()
    (other / "my_metric.py").write_text("x = 2")
    (other / "only_here.py").write_text("x = 3")
    monkeypatch.chdir(other)
    monkeypatch.setenv("CUSTOM_METRIC_PATH", str(other))
    assert find_plugin("my_metric", tmp_path) == beside.resolve()
    assert "is used" in caplog.text
    assert find_plugin("only_here", tmp_path) == (other / "only_here.py").resolve()
    assert find_plugin("nowhere", tmp_path) is None
    monkeypatch.delenv("CUSTOM_METRIC_PATH")
    assert find_plugin("only_here", tmp_path) is None
    monkeypatch.chdir(tmp_path)
    assert find_plugin("my_metric", other) == beside.resolve()


def test_unknown_metric(make_samples, make_context):
    with pytest.raises(
        InputError, match=r"unknown metric 'psnnr'; did you mean 'psnr'\?; a metric of your own is the file"
    ):
        create_metric("psnnr", "", make_context(("o",), make_samples(1)))


def test_images_that_would_share_a_blob(write_plugin, make_context, tmp_path):
    from slimai.data.sample import Sample

    write_plugin(BASE.format(body="return 1", more="", init="pass"))
    samples = [Sample(0, (tmp_path / "a/x.png",)), Sample(1, (tmp_path / "b/x.png",))]
    with pytest.raises(InputError, match="images of the same name would share their blobs: x"):
        create_metric("my_metric", "", make_context(("o",), samples))


NATIVE = """\
import numpy as np
from slimai.metrics.base import Result

class my_metric:
    name, uses_float, higher_is_better, value_range = "my_metric", False, True, (0.0, 1.0)
    def __init__(self, spec, context):
        self.factor = spec["factor"]
    def measure(self, sample, outputs, reference=None):
        return {"image": np.array([sample.index]), "first": outputs[0].reshape(-1)[:1]}
    def combine(self, records):
        value = float(np.mean([record["first"][0] for record in records])) * self.factor
        return Result(value, value)
"""


def test_a_metric_of_slimais_own_form(write_plugin, build):
    write_plugin(NATIVE)
    metric, samples = build(params={"factor": 0.1})
    assert score(metric, samples).score == pytest.approx(0.15)


def test_an_installed_metric(write_plugin, build, monkeypatch, tmp_path):
    (tmp_path / "some_package.py").write_text(NATIVE)
    info = tmp_path / "some_package-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: some_package\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[slimai.metrics]\nmy_metric = some_package:my_metric\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    metric, samples = build(params={"factor": 0.2})
    assert score(metric, samples).score == pytest.approx(0.3)


@pytest.mark.parametrize(
    ("old", "new", "call", "message"),
    [
        ('"first": outputs[0]', '"first": {}["oops"]', "measure",
         r"my_metric.py:9: my_metric.measure of image '.*img0.png' failed: KeyError: 'oops'"),
        ("return Result(value, value)", "return {}['oops']", "combine",
         r"my_metric.py:12: my_metric.combine failed: KeyError: 'oops'"),
        ("return Result(value, value)", "return value", "combine",
         r"my_metric.py:10: my_metric.combine must return a Result \(got float\)"),
        ("def combine", "def resampled_scores(self, records, counts):\n        return {}['oops']\n    def combine", "resample",
         r"my_metric.py:11: my_metric.resampled_scores failed: KeyError: 'oops'"),
        ("def combine", "def resampled_scores(self, records, counts):\n        return [1.0]\n    def combine", "resample",
         r"my_metric.py:10: my_metric.resampled_scores must return 3 scores \(got the shape \(1,\)\)"),
        ('value_range = "my_metric", False, True, (0.0, 1.0)', 'score_limits = "my_metric", False, True, 0', "build",
         r"my_metric.py:4: class 'my_metric' lacks value_range"),
    ],
)  # fmt: skip
def test_mistakes_of_slimais_own_form_name_file_line_and_picture(write_plugin, build, old, new, call, message):
    assert old in NATIVE
    write_plugin(NATIVE.replace(old, new))

    def everything():
        metric, samples = build(params={"factor": 0.1})
        records = [metric.measure(sample, outputs(sample.index), None) for sample in samples]
        if call == "resample":
            resampled_scores(metric, records, np.zeros((3, len(records)), np.int64))
        metric.combine(records)

    with pytest.raises(PluginError, match=message):
        everything()


@pytest.mark.parametrize("form", ["native", "vendor"])
def test_what_a_plugin_prints_is_kept_out_of_the_answer(write_plugin, build, capsys, caplog, form):
    noisy = 'print("loaded")\n' + (
        NATIVE.replace("        value =", '        print("combining", end="")\n        value =')
        if form == "native"
        else BASE.format(body='print("combining"); return 0.5', more="", init="pass")
    )
    write_plugin(noisy)
    with caplog.at_level(logging.INFO, logger="slimai.job.plugin"):
        metric, samples = build(params={"factor": 0.1} if form == "native" else "")
        assert score(metric, samples).score is not None
    assert capsys.readouterr().out == ""
    assert [text for text in caplog.messages if text.startswith("plug-in: ")] == [
        "plug-in: loaded",
        "plug-in: combining",
    ]
