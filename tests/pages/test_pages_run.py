"""Every command block of the pages runs, and prints about what the page shows."""

from __future__ import annotations

import page_blocks
import pytest
from running import Reader, runs

PAGES = [page for page in page_blocks.commands() if any(runs(block) for block in page_blocks.blocks(page))]


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES)
def test_the_blocks_of_a_page_run(page, tmp_path):
    folder = tmp_path / "user"
    folder.mkdir()
    reader = Reader(folder)
    told = {block.place: reader.run(block) for block in page_blocks.blocks(page) if runs(block)}
    wrong = [f"{place}: {why}" for place, why in told.items() if why]
    assert not wrong, "\n\n".join(wrong)
