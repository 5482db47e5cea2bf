"""Seeded songs of ensembles that play together: bands, orchestras, choirs, and instruments alone.

    python -m tfrecords_builder.ensembles --songs 400 --out SONGS
    python -m tfrecords_builder --midi SONGS --soundfont FluidR3_GM.sf2 --out DATA

Where few songs are at hand, a network learns these by heart: that what plays chords is a guitar. These songs have as
many arrangements as one likes. A song is in a style (:data:`STYLES`), which says who may play what: a part has a role,
such as bass or melody, and the programs that play it there. Harmony is a walk over the degrees of a scale; a player has
habits, which last for a section of the form and come back with it.

The songs of :mod:`tfrecords_builder.compose`, which the demo has, deal out the classes evenly instead, and care for no
style.
"""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import click
import pretty_midi

from mir_tf.files import whole

SECONDS = 100.0
"""Length of a song, about."""

_MAJOR = (0, 2, 4, 5, 7, 9, 11)
_MINOR = (0, 2, 3, 5, 7, 8, 10)
_DORIAN = (0, 2, 3, 5, 7, 9, 10)
_MIXOLYDIAN = (0, 2, 4, 5, 7, 9, 10)

_NEXT = {
    0: (3, 4, 5, 1, 3, 2),
    1: (4, 4, 6, 3),
    2: (5, 3, 5),
    3: (4, 0, 1, 4, 0),
    4: (0, 0, 5, 3),
    5: (3, 1, 4, 3),
    6: (0, 2, 5),
}
"""Degrees on which a chord may stand after one on another degree; repeated ones are the more usual."""

_FAMILY_SIZE = 8


@dataclasses.dataclass(frozen=True)
class Bar:
    """What the players share.

    Attributes:
        number: within its section.
        beats: in the bar.
        chord: pitch classes, the root first.
        scale: pitch classes.
        is_last: whether the section ends with it.
    """

    number: int
    beats: int
    chord: tuple[int, ...]
    scale: tuple[int, ...]
    is_last: bool


Note = tuple[float, float, int, int]
"""Start and length in beats of the bar, pitch, velocity."""

Player = Callable[[Bar, random.Random], Iterator[Note]]
"""Plays one bar."""

Role = Callable[[random.Random, int, int], Player]
"""Makes a player with habits of its own, for a range from one pitch to another."""


def _within(pitch: int, low: int, high: int) -> int:
    """The pitch, by octaves, in the range."""
    while pitch < low:
        pitch += 12
    while pitch > high:
        pitch -= 12
    return max(pitch, low)


def _voicing(chord: Sequence[int], center: int) -> list[int]:
    """The pitches of a chord that are nearest to ``center``, in close position."""
    return sorted({_within(tone, center - 6, center + 5) for tone in chord})


def _grid(beats: int, step: float) -> list[float]:
    return [number * step for number in range(round(beats / step))]


def bass(rng: random.Random, low: int, high: int) -> Player:
    """Roots and fifths: held, in eighths, syncopated, or walking."""
    habit = rng.choice(("held", "halves", "quarters", "eighths", "syncopated", "walking", "octaves"))
    length = rng.choice((0.95, 0.8, 0.5))
    syncopated = sorted({0.0, *rng.sample(_grid(4, 0.5)[1:], rng.randint(2, 4))})

    def play(bar: Bar, rng: random.Random) -> Iterator[Note]:
        root = _within(bar.chord[0], low, high)
        fifth, octave = _within(bar.chord[2], low, high), _within(bar.chord[0], root, high)
        steps = {"held": float(bar.beats), "halves": 2.0, "eighths": 0.5, "octaves": 0.5}.get(habit, 1.0)
        starts = (
            [start for start in syncopated if start < bar.beats] if habit == "syncopated" else _grid(bar.beats, steps)
        )
        ends = [*starts[1:], float(bar.beats)]
        for place, (start, end) in enumerate(zip(starts, ends, strict=True)):
            if habit == "walking" and place:
                pitch = _within(rng.choice((*bar.chord, *bar.scale)), low, high)
            elif habit == "octaves":
                pitch = octave if place % 2 else root
            else:
                pitch = root if place == 0 else rng.choice((root, root, fifth, octave))
            yield start, (end - start) * length, pitch, rng.randint(80, 110)

    return play


def chords(rng: random.Random, low: int, high: int) -> Player:
    """Chords in a rhythm that comes again in each bar."""
    center = rng.randint(low + 6, max(high - 6, low + 6))
    starts: tuple[float, ...] = rng.choice(
        ((0.0,), (0.0, 2.0), (0.0, 1.5), (0.5, 1.5, 2.5, 3.5), (1.0, 3.0), (0.0, 1.0, 2.0, 3.0), (0.0, 1.5, 3.0))
    )
    if rng.random() < 0.25:
        starts = tuple(_grid(4, 0.5))
    if rng.random() < 0.2:
        starts = tuple(sorted(rng.sample(_grid(4, 0.25), rng.randint(4, 8))))
    length, strum = rng.choice((0.95, 0.7, 0.35)), rng.choice((0.0, 0.0, 0.02, 0.04))

    def play(bar: Bar, rng: random.Random) -> Iterator[Note]:
        own = [start for start in starts if start < bar.beats]
        for start, end in zip(own, [*own[1:], float(bar.beats)], strict=True):
            velocity = rng.randint(65, 95)
            for place, pitch in enumerate(_voicing(bar.chord, center)):
                yield start + strum * place, (end - start) * length, pitch, velocity

    return play


def power_chords(rng: random.Random, low: int, high: int) -> Player:
    """Root, fifth and octave: palm-muted eighths or sixteenths, or let ring."""
    step = rng.choice((0.5, 0.5, 0.25, 2.0, 4.0))
    skipped = rng.choice((0.0, 0.2, 0.4))

    def play(bar: Bar, rng: random.Random) -> Iterator[Note]:
        root = _within(bar.chord[0], low, low + 11)
        for start in _grid(bar.beats, min(step, bar.beats)):
            if start and rng.random() < skipped:
                continue
            for interval in (0, 7, 12) if step >= 0.5 else (0, 7):
                yield start, step * 0.9, root + interval, rng.randint(85, 115)

    return play


def pad(rng: random.Random, low: int, high: int) -> Player:
    """A chord for a bar or two, four voices at most."""
    center, overlap = rng.randint(low + 6, max(high - 6, low + 6)), rng.choice((1.0, 1.0, 0.9))
    doubled = rng.random() < 0.3

    def play(bar: Bar, rng: random.Random) -> Iterator[Note]:
        velocity = rng.randint(60, 90)
        pitches = _voicing(bar.chord, center)
        for pitch in [*pitches, pitches[0] - 12] if doubled and pitches[0] - 12 >= low else pitches:
            yield 0.0, bar.beats * overlap, pitch, velocity

    return play


def arpeggio(rng: random.Random, low: int, high: int) -> Player:
    """Broken chords."""
    step = rng.choice((0.5, 0.5, 0.25, 1 / 3))
    order, length = rng.choice(("up", "down", "both", "alberti")), rng.choice((1.0, 1.0, 2.0, 0.6))
    center = rng.randint(low + 6, max(high - 6, low + 6))

    def play(bar: Bar, rng: random.Random) -> Iterator[Note]:
        tones = _voicing(bar.chord, center)
        tones.append(tones[0] + 12)
        if order == "down":
            tones.reverse()
        elif order == "both":
            tones += tones[-2:0:-1]
        elif order == "alberti":
            tones = [tones[0], tones[2], tones[1], tones[2]]
        for place, start in enumerate(_grid(bar.beats, step)):
            yield start, step * length, tones[place % len(tones)], rng.randint(65, 100)

    return play


def melody(rng: random.Random, low: int, high: int) -> Player:
    """Phrases of two rhythms, chord tones on strong beats, that pause to breathe."""
    busy = rng.choice((0.25, 0.5, 0.5, 1.0))
    rhythms = []
    for _ in range(2):
        starts, start = [], rng.choice((0.0, 0.0, 0.5, 1.0))
        while start < 4:
            starts.append(start)
            start += busy * rng.choice((1, 1, 2, 2, 3, 4))
        rhythms.append(starts)
    length, rest = rng.choice((1.0, 0.95, 0.85, 0.5)), rng.choice((0.05, 0.15, 0.3))
    pitch = rng.randint(low, high)

    def play(bar: Bar, rng: random.Random) -> Iterator[Note]:
        nonlocal pitch
        if rng.random() < rest:
            return
        own = [start for start in rhythms[bar.number % 2] if start < bar.beats]
        if bar.is_last and len(own) > 2:
            own = own[: len(own) // 2]
        tones = sorted(tone for tone in range(low, high + 1) if tone % 12 in {step % 12 for step in bar.scale})
        strong = {tone % 12 for tone in bar.chord}
        for start, end in zip(own, [*own[1:], float(bar.beats)], strict=True):
            wanted = pitch + rng.choice((-4, -2, -2, -1, 1, 2, 2, 4, 7, -5))
            near = sorted(tones, key=lambda tone: (abs(tone - wanted), tone))
            pitch = next((tone for tone in near[:5] if tone % 12 in strong), near[0]) if start % 2 == 0 else near[0]
            yield start, min((end - start) * length, 4.0), pitch, rng.randint(80, 115)

    return play


def line(rng: random.Random, low: int, high: int) -> Player:
    """Long notes of a second voice, one or two a bar."""
    halves, pitch = rng.random() < 0.5, rng.randint(low, high)

    def play(bar: Bar, rng: random.Random) -> Iterator[Note]:
        nonlocal pitch
        for start in _grid(bar.beats, bar.beats / 2 if halves else bar.beats):
            pitch = min((_within(tone, low, high) for tone in bar.chord), key=lambda tone: (abs(tone - pitch), tone))
            yield start, bar.beats / (2 if halves else 1) * 0.97, pitch, rng.randint(70, 100)

    return play


def riff(rng: random.Random, low: int, high: int) -> Player:
    """A figure of a bar over each chord."""
    starts = sorted(rng.sample(_grid(4, rng.choice((0.5, 0.25))), rng.randint(3, 6)))
    tones, length = [rng.randrange(5) for _ in starts], rng.choice((0.9, 0.5))

    def play(bar: Bar, rng: random.Random) -> Iterator[Note]:
        own = [(start, tone) for start, tone in zip(starts, tones, strict=True) if start < bar.beats]
        ladder = [*bar.chord, *(tone + 12 for tone in bar.chord)]
        root = _within(ladder[0], low, max(low + 11, high - 12))
        for (start, tone), end in zip(own, [*(start for start, _ in own[1:]), float(bar.beats)], strict=True):
            yield start, (end - start) * length, root + ladder[tone] - ladder[0], rng.randint(80, 110)

    return play


def stabs(rng: random.Random, low: int, high: int) -> Player:
    """Short chords now and then."""
    center = rng.randint(low + 6, max(high - 6, low + 6))
    starts = tuple(sorted(rng.sample(_grid(4, 0.5), rng.randint(1, 3))))
    every, length = rng.choice((1, 2, 2)), rng.choice((0.3, 0.5, 1.5))

    def play(bar: Bar, rng: random.Random) -> Iterator[Note]:
        if bar.number % every:
            return
        for start in (start for start in starts if start < bar.beats):
            velocity = rng.randint(90, 120)
            for pitch in _voicing(bar.chord, center):
                yield start, min(length, bar.beats - start), pitch, velocity

    return play


def pattern(rng: random.Random, low: int, high: int) -> Player:
    """A rhythm on one to three pitches."""
    starts = sorted(rng.sample(_grid(4, rng.choice((0.5, 0.25))), rng.randint(2, 7)))
    pitches = [rng.choice(rng.sample(range(low, high + 1), 3)) for _ in starts]

    def play(bar: Bar, rng: random.Random) -> Iterator[Note]:
        for start, pitch in zip(starts, pitches, strict=True):
            if start < bar.beats:
                yield start, 0.4, pitch, rng.randint(75, 115)

    return play


def hits(rng: random.Random, low: int, high: int) -> Player:
    """One sound at the beginning of some bars, left to ring."""
    every, pitch, length = rng.choice((1, 2, 4)), rng.randint(low, high), rng.choice((1.0, 2.0, 4.0))

    def play(bar: Bar, rng: random.Random) -> Iterator[Note]:
        if bar.number % every == 0:
            yield 0.0, min(length, bar.beats), pitch, rng.randint(80, 115)

    return play


def roll(rng: random.Random, low: int, high: int) -> Player:
    """Beats on root and fifth, and rolls that lead over: what timpani play."""
    rolls = rng.random() < 0.5

    def play(bar: Bar, rng: random.Random) -> Iterator[Note]:
        root, fifth = _within(bar.chord[0], low, high), _within(bar.chord[2], low, high)
        if bar.is_last or (rolls and rng.random() < 0.3):
            for start in _grid(bar.beats, 0.125):
                yield start, 0.12, root, 60 + int(50 * start / bar.beats)
        else:
            for start in _grid(bar.beats, 2.0 if bar.beats % 2 == 0 else 1.0):
                yield start, 0.9, rng.choice((root, fifth)), rng.randint(75, 105)

    return play


_KICK, _STICK, _SNARE, _CLOSED, _PEDAL, _OPEN, _CRASH, _RIDE, _TAMBOURINE = 36, 37, 38, 42, 44, 46, 49, 51, 54
_TOMS = (50, 48, 47, 45, 43, 41)

_BEATS: dict[str, tuple[tuple[int, tuple[float, ...]], ...]] = {
    "rock": ((_KICK, (0, 2)), (_SNARE, (1, 3)), (_CLOSED, (0, 0.5, 1, 1.5, 2, 2.5, 3, 3.5))),
    "drive": ((_KICK, (0, 0.5, 2, 2.5)), (_SNARE, (1, 3)), (_RIDE, (0, 0.5, 1, 1.5, 2, 2.5, 3, 3.5))),
    "double": ((_KICK, tuple(step / 4 for step in range(16))), (_SNARE, (1, 3)), (_CRASH, (0, 2))),
    "half": ((_KICK, (0, 1.5)), (_SNARE, (2,)), (_CLOSED, (0, 0.5, 1, 1.5, 2, 2.5, 3, 3.5))),
    "ballad": ((_KICK, (0, 2.5)), (_STICK, (1, 3)), (_CLOSED, (0, 0.5, 1, 1.5, 2, 2.5, 3, 3.5))),
    "floor": ((_KICK, (0, 1, 2, 3)), (_SNARE, (1, 3)), (_OPEN, (0.5, 1.5, 2.5, 3.5))),
    "breaks": ((_KICK, (0, 0.5, 2.5)), (_SNARE, (1, 2.25, 3)), (_CLOSED, tuple(step / 2 for step in range(8)))),
    "funk": ((_KICK, (0, 0.75, 2.5)), (_SNARE, (1, 1.75, 3)), (_CLOSED, tuple(step / 4 for step in range(16)))),
    "swing": ((_RIDE, (0, 1, 1.67, 2, 3, 3.67)), (_PEDAL, (1, 3)), (_KICK, (0, 2))),
    "bossa": ((_KICK, (0, 1.5, 2, 3.5)), (_STICK, (0, 1.5, 3)), (_CLOSED, tuple(step / 2 for step in range(8)))),
    "reggae": ((_KICK, (2,)), (_STICK, (2,)), (_CLOSED, (0.5, 1, 1.5, 2.5, 3, 3.5))),
    "march": ((_KICK, (0, 2)), (_SNARE, (0, 0.75, 1, 2, 2.5, 2.75, 3)), (_CRASH, (0,))),
    "train": ((_SNARE, tuple(step / 4 for step in range(16))), (_KICK, (0, 1, 2, 3))),
    "waltz": ((_KICK, (0,)), (_STICK, (1, 2)), (_CLOSED, (0, 1, 2))),
    "trap": ((_KICK, (0, 1.75, 2.5)), (_SNARE, (2,)), (_CLOSED, tuple(step / 4 for step in range(16)))),
    "shaker": ((70, tuple(step / 2 for step in range(8))), (_TAMBOURINE, (1, 3))),
    "congas": ((62, (0, 1.5, 2)), (63, (1, 3)), (64, (0.5, 2.5, 3.5)), (75, (0, 1.5, 3))),
}
"""Kits: of each beat, keys and where in the bar they are struck."""


def drums(beat: str, rng: random.Random) -> Player:
    """A drummer who knows one beat, leaves some of it out, and fills where a section ends."""
    missing, loudness, ghost = rng.choice((0.0, 0.05, 0.15)), rng.randint(75, 105), rng.choice((0.0, 0.1))

    def play(bar: Bar, rng: random.Random) -> Iterator[Note]:
        fills = bar.is_last and rng.random() < 0.6
        for key, starts in _BEATS[beat]:
            for start in starts:
                if start < bar.beats - (1 if fills else 0) and (start == 0 or rng.random() >= missing):
                    yield start, 0.2, key, min(127, loudness + rng.randint(-12, 12))
        if ghost and rng.random() < ghost:
            yield bar.beats - 0.25, 0.2, _SNARE, 50
        if fills:
            for step, key in enumerate(sorted(rng.choices(_TOMS, k=4), reverse=True)):
                yield bar.beats - 1 + step / 4, 0.2, key, loudness
        if bar.number == 0 and rng.random() < 0.6:
            yield 0.0, 1.0, _CRASH, loudness

    return play


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
        beats: keys of :data:`_BEATS`; none where there is no kit.
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

_OTHER_PROGRAM = 0.15
"""How often someone plays another program of the family than the style has."""

_DUET = 0.15
"""How often a song has but one or two parts, and no kit: instruments are heard alone as well."""


def compose_song(seed: int, index: int, seconds: float = SECONDS) -> pretty_midi.PrettyMIDI:
    """Composes one song.

    Args:
        seed: of the collection.
        index: of the song in it. Songs that follow one another are in all styles before a style comes again.
        seconds: its length, within some bars.

    Returns:
        The song; the same arguments give the same one.
    """
    rng = random.Random(f"{seed}:ensemble:{index}")
    deck, card = divmod(index, len(STYLES))
    style = STYLES[random.Random(f"{seed}:styles:{deck}").sample(sorted(STYLES), len(STYLES))[card]]
    tempo = rng.uniform(*style.tempi)
    key, scale = rng.randrange(12), rng.choice(style.scales)
    bars = max(8, round(seconds * tempo / 60 / style.meter))
    form = _form(bars, rng)
    harmony = {name: _progression(rng) for name in sorted(set(form))}
    parts = [part for part in style.parts if rng.random() < part.chance] or [rng.choice(style.parts)]
    kit = rng.choice(style.beats) if style.beats and rng.random() < 0.9 else None
    if rng.random() < _DUET:
        parts, kit = rng.sample(parts, min(len(parts), rng.choice((1, 1, 2)))), None

    song = pretty_midi.PrettyMIDI(initial_tempo=tempo)
    tracks = [pretty_midi.Instrument(_program(part, rng)) for part in parts]
    drummer = pretty_midi.Instrument(0, is_drum=True)
    active = {name: _active(len(parts), rng) for name in sorted(harmony)}
    drummed = {name: rng.random() < 0.85 for name in sorted(harmony)}
    habits = {
        name: ([part.role(rng, part.low, part.high) for part in parts], None if kit is None else drums(kit, rng))
        for name in sorted(harmony)
    }
    begin, size = 0, _SECTION
    for section, name in enumerate(form):
        players, kit_player = habits[name]
        # In the first section parts enter one after the other where there are several.
        late = rng.random() < 0.5 and section == 0
        for number in range(min(size, bars - begin)):
            root = harmony[name][number % len(harmony[name])]
            bar = Bar(
                number, style.meter, _chord(scale, key, root, style.sevenths), _shifted(scale, key), number == size - 1
            )
            for place, (track, player) in enumerate(zip(tracks, players, strict=True)):
                if active[name][place] and not (late and number < 2 * place):
                    _write(track, player(bar, rng), (begin + number) * style.meter, tempo, style.swing, rng)
            if kit_player is not None and drummed[name] and not (late and number < size // 2):
                _write(drummer, kit_player(bar, rng), (begin + number) * style.meter, tempo, style.swing, rng)
        begin += size
    song.instruments = [track for track in (*tracks, drummer) if track.notes]
    return song


_SECTION = 8
"""Bars of a section."""


def _form(bars: int, rng: random.Random) -> list[str]:
    """Names of the sections: some come again."""
    names = rng.choice(("ABAB", "AABA", "ABAC", "ABCB", "ABCA"))
    return [names[section % len(names)] for section in range(-(-bars // _SECTION))]


def _progression(rng: random.Random) -> list[int]:
    """Degrees of the roots of four or eight bars, or of one chord throughout."""
    if rng.random() < 0.1:
        return [0]
    degrees = [rng.choice((0, 0, 5))]
    while len(degrees) < rng.choice((4, 4, 8)):
        degrees.append(rng.choice(_NEXT[degrees[-1]]))
    return degrees


def _shifted(scale: Sequence[int], key: int) -> tuple[int, ...]:
    return tuple((step + key) % 12 for step in scale)


def _chord(scale: Sequence[int], key: int, root: int, seventh: bool) -> tuple[int, ...]:
    """Pitches of the chord on a degree, in thirds of the scale, the root below 12."""
    count = len(scale)
    steps = [root + third for third in (0, 2, 4, 6)[: 4 if seventh else 3]]
    pitches = [scale[step % count] + 12 * (step // count) + key for step in steps]
    return tuple(pitch - pitches[0] // 12 * 12 for pitch in pitches)


def _active(count: int, rng: random.Random) -> list[bool]:
    """Which of the parts play in a section: at least one."""
    density = rng.choice((0.5, 0.7, 0.9))
    active = [rng.random() < density for _ in range(count)]
    if not any(active):
        active[rng.randrange(count)] = True
    return active


def _program(part: Part, rng: random.Random) -> int:
    program = rng.choice(part.programs)
    if rng.random() < _OTHER_PROGRAM:
        program = program // _FAMILY_SIZE * _FAMILY_SIZE + rng.randrange(_FAMILY_SIZE)
    return program


def _write(
    track: pretty_midi.Instrument, notes: Iterator[Note], begin: int, tempo: float, swing: bool, rng: random.Random
) -> None:
    """Adds the notes of the bar that begins at beat ``begin``, a little out of time as people play."""
    for start, length, pitch, velocity in notes:
        onset = start + (1 / 6 if swing and start % 1 == 0.5 else 0.0)
        time = max((begin + onset) * 60 / tempo + rng.gauss(0, 0.006), 0.0)
        track.notes.append(pretty_midi.Note(velocity, pitch, time, time + max(length * 60 / tempo, 0.04)))


def compose_folder(out: Path, count: int, seed: int) -> list[Path]:
    """Writes ``count`` songs as MIDI files.

    Args:
        out: the folder; it is made where it is missing.
        count: songs.
        seed: of the collection.

    Returns:
        The files ``Ensemble00000.mid`` and so on.
    """
    out.mkdir(parents=True, exist_ok=True)
    paths = []
    for index in range(count):
        path = out / f"Ensemble{index:05d}.mid"
        with whole(path) as temporary:
            compose_song(seed, index).write(str(temporary))
        paths.append(path)
    return paths


@click.command()
@click.option("--songs", type=click.IntRange(min=1), required=True, metavar="N", help="How many.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Another gives other songs.")
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), required=True, metavar="SONGS", help="Folder.")
def main(songs: int, seed: int, out: Path) -> None:
    """Compose songs of ensembles in many styles, as MIDI files for --midi of python -m tfrecords_builder."""
    try:
        compose_folder(out, songs, seed)
    except OSError as error:
        raise click.ClickException(str(error)) from error
    click.echo(f"{songs} songs are in {out}. Next: python -m tfrecords_builder --midi {out} --soundfont SF2 --out DATA")


if __name__ == "__main__":
    main(prog_name="python -m tfrecords_builder.ensembles")
