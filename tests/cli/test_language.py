"""Chinese for people, English for programs."""

from __future__ import annotations

import json
import re
import subprocess
import sys

import pytest

from slimai.app import cli
from slimai.errors import Diagnostic
from slimai.language import language, shown, translated
from slimai.report.in_language import in_language

WRONG = ("+model=yolo", "quantization.accuracy_level=9", "quantization.rnge=97", "metric.metric_input.threshold=x")


@pytest.fixture
def chinese(monkeypatch):
    monkeypatch.setenv("SLIMAI_LANG", "zh")


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, "en"),
        ({"LANG": "zh_CN.UTF-8"}, "zh"),
        ({"LANG": "zh_TW"}, "zh"),
        ({"LANG": "C.UTF-8"}, "en"),
        ({"LANG": "zh_CN", "LC_ALL": "C"}, "en"),
        ({"LANG": "de_DE", "LC_MESSAGES": "zh_CN"}, "zh"),
        ({"LANG": "zh_CN", "SLIMAI_LANG": "en"}, "en"),
        ({"LANG": "en_US", "SLIMAI_LANG": "zh"}, "zh"),
        ({"SLIMAI_LANG": "", "LANG": "zh_CN"}, "zh"),
    ],
)
def test_which_language(environment, expected):
    assert language(environment) == expected


def test_the_help_is_chinese(chinese, capsys):
    assert cli.main(["--help"]) == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if line and "slimai" not in line]
    assert [line for line in lines if not re.search("[一-鿿]", line)] == []


@pytest.mark.parametrize("word", cli.COMMANDS)
def test_the_help_of_a_command_is_chinese(chinese, capsys, word):
    assert cli.main([word, "--help"]) == 0
    text = capsys.readouterr().out
    assert text.startswith(f"用法：slimai {word}")
    assert "显示此帮助并退出" in text
    told = [
        line.strip() for line in text.splitlines() if len(re.findall("[a-z]{3,}", line)) > 5 and "slimai" not in line
    ]
    assert [line for line in told if not re.search("[一-鿿]", line) and "--" not in line and "{" not in line] == []


def test_lines_of_help_fit_the_terminal(chinese, capsys, monkeypatch):
    from slimai.language import cells

    monkeypatch.setenv("COLUMNS", "80")
    assert cli.main(["metric", "--help"]) == 0
    told = [line for line in capsys.readouterr().out.splitlines() if line.startswith(" " * 24)]
    assert len(told) >= 8
    assert max(map(cells, told)) <= 80


def test_mistakes_are_told_in_chinese_with_their_places_and_values(chinese, capsys):
    assert cli.main(["validate", *WRONG]) == 2
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == (
        "错误：覆盖项 'quantization.accuracy_level=9': quantization.accuracy_level: accuracy level 是 0 到 4 的整数"
        "（得到 9）；列表表示在多个之间搜索：[1, 2, 3]"
    )
    assert "quantization.rnge: 未知的键（得到 97）；是否想写 'range'？" in lines[1]
    assert lines[-1] == "无效：3 个错误，0 个警告"


def test_options_that_are_wrong_are_told_in_chinese(chinese, capsys):
    assert cli.main(["report"]) == 2
    assert capsys.readouterr().err.endswith("slimai report: 错误：缺少必需的参数：RUN_DIR\n")


@pytest.mark.parametrize("form", ["json", "github", "sarif", "junit"])
def test_what_programs_read_is_english(capsys, monkeypatch, form):
    said = []
    for name in ("en", "zh"):
        monkeypatch.setenv("SLIMAI_LANG", name)
        cli.main(["validate", *WRONG, "--format", form])
        said.append(capsys.readouterr().out)
    assert said[0] == said[1]
    assert "unknown key" in said[0]


def test_a_message_inside_a_sentence_is_found_by_its_frame():
    text = "conf/a.yaml:3:1: quantization.rnge: unknown key (got 'a; b (got c)'); did you mean 'range'?"
    assert translated(text, "zh") == (
        "conf/a.yaml:3:1: quantization.rnge: 未知的键（得到 'a; b (got c)'）；是否想写 'range'？"
    )
    assert translated("nobody has said this: x (got y)", "zh") == "nobody has said this: x (got y)"


def test_values_are_not_translated(chinese):
    item = Diagnostic("unknown key", "a.score", "unknown key", suggestion="one of score, level", file="float.yaml")
    assert shown(item) == "float.yaml: a.score: 未知的键（得到 'unknown key'）；可取：score, level"
    assert json.loads(json.dumps(item.to_json()))["message"] == "unknown key"


def test_a_page_keeps_names_markup_and_scripts():
    page = (
        '<html lang="en"><h2>What hurts</h2><td class="l" title="score">score</td><td>delivered</td>'
        '<pre>score</pre><script>">score<"</script><p>In float on the host, without an integer kernel: a &amp; b</p>'
    )
    assert in_language(page, "zh") == (
        '<html lang="zh-CN"><h2>损失来源</h2><td class="l" title="score">score</td><td>交付</td>'
        '<pre>score</pre><script>">score<"</script><p>没有整数内核，在主机上以浮点运行：a &amp; b</p>'
    )
    assert in_language(page, "en") == page


def test_english_loads_no_catalogue(repo_root):
    code = (
        "from slimai.app.cli import main; from slimai import language; main(['validate', '+model=yolo', 'a.b=1']); "
        "print(language._catalogue.cache_info().currsize)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=repo_root, check=True)
    assert done.stdout.splitlines()[-1] == "0"
