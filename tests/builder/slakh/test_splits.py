"""The published splits against the published files, and leaks between splits."""

import collections
import dataclasses
import json
from pathlib import Path

import pytest

from mir_tf.errors import DataError
from tfrecords_builder.slakh import known_faults
from tfrecords_builder.slakh.splits import find_leaks, published_split

TRACKS = [f"Track{number:05d}" for number in range(1, 2101)]


@dataclasses.dataclass(frozen=True)
class Item:
    id: str
    song: str
    split: str


def sizes(scheme: str) -> dict[str, int]:
    return dict(collections.Counter(published_split(track, scheme) for track in TRACKS))


def test_the_schemes_have_their_published_sizes() -> None:
    assert sizes("original") == sizes("split2") == {"train": 1500, "validation": 375, "test": 225}
    assert sizes("redux") == {"train": 1289, "validation": 270, "test": 151, "omitted": 390}


def test_the_original_split_is_by_number() -> None:
    borders = {"Track01500": "train", "Track01501": "validation", "Track01875": "validation", "Track01876": "test"}
    assert {track: published_split(track, "original") for track in borders} == borders


@pytest.mark.parametrize("track", ["Track00000", "Track02101", "Track1", "Track00001b", "song"])
def test_what_slakh_does_not_have_is_refused(track: str) -> None:
    with pytest.raises(DataError, match=f"{track}: not a track of Slakh2100"):
        published_split(track, "original")


@pytest.mark.parametrize(("scheme", "file"), [("split2", "splits_v2.json"), ("redux", "redux.json")])
def test_every_track_is_where_the_published_file_puts_it(shared_folder: Path, scheme: str, file: str) -> None:
    published = json.loads((shared_folder / "data" / "slakh_facts" / file).read_text())
    assert sorted(published) == TRACKS
    for track, change in published.items():
        expected = {
            None: published_split(track, "original"),
            "move": change.get("destination_split"),
            "omit": "omitted",
        }[change["action"]]
        assert published_split(track, scheme) == expected


def test_the_leaks_are_those_of_the_published_duplicates(shared_folder: Path) -> None:
    published = json.loads((shared_folder / "data/slakh_facts/duplicates.json").read_text())

    def leaks(scheme: str) -> dict[str, dict[str, list[str]]]:
        return find_leaks(Item(track, published[track]["midi_md5"], published_split(track, scheme)) for track in TRACKS)

    assert leaks("split2") == {}
    assert leaks("redux") == {}
    assert {pair: len(songs) for pair, songs in leaks("original").items()} == {
        "train, validation": 88,
        "train, test": 55,
        "validation, test": 23,
    }
    in_both = {track for tracks in leaks("original")["train, test"].values() for track in tracks}
    # DESIGN: 57 of 225 original test tracks have a MIDI twin in train.
    assert sum(published_split(track, "original") == "test" for track in in_both) == 57


def test_the_known_bad_stems_are_the_published_ones(shared_folder: Path) -> None:
    published = json.loads((shared_folder / "data/slakh_facts/problem_stems.json").read_text())
    assert {track: dict([fault]) for track, fault in known_faults.KNOWN.items()} == published
    assert len(known_faults.KNOWN) == 22


def test_leaks_name_songs_and_their_items_by_pair_of_splits() -> None:
    items = [
        Item("d", "twin", "test"),
        Item("a", "twin", "train"),
        Item("b", "twin", "train"),
        Item("c", "alone", "train"),
        Item("e", "all", "train"),
        Item("f", "all", "validation"),
        Item("g", "all", "test"),
    ]
    assert find_leaks(items) == {
        "train, validation": {"all": ["e", "f"]},
        "train, test": {"all": ["e", "g"], "twin": ["a", "b", "d"]},
        "validation, test": {"all": ["f", "g"]},
    }
