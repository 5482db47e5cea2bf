"""The reader of notes, on MIDI files written by hand, and against pretty_midi on real and random ones."""

import random
import warnings
from pathlib import Path

import mido
import numpy as np
import pretty_midi
import pytest

from mir_tf.errors import DataError
from tfrecords_builder.midi import read_parts
from tfrecords_builder.records.labels import active_frames, stem_notes
from tfrecords_builder.synthesis.midi_edits import read_song

END = b"\0\xff\x2f\0"
"""End of track."""


def chunk(content: bytes, name: bytes = b"MTrk", length: int | None = None) -> bytes:
    return name + (len(content) if length is None else length).to_bytes(4, "big") + content


def midi_file(*tracks: bytes, division: bytes = b"\1\xe0", kind: int = 1, count: int | None = None) -> bytes:
    """Return a file with 480 ticks per beat, each of 1/960 s; 0x60 ticks are 0.1 s."""
    header = kind.to_bytes(2, "big") + (len(tracks) if count is None else count).to_bytes(2, "big") + division
    return chunk(header, b"MThd") + b"".join(map(chunk, tracks))


def notes_of(folder: Path, content: bytes) -> list[tuple[int, float, float]]:
    """Return pitch, start and end of all notes by start. The renderer's song has the same."""
    (folder / "a.mid").write_bytes(content)
    found = [
        (int(pitch), round(float(start), 6), round(float(end), 6))
        for part in read_parts(folder / "a.mid")
        for pitch, start, end in zip(part.pitches, part.starts, part.ends, strict=True)
    ]
    song = read_song(folder / "a.mid")
    played = [(note.pitch, note.start, note.end) for part in song.instruments for note in part.notes]
    assert np.allclose(sorted(played), sorted(found), rtol=0, atol=1e-6) if found else not played
    return sorted(found, key=lambda note: (note[1], note[0]))


def programs_of(folder: Path, content: bytes) -> list[tuple[int, list[float]]]:
    """Return the program of each part, with the starts of its notes."""
    (folder / "a.mid").write_bytes(content)
    return [(part.program, np.round(part.starts, 6).tolist()) for part in read_parts(folder / "a.mid")]


ON, OFF = b"\x90\x40\x50", b"\x80\x40\0"
"""Pitch 64 on channel 1."""

NOTE = b"\0" + ON + b"\x60" + OFF + END
ONE = [(64, 0.0, 0.1)]


ENDS = {
    "note-off": (b"\0" + ON + b"\x60" + OFF, ONE),
    "note-on of velocity 0": (b"\0" + ON + b"\x60\x90\x40\0", ONE),
    "note-on of velocity 0 by running status": (b"\0" + ON + b"\x60\x40\0", ONE),
    "running status across a text": (b"\0" + ON + b"\0\xff\1\1x\x60\x40\0", ONE),
    "all notes off": (b"\0" + ON + b"\x60\xb0\x7b\0", ONE),
    "all sound off": (b"\0" + ON + b"\x60\xb0\x78\0", ONE),
    "mono mode": (b"\0" + ON + b"\x60\xb0\x7e\1", ONE),
    "all notes off of another channel": (b"\0" + ON + b"\x60\xb1\x7b\0\x60" + OFF, [(64, 0.0, 0.2)]),
    "reset of all controllers": (b"\0" + ON + b"\x60\xb0\x79\0\x60" + OFF, [(64, 0.0, 0.2)]),
    "pedal held": (b"\0\xb0\x40\x7f\0" + ON + b"\x60" + OFF + b"\x60\xb0\x40\0", ONE),
    "end of track": (b"\0" + ON + b"\x60\xff\1\0", ONE),
    "next note, then end of track": (b"\0" + ON + b"\x60" + ON + b"\x60\xff\1\0", [(64, 0.0, 0.1), (64, 0.1, 0.2)]),
    "next note, then all notes off": (b"\0" + ON + b"\x60" + ON + b"\x60\xb0\x7b\0", [(64, 0.0, 0.1), (64, 0.1, 0.2)]),
    "one note-off for two": (b"\0" + ON + b"\x60" + ON + b"\x60" + OFF, [(64, 0.0, 0.2), (64, 0.1, 0.2)]),
    "note-off and note-on at one tick": (
        b"\0" + ON + b"\x60" + OFF + b"\0" + ON + b"\x60" + OFF,
        [(64, 0.0, 0.1), (64, 0.1, 0.2)],
    ),
    "note-on and note-off at one tick": (
        b"\0" + ON + b"\x60" + ON + b"\0" + OFF + b"\x60" + OFF,
        [(64, 0.0, 0.1), (64, 0.1, 0.2)],
    ),
    "no time": (b"\0" + ON + b"\0" + OFF, []),
    "end of track at once": (b"\x60" + ON, [(64, 0.1, 0.101042)]),
    "program change": (b"\0" + ON + b"\x60\xc0\x10\x60" + OFF, [(64, 0.0, 0.2)]),
    "note-off of another pitch": (b"\0" + ON + b"\x60\x80\x41\0\x60" + OFF, [(64, 0.0, 0.2)]),
    "note-off of another channel": (b"\0" + ON + b"\x60\x81\x40\0\x60" + OFF, [(64, 0.0, 0.2)]),
    "clock messages between": (b"\0" + ON + b"\0\xf8\0\xfe\x60" + OFF, ONE),
    "an escape with a note": (b"\0" + ON + b"\0\xf7\3\x90\x41\x50\x60" + OFF, ONE),
}


@pytest.mark.parametrize("name", ENDS)
def test_a_note_ends(tmp_path: Path, name: str) -> None:
    track, expected = ENDS[name]
    assert notes_of(tmp_path, midi_file(track + END)) == expected
    assert notes_of(tmp_path, midi_file(track + END, kind=0)) == expected
    assert notes_of(tmp_path, midi_file(track)) == expected  # the end of the track is missing


def test_a_note_without_end_is_in_the_labels(tmp_path: Path) -> None:
    (tmp_path / "a.mid").write_bytes(midi_file(b"\x60" + ON + b"\x83\x60\xff\1\0" + END))
    assert np.flatnonzero(active_frames(stem_notes(tmp_path / "a.mid"), 10)).tolist() == [1, 2, 3, 4, 5]


def test_a_note_without_end_ends_with_its_own_track(tmp_path: Path) -> None:
    content = midi_file(b"\0" + ON + b"\x60\xff\1\0" + END, b"\x87\x40\xff\1\0" + END)
    assert notes_of(tmp_path, content) == ONE


def test_a_track_without_notes_silences_the_others(tmp_path: Path) -> None:
    track = b"\0" + ON + b"\x81\x40" + OFF + END
    assert notes_of(tmp_path, midi_file(track, b"\x60\xb0\x7b\0" + END)) == ONE
    assert notes_of(tmp_path, midi_file(track, b"\x60\xb1\x7b\0" + END)) == [(64, 0.0, 0.2)]
    other = b"\0\x90\x30\x50\x60\xb0\x7b\0" + END  # plays a part of its own
    assert notes_of(tmp_path, midi_file(track, other)) == [(48, 0.0, 0.1), (64, 0.0, 0.2)]


SLOW = b"\xff\x51\3\x0f\x42\x40"
"""Half the tempo: one second per beat."""

FAST = b"\xff\x51\3\x03\xd0\x90"
"""Twice the tempo."""

TEMPOS = {
    "before the notes": ([b"\0" + SLOW + NOTE], [(64, 0.0, 0.2)]),
    "after the note-on of its tick": ([b"\0" + ON + b"\0" + SLOW + b"\x60" + OFF + END], [(64, 0.0, 0.2)]),
    "amid a note": ([b"\0" + ON + b"\x60" + SLOW + b"\x60" + OFF + END], [(64, 0.0, 0.3)]),
    "after the notes": ([NOTE[: -len(END)] + b"\0" + SLOW + END], ONE),
    "first track": ([b"\0" + SLOW + END, NOTE], [(64, 0.0, 0.2)]),
    "second track": ([NOTE, b"\0" + SLOW + END], [(64, 0.0, 0.2)]),
    "third track, amid a note": ([b"\0" + ON + b"\x81\x40" + OFF + END, END, b"\x60" + SLOW + END], [(64, 0.0, 0.3)]),
    "two tracks": ([b"\0" + SLOW + NOTE, b"\x30" + FAST + END], [(64, 0.0, 0.125)]),
    "two in one tick, the last counts": ([b"\0" + SLOW + b"\0" + FAST + NOTE], [(64, 0.0, 0.05)]),
    "two tracks in one tick, the last counts": ([b"\0" + SLOW + END, b"\0" + FAST + NOTE], [(64, 0.0, 0.05)]),
    "running status across a tempo": ([b"\0" + ON + b"\x60" + SLOW + b"\x60\x40\0" + END], [(64, 0.0, 0.3)]),
}


@pytest.mark.parametrize("name", TEMPOS)
def test_a_tempo_counts_wherever_it_stands(tmp_path: Path, name: str) -> None:
    tracks, expected = TEMPOS[name]
    assert notes_of(tmp_path, midi_file(*tracks)) == expected
    if len(tracks) == 1:
        assert notes_of(tmp_path, midi_file(*tracks, kind=0)) == expected
        assert notes_of(tmp_path, midi_file(*tracks, kind=2)) == expected


PROGRAM = b"\xc0\x19"
TWO = b"\0" + ON + b"\x60" + OFF + b"\0" + ON + b"\x60" + OFF + END

PROGRAMS = {
    "none": ([NOTE], [(0, [0.0])]),
    "before the note": ([b"\0" + PROGRAM + NOTE], [(25, [0.0])]),
    "of another channel": ([b"\0\xc1\x19" + NOTE], [(0, [0.0])]),
    "after the note-on of its tick": ([b"\0" + ON + b"\0" + PROGRAM + b"\x60" + OFF + END], [(0, [0.0])]),
    "amid a note": ([b"\0" + ON + b"\x30" + PROGRAM + b"\x30" + OFF + NOTE], [(0, [0.0]), (25, [0.1])]),
    "first track": ([b"\0" + PROGRAM + END, NOTE], [(25, [0.0])]),
    "second track": ([NOTE, b"\0" + PROGRAM + END], [(25, [0.0])]),
    "second track, later": ([TWO, b"\x60" + PROGRAM + END], [(0, [0.0]), (25, [0.1])]),
    "a track that plays": ([b"\0" + PROGRAM + NOTE, NOTE], [(25, [0.0]), (25, [0.0])]),
    "own track before one that plays": ([b"\0" + PROGRAM + NOTE, b"\0\xc0\x20" + NOTE], [(25, [0.0]), (32, [0.0])]),
    "own track, while one that plays changes": (
        [b"\0" + PROGRAM + TWO, b"\x30\xc0\x20" + NOTE],
        [(25, [0.0, 0.1]), (32, [0.05])],
    ),
    "own track before an idle one": ([b"\0" + PROGRAM + NOTE, b"\0\xc0\x20" + END], [(25, [0.0])]),
    "an idle track later than the own": ([b"\0" + PROGRAM + TWO, b"\x60\xc0\x20" + END], [(25, [0.0]), (32, [0.1])]),
    "another port": ([b"\0\xff\x21\1\0" + NOTE, b"\0\xff\x21\1\1\0" + PROGRAM + END], [(0, [0.0])]),
    "before the port": ([b"\0" + PROGRAM + b"\0\xff\x21\1\1" + NOTE, NOTE], [(25, [0.0]), (0, [0.0])]),
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_program_counts_wherever_it_stands(tmp_path: Path, name: str) -> None:
    tracks, expected = PROGRAMS[name]
    assert programs_of(tmp_path, midi_file(*tracks)) == expected
    if len(tracks) == 1:
        assert programs_of(tmp_path, midi_file(*tracks, kind=0)) == expected


def test_what_the_renderer_plays(tmp_path: Path) -> None:
    """Velocities, controllers and bends of a channel, from an idle track too; drums and the name of the track."""
    played = b"\0\xff\3\4Band\0\x99\x24\x7f\0\xe9\0\x50\x60\x99\x24\0" + END
    (tmp_path / "a.mid").write_bytes(midi_file(played, b"\x30\xb9\7\x64" + END))
    (part,) = read_song(tmp_path / "a.mid").instruments
    assert (part.program, part.is_drum, part.name) == (0, True, "Band")
    assert [(note.velocity, note.pitch, note.start, note.end) for note in part.notes] == [(127, 36, 0.0, 0.1)]
    assert [(control.number, control.value, control.time) for control in part.control_changes] == [(7, 100, 0.05)]
    assert [(bend.pitch, bend.time) for bend in part.pitch_bends] == [(0x50 * 128 - 8192, 0.0)]


def riff(content: bytes, before: bytes = b"") -> bytes:
    inside = b"RMID" + before + b"data" + len(content).to_bytes(4, "little") + content
    return b"RIFF" + len(inside).to_bytes(4, "little") + inside


HEADER = midi_file(count=1)
ODD = {
    "RIFF": riff(midi_file(NOTE)),
    "RIFF with a list before and padding after": riff(midi_file(NOTE), b"LIST\4\0\0\0INFO") + b"\0",
    "RIFF with a SoundFont after": riff(midi_file(NOTE)) + b"RIFF\4\0\0\0DLS ",
    "MacBinary": b"\0\5a.mid".ljust(128, b"\0") + midi_file(NOTE),
    "padding": midi_file(NOTE) + bytes(100),
    "trailing bytes": midi_file(NOTE) + b"TAG and more",
    "padding inside a track": midi_file(NOTE + bytes(20)),
    "padding between tracks": HEADER.replace(b"\0\1\1\xe0", b"\0\2\1\xe0") + chunk(NOTE) + b"\0" + chunk(END),
    "two ends": midi_file(NOTE + END),
    "no end, and padding": midi_file(NOTE[: -len(END)]) + bytes(3),
    "no end, and an unknown chunk": midi_file(NOTE[: -len(END)]) + chunk(b"hello", b"XFIH"),
    "a long header": chunk(HEADER[8:] + b"ab", b"MThd") + chunk(NOTE),
    "an unknown chunk before": HEADER + chunk(b"hello", b"XFIH") + chunk(NOTE),
    "an unknown chunk after": midi_file(NOTE) + chunk(b"hello", b"XFIH"),
    "length 0, as written to a pipe": HEADER + chunk(NOTE, length=0),
    "length -1, as written to a pipe": HEADER + chunk(NOTE, length=2**32 - 1),
    "length 2^31 - 1, as written to a pipe": HEADER + chunk(NOTE, length=2**31 - 1),
    "length -1 of the first track": midi_file(count=2) + chunk(NOTE, length=2**32 - 1) + chunk(END),
    "two tracks in format 0": midi_file(NOTE, END, kind=0),
    "one track in format 2": midi_file(NOTE, kind=2),
    "a key of mode 255": midi_file(b"\0\xff\x59\2\0\xff" + NOTE),
    "a key of 10 sharps": midi_file(b"\0\xff\x59\2\x0a\5" + NOTE),
    "a key of no bytes": midi_file(b"\0\xff\x59\0" + NOTE),
    "a metre of 0/2^255": midi_file(b"\0\xff\x58\4\0\xff\0\0" + NOTE),
    "a metre of one byte": midi_file(b"\0\xff\x58\1\4" + NOTE),
    "a bad SMPTE offset": midi_file(b"\0\xff\x54\5\xff\xff\xff\xff\xff" + NOTE),
    "an unknown meta message": midi_file(b"\0\xff\x7e\2\xff\xff" + NOTE),
    "a name that is not text": midi_file(b"\0\xff\3\2\xff\xfe" + NOTE),
    "a split sysex": midi_file(b"\0\xf0\2\1\2\0\xf7\2\3\xf7" + NOTE),
    "a sysex without end": midi_file(b"\0\xf0\2\1\2" + NOTE),
    "a padded number": midi_file(b"\x80\x80\x80\0" + NOTE[1:]),
    "25 frames of 40 ticks": midi_file(b"\0" + ON + b"\x64" + OFF + END, division=b"\xe7\x28"),
    "SMPTE time knows no tempo": midi_file(b"\0" + SLOW + b"\0" + ON + b"\x64" + OFF + END, division=b"\xe7\x28"),
    "24 frames of 100 ticks": midi_file(b"\0" + ON + b"\x81\x70" + OFF + END, division=b"\xe8\x64"),
    "30 frames of 80 ticks": midi_file(b"\0" + ON + b"\x81\x70" + OFF + END, division=b"\xe2\x50"),
}


@pytest.mark.parametrize("name", ODD)
def test_odd_files_are_read(tmp_path: Path, name: str) -> None:
    assert notes_of(tmp_path, ODD[name]) == ONE


def test_30_frames_with_drops_are_29_97(tmp_path: Path) -> None:
    content = midi_file(b"\0" + ON + b"\x81\x70" + OFF + END, division=b"\xe3\x50")
    assert notes_of(tmp_path, content) == [(64, 0.0, 0.1001)]


def test_many_ticks_are_no_damage(tmp_path: Path) -> None:
    """A fine resolution reaches ten million ticks within minutes."""
    content = midi_file(b"\0" + ON + b"\x84\xe2\xad\0" + OFF + END, division=b"\x7f\xff")
    assert notes_of(tmp_path, content) == [(64, 0.0, 152.592547)]


REFUSED = {
    "empty": (b"", "no MIDI header"),
    "another kind": (b"RIFF\x24\0\0\0WAVEfmt " + bytes(20), "no MIDI header"),
    "cut in the header": (midi_file(NOTE)[:12], "truncated"),
    "cut before a track": (midi_file(NOTE, count=2), "counts 2 tracks, but the file ends after 1"),
    "cut in a track's header": (midi_file(NOTE, count=2) + b"MTrk\0\0", "counts 2 tracks, but the file ends after 1"),
    "cut in a track": (midi_file(NOTE)[:-5], "truncated"),
    "cut at a message": (midi_file(NOTE)[: -len(END)], "truncated"),
    "cut in a text": (HEADER + chunk(b"\0\xff\x01\x20text", length=40), "truncated"),
    "a text beyond its track": (midi_file(b"\0\xff\x01\x20text"), "at byte 30, amid a message"),
    "cut in a RIFF": (riff(midi_file(NOTE))[:-5], "truncated"),
    "more tracks than counted": (midi_file(NOTE, NOTE, count=1), "more tracks than the 1"),
    "two songs in one file": (midi_file(NOTE) * 2, "more tracks than the 1"),
    "no track": (midi_file(NOTE).replace(b"MTrk", b"XTrk"), "counts 1 tracks, but the file ends after 0"),
    "a short header": (b"MThd\0\0\0\4\0\1\0\1" + chunk(NOTE), "4 bytes instead of 6"),
    "format 3": (midi_file(NOTE, kind=3), "format is 3 with 1 tracks"),
    "patterns": (midi_file(NOTE, NOTE, kind=2), "format is 2 with 2 tracks"),
    "no resolution": (midi_file(NOTE, division=b"\0\0"), "0 ticks per beat"),
    "60 frames": (midi_file(NOTE, division=b"\xc4\x28"), "40 ticks of 60 frames"),
    "frames without ticks": (midi_file(NOTE, division=b"\xe7\0"), "0 ticks of 25 frames"),
    "a tempo of 0": (midi_file(b"\0\xff\x51\3\0\0\0" + NOTE), "0 microseconds per beat at byte 22"),
    "a short tempo": (midi_file(b"\0\xff\x51\2\1\1" + NOTE), "a tempo of 2 bytes"),
    "notes after the end": (midi_file(NOTE + NOTE), "ends at byte 34, but at byte 46"),
    "a length too long": (HEADER + chunk(NOTE, length=len(NOTE) + 3), "ends at byte 34, but at byte 37"),
    "a length too short": (HEADER + chunk(NOTE, length=len(NOTE) - 2), "ends at byte 34, but at byte 32"),
    "a length too short by a message": (HEADER + chunk(NOTE, length=len(NOTE) - 4), "without an end at byte 30"),
    "no status": (midi_file(b"\0\x40\x50" + NOTE), "without a status at byte 22"),
    "running status after a sysex": (midi_file(b"\0" + ON + b"\0\xf0\1\xf7\x60\x40\0" + END), "a status at byte 30"),
    "a data byte": (midi_file(b"\0\x90\xc0\x50" + NOTE), "a data byte of 192 at byte 22"),
    "an undefined status": (midi_file(b"\0\xf4" + NOTE), "undefined status of 0xf4 at byte 22"),
    "a long number": (midi_file(b"\x80\x80\x80\x80\0" + NOTE), "more than four bytes at byte 22"),
    "a late note": (midi_file(b"\xff\xff\xff\x7f" + NOTE[1:]), "more than 86400 s"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_damage_is_named(tmp_path: Path, name: str) -> None:
    content, cause = REFUSED[name]
    path = tmp_path / "S00.mid"
    path.write_bytes(content)
    with pytest.raises(DataError, match=rf"S00\.mid: unreadable MIDI: .*{cause}.*Save it again"):
        read_parts(path)


@pytest.mark.parametrize("name", ["absent.mid", ""])
def test_what_is_no_file_is_named(tmp_path: Path, name: str) -> None:
    with pytest.raises(DataError, match="cannot be read"):
        read_parts(tmp_path / name)


def assert_as_pretty_midi(path: Path) -> int:
    """Compare all notes of a file, and return their number."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # tempo changes outside the first track
        expected = [part for part in pretty_midi.PrettyMIDI(str(path)).instruments if part.notes]
    parts = read_parts(path)
    assert [(part.program, part.is_drum) for part in parts] == [(part.program, part.is_drum) for part in expected]
    for part, other in zip(parts, expected, strict=True):
        assert part.pitches.tolist() == [note.pitch for note in other.notes]
        assert part.velocities.tolist() == [note.velocity for note in other.notes]
        np.testing.assert_allclose(part.starts, [note.start for note in other.notes], rtol=0, atol=1e-6)
        np.testing.assert_allclose(part.ends, [note.end for note in other.notes], rtol=0, atol=1e-6)
        assert (part.starts < part.ends).all()
    return sum(len(part.pitches) for part in parts)


@pytest.mark.slow
def test_standard_files_give_the_notes_of_pretty_midi(shared_folder: Path) -> None:
    files = sorted(shared_folder.joinpath("data", "midi", "openmsx").rglob("*.mid"))
    odd = {"no_work_song_redfarn.mid", "tttheme2.mid"}  # a program changes while notes sound
    assert sum(assert_as_pretty_midi(path) for path in files if path.name not in odd) > 50_000


@pytest.mark.parametrize("name", ["all_src.mid", "MIDI/S00.mid", "MIDI/S01.mid"])
def test_slakhs_files_give_the_notes_of_pretty_midi(shared_folder: Path, name: str) -> None:
    root = shared_folder / "data/slakh_fixture/mirdata/babyslakh_16k/Track00001"
    assert assert_as_pretty_midi(root / name) > 100


def random_track(draw: random.Random, events: int, with_tempo: bool) -> mido.MidiTrack:
    """Few pitches and short waits make notes of one pitch overlap, touch or last no tick. All of them end."""
    track = mido.MidiTrack()
    for channel in (0, 3, 9):
        track.append(mido.Message("program_change", channel=channel, program=draw.randrange(128)))
    for _ in range(events):
        wait, channel, note = draw.choice([0, 0, 1, 5, 200, 20000]), draw.choice([0, 3, 9]), draw.choice([0, 60, 61])
        channelled = {"channel": channel, "time": wait}
        message, attributes = draw.choice(
            [("note_on", {**channelled, "note": note, "velocity": velocity}) for velocity in (0, 90, 90, 90)]
            + [("note_off", {**channelled, "note": note})] * 3
            + [("control_change", channelled), ("pitchwheel", channelled), ("sysex", {"data": (1, 2), "time": wait})]
            + [("set_tempo", {"tempo": tempo, "time": wait}) for tempo in (300_000, 512_345) if with_tempo]
            + [("text", {"text": "x" * 200, "time": wait})]
        )
        kind = mido.MetaMessage if message in ("set_tempo", "text") else mido.Message
        track.append(kind(message, **attributes))
    for channel in (0, 3, 9):
        track.extend(mido.Message("note_off", channel=channel, note=note, time=5) for note in (0, 60, 61))
    return track


@pytest.mark.parametrize("seed", range(30))
def test_random_files_give_the_notes_of_pretty_midi(tmp_path: Path, seed: int) -> None:
    """The file has overlaps, running status and tempo changes in the first track."""
    draw = random.Random(seed)
    file = mido.MidiFile(type=1, ticks_per_beat=draw.choice([96, 480, 960]))
    file.tracks.extend(random_track(draw, 150, number == 0) for number in range(3))
    file.save(tmp_path / "odd.mid")
    assert assert_as_pretty_midi(tmp_path / "odd.mid") > 20
