"""Run the cases of one kind in a process of their own, and count how each of them ends."""

from __future__ import annotations

import collections
import contextlib
import multiprocessing
import os
import random
import resource
import shutil
import signal
import sys
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import ClassVar

import click

from mir_tf.errors import MirTfError

OUTCOMES = ("right", "refused", "unjudged", "wrong", "crashed")

START_SECONDS = 120.0
"""Time in which a process must be ready for its first case."""


@dataclass(frozen=True)
class Case:
    """One input.

    Attributes:
        content: The bytes to read.
        original: The bytes before the change, if it is a change that means nothing.
        suffix: Suffix of the file; None: that of the kind.
    """

    content: bytes
    original: bytes | None = None
    suffix: str | None = None


class Kind(ABC):
    """Cases of one kind, and the judge of their outcomes. It is created in the process that runs the cases."""

    suffix: ClassVar[str]
    """Suffix of the files."""
    seconds: ClassVar[float] = 30.0
    """Time in which a case must end."""
    gigabytes: ClassVar[float] = 4.0
    """Memory that the process may allocate."""
    sources: ClassVar[tuple[str, ...]] = ()
    """Suffixes of the files in ``--files`` that are altered."""

    def __init__(self, files: list[Path], seed: int) -> None:
        """Store the files to alter (empty: make random ones) and the seed of all cases."""
        self.files, self.seed = files, seed

    def draw(self, number: int) -> random.Random:
        """Return the random numbers of a case."""
        return random.Random(f"{self.seed}:{number}")

    @abstractmethod
    def case(self, number: int) -> Case:
        """Return a case by its number, from 0. The same seed and number give the same case."""

    @abstractmethod
    def judge(self, path: Path, case: Case) -> str:
        """Read the file of a case, and return ``right``, ``unjudged``, or ``wrong: `` and the reason.

        Raises:
            MirTfError: The project refuses the case. This outcome is ``wrong`` for a change that means nothing.
        """

    def close(self) -> None:  # noqa: B027 (most kinds start nothing)
        """End what the judge has started."""


def outcome_of(kind: Kind, path: Path, case: Case) -> str:
    """Return how a case ends, with the reason after a colon."""
    try:
        return kind.judge(path, case)
    except MirTfError as error:
        return f"refused: {error}" if case.original is None else f"wrong: refused: {error}"
    except BaseException as error:
        return f"crashed: {type(error).__name__}: {error}"


def has_failed(outcome: str) -> bool:
    """Return whether a case failed."""
    return outcome.startswith(("wrong", "crashed"))


def work(kind_class: type[Kind], files: list[Path], seed: int, numbers: range, folder: Path, pipe: Connection) -> None:
    """Send the outcome of each case through a pipe, after None once all is ready. Leave the files of failed cases."""
    os.setpgid(0, 0)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    limit = int(kind_class.gigabytes * 1e9)
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with contextlib.suppress(BrokenPipeError), contextlib.closing(kind_class(files, seed)) as kind:
        pipe.send(None)
        for number in numbers:
            case = kind.case(number)
            path = folder / f"{number}{kind.suffix if case.suffix is None else case.suffix}"
            path.write_bytes(case.content)
            outcome = outcome_of(kind, path, case)
            if not has_failed(outcome):
                path.unlink()
            pipe.send(outcome)


def end(process: BaseProcess) -> None:
    """Kill a process and those that it has started."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid or 0, signal.SIGKILL)
    process.kill()
    process.join()


def outcomes(kind_class: type[Kind], files: list[Path], seed: int, count: int, folder: Path) -> Iterator[str]:
    """Yield the outcome of each case. A process that dies, hangs or needs too much memory is replaced.

    Args:
        kind_class: What to try.
        files: The files to alter. Empty: random ones.
        seed: Seed of the cases.
        count: Number of cases.
        folder: Folder in which the files of failed cases remain.

    Raises:
        RuntimeError: A process ended before its first case.
    """
    context = multiprocessing.get_context("spawn")
    number = 0
    while number < count:
        receiver, sender = context.Pipe(duplex=False)
        process = context.Process(target=work, args=(kind_class, files, seed, range(number, count), folder, sender))
        process.start()
        sender.close()
        is_ready = False
        try:
            if not receiver.poll(START_SECONDS):
                raise EOFError
            receiver.recv()
            is_ready = True
            while number < count:
                outcome = f"crashed: no answer after {kind_class.seconds:.0f} s"
                if is_ready := receiver.poll(kind_class.seconds):
                    outcome = receiver.recv()
                number += 1
                yield outcome
                if not is_ready:
                    break
            else:
                process.join()
        except EOFError:
            if not is_ready:
                raise RuntimeError(f"{kind_class.__name__}: the process for its cases did not start") from None
            process.join()
            number += 1
            yield f"crashed: the process ended with status {process.exitcode}"
        finally:
            end(process)


def run(kind_class: type[Kind], files: list[Path], *, count: int, seed: int, keep: Path | None, verbose: bool) -> None:
    """Run cases, print the failed ones and the number of each outcome, and exit with 1 if a case failed.

    Args:
        kind_class: What to try.
        files: The files to alter. Empty: random ones.
        count: Number of cases.
        seed: Seed of the cases.
        keep: Folder for the failed cases.
        verbose: Whether to print every case.
    """
    counts: collections.Counter[str] = collections.Counter()
    with tempfile.TemporaryDirectory() as scratch:
        cases = outcomes(kind_class, files, seed, count, Path(scratch))
        with click.progressbar(cases, length=count, label=kind_class.__name__, file=sys.stderr) as progress:
            for number, outcome in enumerate(progress):
                counts[outcome.partition(":")[0]] += 1
                if verbose or has_failed(outcome):
                    click.echo(f"case {number} {outcome}")
                if has_failed(outcome):
                    for path in Path(scratch).glob(f"{number}.*"):
                        if keep is not None:
                            keep.mkdir(parents=True, exist_ok=True)
                            shutil.copy(path, keep)
                        path.unlink()
    click.echo(", ".join(f"{counts[name]} {name}" for name in OUTCOMES) + f"; {counts.total()} in all")
    sys.exit(bool(counts["wrong"] or counts["crashed"]))


def damage(content: bytes, draw: random.Random) -> bytes:
    """Damage a file in one to four places: flip a bit, or change, remove, repeat, insert or cut off bytes."""
    data = bytearray(content)
    for _ in range(draw.choice([1, 1, 2, 4])):
        place = draw.randrange(len(data) or 1)
        size = draw.choice([1, 1, 2, 4, 30])
        kind = draw.randrange(7)
        if kind == 0 and data:
            data[place] ^= 1 << draw.randrange(8)
        elif kind == 1 and data:
            data[place] = draw.choice([0, 1, 0x7F, 0x80, 0xFF, draw.randrange(256)])
        elif kind == 2:
            del data[place : place + size]
        elif kind == 3:
            data[place:place] = data[place : place + size]
        elif kind == 4:
            data[place:place] = draw.randbytes(size)
        elif kind == 5:
            data[place : place + size] = draw.randbytes(size)
        elif draw.random() < 0.3:
            del data[place:]
    return bytes(data)
