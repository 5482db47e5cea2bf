"""Archives of Slakh trees: the same tracks as from the tree, one at a time on disk, and all kinds of damage."""

import gzip
import io
import json
import subprocess
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
from helpers.slakh_tree import write_track

from mir_tf.config import FRONT_ENDS
from mir_tf.errors import DataError
from tfrecords_builder import estimate
from tfrecords_builder.records.make import RecordConfig, make_records
from tfrecords_builder.slakh.archive import Archive
from tfrecords_builder.slakh.tree import Skipped, Track, choose_tracks, find_tracks
from tfrecords_builder.sources import SlakhSource

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
    leftovers = ("__MACOSX/train/Track00001/mix.flac", "train/._Track00007/mix.flac", "train/.DS_Store")
    for name in (
        *leftovers,
        "Track00009.txt",
        "train/Track00001/stems/._S00.flac",
        "train/Track00001/MIDI/more/S09.mid",
    ):
        (tree / name).parent.mkdir(exist_ok=True, parents=True)
        (tree / name).write_bytes(b"x")
    path = pack(tree, tmp_path / "a.tar", mode="w")
    _, tracks, skipped = read(path, tmp_path / "scratch")
    assert [track.id for track in tracks] == ["Track00001", "Track00002", "Track00003", "Track00004"]
    assert skipped == []
    outside = ["../Track00001/mix.flac", "train/Track00007/../mix.flac"]
    with tarfile.open(path, "a") as archive:
        for name in outside:
            archive.addfile(tarfile.TarInfo(name), io.BytesIO())
    _, same, skipped = read(path, tmp_path / "scratch")
    assert (same, [item.item for item in skipped]) == (tracks, outside)
    assert all("ignored, because its name contains '..'" in item.reason for item in skipped)


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


ALL = ["Track00001", "Track00002", "Track00003", "Track00004"]


def tar_bytes(tree: Path, folder: Path, name: str, mode: str = "w") -> bytes:
    return pack(tree, folder / name, mode=mode).read_bytes()


@pytest.mark.parametrize("mode", ["w", "w:gz"])
@pytest.mark.parametrize("padding", [0, 10_240])
def test_joined_archives_are_read_to_the_end(tmp_path: Path, mode: str, padding: int) -> None:
    path = tmp_path / "both.tar"
    tree = write_tree(tmp_path / "tree")
    content = b""
    for part in ("train", "test", "validation"):
        (tmp_path / part).mkdir()
        (tree / part).rename(tmp_path / part / part)
        content += tar_bytes(tmp_path / part, tmp_path, f"{part}.tar", mode) + bytes(padding if mode == "w" else 0)
    path.write_bytes(content)
    archive, tracks, skipped = read(path, tmp_path / "scratch")
    assert ([track.id for track in tracks], skipped) == (ALL, [])
    assert sorted(track.id for track in archive.open(tracks)) == ALL


@pytest.mark.parametrize("mode", ["w", "w:gz"])
@pytest.mark.parametrize("junk", [b"junk", b"\n" * 2000, b"\x1f\x8b", b"PK\3\4" + b"x" * 3000])
def test_what_follows_an_archive_is_named_and_the_archive_is_read(tmp_path: Path, mode: str, junk: bytes) -> None:
    path = pack(write_tree(tmp_path / "tree"), tmp_path / "a.tar", mode=mode)
    path.write_bytes(path.read_bytes() + junk)
    archive, tracks, skipped = read(path, tmp_path / "scratch")
    assert ([track.id for track in tracks], [item.item for item in skipped]) == (ALL, ["a.tar"])
    assert sorted(track.id for track in archive.open(tracks)) == ALL


def test_a_damaged_header_is_not_the_end(tmp_path: Path) -> None:
    path = pack(write_tree(tmp_path / "tree"), tmp_path / "a.tar", mode="w")
    with tarfile.open(path) as archive:
        offset = next(info.offset for info in archive if info.name == "train/Track00002/MIDI/S01.mid")
    content = bytearray(path.read_bytes())
    content[offset + 150] ^= 1
    path.write_bytes(content)
    _, tracks, skipped = read(path, tmp_path / "scratch")
    assert [track.id for track in tracks] == ["Track00001", "Track00004"]  # in the order of the archive: test, train
    assert [item.item for item in skipped] == ["Track00002", "a.tar"]
    assert all("damaged header: bad checksum" in item.reason for item in skipped)


@pytest.mark.parametrize("name", ["a.tar", "a.tar.gz", "a.tar.gz.part-aa", "a.tar.00", "a.tar.gzaa", "a.tgz.001"])
def test_an_archive_cut_in_its_first_track_names_it(tmp_path: Path, name: str) -> None:
    path = pack(write_tree(tmp_path / "tree"), tmp_path / name, mode="w:gz" if "gz" in name else "w")
    path.write_bytes(path.read_bytes()[:8000])
    with pytest.raises(DataError) as error:
        read(path, tmp_path / "scratch")
    assert f"{path}: damaged or truncated: " in str(error.value)
    assert "the damage is in or after Track00004, the first track" in str(error.value)
    assert ("a part of a split archive: join all parts in order" in str(error.value)) == (
        name not in ("a.tar", "a.tar.gz")
    )


def test_parts_in_the_wrong_order_or_the_last_alone_are_named(tmp_path: Path) -> None:
    content = tar_bytes(write_tree(tmp_path / "tree"), tmp_path, "a.tar")
    size = len(content) // 3 // 512 * 512 + 100
    parts = [content[at : at + size] for at in range(0, len(content), size)]
    path = tmp_path / "joined.tar"
    path.write_bytes(parts[0] + parts[2] + parts[1])
    _, tracks, skipped = read(path, tmp_path / "scratch")
    assert "joined.tar" in [item.item for item in skipped]
    assert len(tracks) < 4
    path = tmp_path / "a.tar.part-ab"
    path.write_bytes(parts[1])
    with pytest.raises(DataError, match=r"part-ab: not a readable .*cat a\.tar\.\* > a\.tar\)"):
        read(path, tmp_path / "scratch")


def test_a_gz_cut_in_its_checksum_keeps_its_tracks_and_is_named(tmp_path: Path) -> None:
    path = pack(write_tree(tmp_path / "tree"), tmp_path / "a.tar.gz")
    path.write_bytes(path.read_bytes()[:-5])
    archive, tracks, skipped = read(path, tmp_path / "scratch")
    assert [track.id for track in tracks] == ALL
    assert skipped == [Skipped("a.tar.gz", f"{path}: cut off in its last bytes, which contain a checksum")]
    assert sorted(track.id for track in archive.open(tracks)) == ALL


@pytest.mark.parametrize(
    ("mode", "kind"), [("zip", "a .zip"), ("w:bz2", "a .tar.bz2"), ("w:xz", "a .tar.xz"), ("zst", "a .tar.zst")]
)
def test_other_archives_are_named(tmp_path: Path, mode: str, kind: str) -> None:
    path = tmp_path / "a.tar.gz"
    tree = write_tree(tmp_path / "tree")
    if mode == "zip":
        with zipfile.ZipFile(path, "w") as archive:
            archive.write(tree / "train/Track00001/mix.flac", "train/Track00001/mix.flac")
    elif mode == "zst":
        path.write_bytes(b"\x28\xb5\x2f\xfd" + bytes(1000))
    else:
        pack(tree, path, mode=mode)
    with pytest.raises(DataError, match=rf"a\.tar\.gz: {kind}, not a readable \.tar or \.tar\.gz; unpack it"):
        read(path, tmp_path / "scratch")


def test_a_tar_that_is_a_gz_and_the_reverse_are_read(tmp_path: Path) -> None:
    tree = write_tree(tmp_path / "tree")
    for name, mode in (("gz.tar", "w:gz"), ("plain.tar.gz", "w")):
        assert [track.id for track in read(pack(tree, tmp_path / name, mode=mode), tmp_path / name[:2])[1]] == ALL


@pytest.mark.parametrize(
    ("prefix", "rename"),
    [
        ("/abs/olute/", None),
        ("./", None),
        ("", lambda name: name.replace("/", "\\")),
        ("train/", None),
        ("x" * 90 + "/" + "y" * 150 + "/", None),
    ],
)
def test_odd_names_are_understood(tmp_path: Path, prefix: str, rename) -> None:
    tree = write_tree(tmp_path / "tree")
    (tree / "omitted").mkdir()
    path = tmp_path / "a.tar"
    for kind in (tarfile.GNU_FORMAT, tarfile.PAX_FORMAT):
        with tarfile.open(path, "w", format=kind, pax_headers={"comment": "x" * 3000}) as archive:
            for file in sorted(tree.rglob("*")):
                info = archive.gettarinfo(file, prefix + file.relative_to(tree).as_posix())
                info.name = prefix + file.relative_to(tree).as_posix()
                info.name = info.name if rename is None else rename(info.name)
                info.pax_headers = {"mtime": "1.5"} if kind == tarfile.PAX_FORMAT else {}
                archive.addfile(info, io.BytesIO(file.read_bytes()) if file.is_file() else None)
        archive, tracks, skipped = read(path, tmp_path / "scratch")
        expected = [("1", "train"), ("2", "train"), ("3", "validation"), ("4", "test")]
        assert ([(track.id[-1], track.split) for track in tracks], skipped) == (expected, [])
        for track in archive.open(tracks):
            assert track.mix.is_file()
            archive.close(track)


def test_sparse_files_are_whole(tmp_path: Path) -> None:
    tree = write_tree(tmp_path / "tree")
    mix = tree / "train/Track00001/mix.flac"
    size = mix.stat().st_size
    with mix.open("r+b") as file:  # a hole after the audio; a decoder need not like it
        file.truncate(size + (1 << 22))
    path = tmp_path / "a.tar"
    subprocess.run(["tar", "--sparse", "-cf", path, "-C", tree, "."], check=True)
    assert path.stat().st_size < 1 << 22
    archive, tracks, skipped = read(path, tmp_path / "scratch")
    assert ([track.id for track in tracks], skipped) == (ALL, [])
    for track in archive.open(tracks):
        if track.id == "Track00001":
            assert track.mix.read_bytes() == mix.read_bytes()


def test_splits_of_an_archive_are_those_of_its_tree(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    for number, place in enumerate(["train/train", "val/Slakh/validation", "Test", "train/test", "", "eval"]):
        write_track(tree / place / f"Track{number + 1:05d}", seed=number)
    for copy in ("train/train/Track00001 (1)", "train/00009"):
        write_track(tree / copy)
    (tree / "omitted").mkdir()
    (tree / "validation.zip").touch()
    (tree / "train" / "Track00012").touch()
    _, tracks, skipped = read(pack(tree, tmp_path / "a.tar"), tmp_path / "scratch")
    expected, expected_skipped = find_tracks(tree)
    assert [(track.id, track.split) for track in tracks] == [(track.id, track.split) for track in expected]
    assert [track.split for track in expected] == ["train", "validation", "test"]
    assert sorted(item.item for item in skipped) == sorted(item.item for item in expected_skipped)
    assert len(skipped) == 6


@pytest.mark.parametrize("prefix", ["", "outer/"])
def test_songs_in_an_archive_are_named_by_the_file_above_all_tracks(tmp_path: Path, prefix: str) -> None:
    tree = write_tree(tmp_path / "tree")
    (tree / "train" / "songs.json").write_text("a file of another program")
    assert len(read(pack(tree, tmp_path / "a.tar", prefix), tmp_path / "scratch")[1]) == 4
    (tree / "songs.json").write_text(json.dumps({f"Track0000{number}": {"song": "waltz"} for number in range(1, 5)}))
    tracks = read(pack(tree, tmp_path / "a.tar", prefix), tmp_path / "scratch")[1]
    assert {track.song for track in tracks} == {"waltz"}


def test_messages_name_the_archive_and_not_where_it_is_unpacked(tmp_path: Path) -> None:
    tree = write_tree(tmp_path / "tree")
    (tree / "validation").rename(tree / "eval")
    (tree / "test" / "Track00004" / "mix.flac").write_bytes(b"fLaC")
    source, scratch = SlakhSource(pack(tree, tmp_path / "a.tar")), tmp_path / "scratch"
    tracks, skipped, track_source = source.choose(scratch, CONFIG)
    result = estimate.of_tracks(tracks, skipped, CONFIG, track_source, is_stream=True)
    start = f"{tmp_path / 'a.tar'}/"
    assert sorted(item.reason.partition(":")[0] for item in result.skipped) == [
        f"{start}eval/Track00003",
        f"{start}test/Track00004/mix.flac",
    ]
    (tree / "test" / "Track00004").rename(tree / "test" / "track4")
    write_track(tree / "test" / "Track00004")
    with pytest.raises(DataError, match=f"^{start}test/Track00004 and {start}test/track4 have the same name"):
        SlakhSource(pack(tree, tmp_path / "a.tar")).choose(scratch, CONFIG)


def test_an_archive_of_archives_names_them(tmp_path: Path) -> None:
    tree = write_tree(tmp_path / "tree")
    (tmp_path / "outer").mkdir()
    pack(tree, tmp_path / "outer" / "train.tar", mode="w")
    with pytest.raises(DataError, match=r"no track found; .*\n  train\.tar: .*train\.tar: an archive; unpack it"):
        read(pack(tmp_path / "outer", tmp_path / "a.tar.gz"), tmp_path / "scratch")


def test_an_archive_of_the_files_of_a_track_is_named(tmp_path: Path) -> None:
    path = pack(write_track(tmp_path / "Track00001"), tmp_path / "Track00001.tar.gz")
    with pytest.raises(DataError, match=r"Track00001\.tar\.gz: is itself a track; give a folder or an archive"):
        read(path, tmp_path / "scratch")


def test_an_archive_named_as_a_split_is_that_split(tmp_path: Path) -> None:
    path = pack(write_tree(tmp_path / "tree", flat=True), tmp_path / "validation.tar.gz")
    assert {track.split for track in read(path, tmp_path / "scratch")[1]} == {"validation"}


def test_several_releases_in_an_archive_are_refused(tmp_path: Path) -> None:
    for place in ("redux/train/Track00001", "original/train/Track00002"):
        write_track(tmp_path / "tree" / place)
    with pytest.raises(DataError, match="contains several releases of Slakh"):
        read(pack(tmp_path / "tree", tmp_path / "a.tar"), tmp_path / "scratch")


def test_headers_made_to_exhaust_memory_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    tree = write_tree(tmp_path / "tree")
    good = tar_bytes(tree, tmp_path, "good.tar")

    def header(kind: bytes, size: int, name: str = "x") -> bytes:
        info = tarfile.TarInfo(name)
        info.type, info.size = kind, size
        return info.tobuf(tarfile.GNU_FORMAT)

    for evil in (
        header(tarfile.GNUTYPE_LONGNAME, 1 << 35),
        header(tarfile.XHDTYPE, 1 << 33),
        header(tarfile.GNUTYPE_LONGNAME, 5) + b"name".ljust(512, b"\0"),
        (header(tarfile.GNUTYPE_LONGNAME, 5) + b"name".ljust(512, b"\0")) * 5000,
        header(tarfile.XHDTYPE, 12) + b"99999999 a=b".ljust(512, b"\0"),
        header(tarfile.XHDTYPE, 20) + b"20 size=99999999999\n".ljust(512, b"\0"),
    ):
        path.write_bytes(good[:-10_240] + evil)
        try:
            _, _, skipped = read(path, tmp_path / "scratch")
        except DataError:
            continue
        assert skipped, evil[:600]
    path.write_bytes(header(tarfile.REGTYPE, 1 << 40, "train/Track00001/metadata.yaml") + good)
    with pytest.raises(DataError, match="in or after Track00001, the first track"):
        read(path, tmp_path / "scratch")


def test_zeros_in_an_archive_are_named(tmp_path: Path) -> None:
    path = pack(write_tree(tmp_path / "tree"), tmp_path / "a.tar", mode="w")
    content = path.read_bytes()
    with tarfile.open(path) as archive:
        places = {info.name: info.offset for info in archive}
    first, last = places["train/Track00001"], places["train/Track00002"]
    path.write_bytes(content[:first] + bytes(last - first) + content[last:])
    _, tracks, skipped = read(path, tmp_path / "scratch")
    assert [track.id for track in tracks] == ["Track00002", "Track00003", "Track00004"]
    assert [item.item for item in skipped] == ["a.tar"]
    assert f"has zeros before byte {last}: " in skipped[0].reason
    path.write_bytes(content[:first] + bytes(2 << 20))
    _, tracks, skipped = read(path, tmp_path / "scratch")
    assert [track.id for track in tracks] == ["Track00004"]
    assert sorted(item.item for item in skipped) == ["a.tar", "train"]
    assert "as an incomplete download does" in next(item.reason for item in skipped if item.item == "a.tar")


def test_a_track_folder_without_files_is_named(tmp_path: Path) -> None:
    tree = write_tree(tmp_path / "tree")
    (tree / "train/Track00009").mkdir()
    _, tracks, skipped = read(pack(tree, tmp_path / "a.tar"), tmp_path / "scratch")
    assert [track.id for track in tracks] == ALL
    assert [item.item for item in skipped] == ["Track00009"]
    assert [item.item for item in find_tracks(tree)[1]] == ["Track00009"]
