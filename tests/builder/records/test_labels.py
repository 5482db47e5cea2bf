"""Activity from MIDI, against a second definition: frame by frame instead of note by note."""

from pathlib import Path

import numpy as np
import pretty_midi
import pytest
from numpy.typing import NDArray

from mir_tf.errors import DataError
from tfrecords_builder.records.labels import LevelMeter, active_frames, audible_frames, stem_notes
from tfrecords_builder.slakh.tree import find_tracks


def stem_activity(midi: Path, num_label_frames: int, start: float = 0.0) -> NDArray[np.bool_]:
    return active_frames(stem_notes(midi), num_label_frames, start)


def write_notes(path: Path, *notes: tuple[float, float], tempo: float = 120.0) -> Path:
    midi = pretty_midi.PrettyMIDI(resolution=960, initial_tempo=tempo)
    instrument = pretty_midi.Instrument(0)
    instrument.notes = [pretty_midi.Note(100, i % 128, *times) for i, times in enumerate(notes)]
    midi.instruments.append(instrument)
    midi.write(str(path))
    return path


def overlapped_frames(path: Path, num_label_frames: int, start: float) -> NDArray[np.bool_]:
    """Return the frames that overlap a note by more than a microsecond."""
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
    """At 125 beats per minute and 960 ticks per beat, a frame has 200 ticks, and its time is rarely an exact float."""
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
    for stem in track.stems:
        own = overlapped_frames(stem.midi, 1000, start)
        assert 0 < own.sum() < 1000
        np.testing.assert_array_equal(stem_activity(stem.midi, 1000, start), own)


@pytest.mark.parametrize("rate", [22050, 8000, 11025])
@pytest.mark.parametrize("size", [1, 1000, 2205, 100_000])
def test_levels_are_those_of_each_tenth_of_a_second(rate: int, size: int) -> None:
    samples = np.random.default_rng(0).standard_normal(3 * rate if size > 1 else 2000).astype(np.float32)
    meter = LevelMeter(rate)
    passed = list(meter.through(samples[i : i + size] for i in range(0, len(samples), size)))
    np.testing.assert_array_equal(np.concatenate(passed), samples)
    frames = len(samples) * 10 // rate
    levels = meter.levels(frames + 5)
    for frame in range(frames):
        own = samples[-(-frame * rate // 10) : -(-(frame + 1) * rate // 10)].astype(np.float64)
        assert levels[frame] == pytest.approx(10 * np.log10(np.mean(own**2)), abs=0.01)
    assert levels[-4:].tolist() == [-200.0] * 4


def test_a_full_sine_is_3_db_under_full_scale_and_silence_is_minus_200() -> None:
    meter = LevelMeter(8000)
    for _ in meter.through(iter([np.sin(np.arange(800, dtype=np.float32) * np.pi / 4), np.zeros(800, np.float32)])):
        pass
    np.testing.assert_allclose(meter.levels(2), [-3.0103, -200.0], atol=1e-3)
    assert LevelMeter(8000).levels(1).tolist() == [-200.0]


NOTES = np.array([[1.0, 1.5], [6.0, 6.2]])


def frames_of(levels: NDArray[np.float64], start: float = 0.0) -> list[int]:
    return np.flatnonzero(audible_frames(NOTES, levels, start)).tolist()


def test_audible_is_what_sounds_from_note_on_to_two_seconds_after_note_off() -> None:
    assert frames_of(np.full(100, -20.0)) == [*range(10, 35), *range(60, 82)]
    assert frames_of(np.full(50, -20.0), start=5.0) == [*range(10, 32)]
    assert frames_of(np.zeros(0)) == []


def test_silent_notes_and_what_is_40_db_under_the_loud_frames_do_not_count() -> None:
    levels = np.full(100, -20.0)
    levels[12:20] = -61.0  # under -60 dBFS
    levels[62:64] = -59.9  # 39.9 dB under the 95th percentile
    assert frames_of(levels) == [10, 11, *range(20, 35), *range(60, 82)]
    levels[20:] = -10.0
    levels[62:64] = -50.1
    levels[70] = -49.9
    assert frames_of(levels) == [10, 11, *range(20, 35), 60, 61, *range(64, 82)]
    levels = np.full(100, -70.0)
    assert frames_of(levels) == []
    levels = np.full(1000, -90.0)  # a stem that rests for most of its track
    levels[10:20], levels[20:35] = -15.0, -58.0
    assert frames_of(levels) == list(range(10, 20))
