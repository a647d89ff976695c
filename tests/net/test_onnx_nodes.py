"""ONNX's own node tests: each is right as a float network and in integers, or refused by name.

The refusals with their reasons are a golden file; SLIMAI_GOLDEN=write writes it anew, for a look at the difference. Its
first line is the version of onnx whose cases it lists: with another one, every case still has to be right or refused.
"""

from __future__ import annotations

import os
import tempfile
from collections import Counter
from pathlib import Path

import numpy as np
import onnx
from net_known import node_fault
from net_stages import TARGET, run_all, without_node_names
from onnx_nodes import NodeCase, node_cases

from slimai.calibration.collect import collect
from slimai.errors import InputError
from slimai.graph.load import load_onnx
from slimai.graph.optimize import runtime_errors
from slimai.graph.save import to_onnx
from slimai.quantizer.layers import quantized_tensors
from slimai.quantizer.options import QuantOptions
from slimai.quantizer.planner import build_plan
from slimai.simulator.program import compile_plan

GOLDEN = Path(__file__).parents[1] / "golden" / "onnx_nodes" / "refused.txt"
FLOAT_TOLERANCE, TOLERANCES = 1e-4, {4: 3e-3, 3: 0.1}  # of the largest value of each output
# Functions that jump where these cases' values lie: an input on the threshold itself, and an output that is rounded to
# integers in the network. Half a step of an input decides; only their float networks are compared.
JUMPS = ("test_thresholdedrelu_example", "test_dynamicquantizelinear_expanded")
# Part of a name -> tolerances of its cases, where others would be wrong:
OTHER_TOLERANCES = {
    # Logits of 10,000 beside those of 1: half a step of 16 bits, with the head room of their limits, is 0.3, which
    # moves a probability by 0.14, and a step of 8 bits is 39, which leaves nothing to compare.
    "softmax_large_number": {4: 0.14},
    # Likewise values of 1,000 behind a mask, beside those of 1 that attention averages: half a step of 16 bits, with
    # head room, is 0.03 of which five are averaged.
    "neginf_mask_poison": {4: 0.015},
    # Gates have sums of 12 bits of fraction, so states are off by up to 2^-12 a step: here three, the largest 0.18.
    "test_gru_bidirectional": {4: 4e-3, 3: 0.1},
}


def test_every_case_is_right_or_refused():
    outcomes = {case.name: outcome(case) for case in node_cases()}
    counts = Counter(kind for kind, _ in outcomes.values())
    wrong = {name: text for name, (kind, text) in outcomes.items() if kind == "wrong"}
    new = [f"{name}: {text}" for name, text in wrong.items() if not node_fault(name, text)]
    assert not new, f"{counts}\n" + "\n".join(new)
    assert counts["right"] + counts["integer"] + len(wrong) >= 1000, counts
    assert counts["integer"] >= 400, counts
    refused = "".join(f"{name}: {text}\n" for name, (kind, text) in sorted(outcomes.items()) if kind == "refused")
    written = f"onnx {onnx.__version__}\n{refused}"
    if os.environ.get("SLIMAI_GOLDEN") == "write":
        GOLDEN.parent.mkdir(parents=True, exist_ok=True)
        GOLDEN.write_text(written, encoding="utf-8")
    expected = GOLDEN.read_text(encoding="utf-8")
    if expected.partition("\n")[0] == f"onnx {onnx.__version__}":
        assert written == expected


def outcome(case: NodeCase) -> tuple[str, str]:
    """Return (right | integer | refused | wrong | not run, the reason); integer: right, and not only on the host."""
    try:
        (wanted,) = run_all(without_node_names(case.model), [case.feeds])
        (again,) = run_all(without_node_names(case.model), [case.feeds])
    except runtime_errors() as error:
        return "not run", str(error)
    if not all(np.array_equal(value, again[name], equal_nan=value.dtype.kind == "f") for name, value in wanted.items()):
        return "not run", "random"
    try:
        return checked(case, wanted)
    except Exception as error:  # noqa: BLE001 - any other error is a fault, and told as one
        return "wrong", f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"


def checked(case: NodeCase, wanted: dict[str, np.ndarray]) -> tuple[str, str]:
    """Return the outcome of a case that ONNX Runtime runs."""
    try:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "net.onnx"
            path.write_bytes(case.model.SerializeToString())
            graph = load_onnx(path)
    except InputError as error:
        return "refused", str(error.diagnostics[0]).replace(str(path), "net.onnx")
    (found,) = run_all(to_onnx(graph), [case.feeds])
    problem = difference(found, wanted, FLOAT_TOLERANCE)
    if problem:
        return "wrong", f"float network: {problem}"
    finite = all(np.isfinite(value).all() for value in (*wanted.values(), *case.feeds.values()))
    if not finite or case.name in JUMPS:
        return "right", "values that are not finite are not calibrated"
    try:
        statistics = collect(graph, [case.feeds], tensors=quantized_tensors(graph))
    except InputError as error:  # a fully masked row: the float network itself computes NaN inside, and mends it later
        if "got nan" not in str(error):
            raise
        return "refused", str(error.diagnostics[0])
    tolerances = next((found for part, found in OTHER_TOLERANCES.items() if part in case.name), TOLERANCES)
    for level, tolerance in tolerances.items():
        plan = build_plan(graph, statistics, QuantOptions(level=level), TARGET)
        program = compile_plan(plan, TARGET)
        problem = difference(program.dequantize(program.run(case.feeds)), wanted, tolerance)
        if problem:
            return "wrong", f"level {level}: {problem}"
    return ("integer" if any(layer.mode == "integer" for layer in plan.layers) else "right"), ""


def difference(found: dict[str, np.ndarray], wanted: dict[str, np.ndarray], tolerance: float) -> str:
    """Return what is wrong with the outputs, or ''; tolerance: of the largest value."""
    if list(found) != list(wanted):
        return f"outputs {list(found)}, not {list(wanted)}"
    for name, value in wanted.items():
        if found[name].shape != value.shape:
            return f"{name}: shape {found[name].shape}, not {value.shape}"
        if value.dtype.kind != "f":
            if not np.array_equal(found[name].astype(value.dtype), value):
                return f"{name}: other integers"
            continue
        finite = np.isfinite(value)
        if not np.array_equal(np.where(finite, 0, value), np.where(finite, 0, found[name]), equal_nan=True):
            return f"{name}: other places are not finite"
        largest = float(np.abs(value[finite]).max(initial=1e-30))
        error = float(np.abs(found[name][finite] - value[finite]).max(initial=0.0)) / largest
        if error > tolerance:
            return f"{name}: {error:.3g} of the largest value"
    return ""
