from __future__ import annotations

from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from PIL import Image

from slimai.data.preprocess import InputSpec, Preprocess, preprocess_for
from slimai.data.resize import Resize
from slimai.data.sample import ImageGeometry, Sample
from slimai.errors import InputError
from slimai.schema.network import NetworkSection

PIXELS = np.random.default_rng(5).integers(0, 256, (6, 8, 3)).astype(np.uint8)


@pytest.fixture
def folder(tmp_path):
    Image.fromarray(PIXELS).save(tmp_path / "a.png")
    Image.fromarray(PIXELS).save(tmp_path / "a.bmp")
    Image.fromarray(PIXELS).save(tmp_path / "a.ppm")
    Image.fromarray(PIXELS[..., 0]).save(tmp_path / "gray.pgm")
    return tmp_path


def sample(folder, *names):
    return Sample(0, tuple(folder / name for name in names), (), None, "list.txt", 4)


def run(folder, spec, *names):
    return Preprocess([spec])(sample(folder, *names))


def message(folder, spec, *names):
    with pytest.raises(InputError) as caught:
        run(folder, spec, *names)
    return str(caught.value).replace(str(folder), "DIR")


@pytest.mark.parametrize("name", ["a.png", "a.bmp", "a.ppm"])
@pytest.mark.parametrize("order", ["RGB", "BGR"])
def test_float32_arithmetic_is_exact(folder, name, order):
    mean, stddev = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)
    found, arrays = run(folder, InputSpec("x", (1, 3, 6, 8), mean=mean, stddev=stddev, channel_order=order), name)
    pixels = PIXELS if order == "RGB" else PIXELS[..., ::-1]
    wanted = (pixels.astype(np.float32) - np.float32(mean)) / np.float32(stddev)
    assert arrays["x"].dtype == np.float32
    np.testing.assert_array_equal(arrays["x"], wanted.transpose(2, 0, 1)[None])
    assert found.geometry == ImageGeometry((8, 6), (8, 6))


def test_nhwc_layout(folder):
    _, arrays = run(folder, InputSpec("x", (1, 6, 8, 3), layout="NHWC", mean=(1.0, 2.0, 3.0)), "a.png")
    np.testing.assert_array_equal(arrays["x"], PIXELS[None].astype(np.float32) - np.float32([1, 2, 3]))


def test_gray(folder):
    spec = InputSpec("x", (1, 1, 6, 8), channel_order="GRAY")
    _, arrays = run(folder, spec, "gray.pgm")
    np.testing.assert_array_equal(arrays["x"][0, 0], PIXELS[..., 0])
    _, arrays = run(folder, spec, "a.png")
    np.testing.assert_array_equal(arrays["x"][0, 0], np.asarray(Image.fromarray(PIXELS).convert("L")))


def test_letterbox_pads_and_keeps_the_geometry(folder):
    resize = Resize("letterbox", pad_value=(1.0, 2.0, 3.0), interpolation="bilinear_cv2")
    found, arrays = run(folder, InputSpec("x", (1, 3, 16, 17), channel_order="BGR", resize=resize), "a.png")
    wanted = np.empty((16, 17, 3), dtype=np.float32)
    wanted[:] = (1, 2, 3)
    wanted[1:14] = cv2.resize(PIXELS, (17, 13), interpolation=cv2.INTER_LINEAR)[..., ::-1]
    np.testing.assert_array_equal(arrays["x"][0], wanted.transpose(2, 0, 1))
    assert found.geometry == ImageGeometry((8, 6), (17, 16), (17 / 8, 13 / 6), (0.0, 1.0))


def test_center_crop(folder):
    spec = InputSpec("x", (1, 3, 4, 4), resize=Resize("center_crop", 6))
    found, arrays = run(folder, spec, "a.png")
    np.testing.assert_array_equal(arrays["x"][0], PIXELS[1:5, 2:6].transpose(2, 0, 1))
    assert found.geometry == ImageGeometry((8, 6), (4, 4), (1.0, 1.0), (-2.0, -1.0))


def test_stretch_as_pillow(folder):
    _, arrays = run(folder, InputSpec("x", (1, 3, 3, 5), resize=Resize("stretch")), "a.png")
    wanted = np.asarray(Image.fromarray(PIXELS).resize((5, 3), Image.BILINEAR))
    np.testing.assert_array_equal(arrays["x"][0], wanted.transpose(2, 0, 1))


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int16", "uint16", "float16", "float32"])
@pytest.mark.parametrize("shape", [(49, 10), (1, 49, 10), (1, 1, 49, 10)])
def test_arrays_are_dequantized_by_mean_and_stddev(tmp_path, dtype, shape):
    values = np.random.default_rng(3).integers(0, 100, shape).astype(dtype)
    np.save(tmp_path / "v.npy", values)
    spec = InputSpec("x", (1, 1, 49, 10), layout="NonImage", mean=(83.0,), stddev=(1.71,))
    found, arrays = run(tmp_path, spec, "v.npy")
    wanted = (values.astype(np.float32) - np.float32(83)) / np.float32(1.71)
    np.testing.assert_array_equal(arrays["x"], wanted.reshape(1, 1, 49, 10))
    assert found.geometry is None


def test_two_and_four_channel_arrays(tmp_path):
    values = np.arange(2 * 3 * 4, dtype=np.uint8).reshape(2, 3, 4)
    np.save(tmp_path / "v.npy", values)
    found, arrays = run(tmp_path, InputSpec("x", (1, 2, 3, 4), mean=(1.0, 2.0)), "v.npy")
    np.testing.assert_array_equal(arrays["x"][0], values.astype(np.float32) - np.float32([1, 2]).reshape(2, 1, 1))
    assert found.geometry == ImageGeometry((4, 3), (4, 3))


def test_several_inputs_take_their_columns(folder):
    np.save(folder / "v.npy", np.ones(3, dtype=np.float32))
    specs = [
        InputSpec("state", (1, 3), column=1, layout="NonImage"),
        InputSpec("image", (1, 3, 6, 8), column=0),
    ]
    found, arrays = Preprocess(specs)(sample(folder, "a.png", "v.npy"))
    assert list(arrays) == ["state", "image"]
    assert arrays["state"].tolist() == [[1, 1, 1]]
    assert found.geometry == ImageGeometry((8, 6), (8, 6))


IMAGE = InputSpec("x", (1, 3, 6, 8))


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "this is no PNG, PPM, PGM, JPEG or BMP image"),
        (b"\x89PNG\r\n\x1a\n" + b"\0" * 40, "this is no PNG, PPM, PGM, JPEG or BMP image"),
    ],
)
def test_unreadable_image_names_file_and_line(folder, content, expected):
    (folder / "bad.png").write_bytes(content)
    assert message(folder, IMAGE, "bad.png").startswith(f"list.txt:4: DIR/bad.png: {expected}")


def test_truncated_image(folder):
    noise = np.random.default_rng(0).integers(0, 256, (60, 80, 3)).astype(np.uint8)
    for suffix in ("png", "jpg"):
        Image.fromarray(noise).save(folder / f"whole.{suffix}")
        whole = (folder / f"whole.{suffix}").read_bytes()
        (folder / f"cut.{suffix}").write_bytes(whole[: len(whole) // 2])
        spec = InputSpec("x", (1, 3, 60, 80))
        assert f"list.txt:4: DIR/cut.{suffix}: the image cannot be decoded:" in message(folder, spec, f"cut.{suffix}")
        (problem,) = Preprocess([spec]).check([sample(folder, f"cut.{suffix}")])
        assert "the image cannot be decoded" in str(problem)


@pytest.mark.parametrize(
    ("spec", "name", "expected"),
    [
        (
            InputSpec("x", (1, 3, 32, 24)),
            "a.png",
            "the image is 8x6, the network's input 24x32; set network.resize, or give images of that size",
        ),
        (IMAGE, "none.png", "the image cannot be read: No such file or directory"),
        (IMAGE, "deep.png", "pixels of the mode I;16 are not 8-bit; convert it to 8 bits"),
        (InputSpec("x", (1, 2, 6, 8)), "a.png", "an input of 2 channels takes .npy arrays, no images"),
        (InputSpec("x", (1, 9), layout="NonImage"), "a.png", "input_data_layout NonImage takes .npy arrays"),
        (InputSpec("x", (1, 9), layout="NonImage"), "v.npy", "the array's shape is [3], the network's input [1, 9]"),
        (InputSpec("x", (1, 9), layout="NonImage"), "text.npy", "this is no .npy array: "),
        (
            InputSpec("x", (1, 9), layout="NonImage"),
            "double.npy",
            "the array holds float64; save it as uint8, int8, uint16, int16, float16, float32",
        ),
        (InputSpec("x", (1, 3), layout="NonImage"), "nan.npy", "the array holds values that are not finite"),
    ],
)
def test_messages(folder, spec, name, expected):
    Image.fromarray(np.zeros((6, 8), dtype=np.uint16)).save(folder / "deep.png")
    np.save(folder / "v.npy", np.zeros(3, dtype=np.float32))
    np.save(folder / "double.npy", np.zeros(9))
    np.save(folder / "nan.npy", np.array([1, np.nan, 2], dtype=np.float32))
    (folder / "text.npy").write_text("hello")
    assert message(folder, spec, name).startswith(f"list.txt:4: DIR/{name}: {expected}")
    problems = Preprocess([spec]).check([sample(folder, name)])
    assert [str(item).replace(str(folder), "DIR").startswith(f"list.txt:4: DIR/{name}") for item in problems] == [True]


def test_pickled_array_is_refused(tmp_path):
    np.save(tmp_path / "p.npy", np.array([{}], dtype=object), allow_pickle=True)
    spec = InputSpec("x", (1, 1), layout="NonImage")
    assert "p.npy: this is no .npy array: " in message(tmp_path, spec, "p.npy")


def test_wrong_number_of_files(folder):
    assert message(folder, IMAGE, "a.png", "a.bmp") == "list.txt:4: 2 files, but the network's inputs (x) need 1"


def network(**changes):
    plain = {"input_data_layout": "NCHW", "channel_order": "RGB", "mean": (0.0,), "stddev": (1.0,), "resize": None}
    return SimpleNamespace(**{**plain, "input_node_name": {}, **changes})


def test_section_with_settings_of_an_input():
    node = SimpleNamespace(column=1, input_data_layout="NonImage", mean=(2.0,), channel_order=None, stddev=None)
    node.resize = None
    other = SimpleNamespace(**dict.fromkeys(vars(node)))
    found = preprocess_for(
        network(mean=(5.0,), input_node_name={"v": node, "x": other}), {"x": (1, 3, 4, 4), "v": (1, 7)}
    )
    assert found.inputs == (
        InputSpec("v", (1, 7), 1, "NonImage", "RGB", (2.0,)),
        InputSpec("x", (1, 3, 4, 4), 1, "NCHW", "RGB", (5.0,)),
    )


@pytest.mark.parametrize(
    ("section", "shapes", "expected"),
    [
        (
            network(input_node_name={"y": None}),
            {"x": (1, 3, 4, 4)},
            [
                "network.input_node_name: the network has no such input; one of x (got 'y')",
                "network.input_node_name: this input of the network is not named (got 'x'); name every input",
            ],
        ),
        (
            network(mean=(1.0, 2.0), stddev=(1.0,) * 4),
            {"x": (1, 3, 4, 4)},
            [
                "network.mean: input 'x' has 3 channels (got [1.0, 2.0]); give one or one a channel",
                "network.stddev: input 'x' has 3 channels (got [1.0, 1.0, 1.0, 1.0]); give one or one a channel",
            ],
        ),
        (
            network(),
            {"x": (1, 1, 4, 4)},
            [
                (
                    "network.channel_order: input 'x' has 1 channel (got 'RGB'); "
                    "use GRAY, or correct network.input_data_layout (now NCHW)"
                )
            ],
        ),
        (
            network(),
            {"x": (1, 10)},
            [
                (
                    "network.input_data_layout: input 'x' of the shape [1, 10] takes no NCHW image (got 'NCHW'); "
                    "set network.input_data_layout: NonImage for data that is no image"
                )
            ],
        ),
        (
            network(resize=Resize("center_crop", 30)),
            {"x": (1, 3, 64, 32)},
            [
                (
                    "network.resize.short_side: the short side is smaller than the network's input of 32x64 (got 30); "
                    "use 64 or more"
                )
            ],
        ),
    ],
)
def test_section_messages(section, shapes, expected):
    with pytest.raises(InputError) as caught:
        preprocess_for(section, shapes)
    assert [str(item) for item in caught.value.diagnostics] == expected


def test_crop_larger_than_the_scaled_image(folder):
    spec = InputSpec("x", (1, 3, 8, 6), resize=Resize("center_crop", 6))
    assert message(folder, spec, "a.png") == (
        "list.txt:4: DIR/a.png: scaled to 8x6 it is smaller than the crop 6x8; raise network.resize.short_side"
    )


def test_check_shortens_and_reports_each_file_once(folder):
    spec = InputSpec("x", (1, 3, 9, 9))
    samples = [sample(folder, "a.png")] * 3
    assert len(Preprocess([spec]).check(samples)) == 1
    many = [sample(folder, f"n{number}.png") for number in range(25)]
    problems = Preprocess([spec]).check(many)
    assert len(problems) == 21
    assert str(problems[-1]) == "and 5 more mistakes like these"


def test_validated_section_fits():
    section = NetworkSection.model_validate(
        {
            "input_model": "net.onnx",
            "channel_order": "BGR",
            "mean": [1, 2, 3],
            "resize": {"mode": "letterbox", "pad_value": 0, "anchor": "top_left", "interpolation": "bilinear_cv2"},
            "input_node_name": {"image": 0, "state": {"column": 1, "input_data_layout": "NonImage", "mean": 0}},
        }
    )
    found = preprocess_for(section, {"image": (1, 3, 8, 8), "state": (1, 5)})
    resize = Resize("letterbox", None, (0.0,), "top_left", "bilinear_cv2")
    assert found.inputs == (
        InputSpec("image", (1, 3, 8, 8), 0, "NCHW", "BGR", (1.0, 2.0, 3.0), (1.0,), resize),
        InputSpec("state", (1, 5), 1, "NonImage", "BGR", (0.0,), (1.0,), resize),
    )
