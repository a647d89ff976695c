"""Float TFLite networks, file to float32: as LiteRT's reference kernels, within 1e-4 of the largest value."""

from __future__ import annotations

import numpy as np
import pytest
from float_tflite import STEPS, network
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tflite_builder import Step, Tensor, build, build_network, run

from slimai.errors import InputError
from slimai.graph.load import load_onnx
from slimai.graph.tflite.load import load_tflite
from slimai.runtime.session import FloatSession

TOLERANCE = 1e-4
GENERATED = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def require_as_litert(tmp_path, net, seed):
    """Compare the outputs of the network as it is read with those of LiteRT."""
    outputs = list(dict.fromkeys([net.made[-1], *net.made[1:2]]))
    model = net.model(outputs)
    path = tmp_path / "net.tflite"
    path.write_bytes(model)
    x = np.random.default_rng(seed).normal(0, 2, net.tensors[0].shape).astype(np.float32)
    expected = run(model, [x])
    found = FloatSession(load_onnx(path)).run({"x": x})
    assert list(found) == [net.tensors[number].name for number in outputs]
    for number, wanted, value in zip(outputs, expected, found.values(), strict=True):
        assert value.shape == wanted.shape == net.tensors[number].shape
        scale = max(1.0, float(np.abs(wanted).max(initial=0)))
        np.testing.assert_allclose(value, wanted, rtol=0, atol=TOLERANCE * scale)


@pytest.mark.parametrize("name", STEPS)
@pytest.mark.parametrize("before", ["", "CONV_2D", "RESHAPE"])
def test_one_operator(tmp_path, name, before):
    for seed in range(4):
        require_as_litert(tmp_path, network([before, name] if before else [name], seed), seed)


MISSING = {  # operators that LiteRT's reference kernels lack, by their definition
    "ELU": lambda x: np.where(x > 0, x, np.expm1(x)),
    "CEIL": np.ceil,
    "ROUND": np.round,  # half to even
}


@pytest.mark.parametrize("name", MISSING)
def test_operators_without_a_reference_kernel(tmp_path, name):
    x = np.array([[-3.5, -2.5, -0.5, 0.5, 1.5, 2.5, 0.3, -0.7]], np.float32)
    path = tmp_path / "net.tflite"
    path.write_bytes(build(name, [Tensor("x", x.shape, "float32")], [Tensor("y", x.shape, "float32")], version=1))
    found = FloatSession(load_onnx(path)).run({"x": x})["y"]
    np.testing.assert_allclose(found, MISSING[name](x.astype(np.float64)), rtol=0, atol=1e-6)


def test_operators_that_jump(tmp_path):
    """FLOOR, and CAST to int32 and back: exact, on values that are computed nowhere else."""
    x = np.array([[-3.5, -2.0, -0.5, 0.5, 1.0, 2.5, 7.9, -0.0]], np.float32)
    tensors = [Tensor(name, x.shape, kind) for name, kind in (("x", "float32"), ("i", "int32"), ("c", "float32"),
                                                              ("f", "float32"))]  # fmt: skip
    steps = [
        Step("CAST", [0], [1], "Cast", {"InDataType": 0, "OutDataType": 2}, 1),
        Step("CAST", [1], [2], "Cast", {"InDataType": 2, "OutDataType": 0}, 1),
        Step("FLOOR", [0], [3]),
    ]
    model = build_network(tensors, steps, [0], [2, 3])
    (tmp_path / "net.tflite").write_bytes(model)
    found = FloatSession(load_onnx(tmp_path / "net.tflite")).run({"x": x})
    for wanted, value in zip(run(model, [x]), found.values(), strict=True):
        np.testing.assert_array_equal(value, wanted)


@GENERATED
@given(names=st.lists(st.sampled_from(sorted(STEPS)), min_size=2, max_size=8), seed=st.integers(0, 2**32 - 1))
def test_generated_networks(tmp_path, names, seed):
    require_as_litert(tmp_path, network(names, seed), seed)


@pytest.mark.shared
def test_a_real_network_gives_the_outputs_of_its_onnx_twin(shared_data):
    models = shared_data / "models"
    own, twin = (
        FloatSession(load_onnx(models / name))
        for name in ("tflite/resnet8_cifar10_float.tflite", "onnx/resnet8_cifar10.onnx")
    )
    x = np.random.default_rng(5).uniform(0, 255, (8, 32, 32, 3)).astype(np.float32)
    (found,), (wanted,) = own.run({"input_1": x}).values(), twin.run({"input_1": x.transpose(0, 3, 1, 2)}).values()
    np.testing.assert_allclose(found, wanted, rtol=0, atol=TOLERANCE)


@pytest.mark.shared
def test_a_real_network_of_dynamic_range_is_one_mistake(shared_data):
    path = shared_data / "models" / "tflite" / "kws_ref_model_float.tflite"
    for read in (load_onnx, load_tflite):
        with pytest.raises(InputError) as caught:
            read(path)
        assert [item.message for item in caught.value.diagnostics] == [
            (
                "a dynamic-range network: 5 operators multiply float activations by integer weights, "
                "which neither a float nor an integer network does"
            )
        ]
