"""Archives of Slakh trees: the tracks that were packed, with the bytes that GNU tar extracts."""

from __future__ import annotations

import gzip
import io
import random
import re
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

from fuzzing.cases import Case, Kind, damage
from mir_tf.errors import DataError
from tfrecords_builder.slakh.archive import Archive
from tfrecords_builder.slakh.tree import Track, choose_tracks

Files = dict[str, bytes]
"""Name of a member → its content."""

SPLITS = ("train", "validation", "test")

METADATA = b"UUID: %d\nstems:\n  S00: {program_num: 5, is_drum: false, plugin_name: x}\n"

GZIP_MAGIC = b"\x1f\x8b"


class Archives(Kind):
    """Archives that are damaged, of which every fourth is only packed in an unusual way instead."""

    suffix = ".tar"
    read: ClassVar[Callable[[Path, Path], Archive]] = staticmethod(lambda path, scratch: Archive(path, scratch, True))

    def case(self, number: int) -> Case:
        """Return an archive, the tracks in it, and what is done to it."""
        draw = self.draw(number)
        files = random_tree(draw)
        plain = pack(files, draw)
        if number % 4 == 0:
            return Case(pack_oddly(files, draw), plain)
        content = gzip.compress(plain, mtime=0) if number % 4 == 1 else plain
        if draw.random() < 0.3:
            return Case(rearrange(content, draw))
        return Case(damage(content, draw))

    def judge(self, path: Path, case: Case) -> str:
        """Compare the tracks with those of the archive before the change, and their bytes with those of GNU tar."""
        number = int(re.sub(r"\D", "", path.name))
        expected = random_tree(self.draw(number))
        with tempfile.TemporaryDirectory() as folder:
            archive = self.read(path, Path(folder, "scratch"))
            tracks, skipped = choose_tracks(archive.layout())
            named = " ".join(f"{item.item} {item.reason}" for item in skipped)
            if case.original is not None and skipped:
                raise DataError(named)
            wanted = {track: split for split, track, *_ in (name.split("/") for name in expected)}
            missing = sorted(wanted.keys() - {track.id for track in tracks})
            is_unknown = any(item.item == path.name for item in skipped)
            if missing and not is_unknown and not all(name in named for name in missing):
                if is_overwritten(case.content, pack(expected, after_tree(self.draw(number)))):
                    return "unjudged"
                return f"wrong: {missing} are missing, and named is only: {named}"
            for track in tracks:
                if wanted.get(track.id) != track.split:
                    return f"wrong: {track.id} is in {track.split}, not {wanted.get(track.id)}"
            packed = {name.partition("/")[2]: content for name, content in expected.items()}
            return self.compare(archive, tracks, path, case, packed, Path(folder))

    def compare(
        self, archive: Archive, tracks: list[Track], path: Path, case: Case, packed: Files, folder: Path
    ) -> str:
        """Compare the bytes of the tracks with those that were packed, or else with those that GNU tar extracts."""
        source = path
        if case.original is not None:
            source = folder / "original.tar"
            source.write_bytes(case.original)
        theirs = folder / "theirs"
        theirs.mkdir()
        flags = ["--gzip"] if source.read_bytes()[:2] == GZIP_MAGIC else []
        subprocess.run(
            ["tar", *flags, "--ignore-zeros", "-xf", source, "-C", theirs, "--no-same-owner", "--no-same-permissions"],
            check=False,
            capture_output=True,
        )
        extracted = {
            f"{file.parent.parent.name}/{file.parent.name}/{file.name}"
            if file.parent.name in ("MIDI", "stems")
            else f"{file.parent.name}/{file.name}": file.read_bytes()
            for file in theirs.rglob("*")
            if file.is_file() and not file.is_symlink()
        }
        is_judged = True
        for track in archive.open(tracks):
            for file in (track.mix, *(stem.audio for stem in track.stems), *(stem.midi for stem in track.stems)):
                name = f"{track.id}/{file.relative_to(track.mix.parent)}"
                if (content := file.read_bytes()) == packed.get(name):
                    continue
                if name not in extracted:
                    is_judged = False
                elif content != extracted[name]:
                    return f"wrong: {name} has other bytes than tar extracts"
            archive.close(track)
        shutil.rmtree(theirs)
        return "right" if is_judged else "unjudged"


def is_overwritten(content: bytes, original: bytes) -> bool:
    """Return whether zeros are all that is new: an archive that ends there, and another after it, may look the same."""
    return len(content) == len(original) and all(new in (0, old) for new, old in zip(content, original, strict=True))


def after_tree(draw: random.Random) -> random.Random:
    """Return the random numbers as they are once the tree is drawn."""
    random_tree(draw)
    return draw


def random_tree(draw: random.Random) -> Files:
    """Return the files of two to six tracks of several splits; audio and MIDI are any bytes, as nobody plays them."""
    files: Files = {}
    for number in range(1, draw.randrange(3, 8)):
        folder = f"{draw.choice(SPLITS)}/Track{number:05d}"
        for name in ("mix.flac", "stems/S00.flac", "MIDI/S00.mid"):
            files[f"{folder}/{name}"] = draw.randbytes(draw.choice([0, 10, 511, 512, 513, 3000]))
        files[f"{folder}/metadata.yaml"] = METADATA % number
    return files


def pack(files: Files, draw: random.Random, folders: bool = True) -> bytes:
    """Return the files in a .tar of any of its formats."""
    stream = io.BytesIO()
    kinds = (tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT)
    with tarfile.open(fileobj=stream, mode="w", format=draw.choice(kinds)) as archive:
        seen = set()
        for name, content in files.items():
            for parent in reversed(Path(name).parents[:-1] if folders else []):
                if parent not in seen:
                    seen.add(parent)
                    info = tarfile.TarInfo(parent.as_posix())
                    info.type, info.mode = tarfile.DIRTYPE, 0o755
                    archive.addfile(info)
            info = tarfile.TarInfo(name)
            info.size, info.mode = len(content), 0o644
            archive.addfile(info, io.BytesIO(content))
    return stream.getvalue()


def pack_oddly(files: Files, draw: random.Random) -> bytes:
    """Return the files packed as people do: with an outer folder, leftovers, joined, in members of gzip, padded."""
    prefix = draw.choice(["", "./", "/", "slakh2100_flac_redux/", "./a/" + "b" * 120 + "/", "train/", "Tracks/"])
    double = draw.random() < 0.3
    between = draw.choice(["", "Slakh2100/"])
    capitals = draw.random() < 0.3
    changed: Files = {}
    for name, content in files.items():
        split, track, rest = name.split("/", 2)
        where = f"{split}/{between}{split}" if double else split
        where = where.title() if capitals else where
        changed[f"{prefix}{where}/{track}/{rest}"] = content
        if draw.random() < 0.1:
            changed[f"__MACOSX/{name}"] = b"x"
            changed[f"{prefix}{where}/{track}/._{track}"] = b"x"
            changed[f"{prefix}{where}/readme {len(changed)}.txt"] = b"x"
    items = list(changed.items())
    if draw.random() < 0.5:
        draw.shuffle(items)
    cut = draw.randrange(len(items)) if draw.random() < 0.5 else len(items)
    parts = [pack(dict(part), draw, folders=draw.random() < 0.5) for part in (items[:cut], items[cut:]) if part]
    if draw.random() < 0.5:
        return b"".join(parts) + bytes(draw.choice([0, 512, 10_240]))
    return b"".join(gzip.compress(part, draw.randrange(10), mtime=0) for part in parts) + bytes(draw.choice([0, 100]))


def rearrange(content: bytes, draw: random.Random) -> bytes:
    """Cut off an archive, change the order of its blocks, repeat some, or overwrite them with zeros."""
    first, second = sorted(draw.randrange(len(content) + 1) // 512 * 512 for _ in range(2))
    kind = draw.randrange(5)
    if kind == 0:
        return content[: draw.randrange(len(content))]
    if kind == 1:
        return content[:first] + content[second:] + content[first:second]
    if kind == 2:
        return content[:second] + content[first:]
    if kind == 3:
        return content[:first] + bytes(min(second - first, 5000)) + content[first + min(second - first, 5000) :]
    return content + content[first:second]
