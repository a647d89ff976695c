"""Scores of the labelled networks: float, levels 0..4, accuracy aids, and peers on the same images.

Usage: SLIMAI_SHARED=../shared python benchmarks/accuracy.py [--networks a,b] [--levels 0,1,2,3,4]
       [--images N] [--calibration N] [--aids default,none,fold+eq+act+bc,...] [--methods 100,p99.99,ImprovedMSE]
       [--peers ort:MinMax,ort:Percentile,ort:Entropy,nncf:mixed,aimet:min_max] [--json out.json]
       [--from a.json b.json ...]

The networks and pictures are those of conf/model that need SLIMAI_SHARED. Each row gives scores and signal-to-noise
ratios; at the end come means over networks of score / float score (accuracy_summary.py). `--levels ""` runs peers
alone, in an environment of their own if need be; `--from` prints the summary of several files. Aids: default = those of
slimai.quantizer.rewrites.aids, fold constant channels, eq weights, act = eq with activations, clamp = eq through clamps
(on a target that has one a channel), bc = analytic bias correction, emp = empirical, clip = clipped weights, absorb =
biases absorbed (absorb3s: mean - 3 sigma of a channel, not its smallest value), cluster = channels clustered by range
(all = everywhere), tails = tails clipped. default+absorb, default+clamp add one.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from accuracy_aids import run
from accuracy_bench import Bench
from accuracy_peers import Task, outputs_of, version
from accuracy_summary import as_row, print_summary

NETWORKS = (
    "kws_dscnn",
    "resnet20_cifar10",
    "mobilenet_v1_imagenet",
    "mobilenetv2_yolov3_nano_voc",
    "ultraface_ssd",
    "faceboxes_ssd",
    "yolo_fastest_coco",
    "yolox_nano_coco",
    "espnet_camvid",
    "portrait_segmentation",
    "fsrcnn_x2",
)


def variants(text: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield (label, options) of each `name[+name...]` in a comma list: none, eq, bc, clip, default."""
    for label in text.split(","):
        yield label, {part: True for part in label.split("+") if part not in {"none", ""}}


def settings_of(method: str) -> dict[str, Any]:
    """Return the quantizer's options of `100` (range in percent), `p99.99` (share of the mass) or a method's name."""
    if method.startswith(("Improved", "Mean")):
        return {"method": method}
    if method.startswith("p"):
        return {"percent": float(method[1:]), "range_mode": "percentile"}
    return {"percent": float(method)}


def own_rows(bench: Bench, given: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Print and yield a row for each combination of aids and method."""
    cache: dict[Any, Any] = {}
    for label, aids in variants(given.aids):
        for method in listed(given.methods):
            start = time.perf_counter()
            extra = settings_of(method)
            scores = {level: run(bench, int(level), aids, extra, cache) for level in listed(given.levels)}
            shown = "  ".join(f"{level}: {score.score:.4f} {score.sqnr:5.2f}dB" for level, score in scores.items())
            print(f"  {label:10s} {method:18s} {shown}  ({time.perf_counter() - start:.0f} s)", flush=True)
            yield {"network": bench.name, "float": bench.float_score, "aids": label, "method": method, **scores}


def peer_rows(bench: Bench, peers: Iterable[str], work: Path) -> Iterator[dict[str, Any]]:
    """Print and yield a row for each peer; one that fails on this network has the reason in place of a score."""
    from slimai.graph.save import to_onnx

    source = work / f"{bench.name}.onnx"
    source.write_bytes(to_onnx(bench.job.graph).SerializeToString())
    task = Task(source, bench.calibration, [arrays for _, arrays in bench.validation])
    for peer in peers:
        start = time.perf_counter()
        tool, _, method = peer.partition(":")
        row = {"network": bench.name, "float": bench.float_score, "aids": tool, "method": method}
        try:
            score = bench.score(outputs_of(peer, task))
        except Exception as error:  # noqa: BLE001 - whatever the tool raises is a finding of this benchmark
            reason = f"{type(error).__name__}: {error}".splitlines()[0]
            print(f"  {tool:10s} {method:18s} failed: {reason}", flush=True)
            yield {**row, "failed": reason}
            continue
        seconds = time.perf_counter() - start
        print(f"  {tool:10s} {method:18s} 3: {score.score:.4f} {score.sqnr:5.2f}dB  ({seconds:.0f} s)", flush=True)
        yield {**row, "3": score}


def listed(text: str) -> list[str]:
    """Return the items of a comma list, none for an empty one."""
    return [item for item in text.split(",") if item]


def installed(peers: list[str]) -> list[str]:
    """Print the versions of the peers' tools, and which are left out; return the peers that can run."""
    for tool in dict.fromkeys(peer.partition(":")[0] for peer in peers):
        print(f"{tool}: {version(tool) or 'not installed, left out'}")
    return [peer for peer in peers if version(peer)]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--networks", default=",".join(NETWORKS))
    parser.add_argument("--levels", default="0,1,2,3,4", help="empty: none of ours, peers alone")
    parser.add_argument("--images", type=int, default=100, help="validation images a network (0: all)")
    parser.add_argument("--calibration", type=int, default=32)
    parser.add_argument("--aids", default="default", help="comma list of combinations such as none,eq,eq+bc")
    parser.add_argument("--methods", default="100", help="comma list of 100, p99.99, ImprovedMSE, MeanExtrema ...")
    parser.add_argument("--peers", default="ort:MinMax,ort:Percentile,ort:Entropy", help="comma list of tool:method")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--from", type=Path, nargs="*", dest="earlier", help="print the summary of these files alone")
    given = parser.parse_args()
    if given.earlier:
        print_summary([as_row(row) for path in given.earlier for row in json.loads(path.read_text(encoding="utf-8"))])
        return
    peers = installed(listed(given.peers))
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        for name in listed(given.networks):
            bench = Bench.load(name, Path(folder), given.images, given.calibration)
            counts = f"{len(bench.validation)} images, {len(bench.calibration)} for calibration"
            print(f"{name}: float {bench.float_score.score:.4f} on {counts}")
            rows += own_rows(bench, given) if listed(given.levels) else []
            rows += peer_rows(bench, peers, Path(folder))
            if given.json:
                given.json.write_text(json.dumps(rows, indent=1), encoding="utf-8")
    print_summary(rows)


if __name__ == "__main__":
    main()
