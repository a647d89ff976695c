"""Scores and sizes of the integer tables of every preset at levels 0 to 4, of two versions of slimai side by side.

Usage: SLIMAI_SHARED=../shared PYTHONPATH=TREE python benchmarks/presets.py OUT.json [--presets a,b]
           [--levels 0,1,2,3,4] [--images 60] [--calibration 32]
       python benchmarks/presets.py --compare BEFORE.json AFTER.json

Each cell is the main job as a user runs it, with the defaults of its version (aids, weight rounding), but for the
number of images: the score of what is delivered, and the bytes of `<name>_quant.npz`. TREE is the folder of the
version; the images are the first ones of the preset's lists. The report is left out: it changes neither. OUT.json is
written after each preset, and presets that it has already are not run again.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

LEVELS = (0, 1, 2, 3, 4)
NOTABLE = 0.01  # of the score: smaller differences are not marked
INSPECTIONS = ("slimai.app.delivery.inspection", "slimai.app.analysis")  # today's module, an earlier version's


def without_report() -> None:
    """Leave out the inspection of layers and the page."""
    for name in INSPECTIONS:
        try:
            kind = importlib.import_module(name).Inspection
        except ModuleNotFoundError:
            continue
        kind.finish = lambda *_: None


def overrides(preset: str, level: int, images: int, calibration: int, work: Path) -> list[str]:
    """Return the words of one run."""
    words = [
        f"+model={preset}",
        f"quantization.accuracy_level={level}",
        f"dataset.validation_count={images}",
        f"path.output_dir={work / preset / str(level)}",
        f"path.tmp_dir={work / preset / 'tmp'}",
    ]
    if not preset.endswith("_tflite"):
        words.append(f"dataset.calibration_count={calibration}")
    if preset.startswith("kws_dscnn"):
        words.append(f"path.image_dir={work / 'kws_arrays'}")
    return words


def measure(preset: str, given: argparse.Namespace) -> dict[str, Any]:
    """Return the figures of one preset: float score, and score, bytes and seconds of each level."""
    import slimai
    from slimai.errors import SlimaiError

    without_report()
    found: dict[str, Any] = {"levels": {}}
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        if preset.startswith("kws_dscnn"):
            from unpack_kws import unpack

            unpack(Path(os.environ["SLIMAI_SHARED"]) / "data" / "datasets" / "kws", work / "kws_arrays")
        for level in given.levels:
            started = time.perf_counter()
            try:
                result = slimai.run(overrides(preset, level, given.images, given.calibration, work))
            except SlimaiError as error:
                found["levels"][level] = {"refused": str(error)}
                continue
            size = sum(path.stat().st_size for path in Path(result.output_dir).glob("*_quant.npz"))
            seconds = time.perf_counter() - started
            found["levels"][level] = {"score": result.score, "bytes": size, "seconds": round(seconds, 1)}
            found["float"] = result.float_result and result.float_result.score
    return found


def run(given: argparse.Namespace) -> None:
    """Measure each preset in a process of its own."""
    import slimai

    out = Path(given.files[0])
    root = Path(slimai.__file__).resolve().parents[1]
    done = json.loads(out.read_text()) if out.exists() else {}
    names = given.presets or sorted(path.stem for path in (root / "conf" / "model").glob("*.yaml"))
    for name in names:
        if name in done:
            continue
        words = [sys.executable, __file__, "--one", name, "--images", str(given.images)]
        words += ["--calibration", str(given.calibration), "--levels", ",".join(map(str, given.levels))]
        told = subprocess.run(words, stdout=subprocess.PIPE, text=True, check=False)
        lines = told.stdout.strip().splitlines()
        done[name] = json.loads(lines[-1]) if told.returncode == 0 else {"failed": told.returncode}
        out.write_text(json.dumps(done, indent=1) + "\n")
        print(name, json.dumps(done[name]), flush=True)


def compare(before: dict[str, Any], after: dict[str, Any]) -> str:
    """Return a table in Markdown: score (kB) before -> after by level; what fell by more than a point is bold."""
    lines = ["| preset | float | " + " | ".join(map(str, LEVELS)) + " |", "| --- " * (len(LEVELS) + 2) + "|"]
    for name, new in sorted(after.items()):
        old = before.get(name, {})
        cells = [_cell(old.get("levels", {}).get(str(level)), new["levels"].get(str(level))) for level in LEVELS]
        lines.append(f"| {name} | {_number(new.get('float'))} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _cell(old: dict[str, Any] | None, new: dict[str, Any] | None) -> str:
    if new is None:
        return ""
    scores = [_number(item.get("score")) if item and "score" in item else "refused" for item in (old, new)]
    sizes = [f"{item['bytes'] / 1000:.0f}" if item and "bytes" in item else "-" for item in (old, new)]
    text = " → ".join(dict.fromkeys(scores))
    if old and "score" in old and "score" in new:
        fell = old["score"] - new["score"] > NOTABLE * max(1.0, abs(old["score"]))
        text = f"**{text}**" if fell else text
    return f"{text} ({' → '.join(dict.fromkeys(sizes))})"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}" if abs(value) < 10 else f"{value:.2f}"


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="*")
    parser.add_argument("--compare", action="store_true")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    parser.add_argument("--presets", type=lambda text: text.split(","))
    parser.add_argument("--levels", type=lambda text: [int(word) for word in text.split(",")], default=list(LEVELS))
    parser.add_argument("--images", type=int, default=60)
    parser.add_argument("--calibration", type=int, default=32)
    given = parser.parse_args()
    if given.compare:
        print(compare(*(json.loads(Path(path).read_text()) for path in given.files)))
    elif given.one:
        print(json.dumps(measure(given.one, given)))
    else:
        run(given)


if __name__ == "__main__":
    main()
