"""Measure how long the builder takes for a track, where its time goes, and how it scales with cores.

    python tools/bench_builder.py --slakh TREE --tracks 24

All figures come from one run on the same tracks: some of TREE, or by default composed and rendered songs. Steps are
timed in alternating rounds, in processor seconds of one core, and the best round of each counts. So their ratios are
valid on a machine that does other work too. The unit is the decoding of a whole track with libsndfile; the builder
should take at most twice that. Two rows show what the libraries alone need: soxr for resampling, and SciPy for the
Fourier transforms of the log-mel.

The reference path is the work of the PyTorch project for every item in every epoch: ``librosa.load`` of the whole file,
``pretty_midi`` twice, librosa's mel spectrogram of 100 s at 1000 frames, and ``power_to_db``.

Scaling is measured with the real pool of processes in wall-clock time, without its start. It needs an idle machine and
many tracks.
"""

from __future__ import annotations

import functools
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import click
import librosa
import numpy as np
import pretty_midi
import scipy.fft
import soundfile
import tensorflow as tf
from demo import run
from numpy.typing import NDArray
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from threadpoolctl import threadpool_limits

from mir_tf.config import FRONT_ENDS, FrontEndConfig
from mir_tf.data import frontend
from mir_tf.io import audio
from tfrecords_builder import build, midi, processes
from tfrecords_builder.processes import Failure
from tfrecords_builder.records import labels
from tfrecords_builder.records.make import RecordConfig
from tfrecords_builder.slakh import tree as slakh
from tfrecords_builder.slakh.tree import Track
from tfrecords_builder.synthesis.synthesizers import default_soundfont

CONFIG = RecordConfig(FRONT_ENDS["default"])
REFERENCE = FRONT_ENDS["seed_44k"]
AIM = 2.0
"""Decodes that a whole track may take."""

DECODE = "one decode, by libsndfile"
OUR_MIDI = "one MIDI file, our reader"
PRETTY_MIDI = "one MIDI file, pretty_midi"
REFERENCE_PATH = "the reference path"
WHOLE = "the builder, a whole track"
SAMPLES = "decode to mono at the front end's rate"
LOG_MEL = "log-mel"
STEMS_MIDI = "MIDI of all stems"
RESAMPLING = "resampling, soxr alone"
TRANSFORMS = "Fourier transforms, SciPy alone"

Seconds = dict[str, float]
"""Step → mean processor seconds per track."""


@click.command(help=__doc__.partition("\n")[0])
@click.option(
    "--slakh", "tree", type=click.Path(exists=True, file_okay=False, path_type=Path), help="Take tracks from this tree."
)
@click.option("--tracks", "count", default=12, show_default=True, type=click.IntRange(min=4), help="Measure N tracks.")
@click.option(
    "--rounds",
    default=3,
    show_default=True,
    type=click.IntRange(min=1),
    help="Time N rounds.",
)
def main(tree: Path | None, count: int, rounds: int) -> None:
    """Measure, and print the tables."""
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    with threadpool_limits(1), tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        tracks = _tracks(_demo(folder, count) if tree is None else tree, count)
        seconds = np.mean([audio.probe(track.mix).seconds for track in tracks])
        stems = np.mean([len(track.stems) for track in tracks])
        console = Console(width=100)
        console.print(f"{count} tracks, on average {seconds:.0f} s with {stems:.0f} stems")
        _print_steps(console, _time_steps(tracks, folder, rounds))
        _print_pools(console, tracks, folder, rounds)


def _demo(folder: Path, count: int) -> Path:
    run("python", "-m", "tfrecords_builder.ensembles", "--songs", str(count), "--out", folder / "midi")
    options = ("--soundfont", default_soundfont(), "--keep-audio", folder / "tree", "--out", folder / "data")
    run("python", "-m", "tfrecords_builder", "--midi", folder / "midi", *options)
    return folder / "tree"


def _tracks(tree: Path, count: int) -> list[Track]:
    """Return ``count`` tracks, evenly spread over those of the tree."""
    found, _ = slakh.find_tracks(tree)
    if len(found) < count:
        raise click.UsageError(f"{tree} has {len(found)} tracks; --tracks asks for {count}")
    return [found[index * len(found) // count] for index in range(count)]


def _time_steps(tracks: Sequence[Track], folder: Path, rounds: int) -> Seconds:
    for step in _steps(tracks[0], folder).values():
        step()  # warm-up: builds graphs and filter banks
    mean = dict.fromkeys(_steps(tracks[0], folder), 0.0)
    for track in tracks:
        steps = _steps(track, folder)
        best = dict.fromkeys(steps, float("inf"))
        for _ in range(rounds):
            for name, step in steps.items():
                began = time.process_time()
                step()
                best[name] = min(best[name], time.process_time() - began)
        mean = {name: mean[name] + took / len(tracks) for name, took in best.items()}
    return mean


def _steps(track: Track, folder: Path) -> dict[str, Callable[[], object]]:
    front_end = CONFIG.front_end
    all_notes = track.mix.parent / slakh.ALL_NOTES
    blocks = list(audio.read_blocks(track.mix, front_end.sample_rate))
    label_frames = front_end.num_label_frames(sum(map(len, blocks)))
    rate = audio.probe(track.mix).sr
    decoded = list(audio.read_blocks(track.mix, rate))
    samples = np.concatenate(blocks)
    return {
        DECODE: lambda: soundfile.read(track.mix, dtype="float32"),
        OUR_MIDI: lambda: midi.read_parts(all_notes),
        PRETTY_MIDI: lambda: pretty_midi.PrettyMIDI(str(all_notes)),
        REFERENCE_PATH: lambda: _reference(track.mix, all_notes),
        WHOLE: lambda: build.build_part(track, folder, CONFIG),
        SAMPLES: lambda: list(audio.read_blocks(track.mix, front_end.sample_rate)),
        LOG_MEL: lambda: list(frontend.log_mel_blocks(blocks, front_end)),
        RESAMPLING: lambda: _resample(decoded, rate, front_end),
        TRANSFORMS: lambda: _transform(samples, front_end),
        STEMS_MIDI: lambda: [labels.active_frames(labels.stem_notes(stem.midi), label_frames) for stem in track.stems],
    }


def _resample(blocks: Sequence[NDArray[np.float32]], rate: int, front_end: FrontEndConfig) -> None:
    resampler = audio.Resampler(rate, front_end.sample_rate)
    for block in blocks:
        resampler.resample(block)
    resampler.finish()


def _transform(samples: NDArray[np.float32], front_end: FrontEndConfig) -> None:
    windows = np.lib.stride_tricks.sliding_window_view(samples, front_end.n_fft)[:: front_end.hop_length]
    for begin in range(0, len(windows), 64):  # as many as fit into the cache
        scipy.fft.rfft(windows[begin : begin + 64])


def _reference(mix: Path, all_notes: Path) -> None:
    samples, rate = librosa.load(mix, sr=REFERENCE.sample_rate)
    for _ in range(2):
        pretty_midi.PrettyMIDI(str(all_notes))
    start, seconds = REFERENCE.segment(len(samples) / rate)
    middle = samples[round(start * rate) : round((start + seconds) * rate)]
    mel = librosa.feature.melspectrogram(y=middle, sr=rate, n_fft=REFERENCE.n_fft, hop_length=REFERENCE.hop_length)
    librosa.power_to_db(mel, ref=np.max)


def _print_steps(console: Console, seconds: Seconds) -> None:
    rest = seconds[WHOLE] - seconds[SAMPLES] - seconds[LOG_MEL] - seconds[STEMS_MIDI]
    rows = {
        **{name: seconds[name] for name in (DECODE, OUR_MIDI, PRETTY_MIDI, REFERENCE_PATH, WHOLE)},
        "  decode": seconds[DECODE],
        "  to mono, to the front end's rate": seconds[SAMPLES] - seconds[DECODE],
        f"    {RESAMPLING}": seconds[RESAMPLING],
        f"  {LOG_MEL}": seconds[LOG_MEL],
        f"    {TRANSFORMS}": seconds[TRANSFORMS],
        f"  {STEMS_MIDI}": seconds[STEMS_MIDI],
        "  float16, encoding, sums, writing": rest,
    }
    table = Table("a track", box=SIMPLE_HEAD)
    for title in ("processor s", "of one decode", "of the reference path"):
        table.add_column(title, justify="right")
    for name, took in rows.items():
        table.add_row(name, f"{took:.3f}", f"{took / seconds[DECODE]:.2f}", f"{took / seconds[REFERENCE_PATH]:.2f}")
    console.print(table)
    console.print(f"A whole track takes {seconds[WHOLE] / seconds[DECODE]:.2f} decodes; the aim is {AIM:g}.")


def _print_pools(console: Console, tracks: Sequence[Track], folder: Path, rounds: int) -> None:
    seconds = {track: audio.probe(track.mix).seconds for track in tracks}
    most = min(os.cpu_count() or 1, len(tracks) // 4)  # each builds some after its first
    sizes = sorted({min(2**power, most) for power in range(most.bit_length() + 1)})
    speed = dict.fromkeys(sizes, 0.0)
    work = dict.fromkeys(sizes, float("inf"))
    for _ in range(rounds):
        for workers in sizes:
            round_speed, round_work = _time_pool(seconds, folder, workers)
            speed[workers] = max(speed[workers], round_speed)
            work[workers] = min(work[workers], round_work)
    table = Table("workers", box=SIMPLE_HEAD)
    for title in ("× real time", "of one worker", "processor s a track"):
        table.add_column(title, justify="right")
    for workers in sizes:
        table.add_row(str(workers), f"{speed[workers]:.0f}", f"{speed[workers] / speed[1]:.2f}", f"{work[workers]:.3f}")
    console.print(table)


def _time_pool(seconds: dict[Track, float], folder: Path, workers: int) -> tuple[float, float]:
    """Return seconds of audio per second, and processor seconds per track, without the first quarter of tracks."""
    done, work = [], []
    with processes.pool(workers, build.use_one_core) as pool:
        for track, took in pool.results(functools.partial(_timed_part, folder=folder), seconds):
            if isinstance(took, Failure):
                raise click.ClickException(f"{track.id}: {took.reason}")
            done.append((time.perf_counter(), seconds[track]))
            work.append(took)
    first = len(done) // 4  # until then processes start, and build their graphs
    audio_seconds = sum(length for _, length in done[first:])
    return audio_seconds / (done[-1][0] - done[first - 1][0]), float(np.mean(work[first:]))


def _timed_part(track: Track, folder: Path) -> float:
    """Build a track in a worker, and return its processor seconds."""
    began = time.process_time()
    build.build_part(track, folder, CONFIG)
    return time.process_time() - began


if __name__ == "__main__":
    main()
