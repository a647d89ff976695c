"""Image lists: line 1 the number of samples, then ``<path>[,<path>...] [<label>[,<label>...]]`` a line."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from slimai.data.sample import Sample
from slimai.encodings import CURE, decoded
from slimai.errors import Diagnostic

SHOWN = 20
MORE_COLUMNS = (
    "more than two columns: several inputs of a sample, or labels, are separated by commas without blanks "
    "(left.png,right.png 3), and names hold no white space"
)


@dataclass(frozen=True)
class _Line:
    number: int
    text: str


def parse_image_list(
    path: str | Path, image_dir: str | Path, count: int | None = None, *, look: bool = True
) -> tuple[tuple[Sample, ...], list[Diagnostic]]:
    """Return the samples of a list and everything that is wrong with it; never raises for any content.

    The count line may be missing. Blank lines, a byte order mark and CRLF are accepted. Pictures are
    looked for but not opened.

    Args:
        path: the list.
        image_dir: folder that relative picture paths start from.
        count: take the first `count` samples only; None takes all. Lines after them are not checked.
        look: whether pictures that are not there are mistakes.
    """
    where = str(path)
    try:
        data = Path(path).read_bytes()
    except (OSError, ValueError) as error:
        return (), [Diagnostic(f"the list cannot be read: {_reason(error)}", file=where)]
    try:
        text = decoded(data)
    except ValueError as error:
        return (), [Diagnostic(f"the list {error}", file=where, suggestion=CURE)]
    lines = [_Line(number, line) for number, line in enumerate(text.split("\n"), 1) if line.strip()]
    stated, lines = _stated_count(lines)
    found = _count_problems(stated, len(lines), count, where)
    limit = min(item for item in (len(lines), stated and stated[1], count) if item is not None)
    samples, problems = _samples(lines[:limit], Path(image_dir), where, look=look)
    return samples, [*found, *problems]


def _reason(error: BaseException) -> str:
    return getattr(error, "strerror", None) or str(error)


def _stated_count(lines: list[_Line]) -> tuple[tuple[int, int] | None, list[_Line]]:
    """Return ((line number, count), the rest) when the first line is a whole number, else (None, all)."""
    first = lines[0].text.strip() if lines else ""
    if first.isascii() and first.isdigit() and len(first) <= 18:
        return (lines[0].number, int(first)), lines[1:]
    return None, lines


def _count_problems(stated: tuple[int, int] | None, held: int, count: int | None, where: str) -> list[Diagnostic]:
    found = []
    if stated is not None and stated[1] > held:
        message = f"the list says {stated[1]} samples, but {held} lines follow"
        found.append(Diagnostic(message, suggestion="correct the first line", file=where, line=stated[0]))
    available = held if stated is None else min(stated[1], held)
    if available == 0 and not found:
        found.append(Diagnostic("the list holds no samples", file=where))
    if count is not None and available and count > available:
        message = f"{count} samples are asked for, but the list holds {available}"
        found.append(Diagnostic(message, suggestion=f"ask for at most {available}", file=where))
    return found


def _samples(
    lines: list[_Line], image_dir: Path, where: str, *, look: bool
) -> tuple[tuple[Sample, ...], list[Diagnostic]]:
    samples: list[Sample] = []
    problems: list[Diagnostic] = []
    dotted: list[tuple[int, str]] = []
    for line in lines:
        names, labels, problem = _columns(line.text)
        if not problem and samples and len(names) != len(samples[0].files):
            problem = f"{len(names)} inputs, but line {samples[0].line} has {len(samples[0].files)}"
        if problem:
            problems.append(Diagnostic(problem, value=line.text.strip(), file=where, line=line.number))
            continue
        files = tuple(image_dir / name for name in names)
        problems.extend(_missing(files, where, line.number) if look else [])
        dotted.extend((line.number, item.name) for item in files if "." in item.stem)
        samples.append(Sample(len(samples), files, labels, None, where, line.number))
    return tuple(samples), [*_shortened(problems, where), *_dot_warning(dotted, where)]


def _columns(text: str) -> tuple[tuple[str, ...], tuple[str, ...], str]:
    """Return (paths, labels, what is wrong or '')."""
    words = text.split()
    if len(words) > 2:
        return (), (), MORE_COLUMNS
    names = tuple(words[0].split(","))
    labels = tuple(words[1].split(",")) if len(words) == 2 else ()
    if "" in names or "" in labels:
        return (), (), "an empty name between commas"
    if any(not character.isprintable() for character in text.strip().replace("\t", " ")):
        return (), (), "a character that cannot be printed"
    return names, labels, ""


def _missing(files: tuple[Path, ...], where: str, number: int) -> list[Diagnostic]:
    found = []
    for file in files:
        try:
            present = file.is_file()
        except (OSError, ValueError):  # a name that is too long, for instance
            present = False
        if not present:
            found.append(Diagnostic("there is no such file", value=str(file), file=where, line=number))
    return found


def _shortened(problems: list[Diagnostic], where: str) -> list[Diagnostic]:
    rest = len(problems) - SHOWN
    more = [Diagnostic(f"and {rest} more mistakes like these", file=where)] if rest > 0 else []
    return [*problems[:SHOWN], *more]


def _dot_warning(dotted: list[tuple[int, str]], where: str) -> list[Diagnostic]:
    if not dotted:
        return []
    number, name = dotted[0]
    others = f" and {len(dotted) - 1} more" if len(dotted) > 1 else ""
    message = f"'{name}'{others}: a dot inside the stem, which the vendor's tools refuse"
    return [Diagnostic(message, file=where, line=number, severity="warning")]
