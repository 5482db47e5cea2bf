"""Seeded songs of about 28 seconds for the demo: every class sounds, none sounds always.

A song has a key, a tempo, a progression of chords and three orchestrations, of verse, chorus and break, whose
parts enter, rest and leave. The families of their instruments come from an endless deck that deals each of
the sixteen once before any comes again, so that even a few songs give every class its share of the time.
"""

from __future__ import annotations

import collections
import dataclasses
import itertools
import random
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pretty_midi

from mir_tf.io.files import atomic_write

_MODES = ((0, 2, 4, 5, 7, 9, 11), (0, 2, 3, 5, 7, 8, 10))
"""Semitones of the degrees of the major and the minor scale."""

_PROGRESSIONS = ((0, 4, 5, 3), (0, 5, 3, 4), (5, 3, 0, 4), (0, 3, 4, 3), (0, 2, 3, 4), (0, 6, 5, 4))
"""Degrees on which the chords of four bars stand."""

_BEATS = 4
"""Beats in a bar."""

_FORM = (("intro", 1), ("verse", 2), ("chorus", 2), ("break", 1.5), ("chorus", 2), ("outro", 1))
"""Sections and their relative lengths."""

_ORCHESTRAS = {"verse": 2, "chorus": 3, "break": 2}
"""Parts in each orchestration. The intro is two parts of the verse, the outro two of the chorus."""

_DRUM_SECTIONS = ("", "chorus", "chorus outro", "verse chorus", "intro verse break", "verse break outro")
"""Where drums play, in songs that follow one another."""


@dataclasses.dataclass(frozen=True)
class _Bar:
    """One bar of a song, with what the parts need to know of it."""

    start: float
    chord: tuple[int, ...]
    scale: tuple[int, ...]


# A note: start and length in beats of the bar, pitch in semitones above the part's octave, velocity.
_Note = tuple[float, float, int, int]


def _bass(bar: _Bar, rng: random.Random) -> Iterator[_Note]:
    root, _, fifth = bar.chord
    rhythms = (((0, 1.5), (1.5, 1), (2.5, 1.5)), ((0, 1), (1, 1), (2, 1), (3, 1)), ((0, 3),))
    for start, length in rng.choice(rhythms):
        yield start, length, root if start == 0 else rng.choice((root, root, fifth)), rng.randint(85, 105)


def _chords(bar: _Bar, rng: random.Random) -> Iterator[_Note]:
    for start, length in rng.choice((((0, 2), (2, 2)), ((0, 1.5), (1.5, 2.5)), ((0.5, 0.5), (1.5, 0.5), (2.5, 1)))):
        velocity = rng.randint(70, 90)
        for pitch in bar.chord:
            yield start, length, pitch, velocity


def _pad(bar: _Bar, rng: random.Random) -> Iterator[_Note]:
    velocity = rng.randint(70, 90)
    for pitch in bar.chord:
        yield 0, _BEATS, pitch, velocity


def _arpeggio(bar: _Bar, rng: random.Random) -> Iterator[_Note]:
    tones = [*bar.chord, bar.chord[0] + 12]
    order = rng.choice(((0, 1, 2, 3), (3, 2, 1, 0), (0, 2, 1, 3), (0, 2, 3, 2)))
    for step in range(2 * _BEATS):
        yield step / 2, 0.5, tones[order[step % 4]], rng.randint(75, 100)


def _melody(bar: _Bar, rng: random.Random) -> Iterator[_Note]:
    start = 0.0
    degree = rng.randrange(len(bar.scale))
    while start < _BEATS:
        length = min(rng.choice((0.5, 0.5, 1, 1, 1.5, 2)), _BEATS - start)
        on_beat = start % 2 == 0
        pitch = rng.choice(bar.chord) if on_beat else bar.scale[degree]
        if on_beat or rng.random() < 0.85:
            yield start, length, pitch, rng.randint(85, 115)
        degree = max(0, min(len(bar.scale) - 1, degree + rng.choice((-2, -1, -1, 1, 1, 2))))
        start += length


def _pattern(bar: _Bar, rng: random.Random) -> Iterator[_Note]:
    for start in rng.choice(((0, 0.5, 1, 2, 2.5, 3), (0, 0.75, 1.5, 2, 2.75, 3.5), (0, 1, 1.5, 2, 3, 3.5))):
        yield start, 0.5, rng.choice(bar.chord), rng.randint(85, 115)


def _effect(bar: _Bar, rng: random.Random) -> Iterator[_Note]:
    yield 0, _BEATS, rng.choice((0, 2, 4)), rng.randint(85, 110)


_Role = Callable[[_Bar, random.Random], Iterator[_Note]]


@dataclasses.dataclass(frozen=True)
class _Family:
    program: int
    roles: tuple[_Role, ...]
    octave: int


# The sixteen families in the order of General MIDI: one program for each, so that an hour of songs is enough to learn
# them from, what it plays, and where.
_FAMILIES = (
    _Family(0, (_chords, _arpeggio, _melody), 60),
    _Family(9, (_arpeggio, _melody), 72),
    _Family(16, (_chords, _pad), 60),
    _Family(24, (_chords, _arpeggio), 48),
    _Family(32, (_bass,), 36),
    _Family(40, (_melody, _arpeggio), 60),
    _Family(48, (_pad,), 60),
    _Family(56, (_melody, _chords), 55),
    _Family(65, (_melody,), 60),
    _Family(73, (_melody,), 72),
    _Family(80, (_melody, _arpeggio), 60),
    _Family(89, (_pad,), 60),
    _Family(98, (_arpeggio, _pad), 60),
    _Family(104, (_arpeggio, _melody), 60),
    _Family(112, (_pattern,), 60),
    _Family(122, (_effect,), 60),
)

_BASS_DRUM, _SNARE, _CLOSED_HAT, _OPEN_HAT, _CRASH, _LOW_TOM, _HIGH_TOM = 36, 38, 42, 46, 49, 45, 50


def _drums(rng: random.Random) -> _Role:
    """A drummer with a beat of his own."""
    kicks = rng.choice(((0, 2), (0, 1.5, 2), (0, 2, 2.5), (0, 1, 2, 3)))
    hats = rng.choice((1.0, 0.5, 0.5))

    def play(bar: _Bar, rng: random.Random) -> Iterator[_Note]:
        for start in kicks:
            yield start, 0.25, _BASS_DRUM, rng.randint(95, 115)
        fill = rng.random() < 0.2
        for start in (1,) if fill else (1, 3):
            yield start, 0.25, _SNARE, rng.randint(90, 110)
        for step in range(round(_BEATS / hats)):
            key = _OPEN_HAT if rng.random() < 0.1 else _CLOSED_HAT
            yield step * hats, 0.25, key, rng.randint(60, 85)
        if fill:
            for step, key in enumerate((_SNARE, _HIGH_TOM, _HIGH_TOM, _LOW_TOM)):
                yield 3 + step / 4, 0.25, key, rng.randint(90, 110)
        if bar.chord[0] == bar.scale[0]:
            yield 0, 1, _CRASH, rng.randint(80, 100)

    return play


def compose_song(seed: int, index: int) -> pretty_midi.PrettyMIDI:
    """Composes one song, 24 to 32 seconds long.

    Args:
        seed: of the collection.
        index: of the song in it; songs with successive indices share out the families and the use of drums.

    Returns:
        The song; the same arguments give the same one.
    """
    rng = random.Random(f"{seed}:song:{index}")
    tempo = rng.randint(80, 140)
    beat = 60 / tempo
    sections = _sections(round(rng.uniform(25, 31) / (beat * _BEATS)))
    bars = _bars(sum(count for _, count in sections), rng)
    song = pretty_midi.PrettyMIDI(initial_tempo=tempo)

    cards = iter(_deal(seed, index))
    for name, count in _ORCHESTRAS.items():
        used: collections.Counter[_Role] = collections.Counter()
        for place in range(count):
            family = _FAMILIES[next(cards)]
            role = min(family.roles, key=lambda role: (used[role], rng.random()))
            used[role] += 1
            # The first two parts of the verse are the intro, the last two of the chorus the outro.
            playing = {name} | ({"intro"} if name == "verse" and place < 2 else set())
            playing |= {"outro"} if name == "chorus" and place >= count - 2 else set()
            instrument = pretty_midi.Instrument(family.program)
            instrument.notes = _notes(sections, bars, playing, role, family.octave, beat, rng)
            song.instruments.append(instrument)

    if drummed := set(_DRUM_SECTIONS[(index + seed) % len(_DRUM_SECTIONS)].split()):
        drums = pretty_midi.Instrument(0, is_drum=True)
        drums.notes = _notes(sections, bars, drummed, _drums(rng), 0, beat, rng)
        song.instruments.append(drums)
    return song


def _deal(seed: int, index: int) -> list[int]:
    """The families of song ``index``: its hand of an endless row of shuffled decks."""
    hand = sum(_ORCHESTRAS.values())
    dealt = []
    for position in range(index * hand, (index + 1) * hand):
        deck, card = divmod(position, len(_FAMILIES))
        dealt.append(random.Random(f"{seed}:deck:{deck}").sample(range(len(_FAMILIES)), len(_FAMILIES))[card])
    return dealt


def _sections(bars: int) -> list[tuple[str, int]]:
    """The form in whole bars."""
    ends = list(itertools.accumulate(length for _, length in _FORM))
    edges = [0] + [round(bars * end / ends[-1]) for end in ends]
    return [(name, last - first) for (name, _), first, last in zip(_FORM, edges[:-1], edges[1:], strict=True)]


def _bars(count: int, rng: random.Random) -> list[_Bar]:
    key, mode, progression = rng.randrange(-5, 7), rng.choice(_MODES), rng.choice(_PROGRESSIONS)
    scale = [key + step for step in mode]
    octaves = scale + [pitch + 12 for pitch in scale]
    return [
        _Bar(
            number * _BEATS,
            tuple(octaves[progression[number % 4] + step] for step in (0, 2, 4)),
            tuple(scale),
        )
        for number in range(count)
    ]


_ENTRIES: tuple[Callable[[int, int], bool], ...] = (
    lambda bar, bars: True,
    lambda bar, bars: bar >= bars // 2,
    lambda bar, bars: bar < (bars + 1) // 2,
    lambda bar, bars: bar % 2 == 0,
)
"""In which of the bars of a section a part plays."""


def _notes(
    sections: list[tuple[str, int]],
    bars: list[_Bar],
    playing: set[str],
    role: _Role,
    octave: int,
    beat: float,
    rng: random.Random,
) -> list[pretty_midi.Note]:
    """The notes of one part in the sections named ``playing``."""
    notes = []
    remaining = iter(bars)
    for name, count in sections:
        # An outro in which every part leaves early would cut the song short.
        entry = _ENTRIES[0] if name == "outro" else rng.choice(_ENTRIES)
        for number, bar in enumerate(itertools.islice(remaining, count)):
            if name in playing and entry(number, count):
                for start, length, pitch, velocity in role(bar, rng):
                    onset = (bar.start + start) * beat
                    end = onset + 0.95 * length * beat
                    notes.append(pretty_midi.Note(velocity, octave + pitch, onset, end))
    return notes


def compose_folder(out: Path, count: int, seed: int) -> list[Path]:
    """Writes ``count`` songs as MIDI files.

    Args:
        out: the folder; it is made where it is missing.
        count: songs.
        seed: of the collection.

    Returns:
        The files ``Song00000.mid`` and so on.
    """
    return write_songs(out, "Song", (compose_song(seed, index) for index in range(count)))


def write_songs(out: Path, name: str, songs: Iterable[pretty_midi.PrettyMIDI]) -> list[Path]:
    """Writes songs as the MIDI files ``name`` 00000 and so on of a folder, which is made where it is missing."""
    out.mkdir(parents=True, exist_ok=True)
    paths = []
    for index, song in enumerate(songs):
        path = out / f"{name}{index:05d}.mid"
        with atomic_write(path) as temporary:
            song.write(str(temporary))
        paths.append(path)
    return paths
