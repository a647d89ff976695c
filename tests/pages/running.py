"""Runs the blocks of one page in order, in one folder of a user who has slimai and nothing else."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from page_blocks import ROOT, SHELL, Block
from shown import missing

COLUMNS = "200"
SECONDS = 900
DIFFERENT = 3  # exit code of `slimai compare`


class Reader:
    """A folder with a `slimai` on its path. Every block runs in the folder; what one leaves the next may use."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        programs = folder.parent / f"{folder.name}_bin"
        programs.mkdir()
        program = programs / "slimai"
        program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m slimai "$@"\n')
        program.chmod(0o755)
        path = os.pathsep.join((str(programs), str(Path(sys.executable).parent), os.environ["PATH"]))
        source = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
        own = {
            "PATH": path,
            "PYTHONPATH": source,
            "SLIMAI_PAGES": str(Path(__file__).parent),
            "SLIMAI_ROOT": str(ROOT),
            "COLUMNS": COLUMNS,
        }
        self.environment = {**os.environ, **own, "NO_COLOR": "1", "SLIMAI_LANG": "en"}
        self.environment.pop("SLIMAI_DEBUG", None)

    def run(self, block: Block) -> str | None:
        """Return what is wrong with a block: how it ended, or the line that the page shows and it does not print."""
        if block.before and (told := self._shell(block.before, [])):
            return f"before it: {told}"
        if block.language == "python":
            return self._ended([sys.executable, "-c", block.text], [])
        return next((told for command, shown in block.steps() if (told := self._shell(command, shown))), None)

    def _shell(self, text: str, shown: list[str]) -> str | None:
        compares = text.lstrip().startswith("slimai compare ") and "\n" not in text.strip()
        return self._ended(["bash", "-e", "-o", "pipefail", "-c", text], shown, (0, DIFFERENT) if compares else (0,))

    def _ended(self, command: list[str], shown: list[str], codes: tuple[int, ...] = (0,)) -> str | None:
        done = subprocess.run(
            command,
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
        if done.returncode not in codes:
            return f"ended with {done.returncode}: {done.stderr[-2000:]}{done.stdout[-1000:]}"
        line = missing(shown, done.stdout.replace(f"{self.folder}/", ""))  # pages show paths from the folder on
        return None if line is None else f"does not print {line!r} but\n{done.stdout[-3000:]}"


def runs(block: Block) -> bool:
    """Return whether the block is one that a test runs."""
    return block.language in (*SHELL, "python") and not block.not_run
