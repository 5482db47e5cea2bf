"""Vocabularies: maps from a stem's MIDI program and drum flag to the classes that a model predicts.

Labels are stored for each General MIDI program, with drums as program 128, and projected to a vocabulary when they are
read, so that you can change the vocabulary without rebuilding the data. A program without a class maps to None and is
listed by :meth:`Vocabulary.unmapped`; the builder reports such programs if they play.
"""

from __future__ import annotations

import dataclasses
import functools

import numpy as np
from numpy.typing import NDArray

DRUMS = 128
"""Program number of every drum kit, as Slakh writes it."""

NUM_PROGRAMS = 129
"""128 General MIDI programs, and drums."""

FAMILY_SIZE = 8
"""Number of programs in a General MIDI family."""


@dataclasses.dataclass(frozen=True)
class Vocabulary:
    """Classes in the order of a model's outputs, and the programs of each class.

    Attributes:
        name: Key in :data:`VOCABULARIES`.
        classes: Class names.
        class_of: Index of the class of each of the 129 programs, or None.
    """

    name: str
    classes: tuple[str, ...]
    class_of: tuple[int | None, ...]

    def __len__(self) -> int:
        """Return the number of classes."""
        return len(self.classes)

    @functools.cached_property
    def matrix(self) -> NDArray[np.float32]:
        """Projection matrix [129, classes]: 1 where a program belongs to a class, otherwise 0."""
        matrix = np.zeros((NUM_PROGRAMS, len(self.classes)), np.float32)
        for program, index in enumerate(self.class_of):
            if index is not None:
                matrix[program, index] = 1
        return matrix

    def project(self, activity: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Project programs [..., 129] to classes [..., classes]; a class is active if any of its programs is."""
        return activity.astype(np.float32) @ self.matrix > 0

    @functools.cached_property
    def _index_of(self) -> dict[str, int]:
        """Maps the lower-case names of classes, and of their programs, to the index of the class."""
        programs = zip(PROGRAM_NAMES, self.class_of, strict=True)
        return {
            **{name.casefold(): index for name, index in programs if index is not None},
            **{name.casefold(): index for index, name in enumerate(self.classes)},
        }

    def index_of(self, label: str) -> int | None:
        """Return the index of the class with this name or General MIDI program name in any case, or None."""
        return self._index_of.get(label.casefold())

    def unmapped(self) -> list[int]:
        """Return the programs that belong to no class."""
        return [program for program, index in enumerate(self.class_of) if index is None]


def program_index(program: int, is_drum: bool = False) -> int:
    """Return a stem's column in the stored activity: its program, or 128 for any drum kit.

    Raises:
        ValueError: ``program`` is not between 0 and 128.
    """
    if is_drum:
        return DRUMS
    if not 0 <= program <= DRUMS:
        raise ValueError(f"program {program} is not a General MIDI program (0 to 127) or 128 (drums)")
    return program


def _vocabulary(name: str, programs: dict[str, list[int]]) -> Vocabulary:
    class_of: list[int | None] = [None] * NUM_PROGRAMS
    for index, members in enumerate(programs.values()):
        for program in members:
            class_of[program] = index
    return Vocabulary(name, tuple(programs), tuple(class_of))


# General MIDI 1, table "Instrument families".
_FAMILIES = (
    "Piano",
    "Chromatic Percussion",
    "Organ",
    "Guitar",
    "Bass",
    "Strings",
    "Ensemble",
    "Brass",
    "Reed",
    "Pipe",
    "Synth Lead",
    "Synth Pad",
    "Synth Effects",
    "Ethnic",
    "Percussive",
    "Sound Effects",
)

CLASS_EXAMPLES = {
    "Piano": "piano, electric piano, harpsichord",
    "Chromatic Percussion": "xylophone, vibraphone, bells",
    "Organ": "organ, accordion, harmonica",
    "Guitar": "acoustic and electric guitar",
    "Bass": "bass guitar, double bass, synth bass",
    "Strings": "violin, cello, harp, timpani",
    "Ensemble": "string sections, sampled choirs",
    "Brass": "trumpet, trombone, horn, tuba",
    "Reed": "saxophone, clarinet, oboe",
    "Pipe": "flute, recorder, pan flute",
    "Synth Lead": "synthesizer melodies",
    "Synth Pad": "soft synthesizer chords",
    "Synth Effects": "synthesizer atmospheres",
    "Ethnic": "sitar, banjo, koto, bagpipe",
    "Percussive": "steel drums, woodblock, taiko",
    "Sound Effects": "birdsong, applause, helicopter",
    "Drums": "drum kit",
    "Acoustic Piano": "grand piano, honky-tonk, harpsichord",
    "Electric Piano": "Rhodes, FM piano, electric grand",
    "Acoustic Guitar": "nylon or steel strings",
    "Clean Electric Guitar": "jazz guitar, muted guitar",
    "Distorted Electric Guitar": "overdriven guitar, distortion guitar",
    "Acoustic Bass": "plucked double bass",
    "Electric Bass": "bass guitar, slap bass, synth bass",
    "Contrabass": "bowed double bass",
    "String Ensemble": "string sections, pizzicato, tremolo",
    "Choir and Voice": "sampled choirs, not singers",
    "Orchestral Hit": "sampled chord of an orchestra",
    "Brass Section": "several brass instruments together",
}
"""Class of the family and Slakh vocabularies → its best-known instruments.

Classes of both, and programs with the name of a class, share an entry. A class that is a single instrument has none.
"""


def describe_class(name: str) -> str:
    """Return the name of a class with examples, such as ``Reed (saxophone, clarinet, oboe)``.

    A class that is a single instrument, or not in :data:`CLASS_EXAMPLES`, keeps its name.
    """
    return f"{name} ({CLASS_EXAMPLES[name]})" if name in CLASS_EXAMPLES else name


# The 34 classes of Slakh2100 by program, as Gardner et al., MT3 (ICLR 2022), appendix, table "Slakh", and drums.
# Programs 96 to 127 (synth effects, ethnic, percussive, sound effects) belong to no class.
_SLAKH = {
    "Acoustic Piano": [0, 1, 3, 6, 7],
    "Electric Piano": [2, 4, 5],
    "Chromatic Percussion": [*range(8, 16)],
    "Organ": [*range(16, 24)],
    "Acoustic Guitar": [24, 25],
    "Clean Electric Guitar": [26, 27, 28],
    "Distorted Electric Guitar": [29, 30, 31],
    "Acoustic Bass": [32, 35],
    "Electric Bass": [33, 34, 36, 37, 38, 39],
    "Violin": [40],
    "Viola": [41],
    "Cello": [42],
    "Contrabass": [43],
    "Orchestral Harp": [46],
    "Timpani": [47],
    "String Ensemble": [44, 45, 48, 49],
    "Synth Strings": [50, 51],
    "Choir and Voice": [52, 53, 54],
    "Orchestral Hit": [55],
    "Trumpet": [56, 59],
    "Trombone": [57],
    "Tuba": [58],
    "French Horn": [60],
    "Brass Section": [61, 62, 63],
    "Soprano/Alto Sax": [64, 65],
    "Tenor Sax": [66],
    "Baritone Sax": [67],
    "Oboe": [68],
    "English Horn": [69],
    "Bassoon": [70],
    "Clarinet": [71],
    "Pipe": [*range(72, 80)],
    "Synth Lead": [*range(80, 88)],
    "Synth Pad": [*range(88, 96)],
    "Drums": [DRUMS],
}

PROGRAM_NAMES: tuple[str, ...] = tuple(
    name.strip()
    for name in """
    Acoustic Grand Piano, Bright Acoustic Piano, Electric Grand Piano, Honky-tonk Piano, Electric Piano 1,
    Electric Piano 2, Harpsichord, Clavinet, Celesta, Glockenspiel, Music Box, Vibraphone, Marimba, Xylophone,
    Tubular Bells, Dulcimer, Drawbar Organ, Percussive Organ, Rock Organ, Church Organ, Reed Organ, Accordion,
    Harmonica, Tango Accordion, Acoustic Guitar (nylon), Acoustic Guitar (steel), Electric Guitar (jazz),
    Electric Guitar (clean), Electric Guitar (muted), Overdriven Guitar, Distortion Guitar, Guitar Harmonics,
    Acoustic Bass, Electric Bass (finger), Electric Bass (pick), Fretless Bass, Slap Bass 1, Slap Bass 2,
    Synth Bass 1, Synth Bass 2, Violin, Viola, Cello, Contrabass, Tremolo Strings, Pizzicato Strings,
    Orchestral Harp, Timpani, String Ensemble 1, String Ensemble 2, Synth Strings 1, Synth Strings 2, Choir Aahs,
    Voice Oohs, Synth Choir, Orchestra Hit, Trumpet, Trombone, Tuba, Muted Trumpet, French Horn, Brass Section,
    Synth Brass 1, Synth Brass 2, Soprano Sax, Alto Sax, Tenor Sax, Baritone Sax, Oboe, English Horn, Bassoon,
    Clarinet, Piccolo, Flute, Recorder, Pan Flute, Blown Bottle, Shakuhachi, Whistle, Ocarina, Lead 1 (square),
    Lead 2 (sawtooth), Lead 3 (calliope), Lead 4 (chiff), Lead 5 (charang), Lead 6 (voice), Lead 7 (fifths),
    Lead 8 (bass + lead), Pad 1 (new age), Pad 2 (warm), Pad 3 (polysynth), Pad 4 (choir), Pad 5 (bowed),
    Pad 6 (metallic), Pad 7 (halo), Pad 8 (sweep), FX 1 (rain), FX 2 (soundtrack), FX 3 (crystal),
    FX 4 (atmosphere), FX 5 (brightness), FX 6 (goblins), FX 7 (echoes), FX 8 (sci-fi), Sitar, Banjo, Shamisen,
    Koto, Kalimba, Bagpipe, Fiddle, Shanai, Tinkle Bell, Agogo, Steel Drums, Woodblock, Taiko Drum, Melodic Tom,
    Synth Drum, Reverse Cymbal, Guitar Fret Noise, Breath Noise, Seashore, Bird Tweet, Telephone Ring, Helicopter,
    Applause, Gunshot, Drums""".split(",")
)
"""General MIDI names of the 128 programs, and Drums."""

VOCABULARIES: dict[str, Vocabulary] = {
    "family": _vocabulary(
        "family",
        {family: [*range(FAMILY_SIZE * i, FAMILY_SIZE * (i + 1))] for i, family in enumerate(_FAMILIES)}
        | {"Drums": [DRUMS]},
    ),
    "slakh": _vocabulary("slakh", _SLAKH),
    "program": _vocabulary("program", {name: [program] for program, name in enumerate(PROGRAM_NAMES)}),
}
"""The vocabularies by name: 17 families, Slakh's 34 classes and drums, 129 programs."""
