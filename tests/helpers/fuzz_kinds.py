"""Readers that err, for tests of tools/fuzz.py. Its processes import them by name."""

import dataclasses
import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from fuzzing.archive import Archives
from fuzzing.cases import Case, Kind
from fuzzing.midi import Midi
from fuzzing.soundfont import SoundFonts

from mir_tf.errors import DataError
from tfrecords_builder.midi import MidiPart, read_parts
from tfrecords_builder.slakh.archive import Archive
from tfrecords_builder.slakh.tree import Layout, Skipped, Track, find_tracks
from tfrecords_builder.synthesis.soundfont import SoundFont


def without_last_part(path: Path) -> list[MidiPart]:
    *parts, _ = read_parts(path)
    return parts


def refuse(path: Path) -> list[MidiPart]:
    raise DataError(f"{path}: unreadable")


def fail(path: Path) -> list[MidiPart]:
    raise KeyError(path)


class Loss(Midi):
    read = staticmethod(without_last_part)


class Refusal(Midi):
    read = staticmethod(refuse)


class Failure(Midi):
    read = staticmethod(fail)


class LossyArchive(Archive):
    def layout(self, progress: Any = None) -> Layout:
        layout = super().layout(progress)
        return dataclasses.replace(layout, listings=layout.listings[1:])


class LostTrack(Archives):
    read = staticmethod(lambda path, scratch: LossyArchive(path, scratch, True))


class CarelessArchive(Archive):
    def open(self, wanted: Sequence[Track]) -> Iterator[Track]:
        for track in super().open(wanted):
            track.mix.write_bytes(b"others")
            yield track


class OtherBytes(Archives):
    read = staticmethod(lambda path, scratch: CarelessArchive(path, scratch, True))


class MuteSoundFont(SoundFont):
    def note(self, *arguments: Any, **options: Any) -> np.ndarray:
        return 0 * super().note(*arguments, **options)


class SilentFont(SoundFonts):
    read = MuteSoundFont

    def case(self, number: int) -> Case:
        return Case(super().case(number).content)


def find_other_programs(root: Path) -> tuple[list[Track], list[Skipped]]:
    tracks, skipped = find_tracks(root)
    stems = [[dataclasses.replace(stem, program=0) for stem in track.stems] for track in tracks]
    return [dataclasses.replace(track, stems=tuple(own)) for track, own in zip(tracks, stems, strict=True)], skipped


class OtherProgram(Kind):
    """YamlFiles whose reader errs. It is wrapped, because its module loads TensorFlow."""

    suffix = ".yaml"
    gigabytes = 6.0

    def __init__(self, files: list[Path], seed: int) -> None:
        from fuzzing.yaml_file import YamlFiles

        self.inner = YamlFiles(files, seed)
        self.inner.find = find_other_programs  # type: ignore[misc]

    def case(self, number: int) -> Case:
        return self.inner.case(number)

    def judge(self, path: Path, case: Case) -> str:
        return self.inner.judge(path, case)

    def close(self) -> None:
        self.inner.close()


class Numbers(Kind):
    suffix = ".txt"
    seconds = 1.0
    gigabytes = 1.0

    def case(self, number: int) -> Case:
        return Case(str(number).encode())

    def judge(self, path: Path, case: Case) -> str:
        if case.content == b"1":
            self.err()
        return "right"

    def err(self) -> None:
        raise NotImplementedError


class Death(Numbers):
    def err(self) -> None:
        os.abort()


class Hang(Numbers):
    def err(self) -> None:
        time.sleep(60)


class Hunger(Numbers):
    def err(self) -> None:
        bytearray(2 * 10**9)


class LateStart(Numbers):
    def __init__(self, files: list[Path], seed: int) -> None:
        raise OSError("no start")
