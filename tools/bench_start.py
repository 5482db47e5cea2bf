"""Measure how long ``mir-tf predict`` takes in all, in relation to the import of its libraries alone.

    python tools/bench_start.py

Each command is a new process, which predicts 10 s of wav or four minutes of mp3. The rounds alternate, so that the
ratios are valid on a machine that does other work as well. ``--python`` names the Python of another environment with
mir-tf, such as one after ``pip install .``; ``--basic-pitch`` and ``--musicnn`` name those of environments with these
packages, which are measured too. They do other tasks: basic-pitch transcribes notes, and musicnn tags whole recordings.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import click
import numpy as np
import soundfile

_RATE = 44100

_IMPORTS = ("ai_edge_litert, numpy, soundfile", "ai_edge_litert.interpreter, numpy, soundfile")
"""The imports alone. The first, which the ratios relate to, does not load LiteRT's library; the second does."""

_Command = Callable[[Path, Path], list[str | Path]]
"""Returns the command line for a recording and an empty folder."""


@click.command(help=__doc__.partition("\n")[0])
@click.option("--python", default=sys.executable, help="Python with mir-tf.  [default: this one]")
@click.option("--basic-pitch", help="Python with basic-pitch.")
@click.option("--musicnn", help="Python with musicnn.")
@click.option("--rounds", default=7, show_default=True, help="Rounds to measure, after one to warm up.")
def main(python: str, basic_pitch: str | None, musicnn: str | None, rounds: int) -> None:
    """Run the rounds and print the table."""
    tools: dict[str, _Command] = {"mir-tf predict": lambda song, _: [_script(python, "mir-tf"), "predict", song]}
    if basic_pitch:
        tools["basic-pitch"] = lambda song, folder: [_script(basic_pitch, "basic-pitch"), folder, song]
    if musicnn:
        tools["musicnn"] = lambda song, _: [musicnn, "-m", "musicnn.tagger", song, "--print"]
    with tempfile.TemporaryDirectory() as name:
        songs = _songs(Path(name))
        measured: dict[str, list[tuple[float, float]]] = {}
        for number in range(rounds + 1):
            for imports in _IMPORTS:
                measured.setdefault(f"import {imports}", []).append(_run([python, "-c", f"import {imports}"]))
            for tool, command in tools.items():
                for length, song in songs.items():
                    folder = Path(name) / f"{tool}-{length}-{number}".replace(" ", "-")
                    folder.mkdir()
                    measured.setdefault(f"{tool}, {length}", []).append(_run(command(song, folder)))
    base = np.array(measured[f"import {_IMPORTS[0]}"][1:])
    click.echo(f"{os.cpu_count()} cores, medians of {rounds} rounds")
    click.echo(f"{'seconds':>9}{'ratio':>7}{'processor':>11}{'ratio':>7}")
    for label, times in measured.items():
        wall, processor = np.median(times[1:], axis=0)
        ratio, processor_ratio = np.median(np.array(times[1:]) / base, axis=0)
        click.echo(f"{wall:9.2f}{ratio:7.2f}{processor:11.2f}{processor_ratio:7.2f}  {label}")
    click.echo("ratio: in relation to the first import in the same round, the median of the rounds")


def _script(python: str, name: str) -> Path:
    """Return the path of a command in the environment of a Python."""
    return Path(python).parent / name


def _songs(folder: Path) -> dict[str, Path]:
    """Write the recordings, in stereo."""
    songs = {"10 s of wav": folder / "song.wav", "4 min of mp3": folder / "song.mp3"}
    times = np.arange(60 * _RATE) / _RATE
    notes = [np.sin(2 * np.pi * 110 * step * times) * np.exp(-3 * (times % (0.25 * step))) for step in range(1, 9)]
    noise = np.random.default_rng(0).normal(0, 0.02, (len(times), 2))
    minute = np.clip(0.1 * np.sum(notes, axis=0)[:, np.newaxis] + noise, -1, 1)
    soundfile.write(songs["10 s of wav"], minute[: 10 * _RATE], _RATE)
    with soundfile.SoundFile(songs["4 min of mp3"], "w", _RATE, 2) as file:
        for _ in range(4):
            file.write(minute)
    return songs


def _run(command: list[str | Path]) -> tuple[float, float]:
    """Run a command; return its wall-clock time and the processor time of all its processes."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, errors="replace")
    wall, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        raise click.ClickException(f"{command[0]} failed: {done.stderr[-1000:]}")
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


if __name__ == "__main__":
    main()
