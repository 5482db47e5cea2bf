"""Texts in CSV files that spreadsheets do not run."""

import csv
import io

import pytest

from mir_tf.io.csv_cells import escape_cell, unescape_cell


@pytest.mark.parametrize(
    "text",
    [
        "=1+2",
        "+49",
        "-x",
        "@SUM(A1)",
        "\tx",
        "\rx",
        "\nx",
        "＝1",
        "'=1",
        "''-x",
        "'quoted'",
        "song.mp3",
        "",
        "'",
        "a=b",
    ],
)
def test_a_text_reads_back_as_it_was(text: str) -> None:
    cell = escape_cell(text)
    assert not cell.startswith(("=", "+", "-", "@", "\t", "\r", "\n", "＝"))
    file = io.StringIO()
    csv.writer(file).writerow([cell, "x"])
    (row,) = csv.reader(io.StringIO(file.getvalue(), newline=""))
    assert unescape_cell(row[0]) == text
    assert (cell == text) == (not text.lstrip("'").startswith(("=", "+", "-", "@", "\t", "\r", "\n", "＝")))


def test_numbers_stay_numbers() -> None:
    assert [escape_cell(value) for value in (-1.5, 0, None)] == [-1.5, 0, None]
