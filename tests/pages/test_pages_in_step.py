"""The Chinese pages say what the English ones say: the same headings, commands and tables, and no link into nothing."""

from __future__ import annotations

import re

import page_blocks
import pytest
from page_blocks import ROOT

PAIRS = {"README.md": "README.zh-CN.md"} | {
    f"docs/{name}": f"docs/zh-CN/{name}"
    for name in (
        "guide.md",
        "legacy.md",
        "deploy.md",
        *sorted(f"metrics/{path.name}" for path in (ROOT / "docs" / "metrics").glob("*.md")),
    )
}
_COMMENT = re.compile(r"(^|\s)#\s.*$", re.MULTILINE)


def text(page):
    return (ROOT / page).read_text(encoding="utf-8")


def bare(page):
    """Return the blocks of a page without their comments, which are in the reader's language."""
    return [
        (block.language, [line for line in _COMMENT.sub("", block.text).splitlines() if line.strip()], block.before)
        for block in page_blocks.blocks(page)
    ]


def tables(page):
    """Return columns and first cell of every row of every table; a first cell that is code is the same in both."""
    rows = re.findall(r"^\|(.*)\|$", page_blocks.without_blocks(text(page)), re.MULTILINE)
    cells = [re.split(r"(?<!\\)\|", row) for row in rows]
    return [(len(row), row[0].strip().split("`")[1] if row[0].strip().startswith("`") else "") for row in cells]


@pytest.mark.parametrize("page", PAIRS)
def test_a_page_has_the_headings_commands_and_tables_of_the_english_one(page):
    assert page_blocks.headings(text(PAIRS[page])) == page_blocks.headings(text(page))
    assert bare(PAIRS[page]) == bare(page)
    assert tables(PAIRS[page]) == tables(page)


@pytest.mark.parametrize("page", PAIRS.values())
def test_it_is_chinese(page):
    prose = re.sub(r"`[^`]*`|^\|.*\|$", "", page_blocks.without_blocks(text(page)), flags=re.MULTILINE)
    paragraphs = [part for part in re.split(r"\n\s*\n", prose) if len(re.findall(r"[A-Za-z]{2,}", part)) > 12]
    english = [part for part in paragraphs if len(re.findall(r"[一-鿿]", part)) < 20]
    assert [part for part in english if "](" not in part and " = " not in part] == []


@pytest.mark.parametrize("page", page_blocks.pages())
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)", page_blocks.without_blocks(text(page))):
        assert (ROOT / page).parent.joinpath(target).exists(), f"{page}: {target}"


def test_what_is_not_run_has_a_reason_and_is_listed():
    """Raise or lower a number here only with a look at the reason in the page."""
    listed = {"CONTRIBUTING.md": 1, "README.md": 2, "docs/environment.md": 1, "docs/guide.md": 3, "docs/tflite.md": 1}
    listed |= {"docs/metrics/custom.md": 3, "docs/deploy.md": 1, "docs/accuracy.md": 1}
    listed |= {PAIRS[page]: count for page, count in listed.items() if page in PAIRS}
    found = {
        page: [block.not_run for block in page_blocks.blocks(page) if block.not_run] for page in page_blocks.pages()
    }
    assert {page: len(reasons) for page, reasons in found.items() if reasons} == listed
    assert all(len(reason) > 10 for reasons in found.values() for reason in reasons)


def test_commands_stand_in_blocks_that_are_run():
    """A block without a language may hold a drawing, but no command."""
    for page in page_blocks.pages():
        for block in page_blocks.blocks(page):
            if block.language not in (*page_blocks.SHELL, "python", "yaml", "ini"):
                assert block.language == "", block.place
                assert not re.search(r"^(\$ |slimai |python )", block.text, re.MULTILINE), block.place
