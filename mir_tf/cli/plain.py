"""Results in a file or a pipe, as rich prints them there, without rich: its import takes longer than the prediction."""

from __future__ import annotations

import os
import sys
import unicodedata
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from mir_tf.io.console import UNLIMITED, make_console

if TYPE_CHECKING:
    from rich.console import Console


class PlainConsole:
    """Prints text to standard output without colours and without a limit to its width.

    Attributes:
        width: Width in characters.
        is_terminal: False.
    """

    width = UNLIMITED
    is_terminal = False

    def print(self, text: str, style: str = "", soft_wrap: bool = True) -> None:
        """Print a line; ``style`` and ``soft_wrap`` are for rich's consoles."""
        click.echo(text)

    def print_table(self, rows: Sequence[Sequence[str]]) -> None:
        """Print ``rows``, the first of which is the header, as :func:`mir_tf.cli.shared.print_table` does."""
        widths = [max(map(_width, column)) for column in zip(*rows, strict=True)]
        whole = sum(widths) + 3 * len(widths) + 1
        lines = [f"  {'   '.join(map(_cell, row, widths, range(len(row))))}  " for row in rows]
        self.print("\n".join([" " * whole, lines[0], f" {'─' * (whole - 2)} ", *lines[1:], " " * whole]))


def result_console() -> Console | PlainConsole:
    """Return a console for results on standard output: rich's where it has a width or cannot print every character."""
    encoding = (sys.stdout.encoding or "").lower().replace("-", "")
    if sys.stdout.isatty() or os.environ.get("COLUMNS", "").isdecimal() or encoding != "utf8":
        return make_console()
    return PlainConsole()


def _cell(text: str, width: int, column: int) -> str:
    """Return a cell of a table: the first column on the left, the others on the right, between two columns."""
    space = " " * (width - _width(text))
    return f"{space}{text}" if column else f"{text}{space}"


def _width(text: str) -> int:
    """Return the width of a text in characters of a terminal."""
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.combining(character) else 2 if unicodedata.east_asian_width(character) in "WF" else 1
        for character in text
    )
