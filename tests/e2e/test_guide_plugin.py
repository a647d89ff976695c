"""The guide's own way to try a metric: its script word for word, wherever it is started and the plug-in lies."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest

from slimai import load_config, run

PLUGIN = """\
import os
from file_utils import blob_file_reader
from metric import metric_register, custom_metric_base

class faceboxes_map(custom_metric_base):
    def __init__(self):
        self.threshold = None
    def init_params(self, params):
        self.folder, option = params.split()
        self.threshold = float(option.partition("=")[2])
    def load_and_analysis(self, blobsfile, imglist):
        with open(imglist) as file:
            lines = file.read().split("\\n")[1:-1]
        assert all(os.path.isfile(line.split()[0]) for line in lines), "pictures are found"
        labels = [int(line.split()[1]) for line in lines]
        blobs = self._prep_filelist(blobsfile, imglist)
        found = [blob_file_reader(files[0]) for files in blobs]
        return self.accumulate_results(found, labels)
    def accumulate_results(self, found, labels):
        hits = [int(one.argmax()) == label and one.max() > self.threshold for one, label in zip(found, labels)]
        return sum(hits) / len(hits), len(hits) / 100
"""
# the guide's lines from `if __name__` on; only the paths are this test's
SCRIPT = """\
if __name__=='__main__':
   # 请仅修改#符号包括的配置部分来进行自定义metric的开发测试，其他部分不要修改，以保证自定义metric注册可使用
   ##################################################################################################
   metric_obj = faceboxes_map() # 更换为待测试的类
   octrl_file = "{out}/output_control.octrl"   #output_debug配置导出的的octrl文件  output_control.octrl
   flt_dump_path = "{out}/faceboxes_ref"
   imagelistfile = "{out}/tmp_val.txt"   #output_debug配置导出的的valiation imagelist文件
   tmpdir = "{out}/"
   outdir = "{out}/"
   verbose=False
   network_name = 'faceboxes'  #用来测试的网络名称
   rlower= 92; rupper = 93; stride = 1# 对应 range = 92:93
   count = 20  #希望拿来进行测试的样本数，必须不大于tmp_imagenet_224_png_val.txt提供的样本数量
   ###################################################################################################
   par =(1, 'FixedPoint_Results.txt','Fixed',flt_dump_path)
   QProfile = []
   for idx in range(rlower, rupper+1, stride):
      QProfile.append('{{}}_{{}}.yaml'.format(network_name, idx))

   compute_metric(imagelistfile, octrl_file, tmpdir, count, QProfile, par,
                  verbose, metric_obj, outdir)
"""


@pytest.fixture(scope="module")
def done(tmp_path_factory, cache_dir, repo_root):
    """Return the folder of a run with the plug-in, and the run's result."""
    folder = tmp_path_factory.mktemp("guide")
    plugins = folder / "slimai_custom_metric" / "metric_plugin"
    plugins.mkdir(parents=True)
    (plugins / "faceboxes_map.py").write_text(PLUGIN, encoding="utf-8")
    (plugins.parent / "metric_test.py").write_text(SCRIPT.format(out=folder / "out"), encoding="utf-8")
    before = os.environ.get("CUSTOM_METRIC_PATH")
    os.environ["CUSTOM_METRIC_PATH"] = str(plugins)
    try:
        result = run(
            load_config(
                "+model=mobilenet_digits", "network.name=faceboxes", f"path.output_dir={folder}/out",
                f"path.tmp_dir={cache_dir}", "metric.metric_cls=faceboxes_map", "metric.output_debug=2",
                "metric.metric_input='faceboxes/imagelist threshold=0.6'", "quantization.range='92:93:1'",
                "dataset.validation_count=20", "dataset.calibration_count=8",
            )
        )  # fmt: skip
    finally:
        os.environ.pop("CUSTOM_METRIC_PATH") if before is None else os.environ.update(CUSTOM_METRIC_PATH=before)
    return folder, result


def start(script, cwd, **environment):
    command = [sys.executable, "-m", "slimai.metrics.vendor", str(script)]
    own = {key: value for key, value in os.environ.items() if key not in {"CUSTOM_METRIC_PATH", "SLIMAI_DEBUG"}}
    return subprocess.run(command, cwd=cwd, env=own | environment, capture_output=True, text=True, check=False)


def check(finished, result):
    assert finished.returncode == 0, finished.stderr
    shown = dict(re.findall(r"(?:Fixed|Float)\t(\S+)\t(\S+)\t0.200000", finished.stdout))
    by_profile = {f"{item.candidate.profile('faceboxes')}.yaml": item.value for item in result.candidates}
    assert set(shown) == {"float", "faceboxes_92.yaml", "faceboxes_93.yaml"}
    assert float(shown.pop("float")) == pytest.approx(result.float_result.value, abs=1e-6)
    for profile, value in shown.items():
        assert float(value) == pytest.approx(by_profile[profile], abs=1e-6)


def test_the_script_as_printed_from_any_folder(done, tmp_path):
    folder, result = done
    kept = (folder / "out" / "FixedPoint_Results.txt").read_text()
    check(start(folder / "slimai_custom_metric" / "metric_test.py", tmp_path), result)
    assert (folder / "out" / "FixedPoint_Results.txt").read_text() == kept
    text = (folder / "out" / "metric_test_FixedPoint_Results.txt").read_text()
    assert text.startswith("# profile\tvalues\nfloat\t")
    # again over its own file
    check(start(folder / "slimai_custom_metric" / "metric_test.py", folder), result)


def test_the_script_beside_its_plugin_and_apart_from_it(done, tmp_path):
    folder, result = done
    script = tmp_path / "metric_test.py"
    script.write_text(SCRIPT.format(out=folder / "out"), encoding="utf-8")
    plugins = folder / "slimai_custom_metric" / "metric_plugin"
    check(start(script, tmp_path, CUSTOM_METRIC_PATH=str(plugins)), result)
    check(start(script, folder), result)
    imported = "from metric_test import compute_metric\nfrom faceboxes_map import faceboxes_map\n"
    beside = plugins / "try_it.py"
    beside.write_text(imported + script.read_text(encoding="utf-8"), encoding="utf-8")
    check(start(beside, tmp_path), result)


def test_what_goes_wrong_is_one_line(done, tmp_path):
    folder, _ = done
    script = tmp_path / "metric_test.py"
    script.write_text(SCRIPT.format(out=folder / "out"), encoding="utf-8")
    lost = start(script, tmp_path)
    assert lost.returncode == 1
    assert lost.stderr.startswith(f"error: {script}:4: NameError: name 'faceboxes_map' is not defined; plug-ins are ")
    assert str(tmp_path / "metric_plugin") in lost.stderr
    assert lost.stderr.count("\n") == 1
    script.write_text("if True\n")
    broken = start(script, tmp_path)
    assert broken.returncode == 2
    assert broken.stderr.startswith(f"error: {script}:1: not a Python script: ")
    script.write_text(SCRIPT.format(out=folder / "out").replace("count = 20", "count = 21"), encoding="utf-8")
    many = start(script, folder)
    assert many.returncode == 2
    assert "count must be 1..20 (got 21)" in many.stderr


def test_settings_of_the_script_win_over_the_runs(done, tmp_path):
    folder, _ = done
    script = tmp_path / "metric_test.py"
    text = SCRIPT.format(out=folder / "out").replace(
        "# 更换为待测试的类", "; metric_obj.init_params('x threshold=1e9')"
    )
    script.write_text(text, encoding="utf-8")
    finished = start(script, folder)
    assert finished.returncode == 0, finished.stderr
    assert "Float\tfloat\t0.000000\t0.200000" in finished.stdout
