"""Metrics as text for tables and sentences."""

from __future__ import annotations

import math

UNDEFINED = "–"
"""The text of a metric that is not defined."""


def format_value(value: float, digits: int = 3) -> str:
    """Return a metric with a fixed number of decimals, or a dash if it is NaN."""
    return UNDEFINED if math.isnan(value) else f"{value:.{digits}f}"


def format_gain(value: float) -> str:
    """Return a difference with its sign and three decimals, or a dash if it is NaN."""
    return UNDEFINED if math.isnan(value) else f"{value:+.3f}"


def format_percent(share: float, digits: int = 1) -> str:
    """Return a share from 0 to 1 in percent, or a dash if it is NaN."""
    return UNDEFINED if math.isnan(share) else f"{100 * share:.{digits}f} %"


def format_count(count: int, noun: str) -> str:
    """Return a number with its noun, which takes an s in the plural."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
