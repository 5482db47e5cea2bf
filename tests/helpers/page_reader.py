"""Reads the pages of mir_tf.reports.page as strictly as a browser is lenient."""

import base64
import dataclasses
import html.parser
import re
from pathlib import Path

VOID = {"meta", "img", "br"}


@dataclasses.dataclass
class Found:
    """What a page holds."""

    title: str = ""
    headings: list[str] = dataclasses.field(default_factory=list)
    text: str = ""
    tables: dict[str, list[list[str]]] = dataclasses.field(default_factory=dict)
    pictures: dict[str, bytes] = dataclasses.field(default_factory=dict)
    links: list[str] = dataclasses.field(default_factory=list)
    ids: list[str] = dataclasses.field(default_factory=list)


class _Reader(html.parser.HTMLParser):
    def __init__(self):
        super().__init__()
        self.found = Found()
        self.open = []
        self.caption, self.rows = "", []

    def handle_starttag(self, tag, attributes):
        given = dict(attributes)
        assert len(given) == len(attributes), (tag, attributes)
        assert tag != "script"
        assert not [name for name in given if name.startswith("on")], given
        assert "p" not in self.open or tag not in {"p", "div", "table", "figure"}, "no block in a paragraph"
        for value in given.values():
            assert not re.search(r"url\(|@import", value or ""), value
        for name in ("src", "href", "srcset", "action", "data"):
            if name in given:
                assert given[name].startswith(("data:image/png;base64,", "#")), given[name]
        if tag == "img":
            content = base64.b64decode(given["src"].removeprefix("data:image/png;base64,"), validate=True)
            assert content.startswith(b"\x89PNG"), "no picture"
            assert given["alt"], "a picture needs words"
            assert given["alt"] not in self.found.pictures
            self.found.pictures[given["alt"]] = content
        if "id" in given:
            self.found.ids.append(given["id"])
        if tag == "a":
            self.found.links.append(given["href"])
        if tag == "html":
            assert given["lang"] == "en"
        if tag == "table":
            self.caption, self.rows = "", []
        if tag == "tr":
            self.rows.append([])
        if tag in {"th", "td"}:
            self.rows[-1].append("")
        if tag in {"h1", "h2"}:
            self.found.headings.append("")
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag, tag
        if tag == "table":
            assert self.caption not in self.found.tables
            assert len({len(row) for row in self.rows}) == 1, self.rows
            self.found.tables[self.caption] = self.rows

    def handle_data(self, data):
        if not self.open or self.open[-1] == "style":
            assert "http" not in data
            return
        if "title" in self.open:
            self.found.title += data
        elif "body" in self.open:
            self.found.text += data
            if "caption" in self.open:
                self.caption += data
            elif self.open[-1] in {"th", "td"}:
                self.rows[-1][-1] += data
            elif self.open[-1] in {"h1", "h2"}:
                self.found.headings[-1] += data


def read(path: Path) -> Found:
    """What the page in ``path`` holds.

    Raises:
        AssertionError: its tags do not fit, a picture is not within it or has no words, a table is ragged, or it has a
            script or an address.
    """
    reader = _Reader()
    text = path.read_text("utf-8")
    assert text.startswith("<!DOCTYPE html>")
    reader.feed(text)
    reader.close()
    assert not reader.open, reader.open
    return reader.found
