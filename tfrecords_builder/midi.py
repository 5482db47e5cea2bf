"""A reader of the notes in a MIDI file, for labels, renderings and the identification of songs.

It accepts what players accept, and refuses a file whose notes are doubtful. The notes of a file that keeps to the
standard are those of pretty_midi, to the microsecond, in a seventh of its time, because pretty_midi makes an object of
every event. docs/labels-and-metrics.md lists which files are read, and how a note ends.
"""

from __future__ import annotations

import bisect
import dataclasses
import functools
import itertools
import re
import struct
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mir_tf.errors import DataError

_DRUM_CHANNEL = 9

_MAX_SECONDS = 86400.0
"""Last second of an undamaged file. A damaged number puts notes much later."""

_SURPLUS = re.compile(rb"(?:\0|\xff\x2f\0)*")
"""Padding of a track: zeros, and further ends."""

_CHUNK = re.compile(rb"\0*(?:[A-Za-z]{4}|\Z)")
"""What follows a track: a chunk's name, or nothing."""

_DEFAULT_TEMPO = 500_000
"""Microseconds per beat if a file sets no tempo."""

_FRAME_RATES = {24: 24.0, 25: 25.0, 29: 30000 / 1001, 30: 30.0}
"""SMPTE frames per second by the number in the header, where 29 means 30 with dropped frames."""

_NOTE_OFF, _NOTE_ON, _CONTROL, _PROGRAM, _BEND = 0x8, 0x9, 0xB, 0xC, 0xE

_LENGTHS = {0x8: 2, 0x9: 2, 0xA: 2, 0xB: 2, 0xC: 1, 0xD: 1, 0xE: 2}
"""Bytes after the status byte of channel messages, by its upper four bits."""

_SYSTEM_LENGTHS = {0xF1: 1, 0xF2: 2, 0xF3: 1, 0xF6: 0, 0xF8: 0, 0xFA: 0, 0xFB: 0, 0xFC: 0, 0xFE: 0}
"""Bytes after the status byte of system messages, which do not belong into files."""

_UNKNOWN_LENGTHS = frozenset({0, 0x7FFFFFFF, 0xFFFFFFFF})
"""Lengths of tracks that programs state which write to a pipe."""

_SILENCING = frozenset({120, 123, 124, 125, 126, 127})
"""Controllers that end all notes of a channel: all sound off, all notes off, and the four that change its mode."""

_Event = tuple[int, int, int, int, int]
"""Tick, byte in the file, upper four bits of the status, and the two data bytes of a channel message."""

_Note = tuple[int, int, int, int, int]
"""Pitch, velocity, first and last tick, and the byte at which it ends."""


@dataclasses.dataclass(frozen=True)
class MidiPart:
    """The notes that one program plays on one channel of one track.

    Attributes:
        program: General MIDI program, 0 to 127; for drums the kit.
        is_drum: Whether it plays on channel 10.
        pitches: int64 [notes].
        velocities: int64 [notes], 1 to 127.
        starts: Start of each in seconds, float64 [notes], in the order in which they end.
        ends: End of each in seconds, float64 [notes]; always after its start.
        controls: Seconds, number and value of each controller of the channel.
        bends: Seconds and amount of each pitch bend of the channel, -8192 to 8191.
        name: Name of the track.
    """

    program: int
    is_drum: bool
    pitches: NDArray[np.int64]
    velocities: NDArray[np.int64]
    starts: NDArray[np.float64]
    ends: NDArray[np.float64]
    controls: list[tuple[float, int, int]]
    bends: list[tuple[float, int]]
    name: str


def read_parts(path: Path) -> list[MidiPart]:
    """Read the notes of a MIDI file.

    A note has the program in force at its start. Each track is a part of its own, even if it shares a channel with
    others. A track without notes on a channel controls all tracks that play on it.

    Args:
        path: The file.

    Returns:
        The parts with notes, track by track, in the order in which the first note of each ends.

    Raises:
        DataError: The file cannot be read.
    """
    try:
        if path.exists() and not path.is_file():  # a pipe would wait for ever
            raise DataError(f"{path}: cannot be read: it is not a file")
        return _parts(path.read_bytes())
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from error
    except (struct.error, IndexError):
        reason = "the file is truncated"
    except ValueError as error:
        reason = str(error)
    raise DataError(f"{path}: unreadable MIDI: {reason}. Save it again with a MIDI editor, or remove it")


@dataclasses.dataclass
class _Track:
    """A track's content.

    Attributes:
        channels: Port and channel → its messages.
        tempos: Tick and microseconds per beat of each tempo change.
        end: Last tick.
        name: Its name.
    """

    channels: dict[tuple[int, int], list[_Event]] = dataclasses.field(default_factory=dict)
    tempos: list[tuple[int, int]] = dataclasses.field(default_factory=list)
    end: int = 0
    name: str = ""

    @functools.cached_property
    def playing(self) -> list[tuple[int, int]]:
        """The channels with notes."""
        return [
            channel
            for channel, events in self.channels.items()
            if any(kind == _NOTE_ON and second for _, _, kind, _, second in events)
        ]


def _parts(data: bytes) -> list[MidiPart]:
    # Whatever precedes the header is a wrapper (RIFF, MacBinary) or refuse.
    if (header := data.find(b"MThd")) < 0:
        raise ValueError("it contains no MIDI header, MThd")
    size, form, num_tracks, division = struct.unpack_from(">LHHh", data, header + 4)
    if size < 6:
        raise ValueError(f"its header has {size} bytes instead of 6")
    if form > 2 or (form == 2 and num_tracks > 1):
        raise ValueError(f"its format is {form} with {num_tracks} tracks; a song has format 0 or 1")
    tracks = _read_tracks(data, header + 8 + size, num_tracks)
    seconds = _clock(division, [change for track in tracks for change in track.tempos])
    parts = []
    for track in tracks:
        found = []
        for channel in track.playing:
            events = _in_force(channel, track, tracks)
            moves = [event for event in events if event[2] in (_CONTROL, _BEND)]
            timed = list(zip(seconds(np.array([event[0] for event in moves], np.int64)).tolist(), moves, strict=True))
            controls = [(time, first, second) for time, (_, _, kind, first, second) in timed if kind == _CONTROL]
            bends = [
                (time, (second << 7 | first) - 8192) for time, (_, _, kind, first, second) in timed if kind == _BEND
            ]
            for program, notes in _notes(events, track.end).items():
                pitches, velocities, starts, ends, _ = np.array(notes, np.int64).T
                part = MidiPart(
                    program,
                    channel[1] == _DRUM_CHANNEL,
                    pitches,
                    velocities,
                    seconds(starts),
                    seconds(ends),
                    controls,
                    bends,
                    track.name,
                )
                found.append((notes[0][3:], part))
        parts += [part for _, part in sorted(found, key=lambda item: item[0])]
    if parts and (last := max(part.ends.max() for part in parts)) > _MAX_SECONDS:
        raise ValueError(f"it lasts {last:.0f} s; more than {_MAX_SECONDS:.0f} s count as damage")
    return parts


def _clock(division: int, tempos: Sequence[tuple[int, int]]) -> Callable[[NDArray[np.int64]], NDArray[np.float64]]:
    """Return a function from ticks to seconds.

    Args:
        division: Ticks per beat; or, if negative, SMPTE frames per second and ticks per frame, which no tempo changes.
        tempos: Tick and microseconds per beat of each change, in the order of tracks; the last of one tick counts.
    """
    if division < 0:
        frames, ticks = -(division >> 8), division & 0xFF
        if frames not in _FRAME_RATES or not ticks:
            raise ValueError(f"its time is counted in {ticks} ticks of {frames} frames per second")
        tempos, tick_seconds = (), np.array([1 / (_FRAME_RATES[frames] * ticks)])
    elif division:
        tempos = sorted(tempos, key=lambda change: change[0])
        tick_seconds = np.array([_DEFAULT_TEMPO] + [tempo for _, tempo in tempos]) * 1e-6 / division
    else:
        raise ValueError("its resolution is 0 ticks per beat")
    # Ticks and seconds of the tempo changes [changes]; tick_seconds are those from there on.
    first_tick = np.array([0] + [tick for tick, _ in tempos])
    first_second = np.concatenate([[0.0], np.cumsum(np.diff(first_tick) * tick_seconds[:-1])])

    def seconds(ticks: NDArray[np.int64]) -> NDArray[np.float64]:
        index = np.searchsorted(first_tick, ticks, side="right") - 1
        result: NDArray[np.float64] = first_second[index] + (ticks - first_tick[index]) * tick_seconds[index]
        return result

    return seconds


def _in_force(channel: tuple[int, int], track: _Track, tracks: Sequence[_Track]) -> list[_Event]:
    """Return a track's messages on a channel, with those of other tracks that apply to it.

    These are the messages of tracks without notes on the channel. If they and the track set no program, the programs
    that other tracks set also apply.
    """
    own = track.channels[channel]
    others = [other for other in tracks if other is not track and channel in other.channels]
    if not others:
        return own
    sources = {id(other): other.channels[channel] for other in others if channel not in other.playing}
    sources[id(track)] = own
    if not any(event[2] == _PROGRAM for events in sources.values() for event in events):
        for other in others:
            programs = [event for event in other.channels[channel] if event[2] == _PROGRAM]
            sources.setdefault(id(other), programs)
    if len(sources) == 1:
        return own
    own = sources.pop(id(track))
    # Of messages at one tick, the track's own come last and win.
    return sorted(itertools.chain(*sources.values(), own), key=lambda event: event[0])


def _notes(events: Sequence[_Event], end: int) -> dict[int, list[_Note]]:
    """Return the notes that the messages of a channel play, by program, in the order in which they end.

    Args:
        events: The messages.
        end: Tick at which notes without an end end; if they begin there, they last one tick.
    """
    notes: dict[int, list[_Note]] = {}
    sounding: dict[int, list[tuple[int, int, int]]] = {}  # pitch → tick, velocity and program
    program = 0

    def silence(tick: int, position: int, shortest: int = 0) -> None:
        """End all notes, each at the next start of its pitch if there was one. The youngest last ``shortest`` ticks."""
        for pitch, begun in sounding.items():
            starts = [*(start for start, _, _ in begun), tick]
            for start, velocity, own in begun:
                later = bisect.bisect_right(starts, start)
                stop = starts[later] if later < len(starts) else start + shortest
                if stop > start:
                    notes.setdefault(own, []).append((pitch, velocity, start, stop, position))
        sounding.clear()

    for tick, position, kind, first, second in events:
        if kind == _NOTE_ON and second:
            sounding.setdefault(first, []).append((tick, second, program))
        elif kind in (_NOTE_ON, _NOTE_OFF):
            if begun := sounding.pop(first, None):
                ended = [note for note in begun if note[0] != tick]
                for start, velocity, own in ended:
                    notes.setdefault(own, []).append((first, velocity, start, tick, position))
                if ended and len(ended) < len(begun):
                    sounding[first] = [note for note in begun if note[0] == tick]
        elif kind == _PROGRAM:
            program = first
        elif kind == _CONTROL and first in _SILENCING:
            silence(tick, position)
    silence(end, 2**62, shortest=1)
    return notes


def _read_tracks(data: bytes, position: int, num_tracks: int) -> list[_Track]:
    """Return the tracks after the header; chunks of other kinds are skipped."""
    tracks: list[_Track] = []
    while len(tracks) < num_tracks:
        while data[position : position + 1] == b"\0":  # padding
            position += 1
        name, size = data[position : position + 4], data[position + 4 : position + 8]
        if len(size) < 4:
            raise ValueError(f"its header counts {num_tracks} tracks, but the file ends after {len(tracks)}")
        position += 8
        length = int.from_bytes(size, "big")
        if name == b"MTrk":
            track = _Track()
            end = None if length in _UNKNOWN_LENGTHS else position + length
            position = _read_track(data, position, end, track)
            tracks.append(track)
        else:
            position += length
    if data.find(b"MTrk", position) >= 0:
        raise ValueError(f"it contains more tracks than the {num_tracks} that its header counts")
    return tracks


def _read_track(data: bytes, position: int, end: int | None, track: _Track) -> int:
    """Read a track.

    Args:
        data: The file.
        position: Where its messages begin.
        end: Where they end by its length; None if its length is unknown.
        track: Gets its content.

    Returns:
        Where the next chunk begins.
    """
    tick = status = kind = num_bytes = 0
    port = messages = None
    limit = len(data) + 1 if end is None else end
    while position < limit:
        start = position
        delta = data[position]
        position += 1
        if delta >= 0x80:
            delta, position = _variable_length(data, start)
        tick += delta
        event = data[position]
        if event >= 0x80:
            position += 1
        else:
            event = status  # running status
        if event >= 0xF0:
            if event in _SYSTEM_LENGTHS:
                position += _SYSTEM_LENGTHS[event]
                continue
            if event not in (0xF0, 0xF7, 0xFF):
                raise ValueError(f"an undefined status of {event:#04x} at byte {start}")
            meta = -1
            if event == 0xFF:
                meta = data[position]
                position += 1
            else:
                status, messages = 0, None  # running status goes on after meta messages only
            length, position = _variable_length(data, position)
            content = data[position : position + length]
            position += length
            if meta == 0x2F:
                track.end = tick
                if end is None or (position <= end <= len(data) and _SURPLUS.fullmatch(data, position, end)):
                    return end or position
                raise ValueError(f"a track that ends at byte {position}, but at byte {end} by its length")
            if meta == 0x51:
                if length != 3:
                    raise ValueError(f"a tempo of {length} bytes instead of 3 at byte {start}")
                if not (tempo := int.from_bytes(content, "big")):
                    raise ValueError(f"a tempo of 0 microseconds per beat at byte {start}")
                track.tempos.append((tick, tempo))
            elif meta == 0x21 and length == 1:
                if port is None:  # it also holds for the messages before it
                    track.channels = {(content[0], number): own for (_, number), own in track.channels.items()}
                port = content[0]
                messages = None
            elif meta == 0x03:
                track.name = content.decode("latin-1")
            continue
        if event != status or messages is None:
            if not event:
                raise ValueError(f"a message without a status at byte {start}")
            status = event
            kind = event >> 4
            num_bytes = _LENGTHS[kind]
            messages = track.channels.setdefault((port or 0, event & 0x0F), [])
        first = data[position]
        second = data[position + 1] if num_bytes == 2 else 0
        position += num_bytes
        if first > 0x7F or second > 0x7F:
            raise ValueError(f"a data byte of {max(first, second)} at byte {start}; the highest is 127")
        messages.append((tick, start, kind, first, second))
    if position > limit:
        raise ValueError(f"a track whose length puts its end at byte {end}, amid a message")
    if not _CHUNK.match(data, position):
        raise ValueError(f"a track without an end at byte {end}, where it ends by its length")
    track.end = tick
    return position


def _variable_length(data: bytes, position: int) -> tuple[int, int]:
    """Return a number stored in seven bits per byte, and the position after it."""
    value = 0
    for index in range(position, position + 4):
        byte = data[index]
        value = value << 7 | byte & 0x7F
        if byte < 0x80:
            return value, index + 1
    raise ValueError(f"a number of more than four bytes at byte {position}")
