"""Checks of drawn figures."""

from collections.abc import Iterable

from matplotlib.text import Text


def overlapping(texts: Iterable[Text]) -> list[tuple[str, str]]:
    """Return the pairs of texts of a drawn figure whose boxes overlap."""
    boxes = [(text.get_text(), text.get_window_extent()) for text in texts if text.get_text() and text.get_visible()]
    return [
        (name, other)
        for index, (name, box) in enumerate(boxes)
        for other, other_box in boxes[index + 1 :]
        if box.overlaps(other_box)
    ]
