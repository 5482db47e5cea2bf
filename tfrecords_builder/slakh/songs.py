"""Identification of songs by their notes, and the split of songs."""

from __future__ import annotations

import collections
import hashlib
import itertools
from collections.abc import Collection, Hashable, Iterable, Mapping
from pathlib import Path

import numpy as np

from tfrecords_builder import midi

_SHARED = 0.6
"""Two items are one song if they share more than this fraction of their notes."""

_GRAM = 6
"""Consecutive notes that form one trait of a song."""

_FEW = 50
"""With fewer traits, an item could be part of a long one by chance, so the larger item's size counts."""

_HELD_OUT = {"validation": 0.1, "test": 0.1}


def song_notes(path: Path) -> frozenset[int]:
    """Return the notes of a MIDI file in the form that :func:`group_songs` compares.

    Every run of six notes in one part, by pitch only, is a trait, and each trait counts once. Programs, names, the
    order of parts and time are ignored. So a new orchestration, another tempo, silence at the beginning, and added or
    missing parts change little. Single notes would not do, because unrelated songs in one key use the same ones. Traits
    count once because an ostinato would otherwise outweigh the song. Drums count only if nothing else plays, because
    unrelated songs share drum patterns.

    Args:
        path: A MIDI file.

    Returns:
        A number for each run of up to six pitches (numbers take a fifth of the memory of tuples); empty for a file
        without notes.

    Raises:
        DataError: The file cannot be read.
    """
    parts = midi.read_parts(path)
    pitched = [part for part in parts if not part.is_drum]
    traits: set[int] = set()
    for part in pitched or parts:
        pitches = bytes(part.pitches[np.lexsort((part.pitches, part.starts))].tolist())
        # The leading byte 1 distinguishes runs of different lengths.
        runs = (pitches[i : i + _GRAM] for i in range(max(1, len(pitches) - _GRAM + 1)))
        traits.update(int.from_bytes(b"\1" + run, "big") for run in runs)
    return frozenset(traits)


def group_songs(notes: Mapping[str, Collection[Hashable]]) -> dict[str, str]:
    """Group items that share more than 60 % of their notes, directly or through others.

    The share refers to the smaller item, because a shortened song is still the same song. Below fifty traits it refers
    to the larger one.

    Args:
        notes: Item → its traits, from :func:`song_notes`.

    Returns:
        Item → song, which is named after its first item in sorted order. An item without notes is a song of its own.
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
    """Assign songs to train (80 %), validation and test (10 % each).

    The order is that of the SHA-256 of seed and name. It is the same on every machine, and adding or removing a song
    moves few others.

    Args:
        songs: Names; duplicates count once.
        seed: Another seed gives another split.

    Returns:
        Song → ``train``, ``validation`` or ``test``. With at least three songs, no split is empty.
    """
    order = sorted(set(songs), key=lambda song: hashlib.sha256(f"{seed}:{song}".encode()).digest())
    split = dict.fromkeys(order, "train")
    dealt = iter(order)
    for name, share in _HELD_OUT.items():
        for song in itertools.islice(dealt, max(round(share * len(order)), len(order) >= 3)):
            split[song] = name
    return split
