"""Ratios of noise to signal in decibels."""

from __future__ import annotations

import math

MOST_DB = 200.0  # shown for tensors without any error


def decibel(noise_ratio: float) -> float:
    """Return the ratio of signal to noise in dB for a ratio of noise to signal; at most 200 dB."""
    return MOST_DB if noise_ratio <= 10 ** (-MOST_DB / 10) else -10.0 * math.log10(noise_ratio)
