"""Output formats of predictions: JSON, CSV, JAMS, Audacity label tracks, images, and tables of many recordings.

A format for a single recording produces bytes in memory, so that a command can write them and a page can offer them for
download. A table is written row by row, so that it need not fit into memory. No TensorFlow.
"""

from __future__ import annotations

import csv
import importlib.util
import io
import itertools
import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from mir_tf.errors import ConfigError
from mir_tf.inference.prediction import DETECTED, INTERVAL_COLUMNS, Prediction, Row, rows
from mir_tf.io.csv_cells import escape_cell


class FileFormat(NamedTuple):
    """An output format for one recording.

    Attributes:
        suffix: Appended to the name of the recording: ``song.mp3`` becomes ``song.mp3.csv``.
        description: A few words for people.
        encode: Returns the content of the file.
        needs: Packages of the extra ``formats`` that it needs.
    """

    suffix: str
    description: str
    encode: Callable[[Prediction], bytes]
    needs: tuple[str, ...] = ()


def to_json(prediction: Prediction) -> bytes:
    """Return :meth:`Prediction.to_json`: the only format with the probability of every frame."""
    return prediction.to_json().encode()


def to_csv(prediction: Prediction) -> bytes:
    """Return a row for each interval, with the header :data:`INTERVAL_COLUMNS`, in UTF-8.

    Texts that a spreadsheet would run as formulas are escaped, see :mod:`mir_tf.io.csv_cells`.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(INTERVAL_COLUMNS)
    writer.writerows(map(_cells, prediction.rows))
    return text.getvalue().encode()


def to_jams(prediction: Prediction) -> bytes:
    """Return :meth:`Prediction.to_jams` as JSON."""
    text: str = prediction.to_jams().dumps(indent=2)
    return f"{text}\n".encode()


def to_audacity(prediction: Prediction) -> bytes:
    """Return a label track for Audacity (File, Import, Labels): start, end and instrument, separated by tabs.

    The labels of classes that perhaps play end in a question mark.
    """
    return "".join(
        f"{start:.6f}\t{end:.6f}\t{label}{'' if group == DETECTED else ' ?'}\n"
        for _, start, end, label, group, *_ in prediction.rows
    ).encode()


def to_png(prediction: Prediction) -> bytes:
    """Return :meth:`Prediction.plot` as a PNG image."""
    content = io.BytesIO()
    prediction.plot().savefig(content, format="png")
    return content.getvalue()


def to_svg(prediction: Prediction) -> bytes:
    """Return :meth:`Prediction.plot` as SVG with searchable text; equal predictions give equal bytes."""
    figure, content = prediction.plot(), io.BytesIO()
    from matplotlib import rc_context

    with rc_context({"svg.fonttype": "none", "svg.hashsalt": "mir-tf"}):
        figure.savefig(content, format="svg", metadata={"Date": None})
    return content.getvalue()


FILE_FORMATS: dict[str, FileFormat] = {
    "json": FileFormat(".json", "everything, with the probability of every frame", to_json),
    "csv": FileFormat(".csv", "a row for each interval", to_csv),
    "jams": FileFormat(".jams", "annotation for music research", to_jams, ("jams",)),
    "audacity": FileFormat(".txt", "label track for Audacity", to_audacity),
    "png": FileFormat(".png", "picture of the timeline", to_png),
    "svg": FileFormat(".svg", "picture of the timeline, for print", to_svg),
}
"""Name → output format for one recording."""


PredictionSummaries = Iterable[dict[str, Any]]
"""The :meth:`Prediction.summary` of each recording."""

_ROWS_AT_ONCE = 10_000
"""Rows in memory at once: one row group of a Parquet file."""


class TableFormat(NamedTuple):
    """An output format for many recordings in one file.

    Attributes:
        description: A few words for people.
        write: Writes to a path the summaries, with the description of their model.
        needs: Packages of the extra ``formats`` that it needs.
    """

    description: str
    write: Callable[[Path, PredictionSummaries, dict[str, Any]], None]
    needs: tuple[str, ...] = ()


def write_csv(path: Path, summaries: PredictionSummaries, model: dict[str, Any]) -> None:
    """Write a row for each interval, with the header :data:`INTERVAL_COLUMNS`, in UTF-8, without the model.

    Texts are escaped as in :func:`to_csv`.
    """
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(INTERVAL_COLUMNS)
        writer.writerows(map(_cells, _all_rows(summaries)))


def write_json(path: Path, summaries: PredictionSummaries, model: dict[str, Any]) -> None:
    """Write an object with ``model`` and ``songs``, one song a line.

    It is the only table that lists recordings in which no instrument is detected.
    """
    with path.open("w", encoding="utf-8") as file:
        file.write(f'{{"model": {json.dumps(model, ensure_ascii=False)}, "songs": [')
        for number, summary in enumerate(summaries):
            file.write(("," if number else "") + "\n" + json.dumps(summary, ensure_ascii=False))
        file.write("\n]}\n")


def write_parquet(path: Path, summaries: PredictionSummaries, model: dict[str, Any]) -> None:
    """Write a row for each interval; the schema's metadata contain the model, as JSON under ``model``."""
    import pyarrow as pa
    from pyarrow import parquet

    text, number = pa.string(), pa.float32()
    kinds = (text, pa.float64(), pa.float64(), text, text, number, number)
    schema = pa.schema(
        list(zip(INTERVAL_COLUMNS, kinds, strict=True)), {"model": json.dumps(model, ensure_ascii=False)}
    )
    with parquet.ParquetWriter(path, schema, compression="zstd") as writer:
        source = iter(_all_rows(summaries))
        while part := list(itertools.islice(source, _ROWS_AT_ONCE)):
            columns = [pa.array(column, kind) for column, kind in zip(zip(*part, strict=True), kinds, strict=True)]
            writer.write_table(pa.Table.from_arrays(columns, schema=schema))


def _cells(row: Row) -> list[Any]:
    return [escape_cell(value) for value in row]


def _all_rows(summaries: PredictionSummaries) -> Iterator[Row]:
    return itertools.chain.from_iterable(map(rows, summaries))


TABLE_FORMATS: dict[str, TableFormat] = {
    ".csv": TableFormat("a row for each interval", write_csv),
    ".json": TableFormat("a list of songs with their instruments and intervals", write_json),
    ".parquet": TableFormat("a row for each interval, small and with types", write_parquet, ("pyarrow",)),
}
"""Suffix → output format for many recordings in one file."""


def require(name: str, needs: tuple[str, ...]) -> None:
    """Check, before long work, that the packages a format needs are installed.

    Raises:
        ConfigError: A package is not installed.
    """
    for package in needs:
        if importlib.util.find_spec(package) is None:
            raise ConfigError(f"{name} needs the package {package}: pip install 'mir-tf[formats]'")
