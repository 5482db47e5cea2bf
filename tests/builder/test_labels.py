"""Activity from MIDI, against a definition written another way round: frame by frame, not note by note."""

from pathlib import Path

import numpy as np
import pretty_midi
import pytest
from numpy.typing import NDArray

from mir_tf.errors import DataError
from tfrecords_builder.labels import stem_activity, track_activity
from tfrecords_builder.slakh import Stem, Track, find_tracks


def write_notes(path: Path, *notes: tuple[float, float], tempo: float = 120.0) -> Path:
    midi = pretty_midi.PrettyMIDI(resolution=960, initial_tempo=tempo)
    instrument = pretty_midi.Instrument(0)
    instrument.notes = [pretty_midi.Note(100, i % 128, *times) for i, times in enumerate(notes)]
    midi.instruments.append(instrument)
    midi.write(str(path))
    return path


def overlapped_frames(path: Path, num_label_frames: int, start: float) -> NDArray[np.bool_]:
    """Which frames overlap a note by more than a microsecond."""
    midi = pretty_midi.PrettyMIDI(str(path))
    notes = [note for instrument in midi.instruments for note in instrument.notes]
    on = np.array([note.start for note in notes]) - start  # [notes]
    off = np.array([note.end for note in notes]) - start  # [notes]
    frames = np.arange(num_label_frames)[:, np.newaxis] / 10  # [frames, 1]
    return (np.minimum(off, frames + 0.1) - np.maximum(on, frames) > 1e-6).any(axis=1)


@pytest.mark.parametrize(
    ("on", "off", "frames"),
    [
        (0.0, 0.1, [0]),
        (0.0, 0.2, [0, 1]),
        (0.3, 0.4, [3]),  # 0.4 - 0.3 and 0.3 * 10 are not what they seem in floating point
        (0.3, 0.6, [3, 4, 5]),
        (0.35, 0.36, [3]),
        (0.39, 0.41, [3, 4]),
        (0.7, 0.71, [7]),
        (0.95, 9.0, [9]),
    ],
)
def test_a_note_marks_the_frames_it_overlaps(tmp_path: Path, on: float, off: float, frames: list[int]) -> None:
    activity = stem_activity(write_notes(tmp_path / "a.mid", (on, off)), 10)
    assert np.flatnonzero(activity).tolist() == frames


def test_a_tenth_of_a_second_is_one_frame_wherever_it_lies(tmp_path: Path) -> None:
    """At 125 beats a minute and 960 ticks a beat a frame is 200 ticks, and its time seldom a clean float."""
    notes = [(frame / 10, (frame + 1) / 10) for frame in range(0, 3000, 2)]
    path = write_notes(tmp_path / "a.mid", *notes, tempo=125.0)
    assert np.flatnonzero(stem_activity(path, 3000)).tolist() == list(range(0, 3000, 2))


def test_no_note_is_too_short_for_a_frame(tmp_path: Path) -> None:
    path = write_notes(tmp_path / "a.mid", (0.5, 0.5004))
    assert np.flatnonzero(stem_activity(path, 10)).tolist() == [5]


def test_a_segment_has_its_own_clock(tmp_path: Path) -> None:
    path = write_notes(tmp_path / "a.mid", (0.2, 0.5), (1.0, 1.25), (3.0, 4.0), (9.0, 9.5))
    # From 0.35 s on the notes are at -0.15 to 0.15, 0.65 to 0.9, 2.65 to 3.65, and beyond.
    frames = np.flatnonzero(stem_activity(path, 30, start=0.35)).tolist()
    assert frames == [0, 1, 6, 7, 8, 26, 27, 28, 29]


def test_a_note_before_the_segment_marks_nothing(tmp_path: Path) -> None:
    path = write_notes(tmp_path / "a.mid", (0.0, 0.01), (0.2, 0.5))
    assert not stem_activity(path, 30, start=0.5).any()


def test_all_instruments_of_a_stem_count(tmp_path: Path) -> None:
    midi = pretty_midi.PrettyMIDI()
    for program, is_drum, on in ((3, False, 0.0), (90, False, 0.5), (0, True, 0.8)):
        instrument = pretty_midi.Instrument(program, is_drum)
        instrument.notes = [pretty_midi.Note(100, 60, on, on + 0.1)]
        midi.instruments.append(instrument)
    midi.write(str(tmp_path / "a.mid"))
    assert np.flatnonzero(stem_activity(tmp_path / "a.mid", 10)).tolist() == [0, 5, 8]


def test_the_pedal_is_ignored(tmp_path: Path) -> None:
    midi = pretty_midi.PrettyMIDI()
    instrument = pretty_midi.Instrument(0)
    instrument.notes = [pretty_midi.Note(100, 60, 0.1, 0.2)]
    instrument.control_changes = [
        pretty_midi.ControlChange(64, 127, 0.0),
        pretty_midi.ControlChange(64, 0, 0.9),
    ]
    midi.instruments.append(instrument)
    midi.write(str(tmp_path / "a.mid"))
    assert np.flatnonzero(stem_activity(tmp_path / "a.mid", 10)).tolist() == [1]


def test_stems_of_one_program_are_joined(tmp_path: Path) -> None:
    stems = tuple(
        Stem(f"S{i:02d}", program, write_notes(tmp_path / f"{i}.mid", (on, on + 0.1)))
        for i, (program, on) in enumerate([(30, 0.0), (30, 0.3), (128, 0.5)])
    )
    activity = track_activity(Track("a", "a", "train", tmp_path / "mix.flac", stems), 8)
    assert activity.shape == (8, 129)
    assert np.argwhere(activity).tolist() == [[0, 30], [3, 30], [5, 128]]


@pytest.mark.parametrize("content", [b"", b"MThd", b"no MIDI at all, but long enough to be", bytes(200)])
def test_an_unreadable_midi_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "S00.mid"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"S00\.mid: "):
        stem_activity(path, 10)


@pytest.mark.parametrize("start", [0.0, 68.2703])
def test_the_genuine_stems_are_as_their_midi_says(shared_folder: Path, start: float) -> None:
    root = shared_folder / "data" / "slakh_fixture" / "mirdata" / "slakh2100_flac_redux"
    ((track,), _) = find_tracks(root)
    activity = track_activity(track, 1000, start)
    expected = np.zeros_like(activity)
    for stem in track.stems:
        own = overlapped_frames(stem.midi, 1000, start)
        assert 0 < own.sum() < 1000
        expected[:, stem.program] |= own
    np.testing.assert_array_equal(activity, expected)
