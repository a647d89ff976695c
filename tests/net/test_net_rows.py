"""The generator knows every operator that slimai has an integer kernel for."""

import pytest
from net_rows import ROWS

from slimai.graph.ops import TRAITS
from slimai.quantizer.support import INTEGER_OPS
from slimai.simulator.ops import INTEGER_OPERATORS

PLANNED = {"Requantize"}  # stands in no network: the planner puts it between layers


@pytest.mark.parametrize("op", sorted({*INTEGER_OPS, *INTEGER_OPERATORS, *TRAITS} - PLANNED))
def test_every_operator_has_a_row(op):
    assert op in ROWS, f"add one row for {op}: see tests/net/net_rows.py"
