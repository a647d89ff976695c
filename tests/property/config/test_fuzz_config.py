"""Any values, any mutated preset, any override: a configuration or sentences, never an exception."""

from __future__ import annotations

from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from slimai.app.commands.validate import check
from slimai.config.diagnose import judge_values
from slimai.errors import Diagnostic
from slimai.schema.root import SlimaiConfig

PRESET = (Path(__file__).resolve().parents[3] / "conf" / "model" / "yolo.yaml").read_bytes()
KEYS = sorted(
    {key for info in SlimaiConfig.model_fields.values() for key in getattr(info.annotation, "model_fields", {})}
)
scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=12),
    st.sampled_from(["voc_det_AP", "psnr", "cosine", "MIU", "top1", "96:99:1", "auto", "Detection", "net.onnx"]),
)
keys = st.one_of(
    st.sampled_from([*KEYS, "metric_cls", "metric_input", "anchors", "resize"]), st.text(max_size=8), st.integers()
)
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=4), max_leaves=12
)
sections = st.dictionaries(st.one_of(st.sampled_from(sorted(SlimaiConfig.model_fields)), st.text(max_size=6)), values)


def assert_said(found):
    for item in found:
        assert isinstance(item, Diagnostic)
        assert item.message
        assert "Traceback" not in str(item)


@settings(max_examples=400, deadline=None)
@given(sections)
def test_any_values(tree):
    config, found = judge_values(tree)
    assert_said(found)
    assert (config is None) == any(item.severity == "error" for item in found)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.integers(0, len(PRESET) - 1), st.binary(max_size=6), st.integers(0, 12)), max_size=4))
def test_any_mutated_preset(tmp_path, edits):
    data = bytearray(PRESET)
    for place, new, gone in edits:
        data[place : place + gone] = new
    file = tmp_path / "mutant.yaml"
    file.write_bytes(bytes(data))
    assert_said(check([str(file)]))


@settings(max_examples=60, deadline=None)
@given(
    st.text(st.characters(exclude_categories=["Cs"]), max_size=20), st.sampled_from(["", "quantization.range=", "+x."])
)
def test_any_override(text, head):
    assert_said(check(["+model=yolo", f"{head}{text}="[:40] if not head else head + text]))
