"""Profiles and the adjust file: round trips, edits applied as final, broken edits refused with their place."""

import numpy as np
import pytest

from slimai.errors import InputError
from slimai.quantizer.adjust import AdjustHeader, changed_parameters, edited_limits, read_adjust, write_adjust
from slimai.quantizer.options import QuantOptions
from slimai.quantizer.planner import build_plan
from slimai.quantizer.profile import diff_profiles, entries, profile_text, read_profile

W = np.eye(4, dtype=np.float32).reshape(4, 4, 1, 1)
HEADER = AdjustHeader("cafe", 3, "99")


@pytest.fixture
def case(net, stats_of):
    n = net()
    n.conv("x", "a", W)
    n.node("Sigmoid", ("a",), "s")
    n.conv("s", "y", W)
    graph = n.graph("y")
    stats = stats_of(x=[-1, 1], a=[-1 / 3, 1e-7 + 2], s=[0.1, 0.9], y=[-1e-9, 1e-9])
    return graph, stats, build_plan(graph, stats, QuantOptions(level=3, percent=99))


def edit(path, name, **values):
    """Replace Min or Max of one entry, as a person would."""
    lines = path.read_text().splitlines()
    start = next(i for i, line in enumerate(lines) if name in line)
    for key, value in values.items():
        at = next(i for i in range(start, len(lines)) if lines[i].strip().startswith(f"{key}:"))
        lines[at] = f"  {key}: {value}"
    path.write_text("\n".join(lines) + "\n")


def test_a_profile_reads_back_to_the_same_numbers(case):
    _, stats, plan = case
    found = read_profile(profile_text(plan, stats), "p.yaml")
    assert found == entries(plan, stats)
    assert [entry.name for entry in found] == ["Input_x__1:0", "Conv_n_a__1:0", "Sigmoid_n_s__1:0", "Conv_n_y__1:0"]
    assert found[1].low == plan.limits["a"][0]


def test_what_two_profiles_differ_in(case):
    graph, stats, plan = case
    other = build_plan(graph, stats, QuantOptions(level=3, percent=98))
    lines = diff_profiles(entries(plan, stats), entries(other, stats))
    assert [line.split(":")[0] for line in lines] == ["Conv_n_a__1", "Conv_n_y__1"]
    assert "Max 1.98" in lines[0]
    assert "-> 1.96" in lines[0]
    assert diff_profiles(entries(plan), entries(plan)[:-1]) == ["Conv_n_y__1:0: only in the first profile"]


def test_an_unedited_file_changes_nothing_and_is_never_overwritten(case, tmp_path):
    _, stats, plan = case
    path = tmp_path / "net.yaml"
    assert write_adjust(path, HEADER, plan, stats)
    assert read_adjust(path, HEADER, plan.profile_names.values()) == {}
    before = path.read_bytes()
    assert not write_adjust(path, HEADER, plan, stats)
    assert path.read_bytes() == before


def test_an_edit_is_final_and_only_what_depends_on_it_changes(case, tmp_path):
    graph, stats, plan = case
    path = tmp_path / "net.yaml"
    write_adjust(path, HEADER, plan, stats)
    edit(path, "Conv_n_a__1:0", Max="1.5e0", Min="-1e-3")
    found = read_adjust(path, HEADER, plan.profile_names.values())
    assert found == {"Conv_n_a__1:0": (-0.001, 1.5)}
    again = build_plan(graph, stats, QuantOptions(level=3, percent=99, limits=edited_limits(plan, found)))
    assert again.limits["a"] == (-0.001, 1.5)
    lines = changed_parameters(plan, again)
    assert len(lines) == 1
    assert lines[0].startswith("Conv_n_a__1:0: u8 ")
    assert {name for name in plan.tensors if plan.tensors[name] != again.tensors[name]} == {"a"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"Max": ".nan"}, "Conv_n_a__1:0: Max should be a finite number (got '.nan')"),
        ({"Max": ".inf"}, "Conv_n_a__1:0: Max should be a finite number (got '.inf')"),
        ({"Min": "wide"}, "Conv_n_a__1:0: Min should be a finite number (got 'wide')"),
        ({"Min": "true"}, "Conv_n_a__1:0: Min should be a finite number (got 'true')"),
        ({"Min": "3.0", "Max": "2.0"}, "Conv_n_a__1:0: Min is above Max (3.0 > 2.0)"),
        ({"NodeOutputName": "Conv_n_b__1:0"}, "Conv_n_b__1:0: the network has no tensor of this name; did you mean"),
        ({"NodeOutputName": "Input_x__1:0"}, "Input_x__1:0: is listed twice"),
    ],
)
def test_a_broken_edit_is_refused_by_name_and_place(case, tmp_path, change, message):
    _, stats, plan = case
    path = tmp_path / "net.yaml"
    write_adjust(path, HEADER, plan, stats)
    text = path.read_text()
    if "NodeOutputName" in change:
        path.write_text(text.replace('"Conv_n_a__1:0"', f'"{change["NodeOutputName"]}"'))
    else:
        edit(path, "Conv_n_a__1:0", **change)
    with pytest.raises(InputError) as caught:
        read_adjust(path, HEADER, plan.profile_names.values())
    assert message in str(caught.value)
    assert f"{path}:1" in str(caught.value)


def test_a_fixed_scale_cannot_be_edited(case, tmp_path):
    _, stats, plan = case
    path = tmp_path / "net.yaml"
    write_adjust(path, HEADER, plan, stats)
    edit(path, "Sigmoid_n_s__1:0", Max="0.5")
    with pytest.raises(InputError, match="Sigmoid_n_s__1:0: the scale of this tensor is fixed; take the edit back"):
        read_adjust(path, HEADER, plan.profile_names.values())


@pytest.mark.parametrize(
    ("header", "message"),
    [
        (AdjustHeader("beef", 3, "99"), "Model: was made for another model than beef (got 'cafe'); move the file away"),
        (AdjustHeader("cafe", 1, "99"), "Level: was made for another level than 1 (got '3')"),
        (AdjustHeader("cafe", 3, "98"), "Range: was made for another range than 98 (got '99')"),
    ],
)
def test_another_model_level_or_range_is_refused(case, tmp_path, header, message):
    _, stats, plan = case
    path = tmp_path / "net.yaml"
    write_adjust(path, HEADER, plan, stats)
    with pytest.raises(InputError) as caught:
        read_adjust(path, header, plan.profile_names.values())
    assert message in str(caught.value)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("text", ["", "a: [", "- 1", "Model: a", "\x00", "[" * 3000])
def test_other_files_are_refused(tmp_path, text):
    path = tmp_path / "net.yaml"
    path.write_text(text)
    with pytest.raises(InputError, match=r"net\.yaml"):
        read_adjust(path, HEADER, [])


def test_all_mistakes_at_once(case, tmp_path):
    _, stats, plan = case
    path = tmp_path / "net.yaml"
    write_adjust(path, HEADER, plan, stats)
    edit(path, "Input_x__1:0", Min="9.0")
    edit(path, "Conv_n_y__1:0", Max=".nan")
    with pytest.raises(InputError) as caught:
        read_adjust(path, HEADER, plan.profile_names.values())
    assert len(caught.value.diagnostics) == 2
