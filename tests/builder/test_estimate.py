"""A dry run predicts the result of the build, and leaves no files."""

import re
import tarfile
from pathlib import Path

import pretty_midi
import pytest
from helpers.commands import run_builder
from helpers.slakh_tree import write_track

from mir_tf.config import FRONT_ENDS
from mir_tf.data import manifest
from mir_tf.errors import DataError
from tfrecords_builder import estimate
from tfrecords_builder.build import FilesOnDisk
from tfrecords_builder.records.make import RecordConfig
from tfrecords_builder.slakh.tree import find_tracks
from tfrecords_builder.synthesis.synthesizers import default_soundfont


def table(output: str) -> list[list[str]]:
    lines = output.splitlines()
    start = next(index for index, line in enumerate(lines) if line.startswith("split"))
    return [line.split() for line in lines[start : start + 4]]


def test_a_dry_run_tells_what_is_built(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    for number, seconds in enumerate((2.0, 3.5, 20.0, 40.0)):
        write_track(tree / "train" / f"Track{number:05d}", seconds=seconds, seed=number)
    write_track(tree / "test" / "Track00004", seconds=30.0)
    write_track(tree / "omitted" / "Track00005")
    (write_track(tree / "train" / "Track00006") / "mix.flac").write_bytes(b"fLaC")
    arguments = ("--slakh", tree, "--out", tmp_path / "data", "--skip-bad", "--workers", 2)
    dry = run_builder(*arguments, "--dry-run")
    assert dry.exit_code == 0, dry.output
    assert list(tmp_path.iterdir()) == [tree]
    built = run_builder(*arguments)
    assert built.exit_code == 0, built.output
    assert table(dry.stdout) == table(built.stdout)
    for line in built.stdout.splitlines():
        assert not line.startswith(("skipped", "not used")) or line in dry.stdout
    told = re.search(r"About ([\d.]+) MB, and as much again", dry.stdout)
    assert told is not None
    size = sum(shard.num_bytes for shard in manifest.read_manifest(tmp_path / "data").shards())
    assert float(told[1]) == pytest.approx(size / 1e6, rel=0.03)
    assert re.search(r"About [\d.]+ minutes with 2 workers.* Estimated from 26 s of audio, which took", dry.stdout)
    assert "nothing to do" in run_builder(*arguments, "--dry-run").stdout


def test_time_and_size_are_scaled_by_the_audio(tmp_path: Path) -> None:
    for number in range(5):
        write_track(tmp_path / "train" / f"Track{number:05d}", seconds=2.0 + number)
    result = estimate.of_tracks(*find_tracks(tmp_path), RecordConfig(FRONT_ENDS["default"]), FilesOnDisk(tmp_path))
    assert result.cost.audio == pytest.approx(2 + 3 + 4)
    assert result.scale == pytest.approx((2 + 3 + 4 + 5 + 6) / 9)
    # By hand: 50 frames of 128 float16 and 10 label frames of 17 bytes in a second.
    assert result.cost.num_bytes == pytest.approx(9 * (50 * 128 * 2 + 10 * 17), rel=0.01)
    short = FRONT_ENDS["default"].replace(segment_seconds=3.0)
    result = estimate.of_tracks(*find_tracks(tmp_path), RecordConfig(short), FilesOnDisk(tmp_path))
    assert result.scale == pytest.approx((2 + 3 + 3 + 3 + 3) / (2 + 3 + 3))


def test_nothing_to_build_is_said(tmp_path: Path) -> None:
    (write_track(tmp_path / "train" / "Track00001") / "mix.flac").write_bytes(b"none")
    with pytest.raises(DataError, match=r"no track can be used:\n  Track00001: .*mix\.flac"):
        estimate.of_tracks(*find_tracks(tmp_path), RecordConfig(FRONT_ENDS["default"]), FilesOnDisk(tmp_path))


def test_a_dry_run_refuses_what_the_build_refuses(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").touch()
    result = run_builder("--demo", 1, "--out", tmp_path, "--dry-run")
    assert result.exit_code == 1
    assert "is not empty" in result.stderr


@pytest.mark.parametrize("is_archive", [False, True])
def test_a_dry_run_counts_stems(tmp_path: Path, is_archive: bool) -> None:
    tree = tmp_path / "tree"
    write_track(tree / "test" / "Track00001")
    for number in range(2, 6):
        write_track(tree / "train" / f"Track{number:05d}", seed=number)
    source = tree
    if is_archive:
        source = tmp_path / "slakh.tar"
        with tarfile.open(source, "w") as archive:
            archive.add(tree, "slakh2100")
    arguments = ("--slakh", source, "--out", tmp_path / "data", "--workers", 1, "--stems")
    dry, built = run_builder(*arguments, "--dry-run"), run_builder(*arguments)
    assert (dry.exit_code, built.exit_code) == (0, 0), dry.output + built.output
    assert table(dry.stdout) == table(built.stdout)
    assert table(dry.stdout)[1][:3] == ["train", "4", "8"]
    assert ("all tracks are assumed to be as long" in dry.stdout) == is_archive
    told = re.search(r"About ([\d.]+) MB", dry.stdout)
    size = sum(shard.num_bytes for shard in manifest.read_manifest(tmp_path / "data").shards())
    assert told is not None
    assert float(told[1]) == pytest.approx(size / 1e6, rel=0.03)


@pytest.mark.slow
def test_a_dry_run_counts_voices(tmp_path: Path) -> None:
    (tmp_path / "songs").mkdir()
    for number in range(6):
        song, part = pretty_midi.PrettyMIDI(), pretty_midi.Instrument(8 * number)
        part.notes = [pretty_midi.Note(90, 50 + (number + 1) * step % 13, step, step + 0.9) for step in range(4)]
        song.instruments.append(part)
        song.write(str(tmp_path / "songs" / f"{number}.mid"))
    sounds = ("--soundfont", default_soundfont(), "--augment", 1)
    arguments = ("--midi", tmp_path / "songs", *sounds, "--split", "train", "--stems", "--out", tmp_path / "data")
    dry, built = run_builder(*arguments, "--dry-run"), run_builder(*arguments)
    assert (dry.exit_code, built.exit_code) == (0, 0), dry.output + built.output
    assert table(dry.stdout) == table(built.stdout)
    assert 6 < int(table(dry.stdout)[1][2]) < 12


@pytest.mark.slow
def test_a_dry_run_of_the_demo_renders_a_few_songs_and_keeps_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    arguments = ("--demo", 4, "--out", tmp_path / "data", "--dry-run", "--workers", 2)
    assert "MB of rendered audio" in run_builder(*arguments, "--keep-audio", tmp_path / "tree").stdout
    dry = run_builder(*arguments)
    assert dry.exit_code == 0, dry.output
    assert "rendered audio" not in dry.stdout
    assert not list(tmp_path.iterdir())
    built = run_builder("--demo", 4, "--out", tmp_path / "data", "--workers", 2)
    assert table(dry.stdout) == table(built.stdout)


def test_a_dry_run_leaves_out_what_the_build_leaves_out(tmp_path: Path) -> None:
    for name, end in (("a.mid", 4.0), ("b.mid", 5.0), ("long.mid", 2500.0)):
        song = pretty_midi.PrettyMIDI()
        song.instruments.append(pretty_midi.Instrument(0))
        pitch = 60 + ord(name[0]) % 12
        song.instruments[0].notes = [pretty_midi.Note(90, pitch, start, start + 1) for start in (0.0, end - 1)]
        song.write(str(tmp_path / name))
    arguments = ("--midi", tmp_path, "--soundfont", default_soundfont(), "--out", tmp_path / "data", "--split", "train")
    result = run_builder(*arguments, "--dry-run", "--workers", 1)
    assert result.exit_code == 1
    assert re.search(
        r"skipped: long\.mid: .* 2502 s long; at most 2400 s can be rendered. Shorten it with --excerpt", result.stdout
    )
    assert table(result.stdout)[1][1] == "2"
    assert run_builder(*arguments, "--dry-run", "--workers", 1, "--skip-bad").exit_code == 0
    assert table(run_builder(*arguments, "--dry-run", "--workers", 1, "--excerpt", 10).stdout)[1][1] == "3"
    result = run_builder(*arguments, "--dry-run", "--excerpt", "nan")
    assert result.exit_code == 2
    assert "excerpt is nan; it must be a finite number of at least 1 second" in result.output
