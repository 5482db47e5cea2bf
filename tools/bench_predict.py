"""Measure how fast mir-tf predicts an hour of music, what decoding ahead of the model gains, and what limits the speed.

    python tools/bench_predict.py

The network is untrained, which does not change its speed. As a run and as a .tflite file, it predicts the same
synthetic recording (stereo at 44.1 kHz) with and without decoding ahead. The rounds alternate, so that the ratios are
valid on a machine that does other work as well. Without decoding ahead, the model waits for the time in the row
"decoding alone".
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import click
import numpy as np
import soundfile
from numpy.typing import NDArray

from mir_tf.bundle import Bundle
from mir_tf.config import MODELS, FrontEndConfig, RunConfig
from mir_tf.events import PostProcessing
from mir_tf.export.exporter import export, probe_signal
from mir_tf.inference import decoding
from mir_tf.io import audio
from mir_tf.loading import Model, load
from mir_tf.models import build_model
from mir_tf.vocabulary import VOCABULARIES

_RATE = 44100


@click.command(help=__doc__.partition("\n")[0])
@click.option(
    "--model", "architecture", type=click.Choice(list(MODELS)), default="crnn", show_default=True, help="Architecture."
)
@click.option("--minutes", default=60, show_default=True, help="Length of the recording.")
@click.option("--suffix", type=click.Choice(["flac", "mp3", "wav"]), default="flac", show_default=True, help="Format.")
@click.option("--rounds", default=3, show_default=True, help="Rounds to measure.")
def main(architecture: str, minutes: int, suffix: str, rounds: int) -> None:
    """Run the rounds and print the table."""
    with tempfile.TemporaryDirectory() as folder:
        loaded = _models(Path(folder), architecture)
        recording = _write(Path(folder) / f"hour.{suffix}", minutes)
        for model in loaded.values():
            model.predict(np.zeros(_RATE), _RATE)  # traces and warms up
        measured: dict[tuple[str, str], list[tuple[float, float]]] = {}
        for _ in range(rounds):
            for path, model in loaded.items():
                for name, work in _works(model, recording).items():
                    measured.setdefault((path, name), []).append(_seconds(work))
    click.echo(f"{architecture}: {minutes} min of {suffix} on {os.cpu_count()} cores, medians of {rounds} rounds")
    click.echo(f"{'seconds':>9}{'processor':>11}{'real time':>11}")
    for (path, name), times in measured.items():
        wall, processor = np.median(times, axis=0)
        click.echo(f"{wall:9.1f}{processor:11.1f}{60 * minutes / wall:10.0f}x  {name}, {path}")
    for path in loaded:
        plain, ahead = (
            np.array([wall for wall, _ in measured[path, name]])
            for name in ("without decoding ahead", "decoding ahead")
        )
        ratios = np.sort(ahead / plain)
        click.echo(
            f"decoding ahead takes {np.median(ratios):.2f} of the time ({ratios[0]:.2f} to {ratios[-1]:.2f}), {path}"
        )


def _models(folder: Path, architecture: str) -> dict[str, Model]:
    config = RunConfig().merge({"model": {"architecture": architecture}})
    classes = len(VOCABULARIES[config.train.vocabulary])
    thresholds = np.full(classes, 0.5, np.float32)
    network = build_model(config.model, config.front_end, classes, -30.0, 20.0)
    bundle = Bundle(network, config, thresholds, PostProcessing.plain(thresholds), (), {})
    bundle.save(folder / "run")
    export(bundle, folder, ("tflite",), ("none",))
    return {"run": load(folder / "run"), ".tflite": load(folder / "model.float32.tflite")}


def _works(model: Model, recording: Path) -> dict[str, Callable[[], object]]:
    return {
        "decoding alone": lambda: sum(map(len, audio.read_blocks(recording, FrontEndConfig().sample_rate))),
        "without decoding ahead": lambda: _predict_without_thread(model, recording),
        "decoding ahead": lambda: model.predict(recording),
    }


def _predict_without_thread(model: Model, recording: Path) -> None:
    """Predict without the thread that decodes ahead."""
    thread = decoding._ahead

    def without_thread(decoded: Iterator[NDArray[np.float32]]) -> Iterator[NDArray[np.float32]]:
        return decoded

    decoding._ahead = without_thread
    try:
        model.predict(recording)
    finally:
        decoding._ahead = thread


def _seconds(work: Callable[[], object]) -> tuple[float, float]:
    """Call ``work``; return its wall-clock time and the processor time of all threads."""
    began, processor = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - began, time.process_time() - processor


def _write(path: Path, minutes: int) -> Path:
    """Write a recording of notes, noise and silence that repeats each minute at a different loudness."""
    left = probe_signal(_RATE, 60.0)
    with soundfile.SoundFile(path, "w", _RATE, 2) as file:
        for minute in range(minutes):
            louder = left * (0.5 + 0.5 * (minute % 7) / 7)
            file.write(np.stack([louder, np.roll(louder, minute * _RATE)], axis=1))
    return path


if __name__ == "__main__":
    main()
