"""Rounding in a job: stopped by the time limit it goes on, other settings share its integers, others do not."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import numpy as np
import pytest

from slimai.app.api import load_config
from slimai.app.candidates.choose import candidates, quantizer_for
from slimai.app.float_pass.shared import calibrate
from slimai.app.float_pass.weight_rounding import RoundingStoppedError, WeightRounding
from slimai.app.opening.open_job import prepare
from slimai.artifacts.cache import Cache
from slimai.search.candidate import Candidate, candidate_from_json, compensated_candidate
from slimai.search.events import Silent


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return Cache(tmp_path_factory.mktemp("cache"))


def quantizer_of(tmp_path, cache, *words, late=lambda: False):
    config = load_config(
        "+model=mobilenet_digits",
        "dataset.calibration_count=8",
        "dataset.validation_count=2",
        f"path.output_dir={tmp_path}",
        *words,
    )
    job = prepare(config)
    rounder = WeightRounding(job, cache, tmp_path / "scratch", Silent(), late)
    return quantizer_for(job, lambda graph, _: calibrate(job, graph, cache, Silent()), rounder)


@pytest.mark.parametrize(
    "candidate", [Candidate(0), compensated_candidate(Candidate(0, method="ImprovedMSE"), own_limits=True)]
)
def test_the_time_limit_stops_after_a_layer_and_the_next_run_ends_with_the_same_integers(tmp_path, cache, candidate):
    other = Cache(tmp_path / "other")
    asked = []

    def late():
        asked.append(None)
        return len(asked) == 4

    with pytest.raises(RoundingStoppedError, match="time limit after 3 of"):
        quantizer_of(tmp_path, other, late=late).rounding(candidate)
    assert len(list(other.folder.glob("*.layers/*.npz"))) == 3
    with pytest.raises(RoundingStoppedError, match="time limit after 3 of"):
        quantizer_of(tmp_path, other, late=lambda: True).rounding(candidate)
    assert len(list(other.folder.glob("*.layers/*.npz"))) == 3, "nothing is begun after the limit"
    resumed = quantizer_of(tmp_path, other).rounding(candidate)
    whole = quantizer_of(tmp_path, cache).rounding(candidate)
    assert resumed.reports == whole.reports
    found = next(other.folder.glob("*.rounding.npz"))
    assert found.read_bytes() == (cache.folder / found.name).read_bytes()
    assert not list(other.folder.glob("*.layers"))


def test_a_damaged_layer_is_rounded_again(tmp_path, cache):
    other = Cache(tmp_path / "other")
    count = iter(range(3))
    with pytest.raises(RoundingStoppedError):
        quantizer_of(tmp_path, other, late=lambda: next(count) == 2).rounding(Candidate(0))
    damaged = min(other.folder.glob("*.layers/*.npz"))
    damaged.write_bytes(damaged.read_bytes()[:50])
    assert quantizer_of(tmp_path, other).rounding(Candidate(0)).reports == (
        quantizer_of(tmp_path, cache).rounding(Candidate(0)).reports
    )


def test_ranges_edits_and_methods_share_the_integers_of_the_reference(tmp_path, cache):
    quantizer = quantizer_of(tmp_path, cache, "quantization.range_mode=percentile")
    reference = quantizer.rounding(Candidate(0))
    assert reference.layers
    assert reference.reports == quantizer_of(tmp_path, cache).rounding(Candidate(0)).reports, "scale mode, range 100"
    edited = replace(quantizer, edits={quantizer.job.graph.inputs[0]: (-1.0, 2.0)})
    plans = [
        quantizer(compensated_candidate(Candidate(0, Decimal(100)))).plan,
        quantizer(compensated_candidate(Candidate(0, Decimal(97)))).plan,
        quantizer(compensated_candidate(Candidate(0, method="ImprovedMSE"))).plan,
        edited(compensated_candidate(Candidate(0, Decimal(100)))).plan,
    ]
    for plan in plans:
        weights = {layer.node.name: layer.weight for layer in plan.layers if layer.node.name in reference.layers}
        assert len(weights) == len(reference.layers)
        for name, weight in weights.items():
            np.testing.assert_array_equal(weight.values, reference.layers[name].weight.values)


def test_own_limits_are_a_rounding_of_their_own_unless_they_are_those_of_the_reference(tmp_path, cache):
    quantizer = quantizer_of(tmp_path, cache, "quantization.range_mode=percentile")
    reference = quantizer.rounding(Candidate(0))
    own = {
        label: quantizer.rounding(compensated_candidate(candidate, own_limits=True))
        for label, candidate in (
            ("100", Candidate(0, Decimal(100))),
            ("97", Candidate(0, Decimal(97))),
            ("ImprovedMSE", Candidate(0, method="ImprovedMSE")),
        )
    }
    assert own["100"].reports == reference.reports, "the same limits, whatever they are called"
    errors = {label: [report.nearest_error for report in found.reports] for label, found in own.items()}
    assert errors["97"] != errors["100"] != errors["ImprovedMSE"] != errors["97"]
    for label in ("97", "ImprovedMSE"):
        method, percent = (label, None) if label == "ImprovedMSE" else (None, Decimal(label))
        candidate = compensated_candidate(Candidate(0, percent, method), own_limits=True)
        weights = {layer.node.name: layer.weight for layer in quantizer(candidate).plan.layers if layer.weight}
        assert own[label].layers
        for name, layer in own[label].layers.items():
            np.testing.assert_array_equal(weights[name].values, layer.weight.values)
            np.testing.assert_array_equal(weights[name].scale, layer.weight.scale)


def test_a_candidate_with_own_limits_is_told_from_one_without_in_the_journal():
    candidate = Candidate(1, Decimal("99.9"), central=True)
    shared, own = compensated_candidate(candidate), compensated_candidate(candidate, own_limits=True)
    assert shared != own
    assert shared.label == own.label == "p99.9_compensated"
    for item in (candidate, shared, own):
        assert candidate_from_json(item.to_json()) == item


def test_levels_that_differ_in_grid_or_activations_have_roundings_of_their_own(tmp_path, cache):
    quantizer = quantizer_of(tmp_path, cache)
    found = [quantizer.rounding(Candidate(level)) for level in (0, 1, 2, 3)]
    assert len({id(item) for item in found}) == 4
    assert quantizer.rounding(Candidate(3, Decimal(90))) is found[3]


def test_the_space_has_what_the_key_names(tmp_path):
    def labels(*words):
        config = load_config("+model=mobilenet_digits", "quantization.range=100", f"path.output_dir={tmp_path}", *words)
        return [item.label for item in candidates(config)]

    assert labels() == labels("quantization.weight_rounding=auto") == ["100"]
    assert labels("quantization.weight_rounding=compensated") == ["100_compensated"]
    assert labels("quantization.weight_rounding=[nearest,compensated]") == ["100", "100_compensated"]


def test_a_quantizer_without_a_rounder_says_so(tmp_path, cache):
    quantizer = quantizer_of(tmp_path, cache)
    plain = quantizer_for(quantizer.job, lambda graph, _: calibrate(quantizer.job, graph, cache, Silent()))
    with pytest.raises(ValueError, match="rounds to nearest"):
        plain(compensated_candidate(Candidate(0, Decimal(100))))
