"""What tests of measured rewrites share: the quantizer of a network and some pictures, and its outputs' ratios."""

from __future__ import annotations

from slimai.app.candidates.choose import quantizer_for
from slimai.app.float_pass.shared import calibrate
from slimai.app.opening.open_job import prepare
from slimai.artifacts.cache import Cache
from slimai.data.loader import iter_batches
from slimai.schema.root import SlimaiConfig
from slimai.search.candidate import Candidate
from slimai.search.events import Silent
from slimai.simulator.output_ratios import output_ratios
from slimai.simulator.rounding_pass import Images


def quantizer(folder, model, name, *, mean, stddev, **quantization):
    """Return the quantizer of a network of grey pictures; the folder has them and their list, `calib.txt`."""
    network = {"name": name, "input_model": str(model), "class": "Segmentation", "channel_order": "GRAY"}
    config = SlimaiConfig.model_validate(
        {
            "path": {"output_dir": str(folder / "out"), "image_dir": str(folder)},
            "network": {**network, "mean": mean, "stddev": stddev},
            "dataset": {"calibration_set": "calib.txt"},
            "quantization": quantization,
            "metric": {"metric_cls": "cosine"},
        }
    )
    job, cache = prepare(config), Cache(folder / "cache")
    return quantizer_for(job, lambda graph, _: calibrate(job, graph, cache, Silent()))


def ratios(quantizers, level):
    """Return [quantizers, 2] what the outputs of all calibration images have, in dB."""
    job = quantizers[0].job
    plans = [quantizer(Candidate(level)).plan for quantizer in quantizers]
    count = len(job.calibration)
    images = Images(count, lambda: [feeds for _, feeds in iter_batches(job.calibration, job.preprocess, 1)])
    return output_ratios(job.graph, plans, job.config.target, images, job.config.target.arithmetic)
