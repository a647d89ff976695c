"""The catalogue: compiled as gettext reads it, its entries are what the program says, and how much of that it has."""

from __future__ import annotations

import io
import re
from gettext import GNUTranslations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from said import everything, page_texts, told

from slimai.language import known
from slimai.language_catalogue import catalogues, compiled, read_po

[SOURCE] = catalogues()
MESSAGES = read_po(SOURCE.read_text(encoding="utf-8"))
HOLE = re.compile(r"\{(\d*)\}")
# what Python's argparse and pydantic say, one-word values, and words that stand in values
ELSEWHERE = re.compile(
    r"usage|show this help|the following arguments|unrecognized arguments|argument \{\}|options|positional|"
    r"Input should be|done|failed|interrupted|partial|missed|(valid|invalid): |init |compare |\{\} of \{\} job"
)
# lines that the templates of the report put together from pieces
PIECED = re.compile(
    r".*quantization report|.*not delivered: |no: |Estimated .*: \{\}|fixed: |\{\}, (float|fixed)|"
    r"without an interval: .*\.|float \{\}|\{\} (object|box)|\{\} \(delivered\)"
)
STALE = 0.02  # of the entries; take them out when they are seen
WORDS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=20)


def test_the_compiled_catalogue_is_that_of_its_source():
    assert SOURCE.with_suffix(".mo").read_bytes() == compiled(MESSAGES), "run: python -m slimai.language_catalogue"


@settings(deadline=None)
@given(st.dictionaries(WORDS, WORDS, max_size=12))
def test_gettext_reads_what_is_compiled(messages):
    header = {"": "Content-Type: text/plain; charset=UTF-8\n"}
    read = GNUTranslations(io.BytesIO(compiled(header | messages)))
    assert all(read.gettext(text) == so for text, so in messages.items())


@pytest.mark.parametrize("line", ["msgid no quotes", "nonsense", 'msgid "a"\nmsgstr "b"\nmsgid "a"\nmsgstr "c"'])
def test_a_source_that_is_none_is_refused(line):
    with pytest.raises((ValueError, SyntaxError)):
        read_po(line)


def test_translations_use_the_values_of_their_message():
    for text, so in MESSAGES.items():
        count, used = len(HOLE.findall(text)), HOLE.findall(so)
        if all(not number for number in used):
            assert len(used) == count, text
        elif all(used):
            assert sorted(map(int, used)) == list(range(count)), text
        else:  # in order, but for those that have a number
            assert len(used) == count, text


def test_entries_are_what_the_program_says():
    """An entry that no text of the source can become is one that was forgotten when the text changed."""
    told = [text for text in MESSAGES if text and not ELSEWHERE.match(text) and not PIECED.match(text)]
    stale = [text for text in told if not is_said(text)]
    assert len(stale) <= STALE * len(told), stale


def is_said(text):
    parts = HOLE.sub("{}", text).split("{}")
    pattern = re.compile("(.*?)".join(map(re.escape, parts)), re.DOTALL)
    longest = max(parts, key=len)
    return text in everything() or any(pattern.fullmatch(item) for item in everything() if longest in item)


def untranslated(texts):
    return [text for text in texts if not known(text, "zh")]


# the share of the day it was set, with room for a few new messages; lower it, do not raise it
UNTRANSLATED = {"schema/": 0.05, "config/": 0.1, "app/": 0.1, "report/": 0.25, "metrics/": 0.05, "": 0.05}


@pytest.mark.parametrize("folder", UNTRANSLATED)
def test_how_many_messages_have_no_translation(folder):
    texts = told(folder)
    left = untranslated(texts)
    assert len(left) <= UNTRANSLATED[folder] * len(texts), f"{len(left)} of {len(texts)}: {left}"


def test_the_texts_of_the_report_are_translated():
    assert untranslated(page_texts()) == []
