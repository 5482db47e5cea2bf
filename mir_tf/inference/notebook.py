"""How a notebook shows a prediction: its two groups of instruments, and the picture of its timeline."""

from __future__ import annotations

import base64
import contextlib
import html
import io

from mir_tf.inference.prediction import Instrument, Prediction, format_confidence, format_duration
from mir_tf.io.files import recording_title
from mir_tf.vocabulary import describe_class

_WIDTH, _ROW_HEIGHT = 10.0, 0.45
"""Width of the picture and height of a row, in hundreds of pixels: smaller than in files, and so easier to read."""


def to_html(prediction: Prediction) -> str:
    """Return a prediction as HTML that needs no other file; without a picture where Matplotlib is not installed."""
    title = html.escape(prediction.title or recording_title(prediction.path) or "audio")
    lines = [f"<b>{title}</b>, {format_duration(prediction.seconds)}"]
    for name, is_detected in (("Detected", True), ("Perhaps", False)):
        members = [_named(each) for each in prediction.instruments if each.is_detected == is_detected]
        if members or is_detected:
            lines.append(f"<b>{name}:</b> {', '.join(members) or 'nothing for certain'}")
    lines.append(f"<b>Plays longest:</b> {html.escape(prediction.dominant_text)}")
    with contextlib.suppress(ImportError):
        lines.append(_picture(prediction))
    return f"<div>{'<br>'.join(lines)}</div>"


def _picture(prediction: Prediction) -> str:
    figure, content = prediction.plot(), io.BytesIO()
    figure.axes[0].set_title("", loc="left")  # the text above the picture says the same
    figure.set_size_inches(_WIDTH, 1.2 + _ROW_HEIGHT * max(len(prediction.instruments), 2))
    figure.savefig(content, format="png")
    encoded = base64.b64encode(content.getvalue()).decode()
    alternative = html.escape(prediction.headline)
    return f'<img alt="{alternative}" style="max-width: 100%" src="data:image/png;base64,{encoded}">'


def _named(instrument: Instrument) -> str:
    """Return a class with its confidence and playing time; the pointer shows what the class contains."""
    numbers = filter(None, (format_confidence(instrument.confidence), format_duration(instrument.playing_time)))
    description = html.escape(describe_class(instrument.name))
    return f'<span title="{description}">{html.escape(instrument.name)}</span> ({", ".join(numbers)})'
