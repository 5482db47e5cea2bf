"""Compare front ends: what each candidate misses, costs and gains over the default.

    python tools/bench_front_end.py --songs 40

The tool composes and renders songs, and prints for each candidate

- covered: share of positions in time at which a click counts at least half as much as at the best position;
- own: share of a click's energy in its own label frame;
- speed: seconds of audio turned into log-mel per second of one core;
- MB/h: size of an hour of log-mel in float16;
- AP: average precision (macro over the families) of a linear probe on held-out songs, and its difference from the
  default's, with the standard error over five parts of the songs.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import click
import numpy as np
import tensorflow as tf
from demo import run
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score

from mir_tf.config import FRONT_ENDS, LABEL_RATE, FrontEndConfig
from mir_tf.data import frontend
from mir_tf.vocabulary import VOCABULARIES
from tfrecords_builder.records.make import RecordConfig, make_records
from tfrecords_builder.slakh import tree

DEFAULT = "22.05 kHz 1024/441, the default"
CANDIDATES = {
    "44.1 kHz 2048/4412, the original's": FRONT_ENDS["seed_44k"].replace(log_floor_db=-60.0),
    "44.1 kHz 2048/882": FrontEndConfig(sample_rate=44100, n_fft=2048, hop_length=882),
    "44.1 kHz 4096/882": FrontEndConfig(sample_rate=44100, n_fft=4096, hop_length=882),
    "22.05 kHz 4096/2205": FrontEndConfig(n_fft=4096, hop_length=2205),
    DEFAULT: FrontEndConfig(),
    "22.05 kHz 1024/441, from the start": FrontEndConfig(frame_center="start"),
    "22.05 kHz 2048/441": FrontEndConfig(n_fft=2048),
    "22.05 kHz 4096/441": FrontEndConfig(n_fft=4096),
    "22.05 kHz 1024/245": FrontEndConfig(hop_length=245),
    "16 kHz 1024/320": FrontEndConfig(sample_rate=16000, hop_length=320),
}
_FOLDS = 5
_CONTEXT = 2
_RIDGE = 300.0


@click.command(help=__doc__.partition("\n")[0])
@click.option("--songs", default=40, show_default=True, type=click.IntRange(min=2 * _FOLDS))
@click.option("--seed", default=0, show_default=True)
def main(songs: int, seed: int) -> None:
    """Render the songs and print the table."""
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        tracks = _render(Path(folder), songs, seed)
        precision = {name: _probe(tracks, front_end) for name, front_end in CANDIDATES.items()}
    click.echo(f"{'':36}covered    own  speed  MB/h     AP   against the default")
    for name, front_end in CANDIDATES.items():
        covered, own = _clicks(front_end)
        size = front_end.frame_rate * front_end.n_mels * 2 * 3600 / 1e6
        gain = precision[name] - precision[DEFAULT]
        click.echo(
            f"{name:36} {covered:5.0%}  {own:5.0%}  {_speed(front_end):4.0f}×  {size:4.0f}"
            f"  {precision[name].mean():.3f}   {gain.mean():+.3f} ± {gain.std(ddof=1) / np.sqrt(_FOLDS):.3f}"
        )


def _render(folder: Path, songs: int, seed: int) -> Sequence[tree.Track]:
    options = ("--demo", str(songs), "--seed", str(seed), "--keep-audio", folder / "tree")
    run("python", "-m", "tfrecords_builder", *options, "--out", folder / "data")
    tracks, _ = tree.find_tracks(folder / "tree")
    return tracks


def _clicks(front_end: FrontEndConfig) -> tuple[float, float]:
    """Return the shares covered and own for clicks everywhere in a second, from the windows alone."""
    window = tf.signal.hann_window(front_end.n_fft).numpy() ** 2
    label_frame = front_end.sample_rate // LABEL_RATE
    margin, clicks = 2 * LABEL_RATE, np.arange(front_end.sample_rate) + 2 * front_end.sample_rate
    energy = np.zeros((2 * margin + LABEL_RATE, (2 * margin + LABEL_RATE) * label_frame))  # [label frame, sample]
    for frame in range(front_end.subframes, len(energy) * front_end.subframes - front_end.subframes):
        start = frame * front_end.hop_length - front_end.left_padding
        energy[frame // front_end.subframes, start : start + front_end.n_fft] += window
    total = energy[:, clicks].sum(axis=0)  # [click]
    own = energy[clicks // label_frame, clicks]
    return float(np.mean(total >= total.max() / 2)), float(own.sum() / total.sum())


def _speed(front_end: FrontEndConfig, seconds: int = 60) -> float:
    noise = np.random.default_rng(0).normal(0, 0.1, seconds * front_end.sample_rate).astype(np.float32)
    took = []
    for _ in range(3):
        began = time.process_time()
        for _ in frontend.log_mel_blocks([noise], front_end):
            pass
        took.append(time.process_time() - began)
    return seconds / min(took)


def _probe(tracks: Sequence[tree.Track], front_end: FrontEndConfig) -> NDArray[np.float64]:
    """Return the average precision of ridge regression [folds], each on songs of one fold after a fit on the others."""
    features, targets, folds = [], [], []
    for number, track in enumerate(tracks):
        (record,) = make_records(track, RecordConfig(front_end))
        features.append(_with_context(_pooled(record.log_mel, front_end)))
        targets.append(VOCABULARIES["family"].project(record.activity))
        folds.append(np.full(len(record.activity), number % _FOLDS))
    x, y, fold = np.concatenate(features), np.concatenate(targets), np.concatenate(folds)
    x = (x - x.mean(axis=0)) / x.std(axis=0)
    precision = []
    for held_out in range(_FOLDS):
        fit, score = fold != held_out, fold == held_out
        gram = x[fit].T @ x[fit] + _RIDGE * np.eye(x.shape[1], dtype=np.float32)
        scores = x[score] @ np.linalg.solve(gram, x[fit].T @ (y[fit] - y[fit].mean(axis=0)))  # [frames, classes]
        both = [index for index in range(y.shape[1]) if 0 < y[score, index].mean() < 1]
        precision.append(np.mean([average_precision_score(y[score, index], scores[:, index]) for index in both]))
    return np.array(precision)


def _pooled(log_mel: NDArray[np.float16], front_end: FrontEndConfig) -> NDArray[np.float32]:
    """Return the power averaged over sub-frames in dB [label frames, mels], as in the models."""
    power = 10 ** (log_mel.astype(np.float32) / 10)
    return 10 * np.log10(power.reshape(-1, front_end.subframes, front_end.n_mels).mean(axis=1))


def _with_context(frames: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return each frame with its neighbours: [frames, (2 context + 1) × mels]."""
    padded = np.pad(frames, [(_CONTEXT, _CONTEXT), (0, 0)], mode="edge")
    return np.concatenate([padded[i : i + len(frames)] for i in range(2 * _CONTEXT + 1)], axis=1)


if __name__ == "__main__":
    main()
