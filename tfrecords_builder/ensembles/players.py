"""Players of bass lines, chords, melodies and beats, each with a role and habits."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Callable, Iterable, Iterator, Sequence


@dataclasses.dataclass(frozen=True)
class Bar:
    """A bar, as all players know it.

    Attributes:
        number: Number within its section.
        beats: Beats in the bar.
        chord: Pitches, the root first and below 12.
        scale: Pitch classes.
        is_last: Whether it is the last bar of its section.
    """

    number: int
    beats: int
    chord: tuple[int, ...]
    scale: tuple[int, ...]
    is_last: bool


Note = tuple[float, float, int, int]
"""Start and length in beats of the bar, pitch, velocity."""

Player = Callable[[Bar, random.Random], Iterator[Note]]
"""Function that plays one bar."""

Role = Callable[[random.Random, int, int], Player]
"""Function that makes a player with habits of its own, for a range from one pitch to another."""


def _within(pitch: int, low: int, high: int) -> int:
    """Return the pitch, moved by octaves into the range."""
    while pitch < low:
        pitch += 12
    while pitch > high:
        pitch -= 12
    return max(pitch, low)


def _voicing(chord: Sequence[int], center: int) -> list[int]:
    """Return the pitches of a chord in close position around ``center``."""
    return sorted({_within(tone, center - 6, center + 5) for tone in chord})


def _grid(beats: int, step: float) -> list[float]:
    return [number * step for number in range(round(beats / step))]


def _center(rng: random.Random, low: int, high: int) -> int:
    """Draw the centre of chords that stay in a range."""
    return rng.randint(low + 6, max(high - 6, low + 6))


def _spans(starts: Iterable[float], beats: int) -> list[tuple[float, float]]:
    """Return start and end of notes that last until the next one or the end of the bar."""
    own = [start for start in starts if start < beats]
    return list(zip(own, [*own[1:], float(beats)], strict=True))


def bass(rng: random.Random, low: int, high: int) -> Player:
    """Make a bass of roots and fifths: held, in eighths, syncopated, or walking."""
    habit = rng.choice(("held", "halves", "quarters", "eighths", "syncopated", "walking", "octaves"))
    length = rng.choice((0.95, 0.8, 0.5))
    syncopated = sorted({0.0, *rng.sample(_grid(4, 0.5)[1:], rng.randint(2, 4))})

    def play(bar: Bar, rng: random.Random) -> Iterator[Note]:
        root = _within(bar.chord[0], low, high)
        fifth, octave = _within(bar.chord[2], low, high), _within(bar.chord[0], root, high)
        steps = {"held": float(bar.beats), "halves": 2.0, "eighths": 0.5, "octaves": 0.5}.get(habit, 1.0)
        starts = syncopated if habit == "syncopated" else _grid(bar.beats, steps)
        for place, (start, end) in enumerate(_spans(starts, bar.beats)):
            if habit == "walking" and place:
                pitch = _within(rng.choice((*bar.chord, *bar.scale)), low, high)
            elif habit == "octaves":
                pitch = octave if place % 2 else root
            else:
                pitch = root if place == 0 else rng.choice((root, root, fifth, octave))
            yield start, (end - start) * length, pitch, rng.randint(80, 110)

    return play


def chords(rng: random.Random, low: int, high: int) -> Player:
    """Make a player of chords in a rhythm that repeats in each bar."""
    center = _center(rng, low, high)
    starts: tuple[float, ...] = rng.choice(
        ((0.0,), (0.0, 2.0), (0.0, 1.5), (0.5, 1.5, 2.5, 3.5), (1.0, 3.0), (0.0, 1.0, 2.0, 3.0), (0.0, 1.5, 3.0))
    )
    if rng.random() < 0.25:
        starts = tuple(_grid(4, 0.5))
    if rng.random() < 0.2:
        starts = tuple(sorted(rng.sample(_grid(4, 0.25), rng.randint(4, 8))))
    length, strum = rng.choice((0.95, 0.7, 0.35)), rng.choice((0.0, 0.0, 0.02, 0.04))

    def play(bar: Bar, rng: random.Random) -> Iterator[Note]:
        for start, end in _spans(starts, bar.beats):
            velocity = rng.randint(65, 95)
            for place, pitch in enumerate(_voicing(bar.chord, center)):
                yield start + strum * place, (end - start) * length, pitch, velocity

    return play


def power_chords(rng: random.Random, low: int, high: int) -> Player:
    """Make a player of root, fifth and octave: palm-muted eighths or sixteenths, or let ring."""
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
    """Make a player of one chord per bar, sometimes with its lowest tone doubled an octave below."""
    center, overlap = _center(rng, low, high), rng.choice((1.0, 1.0, 0.9))
    doubled = rng.random() < 0.3

    def play(bar: Bar, rng: random.Random) -> Iterator[Note]:
        velocity = rng.randint(60, 90)
        pitches = _voicing(bar.chord, center)
        for pitch in [*pitches, pitches[0] - 12] if doubled and pitches[0] - 12 >= low else pitches:
            yield 0.0, bar.beats * overlap, pitch, velocity

    return play


def arpeggio(rng: random.Random, low: int, high: int) -> Player:
    """Make a player of broken chords."""
    step = rng.choice((0.5, 0.5, 0.25, 1 / 3))
    order, length = rng.choice(("up", "down", "both", "alberti")), rng.choice((1.0, 1.0, 2.0, 0.6))
    center = _center(rng, low, high)

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
    """Make a player of phrases in two rhythms, with chord tones on strong beats and rests."""
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
        tones = [tone for tone in range(low, high + 1) if tone % 12 in bar.scale]
        strong = {tone % 12 for tone in bar.chord}
        for start, end in _spans(own, bar.beats):
            wanted = pitch + rng.choice((-4, -2, -2, -1, 1, 2, 2, 4, 7, -5))
            near = sorted(tones, key=lambda tone: (abs(tone - wanted), tone))
            pitch = next((tone for tone in near[:5] if tone % 12 in strong), near[0]) if start % 2 == 0 else near[0]
            yield start, min((end - start) * length, 4.0), pitch, rng.randint(80, 115)

    return play


def line(rng: random.Random, low: int, high: int) -> Player:
    """Make a second voice of long notes, one or two per bar."""
    halves, pitch = rng.random() < 0.5, rng.randint(low, high)

    def play(bar: Bar, rng: random.Random) -> Iterator[Note]:
        nonlocal pitch
        step = bar.beats / 2 if halves else bar.beats
        for start in _grid(bar.beats, step):
            pitch = min((_within(tone, low, high) for tone in bar.chord), key=lambda tone: (abs(tone - pitch), tone))
            yield start, step * 0.97, pitch, rng.randint(70, 100)

    return play


def riff(rng: random.Random, low: int, high: int) -> Player:
    """Make a player of a one-bar figure over each chord."""
    starts = sorted(rng.sample(_grid(4, rng.choice((0.5, 0.25))), rng.randint(3, 6)))
    tones, length = [rng.randrange(5) for _ in starts], rng.choice((0.9, 0.5))

    def play(bar: Bar, rng: random.Random) -> Iterator[Note]:
        ladder = [*bar.chord, *(tone + 12 for tone in bar.chord)]
        root = _within(ladder[0], low, max(low + 11, high - 12))
        # A shorter bar omits the last tones.
        for (start, end), tone in zip(_spans(starts, bar.beats), tones, strict=False):
            yield start, (end - start) * length, root + ladder[tone] - ladder[0], rng.randint(80, 110)

    return play


def stabs(rng: random.Random, low: int, high: int) -> Player:
    """Make a player of occasional short chords."""
    center = _center(rng, low, high)
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
    """Make a player of a rhythm in which each stroke has its own pitch."""
    starts = sorted(rng.sample(_grid(4, rng.choice((0.5, 0.25))), rng.randint(2, 7)))
    pitches = [rng.choice(rng.sample(range(low, high + 1), 3)) for _ in starts]

    def play(bar: Bar, rng: random.Random) -> Iterator[Note]:
        for start, pitch in zip(starts, pitches, strict=True):
            if start < bar.beats:
                yield start, 0.4, pitch, rng.randint(75, 115)

    return play


def hits(rng: random.Random, low: int, high: int) -> Player:
    """Make a player of one ringing sound at the beginning of some bars."""
    every, pitch, length = rng.choice((1, 2, 4)), rng.randint(low, high), rng.choice((1.0, 2.0, 4.0))

    def play(bar: Bar, rng: random.Random) -> Iterator[Note]:
        if bar.number % every == 0:
            yield 0.0, min(length, bar.beats), pitch, rng.randint(80, 115)

    return play


def roll(rng: random.Random, low: int, high: int) -> Player:
    """Make a player like timpani: beats on root and fifth, and rolls at transitions."""
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

BEATS: dict[str, tuple[tuple[int, tuple[float, ...]], ...]] = {
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
"""Name of a beat → keys of the kit, and the beats of the bar on which each is struck."""


def drums(beat: str, rng: random.Random) -> Player:
    """Make a drummer of one beat, who omits some strokes and plays fills at the end of sections."""
    missing, loudness, ghost = rng.choice((0.0, 0.05, 0.15)), rng.randint(75, 105), rng.choice((0.0, 0.1))

    def play(bar: Bar, rng: random.Random) -> Iterator[Note]:
        fills = bar.is_last and rng.random() < 0.6
        for key, starts in BEATS[beat]:
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
