"""One HTML page of tables and pictures that needs nothing else: it can be mailed, printed and read on a phone.

The pictures are within the page, and beside it as files. The page runs no script and asks for no other address; a
content security policy in it sees to that. What comes from file names or a data set is escaped by the template.
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
from mir_tf.io.files import as_path, atomic_write, write_text

PAGE = "report.html"

_DPI = 150
"""Half as fine again as the figures are laid out, for fine screens and for paper."""


@dataclasses.dataclass(frozen=True)
class Table:
    """A table.

    Attributes:
        caption: what it shows.
        rows: of text; the first one is the header, the first cell of each the name of its row.
        colors: a colour, ``#rrggbb``, for the names of rows that have one.
        is_words: whether it holds words rather than numbers.
    """

    caption: str
    rows: Sequence[Sequence[str]]
    colors: Mapping[str, str] = dataclasses.field(default_factory=dict)
    is_words: bool = False


@dataclasses.dataclass(frozen=True)
class Picture:
    """A picture.

    Attributes:
        name: of its file, without ``.png``.
        figure: what it shows.
        alt: the same in a few words, for those who do not see it.
        caption: how it is read.
    """

    name: str
    figure: Figure
    alt: str
    caption: str


@dataclasses.dataclass(frozen=True)
class Section:
    """A section: its title, and paragraphs, tables and pictures in order."""

    title: str
    parts: Sequence[str | Table | Picture]

    @property
    def id(self) -> str:
        """The name by which a link finds it."""
        return re.sub(r"[^a-z0-9]+", "-", self.title.lower()).strip("-")


@dataclasses.dataclass(frozen=True)
class Highlight:
    """A number that a reader must see first: what it is, its value, and a word on it."""

    name: str
    value: str
    note: str


@dataclasses.dataclass(frozen=True)
class Page:
    """A page.

    Attributes:
        title: of it.
        lead: what it is about, in a sentence or two.
        highlights: the numbers on top.
        sections: in order; their titles differ.
    """

    title: str
    lead: str
    highlights: Sequence[Highlight]
    sections: Sequence[Section]

    @property
    def pictures(self) -> list[Picture]:
        """Those of all sections."""
        return [part for section in self.sections for part in section.parts if isinstance(part, Picture)]

    def save(self, folder: str | Path) -> Path:
        """Writes the pictures, then ``report.html``, into ``folder``, which is made if need be.

        Each file is whole or not there. Pictures of another name that an older page has left there stay.

        Returns:
            the page.

        Raises:
            OSError: it cannot be written.
        """
        folder = as_path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        pictures = {}
        for picture in self.pictures:
            content = io.BytesIO()
            picture.figure.savefig(content, format="png", dpi=_DPI)
            with atomic_write(folder / f"{picture.name}.png") as temporary:
                temporary.write_bytes(content.getvalue())
            pictures[picture.name] = base64.b64encode(content.getvalue()).decode("ascii")
        environment = jinja2.Environment(
            loader=jinja2.PackageLoader("mir_tf.reports"),
            autoescape=True,
            trim_blocks=True,
            undefined=jinja2.StrictUndefined,
        )
        template = environment.get_template("page.html")
        write_text(folder / PAGE, template.render(page=self, pictures=pictures, version=mir_tf.__version__) + "\n")
        return folder / PAGE
