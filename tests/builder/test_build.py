"""The whole builder: one clock for audio and labels, reported bad tracks, the same bytes with any number of workers."""

import os
import shutil
import signal
import subprocess
import sys
import tarfile
from collections.abc import Iterator, Sequence
from multiprocessing import active_children
from pathlib import Path

import click.testing
import librosa
import numpy as np
import pytest
import soundfile
import tensorflow as tf
from helpers.commands import run_builder
from helpers.slakh_tree import write_midi, write_track

from mir_tf.config import FRONT_ENDS
from mir_tf.data import pipeline
from mir_tf.data.manifest import read_manifest
from mir_tf.data.records import parse
from mir_tf.errors import AudioError, DataError
from mir_tf.vocabulary import VOCABULARIES
from tfrecords_builder import resume
from tfrecords_builder.__main__ import _front_end
from tfrecords_builder.build import BuildReport, FilesOnDisk, TrackSource, build
from tfrecords_builder.processes import TrackProgress
from tfrecords_builder.records.make import RecordConfig, make_records
from tfrecords_builder.slakh.archive import Archive
from tfrecords_builder.slakh.tree import Stem, Track, find_tracks
from tfrecords_builder.synthesis.synthesizers import default_soundfont

DEFAULT = FRONT_ENDS["default"]


SAX_AND_BANJO = {"S00": (64, [(0.5, 1.0)]), "S01": (105, [(1.0, 1.2), (1.9, 2.0)])}


def write_tree(root: Path) -> None:
    """Write four good tracks, one omitted, and one for every kind of damage."""
    write_track(root / "train" / "Track00001", seconds=3.21)
    write_track(root / "train" / "Track00002", rate=44100, seed=1, stems=SAX_AND_BANJO)
    write_track(root / "validation" / "Track00003", seconds=0.55)
    write_track(root / "test" / "Track00004")
    write_track(root / "omitted" / "Track00005")

    truncated = write_track(root / "train" / "Track00011") / "mix.flac"
    truncated.write_bytes(truncated.read_bytes()[: truncated.stat().st_size // 2])
    corrupt = write_track(root / "train" / "Track00012") / "mix.flac"
    content = corrupt.read_bytes()
    corrupt.write_bytes(content[:20000] + bytes(2000) + content[22000:])
    midi = write_track(root / "test" / "Track00013") / "MIDI" / "S01.mid"
    midi.write_bytes(midi.read_bytes()[:30])
    (write_track(root / "train" / "Track00014") / "stems" / "S01.flac").unlink()
    (write_track(root / "train" / "Track00015") / "metadata.yaml").write_text("stems: wrong")
    folder = write_track(root / "train" / "Track00016")
    (folder / "mix.flac").unlink()
    soundfile.write(folder / "mix.wav", np.full(16000, np.nan), 16000, subtype="FLOAT")


SETTINGS = ("--set", "n_mels=32", "--set", "log_floor_db=-70")

CAUSES = {
    "Track00011": "Track00011/mix.flac: damaged or cut off",
    "Track00012": "Track00012/mix.flac: damaged or cut off",
    "Track00013": "Track00013/MIDI/S01.mid: ",
    "Track00014": "Track00014/stems/S01.flac: missing stem",
    "Track00015": "Track00015/metadata.yaml: ",
    "Track00016": "Track00016/mix.wav: contains NaN",
}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, click.testing.Result]:
    """Build the data set of :func:`write_tree` with two workers, and return the command's result."""
    root = tmp_path_factory.mktemp("built")
    write_tree(root / "tree")
    return root, run_builder("--slakh", root / "tree", "--out", root / "data", *SETTINGS, "--workers", 2)


def test_bad_tracks_are_named_and_the_rest_is_built(built: tuple[Path, click.testing.Result]) -> None:
    root, result = built
    assert result.exit_code == 1
    assert result.exception is None or isinstance(result.exception, SystemExit)
    manifest = read_manifest(root / "data")
    assert {name: split.tracks for name, split in manifest.splits.items()} == {
        "train": 2,
        "validation": 1,
        "test": 1,
    }
    skipped = {item["item"]: item["reason"] for item in manifest.skipped}
    assert sorted(skipped) == ["Track00005", *CAUSES]
    for track, cause in CAUSES.items():
        assert cause in skipped[track]
        assert f"{track}: {skipped[track]}" in result.stdout
    assert "omitted" in skipped["Track00005"]
    assert "not used: 1 items: set apart in the folder omitted" in result.stdout
    assert f"mir-tf fit --data {root / 'data'}" in result.stdout
    # Three label frames of 33 + 20 + 6 + 20; the other vocabularies have a class for each program.
    assert result.stdout.count("without a class in vocabulary") == 1
    assert "programs without a class in vocabulary slakh (share of label frames): Banjo (3.8%)\n" in result.stdout
    assert "4/10 tracks" not in result.stderr
    assert "8/8" in result.stderr  # two of ten were found out before the work began


def test_the_manifest_counts_what_the_shards_hold(built: tuple[Path, click.testing.Result]) -> None:
    root, _ = built
    manifest = read_manifest(root / "data")
    files = [str(root / "data" / shard.name) for shard in manifest.splits["train"].shards]
    records = list(tf.data.TFRecordDataset(files).map(parse))
    values = np.concatenate([item["log_mel"].numpy().astype(np.float64).ravel() for item in records])
    assert manifest.feature_mean == pytest.approx(values.mean())
    assert manifest.feature_std == pytest.approx(values.std())
    train = manifest.splits["train"]
    assert train.seconds == pytest.approx(3.21 + 2.0, abs=1e-4)
    assert train.label_frames == 33 + 20
    # By hand, from slakh_tree.DEFAULT_STEMS: 0.3 to 0.9 and 1.5 to 1.55; and from SAX_AND_BANJO.
    family = {name: count for name, count in train.activity["family"].items() if count}
    assert family == {"Guitar": 7, "Drums": 2, "Reed": 5, "Ethnic": 3}
    assert manifest.front_end == DEFAULT.replace(n_mels=32, log_floor_db=-70.0)
    assert manifest.source["slakh"] == str(root / "tree")


@pytest.mark.slow
def test_any_number_of_workers_gives_the_same_bytes(built: tuple[Path, click.testing.Result]) -> None:
    root, _ = built
    before = contents(root / "data")
    for workers in (1, 3):
        out = root / f"by {workers}"
        result = run_builder("--slakh", root / "tree", "--out", out, *SETTINGS, "--workers", workers, "--skip-bad")
        assert result.exit_code == 0
        assert contents(out) == before
    assert len(before) == 6  # a shard for each split, the manifest, and TensorFlow Datasets' two files


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_finished_data_set_is_not_touched(built: tuple[Path, click.testing.Result]) -> None:
    root, _ = built
    before = contents(root / "data")
    result = run_builder("--slakh", root / "tree", "--out", root / "data", *SETTINGS, "--workers", 1)
    assert result.exit_code == 0
    assert result.stdout == f"{root / 'data'}: the data set is finished; nothing to do\n"
    result = run_builder("--slakh", root / "tree", "--out", root / "data", *SETTINGS[:2], "--seed", 1)
    assert result.exit_code == 1
    assert "contains a finished data set with other arguments" in result.stderr
    assert "(log_floor_db: -70.0 there, -60.0 here; seed: 0 there, 1 here)" in result.stderr
    assert contents(root / "data") == before


def write_slakh(root: Path) -> None:
    """Write a leak from train to test, a known bad stem, and a silent stem."""
    write_track(root / "train" / "Track00003", seed=1)
    write_track(root / "train" / "Track00262", seed=2)
    write_track(root / "train" / "Track00004", seed=3)
    write_track(root / "test" / "Track01939", seed=4)
    for place in ("train/Track00004", "test/Track01939"):
        path = root / place / "metadata.yaml"
        path.write_text(path.read_text().replace(path.parent.name, "twin"))
    silent = root / "train/Track00003/stems/S01.flac"
    soundfile.write(silent, np.zeros(32000), 16000)


@pytest.mark.slow
def test_an_archive_gives_the_shards_of_its_tree(tmp_path: Path) -> None:
    """The labels are audible, with stems and leaks."""
    write_slakh(tmp_path / "tree")
    with tarfile.open(tmp_path / "slakh.tar.gz", "w:gz") as archive:
        archive.add(tmp_path / "tree", "slakh2100")
    options = (*SETTINGS, "--labels", "audible", "--stems", "--workers", 2)
    result = run_builder("--slakh", tmp_path / "slakh.tar.gz", "--out", tmp_path / "data", *options)
    assert result.exit_code == 0, result.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data", "slakh.tar.gz", "tree"]
    manifest = read_manifest(tmp_path / "data")
    train, test = manifest.splits["train"], manifest.splits["test"]
    # Two stems of each train track, but for the one that is known to be bad.
    assert (train.tracks, train.records, test.tracks, test.records) == (3, 3 + 5, 1, 1)
    assert manifest.labels == "audible"
    assert manifest.leaks == {"train, test": {"uuid-twin": ["Track00004", "Track01939"]}}
    assert manifest.stem_checks == {"Track00003": ["S01: silent while its MIDI plays (100% of 2 notes)"]}
    assert [item["item"] for item in manifest.skipped] == ["Track00262/S01"]
    for said in (
        "leak: songs in train and test: 1 (",
        "  Track00004, Track01939",
        "suspect stem: Track00003/S01: silent while its MIDI plays (100% of 2 notes)",
        "not used: 1 items: excluded from the labels, known for short-labels",
    ):
        assert said in result.stdout
    # Guitar: frames 3 to 8 and 15, and heard, in noise without end, from 3 on: 7 and 17 of each of 3 mixes.
    assert train.disagreement["family"]["Guitar"] == [0, 3 * 10, 3 * 7]
    # Drums: 0 and 10 in two mixes, heard in one of them.
    assert train.disagreement["family"]["Drums"] == [2, 18, 2]
    assert train.activity["family"]["Guitar"] == 2 * 3 * 17
    assert train.activity["family"]["Drums"] == 2 * 20
    shares = {line.split()[0]: line.split()[1] for line in result.stdout.splitlines() if line.startswith("  ")}
    # Of all splits: 10 of 17 frames, and in three mixes 2 + 2 * 18 of 4 + 2 * 18.
    assert (shares["Guitar"], shares["Drums"]) == ("58.8%", "90.5%")

    record = next(iter(pipeline.tracks(tmp_path / "data", manifest, "test", VOCABULARIES["family"])))
    assert np.flatnonzero(record.truth[:, 3]).tolist() == list(range(3, 20))

    again = run_builder("--slakh", tmp_path / "tree", "--out", tmp_path / "tree data", *options)
    assert again.exit_code == 0
    for shard in train.shards + test.shards:
        assert (tmp_path / "data" / shard.name).read_bytes() == (tmp_path / "tree data" / shard.name).read_bytes()


@pytest.mark.slow
def test_a_build_from_an_archive_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(8):
        write_track(tmp_path / "tree" / "train" / f"Track{number:05d}", seed=number)
    with tarfile.open(tmp_path / "slakh.tar.gz", "w:gz") as archive:
        archive.add(tmp_path / "tree", "slakh2100")
    arguments = ("--slakh", tmp_path / "slakh.tar.gz", "--workers", 1, "--out")
    with monkeypatch.context() as patch:
        patch.setattr(Archive, "close", interrupt_after_first_track)
        result = run_builder(*arguments, tmp_path / "data")
    assert result.exit_code == 130
    assert "keeps the finished tracks" in result.stderr
    finished = tmp_path / "data" / resume.UNFINISHED
    assert sorted(path.name for path in finished.iterdir()) == ["arguments.json", "parts"]
    count = len(list((finished / "parts").glob("*.json")))
    assert 0 < count < 8
    other = run_builder(*arguments, tmp_path / "data", "--labels", "audible", "--stems")
    assert other.exit_code == 1
    assert "labels: 'midi' there, 'audible' here; stems: False there, True here" in other.stderr
    again = run_builder(*arguments, tmp_path / "data")
    assert again.exit_code == 0, again.output
    assert f"resumed: {count} tracks were finished" in again.stdout
    assert run_builder(*arguments, tmp_path / "undisturbed").exit_code == 0
    assert contents(tmp_path / "data") == contents(tmp_path / "undisturbed")


def interrupt_after_first_track(archive: Archive, track: Track) -> None:
    raise KeyboardInterrupt


def test_a_scheme_without_leaks(tmp_path: Path) -> None:
    write_slakh(tmp_path / "tree")
    options = (*SETTINGS, "--split-scheme", "original", "--drop-leaks", "--workers", 1)
    result = run_builder("--slakh", tmp_path / "tree", "--out", tmp_path / "data", *options)
    assert result.exit_code == 0
    manifest = read_manifest(tmp_path / "data")
    assert {name: split.tracks for name, split in manifest.splits.items()} == {"train": 2, "validation": 0, "test": 1}
    assert (manifest.leaks, manifest.stem_checks, manifest.labels) == ({}, {}, "midi")
    assert not any(split.disagreement for split in manifest.splits.values())
    assert "not used: 1 items: dropped from train: its song is in test too" in result.stdout
    assert manifest.source["split_scheme"] == "original"


def kill_worker(total: int, seconds: float) -> None:
    for child in active_children():
        assert child.pid is not None
        os.kill(child.pid, signal.SIGKILL)


def interrupt(total: int, seconds: float) -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("stop", "error", "reason"),
    [
        pytest.param(kill_worker, DataError, "a worker process was killed", marks=pytest.mark.slow),
        (interrupt, KeyboardInterrupt, "interrupted"),
    ],
)
def test_a_build_that_is_interrupted_goes_on(
    tmp_path: Path, stop: TrackProgress, error: type[BaseException], reason: str
) -> None:
    for number in range(12):
        write_track(tmp_path / "tree" / "train" / f"Track{number:05d}", seed=number)
    tracks, _ = find_tracks(tmp_path / "tree")
    track_source = FilesOnDisk(tmp_path / "tree")

    def build_into(out: Path, progress: TrackProgress | None = None) -> BuildReport:
        with resume.unfinished(out, DEFAULT, {}) as unfinished:
            return build(tracks, [], unfinished, RecordConfig(DEFAULT), {}, 1, track_source, progress)

    with pytest.raises(error, match=rf"{reason}[^\n]*\n.* keeps the finished tracks: run the same command again"):
        build_into(tmp_path / "data", stop)
    assert [path.name for path in (tmp_path / "data").iterdir()] == [resume.UNFINISHED]
    finished = {path: path.stat().st_mtime_ns for path in (tmp_path / "data").rglob("*.tfrecord")}
    built: list[float] = []

    def count(total: int, seconds: float) -> None:
        built.append(seconds)
        assert {path: path.stat().st_mtime_ns for path in finished} == finished

    assert 0 < build_into(tmp_path / "data", count).resumed == len(finished) == 12 - len(built) < 12
    build_into(tmp_path / "undisturbed")
    assert contents(tmp_path / "data") == contents(tmp_path / "undisturbed")


def build_tree(out: Path, tracks: list[Track], track_source: TrackSource) -> BuildReport:
    with resume.unfinished(out, DEFAULT, {}) as unfinished:
        return build(tracks, [], unfinished, RecordConfig(DEFAULT), {}, 1, track_source)


def test_a_track_that_vanishes_after_the_scan_is_named_and_left_out(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    folders = [write_track(tree / "train" / f"Track{number:05d}") for number in range(3)]
    tracks, _ = find_tracks(tree)
    (folders[0] / "mix.flac").unlink()
    (folders[1] / "MIDI" / "S00.mid").unlink()
    report = build_tree(tmp_path / "data", tracks, FilesOnDisk(tree))
    assert report.manifest.splits["train"].tracks == 1
    assert [item.item for item in report.skipped] == ["Track00000", "Track00001"]
    for item, missing in zip(report.skipped, ("mix.flac: cannot be opened", "S00.mid: cannot be read"), strict=True):
        assert missing in item.reason


def test_a_tree_that_vanishes_stops_the_build(tmp_path: Path) -> None:
    write_track(tmp_path / "tree" / "train" / "Track00000")
    tracks, _ = find_tracks(tmp_path / "tree")
    (tmp_path / "tree").rename(tmp_path / "unplugged")
    with pytest.raises(DataError, match="tree: disappeared during the build"):
        build_tree(tmp_path / "data", tracks, FilesOnDisk(tmp_path / "tree"))
    assert not (tmp_path / "data").exists()


class Unpacked:
    """A source whose files exist from open to close only."""

    def __init__(self, packed: Path, tree: Path) -> None:
        self.packed, self.tree = packed, tree
        self.most = 0

    def open(self, wanted: Sequence[Track]) -> Iterator[Track]:
        for track in reversed(wanted):
            (self.packed / track.split / track.id).rename(self.tree / track.split / track.id)
            self.most = max(self.most, len(list(self.tree.glob("*/Track*"))))
            yield track

    def close(self, track: Track) -> None:
        shutil.rmtree(self.tree / track.split / track.id)


@pytest.mark.slow
def test_tracks_may_come_from_where_they_cannot_be_read(tmp_path: Path) -> None:
    tree, packed = tmp_path / "tree", tmp_path / "packed"
    for number in range(7):
        write_track(tree / "train" / f"Track{number:05d}", seconds=1.0, seed=number)
    tracks, _ = find_tracks(tree)
    build_tree(tmp_path / "data", tracks, FilesOnDisk(tree))
    tree.rename(packed)
    (tree / "train").mkdir(parents=True)
    track_source = Unpacked(packed, tree)
    build_tree(tmp_path / "by track_source", tracks, track_source)
    assert contents(tmp_path / "by track_source") == contents(tmp_path / "data")
    assert 0 < track_source.most <= 2  # in flight with one worker
    assert not list(tree.glob("*/*"))


def test_nothing_built_is_an_error_that_tells_the_causes(tmp_path: Path) -> None:
    (write_track(tmp_path / "tree" / "train" / "Track00001") / "mix.flac").unlink()
    result = run_builder("--slakh", tmp_path / "tree", "--out", tmp_path / "data", "--skip-bad")
    assert result.exit_code == 1
    assert "Track00001/mix.flac: missing" in result.stderr
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("release", ["slakh2100_flac_redux", "babyslakh_16k"])
def test_the_genuine_tracks_are_as_librosa_and_their_midi_say(shared_folder: Path, release: str) -> None:
    ((track,), _) = find_tracks(shared_folder / "data" / "slakh_fixture" / "mirdata" / release)
    (record,) = make_records(track, RecordConfig(DEFAULT))
    assert (record.num_samples, record.sample_rate) == (44100, 22050)

    samples, rate = soundfile.read(track.mix)
    samples = librosa.resample(samples, orig_sr=rate, target_sr=22050, res_type="soxr_hq")
    padded = np.pad(samples, (1024 - 441) // 2 + 1)
    mel = librosa.feature.melspectrogram(y=padded[1:], sr=22050, n_fft=1024, hop_length=441, center=False)
    expected = librosa.power_to_db(mel, ref=1.0, amin=1e-6, top_db=None).T
    assert record.log_mel.shape == (100, 128)
    np.testing.assert_allclose(record.log_mel[: len(expected)], expected[:100], atol=0.05)  # float16

    # SOURCES.txt of the fixture: only the distortion guitar sounds in its two seconds, from 0.78 s on.
    assert np.argwhere(record.activity).tolist() == [[frame, 30] for frame in range(7, 20)]


def clicks(tmp_path: Path, *onsets: float, seconds: float) -> Track:
    """Write a track with a click at each MIDI note."""
    samples = np.zeros(round(seconds * 44100), np.float32)
    for onset in onsets:
        samples[round((onset + 0.05) * 44100)] = 0.9
    soundfile.write(tmp_path / "mix.flac", samples, 44100)
    write_midi(tmp_path / "S00.mid", [(115, [(onset, onset + 0.1) for onset in onsets])])
    return Track(
        "a", "a", "train", tmp_path / "mix.flac", (Stem("S00", 115, tmp_path / "S00.mid", tmp_path / "mix.flac"),)
    )


@pytest.mark.parametrize(("segment", "first"), [(None, 0), (4.0, 30)])
def test_audio_and_labels_share_one_clock(tmp_path: Path, segment: float | None, first: int) -> None:
    onsets = (0.5, 3.3, 5.0, 6.9, 9.4)
    track = clicks(tmp_path, *onsets, seconds=10.0)
    (record,) = make_records(track, RecordConfig(DEFAULT.replace(segment_seconds=segment)))
    loudness = record.log_mel.astype(np.float32).sum(axis=1).reshape(-1, DEFAULT.subframes).max(axis=1)
    # A window of 93 ms around a click reaches into its neighbours: only peaks count.
    padded = np.pad(loudness, 1, constant_values=loudness.min())
    peaks = (loudness > padded[:-2]) & (loudness >= padded[2:])
    np.testing.assert_array_equal(peaks, record.activity[:, 115])
    assert np.flatnonzero(peaks).tolist() == [
        round(onset * 10) - first for onset in onsets if 0 <= onset * 10 - first < len(loudness)
    ]


@pytest.mark.parametrize("preset", FRONT_ENDS)
def test_a_track_shorter_than_the_segment_is_used_whole(tmp_path: Path, preset: str) -> None:
    (record,) = make_records(clicks(tmp_path, 0.5, seconds=1.02), RecordConfig(FRONT_ENDS[preset]))
    assert len(record.activity) == 11
    assert len(record.log_mel) == 11 * FRONT_ENDS[preset].subframes


def test_midi_that_ends_at_another_time_than_the_mix_is_cut_or_filled(tmp_path: Path) -> None:
    track = clicks(tmp_path, 0.5, seconds=1.0)
    for end, frames in ((0.6, [5]), (30.0, [5, 6, 7, 8, 9])):
        write_midi(tmp_path / "S00.mid", [(115, [(0.5, end)])])
        (record,) = make_records(track, RecordConfig(DEFAULT))
        assert np.flatnonzero(record.activity[:, 115]).tolist() == frames


def test_a_missing_mix_is_named(tmp_path: Path) -> None:
    with pytest.raises(AudioError, match=r"gone\.flac: cannot be opened"):
        make_records(Track("a", "a", "train", tmp_path / "gone.flac", ()), RecordConfig(DEFAULT))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "give exactly one of --slakh, --midi, --demo and --verify"),
        (["--slakh", ".", "--demo", "3"], "give exactly one of --slakh, --midi, --demo and --verify"),
        (["--midi", "."], "--midi needs --soundfont"),
        (["--demo", "3", "--soundfont", __file__], "--soundfont belongs to --midi, not to --demo"),
        (["--slakh", ".", "--keep-audio", "x"], "--keep-audio belongs to --midi and --demo, not to --slakh"),
        (
            ["--slakh", ".", "--shuffle-programs", "1"],
            "--shuffle-programs belongs to --midi and --demo, not to --slakh",
        ),
        (["--slakh", "no such folder"], "does not exist"),
        (["--demo", "3", "--drop-leaks"], "--drop-leaks belongs to --slakh, not to --demo"),
        (["--demo", "3", "--split-scheme", "redux"], "--split-scheme belongs to --slakh, not to --demo"),
        (["--slakh", ".", "--split-scheme", "redux2"], "'redux2' is not one of"),
        (["--slakh", ".", "--labels", "loud"], "'loud' is not one of"),
        (["--slakh", ".", "--set", "hop_length"], "expected FIELD=VALUE"),
        (["--slakh", ".", "--set", "hop=3"], "has no field 'hop'"),
        (["--slakh", ".", "--set", "hop_length=440"], "a divisor of the label frame"),
        (["--slakh", ".", "--set", "hop_length=wide"], "hop_length is 'wide', a str"),
        (["--slakh", ".", "--set", "hop_length=[1"], "is not a valid YAML value"),
        (["--slakh", ".", "--workers", "0"], "0 is not in the range"),
        (["--slakh", ".", "--verify", "."], "give exactly one of --slakh, --midi, --demo and --verify"),
        (
            ["--demo", "3", "--validation-soundfont", __file__],
            "--validation-soundfont belongs to --midi, not to --demo",
        ),
        (["--verify", "."], "--out belongs to --slakh, --midi and --demo, not to --verify"),
    ],
)
def test_wrong_usage_has_exit_status_2(tmp_path: Path, arguments: list[str], message: str) -> None:
    result = run_builder(*arguments, "--out", tmp_path / "data")
    assert result.exit_code == 2
    assert message in " ".join(result.stderr.split())
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize(("kept", "out"), [("data/audio", "data"), ("tree", "tree/data"), ("data", "../here/data")])
def test_audio_is_not_kept_within_the_data_set_nor_around_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kept: str, out: str
) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    result = run_builder("--demo", 1, "--keep-audio", kept, "--out", out)
    assert result.exit_code == 2
    assert "--keep-audio and --out must be two folders" in " ".join(result.stderr.split())
    assert not list((tmp_path / "here").iterdir())


def test_audio_is_not_kept_among_the_midi_files(tmp_path: Path) -> None:
    result = run_builder(
        "--midi", tmp_path, "--soundfont", __file__, "--keep-audio", tmp_path / "a", "--out", tmp_path / "data"
    )
    assert result.exit_code == 2
    assert "--keep-audio and --midi must be two folders" in " ".join(result.stderr.split())
    assert not list(tmp_path.iterdir())


def test_verifying_keeps_no_audio(tmp_path: Path) -> None:
    result = run_builder("--verify", tmp_path, "--keep-audio", tmp_path / "audio")
    assert result.exit_code == 2
    assert "--keep-audio belongs to --midi and --demo, not to --verify" in " ".join(result.stderr.split())


def test_what_cannot_be_written_has_exit_status_1(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    write_track(tmp_path / "tree" / "train" / "Track00001")
    for arguments in (
        ("--demo", 1, "--out", tmp_path / "file" / "data"),
        ("--demo", 1, "--keep-audio", tmp_path / "file" / "tree", "--out", tmp_path / "data"),
        ("--slakh", tmp_path / "tree", "--out", tmp_path / "file" / "data"),
    ):
        result = run_builder(*arguments, "--workers", 1)
        assert result.exit_code == 1
        assert isinstance(result.exception, SystemExit)
        assert str(tmp_path / "file") in result.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "tree"]


def test_an_empty_tree_has_exit_status_1(tmp_path: Path) -> None:
    result = run_builder("--slakh", tmp_path, "--out", tmp_path / "data")
    assert result.exit_code == 1
    assert "no track found" in result.stderr


def test_every_field_of_the_front_end_can_be_set() -> None:
    changed = {
        "sample_rate": 16000,
        "n_fft": 2048,
        "hop_length": 1600,
        "frame_center": "start",
        "window": "hamming",
        "n_mels": 64,
        "f_min": 30,
        "f_max": 7000.5,
        "mel_scale": "htk",
        "power": 1.0,
        "log_floor_db": -90,
        "normalization": "clip",
        "top_db": 70,
        "segment_seconds": 20,
    }
    front_end = _front_end("default", tuple(f"{name}={value}" for name, value in changed.items()))
    assert front_end.to_dict() == changed
    assert _front_end("seed_44k", ("top_db=null",)) == FRONT_ENDS["seed_44k"].replace(top_db=None)


def test_help_needs_no_tensorflow() -> None:
    code = (
        "import sys; from tfrecords_builder.__main__ import main\n"
        "try: main(['--help'])\n"
        "finally: assert not {'tensorflow', 'librosa', 'pretty_midi'} & set(sys.modules)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert "\n    hop_length = 441\n" in result.stdout
    assert "\n    python -m tfrecords_builder --demo 40 --out DATA\n" in result.stdout


def test_midi_that_cannot_be_rendered_is_named(tmp_path: Path) -> None:
    songs = tmp_path / "songs"
    songs.mkdir()
    (songs / "broken.mid").write_bytes(b"MThd")
    soundfont = default_soundfont()
    result = run_builder("--midi", songs, "--soundfont", soundfont, "--out", tmp_path / "data", "--workers", 1)
    assert result.exit_code == 1
    assert f"{songs}: not one file could be rendered" in result.stderr
    assert "broken.mid: unreadable MIDI" in result.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["songs"]


@pytest.mark.slow
def test_midi_is_built_without_its_bad_files(tmp_path: Path) -> None:
    songs = tmp_path / "songs"
    songs.mkdir()
    (songs / "broken.mid").write_bytes(b"MThd")
    write_midi(songs / "good.mid", [(0, [(0.0, 1.0)]), (128, [(0.5, 0.6)])])
    soundfont = default_soundfont()
    result = run_builder("--midi", songs, "--soundfont", soundfont, "--out", tmp_path / "data", "--workers", 1)
    assert result.exit_code == 1
    assert "skipped: broken.mid: " in result.stdout
    manifest = read_manifest(tmp_path / "data")
    activity = manifest.splits["train"].activity["family"]
    assert {name: frames for name, frames in activity.items() if frames} == {"Piano": 10, "Drums": 1}
    assert [item["item"] for item in manifest.skipped] == ["broken.mid"]
    assert manifest.source["soundfonts"] == [str(soundfont)]


@pytest.mark.slow
def test_the_demo_builds_by_itself_with_any_number_of_workers(tmp_path: Path) -> None:
    kept = {1: ("--keep-audio", tmp_path / "tree"), 2: (), 3: ()}
    for workers, keep in kept.items():
        result = run_builder("--demo", 3, "--out", tmp_path / f"by {workers}", *keep, "--workers", workers)
        assert result.exit_code == 0, result.output
    (tmp_path / "by 1").rename(tmp_path / "data")
    for workers in (2, 3):
        assert contents(tmp_path / f"by {workers}") == contents(tmp_path / "data")
    manifest = read_manifest(tmp_path / "data")
    assert sum(split.tracks for split in manifest.splits.values()) == 3
    assert manifest.splits["train"].activity["family"]["Drums"] > 0
    tracks, skipped = find_tracks(tmp_path / "tree")
    assert (len(tracks), skipped) == (3, [])
