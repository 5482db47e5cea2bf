"""Tables in Markdown."""

from __future__ import annotations

from collections.abc import Sequence


def markdown(title: str, tables: Sequence[Sequence[Sequence[str]]], notes: Sequence[str]) -> str:
    """Return a page in Markdown: a title, tables whose first rows are headers, and notes below them."""
    lines = [f"# {title}", ""]
    for header, *rows in tables:
        ruler = ["---", *["---:"] * (len(header) - 1)]
        lines += [f"| {' | '.join(row)} |" for row in (header, ruler, *rows)]
        lines.append("")
    for note in notes:
        lines += [note, ""]
    return "\n".join(lines)
