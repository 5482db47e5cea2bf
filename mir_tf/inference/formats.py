"""What predictions are written as: JSON, CSV, JAMS, Audacity label tracks, pictures, and tables of many recordings.

Each format of a single recording makes bytes in memory, so that a command can write them and a page can offer them.
Tables are written on and on, so that memory holds a part of the recordings only. No TensorFlow.
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
from mir_tf.inference.prediction import COLUMNS, Prediction, Row, rows


class FileFormat(NamedTuple):
    """How a prediction is written.

    Attributes:
        suffix: of the file's name, after that of the recording: ``song.mp3`` gives ``song.mp3.csv``.
        description: for people, in a few words.
        encode: the prediction to the content of the file.
        needs: packages of the extra ``formats`` that it takes.
    """

    suffix: str
    description: str
    encode: Callable[[Prediction], bytes]
    needs: tuple[str, ...] = ()


def to_json(prediction: Prediction) -> bytes:
    """:meth:`Prediction.to_json`: the only format that holds the probability of every frame."""
    return prediction.to_json().encode()


def to_csv(prediction: Prediction) -> bytes:
    """A row for each interval, with the header :data:`mir_tf.inference.prediction.COLUMNS`; UTF-8."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows(prediction.rows)
    return text.getvalue().encode()


def to_jams(prediction: Prediction) -> bytes:
    """:meth:`Prediction.to_jams`, as the library writes it."""
    text: str = prediction.to_jams().dumps(indent=2)
    return f"{text}\n".encode()


def to_audacity(prediction: Prediction) -> bytes:
    """A label track, as Audacity's File, Import, Labels reads it: start, end and instrument, with tabs between."""
    return "".join(f"{start:.6f}\t{end:.6f}\t{label}\n" for _, start, end, label, _ in prediction.rows).encode()


def to_png(prediction: Prediction) -> bytes:
    """:meth:`Prediction.plot` as pixels."""
    content = io.BytesIO()
    prediction.plot().savefig(content, format="png")
    return content.getvalue()


def to_svg(prediction: Prediction) -> bytes:
    """:meth:`Prediction.plot` as vectors, with text as text; the same prediction gives the same bytes."""
    figure, content = prediction.plot(), io.BytesIO()
    from matplotlib import rc_context

    with rc_context({"svg.fonttype": "none", "svg.hashsalt": "mir-tf"}):
        figure.savefig(content, format="svg", metadata={"Date": None})
    return content.getvalue()


FORMATS: dict[str, FileFormat] = {
    "json": FileFormat(".json", "everything, with the probability of every frame", to_json),
    "csv": FileFormat(".csv", "a row for each interval", to_csv),
    "jams": FileFormat(".jams", "annotation for music research", to_jams, ("jams",)),
    "audacity": FileFormat(".txt", "label track for Audacity", to_audacity),
    "png": FileFormat(".png", "picture of the timeline", to_png),
    "svg": FileFormat(".svg", "picture of the timeline, for print", to_svg),
}
"""Name → how one recording is written."""


Summaries = Iterable[dict[str, Any]]
"""What :meth:`Prediction.summary` gave, of each recording."""

_AT_ONCE = 10_000
"""Rows of a table that memory holds: one row group of a Parquet file."""


class TableFormat(NamedTuple):
    """How many predictions are written as one file.

    Attributes:
        description: for people, in a few words.
        write: to a path, the summaries, with what tells their model apart.
        needs: packages of the extra ``formats`` that it takes.
    """

    description: str
    write: Callable[[Path, Summaries, dict[str, Any]], None]
    needs: tuple[str, ...] = ()


def write_csv(path: Path, summaries: Summaries, model: dict[str, Any]) -> None:
    """A row for each interval, under :data:`mir_tf.inference.prediction.COLUMNS`; UTF-8. It does not name the model."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows(_all_rows(summaries))


def write_json(path: Path, summaries: Summaries, model: dict[str, Any]) -> None:
    """``model`` and ``songs``: the only table that names recordings in which nothing is heard. One song a line."""
    with path.open("w", encoding="utf-8") as file:
        file.write(f'{{"model": {json.dumps(model, ensure_ascii=False)}, "songs": [')
        for number, summary in enumerate(summaries):
            file.write(("," if number else "") + "\n" + json.dumps(summary, ensure_ascii=False))
        file.write("\n]}\n")


def write_parquet(path: Path, summaries: Summaries, model: dict[str, Any]) -> None:
    """A row for each interval; the model stands in the schema's metadata, as JSON under ``model``."""
    import pyarrow as pa
    from pyarrow import parquet

    kinds = (pa.string(), pa.float64(), pa.float64(), pa.string(), pa.float32())
    schema = pa.schema(list(zip(COLUMNS, kinds, strict=True)), {"model": json.dumps(model, ensure_ascii=False)})
    with parquet.ParquetWriter(path, schema, compression="zstd") as writer:
        source = iter(_all_rows(summaries))
        while part := list(itertools.islice(source, _AT_ONCE)):
            columns = [pa.array(column, kind) for column, kind in zip(zip(*part, strict=True), kinds, strict=True)]
            writer.write_table(pa.Table.from_arrays(columns, schema=schema))


def _all_rows(summaries: Summaries) -> Iterator[Row]:
    return itertools.chain.from_iterable(map(rows, summaries))


TABLES: dict[str, TableFormat] = {
    ".csv": TableFormat("a row for each interval", write_csv),
    ".json": TableFormat("a list of songs with their instruments and intervals", write_json),
    ".parquet": TableFormat("a row for each interval, small and with types", write_parquet, ("pyarrow",)),
}
"""Suffix → how many recordings are written as one file."""


def require(name: str, needs: tuple[str, ...]) -> None:
    """Makes sure, before long work, that what a format needs is there.

    Raises:
        ConfigError: a package is not installed.
    """
    for package in needs:
        if importlib.util.find_spec(package) is None:
            raise ConfigError(f"{name} needs the package {package}: pip install 'mir-tf[formats]'")
