"""The kernel library: C text in `c/`, of which a network takes the kernels it calls, each for the types it needs.

A file is a row of pieces. ``/*@ helper NAME */`` begins a function that is taken as it stands;
``/*@ kernel NAME T... */`` one that is written for the types T, which are words of its text: ``x_t w_t b_t acc_t y_t
q_t`` and the function ``tail``; ``p_t`` is the type in which weights lie, which are then read as ``w_t``: bytes of two
where that is ``int4_t``. ``/*@ part NAME T... */`` begins a function that kernels of the same types call;
where ``tail`` has a form for eight channels at once, its `prepare` and `tails` (c/lanes.c) replace the plain ones.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files

FAMILIES = (
    "requantize", "lanes", "conv", "elementwise", "choice", "clamp", "tables", "normalised", "normalization", "softmax",
    "pool", "volume", "move", "resize", "argmax", "recurrent",
)  # fmt: skip
_MARK = re.compile(r"^/\*@ (helper|kernel|part) (\w+)((?: \w+)*) \*/\n", re.MULTILINE)
_COMMENT = re.compile(r"/\*.*?\*/", re.DOTALL)
_SHORT = {
    "int8_t": "s8",
    "uint8_t": "u8",
    "int16_t": "s16",
    "uint16_t": "u16",
    "int32_t": "s32",
    "int64_t": "s64",
    "int4_t": "s4",
}


@dataclass(frozen=True)
class Piece:
    """A function of the library: its text, and the words of it that stand for types."""

    kind: str
    name: str
    words: tuple[str, ...]
    text: str


@cache
def library() -> Mapping[str, Piece]:
    """Return every helper and kernel by name, in the order of the files."""
    found: dict[str, Piece] = {}
    for family in FAMILIES:
        text = _read(family)
        marks = list(_MARK.finditer(text))
        for mark, after in zip(marks, [*marks[1:], None], strict=True):
            body = text[mark.end() : after.start() if after else len(text)].strip() + "\n"
            if mark[2] in found:
                raise ValueError(f"the kernel library has two pieces {mark[2]} (the second in {family}.c)")
            found[mark[2]] = Piece(mark[1], mark[2], tuple(mark[3].split()), body)
    return found


def _read(family: str) -> str:
    return (files("slimai.codegen") / "c" / f"{family}.c").read_text(encoding="utf-8")


@dataclass
class KernelSet:
    """The kernels of one network, by the names that its calls use."""

    prefix: str
    made: dict[str, str] = field(default_factory=dict)
    parts: dict[str, str] = field(default_factory=dict)

    def use(self, kernel: str, **types: str) -> str:
        """Return the name of a kernel for these types (`tail`: the name of a requantization), and take it in."""
        piece = library()[kernel]
        if set(types) != set(piece.words) - {"q_t"}:
            raise ValueError(f"kernel {kernel} is written for {piece.words} (got {tuple(types)})")
        words = dict(types)
        if "tail" in words:
            words["q_t"] = f"{words['tail'].rsplit('_', 1)[0]}_table"
        halves = words.get("w_t") == "int4_t"
        endings = [_SHORT.get(words[word], words[word]) for word in piece.words if word != "q_t"]
        name = "_".join([self.prefix, kernel, *endings])
        if "w_t" in words:
            words |= {"w_t": "int8_t", "p_t": "uint8_t"} if halves else {"p_t": words["w_t"]}
        own = {"read_weights": "halves"} if halves else {}
        words["lanes_t"] = "plain_lanes"
        if words.get("tail") in ("xi_sym_s32", "gemmlowp_s32"):
            rule = words["tail"].removesuffix("_s32")
            words["lanes_t"] = f"{rule}_lanes"
            own |= {part: f"{rule}_{part}" for part in ("prepare", "tails")}
        for part in _called(piece.text, "part"):
            words[part] = self._part(own.get(part, part), words)
        text = piece.text.replace(f"void {kernel}(", f"void {name}(")
        self.made[name] = _replaced(text, words)
        return name

    def _part(self, name: str, words: Mapping[str, str]) -> str:
        """Return the name of a part for the types of its kernel, and take it in."""
        piece = library()[name]
        own = {word: words[word] for word in piece.words}
        endings = [_SHORT.get(kind, kind) for word, kind in own.items() if word != "q_t" or "tail" not in own]
        own[name] = "_".join([name, *endings])
        nested = {part: self._part(part, words) for part in _called(piece.text, "part") - {name}}
        self.parts[own[name]] = _replaced(piece.text, own | nested)
        return own[name]

    def header(self) -> str:
        """Return the declarations: shapes and tables, then the kernels in use."""
        types = (files("slimai.codegen") / "c" / "types.h").read_text(encoding="utf-8")
        faces = [_face(text) for _, text in sorted(self.made.items())]
        return f"{types}\n" + "\n".join(faces)

    def source(self) -> str:
        """Return the functions: the helpers that are needed, then the kernels in use."""
        own = [*self.parts.values(), *(text for _, text in sorted(self.made.items()))]
        wanted = _needed("\n".join(own))
        helpers = [piece.text for piece in library().values() if piece.name in wanted]
        return "\n".join([*helpers, *own])


def _face(text: str) -> str:
    start = re.search(r"^void ", text, re.MULTILINE)
    if start is None:
        raise ValueError(f"no function in a kernel: {text[:60]}")
    head = text[start.start() : text.index("\n{", start.start())]
    return f"{head};\n"


def _replaced(text: str, words: Mapping[str, str]) -> str:
    if not words:
        return text
    pattern = re.compile(r"\b(" + "|".join(words) + r")\b")
    return pattern.sub(lambda found: words[found[1]], text)


def _called(text: str, kind: str) -> set[str]:
    """Return the pieces of this kind that a text calls."""
    return {name for name in re.findall(r"(\w+)\(", _COMMENT.sub("", text)) if _kind(name) == kind}


def _kind(name: str) -> str:
    piece = library().get(name)
    return "" if piece is None else piece.kind


def _needed(text: str) -> set[str]:
    """Return the helpers that a text calls, and those that they call."""
    found: set[str] = set()
    waiting = [text]
    while waiting:
        for word in _called(waiting.pop(), "helper") - found:
            found.add(word)
            waiting.append(library()[word].text)
    return found
