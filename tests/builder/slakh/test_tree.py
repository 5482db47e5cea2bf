"""The layouts of Slakh's releases, and all kinds of damage to a track."""

import json
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import soundfile
import yaml
from helpers.slakh_tree import write_track

from mir_tf.errors import DataError
from tfrecords_builder.slakh import tree

MakeTrack = Callable[..., Path]

BOMB = "a0: &a0 [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"a{i}: &a{i} [{','.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 10)
)
"""YAML of 491 bytes that stands for three billion values."""


@pytest.fixture
def make_track(tmp_path: Path) -> MakeTrack:
    """Write a track at a place in the tree such as ``train/Track00001``."""
    return lambda place, **options: write_track(tmp_path / "tree" / place, **options)


def change_metadata(folder: Path, stem: str, **changes: object) -> None:
    path = folder / "metadata.yaml"
    metadata = yaml.safe_load(path.read_text())
    metadata["stems"][stem].update(changes)
    path.write_text(yaml.safe_dump(metadata))


@pytest.mark.parametrize("release", ["slakh2100_flac_redux", "babyslakh_16k"])
def test_the_genuine_layouts_are_read(shared_folder: Path, release: str) -> None:
    root = shared_folder / "data" / "slakh_fixture" / "mirdata" / release
    (track,), skipped = tree.find_tracks(root)
    assert not skipped
    assert (track.id, track.split, track.mix.stem) == ("Track00001", "train", "mix")
    # Program by stem, as metadata.yaml has it; S06 has no plugin and was not rendered.
    assert {stem.name: stem.program for stem in track.stems} == {
        "S00": 30, "S01": 128, "S02": 1, "S03": 33, "S04": 52,
        "S05": 17, "S07": 26, "S08": 30, "S09": 22, "S10": 22,
    }  # fmt: skip
    assert all(stem.midi == track.mix.parent / "MIDI" / f"{stem.name}.mid" for stem in track.stems)


def test_split_folders_tell_the_split_and_omitted_stays_out(tmp_path: Path, make_track: MakeTrack) -> None:
    for place in ("train/Track00003", "validation/Track00002", "test/Track00001", "omitted/Track00004"):
        make_track(place)
    tracks, skipped = tree.find_tracks(tmp_path / "tree")
    assert [(track.id, track.split) for track in tracks] == [
        ("Track00001", "test"),
        ("Track00002", "validation"),
        ("Track00003", "train"),
    ]
    assert [(item.item, item.is_bad) for item in skipped] == [("Track00004", False)]
    assert "omitted" in skipped[0].reason


@pytest.mark.parametrize("place", ["", "train"])
def test_files_beside_the_tracks_are_none(tmp_path: Path, make_track: MakeTrack, place: str) -> None:
    make_track(Path(place, "Track00001"))
    (tmp_path / "tree" / place / "Track00001.tar.gz").touch()  # unpacked already
    (tmp_path / "tree" / place / "Tracks.csv").touch()
    (tmp_path / "tree" / place / "._Track00002").touch()  # macOS leaves such
    (tmp_path / "tree" / place / "Track00001" / "stems" / "._S00.flac").touch()
    for name in (".DS_Store", "Thumbs.db", "desktop.ini"):
        (tmp_path / "tree" / place / "Track00001" / "stems" / name).touch()
    make_track("__MACOSX/train/Track00001")
    tracks, skipped = tree.find_tracks(tmp_path / "tree")
    assert [track.id for track in tracks] == ["Track00001"]
    assert not skipped


def test_the_song_of_a_split_tree_is_its_midi_file(tmp_path: Path, make_track: MakeTrack) -> None:
    make_track("train/Track00001")
    ((track,), _) = tree.find_tracks(tmp_path / "tree")
    assert track.song == "uuid-Track00001"


def test_a_rendered_tree_tells_its_songs(tmp_path: Path, make_track: MakeTrack) -> None:
    make_track("train/Track00001")
    path = tmp_path / "tree" / "songs.json"
    path.write_text(json.dumps({"Track00001": {"song": "waltz"}}))
    ((track,), _) = tree.find_tracks(tmp_path / "tree")
    assert track.song == "waltz"
    for damaged in ("{", "[]", "{}", '{"Track00001": 3}', '{"Track00001": {"song": []}}', "[" * 100_000):
        path.write_text(damaged)
        with pytest.raises(DataError, match=r"songs\.json: damaged"):
            tree.find_tracks(tmp_path / "tree")


@pytest.mark.parametrize("place", ["", "outer", "outer/rendered"])
def test_an_outer_folder_of_a_rendered_tree_does_not_matter(tmp_path: Path, place: str) -> None:
    folder = tmp_path / "tree" / place
    write_track(folder / "train" / "Track00001")
    write_track(folder / "test" / "Track00002")
    (folder / "songs.json").write_text(json.dumps({f"Track0000{number}": {"song": "waltz"} for number in (1, 2)}))
    (folder / "train" / "songs.json").write_text("a file of another program")
    tracks, _ = tree.find_tracks(tmp_path / "tree")
    assert [track.song for track in tracks] == ["waltz", "waltz"]


def test_a_pipe_in_place_of_a_file_is_named(tmp_path: Path, make_track: MakeTrack) -> None:
    make_track("Track00001")
    notes = make_track("Track00002") / "all_src.mid"
    notes.unlink()
    os.mkfifo(notes)
    _, (skipped,) = tree.find_tracks(tmp_path / "tree")
    assert skipped.reason == f"{notes}: cannot be read: it is not a file"
    os.mkfifo(tmp_path / "tree" / "songs.json")
    with pytest.raises(DataError, match=r"songs\.json: cannot be read: it is not a file"):
        tree.find_tracks(tmp_path / "tree")


def test_a_song_named_by_a_huge_number_spoils_its_track_alone(tmp_path: Path, make_track: MakeTrack) -> None:
    make_track("train/Track00001")
    metadata = make_track("train/Track00002") / "metadata.yaml"
    metadata.write_text(re.sub("UUID: .*", f"UUID: 0x{'f' * 3900}", metadata.read_text()))
    tracks, (skipped,) = tree.find_tracks(tmp_path / "tree")
    assert [track.id for track in tracks] == ["Track00001"]
    assert "Track00002/metadata.yaml: cannot be read: a value has more than 3500 characters" in skipped.reason


def test_a_flat_tree_is_split_by_song(tmp_path: Path, make_track: MakeTrack) -> None:
    """Tracks 0 and 10, 1 and 11, ... have the same notes: ten songs, which are split 8, 1, 1."""
    melody = [(0.1 * i, 0.1 * i + 0.05) for i in range(100)]
    for number in range(20):
        make_track(f"Track{number:05d}", stems={"S00": (number, melody)}, seed=number % 10)
    tracks, skipped = tree.find_tracks(tmp_path / "tree", seed=1)
    assert not skipped
    assert {track.id: track.song for track in tracks} == {
        f"Track{number:05d}": f"Track{number % 10:05d}" for number in range(20)
    }
    split_of_song = {track.song: track.split for track in tracks}
    assert all(track.split == split_of_song[track.song] for track in tracks)
    assert sorted(split_of_song.values()) == ["test"] + 8 * ["train"] + ["validation"]
    assert tree.find_tracks(tmp_path / "tree", seed=1)[0] == tracks
    assert tree.find_tracks(tmp_path / "tree", seed=2)[0] != tracks


def test_a_flat_track_whose_notes_cannot_be_read_is_named(tmp_path: Path, make_track: MakeTrack) -> None:
    make_track("Track00001")
    (make_track("Track00002") / "all_src.mid").unlink()
    tracks, skipped = tree.find_tracks(tmp_path / "tree")
    assert [track.id for track in tracks] == ["Track00001"]
    assert [item.item for item in skipped] == ["Track00002"]
    assert "all_src.mid" in skipped[0].reason


@pytest.mark.parametrize("folder", ["", "train", "omitted"])
def test_an_empty_tree_is_refused(tmp_path: Path, folder: str) -> None:
    (tmp_path / folder).mkdir(exist_ok=True)
    with pytest.raises(DataError, match="no track found"):
        tree.find_tracks(tmp_path)


def test_a_folder_of_two_genuine_releases_is_refused(shared_folder: Path) -> None:
    root = shared_folder / "data" / "slakh_fixture" / "mirdata"
    with pytest.raises(DataError) as refusal:
        tree.find_tracks(root)
    assert str(refusal.value) == (
        f"{root}: contains several releases of Slakh: {root / 'babyslakh_16k'} (1 track), "
        f"{root / 'slakh2100_flac_redux'} (1 track). Choose one and name its folder; if they are "
        "parts of one release, move their folders of splits together"
    )


@pytest.mark.parametrize(
    ("places", "refusal"),
    [
        (("redux/train/Track00001", "original/train/Track00002"), "contains several releases .*original .*redux"),
        (("redux/train/Track00002", "baby/Track00001"), "contains several releases .*baby .*redux"),
        (("baby/Track00001", "other/Track00001"), "contains several releases .*baby .*other"),
        (("train/Track00002", "redux/train/Track00001"), "has 1 track of its own and contains another .*redux"),
        (("train/Track00001", "baby/Track00001"), "has 1 track of its own and contains another .*baby"),
        (("Track00001", "baby/Track00001", "baby/Track00002"), r"another release of Slakh: .*baby \(2 tracks\)"),
        (("a/redux/train/Track00001", "a/original/train/Track00002"), "contains several releases .*original .*redux"),
    ],
)
def test_two_releases_in_one_folder_are_refused(
    tmp_path: Path, make_track: MakeTrack, places: tuple[str, ...], refusal: str
) -> None:
    for place in places:
        make_track(place)
    with pytest.raises(DataError, match=refusal):
        tree.find_tracks(tmp_path / "tree")


@pytest.mark.parametrize(
    "places", [("one/Track00001", "two/Track00002"), ("Track00001", "two/Track00002"), ("one/Track00001",)]
)
def test_folders_of_other_tracks_are_parts_of_one_release(
    tmp_path: Path, make_track: MakeTrack, places: tuple[str, ...]
) -> None:
    for place in places:
        make_track(place)
    tracks, _ = tree.find_tracks(tmp_path / "tree")
    assert [track.id for track in tracks] == [Path(place).name for place in places]


def test_two_tracks_of_one_name_are_refused(tmp_path: Path, make_track: MakeTrack) -> None:
    make_track("train/Track00001")
    make_track("test/Track00001")
    with pytest.raises(DataError, match=r"test/Track00001 and .*train/Track00001 have the same name"):
        tree.find_tracks(tmp_path / "tree")


def test_an_empty_folder_of_a_track_spoils_nothing(tmp_path: Path, make_track: MakeTrack) -> None:
    make_track("train/Track00001")
    (tmp_path / "tree" / "train" / "train" / "Track00001").mkdir(parents=True)
    tracks, skipped = tree.find_tracks(tmp_path / "tree")
    assert [track.id for track in tracks] == ["Track00001"]
    assert [item.reason for item in skipped] == [
        f"{tmp_path}/tree/train/train/Track00001/mix.flac: missing, and so is mix.wav"
    ]


def test_a_stem_without_plugin_and_files_was_not_rendered(tmp_path: Path, make_track: MakeTrack) -> None:
    """The flags are ignored: babyslakh has audio_rendered false for all of its stems."""
    folder = make_track("train/Track00001")
    change_metadata(folder, "S00", plugin_name="None", audio_rendered=True)
    (folder / "stems" / "S00.flac").unlink()
    (folder / "MIDI" / "S00.mid").unlink()
    ((track,), skipped) = tree.find_tracks(tmp_path / "tree")
    assert [stem.name for stem in track.stems] == ["S01"]
    assert not skipped


def test_a_stem_with_midi_but_no_plugin_and_audio_was_not_rendered(tmp_path: Path, make_track: MakeTrack) -> None:
    folder = make_track("train/Track00001")
    change_metadata(folder, "S00", plugin_name="None")
    (folder / "stems" / "S00.flac").unlink()
    ((track,), _) = tree.find_tracks(tmp_path / "tree")
    assert [stem.name for stem in track.stems] == ["S01"]


def test_a_stem_may_be_one_that_no_label_names(tmp_path: Path, make_track: MakeTrack) -> None:
    change_metadata(make_track("train/Track00001"), "S01", program_num=None)
    ((track,), skipped) = tree.find_tracks(tmp_path / "tree")
    assert [stem.program is None for stem in track.stems] == [False, True]
    assert not skipped


def remove(name: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).unlink()


def remove_stem_said_to_be_rendered(folder: Path) -> None:
    change_metadata(folder, "S00", audio_rendered=True)
    (folder / "stems" / "S00.flac").unlink()
    (folder / "MIDI" / "S00.mid").unlink()


def add_unknown_stem(folder: Path) -> None:
    shutil.copy(folder / "stems" / "S00.flac", folder / "stems" / "S07.flac")


def write_metadata(text: str) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        (folder / "metadata.yaml").write_text(text)

    return damage


def change_stem(**changes: object) -> Callable[[Path], None]:
    return lambda folder: change_metadata(folder, "S00", **changes)


def remove_all_stems(folder: Path) -> None:
    for name in ("S00", "S01"):
        (folder / "stems" / f"{name}.flac").unlink()
        (folder / "MIDI" / f"{name}.mid").unlink()


def test_a_name_that_no_json_can_hold_is_named(tmp_path: Path, make_track: MakeTrack) -> None:
    make_track("train/Track00001")
    make_track("train/Track00002").rename(
        tmp_path / "tree/train/Track\udce9"
    )  # what os.fsdecode makes of a byte of Latin-1
    tracks, skipped = tree.find_tracks(tmp_path / "tree")
    assert [track.id for track in tracks] == ["Track00001"]
    assert skipped == [tree.Skipped("Track\\udce9", "its name is not UTF-8; rename it")]


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (remove("mix.flac"), "mix.flac: missing"),
        (remove("metadata.yaml"), "metadata.yaml: cannot be read"),
        (remove("stems/S00.flac"), "stems/S00.flac: missing stem"),
        (remove("MIDI/S00.mid"), "MIDI/S00.mid: missing stem"),
        (remove_stem_said_to_be_rendered, "stems/S00.flac: missing stem"),
        (remove_all_stems, "Track00001: no stem"),
        (write_metadata("stems: [unclosed"), "metadata.yaml: cannot be read"),
        (write_metadata("\x00"), "metadata.yaml: cannot be read"),
        (write_metadata("just words"), "metadata.yaml: has no mapping 'stems'"),
        (write_metadata("stems: 3"), "metadata.yaml: has no mapping 'stems'"),
        (write_metadata("stems: {S00: 3}"), "metadata.yaml: stem S00: "),
        (write_metadata("stems: {S00: {is_drum: false}}"), "metadata.yaml: stem S00 has no 'program_num'"),
        (change_stem(program_num=129), "metadata.yaml: stem S00: program 129"),
        (change_stem(program_num=-1), "metadata.yaml: stem S00: program -1"),
        (change_stem(program_num="Piano"), "metadata.yaml: stem S00: "),
        (change_stem(program_num=30.5), "metadata.yaml: stem S00: program_num is 30.5"),
        (change_stem(program_num=True), "metadata.yaml: stem S00: program_num is True"),
        (change_stem(is_drum="false"), "metadata.yaml: stem S00: is_drum is 'false'; it must be true or false"),
        (write_metadata(BOMB), "metadata.yaml: cannot be read: more than"),
        (write_metadata("[" * 100_000), "metadata.yaml: cannot be read: "),
        (write_metadata("stems: &a {S00: *a}"), "metadata.yaml: cannot be read: "),
        (write_metadata("stems: {S00: {}, S00: {}}"), "metadata.yaml: cannot be read: .*given twice"),
        (write_metadata("stems: {0: {program_num: 1, is_drum: false}}"), "metadata.yaml: has a stem named 0"),
        (write_metadata("stems: {S00: {program_num: [[[[[1]]]]], is_drum: false}}"), "stem S00: program_num is [[["),
        (write_metadata("UUID: 2001-99-99\nstems: {}"), "metadata.yaml: cannot be read: month must be in 1..12"),
        (write_metadata('stems: !!int ""'), "metadata.yaml: cannot be read"),
        (write_metadata("stems: !!timestamp foo"), "metadata.yaml: cannot be read"),
        (add_unknown_stem, "metadata.yaml: has no stem S07, although its audio exists"),
    ],
)
def test_a_damaged_track_is_named_and_the_rest_found(
    tmp_path: Path, make_track: MakeTrack, damage: Callable[[Path], None], reason: str
) -> None:
    damage(make_track("train/Track00001"))
    make_track("train/Track00002")
    tracks, skipped = tree.find_tracks(tmp_path / "tree")
    assert [track.id for track in tracks] == ["Track00002"]
    assert [(item.item, item.is_bad) for item in skipped] == [("Track00001", True)]
    assert all(part in skipped[0].reason for part in reason.split(".*"))
    assert len(skipped[0].reason) < 500
    assert str(tmp_path / "tree" / "train" / "Track00001") in skipped[0].reason


def test_a_scheme_goes_by_number_whatever_the_folder(tmp_path: Path, make_track: MakeTrack) -> None:
    for place in ("train/Track00003", "omitted/Track00049", "test/Track01501", "Track00001"):
        make_track(place)
    splits = {
        scheme: {track.id: track.split for track in tree.find_tracks(tmp_path / "tree", scheme=scheme)[0]}
        for scheme in ("original", "split2", "redux")
    }
    everywhere = {"Track00001": "train", "Track00003": "train", "Track01501": "validation"}
    assert splits["original"] == everywhere | {"Track00049": "train"}
    assert splits["split2"]["Track00003"] == "test"
    assert splits["redux"] == everywhere
    _, skipped = tree.find_tracks(tmp_path / "tree", scheme="redux")
    assert skipped == [tree.Skipped("Track00049", "omitted by the scheme redux", is_bad=False)]


def test_a_scheme_splits_a_flat_tree_and_knows_slakh_alone(tmp_path: Path, make_track: MakeTrack) -> None:
    make_track("Track00003")
    ((track,), _) = tree.find_tracks(tmp_path / "tree", scheme="split2")
    assert (track.split, track.song) == ("test", "uuid-Track00003")
    (tmp_path / "tree" / "songs.json").write_text(json.dumps({"Track00003": {"song": "waltz"}}))
    with pytest.raises(DataError, match="this is a rendered tree; the split scheme split2 is for Slakh2100 only"):
        tree.find_tracks(tmp_path / "tree", scheme="split2")
    (tmp_path / "tree" / "songs.json").unlink()
    make_track("Track05000")
    with pytest.raises(DataError, match="Track05000: not a track of Slakh2100"):
        tree.find_tracks(tmp_path / "tree", scheme="split2")


def test_a_stem_known_to_be_bad_is_left_out_and_counted(tmp_path: Path, make_track: MakeTrack) -> None:
    folder = make_track("train/Track00262")
    expected = tree.Skipped("Track00262/S01", "excluded from the labels, known for short-labels", is_bad=False)
    for _ in range(2):
        ((track,), skipped) = tree.find_tracks(tmp_path / "tree")
        assert [stem.name for stem in track.stems] == ["S00"]
        assert skipped == [expected]
        (folder / "stems" / "S01.flac").unlink(missing_ok=True)  # four of them lack their audio
    # A rendered tree has tracks of the same names.
    shutil.copy(folder / "stems" / "S00.flac", folder / "stems" / "S01.flac")
    (tmp_path / "tree" / "songs.json").write_text(json.dumps({"Track00262": {"song": "waltz"}}))
    ((track,), skipped) = tree.find_tracks(tmp_path / "tree")
    assert [stem.name for stem in track.stems] == ["S00", "S01"]
    assert skipped == []


def test_leaks_leave_train_and_nothing_else(tmp_path: Path, make_track: MakeTrack) -> None:
    uuids = {
        "train/Track00001": "a", "train/Track00002": "a", "train/Track00003": "b", "train/Track00004": "c",
        "validation/Track00005": "b", "test/Track00006": "a", "test/Track00007": "b", "test/Track00008": "d",
    }  # fmt: skip
    for place, uuid in uuids.items():
        path = make_track(place) / "metadata.yaml"
        path.write_text(yaml.safe_dump(yaml.safe_load(path.read_text()) | {"UUID": uuid}))
    tracks, _ = tree.find_tracks(tmp_path / "tree")
    kept, dropped = tree.drop_leaks(tracks)
    assert [track.id[-1] for track in kept] == ["4", "5", "6", "7", "8"]
    assert [(item.item[-1], item.is_bad) for item in dropped] == [("1", False), ("2", False), ("3", False)]
    assert "its song is in test too" in dropped[0].reason
    assert tree.drop_leaks(kept) == (kept, [])


def test_metadata_that_cannot_be_read_spoils_its_track_alone(tmp_path: Path) -> None:
    write_track(tmp_path / "train" / "Track00001")
    metadata = write_track(tmp_path / "train" / "Track00002") / "metadata.yaml"
    metadata.unlink()
    metadata.mkdir()
    tracks, skipped = tree.find_tracks(tmp_path)
    assert [track.id for track in tracks] == ["Track00001"]
    assert [(item.item, item.reason) for item in skipped] == [
        ("Track00002", f"{metadata}: cannot be read: Is a directory")
    ]


def test_tracks_in_no_folder_of_a_split_are_named(tmp_path: Path, make_track: MakeTrack) -> None:
    for place in ("train/Track00001", "Track00002", "eval/Track00003", ".trash/Track00004"):
        make_track(place)
    tracks, skipped = tree.find_tracks(tmp_path / "tree")
    assert [track.id for track in tracks] == ["Track00001"]
    reason = "is in none of the folders train, validation, test; move it, or choose a --split-scheme"
    assert skipped == [
        tree.Skipped(Path(place).name, f"{tmp_path / 'tree' / place}: {reason}")
        for place in ("Track00002", "eval/Track00003")
    ]


@pytest.mark.parametrize(
    "places",
    [
        ("train/train/Track00001", "validation/Track00002", "test/Track00003"),
        ("train/Slakh2100/train/Track00001", "val/Slakh2100/validation/Track00002", "test/Slakh2100/test/Track00003"),
        ("redux/redux/train/Track00001", "redux/redux/validation/Track00002", "redux/redux/test/Track00003"),
        ("Train/Track00001", "Val/Track00002", "TEST/Track00003"),
        ("training/Track00001", "valid/Track00002", "testing/Track00003"),
        ("train/Track1", "dev/track00002", "test/Track_00003"),
        ("slakh_train/Track00001", "slakh_val/Track00002", "slakh_test/slakh/Track00003"),
        ("train (1)/Track00001", "validation 2/Track00002", "test-redux/test/Track00003"),
        ("trainset/Track00001", "slakh_devset/Track00002", "Testset/Track00003"),
        ("test/train/Track00001", "test/validation/Track00002", "test/test/Track00003"),
        ("train/part1/Track00001", "validation/part1/Track00002", "test/Tracks/Track00003"),
        ("train/Track00001/Track00001", "validation/Track00002", "test/Track00003"),
    ],
)
def test_splits_are_found_however_they_were_unpacked(
    tmp_path: Path, make_track: MakeTrack, places: tuple[str, ...]
) -> None:
    for place in places:
        make_track(place)
    tracks, skipped = tree.find_tracks(tmp_path / "tree")
    assert skipped == []
    assert {track.id: track.split for track in tracks} == {
        "Track00001": "train",
        "Track00002": "validation",
        "Track00003": "test",
    }
    assert sorted(str(track.mix.parent.relative_to(tmp_path / "tree")) for track in tracks) == sorted(places)


@pytest.mark.parametrize(
    ("place", "split"),
    [
        ("train/Track00001", "train"),
        ("train/train/Track00001", "train"),
        ("train/part1/Track00001", "train"),
        ("redux/train/Track00001", "train"),
        ("validation/train/Track00001", "train"),  # the outer one is a name of the whole
    ],
)
def test_one_split_alone_stays_what_it_is(tmp_path: Path, make_track: MakeTrack, place: str, split: str) -> None:
    folder = make_track(place)
    ((track,), skipped) = tree.find_tracks(tmp_path / "tree")
    assert (track.split, skipped) == (split, [])
    if folder.parent.name == split:  # the folder of a split, given as the tree
        assert tree.find_tracks(folder.parent)[0][0].split == split


@pytest.mark.parametrize("name", ["train", "Validation", "test"])
def test_the_folder_of_a_split_is_not_split_anew(tmp_path: Path, make_track: MakeTrack, name: str) -> None:
    for number in range(5):
        make_track(f"{name}/Track{number:05d}", seed=number)
    tracks, _ = tree.find_tracks(tmp_path / "tree" / name)
    assert {track.split for track in tracks} == {name.lower()}


def test_tracks_in_folders_of_two_splits_are_named(tmp_path: Path, make_track: MakeTrack) -> None:
    for place in ("train/Track00001", "train/validation/Track00002", "train/omitted/Track00003", "test/Track00004"):
        make_track(place)
    tracks, skipped = tree.find_tracks(tmp_path / "tree")
    assert [(track.id, track.split) for track in tracks] == [("Track00001", "train"), ("Track00004", "test")]
    assert {item.item: item.is_bad for item in skipped} == {"Track00002": True, "Track00003": False}
    assert "is in folders of several splits (train, validation)" in skipped[1].reason
    # Their numbers tell where they belong.
    assert [track.split for track in tree.find_tracks(tmp_path / "tree", scheme="original")[0]] == ["train"] * 4


@pytest.mark.parametrize(
    "name",
    ["Track00001 (1)", "Track00001_copy", "Track00001 copy 2", "Track00001 - Copy", "track00001.bak", "Track00001 2"],
)
def test_a_copy_of_a_track_is_named(tmp_path: Path, make_track: MakeTrack, name: str) -> None:
    make_track("train/Track00001")
    make_track(f"train/{name}")
    tracks, skipped = tree.find_tracks(tmp_path / "tree")
    assert [track.mix.parent.name for track in tracks] == ["Track00001"]
    assert [(item.item, item.is_bad) for item in skipped] == [(name, True)]
    assert "named as a copy of Track00001; remove it" in skipped[0].reason


def test_a_track_with_another_name_is_named(tmp_path: Path, make_track: MakeTrack) -> None:
    for place in ("train/Track00001", "train/00002", "test/Copy of Track00003"):
        make_track(place)
    tracks, skipped = tree.find_tracks(tmp_path / "tree")
    assert [track.id for track in tracks] == ["Track00001"]
    assert sorted(item.item for item in skipped) == ["test/Copy of Track00003", "train/00002"]
    assert all("contains a track; rename it to TrackNNNNN" in item.reason for item in skipped)


def test_a_track_given_as_the_tree_is_named(tmp_path: Path, make_track: MakeTrack) -> None:
    folder = make_track("train/Track00001")
    with pytest.raises(DataError, match="Track00001: is itself a track; give a folder or an archive that contains"):
        tree.find_tracks(folder)


def test_a_track_known_to_be_bad_is_known_by_its_number(tmp_path: Path, make_track: MakeTrack) -> None:
    make_track("train/track262")
    ((track,), skipped) = tree.find_tracks(tmp_path / "tree")
    assert [item.item for item in skipped] == ["Track00262/S01"]
    assert tree.find_tracks(tmp_path / "tree", scheme="split2")[0][0].id == track.id


def test_an_empty_folder_of_a_split_is_named(tmp_path: Path, make_track: MakeTrack) -> None:
    make_track("train/Track00001")
    for name in ("val", "test/more", "omitted"):
        (tmp_path / "tree" / name).mkdir(parents=True)
    _, skipped = tree.find_tracks(tmp_path / "tree")
    assert {item.item: item.reason.rpartition(": ")[2] for item in skipped} == {
        "val": "no track in it; unpack validation again, or remove it",
        "test": "no track in it; unpack test again, or remove it",
    }
    assert all(item.is_bad for item in skipped)


@pytest.mark.parametrize("name", ["validation.zip", "validation.tar.gz", "val.tgz", "validation.tar.gz.part-aa"])
def test_a_split_that_is_not_unpacked_is_named(tmp_path: Path, make_track: MakeTrack, name: str) -> None:
    make_track("train/Track00001")
    (tmp_path / "tree" / name).touch()
    _, skipped = tree.find_tracks(tmp_path / "tree")
    assert skipped == [tree.Skipped(name, f"{tmp_path / 'tree' / name}: an archive; unpack it")]
    make_track("validation/Track00002")
    assert tree.find_tracks(tmp_path / "tree")[1] == []


def test_a_folder_of_archives_alone_names_them(tmp_path: Path) -> None:
    (tmp_path / "slakh2100.tar.gz.part-aa").touch()
    with pytest.raises(DataError, match=r"no track found; .*\n .*slakh2100\.tar\.gz\.part-aa: an archive; unpack it"):
        tree.find_tracks(tmp_path)


def test_a_file_or_a_link_to_nothing_in_the_place_of_a_folder_is_named(tmp_path: Path, make_track: MakeTrack) -> None:
    make_track("train/Track00001")
    root = tmp_path / "tree"
    (root / "train" / "Track00002").write_text("version https://git-lfs.github.com/spec/v1")
    (root / "train" / "Track00003").symlink_to("nowhere")
    (root / "validation").symlink_to("/nowhere/at/all")
    (root / "test").touch()
    tracks, skipped = tree.find_tracks(root)
    assert [track.id for track in tracks] == ["Track00001"]
    assert {item.item: item.reason.rpartition(": ")[2] for item in skipped} == {
        "train/Track00002": "not a folder",
        "train/Track00003": "a link to nothing; restore what it names",
        "validation": "a link to nothing; restore what it names",
        "test": "not a folder",
    }


def test_links_are_followed_and_circles_are_not(tmp_path: Path, make_track: MakeTrack) -> None:
    make_track("store/Track00001")
    make_track("store2/Track00002")
    root = tmp_path / "linked"
    (root / "validation").mkdir(parents=True)
    (root / "train").symlink_to(tmp_path / "tree" / "store")
    (root / "validation" / "Track00002").symlink_to(tmp_path / "tree" / "store2" / "Track00002")
    (root / "up").symlink_to(root)
    (root / "self").symlink_to(root / "self")
    (root / "train" / "round").symlink_to(root)
    tracks, skipped = tree.find_tracks(root)
    assert [(track.id, track.split) for track in tracks] == [("Track00001", "train"), ("Track00002", "validation")]
    assert skipped == []
    (root / "test").symlink_to(root / "train")
    tracks, skipped = tree.find_tracks(root)
    assert len(tracks) == 2
    assert [item.item for item in skipped] in (["test"], ["train"])
    assert "by a link; remove the link" in skipped[0].reason


def test_a_folder_that_cannot_be_read_is_named(
    tmp_path: Path, make_track: MakeTrack, monkeypatch: pytest.MonkeyPatch
) -> None:
    for place in ("train/Track00001", "train/Track00002", "validation/Track00003"):
        make_track(place)
    root = tmp_path / "tree"
    locked = {root / "validation", root / "train" / "Track00002" / "stems"}
    scandir = os.scandir

    def refuse(path: str | Path) -> object:
        if Path(path) in locked:
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    tracks, skipped = tree.find_tracks(root)
    assert [track.id for track in tracks] == ["Track00001"]
    assert {item.item for item in skipped} == {"Track00002", "validation"}
    assert all("Permission denied" in item.reason for item in skipped)
    locked.add(root)
    with pytest.raises(DataError, match="tree: cannot be read: Permission denied"):
        tree.find_tracks(root)


def test_stems_may_be_wav(tmp_path: Path, make_track: MakeTrack) -> None:
    folder = make_track("train/Track00001")
    for path in [folder / "mix.flac", *folder.glob("stems/*.flac")]:
        sound, rate = soundfile.read(path)
        soundfile.write(path.with_suffix(".wav"), sound, rate)
        path.unlink()
    ((track,), skipped) = tree.find_tracks(tmp_path / "tree")
    assert skipped == []
    assert [stem.audio.name for stem in track.stems] == ["S00.wav", "S01.wav"]


def test_a_track_in_a_track_and_a_nameless_pipe_stop_nothing(tmp_path: Path, make_track: MakeTrack) -> None:
    make_track("train/Track00001")
    make_track("train/Track00001/Track00002")
    os.mkfifo(make_track("train/Track00003") / "metadata.yaml.pipe")
    metadata = make_track("train/Track00004") / "metadata.yaml"
    metadata.unlink()
    os.mkfifo(metadata)
    tracks, skipped = tree.find_tracks(tmp_path / "tree")
    assert [track.id for track in tracks] == ["Track00001", "Track00003"]
    assert {item.item for item in skipped} == {"train/Track00001", "Track00004"}


def test_too_many_folders_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tree, "_MOST_FOLDERS", 10)
    for number in range(12):
        (tmp_path / str(number)).mkdir()
    with pytest.raises(DataError, match="more than 10 folders without a track; name the folder of Slakh"):
        tree.find_tracks(tmp_path)
