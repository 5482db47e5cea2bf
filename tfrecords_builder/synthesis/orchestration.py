"""New instruments for the parts of a song: each part gets an instrument that can take its role and has its range.

Songs of one kind use few instruments, and always in the same roles. So a network learns that a melody in a game is a
synthesiser. Random programs break that habit, but write music that nobody plays: a tuba trills, a helicopter plays
chords. Here a melody goes from a synthesiser to an oboe, and chords from a guitar to an organ. The instruments for
each role are those of :data:`tfrecords_builder.ensembles.styles.STYLES`.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

import numpy as np
import pretty_midi

from tfrecords_builder.ensembles import players
from tfrecords_builder.ensembles.styles import STYLES, StylePart

CHANGED = 0.7
"""Share of the parts that get another instrument."""

ROLES: dict[str, tuple[players.Role, ...]] = {
    "bass": (players.bass,),
    "lead": (players.melody, players.line, players.riff),
    "chords": (players.chords, players.arpeggio, players.stabs, players.power_chords),
    "pad": (players.pad,),
}
"""Maps a role in a song to the players of composed songs that have it."""

_UNPITCHED = range(112, 128)
"""Programs that keep their parts and take no others: percussion and sound effects."""

_ONE_VOICE = 1.25
"""Notes at a time, on average, up to which a part is a single voice."""

_LOW = 48
"""Median pitch below which a single voice is a bass."""

_LONG = 0.8
"""Median length in seconds from which the notes of chords are a pad."""

_SLACK = 4
"""Semitones by which a part may leave the range of an instrument in its role."""


def reorchestrate(song: pretty_midi.PrettyMIDI, seed: str) -> None:
    """Give about two thirds of the parts, but not drums, percussion and effects, another instrument of the same role.

    A part keeps its instrument if no other one has its range.
    """
    generator = random.Random(seed)
    for instrument in song.instruments:
        is_changed, choice = generator.random() < CHANGED, generator.random()
        if not is_changed or not instrument.notes or instrument.is_drum or instrument.program in _UNPITCHED:
            continue
        programs = _programs(role_of(instrument.notes), [note.pitch for note in instrument.notes])
        others = [program for program in programs if program != instrument.program]
        if others:
            instrument.program = others[int(choice * len(others))]


def role_of(notes: Sequence[pretty_midi.Note]) -> str:
    """Return the role of a part, one of :data:`ROLES`, by its voices, its range and the length of its notes."""
    starts, ends = np.array([[note.start, note.end] for note in notes]).T
    lengths = ends - starts
    order = np.argsort(starts)
    latest = np.maximum.accumulate(ends[order])
    begins = np.maximum(starts[order], np.concatenate([[0.0], latest[:-1]]))
    sounding = float(np.maximum(latest - begins, 0).sum())
    if lengths.sum() <= _ONE_VOICE * sounding:
        return "bass" if np.median([note.pitch for note in notes]) < _LOW else "lead"
    return "pad" if np.median(lengths) >= _LONG else "chords"


def _programs(role: str, pitches: Sequence[int]) -> list[int]:
    """Return the programs for a role whose ranges contain nearly all pitches, each as often as styles use it."""
    low, high = np.percentile(pitches, [5, 95])

    def fits(part: StylePart) -> bool:
        return part.role in ROLES[role] and part.low - _SLACK <= low and high <= part.high + _SLACK

    return [
        program
        for name in sorted(STYLES)
        for part in filter(fits, STYLES[name].parts)
        for program in part.programs
        if program not in _UNPITCHED
    ]
