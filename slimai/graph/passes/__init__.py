"""Rewrites of the canonical graph, one a file, in the order in which they run."""

from __future__ import annotations

from slimai.graph.passes.base import Change, Pass, Refusal, Replacement, run_pass, run_passes
from slimai.graph.passes.divide_to_multiply import DIVIDE_TO_MULTIPLY
from slimai.graph.passes.drop_identity import DROP_IDENTITY
from slimai.graph.passes.drop_unread import DROP_UNREAD
from slimai.graph.passes.drop_wider_type import DROP_WIDER_TYPE
from slimai.graph.passes.fold_batchnorm import FOLD_BATCHNORM
from slimai.graph.passes.fold_channel_gather import FOLD_CHANNEL_GATHER
from slimai.graph.passes.fold_constant import FOLD_ANY_CONSTANT, FOLD_CONSTANT
from slimai.graph.passes.fold_empty import FOLD_EMPTY
from slimai.graph.passes.fold_scale import FOLD_SCALE
from slimai.graph.passes.fuse_activation import FUSE_ACTIVATION
from slimai.graph.passes.fuse_gelu import FUSE_GELU
from slimai.graph.passes.fuse_gemm import FUSE_GEMM
from slimai.graph.passes.fuse_hard_sigmoid import FUSE_HARD_SIGMOID
from slimai.graph.passes.fuse_layer_norm import FUSE_LAYER_NORM
from slimai.graph.passes.fuse_magnitude import FUSE_MAGNITUDE
from slimai.graph.passes.fuse_pad import FUSE_PAD
from slimai.graph.passes.fuse_prelu import FUSE_PRELU
from slimai.graph.passes.fuse_rsqrt import FUSE_RSQRT
from slimai.graph.passes.fuse_sigmoid import FUSE_SIGMOID
from slimai.graph.passes.fuse_softmax import FUSE_SOFTMAX
from slimai.graph.passes.fuse_softplus import FUSE_SOFTPLUS
from slimai.graph.passes.mean_of_transposed import MEAN_OF_TRANSPOSED
from slimai.graph.passes.merge_reshape import MERGE_RESHAPE
from slimai.graph.passes.unwrap_softmax import UNWRAP_SOFTMAX

__all__ = [
    "BASIC_PASSES",
    "FLOAT_BASIC_PASSES",
    "PASSES",
    "Change",
    "Pass",
    "Refusal",
    "Replacement",
    "run_pass",
    "run_passes",
]

# For every network; in a float one quantized constants are only another spelling of their values.
BASIC_PASSES: tuple[Pass, ...] = (FOLD_EMPTY, FOLD_CONSTANT, DROP_UNREAD, DROP_IDENTITY)
FLOAT_BASIC_PASSES: tuple[Pass, ...] = (FOLD_EMPTY, FOLD_ANY_CONSTANT, DROP_UNREAD, DROP_IDENTITY)

# They change arithmetic and are for float networks only.
PASSES: tuple[Pass, ...] = (
    DROP_WIDER_TYPE,
    FUSE_PAD,
    FOLD_BATCHNORM,
    FUSE_GEMM,
    MEAN_OF_TRANSPOSED,
    # while their sums and factors still stand beside them
    FUSE_LAYER_NORM,
    FUSE_SOFTMAX,
    FUSE_MAGNITUDE,
    FUSE_GELU,
    FUSE_SIGMOID,
    FUSE_SOFTPLUS,
    FUSE_HARD_SIGMOID,
    FUSE_ACTIVATION,
    FOLD_SCALE,
    DIVIDE_TO_MULTIPLY,
    FOLD_CHANNEL_GATHER,
    FUSE_PRELU,
    FUSE_RSQRT,
    UNWRAP_SOFTMAX,
    MERGE_RESHAPE,
)
