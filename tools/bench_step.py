"""Measure which share of the machine's matrix peak the TCN's training step reaches, and where the rest goes.

    python tools/bench_step.py

The peak is the best speed of a float32 product of two large square matrices in TensorFlow. A step takes three times the
operations of a prediction: the outputs, the gradients of the weights, and the gradients of the inputs, which layers
before the first weights do not need. Each layer whose operations are counted is measured alone, with its gradients, on
the inputs that it gets in the network. All layers of each other kind are measured together, and so is the optimiser.
The rounds alternate, so that the ratios are valid on a machine that does other work as well.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Collection, Sequence
from typing import Any

import click
import keras
import numpy as np
import tensorflow as tf

from mir_tf.config import FRONT_ENDS, LABEL_RATE, RunConfig
from mir_tf.data.examples import Examples
from mir_tf.models import build_model
from mir_tf.models.cost import macs_by_layer
from mir_tf.training.losses import WeightedBCE
from mir_tf.training.step import WeightAverage, training_step

_CLASSES = 17
_MATRICES = (1024, 2048)
"""Rows of the square matrices whose product gives the peak."""

Work = Callable[[], Any]


@click.command(help=__doc__.partition("\n")[0])
@click.option("--batch-size", default=16, show_default=True, type=click.IntRange(1), help="Examples in a batch.")
@click.option("--seconds", default=10, show_default=True, type=click.IntRange(1), help="Length of each example.")
@click.option("--rounds", default=7, show_default=True, type=click.IntRange(1), help="Rounds to measure.")
@click.option("--threads", default=0, show_default=True, type=click.IntRange(0), help="Threads; 0 takes all cores.")
def main(batch_size: int, seconds: int, rounds: int, threads: int) -> None:
    """Measure, and print the table."""
    tf.get_logger().setLevel("ERROR")  # each part is a function of its own, which TensorFlow warns of
    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(threads)
    config = RunConfig.for_front_end(FRONT_ENDS["default"]).merge({"model": {"architecture": "tcn"}})
    model = build_model(config.model, config.front_end, _CLASSES, -40.0, 15.0)
    examples = _batch(config, batch_size, seconds)
    macs = macs_by_layer(model, examples.log_mel.shape[1])
    operations = {name: 2 * batch_size * macs[name] * (3 if _trained_before(model, name) else 2) for name in macs}
    products = {f"product of {rows} rows": _product(rows) for rows in _MATRICES}
    parts = _parts(model, examples.log_mel, macs)
    works = {**products, "step": _step(model, config, examples), **parts, "optimiser": _optimiser(model)}
    took = _best(works, rounds)
    peak = max(2 * rows**3 / took[name] for rows, name in zip(_MATRICES, products, strict=True))
    total = sum(operations.values())
    click.echo(f"peak: {peak / 1e9:.0f} GFLOP/s; step: {total / took['step'] / 1e9:.0f} GFLOP/s")
    click.echo(f"{'part of the step':24}{'operations':>12}{'time':>8}{'of the peak':>13}")
    for name in ("step", *parts, "optimiser"):
        count = total if name == "step" else operations.get(name, 0)
        speed = f"{count / took[name] / peak:13.0%}" if count else ""
        click.echo(f"{name:24}{count / total:12.1%}{took[name] / took['step']:8.1%}{speed}")
    measured = sum(took[name] for name in (*parts, "optimiser"))
    click.echo(f"{'all parts':24}{'':12}{measured / took['step']:8.1%}")
    click.echo(f"{batch_size} × {seconds} s, the best of {rounds} rounds for each part.")


def _batch(config: RunConfig, batch_size: int, seconds: int) -> Examples:
    rng = np.random.default_rng(0)
    frames, label_frames = seconds * config.front_end.frame_rate, seconds * LABEL_RATE
    log_mel = rng.normal(-40, 15, (batch_size, frames, config.front_end.n_mels)).astype(np.float32)
    targets = (rng.random((batch_size, label_frames, _CLASSES)) < 0.2).astype(np.float32)
    weights, is_stem = np.ones((batch_size, label_frames), np.float32), np.zeros(batch_size, bool)
    return Examples(*map(tf.constant, (log_mel, targets, weights, is_stem)))


def _trained_before(model: keras.Model, name: str) -> bool:
    """Return whether a layer before this one has weights to train, so that it needs the gradient of its inputs."""
    layers = model.layers[: [layer.name for layer in model.layers].index(name)]
    return any(layer.trainable_weights for layer in layers)


def _product(rows: int) -> Work:
    matrix = tf.random.normal((rows, rows))
    product = tf.function(lambda: tf.matmul(matrix + 0.0, matrix))
    return lambda: product().numpy()


def _step(model: keras.Model, config: RunConfig, examples: Examples) -> Work:
    """Return the training step of ``mir-tf fit`` on one batch, with SpecAugment and the average of the weights."""
    optimizer = keras.optimizers.AdamW(1e-3, weight_decay=1e-2, global_clipnorm=1.0)
    model.compile(optimizer, WeightedBCE(np.ones(_CLASSES)))
    optimizer.build(model.trainable_variables)
    average = WeightAverage(model, config.train.ema_decay)
    step = training_step(model, average, tf.distribute.get_strategy(), config)
    return lambda: step(examples).numpy()


def _parts(model: keras.Model, log_mel: tf.Tensor, counted: Collection[str]) -> dict[str, Work]:
    """Return the parts of the network: each counted layer, and the other layers of each kind together."""
    groups = defaultdict(list)
    for layer in model.layers:
        if not isinstance(layer, keras.layers.InputLayer | keras.layers.Reshape):  # they compute nothing
            groups[layer.name if layer.name in counted else type(layer).__name__].append(layer)
    return {name: _alone(model, layers, log_mel) for name, layers in groups.items()}


def _alone(model: keras.Model, layers: Sequence[keras.Layer], log_mel: tf.Tensor) -> Work:
    """Return a function that runs layers, with their gradients, on the inputs that they get in the network."""
    inputs = keras.Function(model.inputs, [layer.input for layer in layers])([log_mel])
    sources = [weight.value for layer in layers for weight in layer.trainable_weights]
    for layer, given in zip(layers, inputs, strict=True):
        sources += keras.tree.flatten(given) if _trained_before(model, layer.name) else []

    @tf.function(autograph=False)
    def run() -> Any:
        with tf.GradientTape() as tape:
            tape.watch(sources)
            outputs = [layer(given, training=True) for layer, given in zip(layers, inputs, strict=True)]
        # Any gradient of the outputs does: its values do not change the time.
        return outputs, tape.gradient(outputs, sources, output_gradients=outputs) if sources else []

    return run


def _optimiser(model: keras.Model) -> Work:
    gradients = [tf.ones_like(weight) for weight in model.trainable_variables]
    apply = tf.function(lambda: model.optimizer.apply(gradients, model.trainable_variables), autograph=False)
    return lambda: apply()


def _best(works: dict[str, Work], rounds: int) -> dict[str, float]:
    """Return the shortest time of each in seconds, after a first call that compiles it."""
    best = dict.fromkeys(works, float("inf"))
    for work in works.values():
        work()
    for _ in range(rounds):
        for name, work in works.items():
            began = time.perf_counter()
            work()
            best[name] = min(best[name], time.perf_counter() - began)
    return best


if __name__ == "__main__":
    main()
