"""Checks on what a network put out, before a metric believes it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slimai.data.sample import Sample
from slimai.errors import InputError, SlimaiError

__all__ = ["check_outputs", "image_index", "in_order", "known_reference"]


def check_outputs(sample: Sample, outputs: Sequence[NDArray[Any]], names: Sequence[str]) -> None:
    """Raise SlimaiError, naming picture and output, where an output is missing or not finite."""
    if len(outputs) != len(names):
        raise SlimaiError(
            f"image '{sample.files[0]}': expected {len(names)} outputs ({', '.join(names)}) (got {len(outputs)})"
        )
    for output, name in zip(outputs, names, strict=True):
        if output.dtype.kind == "f" and not np.isfinite(output).all():
            bad = output[~np.isfinite(output)]
            raise SlimaiError(
                f"image '{sample.files[0]}': output '{name}': {bad.size} of {output.size} values are not finite"
                f" (got {float(bad.flat[0])}); the network overflowed, so it has no score"
            )


def known_reference(sample: Sample, reference: Sequence[NDArray[Any]] | None) -> Sequence[NDArray[Any]]:
    """Return the float outputs; raises InputError where the caller has none."""
    if reference is None:
        raise InputError(
            f"image '{sample.files[0]}': the metric compares with the float network, whose outputs are not given"
        )
    return reference


def image_index(sample: Sample) -> NDArray[np.int64]:
    """Return the record entry that lets `in_order` restore the order of the list."""
    return np.array([sample.index], np.int64)


def in_order(records: Sequence[Mapping[str, NDArray[Any]]]) -> list[Mapping[str, NDArray[Any]]]:
    """Return the records in the order of the image list, so that their order of arrival changes nothing."""
    return sorted(records, key=lambda record: int(record["image"][0]))
