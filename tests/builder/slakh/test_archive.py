"""Archives of Slakh trees: the same tracks as from the tree, one at a time on disk, and all kinds of damage."""

import gzip
import io
import tarfile
from pathlib import Path

import numpy as np
import pytest
from helpers.slakh_tree import write_track

from mir_tf.config import FRONT_ENDS
from mir_tf.errors import DataError
from tfrecords_builder.records.make import RecordConfig, make_records
from tfrecords_builder.slakh.archive import Archive
from tfrecords_builder.slakh.tree import Skipped, Track, choose_tracks, find_tracks

CONFIG = RecordConfig(FRONT_ENDS["default"], labels="audible")


def write_tree(root: Path, flat: bool = False) -> Path:
    for number, split in enumerate(["train", "train", "validation", "test"]):
        write_track(root / ("" if flat else split) / f"Track{number + 1:05d}", seed=number)
    return root


def pack(tree: Path, path: Path, prefix: str = "", mode: str = "w:gz") -> Path:
    with tarfile.open(path, mode) as archive:
        for file in sorted(tree.rglob("*")):
            archive.add(file, prefix + file.relative_to(tree).as_posix(), recursive=False)
    return path


def read(path: Path, scratch: Path) -> tuple[Archive, list[Track], list[Skipped]]:
    archive = Archive(path, scratch, with_stems=True)
    tracks, skipped = choose_tracks(archive.layout())
    return archive, tracks, skipped


def files_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize("flat", [False, True])
@pytest.mark.parametrize(
    ("name", "mode", "prefix"),
    [
        ("a.tar.gz", "w:gz", "slakh2100_flac_redux/"),
        ("a.tar", "w", ""),
        ("a.tar", "w", "./here/there/"),
        ("a.tar", "w", "Tracks/"),
    ],
)
def test_an_archive_gives_the_records_of_its_tree(
    tmp_path: Path, flat: bool, name: str, mode: str, prefix: str
) -> None:
    tree = write_tree(tmp_path / "tree", flat)
    archive, tracks, skipped = read(pack(tree, tmp_path / name, prefix, mode), tmp_path / "scratch")
    expected, _ = find_tracks(tree)
    assert skipped == []
    assert [(track.id, track.song, track.split) for track in tracks] == [
        (track.id, track.song, track.split) for track in expected
    ]
    # Nothing lies on disk yet, but what tells the songs of a flat tree apart.
    assert files_in(tmp_path / "scratch") == (["all_src.mid"] * 4 if flat else [])
    seen = []
    for track in archive.open(tracks):
        others = [other for other in tracks if other.mix.exists() and other is not track]
        assert not others
        (record,) = make_records(track, CONFIG)
        (same,) = make_records(next(other for other in expected if other.id == track.id), CONFIG)
        np.testing.assert_array_equal(record.log_mel, same.log_mel)
        np.testing.assert_array_equal(record.activity, same.activity)
        np.testing.assert_array_equal(record.audible, same.audible)
        archive.close(track)
        seen.append(track)
    assert sorted(seen, key=lambda track: track.id) == tracks
    assert files_in(tmp_path / "scratch") == []


def test_only_what_is_wanted_and_needed_is_unpacked(tmp_path: Path) -> None:
    path = pack(write_tree(tmp_path / "tree"), tmp_path / "a.tar.gz")
    archive = Archive(path, tmp_path / "scratch", with_stems=False)
    tracks, _ = choose_tracks(archive.layout())
    assert list(archive.open(tracks[1:2])) == tracks[1:2]
    assert files_in(tmp_path / "scratch") == ["S00.mid", "S01.mid", "mix.flac"]
    assert list(archive.open([])) == []


def test_members_beside_the_tracks_are_none(tmp_path: Path) -> None:
    tree = write_tree(tmp_path / "tree")
    for name in ("Track00009.txt", "train/Track00001/stems/._S00.flac", "train/Track00001/MIDI/more/S09.mid"):
        (tree / name).parent.mkdir(exist_ok=True)
        (tree / name).write_bytes(b"x")
    path = pack(tree, tmp_path / "a.tar", mode="w")
    with tarfile.open(path, "a") as archive:
        for name in ("../Track00001/mix.flac", "train/Track00007/../mix.flac"):
            archive.addfile(tarfile.TarInfo(name), io.BytesIO())
    _, tracks, skipped = read(path, tmp_path / "scratch")
    assert [track.id for track in tracks] == ["Track00001", "Track00002", "Track00003", "Track00004"]
    assert skipped == []


def test_a_damaged_track_in_a_whole_archive_is_named(tmp_path: Path) -> None:
    tree = write_tree(tmp_path / "tree")
    (tree / "train/Track00002/mix.flac").unlink()
    _, tracks, skipped = read(pack(tree, tmp_path / "a.tar.gz"), tmp_path / "scratch")
    assert [track.id for track in tracks] == ["Track00001", "Track00003", "Track00004"]
    assert [item.item for item in skipped] == ["Track00002"]
    assert "Track00002/mix.flac: missing" in skipped[0].reason


@pytest.mark.parametrize("name", ["a.tar", "a.tar.gz"])
@pytest.mark.parametrize("keep", [0.4, 0.6, 0.8])
def test_a_truncated_archive_is_named_and_what_stands_before_is_built(tmp_path: Path, name: str, keep: float) -> None:
    tree = tmp_path / "tree"
    for number in range(1, 11):
        write_track(tree / "train" / f"Track{number:05d}", seed=number)
    path = pack(tree, tmp_path / name, mode="w:gz" if name.endswith("gz") else "w")
    path.write_bytes(path.read_bytes()[: int(keep * path.stat().st_size)])
    archive, tracks, skipped = read(path, tmp_path / "scratch")
    assert abs(len(tracks) - 10 * keep) <= 1.5
    assert [track.id for track in tracks] == [f"Track{number + 1:05d}" for number in range(len(tracks))]
    assert sorted(item.item for item in skipped) == sorted([f"Track{len(tracks) + 1:05d}", name])
    assert all(item.is_bad and f"{path}: damaged or truncated" in item.reason for item in skipped)
    for track in archive.open(tracks):
        for file in (track.mix, *(stem.audio for stem in track.stems), *(stem.midi for stem in track.stems)):
            assert file.read_bytes() == (tree / file.relative_to(tmp_path / "scratch")).read_bytes()
        archive.close(track)


def test_an_archive_cut_between_two_members_is_noticed(tmp_path: Path) -> None:
    path = pack(write_tree(tmp_path / "tree"), tmp_path / "a.tar", mode="w")
    with tarfile.open(path) as archive:
        border = next(info.offset for info in archive if info.name == "validation/Track00003")
    path.write_bytes(path.read_bytes()[:border])
    _, tracks, skipped = read(path, tmp_path / "scratch")
    assert "a.tar" in [item.item for item in skipped]
    assert "its end mark is missing" in skipped[0].reason
    # In the order of the archive: test, train. What the last track lacks cannot be known.
    assert [track.id for track in tracks] == ["Track00001", "Track00004"]


def test_a_wrong_checksum_is_noticed(tmp_path: Path) -> None:
    path = pack(write_tree(tmp_path / "tree"), tmp_path / "a.tar.gz")
    content = bytearray(path.read_bytes())
    content[-6] ^= 1
    path.write_bytes(content)
    with pytest.raises(
        DataError, match=r"a\.tar\.gz: altered: CRC check failed .*; the place of the damage is unknown"
    ):
        read(path, tmp_path / "scratch")


def test_an_altered_byte_is_not_blamed_on_a_track_that_is_whole(tmp_path: Path) -> None:
    tree = write_tree(tmp_path / "tree")
    path = tmp_path / "a.tar.gz"
    with gzip.open(path, "wb", compresslevel=0) as file:  # stored: the bit is one of a MIDI file
        pack(tree, tmp_path / "a.tar", mode="w")
        file.write((tmp_path / "a.tar").read_bytes())
    content = bytearray(path.read_bytes())
    content[content.index((tree / "train/Track00002/MIDI/S01.mid").read_bytes()) + 30] ^= 1
    path.write_bytes(content)
    with pytest.raises(DataError, match="any track may be wrong"):
        read(path, tmp_path / "scratch")


def test_links_and_files_that_are_there_twice_are_named(tmp_path: Path) -> None:
    tree, path = write_tree(tmp_path / "tree"), tmp_path / "a.tar"
    (tree / "train/Track00005").symlink_to("Track00001")
    (tree / "train/Track00002/MIDI/S01.mid").unlink()
    (tree / "train/Track00002/MIDI/S01.mid").hardlink_to(tree / "train/Track00001/MIDI/S01.mid")
    pack(tree, path, mode="w")
    with tarfile.open(path, "a") as archive:
        archive.add(tree / "test/Track00004/metadata.yaml", "test/Track00004/metadata.yaml")
    _, tracks, skipped = read(path, tmp_path / "scratch")
    assert [track.id for track in tracks] == ["Track00001", "Track00003"]
    link = "is a link; pack the archive with tar --dereference --hard-dereference"
    twice = "is in the archive twice, as after tar -r or -u; pack the archive again"
    assert {item.item: item.reason for item in skipped} == {
        "Track00002": f"train/Track00002/MIDI/S01.mid: {link}",
        "Track00004": f"test/Track00004/metadata.yaml: {twice}",
        "Track00005": f"train/Track00005: {link}",
    }
    assert all(item.is_bad for item in skipped)


# No time of day in the gzip: it would stand in the test's name, on which processes that share the tests must agree.
@pytest.mark.parametrize(
    "content", [b"", b"no archive at all", gzip.compress(b"no archive either", mtime=0), b"\x1f\x8b"]
)
def test_what_is_no_archive_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.tar.gz").write_bytes(content)
    with pytest.raises(DataError, match=r"a\.tar\.gz: not a readable \.tar or \.tar\.gz"):
        read(tmp_path / "a.tar.gz", tmp_path / "scratch")


def test_an_archive_without_tracks_is_refused(tmp_path: Path) -> None:
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / "readme").touch()
    with pytest.raises(DataError, match="no track found"):
        read(pack(tmp_path / "tree", tmp_path / "a.tar"), tmp_path / "scratch")
    with pytest.raises(DataError, match="cannot be opened"):
        read(tmp_path / "absent.tar", tmp_path / "scratch")


def test_an_archive_that_changes_is_named(tmp_path: Path) -> None:
    path = pack(write_tree(tmp_path / "tree"), tmp_path / "a.tar.gz")
    archive, tracks, _ = read(path, tmp_path / "scratch")
    (tmp_path / "tree/validation/Track00003/mix.flac").unlink()
    pack(tmp_path / "tree", path)
    with pytest.raises(DataError, match="has changed since it was listed: files of Track00003 are gone"):
        list(archive.open(tracks))
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(DataError, match="damaged since it was listed"):
        list(archive.open(tracks))
