"""Knots that lie where the function bends: against float64, and the lines outside against Python integers."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slimai.quantizer.params import S16, QParams
from slimai.simulator.ops.focus import MOST_BITS, focused
from slimai.simulator.ops.knots import STEPS, knots_of
from slimai.simulator.ops.tables import FUNCTIONS
from slimai.simulator.ops.tflite_tables import FLOAT32_KNOTS

ATTRS = {"alpha": 1.0, "beta": 0.5, "gamma": 1.05, "approximate": "none", "exponent": 3.0}
BENT = (
    "HardSwish",
    "SiLU",
    "Gelu",
    "Mish",
    "Softplus",
    "Elu",
    "Selu",
    "Celu",
    "Erf",
    "HardSigmoid",
    "Tanh",
    "LeakyRelu",
)
INTEGERS = np.arange(-32768, 32768)


def function_of(op):
    return lambda values: FUNCTIONS[op](values, ATTRS)


def largest_error(op, focus, scale, y_scale):
    """Return the largest distance of all integers from the function, in steps of the output.

    Within 128 integers of where it leaves 16 bits lines lead to saturated knots: these do not count.
    """
    wanted, *beside = (function_of(op)((INTEGERS + apart) * scale) / y_scale for apart in (0, -128, 128))
    counts = np.all([np.abs(values) <= 32767 for values in (wanted, *beside)], axis=0)
    return float(np.abs(np.clip(focus(INTEGERS), -32768, 32767) - wanted)[counts].max(initial=0.0))


@pytest.mark.parametrize("op", ["HardSwish", "SiLU", "Gelu", "Mish", "Softplus", "Elu"])
@pytest.mark.parametrize("peak", [4, 16, 64, 250, 1000])
def test_a_wide_input_costs_a_narrow_bend_little(op, peak):
    """At most 12 steps off, up to peaks of 250; with knots over all integers HardSwish is 13 off at 120 already."""
    scale = peak / 32767
    focus = focused(function_of(op), scale, scale)
    assert largest_error(op, focus, scale, scale) <= (12 if peak <= 250 else 40)


def test_an_input_as_wide_as_the_bend_keeps_its_knots():
    assert focused(np.tanh, 2 / 32767, 1 / 32767).bits == 0
    assert focused(lambda x: x / (1 + abs(x)), 8 / 32767, 1 / 32767).bits == 0, "it never becomes straight"


@settings(max_examples=60, deadline=None)
@given(op=st.sampled_from(BENT), x_scale=st.floats(-6, 0), y_scale=st.floats(-8, 0))
def test_no_other_width_is_better(op, x_scale, y_scale):
    """Over all integers, not those alone that the choice looks at: within a step of the best of seven widths."""
    from slimai.simulator.ops.focus import _candidates

    scale, y_scale = 10.0**x_scale, 10.0**y_scale
    chosen = largest_error(op, focused(function_of(op), scale, y_scale), scale, y_scale)
    others = [largest_error(op, item, scale, y_scale) for item in _candidates(function_of(op), scale, y_scale)]
    assert chosen <= 1.1 * min(others) + 1


def in_python(focus, value):
    """Return the function of one integer, from what the target stores."""
    tables = {name: [int(item) for item in table] for name, table in focus.tables().items()}
    knots, (bits, below, above, shift) = tables["knots"], tables.get("focus", (0, 0, 0, 0))
    reach = 2 ** (15 - bits)
    if value < -reach:
        return knots[0] + ((value + reach) * below + 2 ** (shift - 1)) // 2**shift
    if value >= reach and bits:
        return knots[512] + ((value - reach) * above + 2 ** (shift - 1)) // 2**shift
    step = 2 ** (7 - bits)
    at, place = divmod(value + reach, step)
    return knots[at] + ((knots[at + 1] - knots[at]) * place + step // 2) // step


@settings(max_examples=40, deadline=None)
@given(op=st.sampled_from(BENT), x_scale=st.floats(-6, 1), y_scale=st.floats(-10, 1), seed=st.integers(0, 2**32))
def test_stored_tables_give_the_integers(op, x_scale, y_scale, seed):
    focus = focused(function_of(op), 10.0**x_scale, 10.0**y_scale)
    assert 0 <= focus.bits <= MOST_BITS
    edges = [-32768, -focus.reach - 1, -focus.reach, -1, 0, focus.reach - 1, focus.reach, 32767]
    values = np.clip([*edges, *np.random.default_rng(seed).integers(-32768, 32768, 50)], -32768, 32767)
    assert focus(values).tolist() == [in_python(focus, int(value)) for value in values]


@settings(max_examples=60, deadline=None)
@given(
    op=st.sampled_from((*BENT, "Exp")),
    range_bits=st.floats(-6, 14),
    y_bits=st.floats(-40, 0),
    single=st.booleans(),
)
def test_knots_of_any_scales_saturate_without_a_floating_point_error(op, range_bits, y_bits, single):
    """Logits of hundreds go to Exp in LogSoftmax: what leaves the float type in a table ends at 16 bits."""
    x = QParams(S16, 2.0 ** (range_bits - 15), 0)
    y_scale = 2.0**y_bits
    with np.errstate(over="raise", invalid="raise", divide="raise"):
        if single and op in FLOAT32_KNOTS:
            knots = knots_of(FLOAT32_KNOTS[op](ATTRS), x, y_scale, np.float32)
        else:
            knots = focused(function_of(op), x.scale, y_scale).knots
    assert len(knots) == STEPS + 1
    assert np.abs(knots).max() <= 32768


def test_exp_of_logits_of_hundreds():
    """exp(88) is a float32, and 16,384 of it are not."""
    x = QParams(S16, 355 / 32767, 0)
    with np.errstate(over="raise", invalid="raise", divide="raise"):
        knots = knots_of(FLOAT32_KNOTS["Exp"](ATTRS), x, 2.0**-14, np.float32)
    assert (knots[STEPS // 2 + 3 :] == 32767).all()
