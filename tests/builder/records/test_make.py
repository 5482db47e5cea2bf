"""Records of tracks and stems, with sounds whose labels are known."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
from helpers.slakh_tree import write_track

from mir_tf.config import FRONT_ENDS, FrontEndConfig
from mir_tf.errors import AudioError, ConfigError
from tfrecords_builder.records.make import RecordConfig, make_records
from tfrecords_builder.slakh.tree import Track, find_tracks

DEFAULT = FRONT_ENDS["default"]
RATE = 16000


def write_sounds(folder: Path, stem: str, sounds: list[tuple[float, float, float]], seconds: float = 8.0) -> None:
    """Replace the audio of a stem by noise: each sound from one time to another, at an RMS in dBFS."""
    samples = np.zeros(round(seconds * RATE))
    for begin, end, level in sounds:
        length = round(end * RATE) - round(begin * RATE)
        noise = np.random.default_rng(0).choice([-1.0, 1.0], length)
        samples[round(begin * RATE) : round(end * RATE)] = noise * 10 ** (level / 20)
    soundfile.write(folder / "stems" / f"{stem}.flac", samples, RATE, subtype="PCM_24")


FRONT_END = FrontEndConfig(sample_rate=RATE, n_fft=1024, hop_length=320, n_mels=32)


@pytest.fixture
def track(tmp_path: Path) -> Track:
    """Write a guitar that decays, a second, silent one, and drums that sound before they are played."""
    stems = {
        "S00": (30, [(1.0, 1.2), (6.0, 6.1)]),
        "S01": (30, [(4.0, 5.0)]),
        "S02": (128, [(3.0, 3.1)]),
    }
    folder = write_track(tmp_path / "tree" / "train" / "Track00001", stems, seconds=8.0, rate=RATE)
    write_sounds(folder, "S00", [(1.0, 2.0, -20), (2.0, 2.5, -58), (2.5, 3.0, -61), (6.0, 8.0, -61)])
    write_sounds(folder, "S01", [])
    write_sounds(folder, "S02", [(0.0, 5.5, -30)])
    ((track,), _) = find_tracks(tmp_path / "tree")
    return track


def frames(labels: np.ndarray, program: int) -> list[int]:
    return np.flatnonzero(labels[:, program]).tolist()


def test_midi_labels_need_no_stem_audio(track: Track) -> None:
    for stem in track.stems:
        stem.audio.unlink()
    (mix,) = make_records(track, RecordConfig(FRONT_END))
    assert frames(mix.activity, 30) == [10, 11, *range(40, 50), 60]
    assert frames(mix.activity, 128) == [30]
    assert np.flatnonzero(mix.activity.any(axis=0)).tolist() == [30, 128]
    assert (mix.audible, mix.stem_checks) == (None, ())


def test_audible_labels_follow_the_sound(track: Track) -> None:
    (mix,) = make_records(track, RecordConfig(FRONT_END, labels="audible"))
    assert mix.audible is not None
    # The guitar until it falls under -60 dBFS; neither its second note nor the other guitar is heard.
    assert frames(mix.audible, 30) == list(range(10, 25))
    # The drums from their note to two seconds after it, though they sound before and longer.
    assert frames(mix.audible, 128) == list(range(30, 51))
    assert frames(mix.activity, 30) == [10, 11, *range(40, 50), 60]
    assert mix.stem_checks == (
        "S00: silent while its MIDI plays (50% of 2 notes)",
        "S01: silent while its MIDI plays (100% of 1 notes)",
    )
    assert mix.targets("audible") is mix.audible
    assert mix.targets("midi") is mix.activity


def test_stems_are_items_of_their_own(track: Track) -> None:
    mix, *stems = make_records(track, RecordConfig(FRONT_END, stems=True))
    assert [stem.id for stem in stems] == ["Track00001-S00", "Track00001-S01", "Track00001-S02"]
    assert {stem.song for stem in stems} == {mix.song}
    assert frames(stems[0].activity, 30) == [10, 11, 60]
    assert frames(stems[1].activity, 30) == list(range(40, 50))
    assert [np.flatnonzero(stem.activity.any(axis=0)).tolist() for stem in stems] == [[30], [30], [128]]
    np.testing.assert_array_equal(mix.activity, np.any([stem.activity for stem in stems], axis=0))
    np.testing.assert_array_equal(mix.audible, np.any([stem.audible for stem in stems], axis=0))
    # Each has the sound of its own file.
    loud = [set(np.flatnonzero(stem.log_mel.max(axis=1) > -30) // 5) for stem in stems]
    assert loud[0] >= set(range(10, 20))
    assert not loud[1]
    assert loud[2] >= set(range(55))
    assert all(len(stem.log_mel) == len(mix.log_mel) == 80 * 5 for stem in stems)


@pytest.mark.parametrize("split", ["validation", "test"])
def test_stems_are_items_in_train_only(tmp_path: Path, split: str) -> None:
    write_track(tmp_path / split / "Track00001")
    ((track,), _) = find_tracks(tmp_path)
    (mix,) = make_records(track, RecordConfig(DEFAULT, stems=True))
    assert mix.audible is not None


def test_a_segment_is_heard_on_the_clock_of_the_mix(track: Track) -> None:
    front_end = FRONT_END.replace(segment_seconds=4.0)  # from 2 s on
    mix, guitar, *_ = make_records(track, RecordConfig(front_end, labels="audible", stems=True))
    assert mix.audible is not None
    assert frames(mix.audible, 128) == list(range(10, 31))
    assert frames(mix.audible, 30) == list(range(5))
    assert len(guitar.activity) == 40


def test_a_stem_may_end_before_its_mix(track: Track) -> None:
    write_sounds(track.mix.parent, "S02", [(0.0, 3.5, -30)], seconds=3.5)
    mix, *stems = make_records(track, RecordConfig(FRONT_END, stems=True))
    assert mix.audible is not None
    assert frames(mix.audible, 128) == list(range(30, 35))
    assert len(stems[2].activity) == 35
    assert len(stems[2].log_mel) == 35 * 5


def test_a_stem_may_end_before_the_segment_begins(track: Track) -> None:
    write_sounds(track.mix.parent, "S02", [(0.0, 1.5, -30)], seconds=1.5)
    front_end = FRONT_END.replace(segment_seconds=4.0)  # from 2 s on
    mix, *stems = make_records(track, RecordConfig(front_end, labels="audible", stems=True))
    assert mix.audible is not None
    assert frames(mix.audible, 128) == []
    assert frames(mix.activity, 128) == [10]
    assert [stem.id for stem in stems] == ["Track00001-S00", "Track00001-S01"]


def test_a_damaged_stem_is_named(track: Track) -> None:
    path = track.stems[2].audio
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(AudioError, match=r"S02\.flac: damaged or cut off"):
        make_records(track, RecordConfig(FRONT_END, labels="audible"))
    assert len(make_records(track, RecordConfig(FRONT_END))) == 1


def test_an_unknown_policy_is_refused() -> None:
    with pytest.raises(ConfigError, match="labels is 'loud'; it must be midi or audible"):
        RecordConfig(DEFAULT, labels="loud")
