"""The result files of a run, as equal runs must leave them."""

from __future__ import annotations

from pathlib import Path

# what may differ between equal runs, and the state that is not a result
OTHER = frozenset({"timings.json", "slimai.log", ".slimai.lock"})
PLACES = (b"output_dir:", b"tmp_dir:", b"workers:")  # lines of the lock that equal runs may have of their own


def result_files(output: Path) -> dict[str, bytes]:
    """Return the result files by their path in the output folder; of the lock what equal runs have in common."""
    found = (path for path in output.rglob("*") if path.is_file() and path.name not in OTHER)
    names = {path.relative_to(output).as_posix(): path for path in found}
    return {name: without_places(name, path.read_bytes()) for name, path in names.items() if ".slimai/" not in name}


def without_places(name: str, data: bytes) -> bytes:
    """Return the bytes of a result file; of the lock without the lines that tell folders and workers."""
    if name != "run.lock.yaml":
        return data
    return b"".join(line for line in data.splitlines(keepends=True) if not line.strip().startswith(PLACES))
