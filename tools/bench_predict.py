"""Measure how fast mir-tf predicts an hour of music, in relation to libsndfile's decoding, and what limits the speed.

    python tools/bench_predict.py

The pretrained model, or an untrained network as a run and as a .tflite file, predicts the same synthetic recording
(stereo at 44.1 kHz) with and without decoding ahead. The rounds alternate, so that the ratios are valid on a machine
that does other work as well. Without decoding ahead, the model waits for the time in the row "decoding alone", which
mixes and resamples, too. libsndfile decodes the recording to blocks of float32 and nothing else.
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
from mir_tf.pretrained import PRETRAINED_WORD
from mir_tf.vocabulary import VOCABULARIES

_RATE = 44100

_BASE = ("alone", "libsndfile")
"""What the ratios relate to."""


@click.command(help=__doc__.partition("\n")[0])
@click.option(
    "--model",
    "architecture",
    type=click.Choice([PRETRAINED_WORD, *MODELS]),
    default=PRETRAINED_WORD,
    show_default=True,
    help="The pretrained model, or the architecture of an untrained one.",
)
@click.option("--minutes", default=60, show_default=True, help="Length of the recording.")
@click.option("--suffix", type=click.Choice(["flac", "mp3", "wav"]), default="flac", show_default=True, help="Format.")
@click.option("--recording", type=click.Path(exists=True, path_type=Path), help="Recording to use instead.")
@click.option("--rounds", default=7, show_default=True, help="Rounds to measure.")
def main(architecture: str, minutes: int, suffix: str, recording: Path | None, rounds: int) -> None:
    """Run the rounds and print the table."""
    with tempfile.TemporaryDirectory() as folder:
        loaded = _models(Path(folder), architecture)
        recording = recording or _write(Path(folder) / f"hour.{suffix}", minutes)
        length = audio.probe(recording).seconds
        for model in loaded.values():
            model.predict(np.zeros(_RATE), _RATE)  # traces and warms up
        measured: dict[tuple[str, str], list[tuple[float, float]]] = {}
        for _ in range(rounds):
            measured.setdefault(_BASE, []).append(_seconds(lambda: _decode(recording)))
            for path, model in loaded.items():
                for name, work in _works(model, recording).items():
                    measured.setdefault((path, name), []).append(_seconds(work))
    base = np.array(measured[_BASE])
    kind = recording.suffix.removeprefix(".")
    click.echo(f"{architecture}: {length / 60:.0f} min of {kind} on {os.cpu_count()} cores, medians of {rounds} rounds")
    click.echo(f"{'seconds':>9}{'ratio':>7}{'processor':>11}{'ratio':>7}{'real time':>11}")
    for (path, name), times in measured.items():
        wall, processor = np.median(times, axis=0)
        ratio, processor_ratio = np.median(np.array(times) / base, axis=0)
        speed = f"{length / wall:10.0f}x"
        click.echo(f"{wall:9.2f}{ratio:7.2f}{processor:11.2f}{processor_ratio:7.2f}{speed}  {name}, {path}")
    click.echo("ratio: in relation to libsndfile's decoding in the same round, the median of the rounds")
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
    if architecture == PRETRAINED_WORD:
        return {".tflite": load(PRETRAINED_WORD)}
    config = RunConfig().merge({"model": {"architecture": architecture}})
    classes = len(VOCABULARIES[config.train.vocabulary])
    thresholds = np.full(classes, 0.5, np.float32)
    network = build_model(config.model, config.front_end, classes, -30.0, 20.0)
    bundle = Bundle(network, config, thresholds, PostProcessing.plain(thresholds), (), {})
    bundle.save(folder / "run")
    export(bundle, folder, ("tflite",), ("none",))
    return {"run": load(folder / "run"), ".tflite": load(folder / "model.float32.tflite")}


def _decode(recording: Path) -> None:
    """Decode a recording by libsndfile alone."""
    with soundfile.SoundFile(recording) as file:
        while len(file.read(10 * _RATE, dtype="float32", always_2d=True)):
            pass


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
