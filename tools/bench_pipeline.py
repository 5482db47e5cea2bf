"""Measure the speed of the input pipeline, the cost of SpecAugment, and how long a training step waits for data.

    python tools/bench_pipeline.py --model crnn --steps 8

All numbers come from one run on a synthetic data set in a temporary folder. The rounds alternate, so that the ratios
are valid on a machine that does other work as well. A step should wait for less than 2 % of its time.
"""

from __future__ import annotations

import itertools
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import click
import keras
import numpy as np
import tensorflow as tf

from mir_tf.config import LABEL_RATE, MODELS, FrontEndConfig, RunConfig
from mir_tf.data import pipeline, records
from mir_tf.data.manifest import Manifest, Shard, SplitSummary, shard_name
from mir_tf.data.records import Record
from mir_tf.models import build_model
from mir_tf.training.losses import WeightedBCE
from mir_tf.vocabulary import NUM_PROGRAMS, VOCABULARIES

_SHARDS = 4
_TRACKS = 32
_TRACK_SECONDS = 120
_ROUNDS = 3


@click.command(help=__doc__.partition("\n")[0])
@click.option(
    "--model",
    "architecture",
    type=click.Choice(list(MODELS)),
    default="crnn",
    show_default=True,
    help="Architecture to train.",
)
@click.option("--steps", default=8, show_default=True, help="Training steps in a round.")
@click.option("--batch-size", default=16, show_default=True, help="Examples in a batch.")
@click.option("--mixed-precision", is_flag=True, help="Compute in bfloat16.")
def main(architecture: str, steps: int, batch_size: int, mixed_precision: bool) -> None:
    """Run the rounds and print the table."""
    config = RunConfig().merge(
        {"model": {"architecture": architecture}, "train": {"batch_size": batch_size, "epochs": 1_000_000}}
    )
    keras.config.set_dtype_policy("mixed_bfloat16" if mixed_precision else "float32")
    networks = {
        "without SpecAugment": _compiled(config.merge({"model": {"freq_masks": 0, "time_masks": 0}})),
        "with SpecAugment": _compiled(config),
    }
    with tempfile.TemporaryDirectory() as folder:
        manifest = _write_data(Path(folder), config.front_end)
        batches = iter(pipeline.training_dataset(folder, manifest, "train", config, 0, steps))
        for model in networks.values():
            _train(model, batches, 1)  # traces and compiles
        pipeline_alone = []
        waited: dict[str, list[float]] = {name: [] for name in networks}
        worked: dict[str, list[float]] = {name: [] for name in networks}
        for _ in range(_ROUNDS):
            began = time.perf_counter()
            for _ in itertools.islice(batches, 4 * steps):
                pass
            pipeline_alone.append((time.perf_counter() - began) / (4 * steps))
            for name, model in networks.items():
                wait, work = _train(model, batches, steps)
                waited[name].append(wait)
                worked[name].append(work)
    click.echo(f"{architecture}, batches of {batch_size} crops of {config.train.crop_seconds:g} s, on {_device()}")
    click.echo(f"pipeline alone        {batch_size / np.median(pipeline_alone):8.1f} examples/s")
    for name in networks:
        step = np.median(waited[name]) + np.median(worked[name])
        share = np.sum(waited[name]) / (np.sum(waited[name]) + np.sum(worked[name]))
        click.echo(f"{name:20}  {batch_size / step:8.1f} examples/s, waiting for data {100 * share:.2f} % of a step")
    without, with_masks = (np.median(worked[name]) for name in networks)
    click.echo(f"SpecAugment's share of a step {100 * (1 - without / with_masks):.1f} %")


def _compiled(config: RunConfig) -> keras.Model:
    classes = len(VOCABULARIES[config.train.vocabulary])
    model = build_model(config.model, config.front_end, classes, -30.0, 15.0)
    model.compile(keras.optimizers.AdamW(1e-3), WeightedBCE(np.ones(classes)), jit_compile=False)
    return model


def _train(model: keras.Model, batches: Iterator[tuple[tf.Tensor, ...]], steps: int) -> tuple[float, float]:
    """Train for some steps; return the mean seconds that a step waits for data and that it works."""
    wait = work = 0.0
    for _ in range(steps):
        began = time.perf_counter()
        log_mel, targets, weights = next(batches)
        arrived = time.perf_counter()
        model.train_on_batch(log_mel, targets, weights)  # returns the loss, so the step has finished
        wait += arrived - began
        work += time.perf_counter() - arrived
    return wait / steps, work / steps


def _write_data(folder: Path, front_end: FrontEndConfig) -> Manifest:
    rng = np.random.default_rng(0)
    label_frames = _TRACK_SECONDS * LABEL_RATE
    shape = (label_frames * front_end.subframes, front_end.n_mels)
    names = [shard_name("train", index, _SHARDS) for index in range(_SHARDS)]
    for index, name in enumerate(names):
        with tf.io.TFRecordWriter(str(folder / name)) as writer:
            for track in range(index, _TRACKS, _SHARDS):
                record = Record(
                    id=f"track {track}",
                    song=f"song {track}",
                    num_samples=_TRACK_SECONDS * front_end.sample_rate,
                    sample_rate=front_end.sample_rate,
                    log_mel=rng.normal(-30, 15, shape).astype(np.float16),
                    activity=rng.random((label_frames, NUM_PROGRAMS)) < 0.05,
                )
                writer.write(records.encode(record))
    seconds, frames = float(_TRACKS * _TRACK_SECONDS), _TRACKS * label_frames
    shards = [Shard.of(folder / name, len(range(index, _TRACKS, _SHARDS))) for index, name in enumerate(names)]
    summary = SplitSummary(_TRACKS, _TRACKS, _TRACKS, seconds, frames, shards, {})
    return Manifest(front_end, {"train": summary}, -30.0, 15.0, [], {"kind": "noise"})


def _device() -> str:
    gpus = tf.config.list_physical_devices("GPU")
    details = [tf.config.experimental.get_device_details(gpu).get("device_name", "a GPU") for gpu in gpus]
    return ", ".join(details) or "the CPU"


if __name__ == "__main__":
    main()
