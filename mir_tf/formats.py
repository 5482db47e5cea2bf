"""What a prediction is written as: JSON, CSV, JAMS, an Audacity label track, pictures. No TensorFlow.

Each format of a single recording makes bytes in memory, so that a command can write them and a page can offer them.
What needs a package that a bare install lacks says so when it is used.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from typing import NamedTuple

from mir_tf.prediction import COLUMNS, Prediction


class Format(NamedTuple):
    """How a prediction is written.

    Attributes:
        suffix: of the file's name, after that of the recording: ``song.mp3`` gives ``song.mp3.csv``.
        description: for people, in a few words.
        encode: the prediction to the content of the file; raises ConfigError where a package is missing.
    """

    suffix: str
    description: str
    encode: Callable[[Prediction], bytes]


def to_json(prediction: Prediction) -> bytes:
    """:meth:`Prediction.to_json`: the only format that holds the probability of every frame."""
    return prediction.to_json().encode()


def to_csv(prediction: Prediction) -> bytes:
    """A row for each interval, with the header :data:`mir_tf.prediction.COLUMNS`; UTF-8."""
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


FORMATS: dict[str, Format] = {
    "json": Format(".json", "everything, with the probability of every frame", to_json),
    "csv": Format(".csv", "a row for each interval", to_csv),
    "jams": Format(".jams", "annotation for music research", to_jams),
    "audacity": Format(".txt", "label track for Audacity", to_audacity),
    "png": Format(".png", "picture of the timeline", to_png),
    "svg": Format(".svg", "picture of the timeline, for print", to_svg),
}
"""Name → how one recording is written."""
