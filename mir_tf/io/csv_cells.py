"""Text in CSV files, escaped so that spreadsheets do not run it as a formula: a song may have any name."""

from __future__ import annotations

from typing import Any

_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
"""Characters with which a cell begins that a spreadsheet may take for a formula."""

_QUOTE = "'"


def escape_cell(value: Any) -> Any:
    """Return the value of a cell; a text that a spreadsheet would take for a formula gets a ``'`` in front."""
    return _QUOTE + value if isinstance(value, str) and _is_formula(value) else value


def unescape_cell(text: str) -> str:
    """Return the text that :func:`escape_cell` has escaped."""
    return text[1:] if text.startswith(_QUOTE) and _is_formula(text) else text


def _is_formula(text: str) -> bool:
    """Return whether the text begins like a formula, with or without quotes that were put in front of it."""
    return text.lstrip(_QUOTE).startswith(_FORMULA_STARTS)
