"""Overrides and interpolations that Hydra or OmegaConf fall over, or that never end: one message with the words."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf

from slimai.app.commands.validate import check
from slimai.app.launch.preflight import preflight, read_words
from slimai.config.compose import compose_job, expand_sweep, hydra_ready
from slimai.config.expansion import LARGEST, require_bounded
from slimai.errors import InputError

WORDS = {
    "target=[0,1]": "the override cannot be applied (TypeError",
    "+=x": "the override cannot be applied (AssertionError",
    "network.input_node_name=[[1]]": "should be names of inputs",
    "target=${oc.decode:'nan'}": "the override cannot be applied (AssertionError",
    f"quantization.range={'9' * 5000}": "the override does not parse: Exceeds the limit (4300 digits)",
    f"smart_search.seed={'9' * 4000}": "smart_search.seed",
    f"network.name={'[' * 3000}": "the override does not parse",
}


@pytest.mark.parametrize(("word", "message"), WORDS.items(), ids=[word[:20] for word in WORDS])
def test_the_message_names_the_override(word, message):
    (found,) = check(["+model=yolo", word])
    assert message in str(found)
    assert str(found).startswith(f"override '{word[:250]}")
    assert len(str(found)) < 1000


@pytest.mark.parametrize("word", ["hydra.sweeper.params={a:1}", "hydra.job=3"])
def test_overrides_of_hydra_itself(word):
    with pytest.raises(InputError) as caught:
        preflight(read_words(["+model=yolo", word]))
    assert word in str(caught.value)


def test_a_sweep_of_too_many_jobs_makes_no_list_of_them():
    start = time.process_time()
    for word in ("quantization.range=range(0,1000000000)", "quantization.range=range(0,1,0.000000001)"):
        with hydra_ready(), pytest.raises(InputError, match="the sweep has more than 10000 jobs"):
            expand_sweep(["+model=yolo", word])
    many = ",".join(map(str, range(101)))
    with hydra_ready(), pytest.raises(InputError, match="more than 10000 jobs"):
        expand_sweep(["+model=yolo", f"quantization.range={many}", f"smart_search.seed={many}"])
    assert time.process_time() - start < 5


def chain(levels, wide, form="{}"):
    lines = {f"a{n}": "".join([f"${{a{n - 1}}}"] * wide) for n in range(1, levels)}
    return {"a0": "x" * 10, **lines}


BOMBS = {
    "text": chain(10, 9),
    "lists": {"a0": ["x"] * 9} | {f"a{n}": [f"${{a{n - 1}}}"] * 9 for n in range(1, 10)},
    "relative": {"s": {"a0": "x" * 10} | {f"a{n}": f"${{.a{n - 1}}}" * 9 for n in range(1, 10)}},
    "select": {"a0": "x" * 10} | {f"a{n}": f"${{oc.select:a{n - 1}}}" * 9 for n in range(1, 10)},
    "computed": {f"n{n}": f"a{n}" for n in range(10)} | {"a0": "x"} | {
        f"a{n}": f"${{${{n{n - 1}}}}}" * 9 for n in range(1, 10)},
    "long": chain(3, 2000) | {"a0": "x" * 1000},
}  # fmt: skip


@pytest.mark.parametrize("values", BOMBS.values(), ids=BOMBS)
def test_interpolations_that_multiply_are_refused_unresolved(values):
    start = time.process_time()
    with pytest.raises(InputError, match="interpolations expand to more than 1048576 characters"):
        require_bounded(values)
    assert time.process_time() - start < 2


def test_a_preset_with_such_a_chain(tmp_path):
    path = tmp_path / "x.yaml"
    path.write_text("".join(f"{key}: {value}\n" for key, value in chain(10, 9).items()))
    (found,) = check([str(path)])
    assert (found.message, found.key) == ("interpolations expand to more than 1048576 characters", "a6")


@settings(max_examples=150, deadline=None)
@given(st.dictionaries(st.sampled_from("abcdef"), st.lists(st.sampled_from(
    ["${a}", "${b}", "${.c}", "${d.e}", "${oc.select:a}", "${${f}}", "x", "b", "$", "{", "}", "\\"]), max_size=3)
    .map("".join) | st.just({"e": "${a}"}), max_size=6))  # fmt: skip
def test_what_is_let_through_is_as_small_as_it_says(values):
    require_bounded(values)  # so few cannot reach the bound
    try:
        resolved = OmegaConf.to_container(OmegaConf.create(values), resolve=True)
    except Exception:  # noqa: BLE001 - a reference to nothing, a loop
        return
    assert len(str(resolved)) < LARGEST


text = st.text(st.sampled_from("abz=[]{},:.+~$'\"()0 9-/\\@\n\u4e2d"), max_size=12)
heads = st.sampled_from(
    ["", "+", "++", "~", "target", "model", "hydra.job", "network.resize", "quantization.range", "stages"]
)


@settings(max_examples=60, deadline=None)
@given(heads, text)
def test_any_override(head, tail):
    for item in check(["+model=yolo", f"{head}={tail}"]):
        assert "internal" not in str(item)


def test_letters_beyond_ascii_need_no_quotes():
    with hydra_ready():
        composed = compose_job(["+model=yolo", "path.output_dir=/tmp/结果", "network.name=caf\udce9"])
    assert composed.values["path"]["output_dir"] == "/tmp/结果"  # noqa: S108 - a value
    assert composed.values["network"]["name"] == "caf\udce9"
