"""Readers that err, for tests of tools/fuzz.py. Its processes import them by name."""

import os
import time
from pathlib import Path

from fuzzing.cases import Case, Kind
from fuzzing.midi import Midi

from mir_tf.errors import DataError
from tfrecords_builder.midi import MidiPart, read_parts


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
