"""An app in a process of its own, and what processes use."""

from __future__ import annotations

import contextlib
import functools
import os
import re
import resource
import signal
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import click

USUAL_FILES = 1024
"""Limit of open files of a process, as most systems have it."""


class Usage(NamedTuple):
    """What a process and its children use.

    Attributes:
        memory: Id of a process → its memory in MB.
        files: Number of open files.
        threads: Number of threads.
        processes: Number of processes.
        temporary_files: Number of temporary files.
    """

    memory: dict[int, float]
    files: int
    threads: int
    processes: int
    temporary_files: int

    @property
    def megabytes(self) -> float:
        """Memory of all processes in MB."""
        return sum(self.memory.values())


def usage(pid: int, folder: Path) -> Usage:
    """Return what the process ``pid`` and its children use; their temporary files are in ``folder``."""
    pids = [pid, *_children(pid)]
    memory, files, threads = {}, 0, 0
    for each in pids:
        with contextlib.suppress(OSError, IndexError):
            pages = int(Path(f"/proc/{each}/statm").read_text().split()[1])
            memory[each] = pages * resource.getpagesize() / 1e6
            files += len(os.listdir(f"/proc/{each}/fd"))
            threads += len(os.listdir(f"/proc/{each}/task"))
    return Usage(memory, files, threads, len(pids), sum(path.is_file() for path in folder.rglob("*")))


class RunningApp:
    """An app in a process of its own, whose temporary files are in a folder.

    Attributes:
        port: Its port.
        process: Its process.
        log: The file with what it prints to standard error, beside the folder.
    """

    def __init__(self, folder: Path, model: Path | None, max_files: int = USUAL_FILES) -> None:
        """Start the app.

        Args:
            folder: An empty folder.
            model: Model of the app; None is the pretrained one.
            max_files: Maximum number of files that a process of it may open.
        """
        self.log = folder / "log"
        self._temporary = folder / "temporary"
        self._temporary.mkdir()
        words = [sys.executable, "-c", "from mir_tf.cli import main; main()", "app", *([str(model)] if model else [])]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [*words, "--port", "0", "--no-browser"],
                stdout=subprocess.PIPE,
                stderr=log,
                env={**os.environ, "TMPDIR": str(self._temporary)},
                preexec_fn=functools.partial(resource.setrlimit, resource.RLIMIT_NOFILE, (max_files, max_files)),
            )
        assert self.process.stdout is not None
        found = re.search(rb":(\d+)/", self.process.stdout.readline())
        if found is None:
            raise click.ClickException(f"the app did not start: {self.log.read_text()}")
        self.port = int(found[1])

    def usage(self) -> Usage:
        """Return what the app uses, with its decoders."""
        return usage(self.process.pid, self._temporary)

    def close(self) -> list[str]:
        """End the app, and return the names of files that it has left."""
        self.process.send_signal(signal.SIGINT)
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        if self.process.stdout is not None:
            self.process.stdout.close()
        return [path.name for path in self._temporary.iterdir()]


def _children(pid: int) -> list[int]:
    """Return the ids of a process's children."""
    found = []
    for path in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            found += [int(word) for word in path.read_text().split()]
    return found
