"""Styles: which instruments play together, in which role and range."""

from __future__ import annotations

import dataclasses

from tfrecords_builder.ensembles.players import (
    Role,
    arpeggio,
    bass,
    chords,
    hits,
    line,
    melody,
    pad,
    pattern,
    power_chords,
    riff,
    roll,
    stabs,
)

_MAJOR = (0, 2, 4, 5, 7, 9, 11)
_MINOR = (0, 2, 3, 5, 7, 8, 10)
_DORIAN = (0, 2, 3, 5, 7, 9, 10)
_MIXOLYDIAN = (0, 2, 4, 5, 7, 9, 10)


@dataclasses.dataclass(frozen=True)
class StylePart:
    """A part of a style.

    Attributes:
        role: Function that makes the player.
        programs: General MIDI programs to choose from.
        low: Lowest pitch.
        high: Highest pitch, at least an octave above ``low``.
        chance: Probability that a song of the style has this part.
    """

    role: Role
    programs: tuple[int, ...]
    low: int
    high: int
    chance: float = 1.0


@dataclasses.dataclass(frozen=True)
class Style:
    """A style.

    Attributes:
        tempi: Lowest and highest tempo in beats per minute.
        parts: Possible parts.
        beats: Keys of :data:`tfrecords_builder.ensembles.players.BEATS`; empty without a kit.
        scales: Semitones of the degrees of each scale.
        meter: Beats in a bar.
        sevenths: Whether chords have four tones.
        swing: Whether off-beats are late.
    """

    tempi: tuple[int, int]
    parts: tuple[StylePart, ...]
    beats: tuple[str, ...] = ()
    scales: tuple[tuple[int, ...], ...] = (_MAJOR, _MINOR)
    meter: int = 4
    sevenths: bool = False
    swing: bool = False


_ELECTRIC_BASSES = (33, 33, 34, 35, 36, 37)
_PIANOS = (0, 0, 1, 2, 3)
_STRING_SECTION = (48, 48, 49, 50, 51)
_CHOIRS = (52, 53, 54)
_LEADS = (80, 81, 82, 83, 84, 85, 86, 87)
_PADS = (88, 89, 90, 91, 92, 93, 94, 95)
_SYNTH_EFFECTS = (96, 97, 98, 99, 100, 101, 102, 103)

STYLES: dict[str, Style] = {
    "rock": Style(
        (100, 170),
        (
            StylePart(bass, _ELECTRIC_BASSES, 28, 45),
            StylePart(power_chords, (29, 30), 40, 60),
            StylePart(chords, (27, 28, 25), 48, 72, 0.5),
            StylePart(melody, (29, 30, 27), 57, 81, 0.7),
            StylePart(chords, (16, 17, 18), 52, 76, 0.4),
            StylePart(riff, (29, 30), 45, 69, 0.4),
        ),
        ("rock", "drive", "half"),
        (_MINOR, _MIXOLYDIAN, _MAJOR),
    ),
    "metal": Style(
        (120, 200),
        (
            StylePart(bass, (34, 33), 28, 40),
            StylePart(power_chords, (30, 29), 38, 58),
            StylePart(power_chords, (30,), 38, 58, 0.6),
            StylePart(melody, (30, 29), 62, 88, 0.7),
            StylePart(pad, _CHOIRS + _STRING_SECTION, 48, 76, 0.4),
        ),
        ("double", "drive", "half"),
        (_MINOR,),
    ),
    "pop": Style(
        (75, 130),
        (
            StylePart(bass, (*_ELECTRIC_BASSES, 38, 39), 28, 47),
            StylePart(chords, (*_PIANOS, 4, 5), 50, 74, 0.8),
            StylePart(arpeggio, (25, 24, 27), 48, 74, 0.6),
            StylePart(pad, _STRING_SECTION + _PADS, 50, 76, 0.6),
            StylePart(melody, (0, 11, 65, 73, 81, 53), 62, 86, 0.8),
            StylePart(line, (48, 60, 52, 89), 55, 76, 0.4),
        ),
        ("rock", "ballad", "half", "floor"),
    ),
    "funk": Style(
        (90, 120),
        (
            StylePart(bass, (36, 37, 33, 38), 28, 47),
            StylePart(chords, (27, 28), 52, 76, 0.9),
            StylePart(chords, (7, 4, 5, 16, 17), 52, 76, 0.7),
            StylePart(stabs, (61, 62, 63, 56), 55, 79, 0.8),
            StylePart(melody, (65, 66, 64, 56, 57), 55, 79, 0.5),
            StylePart(pattern, (116, 113), 55, 72, 0.2),
        ),
        ("funk", "breaks"),
        (_DORIAN, _MIXOLYDIAN),
        sevenths=True,
    ),
    "soul": Style(
        (70, 125),
        (
            StylePart(bass, (33, 35, 34), 28, 47),
            StylePart(chords, (16, 17, 18), 50, 74, 0.8),
            StylePart(chords, (*_PIANOS, 4), 50, 74, 0.7),
            StylePart(stabs, (61, 56, 66), 55, 76, 0.6),
            StylePart(pad, _STRING_SECTION, 52, 80, 0.5),
            StylePart(melody, (65, 66, 53, 56), 55, 79, 0.7),
            StylePart(arpeggio, (27, 26), 50, 74, 0.5),
        ),
        ("rock", "floor", "ballad"),
        sevenths=True,
    ),
    "jazz combo": Style(
        (100, 220),
        (
            StylePart(bass, (32, 32, 35), 28, 48),
            StylePart(chords, (0, 0, 1, 4, 26), 50, 74, 0.9),
            StylePart(melody, (64, 65, 66, 56, 59, 71, 57), 50, 79),
            StylePart(melody, (11, 26, 0, 73, 12), 60, 84, 0.6),
        ),
        ("swing",),
        (_MAJOR, _DORIAN, _MIXOLYDIAN),
        sevenths=True,
        swing=True,
    ),
    "big band": Style(
        (110, 200),
        (
            StylePart(bass, (32,), 28, 48),
            StylePart(chords, (0, 26), 50, 74, 0.8),
            StylePart(stabs, (56, 61), 58, 80),
            StylePart(chords, (65, 66, 67), 50, 72, 0.8),
            StylePart(line, (57, 58), 43, 65, 0.7),
            StylePart(melody, (64, 66, 56, 71, 57), 53, 79, 0.8),
        ),
        ("swing",),
        (_MAJOR, _DORIAN),
        sevenths=True,
        swing=True,
    ),
    "latin": Style(
        (90, 140),
        (
            StylePart(bass, (32, 33, 35), 28, 47),
            StylePart(chords, (24, 0, 24), 50, 74),
            StylePart(melody, (73, 56, 65, 24, 71), 60, 84, 0.9),
            StylePart(stabs, (61, 56), 58, 79, 0.5),
            StylePart(pattern, (113, 115, 116, 114), 60, 76, 0.6),
            StylePart(arpeggio, (12, 11, 114), 60, 84, 0.3),
        ),
        ("bossa", "congas", "shaker"),
        (_MAJOR, _MINOR, _DORIAN),
        sevenths=True,
    ),
    "reggae": Style(
        (65, 95),
        (
            StylePart(bass, (33, 34, 38), 28, 45),
            StylePart(chords, (27, 28), 52, 76),
            StylePart(chords, (16, 17, 0), 52, 76, 0.8),
            StylePart(melody, (56, 57, 66, 22), 55, 79, 0.6),
            StylePart(riff, (7, 114, 4), 50, 74, 0.4),
        ),
        ("reggae",),
    ),
    "country": Style(
        (80, 150),
        (
            StylePart(bass, (32, 33), 28, 47),
            StylePart(chords, (25, 25, 24), 48, 74),
            StylePart(arpeggio, (105, 25, 27), 55, 79, 0.7),
            StylePart(melody, (110, 22, 40, 26), 57, 84, 0.9),
            StylePart(chords, (0, 3), 50, 74, 0.4),
        ),
        ("train", "rock", "ballad"),
        (_MAJOR, _MIXOLYDIAN),
    ),
    "celtic": Style(
        (90, 140),
        (
            StylePart(pad, (109, 21, 49), 48, 72, 0.7),
            StylePart(melody, (109, 110, 73, 74, 72, 79), 62, 86),
            StylePart(melody, (110, 75, 40, 22), 57, 81, 0.6),
            StylePart(arpeggio, (46, 24, 25), 48, 76, 0.8),
            StylePart(pattern, (116, 117), 48, 60, 0.4),
            StylePart(bass, (32, 43), 28, 47, 0.4),
        ),
        (),
        (_MAJOR, _DORIAN, _MIXOLYDIAN),
        meter=3,
    ),
    "organ trio": Style(
        (80, 150),
        (
            StylePart(bass, (33, 35, 32), 28, 47, 0.7),
            StylePart(chords, (16, 17, 18), 50, 74),
            StylePart(melody, (16, 17, 18), 60, 84, 0.7),
            StylePart(melody, (26, 27), 55, 79, 0.8),
        ),
        ("swing", "rock", "funk"),
        (_MIXOLYDIAN, _DORIAN),
        sevenths=True,
    ),
    "orchestra": Style(
        (60, 140),
        (
            StylePart(pad, (48, 49), 48, 76),
            StylePart(melody, (48, 40, 49), 62, 88, 0.7),
            StylePart(bass, (43, 48, 42), 30, 50),
            StylePart(arpeggio, (45, 46, 48), 50, 76, 0.4),
            StylePart(line, (60, 60, 61), 48, 70, 0.8),
            StylePart(melody, (68, 71, 73, 72, 69), 62, 88, 0.8),
            StylePart(line, (70, 71, 68), 43, 69, 0.5),
            StylePart(stabs, (56, 57, 61), 52, 76, 0.5),
            StylePart(roll, (47,), 40, 55, 0.6),
            StylePart(hits, (14, 9, 46, 55), 60, 84, 0.2),
            StylePart(line, (58,), 30, 48, 0.3),
        ),
    ),
    "strings": Style(
        (55, 130),
        (
            StylePart(melody, (40,), 62, 91),
            StylePart(line, (40,), 57, 79, 0.8),
            StylePart(line, (41,), 50, 72, 0.8),
            StylePart(bass, (42, 43), 36, 57, 0.9),
            StylePart(arpeggio, (45, 44, 46), 50, 79, 0.3),
        ),
    ),
    "harp and soloist": Style(
        (55, 100),
        (
            StylePart(arpeggio, (46,), 43, 79),
            StylePart(melody, (73, 40, 42, 68, 60, 71, 53), 55, 82),
        ),
        meter=3,
    ),
    "winds": Style(
        (70, 140),
        (
            StylePart(melody, (73, 72, 74), 67, 93),
            StylePart(line, (68, 69), 60, 84, 0.9),
            StylePart(arpeggio, (71,), 52, 79, 0.8),
            StylePart(line, (60,), 48, 69, 0.7),
            StylePart(bass, (70,), 36, 58, 0.9),
        ),
    ),
    "saxophones": Style(
        (70, 150),
        (
            StylePart(melody, (64,), 60, 84),
            StylePart(line, (65,), 53, 77),
            StylePart(line, (66,), 48, 70),
            StylePart(bass, (67,), 36, 55),
        ),
        ("swing", "rock"),
        sevenths=True,
    ),
    "brass": Style(
        (80, 130),
        (
            StylePart(melody, (56,), 60, 82),
            StylePart(chords, (56, 60, 61), 55, 76, 0.8),
            StylePart(line, (57, 60), 45, 67),
            StylePart(bass, (58, 57), 29, 50),
            StylePart(melody, (71, 72, 73), 65, 89, 0.4),
            StylePart(roll, (47,), 40, 55, 0.3),
        ),
        ("march",),
        (_MAJOR, _MINOR),
    ),
    "piano": Style(
        (55, 140),
        (
            StylePart(melody, _PIANOS, 62, 88),
            StylePart(arpeggio, _PIANOS, 38, 64, 0.8),
            StylePart(chords, _PIANOS, 45, 67, 0.5),
        ),
        meter=3,
    ),
    "piano and soloist": Style(
        (55, 140),
        (
            StylePart(arpeggio, _PIANOS, 40, 72, 0.7),
            StylePart(chords, _PIANOS, 43, 69, 0.7),
            StylePart(melody, (40, 42, 73, 71, 68, 56, 60, 65, 66, 74, 41, 70), 55, 84),
        ),
    ),
    "guitar": Style(
        (60, 130),
        (
            StylePart(arpeggio, (24, 25), 43, 72),
            StylePart(melody, (24, 25), 60, 81, 0.7),
            StylePart(chords, (24, 25), 45, 69, 0.3),
            StylePart(melody, (73, 40, 22, 75), 60, 84, 0.3),
        ),
    ),
    "church": Style(
        (50, 90),
        (
            StylePart(pad, (19,), 43, 76),
            StylePart(melody, (19, 20), 60, 84, 0.7),
            StylePart(bass, (19,), 31, 50, 0.7),
            StylePart(pad, (52, 53), 50, 76, 0.6),
            StylePart(hits, (14,), 48, 67, 0.3),
            StylePart(melody, (56,), 60, 82, 0.2),
        ),
    ),
    "choir": Style(
        (50, 100),
        (
            StylePart(pad, _CHOIRS, 48, 76),
            StylePart(melody, (53, 54, 52), 60, 82, 0.7),
            StylePart(pad, (19, 48, 95, 91), 43, 72, 0.5),
            StylePart(roll, (47,), 40, 55, 0.3),
        ),
    ),
    "house": Style(
        (118, 135),
        (
            StylePart(bass, (38, 39), 28, 47),
            StylePart(stabs, (0, 16, 63, 62, 90), 52, 79, 0.8),
            StylePart(pad, (*_PADS, 50, 51), 50, 76, 0.7),
            StylePart(arpeggio, _LEADS, 57, 86, 0.7),
            StylePart(riff, (*_LEADS, 62, 63), 52, 79, 0.6),
            StylePart(pad, _SYNTH_EFFECTS, 52, 76, 0.4),
        ),
        ("floor",),
        (_MINOR, _DORIAN),
    ),
    "synth-pop": Style(
        (95, 135),
        (
            StylePart(bass, (38, 39, 87), 28, 47),
            StylePart(arpeggio, (*_LEADS, 98, 96), 52, 81, 0.8),
            StylePart(pad, (*_PADS, 50, 51, 54), 50, 76, 0.8),
            StylePart(melody, _LEADS, 60, 86, 0.8),
            StylePart(stabs, (62, 63, 55), 55, 79, 0.4),
            StylePart(pattern, (118, 117, 119), 45, 69, 0.3),
        ),
        ("rock", "half", "floor"),
    ),
    "ambient": Style(
        (50, 90),
        (
            StylePart(pad, _PADS, 45, 76),
            StylePart(pad, _SYNTH_EFFECTS, 48, 79, 0.8),
            StylePart(melody, (98, 99, 88, 11, 14, 79, 78, 75), 60, 88, 0.7),
            StylePart(line, (89, 91, 52), 43, 67, 0.5),
            StylePart(hits, tuple(range(120, 127)), 48, 72, 0.5),
            StylePart(arpeggio, (46, 8, 10, 4, 100), 55, 84, 0.4),
        ),
    ),
    "game": Style(
        (110, 180),
        (
            StylePart(melody, (80, 81, 82), 62, 91),
            StylePart(arpeggio, (80, 81, 84), 52, 81),
            StylePart(bass, (38, 39, 80), 31, 52),
            StylePart(line, (80, 83), 55, 76, 0.4),
        ),
        ("rock", "drive"),
    ),
    "hip-hop": Style(
        (65, 100),
        (
            StylePart(bass, (38, 39, 33), 26, 43),
            StylePart(riff, (0, 4, 5, 11, 46, 24, 108), 50, 79),
            StylePart(pad, _STRING_SECTION + _PADS, 50, 76, 0.6),
            StylePart(stabs, (55, 61, 48), 55, 76, 0.3),
            StylePart(melody, (73, 81, 78, 40), 62, 86, 0.4),
            StylePart(hits, (118, 119, 126, 124), 48, 67, 0.3),
        ),
        ("trap", "breaks", "half"),
        (_MINOR, _DORIAN),
    ),
    "film": Style(
        (60, 120),
        (
            StylePart(pad, (48, 49, 44), 43, 76),
            StylePart(riff, (48, 45, 42), 43, 69, 0.8),
            StylePart(line, (60, 61, 57), 43, 67, 0.8),
            StylePart(pad, _CHOIRS, 52, 79, 0.5),
            StylePart(pattern, (116, 117, 47), 40, 55, 0.7),
            StylePart(melody, (73, 77, 60, 40, 53), 60, 84, 0.5),
            StylePart(arpeggio, (0, 46, 8), 55, 86, 0.4),
            StylePart(hits, (119, 122, 127, 55), 48, 67, 0.3),
        ),
        (),
        (_MINOR, _DORIAN),
    ),
    "mallets": Style(
        (80, 150),
        (
            StylePart(arpeggio, (12, 11, 108), 60, 88),
            StylePart(melody, (13, 9, 12, 11, 10), 67, 96, 0.8),
            StylePart(riff, (12, 114), 53, 77, 0.7),
            StylePart(bass, (12, 32), 36, 57, 0.5),
            StylePart(pattern, (115, 113, 112), 60, 79, 0.5),
        ),
        scales=(_MAJOR, _DORIAN),
    ),
    "percussion": Style(
        (85, 140),
        (
            StylePart(pattern, (116, 117), 43, 62),
            StylePart(pattern, (115, 113, 118), 55, 76, 0.8),
            StylePart(riff, (114, 112, 108, 12), 55, 81, 0.8),
            StylePart(melody, (77, 75, 111, 73), 60, 84, 0.4),
        ),
        ("congas", "shaker"),
    ),
    "sitar": Style(
        (60, 120),
        (
            StylePart(melody, (104,), 55, 79),
            StylePart(pad, (104, 109, 95), 43, 64, 0.6),
            StylePart(pattern, (116, 117), 48, 67, 0.8),
            StylePart(melody, (111, 73, 40, 77), 60, 84, 0.5),
        ),
        scales=(_MIXOLYDIAN, _DORIAN),
    ),
    "east asian": Style(
        (55, 110),
        (
            StylePart(melody, (107, 106), 57, 84),
            StylePart(melody, (77, 75, 111, 79), 62, 86, 0.8),
            StylePart(arpeggio, (107, 46, 15), 50, 79, 0.6),
            StylePart(hits, (14, 112, 116), 48, 72, 0.5),
            StylePart(pad, (48, 91), 48, 72, 0.3),
        ),
    ),
    "musette": Style(
        (100, 180),
        (
            StylePart(melody, (21, 23), 62, 86),
            StylePart(chords, (21, 24, 25), 50, 72, 0.9),
            StylePart(bass, (32,), 30, 48),
            StylePart(melody, (71, 40), 60, 84, 0.4),
        ),
        ("waltz",),
        meter=3,
    ),
    "baroque": Style(
        (65, 120),
        (
            StylePart(arpeggio, (6, 6, 7), 48, 76),
            StylePart(chords, (6, 19), 48, 72, 0.5),
            StylePart(melody, (40, 74, 68, 6, 56), 62, 86),
            StylePart(line, (40, 41, 74), 57, 79, 0.6),
            StylePart(bass, (42, 43, 70), 36, 55, 0.9),
        ),
    ),
    "music box": Style(
        (60, 110),
        (
            StylePart(melody, (10, 8, 9, 14), 67, 96),
            StylePart(arpeggio, (10, 8, 46, 11), 55, 84, 0.7),
            StylePart(pad, (48, 89, 54), 50, 74, 0.4),
        ),
        meter=3,
    ),
    "blues": Style(
        (65, 130),
        (
            StylePart(bass, (32, 33), 28, 47),
            StylePart(chords, (0, 3, 16), 50, 74, 0.8),
            StylePart(riff, (26, 27, 29), 45, 69, 0.7),
            StylePart(melody, (22, 27, 29, 66), 58, 82),
        ),
        ("swing", "rock"),
        (_MIXOLYDIAN,),
        sevenths=True,
        swing=True,
    ),
    "soundscape": Style(
        (50, 110),
        (
            StylePart(hits, tuple(range(120, 128)), 48, 72),
            StylePart(hits, tuple(range(120, 128)), 48, 72, 0.6),
            StylePart(pad, _SYNTH_EFFECTS, 45, 72, 0.6),
            StylePart(pattern, (115, 116, 118, 119), 45, 69, 0.4),
            StylePart(melody, (75, 77, 78, 76), 60, 84, 0.4),
        ),
    ),
}
"""Name of a style → its parts and their players.

Programs are those of General MIDI from 0 on; one that is named twice is the more usual.
"""
