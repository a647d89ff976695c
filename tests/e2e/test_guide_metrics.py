"""The guide's four detection lines, word for word but for the folder: original annotations, resized pictures."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest
from onnx import helper, numpy_helper
from PIL import Image

from slimai import load_config, run
from slimai.app.commands.metric import main
from slimai.errors import InputError
from slimai.metrics.detection.detections import VOC_NAMES
from slimai.search.events import Silent
from tests.e2e import guide_detectors as drawn

SIZES = [(500, 375), (375, 500), (640, 480), (500, 333), (640, 427), (480, 640), (612, 612), (500, 281)]
LINES = {
    "boxes": ("voc_det_AP", "{}/ center=True,threshold=0.30001"),
    "yolo": (
        "voc_det_AP",
        (
            "{} custom_pp=yolo,center=True,data_offset=1,threshold=0.6,iou_threshold=0.3,input_size=416:416,layout=CHW,"
            "anchors=[34.56:38.08;109.44:141.12;212.16:364.16;301.44:163.52;531.84:336.64]"
        ),
    ),
    "ssd": (
        "voc_det_AP",
        (
            "{}/ custom_pp=ssd,input_size=640:360,center=True,threshold=0.30001,data_offset=-1,"
            "voc_labels=[person;bicycle;car;truck;bus;traffic_light]"
        ),
    ),
    "coco": (
        "coco_det_AP",
        (
            "{}/instances_val2014.json 80 custom_pp=yolo,center=True,data_offset=1,threshold=0.5,iou_threshold=0.6,"
            "input_size=416:416,layout=HWC,anchors=[81:82;135:169;344:319][10:14;23:27;37:58]"
        ),
    ),
}
V2 = [(34.56, 38.08), (109.44, 141.12), (212.16, 364.16), (301.44, 163.52), (531.84, 336.64)]
ROAD = ("person", "bicycle", "car", "truck", "bus", "traffic_light")
CFG = """\
[path]
output_dir = {folder}/out
image_dir = {folder}
[network]
name = {name}
input_model = {folder}/net.onnx
class = Detection
input_data_layout = NCHW
channel_order = RGB
mean = 0.0,0.0,0.0
stddev = 1.0,1.0,1.0
[dataset]
calibration_set = calib.txt
calibration_count = 4
validation_set = val.txt
validation_count = {count}
[quantization]
accuracy_level = 1
range = 100
[metric]
output_debug = 2
metric_cls = {metric}
metric_input = {line}
"""


def boxes_network(path):
    """Four finished boxes a picture: [1, 4, 4] centre and size, [1, 4] confidences, [1, 4] class indices."""
    cells = drawn.Cells("head", (416, 416), 208, 6)
    node, constants = cells.nodes(scale=1.0, bias=0.0)
    nodes, outputs = [node], {"boxes": [1, 4, 4], "scores": [1, 4], "classes": [1, 4]}
    nodes.append(helper.make_node("Reshape", ["head_raw", "flat"], ["head_flat"]))
    nodes.append(helper.make_node("Transpose", ["head_flat"], ["rows"], perm=[0, 2, 1]))
    constants += [numpy_helper.from_array(np.array([1, 6, 4]), "flat")]
    nodes += [helper.make_node("Split", ["rows", "parts"], ["b", "s", "c"], axis=2)]
    constants += [numpy_helper.from_array(np.array([4, 1, 1]), "parts")]
    for name, factor, short, squeezed in (("boxes", 416 / 255, "b", False), ("scores", 1 / 255, "s", True),
                                          ("classes", 0.1, "c", True)):  # fmt: skip
        constants.append(numpy_helper.from_array(np.float32(factor), f"{name}_k"))
        target = f"{name}_whole" if squeezed else name
        nodes.append(helper.make_node("Mul", [short, f"{name}_k"], [target]))
        if squeezed:
            constants.append(numpy_helper.from_array(np.array([1, 4]), f"{name}_s"))
            nodes.append(helper.make_node("Reshape", [target, f"{name}_s"], [name]))
    drawn.save(path, (416, 416), [(nodes, constants)], outputs)

    def draw(picture, number, box, label):
        sides = [(box[0] + box[2]) / 2, (box[1] + box[3]) / 2, box[2] - box[0], box[3] - box[1]]
        cells.draw(picture, number // 2, number % 2, [*(255 / 416 * np.array(sides)), 230, 10 * (label + 1)])

    return draw


def yolo_network(path):
    cells = drawn.Cells("head", (416, 416), 32, 125)
    node, constants = cells.nodes()
    nodes = [node, helper.make_node("Identity", ["head_raw"], ["head"])]
    drawn.save(path, (416, 416), [(nodes, constants)], {"head": [1, 125, 13, 13]})

    def draw(picture, number, box, label):
        cells.draw(picture, *drawn.yolo_values(box, 416, 32, V2, 20, label))

    return draw


def coco_network(path):
    """Two heads in HWC; all objects are in the coarse one, and nothing is drawn for the fine one."""
    coarse, fine = drawn.Cells("coarse", (416, 416), 32, 255), drawn.Cells("fine", (416, 416), 16, 255, first=500)
    parts = []
    for cells in (coarse, fine):
        node, constants = cells.nodes()
        turned = helper.make_node("Transpose", [f"{cells.name}_raw"], [cells.name], perm=[0, 2, 3, 1])
        parts.append(([node, turned], constants))
    drawn.save(path, (416, 416), parts, {"coarse": [1, 13, 13, 255], "fine": [1, 26, 26, 255]})

    def draw(picture, number, box, label):
        anchors = [(81, 82), (135, 169), (344, 319)]
        coarse.draw(picture, *drawn.yolo_values(box, 416, 32, anchors, 80, label))

    return draw


def ssd_network(path):
    """One prior a cell of 40 pixels: [1, 144, 4] offsets, [1, 144, 7] probabilities, the background first."""
    cells = drawn.Cells("head", (640, 360), 40, 11)
    node, constants = cells.nodes(scale=1.0, bias=0.0)
    constants += [numpy_helper.from_array(np.array([1, 11, 144]), "flat")]
    constants += [numpy_helper.from_array(np.array([4, 7]), "parts")]
    nodes = [
        node,
        helper.make_node("Reshape", ["head_raw", "flat"], ["head_flat"]),
        helper.make_node("Transpose", ["head_flat"], ["rows"], perm=[0, 2, 1]),
        helper.make_node("Split", ["rows", "parts"], ["l", "p"], axis=2),
        helper.make_node("Mul", ["l", "loc_k"], ["l_scaled"]),
        helper.make_node("Add", ["l_scaled", "loc_b"], ["loc"]),
        helper.make_node("Mul", ["p", "conf_k"], ["conf"]),
    ]
    for name, value in (("loc_k", 1 / drawn.GAIN), ("loc_b", drawn.LOW), ("conf_k", 1 / 255)):
        constants.append(numpy_helper.from_array(np.float32(value), name))
    drawn.save(path, (640, 360), [(nodes, constants)], {"loc": [1, 144, 4], "conf": [1, 144, 7]})
    priors = [(40 * x, 40 * y, 40 * x + 40, 40 * y + 40) for y in range(9) for x in range(16)]
    text = [" ".join(map(str, prior)) for prior in priors] + ["0.1 0.2"] * len(priors)
    (path.parent / "annotations" / "anchor.txt").write_text("\n".join(text) + "\n")

    def draw(picture, number, box, label):
        cx, cy = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
        row, column = int(cy // 40), int(cx // 40)
        loc = [(cx - 40 * column - 20) / 4, (cy - 40 * row - 20) / 4,
               np.log((box[2] - box[0]) / 40) / 0.2, np.log((box[3] - box[1]) / 40) / 0.2]  # fmt: skip
        scores = np.zeros(7)
        scores[1 + label] = 240
        cells.draw(picture, row, column, [*drawn.as_pixels(loc), *scores])

    return draw


NETWORKS = {"boxes": boxes_network, "yolo": yolo_network, "ssd": ssd_network, "coco": coco_network}
SIDES = {"ssd": (640, 360)}


class Listening(Silent):
    """Keeps the warnings of a run."""

    def __init__(self):
        self.warnings = []

    def warn(self, text):
        self.warnings.append(text)


def objects_of(size, names, generator):
    """Return (label, corners) of three objects in different quarters of a picture, in its own pixels."""
    found = []
    for across, down in ((0, 0), (1, 0), (0, 1)):
        low = np.array([0.5 * across + 0.05, 0.5 * down + 0.05]) + generator.uniform(0, 0.08, 2)
        high = low + generator.uniform(0.22, 0.32, 2)
        box = np.concatenate([low * size, high * size])
        found.append((int(generator.integers(len(names))), [round(float(side), 2) for side in box]))
    return found


def voc_xml(name, size, objects, names):
    rows = "".join(
        f"<object><name>{names[label]}</name><difficult>0</difficult><bndbox><xmin>{box[0]}</xmin><ymin>{box[1]}</ymin>"
        f"<xmax>{box[2]}</xmax><ymax>{box[3]}</ymax></bndbox></object>"
        for label, box in objects
    )
    return (f"<annotation><filename>{name}</filename><size><width>{size[0]}</width><height>{size[1]}</height>"
            f"<depth>3</depth></size>{rows}</annotation>")  # fmt: skip


@pytest.fixture
def job(tmp_path):
    """Return a function that writes network, pictures, annotations and cfg of one line; it returns the cfg."""

    def make(kind, enlarged=1):
        sizes = SIZES if enlarged == 1 else [(416 * enlarged, 416 * enlarged)] * 8
        (tmp_path / "annotations").mkdir()
        (tmp_path / "images").mkdir()
        draw = NETWORKS[kind](tmp_path / "net.onnx")
        network = SIDES.get(kind, (416, 416))
        coco = [f"thing{at}" for at in range(80)]
        names = {"ssd": ROAD, "coco": coco}.get(kind, VOC_NAMES)
        generator = np.random.default_rng(7)
        images, annotations = [], []
        for at, size in enumerate(sizes):
            picture = np.zeros((network[1], network[0], 3), np.uint8)
            objects = objects_of(size, names, generator)
            for number, (label, box) in enumerate(objects):
                inside = [box[0] * network[0] / size[0], box[1] * network[1] / size[1],
                          box[2] * network[0] / size[0], box[3] * network[1] / size[1]]  # fmt: skip
                draw(picture, number, inside, label)
                annotations.append({"id": len(annotations) + 1, "image_id": 100 + at, "category_id": label + 1,
                                    "bbox": [box[0], box[1], box[2] - box[0], box[3] - box[1]], "iscrowd": 0,
                                    "area": (box[2] - box[0]) * (box[3] - box[1])})  # fmt: skip
            picture = picture.repeat(enlarged, axis=0).repeat(enlarged, axis=1)
            Image.fromarray(picture).save(tmp_path / "images" / f"pic{at}.png")
            (tmp_path / "annotations" / f"pic{at}.xml").write_text(voc_xml(f"pic{at}.jpg", size, objects, names))
            entry = {"id": 100 + at, "file_name": f"pic{at}.png", "width": size[0], "height": size[1]}
            images.append(entry)
        data = {"images": images, "annotations": annotations,
                "categories": [{"id": at + 1, "name": name} for at, name in enumerate(coco)]}  # fmt: skip
        (tmp_path / "annotations" / "instances_val2014.json").write_text(json.dumps(data))
        lines = [f"images/pic{at}.png" for at in range(len(SIZES))]
        (tmp_path / "val.txt").write_text("\n".join([str(len(lines)), *lines]) + "\n")
        (tmp_path / "calib.txt").write_text("\n".join(["4", *lines[:4]]) + "\n")
        metric, line = LINES[kind]
        text = CFG.format(folder=tmp_path, name=kind, count=len(SIZES), metric=metric,
                          line=line.format(tmp_path / "annotations"))  # fmt: skip
        (tmp_path / f"{kind}.cfg").write_text(text)
        return tmp_path / f"{kind}.cfg"

    return make


@pytest.mark.parametrize(
    "kind", ["boxes", *(pytest.param(kind, marks=pytest.mark.slow) for kind in LINES if kind != "boxes")]
)
def test_original_annotations_and_resized_pictures(kind, job):
    listening = Listening()
    result = run(load_config(job(kind)), reporter=listening)
    assert result.float_result.score > 0.9
    assert result.score > 0.8  # COCO asks for overlaps up to 0.95, which 8 bits of one scale for all values miss
    (told,) = [text for text in listening.warnings if "metric.annotation_fit" in text]
    size = "640x360" if kind == "ssd" else "416x416"
    assert re.search(rf"'pic\d.png': \d+x\d+ in the annotation, {size} read\); boxes are scaled as if", told)


def scored_again(out, blobs, metric, capsys, *words):
    """Return what `slimai metric` says of dumped blobs, told no more than where they are."""
    words = ["--metric-cls", metric, "--octrl", out / "output_control.octrl", "--imagelist", out / "tmp_val.txt",
             "--blobs", out / blobs, "--format", "json", *words]  # fmt: skip
    assert main(list(map(str, words))) == 0
    return json.loads(capsys.readouterr().out)


@pytest.mark.parametrize("enlarged", [1, 2])
def test_the_dumps_of_a_run_score_as_the_run_did(job, capsys, enlarged):
    """With pictures that were enlarged, the network's input is not the pictures' size."""
    words = [] if enlarged == 1 else ["network.resize={mode: stretch, interpolation: nearest}"]
    cfg = job("boxes", enlarged)
    result = run(load_config(cfg, *words))
    assert result.float_result.score > 0.9
    out = result.output_dir
    found = scored_again(out, "boxes_ref", "voc_det_AP", capsys)
    assert found["value"] == pytest.approx(result.float_result.value, abs=1e-9)
    assert found["images"] == len(SIZES)
    assert scored_again(out, "boxes_100", "voc_det_AP", capsys)["value"] == pytest.approx(result.best.value, abs=1e-9)
    # options win over what the run did
    line = ["--metric-input", f"{cfg.parent}/annotations threshold=0.99"]
    assert scored_again(out, "boxes_ref", "voc_det_AP", capsys, *line)["value"] == 0.0
    # without the run's own file nothing is guessed
    (out / "run.json").rename(out / "kept.json")
    with pytest.raises(InputError, match=r"--input-size: the size of the network's input is not known: no run.json"):
        scored_again(out, "boxes_ref", "voc_det_AP", capsys, *line)
    (out / "run.json").write_text('{"slimai": "0.1"}')
    with pytest.raises(InputError, match=r"run.json: does not say how the run was scored"):
        scored_again(out, "boxes_ref", "voc_det_AP", capsys)
