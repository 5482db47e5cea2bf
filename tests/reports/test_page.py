"""The HTML page: valid, self-contained, and safe whatever names it shows."""

from pathlib import Path

import pytest
from helpers.page_reader import read_page
from matplotlib.figure import Figure

from mir_tf.reports.page import Highlight, Page, Picture, Section, Table

NASTY = '<script>alert("x")</script> & \'"><img src=http://example.org/x>'


def picture(name: str, alt: str = "a line", caption: str = "It rises.") -> Picture:
    figure = Figure(figsize=(7, 3))
    figure.add_subplot().plot([0, 1])
    return Picture(name, figure, alt, caption)


def page(*parts: str | Table | Picture) -> Page:
    return Page("Report: a", ["About a."], [Highlight("F1", "0.5", "of 1")], [Section("How good it is", parts)])


def test_a_page_contains_its_parts_in_order(tmp_path: Path) -> None:
    rows = [["class", "F1"], ["Piano", "0.5"], ["Bass", "0.4"]]
    made = page("Words.", Table("Classes", rows, {"Piano": "#0072b2"}), picture("line"))
    path = made.save(tmp_path / "new" / "folder")
    assert path == tmp_path / "new" / "folder" / "report.html"
    found = read_page(path)
    assert found.title == "Report: a"
    assert found.headings == ["Report: a", "How good it is"]
    assert found.tables == {"Classes": rows}
    assert found.pictures == {"a line": (path.parent / "line.png").read_bytes()}
    assert [found.text.index(words) for words in ("0.5", "Words.", "Bass", "It rises.")] == sorted(
        found.text.index(words) for words in ("0.5", "Words.", "Bass", "It rises.")
    )
    assert 'style="background:#0072b2"' in path.read_text("utf-8")


def test_names_are_escaped(tmp_path: Path) -> None:
    made = Page(
        NASTY,
        [NASTY],
        [Highlight(NASTY, NASTY, NASTY)],
        [Section("S", [NASTY, Table(NASTY, [[NASTY, NASTY], [NASTY, NASTY]]), picture("p", NASTY, NASTY)])],
    )
    path = made.save(tmp_path)
    found = read_page(path)  # refuses scripts and addresses
    assert found.title == NASTY
    assert found.tables == {NASTY: [[NASTY, NASTY], [NASTY, NASTY]]}
    assert list(found.pictures) == [NASTY]
    assert "<script" not in path.read_text("utf-8")


def test_links_lead_to_sections(tmp_path: Path) -> None:
    found = read_page(page("Words.").save(tmp_path))
    assert found.links == ["#how-good-it-is"]
    assert set(found.ids) >= {"how-good-it-is"}
    assert len(set(found.ids)) == len(found.ids)


def test_a_page_that_cannot_be_written_leaves_the_old_one(tmp_path: Path) -> None:
    page("Old.").save(tmp_path)
    before = (tmp_path / "report.html").read_bytes()
    with pytest.raises(AttributeError):
        page(Picture("p", None, "a", "b")).save(tmp_path)
    assert (tmp_path / "report.html").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]


@pytest.mark.parametrize(
    "broken",
    [
        "<p>one<p></p>",
        "<div></span></div>",
        '<img src="http://example.org/a.png" alt="a">',
        '<img src="data:image/png;base64,">',
        "<script>1</script>",
        '<p style="background:url(//example.org)">',
    ],
)
def test_the_reader_refuses_broken_pages(tmp_path: Path, broken: str) -> None:
    path = tmp_path / "page.html"
    path.write_text(f"<!DOCTYPE html><html lang=en><head><title>t</title></head><body>{broken}</body></html>")
    with pytest.raises(AssertionError):
        read_page(path)
