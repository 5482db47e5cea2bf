"""A self-contained HTML page of tables and pictures that you can mail, print and read on a phone.

The pictures are inside the page, and beside it as files. The page runs no script and loads nothing from the network,
which its content security policy enforces. The template escapes file names and everything from a data set.
"""

from __future__ import annotations

import base64
import dataclasses
import io
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import jinja2
from matplotlib.figure import Figure

import mir_tf
from mir_tf.io.files import as_path, make_folder, write_bytes, write_text

PAGE_FILE = "report.html"
"""Name of the page's file."""

_DPI = 150
"""Resolution of the pictures: 1.5 times that of the figures, for fine screens and for paper."""


@dataclasses.dataclass(frozen=True)
class Table:
    """A table.

    Attributes:
        caption: Caption.
        rows: Rows of text. The first row is the header; the first cell of each row is its name.
        colors: Maps the names of rows to their colours, ``#rrggbb``; other rows have none.
        is_words: Whether the cells contain words instead of numbers.
    """

    caption: str
    rows: Sequence[Sequence[str]]
    colors: Mapping[str, str] = dataclasses.field(default_factory=dict)
    is_words: bool = False


@dataclasses.dataclass(frozen=True)
class Picture:
    """A picture.

    Attributes:
        name: Name of its file, without ``.png``.
        figure: The picture itself.
        alt: Short description for readers who do not see it.
        caption: How to read it.
    """

    name: str
    figure: Figure
    alt: str
    caption: str


@dataclasses.dataclass(frozen=True)
class Section:
    """A section: its title, then paragraphs, tables and pictures in order."""

    title: str
    parts: Sequence[str | Table | Picture]

    @property
    def id(self) -> str:
        """Anchor of the section, for links."""
        return re.sub(r"[^a-z0-9]+", "-", self.title.lower()).strip("-")


@dataclasses.dataclass(frozen=True)
class Highlight:
    """A number for the top of the page, with its name and a note."""

    name: str
    value: str
    note: str


@dataclasses.dataclass(frozen=True)
class Page:
    """A page.

    Attributes:
        title: Title.
        lead: Opening paragraphs: the findings, and the data they come from.
        highlights: Numbers for the top.
        sections: Sections in order. No two may have the same title.
    """

    title: str
    lead: Sequence[str]
    highlights: Sequence[Highlight]
    sections: Sequence[Section]

    @property
    def pictures(self) -> list[Picture]:
        """Pictures of all sections."""
        return [part for section in self.sections for part in section.parts if isinstance(part, Picture)]

    def save(self, folder: str | Path) -> Path:
        """Write the pictures, then ``report.html``, into ``folder``, which is made if it does not exist.

        Each file is complete or not there. Pictures that an older page left under other names stay.

        Returns:
            The path of the page.

        Raises:
            OSError: The folder cannot be written.
        """
        folder = as_path(folder)
        make_folder(folder)
        pictures = {}
        for picture in self.pictures:
            content = io.BytesIO()
            picture.figure.savefig(content, format="png", dpi=_DPI)
            write_bytes(folder / f"{picture.name}.png", content.getvalue())
            pictures[picture.name] = base64.b64encode(content.getvalue()).decode("ascii")
        environment = jinja2.Environment(
            loader=jinja2.PackageLoader("mir_tf.reports"),
            autoescape=True,
            trim_blocks=True,
            undefined=jinja2.StrictUndefined,
        )
        template = environment.get_template("page.html")
        path = folder / PAGE_FILE
        write_text(path, template.render(page=self, pictures=pictures, version=mir_tf.__version__) + "\n")
        return path
