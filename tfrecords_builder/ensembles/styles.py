"""Styles: who plays together, in which role, and in which range."""

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
class Part:
    """What someone plays in a style.

    Attributes:
        role: makes the player.
        programs: of General MIDI, any of which may play it.
        low: lowest pitch.
        high: highest pitch, an octave above ``low`` at least.
        chance: that it is in a song of the style.
    """

    role: Role
    programs: tuple[int, ...]
    low: int
    high: int
    chance: float = 1.0


@dataclasses.dataclass(frozen=True)
class Style:
    """Who plays together.

    Attributes:
        tempi: beats a minute, from and to.
        parts: who may play.
        beats: keys of :data:`tfrecords_builder.ensembles.players.BEATS`; none where there is no kit.
        scales: semitones of the degrees.
        meter: beats in a bar.
        sevenths: whether chords have four tones.
        swing: whether off-beats come late.
    """

    tempi: tuple[int, int]
    parts: tuple[Part, ...]
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
            Part(bass, _ELECTRIC_BASSES, 28, 45),
            Part(power_chords, (29, 30), 40, 60),
            Part(chords, (27, 28, 25), 48, 72, 0.5),
            Part(melody, (29, 30, 27), 57, 81, 0.7),
            Part(chords, (16, 17, 18), 52, 76, 0.4),
            Part(riff, (29, 30), 45, 69, 0.4),
        ),
        ("rock", "drive", "half"),
        (_MINOR, _MIXOLYDIAN, _MAJOR),
    ),
    "metal": Style(
        (120, 200),
        (
            Part(bass, (34, 33), 28, 40),
            Part(power_chords, (30, 29), 38, 58),
            Part(power_chords, (30,), 38, 58, 0.6),
            Part(melody, (30, 29), 62, 88, 0.7),
            Part(pad, _CHOIRS + _STRING_SECTION, 48, 76, 0.4),
        ),
        ("double", "drive", "half"),
        (_MINOR,),
    ),
    "pop": Style(
        (75, 130),
        (
            Part(bass, (*_ELECTRIC_BASSES, 38, 39), 28, 47),
            Part(chords, (*_PIANOS, 4, 5), 50, 74, 0.8),
            Part(arpeggio, (25, 24, 27), 48, 74, 0.6),
            Part(pad, _STRING_SECTION + _PADS, 50, 76, 0.6),
            Part(melody, (0, 11, 65, 73, 81, 53), 62, 86, 0.8),
            Part(line, (48, 60, 52, 89), 55, 76, 0.4),
        ),
        ("rock", "ballad", "half", "floor"),
    ),
    "funk": Style(
        (90, 120),
        (
            Part(bass, (36, 37, 33, 38), 28, 47),
            Part(chords, (27, 28), 52, 76, 0.9),
            Part(chords, (7, 4, 5, 16, 17), 52, 76, 0.7),
            Part(stabs, (61, 62, 63, 56), 55, 79, 0.8),
            Part(melody, (65, 66, 64, 56, 57), 55, 79, 0.5),
            Part(pattern, (116, 113), 55, 72, 0.2),
        ),
        ("funk", "breaks"),
        (_DORIAN, _MIXOLYDIAN),
        sevenths=True,
    ),
    "soul": Style(
        (70, 125),
        (
            Part(bass, (33, 35, 34), 28, 47),
            Part(chords, (16, 17, 18), 50, 74, 0.8),
            Part(chords, (*_PIANOS, 4), 50, 74, 0.7),
            Part(stabs, (61, 56, 66), 55, 76, 0.6),
            Part(pad, _STRING_SECTION, 52, 80, 0.5),
            Part(melody, (65, 66, 53, 56), 55, 79, 0.7),
            Part(arpeggio, (27, 26), 50, 74, 0.5),
        ),
        ("rock", "floor", "ballad"),
        sevenths=True,
    ),
    "jazz combo": Style(
        (100, 220),
        (
            Part(bass, (32, 32, 35), 28, 48),
            Part(chords, (0, 0, 1, 4, 26), 50, 74, 0.9),
            Part(melody, (64, 65, 66, 56, 59, 71, 57), 50, 79),
            Part(melody, (11, 26, 0, 73, 12), 60, 84, 0.6),
        ),
        ("swing",),
        (_MAJOR, _DORIAN, _MIXOLYDIAN),
        sevenths=True,
        swing=True,
    ),
    "big band": Style(
        (110, 200),
        (
            Part(bass, (32,), 28, 48),
            Part(chords, (0, 26), 50, 74, 0.8),
            Part(stabs, (56, 61), 58, 80),
            Part(chords, (65, 66, 67), 50, 72, 0.8),
            Part(line, (57, 58), 43, 65, 0.7),
            Part(melody, (64, 66, 56, 71, 57), 53, 79, 0.8),
        ),
        ("swing",),
        (_MAJOR, _DORIAN),
        sevenths=True,
        swing=True,
    ),
    "latin": Style(
        (90, 140),
        (
            Part(bass, (32, 33, 35), 28, 47),
            Part(chords, (24, 0, 24), 50, 74),
            Part(melody, (73, 56, 65, 24, 71), 60, 84, 0.9),
            Part(stabs, (61, 56), 58, 79, 0.5),
            Part(pattern, (113, 115, 116, 114), 60, 76, 0.6),
            Part(arpeggio, (12, 11, 114), 60, 84, 0.3),
        ),
        ("bossa", "congas", "shaker"),
        (_MAJOR, _MINOR, _DORIAN),
        sevenths=True,
    ),
    "reggae": Style(
        (65, 95),
        (
            Part(bass, (33, 34, 38), 28, 45),
            Part(chords, (27, 28), 52, 76),
            Part(chords, (16, 17, 0), 52, 76, 0.8),
            Part(melody, (56, 57, 66, 22), 55, 79, 0.6),
            Part(riff, (7, 114, 4), 50, 74, 0.4),
        ),
        ("reggae",),
    ),
    "country": Style(
        (80, 150),
        (
            Part(bass, (32, 33), 28, 47),
            Part(chords, (25, 25, 24), 48, 74),
            Part(arpeggio, (105, 25, 27), 55, 79, 0.7),
            Part(melody, (110, 22, 40, 26), 57, 84, 0.9),
            Part(chords, (0, 3), 50, 74, 0.4),
        ),
        ("train", "rock", "ballad"),
        (_MAJOR, _MIXOLYDIAN),
    ),
    "celtic": Style(
        (90, 140),
        (
            Part(pad, (109, 21, 49), 48, 72, 0.7),
            Part(melody, (109, 110, 73, 74, 72, 79), 62, 86),
            Part(melody, (110, 75, 40, 22), 57, 81, 0.6),
            Part(arpeggio, (46, 24, 25), 48, 76, 0.8),
            Part(pattern, (116, 117), 48, 60, 0.4),
            Part(bass, (32, 43), 28, 47, 0.4),
        ),
        (),
        (_MAJOR, _DORIAN, _MIXOLYDIAN),
        meter=3,
    ),
    "organ trio": Style(
        (80, 150),
        (
            Part(bass, (33, 35, 32), 28, 47, 0.7),
            Part(chords, (16, 17, 18), 50, 74),
            Part(melody, (16, 17, 18), 60, 84, 0.7),
            Part(melody, (26, 27), 55, 79, 0.8),
        ),
        ("swing", "rock", "funk"),
        (_MIXOLYDIAN, _DORIAN),
        sevenths=True,
    ),
    "orchestra": Style(
        (60, 140),
        (
            Part(pad, (48, 49), 48, 76),
            Part(melody, (48, 40, 49), 62, 88, 0.7),
            Part(bass, (43, 48, 42), 30, 50),
            Part(arpeggio, (45, 46, 48), 50, 76, 0.4),
            Part(line, (60, 60, 61), 48, 70, 0.8),
            Part(melody, (68, 71, 73, 72, 69), 62, 88, 0.8),
            Part(line, (70, 71, 68), 43, 69, 0.5),
            Part(stabs, (56, 57, 61), 52, 76, 0.5),
            Part(roll, (47,), 40, 55, 0.6),
            Part(hits, (14, 9, 46, 55), 60, 84, 0.2),
            Part(line, (58,), 30, 48, 0.3),
        ),
    ),
    "strings": Style(
        (55, 130),
        (
            Part(melody, (40,), 62, 91),
            Part(line, (40,), 57, 79, 0.8),
            Part(line, (41,), 50, 72, 0.8),
            Part(bass, (42, 43), 36, 57, 0.9),
            Part(arpeggio, (45, 44, 46), 50, 79, 0.3),
        ),
    ),
    "harp and soloist": Style(
        (55, 100),
        (
            Part(arpeggio, (46,), 43, 79),
            Part(melody, (73, 40, 42, 68, 60, 71, 53), 55, 82),
        ),
        meter=3,
    ),
    "winds": Style(
        (70, 140),
        (
            Part(melody, (73, 72, 74), 67, 93),
            Part(line, (68, 69), 60, 84, 0.9),
            Part(arpeggio, (71,), 52, 79, 0.8),
            Part(line, (60,), 48, 69, 0.7),
            Part(bass, (70,), 36, 58, 0.9),
        ),
    ),
    "saxophones": Style(
        (70, 150),
        (
            Part(melody, (64,), 60, 84),
            Part(line, (65,), 53, 77),
            Part(line, (66,), 48, 70),
            Part(bass, (67,), 36, 55),
        ),
        ("swing", "rock"),
        sevenths=True,
    ),
    "brass": Style(
        (80, 130),
        (
            Part(melody, (56,), 60, 82),
            Part(chords, (56, 60, 61), 55, 76, 0.8),
            Part(line, (57, 60), 45, 67),
            Part(bass, (58, 57), 29, 50),
            Part(melody, (71, 72, 73), 65, 89, 0.4),
            Part(roll, (47,), 40, 55, 0.3),
        ),
        ("march",),
        (_MAJOR, _MINOR),
    ),
    "piano": Style(
        (55, 140),
        (
            Part(melody, _PIANOS, 62, 88),
            Part(arpeggio, _PIANOS, 38, 64, 0.8),
            Part(chords, _PIANOS, 45, 67, 0.5),
        ),
        meter=3,
    ),
    "piano and soloist": Style(
        (55, 140),
        (
            Part(arpeggio, _PIANOS, 40, 72, 0.7),
            Part(chords, _PIANOS, 43, 69, 0.7),
            Part(melody, (40, 42, 73, 71, 68, 56, 60, 65, 66, 74, 41, 70), 55, 84),
        ),
    ),
    "guitar": Style(
        (60, 130),
        (
            Part(arpeggio, (24, 25), 43, 72),
            Part(melody, (24, 25), 60, 81, 0.7),
            Part(chords, (24, 25), 45, 69, 0.3),
            Part(melody, (73, 40, 22, 75), 60, 84, 0.3),
        ),
    ),
    "church": Style(
        (50, 90),
        (
            Part(pad, (19,), 43, 76),
            Part(melody, (19, 20), 60, 84, 0.7),
            Part(bass, (19,), 31, 50, 0.7),
            Part(pad, (52, 53), 50, 76, 0.6),
            Part(hits, (14,), 48, 67, 0.3),
            Part(melody, (56,), 60, 82, 0.2),
        ),
    ),
    "choir": Style(
        (50, 100),
        (
            Part(pad, _CHOIRS, 48, 76),
            Part(melody, (53, 54, 52), 60, 82, 0.7),
            Part(pad, (19, 48, 95, 91), 43, 72, 0.5),
            Part(roll, (47,), 40, 55, 0.3),
        ),
    ),
    "house": Style(
        (118, 135),
        (
            Part(bass, (38, 39), 28, 47),
            Part(stabs, (0, 16, 63, 62, 90), 52, 79, 0.8),
            Part(pad, (*_PADS, 50, 51), 50, 76, 0.7),
            Part(arpeggio, _LEADS, 57, 86, 0.7),
            Part(riff, (*_LEADS, 62, 63), 52, 79, 0.6),
            Part(pad, _SYNTH_EFFECTS, 52, 76, 0.4),
        ),
        ("floor",),
        (_MINOR, _DORIAN),
    ),
    "synth-pop": Style(
        (95, 135),
        (
            Part(bass, (38, 39, 87), 28, 47),
            Part(arpeggio, (*_LEADS, 98, 96), 52, 81, 0.8),
            Part(pad, (*_PADS, 50, 51, 54), 50, 76, 0.8),
            Part(melody, _LEADS, 60, 86, 0.8),
            Part(stabs, (62, 63, 55), 55, 79, 0.4),
            Part(pattern, (118, 117, 119), 45, 69, 0.3),
        ),
        ("rock", "half", "floor"),
    ),
    "ambient": Style(
        (50, 90),
        (
            Part(pad, _PADS, 45, 76),
            Part(pad, _SYNTH_EFFECTS, 48, 79, 0.8),
            Part(melody, (98, 99, 88, 11, 14, 79, 78, 75), 60, 88, 0.7),
            Part(line, (89, 91, 52), 43, 67, 0.5),
            Part(hits, tuple(range(120, 127)), 48, 72, 0.5),
            Part(arpeggio, (46, 8, 10, 4, 100), 55, 84, 0.4),
        ),
    ),
    "game": Style(
        (110, 180),
        (
            Part(melody, (80, 81, 82), 62, 91),
            Part(arpeggio, (80, 81, 84), 52, 81),
            Part(bass, (38, 39, 80), 31, 52),
            Part(line, (80, 83), 55, 76, 0.4),
        ),
        ("rock", "drive"),
    ),
    "hip-hop": Style(
        (65, 100),
        (
            Part(bass, (38, 39, 33), 26, 43),
            Part(riff, (0, 4, 5, 11, 46, 24, 108), 50, 79),
            Part(pad, _STRING_SECTION + _PADS, 50, 76, 0.6),
            Part(stabs, (55, 61, 48), 55, 76, 0.3),
            Part(melody, (73, 81, 78, 40), 62, 86, 0.4),
            Part(hits, (118, 119, 126, 124), 48, 67, 0.3),
        ),
        ("trap", "breaks", "half"),
        (_MINOR, _DORIAN),
    ),
    "film": Style(
        (60, 120),
        (
            Part(pad, (48, 49, 44), 43, 76),
            Part(riff, (48, 45, 42), 43, 69, 0.8),
            Part(line, (60, 61, 57), 43, 67, 0.8),
            Part(pad, _CHOIRS, 52, 79, 0.5),
            Part(pattern, (116, 117, 47), 40, 55, 0.7),
            Part(melody, (73, 77, 60, 40, 53), 60, 84, 0.5),
            Part(arpeggio, (0, 46, 8), 55, 86, 0.4),
            Part(hits, (119, 122, 127, 55), 48, 67, 0.3),
        ),
        (),
        (_MINOR, _DORIAN),
    ),
    "mallets": Style(
        (80, 150),
        (
            Part(arpeggio, (12, 11, 108), 60, 88),
            Part(melody, (13, 9, 12, 11, 10), 67, 96, 0.8),
            Part(riff, (12, 114), 53, 77, 0.7),
            Part(bass, (12, 32), 36, 57, 0.5),
            Part(pattern, (115, 113, 112), 60, 79, 0.5),
        ),
        scales=(_MAJOR, _DORIAN),
    ),
    "percussion": Style(
        (85, 140),
        (
            Part(pattern, (116, 117), 43, 62),
            Part(pattern, (115, 113, 118), 55, 76, 0.8),
            Part(riff, (114, 112, 108, 12), 55, 81, 0.8),
            Part(melody, (77, 75, 111, 73), 60, 84, 0.4),
        ),
        ("congas", "shaker"),
    ),
    "sitar": Style(
        (60, 120),
        (
            Part(melody, (104,), 55, 79),
            Part(pad, (104, 109, 95), 43, 64, 0.6),
            Part(pattern, (116, 117), 48, 67, 0.8),
            Part(melody, (111, 73, 40, 77), 60, 84, 0.5),
        ),
        scales=(_MIXOLYDIAN, _DORIAN),
    ),
    "east asian": Style(
        (55, 110),
        (
            Part(melody, (107, 106), 57, 84),
            Part(melody, (77, 75, 111, 79), 62, 86, 0.8),
            Part(arpeggio, (107, 46, 15), 50, 79, 0.6),
            Part(hits, (14, 112, 116), 48, 72, 0.5),
            Part(pad, (48, 91), 48, 72, 0.3),
        ),
    ),
    "musette": Style(
        (100, 180),
        (
            Part(melody, (21, 23), 62, 86),
            Part(chords, (21, 24, 25), 50, 72, 0.9),
            Part(bass, (32,), 30, 48),
            Part(melody, (71, 40), 60, 84, 0.4),
        ),
        ("waltz",),
        meter=3,
    ),
    "baroque": Style(
        (65, 120),
        (
            Part(arpeggio, (6, 6, 7), 48, 76),
            Part(chords, (6, 19), 48, 72, 0.5),
            Part(melody, (40, 74, 68, 6, 56), 62, 86),
            Part(line, (40, 41, 74), 57, 79, 0.6),
            Part(bass, (42, 43, 70), 36, 55, 0.9),
        ),
    ),
    "music box": Style(
        (60, 110),
        (
            Part(melody, (10, 8, 9, 14), 67, 96),
            Part(arpeggio, (10, 8, 46, 11), 55, 84, 0.7),
            Part(pad, (48, 89, 54), 50, 74, 0.4),
        ),
        meter=3,
    ),
    "blues": Style(
        (65, 130),
        (
            Part(bass, (32, 33), 28, 47),
            Part(chords, (0, 3, 16), 50, 74, 0.8),
            Part(riff, (26, 27, 29), 45, 69, 0.7),
            Part(melody, (22, 27, 29, 66), 58, 82),
        ),
        ("swing", "rock"),
        (_MIXOLYDIAN,),
        sevenths=True,
        swing=True,
    ),
    "soundscape": Style(
        (50, 110),
        (
            Part(hits, tuple(range(120, 128)), 48, 72),
            Part(hits, tuple(range(120, 128)), 48, 72, 0.6),
            Part(pad, _SYNTH_EFFECTS, 45, 72, 0.6),
            Part(pattern, (115, 116, 118, 119), 45, 69, 0.4),
            Part(melody, (75, 77, 78, 76), 60, 84, 0.4),
        ),
    ),
}
"""Names of styles → who plays what in them.

Programs are those of General MIDI from 0 on; one that is named twice is the more usual.
"""
