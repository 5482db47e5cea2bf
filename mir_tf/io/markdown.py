"""Pages in Markdown."""

from __future__ import annotations

from collections.abc import Sequence


def markdown(title: str, *parts: str | Sequence[Sequence[str]]) -> str:
    """Return a page in Markdown.

    Args:
        title: Title of the page.
        parts: Paragraphs and tables, in order. A table is its rows; the first row is the header.
    """
    lines = [f"# {title}", ""]
    for part in parts:
        if isinstance(part, str):
            lines.append(part)
        else:
            header, *rows = part
            ruler = ["---", *["---:"] * (len(header) - 1)]
            lines += [f"| {' | '.join(row)} |" for row in (header, ruler, *rows)]
        lines.append("")
    return "\n".join(lines)
