"""The colours of classes, splits and runs, the same in every figure and on every page."""

from __future__ import annotations

from mir_tf.vocabulary import VOCABULARIES

CLASS_COLORS: dict[str, str] = {
    "Piano": "#0072b2",
    "Chromatic Percussion": "#8fd0ff",
    "Organ": "#7a3e9d",
    "Guitar": "#d55e00",
    "Bass": "#5c3a1e",
    "Strings": "#009e73",
    "Ensemble": "#8fdfc0",
    "Brass": "#e6a700",
    "Reed": "#9c7a00",
    "Pipe": "#f3e05a",
    "Synth Lead": "#cc3399",
    "Synth Pad": "#f0a6d0",
    "Synth Effects": "#b79ae0",
    "Ethnic": "#a8323e",
    "Percussive": "#f28e7a",
    "Sound Effects": "#9a9a9a",
    "Drums": "#333333",
}
"""Colours of the 17 families, after Okabe and Ito. Neighbours differ in lightness, for colour-blind readers."""

SPLIT_COLORS = {"train": "#0072b2", "validation": "#e69f00", "test": "#333333"}
"""Blue and orange of Okabe and Ito, and a dark grey."""

RUN_COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#333333")
"""Colours of runs in one figure, of Okabe and Ito."""


def color_of(vocabulary: str, index: int) -> str:
    """Return the colour of a class: the colour of the family to which its first program belongs.

    Args:
        vocabulary: Name of the vocabulary.
        index: Index of the class.

    Returns:
        The colour as ``#rrggbb``.
    """
    program = VOCABULARIES[vocabulary].class_of.index(index)
    family = VOCABULARIES["family"]
    family_index = family.class_of[program]
    assert family_index is not None  # the families include every program
    return CLASS_COLORS[family.classes[family_index]]
