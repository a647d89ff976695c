"""The network as a picture: a box a layer, from left to right and band below band, coloured by what the page asks for.

Inline SVG without a library. Each box carries one class a quantity (SQNR, bits, time), which the style sheet colours by
the mode of the page, and is a link to the layer's row in the table. The same layers give the same bytes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

BAND = 30  # layers in depth a band
STEP, ROW, WIDTH, HEIGHT, GAP = 34, 26, 24, 18, 14  # pixels: of a place, a lane, a box, between bands
MOST_LANES = 12
SQNR_STEPS = (10.0, 20.0, 30.0, 40.0)  # dB below which a box has colour 0, 1, 2, 3; else 4
TIME_STEPS = (0.5, 0.25, 0.1, 0.02)  # share of the costliest layer's cycles above which it has colour 0, 1, 2, 3
_SIGNS = {"Add": "+", "Sub": "−", "Mul": "×", "Div": "÷", "Concat": "∥", "DepthwiseConv": "D"}
Rows = Sequence[Mapping[str, Any]]


def drawing(network: Rows, layers: Rows, costs: Rows) -> str:
    """Return the SVG of a network; an empty text where there is none.

    network: `document.network_table`. layers: rows of the analysis, to which boxes are linked as ``#layer-<place>``,
    from 1. costs: the layers of the cycle estimate.
    """
    if not network:
        return ""
    rows = {row["tensor"]: (at, row) for at, row in enumerate(layers, 1)}
    cycles = {row["name"]: row["cycles"] for row in costs}
    most = max(cycles.values(), default=0) or 1
    ranks, lanes = _places(network)
    tops, height = _bands(ranks, lanes)
    spots = [
        (4 + (rank % BAND) * STEP, tops[rank // BAND] + lane * ROW) for rank, lane in zip(ranks, lanes, strict=True)
    ]
    edges = "".join(
        _edge(spots[source], spots[at], ranks[at] // BAND == ranks[source] // BAND, ranks[at] - ranks[source])
        for at, item in enumerate(network)
        for source in item["reads"]
    )
    boxes = "".join(
        _box(item, spot, rows.get(item["tensor"]), cycles.get(item["layer"], 0), most)
        for item, spot in zip(network, spots, strict=True)
    )
    width = 8 + min(max(ranks) + 1, BAND) * STEP
    return (
        f'<svg viewBox="0 0 {width} {height}" width="{width}" role="group" aria-label="the network, a box a layer">'
        f'<path class="edges" d="{edges}"/>{boxes}</svg>'
    )


def _places(network: Rows) -> tuple[list[int], list[int]]:
    """Return of each layer its depth (the longest way to it) and its lane (that of what it reads, where it is free)."""
    ranks: list[int] = []
    lanes: list[int] = []
    taken: dict[int, set[int]] = {}
    for item in network:
        reads = item["reads"]
        rank = 1 + max((ranks[source] for source in reads), default=-1)
        used = taken.setdefault(rank, set())
        wanted = [lanes[source] for source in reads] or [0]
        lane = next((each for each in wanted if each not in used), None)
        if lane is None:
            lane = next(each for each in range(len(network) + 1) if each not in used)
        used.add(lane)
        ranks.append(rank)
        lanes.append(lane)
    return ranks, [lane % MOST_LANES for lane in lanes]


def _bands(ranks: Sequence[int], lanes: Sequence[int]) -> tuple[list[int], int]:
    """Return the top of each band and the height of all."""
    tops, top = [], GAP
    for band in range(max(ranks) // BAND + 1):
        tops.append(top)
        deepest = max(lane for rank, lane in zip(ranks, lanes, strict=True) if rank // BAND == band)
        top += (deepest + 1) * ROW + GAP
    return tops, top


def _edge(source: tuple[int, int], target: tuple[int, int], same_band: bool, apart: int) -> str:
    x1, y1 = source[0] + WIDTH, source[1] + HEIGHT // 2
    x2, y2 = target[0], target[1] + HEIGHT // 2
    if not same_band:
        return f"M{x1} {y1}h6M{x2 - 4} {y2}h4"
    if apart == 1:
        return f"M{x1} {y1}L{x2} {y2}"
    lift = HEIGHT // 2 + 6
    return f"M{x1} {y1}C{x1 + 6} {min(y1, y2) - lift} {x2 - 6} {min(y1, y2) - lift} {x2} {y2}"


def _box(
    item: Mapping[str, Any], spot: tuple[int, int], row: tuple[int, Mapping[str, Any]] | None, cycles: int, most: int
) -> str:
    sqnr = None if row is None else row[1]["sqnr"]
    shown = f"{item['bits']} bits" if item["bits"] else "float, on the host"
    told = "" if sqnr is None else f", SQNR {sqnr:.1f} dB"
    text = escape(f"{item['node']}: {item['kind']}, {shown}{told}, {cycles:,} cycles")
    sign = escape(_SIGNS.get(item["kind"], item["kind"][:1]))
    x, y = spot
    body = (
        f"<title>{text}</title>"
        f'<rect class="s{sqnr_class(sqnr)} b{item["bits"]} t{time_class(cycles / most)}" x="{x}" y="{y}"/>'
        f'<text x="{x + WIDTH // 2}" y="{y + 13}">{sign}</text>'
    )
    return f"<g>{body}</g>" if row is None else f'<a href="#layer-{row[0]}">{body}</a>'


def sqnr_class(value: float | None) -> str:
    """Return the colour of an SQNR in dB, ``0`` the worst to ``4``; ``x`` for none."""
    return "x" if value is None else str(sum(value >= step for step in SQNR_STEPS))


def time_class(share: float) -> str:
    """Return the colour of a share of the costliest layer's cycles, ``0`` the costliest to ``4``."""
    return str(sum(share <= step for step in TIME_STEPS))
