"""The operators of the network generator, one row each.

To add an operator, add ONE row to a table of the family that it belongs to (`net_rows_matrix`, `net_rows_pointwise`,
`net_rows_spatial`, `net_rows_move`, `net_rows_gather`, `net_rows_recurrent`), of operators
that the front end writes in others (`net_rows_composite`), or of spellings that it recognizes (`net_rows_spelled`)::

    "Exp": Row(unary("Exp", low=-4, high=3)),            # elementwise; the domain is kept by a Clip before it
    "Gelu": Row(unary("Gelu", approximate=("none", "tanh")), since=20),  # a keyword is an attribute and its values
    "ReduceMax": Row(reduction("ReduceMax")),            # axes and keepdims of any kind
    "Div": Row(two_operands("Div", positive=True)),      # broadcasting; positive: the divisor stays in [0.5, 2]
    "Gather": Row(gather),                               # anything else: a function of a `Net`

The key is the canonical operator, as the table of integer kernels names it (`tests/net/test_net_rows.py` fails while
an integer operator has no row). `since` is the first operator set that has a form of it. A function of a row takes
activations from the network (`net.take`), draws the attributes, *all* of those that the operator has, and adds nodes
with `net.node`; it raises `Decline` where it has no form for what the network offers. Whether an operator runs in
integers or on the host is not said here: a network's host list is compared with slimai's own table of kernels. Where a
form of an integer operator is rightly on the host (weights that are computed, five axes), say so with
``net.on_host(op, "part of the reason")``.

See `net_builder` for what a row may ask of a network.
"""

from __future__ import annotations

from net_row import Row
from net_rows_composite import COMPOSITE
from net_rows_gather import GATHER
from net_rows_matrix import MATRIX
from net_rows_move import MOVE
from net_rows_pointwise import POINTWISE
from net_rows_recurrent import RECURRENT
from net_rows_spatial import SPATIAL
from net_rows_spelled import SPELLED

ROWS: dict[str, Row] = {
    **MATRIX,
    **POINTWISE,
    **SPATIAL,
    **MOVE,
    **GATHER,
    **RECURRENT,
    **COMPOSITE,
    **SPELLED,
}
