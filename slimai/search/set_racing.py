"""A race for a score that only exists over a set: the images that tell most first, and two candidates ahead.

A few images decide such a score: on a detection network with 70 images ten of them made up all differences between 32
candidates. Which these are is told by the float network before the race, and better by two scouts, the best of the
first look, which are run to the end at once (they are likely finalists). All others see images in the order of what
these tell, and the images that they have not seen are taken over from the scouts. Royall, On finite population sampling
theory under certain linear regression models, 1970: where the spread of a unit is foretold by a known size, the sample
of the largest units leaves the least to guess.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np
from numpy.typing import NDArray

from slimai.metrics.base import Record
from slimai.search.candidate import Outcome
from slimai.search.contest import Contest, Entrant, SearchSetup
from slimai.search.evaluate import batches, measure_batch
from slimai.search.influence import Influence, image_parts
from slimai.search.rounds import complete_any, entered, finish_late, run_rung, state_guarantee, unsettled

FIRST_PARTS = 8
FIRST_SHARE = 1 / 8  # of the parts, before the first look
GROWTH = 1.25
SCOUTS = 2
CONFIDENCE = 3.0  # errors: compared with 2.5 on replays of five networks (docs/search.md)
EVEN = 0.3  # weight of the rule that all parts are alike, beside 1 for float's and 1 for the scouts' foresight
_NEARLY = 1e-12
NO_GUARANTEE = "the score is over a set, not a mean over images"


def first_look(parts: int) -> int:
    """Return the number of parts (images, where they are few) after which candidates are first compared."""
    return min(parts, max(FIRST_PARTS, math.ceil(FIRST_SHARE * parts)))


def float_records_of_a_set(setup: SearchSetup) -> list[Record] | None:
    """Return the float network's records of all images, or None where the score is a mean over images."""
    validation, records = setup.validation, list[Record]()
    for indices in batches(range(len(validation.samples)), validation.batch):
        outputs = validation.reference.pick(indices, validation.outputs)
        records.extend(measure_batch(setup.metric, validation, indices, outputs))
        if len(records) == len(indices) and setup.metric.combine(records).per_image is not None:
            return None
    return records


@dataclass
class _Field:
    """The race so far. order: of parts. whole: records of the scouts by image. gained: influences by entrant and part.

    foretold: [parts] share of the differences between candidates that each part is expected to hold, from the float
    network and the scouts; spread, middle: [parts] variance and mean of the scouts' influences.
    """

    contest: Contest
    influence: Influence
    parts: list[tuple[int, ...]]
    order: list[int]
    floats: dict[int, Record]
    unevenness: NDArray[np.float64]
    whole: list[dict[int, Record]] = field(default_factory=list)
    gained: dict[str, dict[int, float]] = field(default_factory=dict)
    foretold: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))
    spread: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))
    middle: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))

    @classmethod
    def of(cls, contest: Contest, floats: Sequence[Record]) -> _Field:
        """Return the race before its begin: the parts in the order of how uneven float finds them."""
        parts = image_parts(len(floats), contest.setup.seed)
        influence = Influence(contest.setup.metric, floats, parts)
        uneven = influence.unevenness()
        order = sorted(range(len(parts)), key=lambda part: -uneven[part])  # stable: like ones stay in seeded order
        return cls(contest, influence, parts, order, dict(enumerate(floats)), uneven)

    def images(self, seen: int | None = None) -> list[int]:
        """Return the images of the first `seen` parts, or all, in the order of the race."""
        return [image for part in self.order[:seen] for image in self.parts[part]]

    def influences(self, key: str, records: dict[int, Record], parts: Sequence[int]) -> NDArray[np.float64]:
        """Return the influence of these parts of an entrant; each is worked out once."""
        known = self.gained.setdefault(key, {})
        new = [part for part in parts if part not in known]
        known.update(zip(new, self.influence.exchanged(records, new).tolist(), strict=True))
        return np.array([known[part] for part in parts])

    def learn(self, scouts: Sequence[str], seen: int) -> None:
        """Foretell from float and scouts which parts tell most, and order those not seen yet by it."""
        everything = range(len(self.parts))
        found = np.array([self.influences(*pair, everything) for pair in zip(scouts, self.whole, strict=True)])
        self.middle = found.mean(axis=0)
        self.spread = found.var(axis=0, ddof=1) if len(found) > 1 else np.zeros(len(self.parts))
        told = np.vstack([np.zeros(len(self.parts)), found]).var(axis=0, ddof=1)
        weights = _shares(self.unevenness**2) + _shares(told) + EVEN / len(self.parts)
        self.foretold = weights / weights.sum()
        self.order[seen:] = sorted(self.order[seen:], key=lambda part: -self.foretold[part])


def race_over_a_set(contest: Contest, floats: Sequence[Record]) -> None:
    """Settle every entrant: scouts and finalists on all images, those that are behind as ``partial``.

    floats: the float network's records of all images. Decisions depend on these, on records and on the seed (which
    orders what is alike) alone, so a resumed race takes the same turns.
    """
    state = _Field.of(contest, floats)
    alive, in_time = entered(contest)
    seen = first_look(len(state.parts))
    in_time = in_time and run_rung(contest, alive, state.images(seen)) and _send_scouts(state, unsettled(alive), seen)
    alive = unsettled(alive)
    while in_time and alive and seen < len(state.parts):
        alive = _dropped(state, alive, seen)
        seen = min(len(state.parts), max(seen + 1, int(seen * GROWTH)))
        in_time = run_rung(contest, alive, state.images(seen))
        alive = unsettled(alive)
    if not in_time:
        finish_late(contest, alive, state.images())
    for entrant in alive if in_time else ():
        contest.settle(entrant, "full")
    complete_any(contest, state.images())
    state_guarantee(contest, NO_GUARANTEE)


def _send_scouts(state: _Field, alive: Sequence[Entrant], seen: int) -> bool:
    """Run the best by what was seen on all images and settle them; False when the time limit came first."""
    contest, images = state.contest, state.images(seen)
    ask = partial(state.influence.completed, others=[state.floats])
    scores = {item.key: contest.asked(item, partial(ask, _of(item, images))) for item in alive}
    ranked = sorted(unsettled(alive), key=lambda item: -_or_nothing(scores[item.key]))
    scouts: list[str] = []
    while len(scouts) < SCOUTS and ranked:
        sent, ranked = ranked[: SCOUTS - len(scouts)], ranked[SCOUTS - len(scouts) :]
        if not run_rung(contest, sent, state.images()):
            return False
        for item in unsettled(sent):
            records = _of(item, state.images())
            contest.settle(item, "full")
            if _full(item) is not None:
                scouts.append(item.key)
                state.whole.append(records)
    contest.publish()
    if scouts:
        state.learn(scouts, seen)
    return True


def _dropped(state: _Field, alive: list[Entrant], seen: int) -> list[Entrant]:
    """Return those that stay; the others are settled as partial and tell why."""
    contest, images = state.contest, state.images(seen)
    rows = {item.key: _of(item, images) for item in alive}
    told = {item.key: contest.asked(item, partial(_foretold, state, item.key, rows[item.key], seen)) for item in alive}
    alive = unsettled(alive)
    verdicts = _behind(state, [found for item in alive if (found := told[item.key]) is not None], seen)
    for item, out in zip(alive, verdicts, strict=True):
        if out:
            result = contest.combined(item, list(rows[item.key].values()))  # it may have more, from before a stop
            if result is not None:
                note = f"behind after {len(images)} images"
                contest.settle(item, "partial", note, images=len(images), result=result)
            contest.stage.advance(len(state.floats) - len(images))
    contest.publish()
    return unsettled(alive)


def _foretold(state: _Field, key: str, records: dict[int, Record], seen: int) -> tuple[float, NDArray[np.float64]]:
    """Return the score with the unseen taken from the scouts, and how far the parts seen are apart from theirs."""
    parts = state.order[:seen]
    apart = state.influences(key, records, parts) - state.middle[parts]
    return state.influence.completed(records, state.whole), apart


def _behind(state: _Field, told: Sequence[tuple[float, NDArray[np.float64]]], seen: int) -> list[bool]:
    """Return of each candidate, by what `_foretold` says, whether another one's score is surely above its own.

    The error of a foretold score is that of the influences of the unseen: the squares of what the candidate is apart
    from the scouts where it was seen (`_squares`), scaled to the unseen by `foretold`, not less than the average
    candidate's, and not less than what the scouts differ there.
    """
    if not told:
        return []
    parts, rest = state.order[:seen], state.order[seen:]
    scores = np.array([score for score, _ in told])
    squares = np.array([_squares(apart) for _, apart in told])
    scale = np.maximum(squares, squares.mean()) / state.foretold[parts].sum()
    variance = np.maximum(scale * state.foretold[rest].sum(), state.spread[rest].sum())
    margin = CONFIDENCE * np.sqrt(variance)
    whole = [item.score for item in map(_full, state.contest.entrants.values()) if item is not None]
    least = max(map(_or_nothing, (*whole, *(scores - margin))), default=-math.inf)
    return [bool(score < least - _NEARLY) for score in scores + margin]


def _squares(apart: NDArray[np.float64]) -> float:
    """Return the sum of squares that tells how far the unseen may lead away from the scouts.

    Who trails them everywhere by the same is not uncertain by that: it is taken about the mean where that is below 0,
    which is not extrapolated, and about 0 where it is above.
    """
    count, middle = len(apart), min(0.0, float(apart.mean()))
    return float(((apart - middle) ** 2).sum()) * (count / (count - 1) if middle and count > 1 else 1.0)


def _or_nothing(score: float | None) -> float:
    """Return the score, and less than any where there is none."""
    return -math.inf if score is None or math.isnan(score) else float(score)


def _of(entrant: Entrant, images: Sequence[int]) -> dict[int, Record]:
    """Return the entrant's records of these images."""
    known = dict(zip(entrant.images, entrant.records, strict=True))
    return {image: known[image] for image in images}


def _full(entrant: Entrant) -> Outcome | None:
    return entrant.outcome if entrant.outcome is not None and entrant.outcome.status == "full" else None


def _shares(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the values over their sum; alike where there is none."""
    total = values.sum()
    return values / total if total > 0 else np.full(len(values), 1 / len(values))
