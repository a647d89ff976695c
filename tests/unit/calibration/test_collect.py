"""The streaming pass: same bits for any batch size, order and thread count; bad values are named."""

import numpy as np
import pytest

from slimai.calibration.collect import channel_extremes, channel_magnitudes, collect
from slimai.calibration.statistics import Statistics, statistics_key
from slimai.errors import InputError
from slimai.graph.ir import Graph, Node, TensorInfo


class Doubler:
    """Stands for the float network: y = 2x."""

    def run(self, feeds):
        return {"y": feeds["x"] * np.float32(2)}


GRAPH = Graph(
    "net",
    (Node("n", "Mul", ("x", "two"), ("y",)),),
    ("x",),
    ("y",),
    {name: TensorInfo(name, (1, 3, 5)) for name in ("x", "y")} | {"two": TensorInfo("two", ())},
    {"two": np.float32(2)},
)
IMAGES = np.random.default_rng(0).normal(size=(12, 3, 5)).astype(np.float32)


def run(order, size, threads):
    images = IMAGES[order]
    batches = [{"x": images[i : i + size]} for i in range(0, len(images), size)]
    return collect(GRAPH, batches, bins=32, per_channel=True, threads=threads, runner=Doubler())


@pytest.mark.parametrize("size", [1, 5, 12])
def test_extremes_of_each_channel(size):
    """Reference: NumPy over all images at once; doubling is exact, so the numbers are equal."""
    order = np.random.default_rng(size).permutation(12)
    batches = [{"x": IMAGES[order[i : i + size]]} for i in range(0, 12, size)]
    found = channel_extremes(GRAPH, batches, runner=Doubler())
    assert list(found) == ["y"]
    np.testing.assert_array_equal(found["y"], [2.0 * IMAGES.min(axis=(0, 2)), 2.0 * IMAGES.max(axis=(0, 2))])
    seen = channel_magnitudes(GRAPH, batches, runner=Doubler())
    np.testing.assert_array_equal(seen["y"], 2.0 * np.abs(IMAGES).max(axis=(0, 2)))


@pytest.mark.parametrize(("size", "threads", "seed"), [(1, 2, 0), (5, 1, 1), (12, 3, 2)])
def test_same_bits_for_any_batch_order_and_threads(size, threads, seed):
    plain = run(np.arange(12), 1, 1)
    other = run(np.random.default_rng(seed).permutation(12), size, threads)
    assert plain.images == other.images == 12
    for name in ("x", "y"):
        a, b = plain[name], other[name]
        assert (a.minimum, a.maximum, a.histogram.exponent) == (b.minimum, b.maximum, b.histogram.exponent)
        np.testing.assert_array_equal(a.histogram.counts, b.histogram.counts)
        np.testing.assert_array_equal(a.channels.limbs, b.channels.limbs)
    np.testing.assert_allclose(plain["y"].channels.means, 2 * IMAGES.astype(float).mean(axis=(0, 2)), rtol=1e-14)
    assert plain["y"].maximum == 2 * IMAGES.max()


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_value_that_is_not_finite_names_tensor_and_image(bad):
    images = IMAGES.copy()
    images[7, 1, 2] = bad
    with pytest.raises(InputError) as caught:
        collect(
            GRAPH,
            [{"x": images[:6]}, {"x": images[6:]}],
            bins=32,
            runner=Doubler(),
            names=[f"{i}.png" for i in range(12)],
        )
    assert str(caught.value) in (
        f"{name}: the float network computes a value that is not finite for image 8 (7.png) (got {bad}); "
        "check this image and the preprocessing"
        for name in "xy"
    )


MADE = {
    "Softmax": "every place of one of its rows is masked: leave one, or mask with a finite value such as -1e4",
    "Log": "keep what it reads above 0, by a Clip or an added epsilon",
    "Reciprocal": "keep its divisor away from 0, by a Clip or an added epsilon",
    "Exp": "what it reads is finite: its result has no value or is too large for float32; change the network there",
}


@pytest.mark.parametrize("op", MADE)
def test_a_value_that_the_network_makes_blames_its_first_operator_and_no_image(op):
    """A larger tensor behind it is not finite either, and is counted first."""

    class Maker:
        def run(self, feeds):
            y = feeds["x"].copy()
            y[-1, 1, 1] = np.inf if op == "Exp" else np.nan
            return {"y": y, "z": np.concatenate([y, y], axis=2)}

    shapes = {"x": (1, 3, 5), "y": (1, 3, 5), "z": (1, 3, 10)}
    graph = Graph(
        "net",
        (Node("n", op, ("x",), ("y",)), Node("c", "Concat", ("y", "y"), ("z",))),
        ("x",),
        ("z",),
        {name: TensorInfo(name, shape) for name, shape in shapes.items()},
        {},
    )
    for threads in (1, 3):
        with pytest.raises(InputError) as caught:
            collect(graph, [{"x": IMAGES}], bins=32, runner=Maker(), threads=threads)
        value = "inf" if op == "Exp" else "nan"
        message = f"y: the float network computes a value that is not finite for image 12, in a {op} (got {value})"
        assert str(caught.value) == f"{message}; {MADE[op]}"


def test_a_part_of_the_images_names_its_image_by_the_place_among_all():
    images = IMAGES.copy()
    images[7, 1, 2] = np.nan
    names = [f"{i}.png" for i in range(12)]
    with pytest.raises(InputError, match=r"for image 8 \(7\.png\)"):
        collect(GRAPH, [{"x": images[6:]}], bins=32, runner=Doubler(), names=names, first=6)


def test_no_image():
    with pytest.raises(InputError, match="calibration: no image was given"):
        collect(GRAPH, [], runner=Doubler())


def test_progress_counts_images():
    seen = []
    collect(GRAPH, [{"x": IMAGES[:5]}, {"x": IMAGES[5:]}], bins=32, runner=Doubler(), progress=seen.append)
    assert seen == [5, 12]


def test_key_depends_on_each_part(monkeypatch):
    base = ("graph", "mean 0", "images", 2048)
    keys = {statistics_key(*base)}
    for place, other in enumerate(("graph2", "mean 1", "images2", 4096)):
        keys.add(statistics_key(*base[:place], other, *base[place + 1 :]))
    monkeypatch.setattr("slimai.__version__", "another")
    keys.add(statistics_key(*base))
    assert len(keys) == 6
    assert statistics_key(*base) in keys


def test_channel_means_of_some_tensors_only():
    stats = collect(GRAPH, [{"x": IMAGES}], bins=32, per_channel={"y"}, runner=Doubler())
    assert stats["x"].channels is None
    np.testing.assert_allclose(stats["y"].channels.means, 2 * IMAGES.astype(float).mean(axis=(0, 2)), rtol=1e-14)


@pytest.mark.parametrize("damage", ["cut", b"", b"PK\x03\x04junk"])
def test_a_damaged_file_is_refused(tmp_path, damage):
    path = tmp_path / "s.npz"
    run(np.arange(12), 4, 1).save(path)
    path.write_bytes(path.read_bytes()[:100] if damage == "cut" else damage)
    with pytest.raises(ValueError, match="is not a statistics file"):
        Statistics.load(path)
