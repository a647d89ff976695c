"""The generator knows every operator that slimai has an integer kernel for."""

import pytest
from net_rows import ROWS

from slimai.graph.ops import TRAITS
from slimai.simulator.ops import COMPILERS

PLANNED = {"Requantize"}  # stands in no network: the planner puts it between layers


@pytest.mark.parametrize("op", sorted({*COMPILERS, *TRAITS} - PLANNED))
def test_every_operator_has_a_row(op):
    assert op in ROWS, f"add one row for {op}: see tests/net/net_rows.py"
