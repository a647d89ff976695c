"""Small random networks, of every operator and its attributes, through all of slimai: see `net_rows` and `net_checks`.

The quick suite draws about 300 networks with a fixed seed, the slow one 10,000 with a new one, which it prints;
SLIMAI_NET_COUNT and SLIMAI_NET_SEED override both numbers of the slow one. SLIMAI_NET_SHRINK=1 shrinks what fails in
the quick one too (the slow one does), which takes minutes. With SLIMAI_NET_KEEP=FOLDER a row of the slow one goes on
behind a network that fails and fails at its end; each such network is kept in the folder, and is tried again by

    SLIMAI_NET_KEEP=FOLDER python -m pytest tests/net/test_net.py -k kept
"""

from __future__ import annotations

import os
import secrets
import zlib
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, assume, given, seed, settings
from net_builder import Case
from net_cases import networks
from net_checks import CHECKS
from net_keep import keep, kept
from net_known import KNOWN
from net_rows import ROWS
from net_stages import Stages, runs

from slimai.errors import UnsupportedError

QUICK, QUICK_SEED = 300, 20
COUNT = int(os.environ.get("SLIMAI_NET_COUNT", "10000"))
SEED = int(os.environ.get("SLIMAI_NET_SEED", "0")) or secrets.randbelow(2**31)
KEEP = Path(os.environ["SLIMAI_NET_KEEP"]) if os.environ.get("SLIMAI_NET_KEEP") else None
# Forms that are rightly refused by name: an average pool whose window is beyond the picture along one axis, where
# ONNX's inference and ONNX Runtime count apart, and over its edge along another, where pads do not stand for ceil_mode.
REFUSED = ("has a window behind the picture along one axis and over its edge along another",)
PREPARATION = ("graph", "saved", "statistics")


def net(row: str, count: int, start: int, shrink: bool, folder: Path | None = None) -> None:
    """Draw networks with this row and check them; the first one that fails is shrunk and shown, or all go to folder."""
    drawn: Counter[str] = Counter()
    failed: list[str] = []

    @seed(start ^ zlib.crc32(row.encode()))
    @settings(
        max_examples=count,
        database=None,
        deadline=None,
        print_blob=False,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate, Phase.shrink] if shrink else [Phase.generate],
    )
    @given(networks(row))
    def every(case: Case) -> None:
        drawn["made"] += 1
        stages = Stages(case)
        assume(runs(stages))
        drawn["run"] += 1
        try:
            checked(stages)
        except Exception as error:
            if folder is None:
                raise
            failed.append(f"{row}_{start}_{drawn['run']}: {error}")
            keep(folder, f"{row}_{start}_{drawn['run']}", case, error)

    every()
    assert not failed, "\n".join(failed)
    assert drawn["run"] >= 0.8 * drawn["made"] - 1, f"ONNX Runtime runs only {drawn['run']} of {drawn['made']} networks"


def checked(stages: Stages) -> None:
    """Check one network, up to the first known fault."""
    name = ""
    try:
        for name in PREPARATION:
            getattr(stages, name)
        for name in CHECKS:
            CHECKS[name](stages)
    except UnsupportedError as error:
        if name != "graph" or not any(words in str(error) for words in REFUSED):
            raise
    except Exception as error:
        if not any(item.covers(stages.case, name, str(error)) for item in KNOWN):
            error.add_note(f"check '{name}', rows {stages.case.rows}")
            raise


@pytest.mark.parametrize("row", ROWS)
def test_networks(row: str) -> None:
    net(row, max(1, round(QUICK / len(ROWS))), QUICK_SEED, shrink=bool(os.environ.get("SLIMAI_NET_SHRINK")))


@pytest.mark.slow
@pytest.mark.parametrize("row", ROWS)
def test_many_networks(row: str) -> None:
    print(f"SLIMAI_NET_SEED={SEED}")  # noqa: T201 - shown with a failure, to run the same networks again
    net(row, -(-COUNT // len(ROWS)), SEED, shrink=KEEP is None, folder=KEEP)


@pytest.mark.skipif(KEEP is None, reason="SLIMAI_NET_KEEP names no folder of networks that failed")
@pytest.mark.parametrize("path", sorted(KEEP.glob("*.onnx")) if KEEP else [], ids=lambda path: path.stem)
def test_kept_network(path: Path) -> None:
    checked(Stages(kept(path)))


def test_a_failing_network_is_kept_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    case = example()
    keep(tmp_path, "ArgMax in parts", case, AssertionError("wrong"))
    again = kept(tmp_path / "ArgMax_in_parts.onnx")
    assert again.model == case.model
    assert (again.batch, again.rows, again.features, again.indices) == (
        case.batch,
        case.rows,
        case.features,
        case.indices,
    )
    for one, other in zip(again.feeds, case.feeds, strict=True):
        assert list(one) == list(other)
        np.testing.assert_array_equal(one["x"], other["x"])

    def wrong(stages: Stages) -> None:
        raise AssertionError("wrong")

    monkeypatch.setitem(CHECKS, "float", wrong)
    with pytest.raises(AssertionError, match="Relu_5_2: wrong"):
        net("Relu", 2, 5, shrink=False, folder=tmp_path / "kept")
    assert len(list((tmp_path / "kept").glob("*.onnx"))) == 2


@pytest.mark.parametrize("broken", ["wide", "narrow", "exported", "batch", "indices"])
def test_the_checks_see_a_wrong_integer(broken: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Outputs that are off by an eighth of their range fail each check that looks at integers."""
    stages = Stages(example())
    CHECKS[broken](stages)
    level = type(stages.level(4).program)
    plain = level.run

    def wrong(self, inputs, **more):
        found = plain(self, inputs, **more)
        batch = next(iter(inputs.values())).shape[0]
        return {
            name: value
            + (1 if value.dtype == np.int64 else np.array(2 ** (value.itemsize * 8 - 4), value.dtype) * batch)
            for name, value in found.items()
        }

    monkeypatch.setattr(level, "run", wrong)
    with pytest.raises(AssertionError):
        CHECKS[broken](Stages(example()))


@pytest.mark.parametrize("function", ["g = Sigmoid(m) z = Mul(m, g)", "z = Gelu(m)", "z = Sigmoid(m)"])
def test_the_tail_of_a_function_is_compared_as_far_as_the_oracle_knows_it(function: str) -> None:
    """A fault of ONNX Runtime's float32 alone, at inputs of -16 to -70 and nothing else."""
    import onnx

    model = onnx.parser.parse_model(
        '<ir_version: 8, opset_import: ["" : 20]> net (float[N,8] x) => (float[N,4] y) '
        "<int64[2] s = {1, 4}, int64[1] o = {1}> "
        f"{{ m = ReduceMin<keepdims = 1>(x, o) {function} a = Abs(z) y = Expand(a, s) }}"
    )
    rng = np.random.default_rng(0)
    feeds = tuple({"x": (30 * rng.normal(size=(1, 8))).astype(np.float32)} for _ in range(8))
    stages = Stages(Case(model, feeds, "open", (), frozenset(), {}))
    for name in ("wide", "narrow", "exported"):
        CHECKS[name](stages)


def example() -> Case:
    """Return a plain network: Conv, Relu, ArgMax."""
    import onnx

    rng = np.random.default_rng(5)
    model = onnx.parser.parse_model(
        '<ir_version: 8, opset_import: ["" : 17]> net (float[N,3,5,5] x) => (float[N,4,5,5] r, int64[N,1,5,5] i) '
        "{ y = Conv(x, w) r = Relu(y) i = ArgMax<axis = 1>(r) }"
    )
    model.graph.initializer.append(onnx.numpy_helper.from_array(rng.normal(size=(4, 3, 1, 1)).astype(np.float32), "w"))
    feeds = tuple({"x": rng.normal(size=(1, 3, 5, 5)).astype(np.float32)} for _ in range(8))
    return Case(model, feeds, "open", ("Conv",), frozenset(), {"i": ("r", {"axis": 1})})


def test_the_peer_has_the_types_of_the_level_beside_a_join_of_16_bits() -> None:
    """A ScatterND of unlike ranges has 16 bits at every level; the peer's other tensors keep their 8."""
    import onnx
    from net_peer import quantized

    model = onnx.parser.parse_model(
        '<ir_version: 8, opset_import: ["" : 17]> net (float[N,4] x) => (float[N,4] y, float[N,4] z) '
        "<int64[1,2] i = {0, 1}, float[1] u = {200}> { y = ScatterND(x, i, u) z = Softplus(x) }"
    )
    rng = np.random.default_rng(3)
    feeds = tuple({"x": rng.normal(size=(1, 4)).astype(np.float32)} for _ in range(8))
    stages = Stages(Case(model, feeds, "one", (), frozenset(), {}))
    plan = stages.level(0).plan
    assert plan.tensors["y"].dtype.bits == 16
    points = [item for item in quantized(stages.saved, feeds, plan).graph.initializer if "zero_point" in item.name]
    assert {onnx.helper.tensor_dtype_to_np_dtype(item.data_type).itemsize for item in points} == {1}
