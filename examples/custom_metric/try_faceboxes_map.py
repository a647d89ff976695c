"""Tries faceboxes_map on dumped blobs, in the form of the vendor's metric_test.py.

Run it with ``python -m slimai.metrics.vendor examples/custom_metric/try_faceboxes_map.py``; after a run with
``output_debug = 2`` put that run's folders here. The blobs beside this file come from make_data.py.
"""

import tempfile
from pathlib import Path

from faceboxes_map import faceboxes_map
from metric_test import compute_metric

here = Path(__file__).parent / "data"

if __name__ == "__main__":
    ##################################################################################################
    metric_obj = faceboxes_map()
    metric_obj.init_params(f"{here}/imagelist threshold=0.1")
    octrl_file = f"{here}/output_control.octrl"
    flt_dump_path = f"{here}/faceboxes_ref"
    imagelistfile = f"{here}/tmp_val.txt"  # noqa: S108 - a file of the run
    tmpdir = f"{here}"
    outdir = tempfile.mkdtemp()
    verbose = False
    network_name = "faceboxes"
    rlower = 92
    rupper = 93
    stride = 1
    count = 3
    ##################################################################################################
    par = (1, "FixedPoint_Results.txt", "Fixed", flt_dump_path)
    QProfile = []
    for idx in range(rlower, rupper + 1, stride):
        QProfile.append(f"{network_name}_{idx}.yaml")  # noqa: PERF401 - the vendor's own lines

    compute_metric(imagelistfile, octrl_file, tmpdir, count, QProfile, par, verbose, metric_obj, outdir)
