"""How inputs are made: sound seeds with a few edits, at bytes, at words, or in the structure."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

YAML_WORDS = [
    b"&a ",
    b"*a",
    b"&b ",
    b"*b",
    b"<<: *a",
    b"!!int ",
    b"!!bool maybe",
    b"!!timestamp x",
    b"!!binary x",
    b"!!set ",
    b"!x ",
    b"!!python/object:os.system x",
    b"0x" + b"f" * 5000,
    b"9" * 400,
    b"1:30:20",
    b".inf",
    b".nan",
    b"~",
    b"? [a]\n: 1\n",
    b"- ",
    b": ",
    b"\n",
    b"  ",
    b"#",
    b"'",
    b'"',
    b"|\n",
    b">\n",
    b"[",
    b"]",
    b"{",
    b"}",
    b"%YAML 9\n---\n",
    b"---\n",
    b"${a}",
    b"${oc.env:HOME}",
    b"${.x}",
    b"\xff",
    b"\0",
    b"\xe2\x80\xa8",
    b"\x1b[0m",
    b"null",
    b"-1",
    b"1e999",
    b"y",
]


def bomb(rng: random.Random) -> bytes:
    """Return lists, mappings or merges of aliases of aliases, at random depth, width and place."""
    levels, wide = rng.randint(2, 12), rng.randint(2, 10)
    form = rng.choice(["[{}]", "{{k0: {}}}", "{{<<: [{}]}}"])
    lines = ["a0: &a0 [x, y]" if form == "[{}]" else "a0: &a0 {x: 1}"]
    for level in range(1, levels):
        names = [f"*a{level - 1}"] * wide
        inner = (
            ", ".join(names)
            if "k0" not in form
            else ", ".join(f"{'' if n == 0 else f'k{n}: '}{name}" for n, name in enumerate(names))
        )
        lines.append(f"a{level}: &a{level} " + form.format(inner))
    if rng.random() < 0.4:  # all of it as the key of a rule
        flat = ", ".join(line.partition(": ")[2] for line in lines)
        return f"- nodes: [conv]\n  intypes: [s16]\n  ? [{flat}]\n  : 1\n".encode()
    return ("\n".join(lines) + "\n").encode()


def edited(rng: random.Random, seed: bytes, words: Sequence[bytes], most: int = 3) -> bytes:
    """Return the seed with one to `most` cuts, copies, splices, flipped bytes or swapped words."""
    data = bytearray(seed)
    for _ in range(rng.randint(1, most)):
        at = rng.randrange(len(data) + 1)
        end = min(len(data), at + rng.randint(0, 24))
        match rng.randrange(6):
            case 0:
                del data[at:end]
            case 1:
                data[at:at] = data[at:end] * rng.randint(1, 3)
            case 2:
                data[at:at] = rng.choice(words)
            case 3:
                data[at:end] = rng.choice(words)
            case 4 if at < len(data):
                data[at] = rng.randrange(256)
            case 5:
                values = bytes(data).split(b" ")
                values[rng.randrange(len(values))] = rng.choice(words)
                data = bytearray(b" ".join(values))
    return bytes(data)


def yaml_text(rng: random.Random, seed: bytes) -> bytes:
    """Return a mutated YAML document, one in eight with aliases that multiply."""
    return bomb(rng) if rng.random() < 0.125 else edited(rng, seed, YAML_WORDS)


SCALARS: list[Any] = [
    None,
    True,
    0,
    -1,
    1,
    7,
    2**31,
    2**63,
    10**30,
    0.5,
    -0.0,
    1e308,
    float("inf"),
    float("nan"),
    "",
    "x",
    "s8",
    "1",
    "\x1b[0m",
    "\udcff",
    "a" * 300,
    [],
    {},
    [[1]],
    {"a": 1},
    [None],
]


def tree_edit(rng: random.Random, value: Any) -> Any:
    """Return plain values with one place dropped, doubled, or taken by something else."""
    places = list(_places(value, ()))
    path = rng.choice(places)
    return _changed(rng, value, path)


def _places(value: Any, path: tuple[Any, ...]) -> Any:
    yield path
    if isinstance(value, dict):
        for key in value:
            yield from _places(value[key], (*path, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _places(item, (*path, index))


def _changed(rng: random.Random, value: Any, path: tuple[Any, ...]) -> Any:
    if not path:
        return rng.choice(SCALARS)
    copy = dict(value) if isinstance(value, dict) else list(value)
    if len(path) > 1:
        copy[path[0]] = _changed(rng, copy[path[0]], path[1:])
    elif rng.random() < 0.25:
        del copy[path[0]]
    elif rng.random() < 0.2 and isinstance(copy, list):
        copy.append(copy[path[0]])
    elif rng.random() < 0.2 and isinstance(copy, dict):
        copy[rng.choice(["x", "Min", "nodes", "id", "", "é"])] = copy.pop(path[0])
    else:
        copy[path[0]] = rng.choice(SCALARS)
    return copy
