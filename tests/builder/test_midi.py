"""The fast reader of notes against pretty_midi, on real, odd and damaged files."""

import random
import warnings
from pathlib import Path

import mido
import numpy as np
import pretty_midi
import pytest

from mir_tf.errors import DataError
from tfrecords_builder.midi import read_parts


def assert_as_pretty_midi(path: Path) -> int:
    """Compare all notes of a file, and return their number."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # tempo changes outside the first track
        expected = [part for part in pretty_midi.PrettyMIDI(str(path)).instruments if part.notes]
    parts = read_parts(path)
    assert [(part.program, part.is_drum) for part in parts] == [(part.program, part.is_drum) for part in expected]
    for part, other in zip(parts, expected, strict=True):
        assert part.pitches.tolist() == [note.pitch for note in other.notes]
        np.testing.assert_allclose(part.starts, [note.start for note in other.notes], rtol=0, atol=1e-6)
        np.testing.assert_allclose(part.ends, [note.end for note in other.notes], rtol=0, atol=1e-6)
        assert (part.starts < part.ends).all()
    return sum(len(part.pitches) for part in parts)


@pytest.mark.slow
def test_all_files_give_the_notes_of_pretty_midi(shared_folder: Path) -> None:
    files = sorted(shared_folder.joinpath("data", "midi").rglob("*.mid"))
    assert len(files) == 252
    assert sum(map(assert_as_pretty_midi, files)) > 500_000


@pytest.mark.parametrize("name", ["all_src.mid", "MIDI/S00.mid", "MIDI/S01.mid"])
def test_slakhs_files_give_the_notes_of_pretty_midi(shared_folder: Path, name: str) -> None:
    root = shared_folder / "data/slakh_fixture/mirdata/babyslakh_16k/Track00001"
    assert assert_as_pretty_midi(root / name) > 100


def random_track(draw: random.Random, events: int) -> mido.MidiTrack:
    """Few pitches and short waits make notes of one pitch overlap, touch, last no tick or lack an end."""
    track = mido.MidiTrack()
    for _ in range(events):
        wait, channel, note = draw.choice([0, 0, 1, 5, 200, 20000]), draw.choice([0, 3, 9]), draw.choice([0, 60, 61])
        channelled = {"channel": channel, "time": wait}
        message, attributes = draw.choice(
            [("note_on", {**channelled, "note": note, "velocity": velocity}) for velocity in (0, 90, 90, 90)]
            + [("note_off", {**channelled, "note": note})] * 3
            + [("program_change", {**channelled, "program": program}) for program in (0, 127)]
            + [("control_change", channelled), ("pitchwheel", channelled), ("sysex", {"data": (1, 2), "time": wait})]
            + [("set_tempo", {"tempo": tempo, "time": wait}) for tempo in (300_000, 512_345)]
            + [("text", {"text": "x" * 200, "time": wait})]
        )
        kind = mido.MetaMessage if message in ("set_tempo", "text") else mido.Message
        track.append(kind(message, **attributes))
    return track


@pytest.mark.parametrize("seed", range(30))
def test_odd_files_give_the_notes_of_pretty_midi(tmp_path: Path, seed: int) -> None:
    """The file has overlaps, running status, program changes within notes and tempo changes in any track."""
    draw = random.Random(seed)
    file = mido.MidiFile(type=1, ticks_per_beat=draw.choice([96, 480, 960]))
    file.tracks.extend(random_track(draw, 150) for _ in range(3))
    file.save(tmp_path / "odd.mid")
    assert assert_as_pretty_midi(tmp_path / "odd.mid") > 20


def midi_file(*tracks: bytes, resolution: bytes = b"\1\xe0") -> bytes:
    """Return a file with 480 ticks per beat, each of 1/960 s."""
    header = b"MThd\0\0\0\6\0\1" + len(tracks).to_bytes(2, "big") + resolution
    return header + b"".join(b"MTrk" + len(track).to_bytes(4, "big") + track for track in tracks)


NOTE = b"\0\x90\x40\x50\x60\x40\0"
"""Note-on, and note-off by running status after 96 ticks."""


def test_a_note_by_hand(tmp_path: Path) -> None:
    (tmp_path / "a.mid").write_bytes(midi_file(NOTE))
    (part,) = read_parts(tmp_path / "a.mid")
    assert (part.program, part.is_drum, part.pitches.tolist()) == (0, False, [64])
    assert (part.starts.tolist(), part.ends.tolist()) == ([0.0], [0.1])


def test_notes_of_no_length_and_without_end_are_none(tmp_path: Path) -> None:
    (tmp_path / "a.mid").write_bytes(midi_file(b"\0\x90\x40\x50\0\x40\0\0\x41\x50", b""))
    assert read_parts(tmp_path / "a.mid") == []


@pytest.mark.parametrize(
    ("content", "cause"),
    [
        (b"", "the file is truncated"),
        (b"MThd\0\0\0\6\0\1\0\2\1\xe0MTrk\0\0", "the file is truncated"),
        (midi_file(NOTE)[:-1], "the file is truncated"),
        (midi_file(NOTE[:-1]), "the file is truncated"),
        (midi_file(b"\0\xff\x01\x20text"), "the file is truncated"),
        (midi_file(NOTE).replace(b"\0\1\0\1", b"\0\1\0\2"), "the file is truncated"),
        (midi_file(NOTE) + b"RIFF", None),
        (b"RIFF" + bytes(20), "does not begin with MThd"),
        (midi_file(NOTE).replace(b"MTrk", b"XTrk"), "no track at byte 14"),
        (midi_file(NOTE, resolution=b"\xe7\x28"), "-6360 ticks per beat"),
        (midi_file(NOTE, resolution=b"\0\0"), "0 ticks per beat"),
        (midi_file(b"\0\x40\x50"), "without a status"),
        (midi_file(b"\0\x90\xc0\x50"), "a data byte of 192"),
        (midi_file(b"\0\xf8"), "undefined status 0xf8"),
        (midi_file(b"\0\xff\x51\x02\1\1"), "a tempo of 2 bytes"),
        (midi_file(b"\xff\xff\xff\x7f\x90\x40\x50"), "more than 10000000"),
    ],
)
def test_damage_is_named(tmp_path: Path, content: bytes, cause: str | None) -> None:
    path = tmp_path / "S00.mid"
    path.write_bytes(content)
    if cause is None:
        assert len(read_parts(path)) == 1
    else:
        with pytest.raises(DataError, match=rf"S00\.mid: .*{cause}"):
            read_parts(path)


@pytest.mark.parametrize("name", ["absent.mid", ""])
def test_what_is_no_file_is_named(tmp_path: Path, name: str) -> None:
    with pytest.raises(DataError, match="cannot be read"):
        read_parts(tmp_path / name)
