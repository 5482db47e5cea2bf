"""Measure the cost of each architecture: parameters, MACs, training step and prediction; PyTorch too, if installed.

    python tools/bench_models.py
    pip install torch && python tools/bench_models.py

The rounds alternate between the two frameworks, so that the ratios are valid on a machine that does other work as well.
Both train the same network on the same batch of noise: forward pass, loss, gradients, clipping and AdamW. In Keras,
SpecAugment is part of the step. The PyTorch project masks each example on the CPU beforehand, which is not measured.
"""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Callable

import click
import keras
import numpy as np
import tensorflow as tf

from mir_tf.config import FRONT_ENDS, LABEL_RATE, MODELS, FrontEndConfig, RunConfig
from mir_tf.models import build_model
from mir_tf.models.cost import macs
from mir_tf.training.losses import WeightedBCE

ORIGINAL = ("cnn", "crnn", "crnn_mha")
"""The PyTorch project's networks, measured with its front end; the others use the default one."""

_CLASSES = 17
_ROUNDS = 5


@click.command(help=__doc__.partition("\n")[0])
@click.option("--batch-size", default=16, show_default=True, help="Examples in a batch.")
@click.option("--seconds", default=30, show_default=True, help="Length of each example.")
def main(batch_size: int, seconds: int) -> None:
    """Run the rounds and print the table."""
    rng = np.random.default_rng(0)
    truth = (rng.random((batch_size, seconds * LABEL_RATE, _CLASSES)) < 0.2).astype(np.float32)
    header = ("network", "parameters", "M MACs/s", "step (s)", "training", "predict (ms/s)")
    header += ("PyTorch step", "PyTorch predict")
    click.echo("  ".join(f"{name:>17}" for name in header))
    for architecture in MODELS:
        front_end = FRONT_ENDS["seed_44k" if architecture in ORIGINAL else "default"]
        model = _model(architecture, front_end)
        frames = seconds * front_end.frame_rate
        log_mel = rng.normal(size=(batch_size, frames, front_end.n_mels)).astype(np.float32)
        both = {"ours": _ours(model, log_mel, truth)}
        if importlib.util.find_spec("torch") and architecture in ORIGINAL:
            both["theirs"] = _theirs(architecture, log_mel, truth)
        times: dict[str, list[tuple[float, float]]] = {name: [] for name in both}
        for _ in range(_ROUNDS):
            for name, (step, predict) in both.items():
                times[name].append((_seconds(step), _seconds(predict)))
        step, prediction = np.median(times["ours"], axis=0)
        cells = [
            architecture,
            f"{sum(int(np.prod(weight.shape)) for weight in model.trainable_weights):,}",
            f"{macs(model, frames) / seconds / 1e6:.1f}",
            f"{step:.2f}",
            f"{batch_size * seconds / step:.0f} × real time",
            f"{1000 * prediction / (batch_size * seconds):.2f}",
        ]
        if "theirs" in both:
            their_step, their_prediction = np.median(times["theirs"], axis=0)
            cells += [f"{their_step / step:.2f} × ours", f"{their_prediction / prediction:.2f} × ours"]
        click.echo("  ".join(f"{cell:>17}" for cell in cells))
    click.echo(f"Batches of {batch_size} × {seconds} s, medians of {_ROUNDS} rounds; predictions of whole batches.")


def _model(architecture: str, front_end: FrontEndConfig) -> keras.Model:
    """Build a network with the default widths."""
    config = RunConfig.for_front_end(front_end).merge({"model": {"architecture": architecture}})
    return build_model(config.model, front_end, _CLASSES)


def _ours(
    model: keras.Model, log_mel: np.ndarray, truth: np.ndarray
) -> tuple[Callable[[], object], Callable[[], object]]:
    """Return functions that run a training step and a prediction of the batch in Keras."""
    optimizer = keras.optimizers.AdamW(1e-3, weight_decay=1e-2, global_clipnorm=1.0)
    model.compile(optimizer, WeightedBCE(np.ones(_CLASSES)), jit_compile=False)
    predict = tf.function(lambda x: model(x, training=False))
    batch, targets = tf.constant(log_mel), tf.constant(truth)
    return lambda: model.train_on_batch(batch, targets), lambda: predict(batch).numpy()


def _theirs(
    architecture: str, log_mel: np.ndarray, truth: np.ndarray
) -> tuple[Callable[[], object], Callable[[], object]]:
    """Return functions that run the same in PyTorch."""
    import torch
    from make_golden_torch import Network

    network = Network(architecture, filters=(64, 128, 128), units=64)
    loss = torch.nn.BCEWithLogitsLoss(pos_weight=torch.ones(_CLASSES))
    optimizer = torch.optim.AdamW(network.parameters(), 1e-3, weight_decay=1e-2)
    batch = torch.from_numpy(log_mel.transpose(0, 2, 1).copy())[:, None]  # [batch, 1, mels, frames]
    targets = torch.from_numpy(truth)

    def step() -> None:
        network.train()
        optimizer.zero_grad()
        loss(network(batch), targets).backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()

    def predict() -> None:
        network.eval()
        with torch.inference_mode():
            network(batch).numpy()

    return step, predict


def _seconds(work: Callable[[], object]) -> float:
    """Call ``work`` and return how long it takes."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


if __name__ == "__main__":
    main()
