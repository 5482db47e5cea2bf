"""The colours of classes, splits and runs, the same in every figure and on every page."""

from __future__ import annotations

from mir_tf.vocabulary import VOCABULARIES

CLASS_COLORS: dict[str, str] = {
    "Piano": "#29787b",
    "Chromatic Percussion": "#8489b8",
    "Organ": "#5e64d6",
    "Guitar": "#e3670a",
    "Bass": "#9d7455",
    "Strings": "#868f34",
    "Ensemble": "#018962",
    "Brass": "#a47001",
    "Reed": "#fc2f81",
    "Pipe": "#387c26",
    "Synth Lead": "#eb42c7",
    "Synth Pad": "#b8719a",
    "Synth Effects": "#2b84de",
    "Ethnic": "#da5b61",
    "Percussive": "#b720cf",
    "Sound Effects": "#8a8b8b",
    "Drums": "#1c97c1",
}
"""Colours of the 17 families. Each is visible on white and on the dark theme of the app, and any two differ.

A search by computer chose them, starting from those of Okabe and Ito. Neighbours also differ for colour-blind readers.
"""

_UNKNOWN_COLOR = "#8a8b8b"

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
        The colour as ``#rrggbb``; a grey for a class of a vocabulary that this version does not have.
    """
    if vocabulary not in VOCABULARIES or index >= len(VOCABULARIES[vocabulary]):
        return _UNKNOWN_COLOR
    program = VOCABULARIES[vocabulary].class_of.index(index)
    family = VOCABULARIES["family"]
    family_index = family.class_of[program]
    assert family_index is not None  # the families include every program
    return CLASS_COLORS[family.classes[family_index]]
