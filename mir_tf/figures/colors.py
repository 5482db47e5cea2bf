"""The colour of each class, the same in every picture and page."""

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
"""Of the 17 families, after Okabe and Ito: neighbours differ in lightness for those who see fewer hues."""


def color_of(vocabulary: str, index: int) -> str:
    """The colour of a class: of any vocabulary, that of the family that its first program belongs to.

    Args:
        vocabulary: name of the vocabulary.
        index: of the class.

    Returns:
        ``#rrggbb``.
    """
    program = VOCABULARIES[vocabulary].class_of.index(index)
    family = VOCABULARIES["family"]
    family_index = family.class_of[program]
    assert family_index is not None  # families map every program
    return CLASS_COLORS[family.classes[family_index]]
