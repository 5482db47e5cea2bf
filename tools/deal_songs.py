"""Deal the composers of MIDI songs to train, validation and test, and write a table with a row per file.

    python tools/deal_songs.py --freedoom FOLDER --openmsx FOLDER --written FOLDER --mixes FOLDER --out songs.csv

``--written`` contains a folder per set. Each composer belongs to one split, in all sets. Within each kind of music,
the composers are sorted by the SHA-256 of their names. The first of them are test, until test has at least
15 % of the composers of the kind and 10 % of its songs. The next are validation, by the same rule while composers are
left; the others are train. Exceptions:

- A composer of more than a quarter of a kind's songs is train, because too few songs would remain to train on.
- Freedoom's songs keep the splits that tools/pretrained/songs.csv has for them, which are by song. Blasphemer shares
  songs with Freedoom, so its other songs are train. OpenMSX is test, because it is under the GPL.
- All produced mixes are by Tanner Helland, and both validation and test need some. So his songs are never train: half
  of the titles are validation and half are test, in the order of the SHA-256 of the title. Remixes share a title.

The composers of the last two exceptions do not count in the 15 % and 10 %.
"""

from __future__ import annotations

import collections
import csv
import hashlib
import math
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import click

from mir_tf.errors import DataError
from tfrecords_builder.midi import read_parts

_FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)

SONGS = Path(__file__).with_name("pretrained") / "songs.csv"
SUFFIXES = (".mid", ".mp3", ".ogg")
KINDS = ("rock and pop", "game", "orchestral", "chamber", "produced mixes")
DEALT_COMPOSERS, DEALT_SONGS = 0.15, 0.1
"""Smallest share of a kind's composers, and of its songs, in test and in validation."""

LARGEST_SHARE = 1 / 4
"""A composer of more than this share of a kind's songs is train."""

KIND_OF_SET = {
    "simutrans": "rock and pop",
    "tanner_helland": "game",
    "blasphemer": "game",
    "easyrpg_rtp": "game",
    "freedink": "game",
    "openscore_orchestra": "orchestral",
    "openscore_lieder": "chamber",
    "freedoom": "game",
    "openmsx": "game",
    "mixes": "produced mixes",
}
"""Maps a set to its kind. In the other sets, each song is orchestral or chamber music: see :func:`is_orchestral`."""

COMPOSER_OF_SET = {
    "freedoom": "Freedoom contributors",
    "openmsx": "OpenMSX contributors",
    "blasphemer": "Freedoom contributors",
    "freedink": "Robinson S",
    "tanner_helland": "Helland T",
    "mixes": "Helland T",
}
FIXED = {"Freedoom contributors": "train", "OpenMSX contributors": "test"}
"""Composers who are not dealt. Freedoom's own songs have their splits in :data:`SONGS`."""

BY_SONG = "Helland T"
"""Composer whose songs are dealt to validation and test."""

SAME_COMPOSER = {"Mendelssohn-Bartholdy F": "Mendelssohn F", "Danka": "Dankowski A"}
"""Spellings of a name. Danka is probably short for Dankowski."""

SIMUTRANS = {
    range(1, 40): "Shunter",
    range(40, 42): "Antonio M",
    range(45, 46): "Gobanboshi",
    range(43, 51): "RykSeb",
    range(52, 53): "RykSeb",
}
"""Composers of Simutrans by number of the song: the names in the MIDI texts, and unsigned songs of the same series."""

FILE_NAMES = {
    "easyrpg_rtp": r"\w+(?=\.mid)",
    "simutrans": r"\d+",
    "mutopia": r"(?P<surname>[^_]*?[a-z])(?P<given>[A-Z]+[a-z]?)?__",  # BeethovenLv__O67__Symphony5_1
    "openscore_orchestra": r"(?P<surname>.+?)__(?P<given>.*?)__",  # Bach__Johann_Sebastian__B_Minor_Mass
    "openscore_lieder": r"(?P<surname>.+?)__(?P<given>.*?)__",
    "polish_scores": r"[^_]+_(?P<surname>[a-z]+)(-(?P<given>[a-z-]+?))?--",  # pl-cz--ii-21--001-003_volckmer-augustin--
}
"""Patterns of file names that tell the composer."""


class Song(NamedTuple):
    """A row of the table: a file, its SHA-256, and what the split depends on."""

    file: str
    sha256: str
    set: str
    composer: str
    kind: str


def is_orchestral(path: Path) -> bool:
    """Return whether at least six parts, among them strings and winds but no singers, play in a MIDI file."""
    parts = [part.program for part in read_parts(path) if not part.is_drum]
    strings, winds, singers = (
        any(program in programs for program in parts) for programs in (range(40, 47), range(56, 80), range(52, 55))
    )
    return len(parts) >= 6 and strings and winds and not singers


def composer_of(set_name: str, file: str) -> str:
    """Return a composer as surname and first initial, in ASCII, so that all sets spell a name in the same way.

    Raises:
        click.ClickException: The set is unknown, or the file's name does not contain what the set's names contain.
    """
    if set_name in COMPOSER_OF_SET:
        return COMPOSER_OF_SET[set_name]
    if set_name not in FILE_NAMES:
        known = ", ".join(sorted({*COMPOSER_OF_SET, *FILE_NAMES}))
        raise click.ClickException(f"{set_name}: unknown set; the sets are {known}")
    if not (parts := re.match(FILE_NAMES[set_name], file)):
        raise click.ClickException(f"{set_name}/{file}: its name does not tell the composer")
    if set_name == "easyrpg_rtp":
        return "Someoneman" if parts[0] == "Boss_3" else "Nigretti J"
    if set_name == "simutrans":
        number = int(parts[0])
        return next((name for numbers, name in SIMUTRANS.items() if number in numbers), "Simutrans, unsigned")
    surname, given = parts["surname"], parts["given"] or ""
    if set_name == "polish_scores":
        surname = surname.title()
    name = f"{surname} {given[:1].upper()}".replace("_", " ").strip()
    return SAME_COMPOSER.get(name, name)


def read_songs(set_name: str, folders: Iterable[Path]) -> Iterator[Song]:
    """Yield the songs of a set from its folders."""
    files = [path for folder in folders for path in folder.iterdir() if path.suffix in SUFFIXES]
    for path in sorted(files, key=lambda path: path.name):
        composer = composer_of(set_name, path.name)
        kind = KIND_OF_SET.get(set_name)
        if kind is None:
            kind = "orchestral" if is_orchestral(path) else "chamber"
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        yield Song(path.name, digest, set_name, composer, kind)


def rank(name: str) -> str:
    """Return the SHA-256 of a name, the order in which composers and titles are dealt."""
    return hashlib.sha256(name.encode()).hexdigest()


def deal_composers(songs: Iterable[Song]) -> dict[str, str]:
    """Return a map from each composer to a split.

    A composer of several kinds is dealt with the first of them in :data:`KINDS`, and counts in the others too.
    """
    written: dict[str, collections.Counter[str]] = {kind: collections.Counter() for kind in KINDS}
    for song in songs:
        written[song.kind][song.composer] += 1
    splits = dict(FIXED)
    for kind in KINDS:
        composers = sorted(set(written[kind]) - {*FIXED, BY_SONG}, key=rank)
        for composer in composers:
            if written[kind][composer] > LARGEST_SHARE * written[kind].total():
                splits.setdefault(composer, "train")
        num_songs = sum(written[kind][each] for each in composers)
        for split in ("test", "validation"):
            for composer in composers:
                dealt = [each for each in composers if splits.get(each) == split]
                enough = len(dealt) >= math.ceil(DEALT_COMPOSERS * len(composers))
                if enough and sum(written[kind][each] for each in dealt) >= DEALT_SONGS * num_songs:
                    break
                splits.setdefault(composer, split)
        for composer in composers:
            splits.setdefault(composer, "train")
    return splits


def title_of(song: Song) -> str:
    """Return the title of a song without the name of a remix, in lower-case letters."""
    return re.sub(r"[^a-z]", "", re.sub(r"\(.*remix\)", "", Path(song.file).stem.lower()))


def deal_titles(songs: Iterable[Song]) -> dict[str, str]:
    """Return a map from each title of the composer who is dealt by song to validation or test.

    Titles of produced mixes are dealt first, so that each split has half of them.
    """
    mixed = {title_of(song) for song in songs if song.kind == "produced mixes"}
    titles = {title_of(song) for song in songs if song.composer == BY_SONG}
    ordered = sorted(mixed, key=rank) + sorted(titles - mixed, key=rank)
    return {title: ("test", "validation")[number % 2] for number, title in enumerate(ordered)}


@click.command(help=__doc__.partition("\n")[0])
@click.option("--freedoom", type=_FOLDER, multiple=True, required=True, help="Folder of Freedoom's MIDI files.")
@click.option("--openmsx", type=_FOLDER, required=True, help="Folder of OpenMSX's MIDI files.")
@click.option("--written", type=_FOLDER, required=True, help="Folder with a folder of MIDI files for each other set.")
@click.option("--mixes", type=_FOLDER, required=True, help="Folder of the produced mixes.")
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), required=True, help="Table to write.")
def main(freedoom: tuple[Path, ...], openmsx: Path, written: Path, mixes: Path, out: Path) -> None:
    """Read the songs, deal them and write the table."""
    folders = {"freedoom": freedoom, "openmsx": (openmsx,), "mixes": (mixes,)}
    folders |= {folder.name: (folder,) for folder in sorted(written.iterdir()) if folder.is_dir()}
    try:
        songs = [song for name in folders for song in read_songs(name, folders[name])]
    except (DataError, OSError) as error:
        raise click.ClickException(str(error)) from error
    with SONGS.open(newline="", encoding="utf-8") as file:
        freedoom_splits = {row["sha256"]: row["split"] for row in csv.DictReader(file) if row["set"] == "freedoom"}
    if missing := [song.file for song in songs if song.set == "freedoom" and song.sha256 not in freedoom_splits]:
        raise click.ClickException(f"{SONGS}: lists no such file: {', '.join(missing)}")
    by_composer, by_title = deal_composers(songs), deal_titles(songs)

    def split_of(song: Song) -> str:
        if song.set == "freedoom":
            return freedoom_splits[song.sha256]
        return by_title[title_of(song)] if song.composer == BY_SONG else by_composer[song.composer]

    with out.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow([*Song._fields, "split"])
        table.writerows([*song, split_of(song)] for song in songs)
    counts = collections.Counter((song.kind, split_of(song)) for song in songs)
    for kind in KINDS:
        numbers = ", ".join(f"{split} {counts[kind, split]}" for split in ("train", "validation", "test"))
        click.echo(f"{kind}: {numbers} songs")


if __name__ == "__main__":
    main()
