"""Faults that the net has found and that are not cured yet: each is named, and this list has to become empty.

A row excuses one kind of failure only: the check in which it shows and words of its message, for networks that can have
the fault at all.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from net_builder import Case


def always(case: Case) -> bool:
    """Any network."""
    return True


@dataclass(frozen=True)
class Known:
    """fault: name and kind. words: of the message. checks: where it shows (empty: anywhere). when: in which nets."""

    fault: str
    words: str
    checks: tuple[str, ...] = ()
    when: Callable[[Case], bool] = always

    def covers(self, case: Case, check: str, message: str) -> bool:
        """Return whether this fault explains a failure."""
        return (not self.checks or check in self.checks) and self.words in message and self.when(case)


def has(*features: str) -> Callable[[Case], bool]:
    """Return a condition: the network has one of these features."""
    return lambda case: any(item in case.features for item in features)


HIDDEN = has("constant behind DequantizeLinear", "constant behind Transpose")
COLLIDING = has("colliding names")
KNOWN: tuple[Known, ...] = (
    Known("N2: outputs of rank 0", "shape (8, 1), not (8,)", ("wide",)),
    Known("N12: names that collide", "", ("saved", "statistics", "exported"), COLLIDING),
    Known("N12: no integer layer", "zip() argument 2 is longer than argument 1", ("statistics",)),
    Known("N13: constants behind DequantizeLinear or Transpose", " is on the host", ("host",), HIDDEN),
    Known("N13: scales of an old Upsample behind another node", "has computed scales", ("graph",)),
    Known("N14: inputs whose first dimensions differ", "inputs differ in batch size"),
    Known(
        "N16 (its kind): Gemm with a C that is no row",
        "could not be broadcast together with remapped shapes",
        ("host",),
    ),
)

# Of ONNX's own node tests: the fault, words of the name, words of what is wrong.
KNOWN_NODES: tuple[tuple[str, str, str], ...] = (
    ("N2: outputs of rank 0", "", "shape (1,), not ()"),
    ("N3: a mask of -inf that four axes share", "local_window_gqa_rank4_mask", "computes a value that is not finite"),
    ("N3: a mask of -inf behind Tanh", "softcap_neginf_mask_poison", "level 4"),
    ("N12: no integer layer", "", "zip() argument 2 is longer than argument 1"),
    ("N12: tensors without an element", "", "no value was counted"),
    ("N12: outputs that are constants", "", "KeyError: 'present_"),
    ("N12: outputs that are constants", "test_shape", "KeyError: 'y'"),
    ("N2: inputs of rank 0", "", "len() of unsized object"),
    ("N14: inputs whose first dimensions differ", "", "inputs differ in batch size"),
    ("N16 (its kind): Gemm with a C that is no row", "gemm_default_matrix_bias", "could not be broadcast"),
)


def node_fault(name: str, problem: str) -> str:
    """Return the known fault that explains what is wrong with a node test, or an empty string."""
    return next((fault for fault, part, words in KNOWN_NODES if part in name and words in problem), "")
