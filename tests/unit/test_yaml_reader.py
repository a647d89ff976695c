"""YAML within bounds: what blows up is refused at its line, what does not fit its tag at its place."""

from __future__ import annotations

import time

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from slimai.app.commands.validate import check
from slimai.config.target import load_target
from slimai.errors import InputError
from slimai.quantizer.adjust import AdjustHeader, read_adjust
from slimai.quantizer.mix_rules import parse_rules
from slimai.quantizer.profile import read_profile
from slimai.yaml_reader import CONFIG, DATA, YamlLimits, check_scalars, compose_yaml

SECONDS = 5.0


def bomb(levels: int, wide: int = 9, opened: str = "[", closed: str = "]") -> str:
    lines = [f"a0: &a0 [{','.join('x' * wide)}]"]
    lines += [f"a{n}: &a{n} {opened}{','.join([f'*a{n - 1}'] * wide)}{closed}" for n in range(1, levels)]
    return "\n".join(lines)


MERGED = "a0: &a0 {x: 1}\n" + "\n".join(f"a{n}: &a{n} {{<<: [{','.join([f'*a{n - 1}'] * 9)}]}}" for n in range(1, 12))
IN_A_KEY = (
    "- nodes: [a]\n  ? [&a0 [x,x,x,x,x,x,x,x,x], "
    + ", ".join(f"&a{n} [{','.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 10))
    + "]\n  : 1\n"
)
BOMBS = {"lists": bomb(10), "merged mappings": MERGED, "in a key": IN_A_KEY, "inside itself": "a: &a [*a, *a]"}
HEADER = AdjustHeader("m", 1, "100")
READERS = {
    "rules": lambda path: parse_rules(path.read_text(), str(path)),
    "profile": lambda path: read_profile(path.read_text(), str(path)),
    "adjust": lambda path: read_adjust(path, HEADER, ["a"]),
    "configuration": lambda path: load_target([str(path)]),
}


@pytest.mark.parametrize("reader", READERS.values(), ids=READERS)
@pytest.mark.parametrize("text", BOMBS.values(), ids=BOMBS)
def test_aliases_that_multiply_are_refused_at_their_line(tmp_path, text, reader):
    path = tmp_path / "x.yaml"
    path.write_text(text)
    start = time.process_time()
    with pytest.raises(InputError, match=r"x\.yaml:\d+:\d+: (aliases repeat more than 10000 values|the alias \*a)"):
        reader(path)
    assert time.process_time() - start < SECONDS


def test_a_preset_of_the_own_folder_is_looked_at_before_hydra_copies_it(tmp_path, monkeypatch):
    (tmp_path / "conf" / "model").mkdir(parents=True)
    (tmp_path / "conf" / "model" / "bomb.yaml").write_text(bomb(10))
    monkeypatch.chdir(tmp_path)
    (found,) = check(["+model=bomb"])
    assert (found.message, found.line) == ("aliases repeat more than 10000 values", 5)


def test_ordinary_aliases_and_merges_are_read():
    node = compose_yaml("a: &a {x: 1, y: [1, 2]}\nb: {<<: *a, z: 3}\nc: [*a, *a]\nd: &d 5\ne: *d\n", "f")
    assert not check_scalars(node, "f")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[" * 100, "f:1:65: nested deeper than 64 levels"),
        ("a: *b", "f:1:4: not valid YAML: found undefined alias; check indentation, colons and quotes"),
        ("a: 1\n--- b", "f:2:1: not valid YAML: but found another document; check indentation, colons and quotes"),
        ("a: \0", "f: not valid YAML: control characters are not allowed"),
    ],
)
def test_the_message(text, message):
    with pytest.raises(InputError) as caught:
        compose_yaml(text, "f")
    assert str(caught.value) == message


def test_long_texts_and_many_values_are_refused():
    with pytest.raises(InputError, match=r"too large .*\(1048577 bytes\); at most 1 MiB"):
        compose_yaml(" " * (CONFIG.size + 1), "f", CONFIG)
    with pytest.raises(InputError, match="more than 20000 values"):
        compose_yaml(f"[{'a,' * 20_000}]", "f", CONFIG)
    start = time.process_time()
    with pytest.raises(InputError, match="more than 1000000 values"):
        compose_yaml(f"[{'a,' * (DATA.size // 2 - 1)}]", "f", DATA)
    assert time.process_time() - start < 25  # 4 without a tracer


def test_scalars_that_do_not_fit_their_tag_are_named_at_their_place():
    integers = f"c: {'7' * 400}\nd: !!int\ne: 0x{'f' * 5000}\n"
    text = f"a: !!bool maybe\nb: !!timestamp x\n{integers}g: !!python/name:os.system x\n"
    found = check_scalars(compose_yaml(text, "f"), "f")
    assert [(item.line, item.column, item.message) for item in found] == [
        (1, 4, "is no value of the type bool"),
        (2, 4, "is no value of the type timestamp"),
        (3, 4, "is an integer of more than 64 bits"),
        (4, 4, "is no value of the type int"),
        (5, 4, "is an integer of more than 64 bits"),
        (6, 4, "is no value of the type os.system"),
    ]


@pytest.mark.parametrize("text", ["9" * 400, "!!bool maybe", "!!timestamp x", "!!int", "!!float x", "[1]", "{}"])
def test_an_adjust_file_names_file_line_and_key(tmp_path, text):
    path = tmp_path / "adjust.yaml"
    head = 'Model: "m"\nLevel: "1"\nRange: "100"\nNodes:\n'
    row = f'- NodeOutputName: "t"\n  Min: {text}\n  Max: 1.0\n  GeneratedMin: 0.0\n  GeneratedMax: 1.0\n'
    path.write_text(head + row)
    with pytest.raises(InputError, match=rf"{path}:6:\d+: t: Min (should be|is)") as caught:
        read_adjust(path, HEADER, ["t"])
    assert len(caught.value.diagnostics) == 1


words = st.sampled_from(
    ["&a ", "*a", "&b ", "*b", "[", "]", "{", "}", ", ", ": ", "\n", "- ", "  ", "? ", "<<", "x", "1", "!!int ",
     "!!bool ", "!!timestamp ", "!!binary ", "!!set ", "!x ", "|\n", ">\n", "'", '"', "0x", "9" * 400, "1:30", ".inf",
     "~", "#"]
)  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(st.lists(words, max_size=40).map("".join))
def test_any_document_ends_in_a_node_or_one_message(text):
    limits = YamlLimits(size=100_000, values=1000, copies=50, depth=10)
    try:
        node = compose_yaml(text, "f", limits)
    except InputError:
        return
    if node is not None and not check_scalars(node, "f"):
        assert written_out(node) <= 1000 + 50 + 1


def written_out(node):
    """Return the number of values when every alias is written out; the reader has bounded it."""
    if isinstance(node, yaml.ScalarNode):
        return 1
    parts = [part for pair in node.value for part in pair] if isinstance(node, yaml.MappingNode) else node.value
    return 1 + sum(written_out(part) for part in parts)
