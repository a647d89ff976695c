# ruff: noqa: ANN001, ANN201, ANN202, ANN204, ANN205 - plug-ins in the vendor's form carry no types
"""A metric of one's own, in the form of the vendor's tools: mean average precision of a FaceBoxes detector.

The configuration says::

    [metric]
    metric_cls = faceboxes_map
    metric_input = faceboxes/imagelist threshold=0.6

`faceboxes/imagelist` holds the Pascal VOC xml of every picture (class ``face``) and ``anchor.txt``, the priors.
The network's outputs are, in the order of the octrl file, offsets 1xNx4 and probabilities 1xNx2 (background, face).
Pictures may be larger or smaller than the network's 512x512 if they were fitted into its upper left corner
(``resize: {mode: letterbox, anchor: top_left}``); pictures of that very size, as the vendor's tools want them,
are the simplest case of it.
"""

from pathlib import Path

import numpy as np
from file_utils import blob_file_reader
from metric import custom_metric_base, metric_register

from slimai.metrics.toolbox import HIT, average_precision, match, nms, read_priors, read_voc

INPUT_SIDE = 512
NMS_IOU = 0.3
FACE = 1  # 0 is the background


@metric_register("faceboxes_map")
class faceboxes_map(custom_metric_base):  # noqa: N801 - named like its file
    """AP at IoU 0.5 of the class face, in 0..1; also returns recall."""

    def __init__(self):
        """Set the variables that init_params fills."""
        super().__init__()
        self.folder = None
        self.threshold = 0.0
        self.priors = None

    def init_params(self, params):
        """Read ``<folder> [threshold=x]``."""
        words = params.split()
        if not words:
            raise ValueError("metric_input must be: <folder of xml and anchor.txt> [threshold=x]")
        self.folder = Path(words[0])
        for word in words[1:]:
            name, _, value = word.partition("=")
            if name != "threshold":
                raise ValueError(f"unknown option {word!r}; known is threshold=x")
            self.threshold = float(value)
        self.priors = read_priors(self.folder / "anchor.txt")

    def load_and_analysis(self, blobsfile, imglist):
        """Return (average precision, recall) over the dumped outputs."""
        pictures = []
        for blobs in self._prep_filelist(blobsfile, imglist):
            offsets = blob_file_reader(blobs[0]).reshape(-1, 4)
            shares = blob_file_reader(blobs[1]).reshape(-1, 2)
            pictures.append(self._postprocess(offsets, shares))
        return self._compute_map(pictures, imglist)

    def _postprocess(self, offsets, shares):
        """Return boxes [n, 4] in input pixels and scores [n], best first."""
        scores = shares[:, FACE].astype(np.float64)
        picked = np.flatnonzero(scores > self.threshold)
        corners = self.priors.corners[picked]
        variances = self.priors.variances[picked]
        side = corners[:, 2:] - corners[:, :2]
        centre = (corners[:, :2] + corners[:, 2:]) / 2 + offsets[picked, :2] * variances[:, :1] * side
        half = side * np.exp(offsets[picked, 2:] * variances[:, -1:]) / 2
        boxes = np.concatenate([centre - half, centre + half], axis=1)
        kept = nms(boxes, scores[picked], NMS_IOU)
        return boxes[kept], scores[picked][kept]

    def _compute_map(self, pictures, imglist):
        """Match every picture's boxes with its annotation, then join them by accumulate_results."""
        parts = []
        for name, (boxes, scores) in zip(self._names(imglist), pictures, strict=True):
            truth = read_voc(self.folder / f"{Path(name).stem}.xml")
            faces = np.array([label == "face" for label in truth.names], dtype=bool)
            width, height = truth.size or (INPUT_SIDE, INPUT_SIDE)
            scale = min(INPUT_SIDE / width, INPUT_SIDE / height)
            fitted = np.clip(boxes / scale, 0, [width, height, width, height])
            outcome = match(fitted, truth.boxes[faces], truth.difficult[faces])
            parts.append((scores, outcome, int(np.count_nonzero(faces & ~truth.difficult))))
        return self.accumulate_results(parts)

    def accumulate_results(self, parts):
        """Return (average precision, recall) of the joined pictures."""
        faces = sum(count for _, _, count in parts)
        if faces == 0:
            raise ValueError("no annotation holds a face")
        scores = np.concatenate([scores for scores, _, _ in parts])
        outcome = np.concatenate([outcome for _, outcome, _ in parts])
        outcome = outcome[np.argsort(-scores, kind="stable")]
        return average_precision(outcome, faces), float(np.count_nonzero(outcome == HIT) / faces)

    @staticmethod
    def _names(imglist):
        """Return the picture names of an image list file, or the names themselves."""
        if not isinstance(imglist, str):
            return list(imglist)
        lines = [line.split() for line in Path(imglist).read_text(encoding="utf-8").splitlines() if line.strip()]
        if len(lines[0]) == 1 and lines[0][0].isdigit():
            lines = lines[1:]
        return [words[0] for words in lines]
