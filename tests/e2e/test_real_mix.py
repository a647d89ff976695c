"""16-bit layers by rules on a real network: raising the layer that loses most brings the outputs closer to float's."""

from __future__ import annotations

import numpy as np
import pytest

from slimai import load_config

pytestmark = [pytest.mark.shared, pytest.mark.slow]
IMAGES = 16
RAISED = 3


@pytest.fixture(scope="module")
def network(shared_data, tmp_path_factory, cache_dir):
    """Return what builds candidates of mobilenet_v1 with rules, from one calibration, and 16 validation images."""
    from slimai.app.candidates.float_networks import FloatNetworks
    from slimai.app.candidates.quantizer import Quantizer
    from slimai.app.float_pass.shared import calibrate
    from slimai.app.opening.open_job import prepare
    from slimai.artifacts.cache import Cache
    from slimai.data.loader import iter_batches
    from slimai.search.events import Silent

    folder = tmp_path_factory.mktemp("mix")

    def job_of(*words):
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("SLIMAI_SHARED", str(shared_data.parent))
            return prepare(
                load_config(
                    "+model=mobilenet_v1_imagenet",
                    f"path.output_dir={folder / 'out'}",
                    "quantization.accuracy_level=1",
                    "quantization.range=100",
                    *words,
                )
            )

    plain = job_of()
    cache = Cache(cache_dir)
    networks = FloatNetworks(plain, lambda graph, _: calibrate(plain, graph, cache, Silent()))

    def quantizer(rules=None):
        if rules is None:
            return Quantizer(plain, networks)
        path = folder / "rules.yaml"
        path.write_text(rules)
        words = ("quantization.mix=true", f"quantization.nodename_datatypes={path}")
        return Quantizer(job_of(*words), networks)

    images = [feeds for _, feeds in iter_batches(plain.validation[:IMAGES], plain.preprocess, 1)]
    return quantizer, images


def similarity(candidate, images, truth):
    """Return the mean cosine of the outputs with float's."""
    run = candidate.runner()
    found = []
    for feeds, real in zip(images, truth, strict=True):
        ours = next(iter(run(feeds).values())).astype(float).ravel()
        found.append(float(ours @ real / (np.linalg.norm(ours) * np.linalg.norm(real))))
    return float(np.mean(found))


def test_raising_the_worst_layers_raises_similarity(network):
    """Reference: ONNX Runtime in float. The layers are the three with the largest noise alone on calibration images."""
    from slimai.app.run.mix_ranking import Ranking
    from slimai.runtime.session import FloatSession
    from slimai.search.candidate import Candidate
    from slimai.search.events import Silent

    quantizer, images = network
    plain = quantizer()
    candidate = Candidate(1, percent=100)
    graph, _ = plain.networks.get(plain.aids(candidate).rewrites)
    session = FloatSession(plain.job.graph)
    truth = [next(iter(session.run(feeds).values())).astype(float).ravel() for feeds in images]
    noise = Ranking(plain, candidate, Silent())._noise(graph)
    worst = sorted(noise, key=lambda name: -noise[name])[:RAISED]
    rules = "- nodes: [" + ", ".join(f'"{name}"' for name in worst) + "]\n  intypes: [s16]\n  outtypes: [s16]\n"
    mixed = quantizer(rules)(candidate)
    raised = {name for name, params in mixed.plan.tensors.items() if params.dtype.bits == 16}
    before, after = similarity(plain(candidate), images, truth), similarity(mixed, images, truth)
    assert len(raised) >= RAISED
    assert before < 0.9995
    assert 1 - after < 0.97 * (1 - before), f"cosine {before:.6f} -> {after:.6f} with {worst} in 16 bit"
