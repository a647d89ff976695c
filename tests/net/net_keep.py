"""Networks that failed, as files: a long run goes on behind them, and each can be tried again."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
from net_builder import Case


def keep(folder: Path, stem: str, case: Case, error: Exception) -> None:
    """Write STEM.onnx, .npz (the samples), .json (the rest of the case) and .txt (what was wrong, the network)."""
    folder.mkdir(parents=True, exist_ok=True)
    stem = stem.replace(" ", "_").replace("/", "_")
    (folder / f"{stem}.onnx").write_bytes(case.model.SerializeToString())
    np.savez(
        folder / f"{stem}.npz", **{f"{number} {key}": v for number, d in enumerate(case.feeds) for key, v in d.items()}
    )
    rest = {"batch": case.batch, "rows": case.rows, "features": sorted(case.features), "indices": case.indices}
    (folder / f"{stem}.json").write_text(json.dumps({**rest, "host": case.host}, indent=1), encoding="utf-8")
    notes = "\n".join(getattr(error, "__notes__", ()))
    (folder / f"{stem}.txt").write_text(f"{error}\n{notes}\n{case!r}", encoding="utf-8")


def kept(path: Path) -> Case:
    """Return the case of a STEM.onnx that `keep` wrote."""
    rest = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
    samples: dict[int, dict[str, np.ndarray]] = {}
    with np.load(path.with_suffix(".npz")) as values:
        for key, value in values.items():
            number, _, name = key.partition(" ")
            samples.setdefault(int(number), {})[name] = value
    feeds = tuple(samples[number] for number in sorted(samples))
    indices = {name: (source, attrs) for name, (source, attrs) in rest["indices"].items()}
    host = tuple((op, reason) for op, reason in rest["host"])
    model = onnx.load(path)
    return Case(model, feeds, rest["batch"], tuple(rest["rows"]), frozenset(rest["features"]), indices, host)
