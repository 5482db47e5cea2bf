"""A reader of the notes in a MIDI file, for labels and for the identification of songs.

The notes are those of pretty_midi, to the microsecond, in an eighth of its time, because pretty_midi makes an object of
every event. As in pretty_midi, with which Slakh's MIDI was written, a note has the program in force at its note-off.
"""

from __future__ import annotations

import dataclasses
import struct
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mir_tf.errors import DataError

_DRUM_CHANNEL = 9

_MAX_TICK = 10_000_000
"""Last tick of an undamaged file, as in pretty_midi: nearly three hours at 120 beats of 480 ticks."""

_DEFAULT_TEMPO = 500_000
"""Microseconds per beat if a file sets no tempo."""

# Bytes after the status byte of channel messages, by its upper four bits.
_LENGTHS = {0x8: 2, 0x9: 2, 0xA: 2, 0xB: 2, 0xC: 1, 0xD: 1, 0xE: 2}


@dataclasses.dataclass(frozen=True)
class MidiPart:
    """The notes that one program plays on one channel of one track.

    Attributes:
        program: General MIDI program, 0 to 127; for drums the kit.
        is_drum: Whether it plays on channel 10.
        pitches: int64 [notes].
        starts: Note-on of each in seconds, float64 [notes], in the order of the note-offs.
        ends: Note-off of each in seconds, float64 [notes]; always after its start.
    """

    program: int
    is_drum: bool
    pitches: NDArray[np.int64]
    starts: NDArray[np.float64]
    ends: NDArray[np.float64]


def read_parts(path: Path) -> list[MidiPart]:
    """Read the notes of a MIDI file.

    As in pretty_midi, only the first track sets the tempo, and a note-off ends all notes of its pitch that began before
    its tick. A note that never ends, or ends at the tick of its beginning, is dropped.

    Args:
        path: The file.

    Returns:
        The parts with notes, in the order of their first note-off.

    Raises:
        DataError: The file cannot be read.
    """
    try:
        return _parts(path.read_bytes())
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from error
    except (struct.error, IndexError):
        raise DataError(f"{path}: unreadable MIDI: the file is truncated") from None
    except ValueError as error:
        raise DataError(f"{path}: unreadable MIDI: {error}") from error


Notes = dict[tuple[int, int], list[tuple[int, int, int]]]
"""(Program, channel) → pitch, first and last tick of each note."""


def _parts(data: bytes) -> list[MidiPart]:
    name, size, _, num_tracks, resolution = struct.unpack_from(">4sLhHh", data)
    if name != b"MThd":
        raise ValueError("it does not begin with MThd")
    if resolution <= 0:
        raise ValueError(f"its resolution is {resolution} ticks per beat; SMPTE times are not supported")
    position = 8 + size
    tempos: list[tuple[int, int]] = []
    tracks: list[Notes] = []
    for _ in range(num_tracks):
        name, size = struct.unpack_from(">4sL", data, position)
        if name != b"MTrk":
            raise ValueError(f"no track at byte {position}")
        position += 8
        notes, changes = _read_track(data[position : position + size], size)
        tracks.append(notes)
        if len(tracks) == 1:
            tempos = changes
        position += size

    # Ticks and seconds of the tempo changes [changes], and the seconds per tick from there on.
    first_tick = np.array([0] + [tick for tick, _ in tempos])
    tick_seconds = np.array([_DEFAULT_TEMPO] + [tempo for _, tempo in tempos]) * 1e-6 / resolution
    first_second = np.concatenate([[0.0], np.cumsum(np.diff(first_tick) * tick_seconds[:-1])])

    def seconds(ticks: NDArray[np.int64]) -> NDArray[np.float64]:
        index = np.searchsorted(first_tick, ticks, side="right") - 1
        result: NDArray[np.float64] = first_second[index] + (ticks - first_tick[index]) * tick_seconds[index]
        return result

    parts = []
    for notes in tracks:
        for (program, channel), own in notes.items():
            pitches, starts, ends = np.array(own, np.int64).T
            parts.append(MidiPart(program, channel == _DRUM_CHANNEL, pitches, seconds(starts), seconds(ends)))
    return parts


def _read_track(data: bytes, size: int) -> tuple[Notes, list[tuple[int, int]]]:
    """Return the notes of a track, and its tempo changes as tick and microseconds per beat."""
    notes: Notes = {}
    tempos: list[tuple[int, int]] = []
    sounding: dict[tuple[int, int], list[int]] = {}  # (channel, pitch) → ticks of note-on
    programs = [0] * 16
    position = tick = status = 0
    while position < size:
        delta = data[position]
        position += 1
        if delta >= 0x80:
            delta, position = _variable_length(data, position - 1)
        tick += delta
        if data[position] >= 0x80:
            event = data[position]
            position += 1
        else:
            event = status  # running status
        if event >= 0xF0:
            if event == 0xFF:
                is_tempo = data[position] == 0x51
                position += 1
            elif event in (0xF0, 0xF7):
                is_tempo = False
            else:
                raise ValueError(f"undefined status {event:#04x}")
            length, position = _variable_length(data, position)
            if is_tempo:
                if length != 3:
                    raise ValueError(f"a tempo of {length} bytes instead of 3")
                tempos.append((tick, int.from_bytes(data[position : position + 3], "big")))
            position += length
            continue
        if not event:
            raise ValueError("an event without a status")
        status = event
        kind, channel = event >> 4, event & 0x0F
        first = data[position]
        second = data[position + 1] if _LENGTHS[kind] == 2 else 0
        position += _LENGTHS[kind]
        if first > 0x7F or second > 0x7F:
            raise ValueError(f"a data byte of {max(first, second)}; the highest is 127")
        if kind == 0x9 and second:
            sounding.setdefault((channel, first), []).append(tick)
        elif kind in (0x8, 0x9):
            begun = sounding.pop((channel, first), [])
            ended = [start for start in begun if start != tick]
            if ended:
                own = notes.setdefault((programs[channel], channel), [])
                own.extend((first, start, tick) for start in ended)
                if len(ended) < len(begun):
                    sounding[channel, first] = [tick] * (len(begun) - len(ended))
        elif kind == 0xC:
            programs[channel] = first
    if position > len(data):
        raise IndexError
    if tick > _MAX_TICK:
        raise ValueError(f"it lasts {tick} ticks; more than {_MAX_TICK} count as damage")
    return notes, tempos


def _variable_length(data: bytes, position: int) -> tuple[int, int]:
    """Return a number stored in seven bits per byte, and the position after it."""
    value = 0
    while True:
        byte = data[position]
        position += 1
        value = value << 7 | byte & 0x7F
        if byte < 0x80:
            return value, position
