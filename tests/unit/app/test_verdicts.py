"""What was decided about rewrites is judged once for a network, its images, a target and a setting."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from slimai.app.candidates.choose import quantizer_for
from slimai.app.candidates.equalization_check import EqualizationCheck
from slimai.app.candidates.verdicts import SUFFIX, KeptVerdicts
from slimai.artifacts.cache import Cache
from slimai.quantizer.options import QuantOptions
from slimai.quantizer.rewrites.aids import Aids
from slimai.search.candidate import Candidate
from tests.unit.app.measured_rewrites import quantizer
from tests.unit.app.test_seam_check import CHANNELS, detector

SIZE = 16
AIDS, OPTIONS = Aids(equalization=True, judged="channel"), QuantOptions(1)


@pytest.fixture(scope="module")
def job_of(tmp_path_factory):
    """Return a function: shade of the pictures -> the job of a network with joins on them."""

    def build(shade):
        folder = tmp_path_factory.mktemp("pictures")
        for index in range(3):
            pixels = np.full((SIZE, SIZE), shade + index, np.uint8)
            pixels[index] = 200
            Image.fromarray(pixels).save(folder / f"{index}.png")
        (folder / "calib.txt").write_text("0.png\n1.png\n2.png\n")
        detector(folder / "net.onnx", (1.0, 0.05), np.ones(2))
        return quantizer(folder, folder / "net.onnx", "detector", mean=128, stddev=64).job

    assert CHANNELS > 1
    return build


def asked(verdicts, *, question="groups", aids=AIDS, options=OPTIONS, answer=3):
    """Return the verdict, and how often it was judged."""
    calls = []
    found = verdicts.get(question, aids, options, lambda: calls.append(1) or answer)
    return found, len(calls)


def test_the_same_question_is_judged_once_and_another_anew(job_of, tmp_path):
    job, cache = job_of(10), Cache(tmp_path / "cache")
    verdicts = KeptVerdicts(job, cache)
    assert asked(verdicts) == (3, 1)
    assert asked(KeptVerdicts(replace(job), cache), answer=5) == (3, 0)
    assert asked(verdicts, question="seams", answer=True) == (True, 1)
    assert asked(verdicts, aids=replace(AIDS, clamps=True), answer=4) == (4, 1)
    assert asked(verdicts, options=QuantOptions(2), answer=5) == (5, 1)
    assert asked(KeptVerdicts(job_of(90), cache), answer=6) == (6, 1)
    target = replace(job, config=job.config.model_copy(update={"target": job.config.target.model_copy()}))
    assert asked(KeptVerdicts(target, cache), answer=7) == (3, 0)
    narrow = job.config.target.model_copy(update={"per_channel_ops": ("Conv",)})
    other = replace(job, config=job.config.model_copy(update={"target": narrow}))
    assert asked(KeptVerdicts(other, cache), answer=8) == (8, 1)


@given(verdict=st.one_of(st.none(), st.booleans(), st.integers(0, 10**6)))
def test_a_verdict_comes_back_as_it_was(job_of, tmp_path_factory, verdict):
    verdicts = KeptVerdicts(_once(job_of), Cache(tmp_path_factory.mktemp("cache")))
    found = [asked(verdicts, answer=verdict) for _ in range(2)]
    assert found == [(verdict, 1), (verdict, 0)]
    assert type(found[1][0]) is type(verdict)


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"verdict": "all"}', '{"verdict": 1.5}', "\0"])
def test_a_damaged_file_is_judged_anew(job_of, tmp_path, text):
    verdicts = KeptVerdicts(_once(job_of), Cache(tmp_path))
    asked(verdicts)
    (path,) = tmp_path.glob(f"*{SUFFIX}")
    path.write_text(text)
    assert asked(verdicts, answer=9) == (9, 1)
    assert asked(verdicts, answer=2) == (9, 0)


def test_a_second_quantizer_of_the_job_does_not_measure_again(job_of, tmp_path, monkeypatch):
    job, cache = _once(job_of), Cache(tmp_path)

    def aids():
        made = quantizer_for(job, lambda *_: None, verdicts=KeptVerdicts(job, cache))
        return [made.aids(Candidate(level)) for level in (0, 1, 3)]

    first = aids()
    assert len(list(tmp_path.glob(f"*{SUFFIX}"))) == 6, "seams and groups of three levels"

    def again(*_):
        raise AssertionError("measured again")

    for name in ("groups", "seams"):
        monkeypatch.setattr(EqualizationCheck, name, again)
    assert aids() == first


_JOBS = {}


def _once(job_of):
    if "job" not in _JOBS:
        _JOBS["job"] = job_of(40)
    return _JOBS["job"]
