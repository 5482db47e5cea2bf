"""Parse the HTML pages of mir_tf.reports.page, more strictly than a browser does."""

import base64
import dataclasses
import html.parser
import re
from pathlib import Path

VOID = {"meta", "img", "br"}


@dataclasses.dataclass
class Page:
    """The contents of a page.

    Attributes:
        title: Text of the title element.
        headings: Texts of the headings of the first two levels.
        text: All text in the body.
        tables: Maps a table's caption to its rows of cells.
        pictures: Maps a picture's alternative text to its PNG bytes.
        links: Targets of the links.
        ids: The elements' ids.
    """

    title: str = ""
    headings: list[str] = dataclasses.field(default_factory=list)
    text: str = ""
    tables: dict[str, list[list[str]]] = dataclasses.field(default_factory=dict)
    pictures: dict[str, bytes] = dataclasses.field(default_factory=dict)
    links: list[str] = dataclasses.field(default_factory=list)
    ids: list[str] = dataclasses.field(default_factory=list)


class _Reader(html.parser.HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.page = Page()
        self.open: list[str] = []
        self.caption = ""
        self.rows: list[list[str]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        assert len(given) == len(attrs), (tag, attrs)
        assert tag != "script"
        assert not [name for name in given if name.startswith("on")], given
        assert "p" not in self.open or tag not in {"p", "div", "table", "figure"}, "a block within a paragraph"
        for value in given.values():
            assert not re.search(r"url\(|@import", value), value
        for name in ("src", "href", "srcset", "action", "data"):
            if name in given:
                assert given[name].startswith(("data:image/png;base64,", "#")), given[name]
        if tag == "img":
            content = base64.b64decode(given["src"].removeprefix("data:image/png;base64,"), validate=True)
            assert content.startswith(b"\x89PNG"), "not a PNG file"
            assert given["alt"], "a picture without alternative text"
            assert given["alt"] not in self.page.pictures
            self.page.pictures[given["alt"]] = content
        if "id" in given:
            self.page.ids.append(given["id"])
        if tag == "a":
            self.page.links.append(given["href"])
        if tag == "html":
            assert given["lang"] == "en"
        if tag == "table":
            self.caption, self.rows = "", []
        if tag == "tr":
            self.rows.append([])
        if tag in {"th", "td"}:
            self.rows[-1].append("")
        if tag in {"h1", "h2"}:
            self.page.headings.append("")
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> without its opening tag"
        assert self.open.pop() == tag, tag
        if tag == "table":
            assert self.caption not in self.page.tables
            assert len({len(row) for row in self.rows}) == 1, self.rows
            self.page.tables[self.caption] = self.rows

    def handle_data(self, data: str) -> None:
        if not self.open or self.open[-1] == "style":
            assert "http" not in data
            return
        if "title" in self.open:
            self.page.title += data
        elif "body" in self.open:
            self.page.text += data
            if "caption" in self.open:
                self.caption += data
            elif self.open[-1] in {"th", "td"}:
                self.rows[-1][-1] += data
            elif self.open[-1] in {"h1", "h2"}:
                self.page.headings[-1] += data


def read_page(path: Path) -> Page:
    """Read the page at ``path``.

    Raises:
        AssertionError: Tags do not match, a picture is not embedded or lacks alternative text, the rows of a table
            differ in length, or the page contains a script or an address of another page.
    """
    reader = _Reader()
    text = path.read_text("utf-8")
    assert text.startswith("<!DOCTYPE html>")
    reader.feed(text)
    reader.close()
    assert not reader.open, reader.open
    return reader.page
