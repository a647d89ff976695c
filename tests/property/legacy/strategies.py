"""Valid configurations that a legacy cfg can say, as plain mappings of absolute paths and numbers."""

from __future__ import annotations

from hypothesis import strategies as st

# names that appear in file names, and the folders that paths are made of; blanks and signs a cfg keeps
names = st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,11}", fullmatch=True)
folder_names = st.from_regex(r"[A-Za-z0-9_~#.(-][A-Za-z0-9_()#;$={} -]{0,6}[A-Za-z0-9_中]", fullmatch=True).filter(
    lambda name: " #" not in name and " ;" not in name and not name.startswith("..")
)
word_names = st.from_regex(r"[A-Za-z0-9_#.(-][A-Za-z0-9_()#;$={}-]{0,6}[A-Za-z0-9_中]", fullmatch=True).filter(
    lambda name: not name.startswith("..")
)
file_stems = st.from_regex(r"[a-z0-9_]{1,8}", fullmatch=True)
tensor_names = st.from_regex(r"[A-Za-z0-9_.:/-]{1,10}", fullmatch=True)
reals = st.one_of(
    st.integers(-1000, 1000).map(float),
    st.floats(-1e6, 1e6, allow_nan=False).map(lambda value: value + 0.0),
)
positive = st.one_of(st.integers(1, 1000).map(float), st.floats(1e-6, 1e6))
fractions = st.floats(0, 1)
sizes = st.tuples(st.integers(1, 4096), st.integers(1, 4096)).map(list)


def paths(root: str, parts=folder_names):
    return st.lists(parts, min_size=1, max_size=3).map(lambda items: "/".join([root, *items]))


def optional(section: dict) -> st.SearchStrategy:
    return st.fixed_dictionaries({}, optional=section)


def ranges():
    values = st.integers(1, 200)  # halves of a percent

    def text(numbers):
        low, high, step = numbers
        low, high = min(low, high), max(low, high)
        return f"{low / 2}" if low == high else f"{low / 2}:{high / 2}:{step / 2}"

    return st.tuples(values, values, st.integers(1, 40)).map(text)


def detection(root: str, head):
    shared = {
        "center": st.booleans(),
        "yfirst": st.booleans(),
        "threshold": fractions,
        "data_offset": st.integers(-3, 3),
        "iou_threshold": fractions,
    }
    if head is None:
        shared |= {"scale_width": positive, "scale_height": positive, "div_width": positive, "div_height": positive}
    labels = st.lists(names, min_size=1, max_size=4, unique=True)
    if head == "yolo":
        pair = st.tuples(positive, positive).map(list)
        bracket = st.lists(pair, min_size=1, max_size=3)
        return st.fixed_dictionaries(
            {
                "custom_pp": st.just("yolo"),
                "input_size": sizes,
                "anchors": st.lists(bracket, min_size=1, max_size=3),
                "layout": st.sampled_from(["HWC", "CHW"]),
            },
            optional=shared | {"voc_labels": labels, "yolo": st.sampled_from(["v2", "v3"])},
        )
    if head in {"ssd", "yolox", "yolov8"}:
        needed = {"custom_pp": st.just(head), "input_size": sizes}
        own = {"priors": paths(root, word_names)} if head == "ssd" else {}
        return st.fixed_dictionaries(needed, optional=shared | {"voc_labels": labels} | own)
    return optional(shared)


@st.composite
def metrics(draw, root: str, network_class: str):
    """A [metric] section that suits the class of network."""
    shared = draw(optional({"output_debug": st.integers(0, 3), "adjust": st.booleans()}))
    where = paths(root, word_names)
    if network_class == "Detection":
        head = draw(st.sampled_from([None, "yolo", "ssd", "yolox", "yolov8"]))
        spec = draw(detection(root, head))
        if draw(st.booleans()):
            return {**shared, "metric_cls": "voc_det_AP", "metric_input": {"annotations": draw(where), **spec}}
        spec.pop("voc_labels", None)
        counted = {"instances": draw(where), "classes": draw(st.integers(1, 90)), **spec}
        return {**shared, "metric_cls": "coco_det_AP", "metric_input": counted}
    if network_class == "Segmentation" and draw(st.booleans()):
        method = st.fixed_dictionaries({"method": st.sampled_from(["NN", "Bi", "Cu"]), "size": sizes})
        options = {
            "axis": st.integers(0, 2),
            "threshold": fractions,
            "resize": method,
            "transpose": st.sampled_from(["auto", "true", "false"]),
        }
        name = draw(st.sampled_from(["SegStats", "PxAcc", "MAcc", "MIU", "FrWIU"]))
        return {**shared, "metric_cls": name, "metric_input": {"labels": draw(where), **draw(optional(options))}}
    if network_class == "Segmentation":
        layout = st.sampled_from(["chw", "whc", "cwh", "hwc"])
        options = {"range": positive} | draw(st.sampled_from([{}, {"layout": layout}]))
        spec = draw(optional(options))
        return {**shared, "metric_cls": draw(st.sampled_from(["psnr", "ssim", "l1", "l2"])), "metric_input": spec}
    if network_class == "Classification" and draw(st.booleans()):
        spec = draw(optional({"labels": where}))
        return {**shared, "metric_cls": draw(st.sampled_from(["top1", "top5", "top1_5"])), "metric_input": spec}
    line = draw(st.sampled_from(["", "threshold=0.6", "faces threshold=0.6,x=[1;2]"]))
    plug_in = {"metric_cls": "faceboxes_map", "metric_input": line}
    return {**shared, **draw(st.sampled_from([{}, {"metric_cls": "cosine"}, {"metric_cls": "NoMetric"}, plug_in]))}


@st.composite
def quantizations(draw, root: str):
    levels = draw(st.lists(st.integers(0, 4), min_size=1, max_size=3, unique=True))
    section: dict = {"accuracy_level": levels}
    if draw(st.booleans()):
        section["histogram_bins"] = draw(st.sampled_from([16, 2048, 10240, 1 << 20]))
        method = st.sampled_from(["ImprovedMSE", "ImprovedKL"])
        section["calibration"] = draw(st.lists(method, min_size=1, max_size=2, unique=True))
    else:
        section["range"] = draw(ranges())
    if 0 not in levels and draw(st.booleans()):
        section["mix"] = True
        section |= draw(optional({"nodename_datatypes": paths(root), "nodekind_datatypes": paths(root)}))
    return section


@st.composite
def networks(draw, root: str):
    layout = draw(st.sampled_from(["NCHW", "NHWC", "NonImage"]))
    channels = 1 if layout == "NonImage" else draw(st.sampled_from([1, 3]))
    inputs = draw(st.lists(tensor_names, max_size=3, unique=True))
    own = st.sampled_from([{}, {"input_data_layout": "NHWC"}, {"input_data_layout": "NCHW"}])
    nodes = {name: draw(own) if len(inputs) > 1 else {} for name in inputs}
    section = {
        "name": draw(names),
        "input_model": draw(paths(root)) + ".onnx",
        "class": draw(st.sampled_from(["Classification", "Detection", "Segmentation", "Other"])),
        "input_data_layout": layout,
        "mean": draw(st.lists(reals, min_size=channels, max_size=channels)),
        "stddev": draw(st.lists(positive, min_size=channels, max_size=channels)),
        "input_node_name": nodes,
    }
    if layout != "NonImage":
        section["channel_order"] = "GRAY" if channels == 1 else draw(st.sampled_from(["RGB", "BGR"]))
    return section


@st.composite
def configurations(draw, root: str):
    """The values of a whole configuration below the absolute folder `root`."""
    network = draw(networks(root))
    stem = draw(file_stems)
    dataset = {
        "calibration_set": f"{stem}_calib.txt",
        "calibration_count": draw(st.integers(1, 10_000)),
        "validation_set": draw(paths(root)) + ".txt",
        "validation_count": draw(st.integers(1, 10_000)),
    }
    values = {
        "path": {
            "output_dir": draw(paths(root)),
            "image_dir": draw(paths(root)),
            **draw(optional({"input_dir": paths(root), "tmp_dir": paths(root)})),
        },
        "network": network,
        "dataset": dataset,
        "quantization": draw(quantizations(root)),
        "metric": draw(metrics(root, network["class"])),
        "performance": draw(
            optional(
                {
                    "optimization": st.sampled_from(["level1", "level2"]),
                    "dsp_frequency": positive,
                    "read_delay": st.integers(0, 10_000),
                    "write_delay": st.integers(0, 10_000),
                }
            )
        ),
        "target": draw(
            optional({"tcm_reserve_low": st.integers(0, 1 << 16), "tcm_reserve_high": st.integers(0, 1 << 16)})
        ),
    }
    search = optional({"smart_search_level": st.integers(0, 1), "time_limit": positive})
    return {**values, **({"smart_search": draw(search)} if draw(st.booleans()) else {})}
