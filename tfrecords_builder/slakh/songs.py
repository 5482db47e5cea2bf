"""Which files are one song, judged by their notes, and which split a song goes to."""

from __future__ import annotations

import collections
import hashlib
import itertools
from collections.abc import Collection, Hashable, Iterable, Mapping
from pathlib import Path

import numpy as np

from tfrecords_builder import midi

_SHARED = 0.6
"""Two items are one song when they share more than this part of their notes."""

_GRAM = 6
"""Notes in a row that count as one trait of a song."""

_FEW = 50
"""An item with fewer traits could lie within a long one by chance: the larger's size counts then."""

_PARTS = {"validation": 0.1, "test": 0.1}


def song_notes(path: Path) -> frozenset[int]:
    """The notes of a MIDI file as :func:`group_songs` compares them.

    Every run of six notes in one part, by pitch only, is a trait; a trait counts once. Programs, names and
    the order of parts do not enter, nor does time: so a new orchestration, another tempo, silence before the
    beginning, and parts added or left out change little, where onsets would all differ. Runs of six notes
    rather than single notes because unrelated songs in one key use the same single notes; each counted once
    because an ostinato would otherwise outweigh the song. Drums enter only where nothing else does: unrelated
    songs share their patterns.

    Args:
        path: a MIDI file.

    Returns:
        A number for each run of up to six pitches, for they take a fifth of the memory of tuples; none for a file
        without notes.

    Raises:
        DataError: the file is unreadable.
    """
    parts = midi.read_parts(path)
    pitched = [part for part in parts if not part.is_drum]
    traits: set[int] = set()
    for part in pitched or parts:
        pitches = bytes(part.pitches[np.lexsort((part.pitches, part.starts))].tolist())
        # The byte 1 before them tells runs of different lengths apart.
        runs = (pitches[i : i + _GRAM] for i in range(max(1, len(pitches) - _GRAM + 1)))
        traits.update(int.from_bytes(b"\1" + run, "big") for run in runs)
    return frozenset(traits)


def group_songs(notes: Mapping[str, Collection[Hashable]]) -> dict[str, str]:
    """Groups items that share more than 60 % of their notes, directly or through others.

    The share is that of the smaller item: a song cut short is still the song. Below fifty traits it is that
    of the larger.

    Args:
        notes: item → its traits, from :func:`song_notes`.

    Returns:
        Item → song, which is named after its first item in sorted order. Items without notes stand alone.
    """
    song = {item: item for item in notes}

    def find(item: str) -> str:
        while song[item] != item:
            song[item] = item = song[song[item]]
        return item

    traits = {item: frozenset(notes[item]) for item in sorted(notes)}
    holders: dict[Hashable, list[str]] = collections.defaultdict(list)
    for item, own in traits.items():
        shared = collections.Counter(itertools.chain.from_iterable(holders[trait] for trait in own))
        for other, count in shared.items():
            smaller, larger = sorted((len(own), len(traits[other])))
            if count > _SHARED * (smaller if smaller >= _FEW else larger):
                first, second = sorted((find(item), find(other)))
                song[second] = first
        for trait in own:
            holders[trait].append(item)
    return {item: find(item) for item in notes}


def split_songs(songs: Iterable[str], seed: int) -> dict[str, str]:
    """Deals songs out to train (80 %), validation and test (10 % each).

    The order is that of SHA-256 of seed and name: the same on every machine, and a song more or less moves
    few others.

    Args:
        songs: names; each is counted once.
        seed: another seed gives another split.

    Returns:
        Song → ``train``, ``validation`` or ``test``. From three songs on no split is empty.
    """
    order = sorted(set(songs), key=lambda song: hashlib.sha256(f"{seed}:{song}".encode()).digest())
    split = dict.fromkeys(order, "train")
    dealt = iter(order)
    for name, part in _PARTS.items():
        for song in itertools.islice(dealt, max(round(part * len(order)), len(order) >= 3)):
            split[song] = name
    return split
