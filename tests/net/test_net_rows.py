"""The generator knows every operator that slimai has an integer kernel for."""

import pytest
from net_rows import ROWS

from slimai.graph.canonical import RULES as FLOAT_RULES
from slimai.graph.ops import TRAITS
from slimai.simulator.ops import COMPILERS

PLANNED = {"Requantize"}  # stands in no network: the planner puts it between layers
# No ONNX network has it: every integer of it is LiteRT's (tests/oracle/test_tflite_operators.py), and its exported form
# is what it is spelled as (tests/contract/test_operators.py).
OF_TFLITE = {"SquaredDifference"}


@pytest.mark.parametrize("op", sorted({*COMPILERS, *TRAITS} - PLANNED - OF_TFLITE))
def test_every_operator_has_a_row(op):
    assert op in ROWS, f"add one row for {op}: see tests/net/net_rows.py"


@pytest.mark.parametrize("op", sorted(OF_TFLITE))
def test_what_no_onnx_network_has_is_made_of_tflite_files_alone(op):
    assert op not in FLOAT_RULES
    assert op not in ROWS
    assert TRAITS[op].onnx is None
