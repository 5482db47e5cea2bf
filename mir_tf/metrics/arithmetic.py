"""Quotients and means whose special cases all metrics treat alike."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def ratio(part: NDArray[Any], whole: NDArray[Any]) -> NDArray[np.float64]:
    """Return ``part / whole`` elementwise, with 0 / 0 = 0; ``whole`` must be 0 or at least 1, as counts are."""
    quotient: NDArray[np.float64] = part / np.maximum(whole, 1)
    return quotient


def mean_defined(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the mean over the last axis of the values that are not NaN, or NaN if all are."""
    is_defined = ~np.isnan(values)
    total = np.where(is_defined, values, 0).sum(axis=-1)
    count = np.count_nonzero(is_defined, axis=-1)
    return np.where(count > 0, ratio(total, count), np.nan)
