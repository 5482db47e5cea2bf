"""The layouts of Slakh's releases, and all kinds of damage to a track."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from helpers.slakh_tree import write_track

from mir_tf.errors import DataError
from tfrecords_builder.slakh import tree

MakeTrack = Callable[..., Path]


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
    (tmp_path / "tree" / place / "Track00002.tar.gz").touch()
    (tmp_path / "tree" / place / "Track00001" / "stems" / "._S00.flac").touch()  # macOS leaves such
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
    for damaged in ("{", "[]", "{}", '{"Track00001": 3}'):
        path.write_text(damaged)
        with pytest.raises(DataError, match=r"songs\.json: damaged"):
            tree.find_tracks(tmp_path / "tree")


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
        f"{root / 'slakh2100_flac_redux'} (1 track). Choose one and name its folder"
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
        (("redux/train/Track00001",), "name that one: .*redux$"),
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
    assert reason in skipped[0].reason
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
    for place in ("train/Track00001", "Track00002", "valid/Track00003", ".trash/Track00004"):
        make_track(place)
    tracks, skipped = tree.find_tracks(tmp_path / "tree")
    assert [track.id for track in tracks] == ["Track00001"]
    assert skipped == [
        tree.Skipped(name, "is in none of the folders train, validation, test") for name in ("Track00002", "Track00003")
    ]
