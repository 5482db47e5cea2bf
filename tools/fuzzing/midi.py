"""MIDI files: the notes of mido's messages, and of FluidSynth's player."""

from __future__ import annotations

import collections
import ctypes
import ctypes.util
import io
import itertools
import math
import random
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import BinaryIO, ClassVar

import mido
from mido.midifiles import meta, midifiles

from fuzzing.cases import Case, Kind, damage
from tfrecords_builder.midi import MidiPart, read_parts

Activity = dict[tuple[bool, int, int], list[tuple[float, float]]]
"""(Whether it is a drum, program or -1, pitch) → times in seconds between which it sounds, in order and apart."""

MIDO_TOLERANCE, FLUIDSYNTH_TOLERANCE = 1e-4, 0.03
"""Seconds by which times may differ. FluidSynth's clock has steps of 1.5 ms, and drifts at changes of tempo."""

FLUIDSYNTH_SECONDS = 1200.0
"""Longest song that FluidSynth is asked to play."""


class Midi(Kind):
    """The files themselves, then damaged ones, of which every fourth has changes that mean nothing instead."""

    suffix = ".mid"
    sources = (".mid", ".midi")
    read: ClassVar[Callable[[Path], Sequence[MidiPart]]] = staticmethod(read_parts)

    def case(self, number: int) -> Case:
        """Return a file, a random one if there are none, and what is done to it."""
        if number < len(self.files):
            return Case(self.files[number].read_bytes())
        draw = self.draw(number)
        content = draw.choice(self.files).read_bytes() if self.files else random_song(draw)
        if number % 4:
            return Case(damage(content, draw))
        changed = content
        for index in sorted(draw.sample(range(len(HARMLESS)), draw.randint(1, 3))):
            changed = HARMLESS[index](changed, draw)
        return Case(changed, content)

    def judge(self, path: Path, case: Case) -> str:
        """Compare the notes with those of the first reader that can read the file."""
        parts = self.read(path)
        content = case.content if case.original is None else case.original
        # mido's times are exact, but it refuses more files. FluidSynth plays what it can.
        for read, tolerance in ((read_mido, MIDO_TOLERANCE), (read_fluidsynth, FLUIDSYNTH_TOLERANCE)):
            if (answer := read(content)) is None:
                continue
            theirs, last = answer
            has_programs = any(program >= 0 for _, program, _ in theirs)
            ours = activity(
                (part.is_drum, part.program if has_programs else -1, int(pitch), float(start), float(end))
                for part in parts
                for pitch, start, end in zip(part.pitches, part.starts, part.ends, strict=True)
            )
            found = difference(ours, theirs, last, tolerance)
            return "right" if found is None else f"wrong: {found}"
        return "unjudged"


CONTROLS = (7, 64, 120, 123)
"""Volume, pedal, all sound off, all notes off."""


def random_song(draw: random.Random) -> bytes:
    """Return a file in which notes of few pitches overlap, touch, last no tick or never end."""
    song = mido.MidiFile(type=1, ticks_per_beat=draw.choice([96, 480, 960]))
    for channel in (0, 3, 9):
        track = mido.MidiTrack()
        for _ in range(draw.randrange(60)):
            wait = draw.choice([0, 0, 1, 5, 200, 2000])
            note = {"channel": channel, "note": draw.choice([0, 60, 61, 127])}
            track.append(
                draw.choice(
                    [mido.Message("note_on", velocity=velocity, time=wait, **note) for velocity in (0, 90, 90)]
                    + [mido.Message("note_off", time=wait, **note)] * 2
                    + [mido.Message("program_change", channel=channel, program=draw.randrange(128), time=wait)]
                    + [mido.Message("control_change", channel=channel, control=draw.choice(CONTROLS), time=wait)]
                    + [mido.Message("sysex", data=(1, 2), time=wait)]
                    + [mido.MetaMessage("set_tempo", tempo=draw.randrange(200_000, 900_000), time=wait)]
                    + [mido.MetaMessage("text", text="x" * 130, time=wait)]
                )
            )
        song.tracks.append(track)
    stream = io.BytesIO()
    song.save(file=stream)
    return stream.getvalue()


def wrap(data: bytes, draw: random.Random) -> bytes:
    """Wrap a file as RIFF RMID, with a list before it."""
    chunks = b"RMIDLIST" + (4).to_bytes(4, "little") + b"INFOdata" + len(data).to_bytes(4, "little") + data
    return b"RIFF" + len(chunks).to_bytes(4, "little") + chunks


def insert_chunk(data: bytes, draw: random.Random) -> bytes:
    """Insert a chunk of an unknown kind before the first track."""
    place = data.index(b"MTrk")
    return data[:place] + b"XFIH" + (5).to_bytes(4, "big") + b"hello" + data[place:]


def unmark_end(data: bytes, draw: random.Random) -> bytes:
    """Leave out the length of a track, as a program does that writes to a pipe; or all the messages that end tracks."""
    if draw.random() < 0.5:
        return data.replace(b"\xff\x2f\0", b"\xff\5\0")
    place = draw.choice([index for index in range(len(data)) if data[index : index + 4] == b"MTrk"]) + 4
    return data[:place] + draw.choice([0, 2**32 - 1]).to_bytes(4, "big") + data[place + 4 :]


def lengthen_header(data: bytes, draw: random.Random) -> bytes:
    """Add bytes to the header."""
    place = data.index(b"MThd")
    return data[: place + 4] + (8).to_bytes(4, "big") + data[place + 8 : place + 14] + b"\0\0" + data[place + 14 :]


def add_padding(data: bytes, draw: random.Random) -> bytes:
    """Add zeros at the end."""
    return data + bytes(draw.randrange(1, 200))


def add_prefix(data: bytes, draw: random.Random) -> bytes:
    """Put a MacBinary header before the file."""
    return b"\0\x08song.mid".ljust(128, b"\0") + data


def add_key(data: bytes, draw: random.Random) -> bytes:
    """Set an impossible key and an impossible time signature at the beginning of the first track."""
    place = data.index(b"MTrk") + 4
    size = int.from_bytes(data[place : place + 4], "big") + 14
    added = b"\0\xff\x59\2\x0a\xff" + b"\0\xff\x58\4\0\xff\0\0"
    return data[:place] + size.to_bytes(4, "big") + added + data[place + 4 :]


HARMLESS = (add_key, insert_chunk, unmark_end, lengthen_header, add_padding, add_prefix, wrap)
"""Changes that leave the notes as they are, in an order in which they can be combined."""


def activity(notes: Iterable[tuple[bool, int, int, float, float]]) -> Activity:
    """Return when each pitch sounds."""
    found: Activity = collections.defaultdict(list)
    for is_drum, program, pitch, start, end in sorted(note for note in notes if note[3] < note[4]):
        times = found[is_drum, program, pitch]
        if times and start <= times[-1][1]:
            times[-1] = times[-1][0], max(times[-1][1], end)
        else:
            times.append((start, end))
    return found


def difference(one: Activity, other: Activity, last: float, tolerance: float) -> str | None:
    """Return where our reader, ``one``, and another differ for more than ``tolerance`` seconds before ``last``."""
    for key in sorted(one.keys() | other.keys()):
        # A note without an end ends with its track, which FluidSynth does not tell.
        until = min([last, *(start for start, end in other.get(key, []) if end == math.inf)])
        edges = sorted(
            (time, side, change)
            for side, times in enumerate((one.get(key, []), other.get(key, [])))
            for start, end in times
            for time, change in ((start, True), (end, False))
        )
        sounds = [False, False]
        for (time, side, change), (following, _, _) in itertools.pairwise([*edges, (math.inf, 0, False)]):
            sounds[side] = change
            if sounds[0] != sounds[1] and min(following, until) - time > tolerance:
                drum, program, pitch = key
                who = "ours" if sounds[0] else "theirs"
                note = f"{'drum' if drum else 'pitch'} {pitch} of program {program}"
                return f"{note}: only {who} from {time:.4f} to {following:.4f} s"
    return None


def read_mido(content: bytes) -> tuple[Activity, float] | None:
    """Return what mido's messages play, and infinity. Programs are told if no tracks share a channel.

    Returns:
        None if mido cannot read the file, or a track continues after its end.
    """

    def build(kind: int, data: Sequence[int], delta: int = 0) -> meta.MetaMessage:
        # mido fails on other messages that are damaged, and on damaged data of sysex.
        known = kind in (0x2F, 0x51)
        return meta_message(kind, data, delta) if known else meta.UnknownMetaMessage(kind, data, delta)

    def skip_sysex(stream: BinaryIO, delta: int, clip: bool = False) -> mido.Message:
        midifiles.read_bytes(stream, midifiles.read_variable_int(stream))
        return mido.Message("sysex", time=delta)

    meta_message, midifiles.build_meta_message = midifiles.build_meta_message, build
    sysex, midifiles.read_sysex = midifiles.read_sysex, skip_sysex
    try:
        song = mido.MidiFile(file=io.BytesIO(content))
    except Exception:  # mido fails in any way
        return None
    finally:
        midifiles.build_meta_message, midifiles.read_sysex = meta_message, sysex
    if song.type not in (0, 1) or song.ticks_per_beat <= 0:
        return None
    timed: list[tuple[int, int, mido.Message]] = []
    for number, track in enumerate(song.tracks):
        tick = 0
        for place, message in enumerate(track):
            tick += message.time
            timed.append((tick, number, message))
            if message.type == "end_of_track" and place + 1 < len(track):
                return None
        timed.append((tick, number, mido.MetaMessage("end_of_track")))
    timed.sort(key=lambda item: (item[0], item[2].type != "set_tempo"))
    if any(message.type == "set_tempo" and not message.tempo for _, _, message in timed):
        return None
    notes, open_notes, seconds, last, tempo = [], collections.defaultdict(list), 0.0, 0, 500_000
    playing = {
        (number, message.channel) for _, number, message in timed if message.type == "note_on" and message.velocity
    }
    has_programs = len({channel for _, channel in playing}) == len(playing)
    programs = [0 if has_programs else -1] * 16
    for tick, number, message in timed:
        seconds += (tick - last) * tempo / 1e6 / song.ticks_per_beat
        last = tick
        ended = []
        if message.type == "set_tempo":
            tempo = message.tempo
        elif message.type == "program_change" and has_programs:
            programs[message.channel] = message.program
        elif message.type == "note_on" and message.velocity:
            open_notes[number, message.channel, message.note].append((tick, seconds, programs[message.channel]))
        elif message.type in ("note_on", "note_off"):
            ended = [(number, message.channel, message.note)]
        elif message.type == "end_of_track":
            ended = [key for key in open_notes if key[0] == number]
        elif message.type == "control_change" and message.control in (120, *range(123, 128)):
            own = (number, message.channel) in playing
            ended = [key for key in open_notes if key[1] == message.channel and (key[0] == number or not own)]
        for key in ended:
            started = open_notes.pop(key, [])
            at_end = message.type == "end_of_track"  # a note that begins there lasts a tick
            tick_later = seconds + tempo / 1e6 / song.ticks_per_beat
            kept = [start for start in started if start[0] == tick]
            closed = [start for start in started if start[0] < tick]
            is_off = message.type in ("note_on", "note_off")
            for begun, start, program in closed:
                again = [] if is_off else [later for tick_of, later, _ in started if tick_of > begun]
                notes.append((key[1] == 9, program, key[2], start, min([*again, seconds])))
            notes += [(key[1] == 9, program, key[2], start, tick_later) for _, start, program in kept if at_end]
            if closed and kept and is_off:
                open_notes[key] = kept
    return activity(notes), math.inf


def read_fluidsynth(content: bytes) -> tuple[Activity, float] | None:
    """Return what FluidSynth's player plays, and when its last message comes.

    Returns:
        None if it is not installed, or refuses the file.
    """
    if (name := ctypes.util.find_library("fluidsynth")) is None:
        return None
    library = ctypes.CDLL(name)
    for function in ("new_fluid_settings", "new_fluid_synth", "new_fluid_player"):
        getattr(library, function).restype = ctypes.c_void_p
    callback_type = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)
    events: list[tuple[float, int, int, int, int]] = []
    blocks = 0

    def record(_: object, event: int) -> int:
        pointer = ctypes.c_void_p(event)
        kind, channel, first, second = (
            getattr(library, f"fluid_midi_event_get_{field}")(pointer)
            for field in ("type", "channel", "key", "velocity")
        )
        events.append((blocks * 64 / 44100, kind, channel, first, second))
        return 0

    callback = callback_type(record)
    library.fluid_set_log_function.argtypes = (ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)
    for level in range(5):
        library.fluid_set_log_function(level, None, None)
    settings = ctypes.c_void_p(library.new_fluid_settings())
    library.fluid_settings_setstr(settings, b"player.timing-source", b"sample")
    for setting in (b"synth.reverb.active", b"synth.chorus.active", b"synth.lock-memory"):
        library.fluid_settings_setint(settings, setting, 0)
    synth = ctypes.c_void_p(library.new_fluid_synth(settings))
    player = ctypes.c_void_p(library.new_fluid_player(synth))
    left, right = ((ctypes.c_float * 64)() for _ in range(2))
    try:
        library.fluid_player_set_playback_callback(player, callback, None)
        library.fluid_player_add_mem(player, content, ctypes.c_size_t(len(content)))
        library.fluid_player_play(player)
        while library.fluid_player_get_status(player) == 1:
            library.fluid_synth_write_float(synth, 64, left, 0, 1, right, 0, 1)
            blocks += 1
            if blocks * 64 / 44100 > FLUIDSYNTH_SECONDS:
                return None
    finally:
        library.delete_fluid_player(player)
        library.delete_fluid_synth(synth)
        library.delete_fluid_settings(settings)
    if not events:
        return None
    notes, started = [], {}
    for time, kind, channel, first, second in events:
        ended = []
        if kind == 0x90 and second:
            started.setdefault((channel, first), time)
        elif kind in (0x80, 0x90):
            ended = [(channel, first)]
        elif kind == 0xB0 and first in (120, *range(123, 128)):
            ended = [key for key in started if key[0] == channel]
        notes += [(key[0] == 9, -1, key[1], started.pop(key), time) for key in ended if key in started]
    notes += [(key[0] == 9, -1, key[1], start, math.inf) for key, start in started.items()]
    return activity(notes), events[-1][0]
