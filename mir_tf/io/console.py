"""Consoles of rich that print text unchanged: as wide as the terminal, and without colours in a pipe."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

UNLIMITED = 10_000
"""Width in characters that no table reaches."""


def make_console(stderr: bool = False) -> Console:
    """Return a console that prints file names unchanged: brackets are not markup, colons not emoji.

    It is as wide as the terminal. A file or a pipe has no width, unless the environment variable COLUMNS sets one. It
    has no colours either, although FORCE_COLOR, which many CI systems set, asks for them.
    """
    from rich.console import Console

    file = sys.stderr if stderr else sys.stdout
    stated = os.environ.get("COLUMNS", "")
    width: int | None = None  # that of the terminal
    if stated.isdecimal():
        width = int(stated) or UNLIMITED  # 0, from a terminal that does not know its width, would print nothing
    elif not file.isatty():
        width = UNLIMITED
    # None, for a terminal, lets rich look at TERM too.
    is_terminal = None if file.isatty() else False
    return Console(
        stderr=stderr,
        width=width,
        markup=False,
        emoji=False,
        highlight=False,
        force_terminal=is_terminal,
        force_interactive=is_terminal,
    )
