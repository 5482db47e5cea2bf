"""Measure a build on Dask, with one and with two workers on this machine, against a local build.

    python tools/bench_dask.py --songs 40

All builds are made in one run from the same composed songs, rendered as part of the build. The speed is that between
the first finished track and the last one, as a multiple of the local build with one worker. The seconds are those of
the whole command, with its start.
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import click
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from tfrecords_builder import resume
from tfrecords_builder.ensembles import composer
from tfrecords_builder.synthesis.synthesizers import default_soundfont

DASK = [sys.executable, "-m", "dask"]


@click.command(help=__doc__.partition("\n")[0])
@click.option("--songs", default=24, show_default=True, type=click.IntRange(min=8), help="Build from N songs.")
def main(songs: int) -> None:
    """Measure, and print the table."""
    table = Table("build", box=SIMPLE_HEAD)
    for title in ("tracks a second", "of one local worker", "seconds in all"):
        table.add_column(title, justify="right")
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        composer.compose_folder(folder / "midi", songs, seed=0, simple=True)
        unit = 0.0
        for workers in (1, 2):
            speed, seconds = _time(folder, "--workers", str(workers))
            unit = unit or speed
            table.add_row(f"local, --workers {workers}", f"{speed:.2f}", f"{speed / unit:.2f}", f"{seconds:.0f}")
        for workers in (1, 2):
            with contextlib.ExitStack() as stack:
                file = folder / f"scheduler-{workers}.json"
                words = ["--scheduler-file", str(file), "--no-dashboard"]
                _start(stack, folder, "scheduler", *words, "--host", "127.0.0.1", "--port", "0")
                for _ in range(workers):
                    _start(stack, folder, "worker", *words, "--nthreads", "1", "--no-nanny")
                beam = ("--runner", "beam", "--", "--runner=DaskRunner", f"--dask_scheduler_file={file}")
                while not file.exists():
                    time.sleep(0.1)
                speed, seconds = _time(folder, *beam)
            table.add_row(f"Dask, workers: {workers}", f"{speed:.2f}", f"{speed / unit:.2f}", f"{seconds:.0f}")
    Console(width=100).print(table)


def _start(stack: contextlib.ExitStack, folder: Path, *words: str) -> None:
    process = subprocess.Popen([*DASK, *words], cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    stack.callback(process.wait)
    stack.callback(process.kill)


def _time(folder: Path, *words: str) -> tuple[float, float]:
    """Build once; return finished tracks per second without the first, and the seconds of the command."""
    began = time.perf_counter()
    source = ["--midi", str(folder / "midi"), "--soundfont", str(default_soundfont())]
    with tempfile.TemporaryDirectory() as data:
        command = [sys.executable, "-m", "tfrecords_builder", *source, "--out", data, *words]
        seen: list[tuple[int, float]] = []
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as build:
            while build.poll() is None:
                count = len(list(Path(data, resume.UNFINISHED, resume.PARTS).glob("*.json")))
                if count and (not seen or count > seen[-1][0]):
                    seen.append((count, time.perf_counter()))
                time.sleep(0.02)
            assert build.stderr is not None
            if build.returncode:
                raise click.ClickException(build.stderr.read())
    (first, start), (last, end) = seen[0], seen[-1]
    return (last - first) / (end - start), time.perf_counter() - began


if __name__ == "__main__":
    main()
