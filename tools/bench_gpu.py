"""Measure the training step of each network with Keras on JAX, beside PyTorch if it is installed; needs no TensorFlow.

    pip install 'jax[cuda13]' keras numpy PyYAML click torch
    python tools/bench_gpu.py

A step is forward pass, loss, gradients, clipping and AdamW, on the first device that JAX finds, in float32 (with TF32
where the device has it) and with bfloat16 activations. In JAX, the whole step is compiled; it is measured with and
without SpecAugment and remixing, which are parts of it and run on the device. PyTorch runs the same networks eagerly,
with neither. The rounds alternate, so that ratios are valid on a machine that does other work as well.
"""

from __future__ import annotations

import functools
import importlib.util
import math
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

os.environ["KERAS_BACKEND"] = "jax"
os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")  # leave memory for PyTorch
sys.path.append(str(Path(__file__).parents[1]))  # a machine that only measures has no mir-tf installed

for _needed in ("jax", "keras"):
    if importlib.util.find_spec(_needed) is None:
        raise SystemExit(
            f"tools/bench_gpu.py needs {_needed}, which is not installed. In an environment of its own, run: "
            "pip install jax keras numpy PyYAML click (on a machine with an NVIDIA GPU, 'jax[cuda13]' instead of jax)"
        )

import jax  # noqa: E402
import keras  # noqa: E402
import numpy as np  # noqa: E402

from mir_tf.config import FRONT_ENDS, LABEL_RATE, MODELS, RunConfig, TrainConfig  # noqa: E402
from mir_tf.data.examples import Examples  # noqa: E402
from mir_tf.models import build_model  # noqa: E402
from mir_tf.models.cost import macs, parameters  # noqa: E402
from mir_tf.training.losses import WeightedBCE  # noqa: E402
from mir_tf.training.remix import draw, remix  # noqa: E402

_CLASSES = 17
_MEAN, _DEVIATION = -40.0, 15.0
_PRECISIONS = {"float32": "float32", "bfloat16": "mixed_bfloat16"}
"""Name of a precision → dtype policy of Keras."""

_REMIXING = {"remix_stems": 6, "shift_mels": 3.0, "color_db": 2.5, "noise_db": -20.0}

Steps = Callable[[int], float]
"""Runs a number of training steps, waits for the device, and returns the last loss."""


class JaxRandom:
    """Random numbers from JAX, as :class:`mir_tf.training.remix.Random` asks for them."""

    def __init__(self, key: jax.Array) -> None:
        self._key = key

    def fold_in(self, index: int) -> JaxRandom:
        return JaxRandom(jax.random.fold_in(self._key, index))

    def permutation(self, size: int) -> jax.Array:
        return jax.random.permutation(self._key, size)

    def integers(self, shape: tuple[int, ...], bound: int) -> jax.Array:
        return jax.random.randint(self._key, shape, 0, bound)

    def uniform(self, shape: tuple[int, ...], low: float, high: float) -> jax.Array:
        return jax.random.uniform(self._key, shape, minval=low, maxval=high)

    def normal(self, shape: tuple[int, ...], deviation: float) -> jax.Array:
        return deviation * jax.random.normal(self._key, shape)


@click.command(help=__doc__.partition("\n")[0])
@click.option("--network", "networks", multiple=True, type=click.Choice(list(MODELS)), help="Network.  [default: all]")
@click.option(
    "--precision", "precisions", multiple=True, type=click.Choice(list(_PRECISIONS)), help="Precision.  [default: both]"
)
@click.option("--batch-size", default=32, show_default=True, type=click.IntRange(2), help="Examples in a batch.")
@click.option("--seconds", default=30, show_default=True, type=click.IntRange(1), help="Length of each example.")
@click.option("--rounds", default=7, show_default=True, type=click.IntRange(1), help="Rounds, each of --steps steps.")
@click.option("--steps", default=10, show_default=True, type=click.IntRange(1), help="Steps in a round.")
@click.option("--minutes", default=9.0, show_default=True, help="Time after which no other network is begun.")
@click.option("--seed", default=0, show_default=True, help="Seed of weights, batch and draws.")
def main(
    networks: tuple[str, ...],
    precisions: tuple[str, ...],
    batch_size: int,
    seconds: int,
    rounds: int,
    steps: int,
    minutes: float,
    seed: int,
) -> None:
    """Measure the networks one by one and print the table."""
    end = time.perf_counter() + 60 * minutes
    jax.config.update("jax_default_matmul_precision", "tensorfloat32")
    click.echo(f"device: {_device()}")
    click.echo(f"Keras {keras.__version__} on JAX {jax.__version__}; {_peer()}")
    header = (
        "network",
        "precision",
        "compiling (s)",
        "step (ms)",
        "audio",
        "TFLOP/s",
        "augmentation",
        "bare step (ms)",
    )
    header += ("PyTorch (ms)", "PyTorch / bare", "least … most")
    click.echo("  ".join(f"{name:>16}" for name in header))
    missing, slowest = [], 0.0
    for architecture in networks or MODELS:
        for precision in precisions or _PRECISIONS:
            began = time.perf_counter()
            if began + slowest > end:
                missing.append(f"{architecture} in {precision}")
                continue
            cells = _row(architecture, precision, batch_size, seconds, rounds, steps, seed)
            click.echo("  ".join(f"{cell:>16}" for cell in (architecture, precision, *cells)))
            slowest = max(slowest, time.perf_counter() - began)
    click.echo(
        f"Batches of {batch_size} × {seconds} s; medians of {rounds} rounds of {steps} steps, and the ratio's range "
        "over the rounds. Bare steps have neither SpecAugment nor remixing; augmentation: step / bare step."
    )
    if missing:
        raise click.ClickException(f"{minutes:g} minutes are over; not measured: {', '.join(missing)}. Raise --minutes")


def _row(
    architecture: str, precision: str, batch_size: int, seconds: int, rounds: int, steps: int, seed: int
) -> list[str]:
    """Measure one network in one precision and return the cells of its row."""
    config = RunConfig.for_front_end(FRONT_ENDS["default"]).merge({"model": {"architecture": architecture}})
    examples = _batch(config, batch_size, seconds, seed)
    keras.utils.set_random_seed(seed)
    keras.config.set_dtype_policy(_PRECISIONS[precision])
    plain = config.merge({"model": {"freq_masks": 0, "time_masks": 0}})
    model, full = _on_jax(config.merge({"train": _REMIXING}), examples, seed)
    runs = {"full": full, "bare": _on_jax(plain, examples, seed)[1]}
    if importlib.util.find_spec("torch"):
        runs["torch"] = _on_torch(config, examples, precision, parameters(model), seed)
    compiling = {name: _seconds(run, 1) for name, run in runs.items()}
    for run in runs.values():
        _seconds(run, 2)  # PyTorch's allocator and the choice of kernels settle
    # A row for each round: seconds per step of each run.
    times = {name: np.empty(rounds) for name in runs}
    for index in range(rounds):
        for name, run in runs.items():
            times[name][index] = _seconds(run, steps) / steps
    full_step, bare_step = np.median(times["full"]), np.median(times["bare"])
    frames = seconds * config.front_end.frame_rate
    operations = 6 * macs(model, frames) * batch_size  # two for a multiply-add, in the forward and two backward passes
    cells = [
        f"{compiling['full']:.1f}",
        f"{1000 * full_step:.2f}",
        f"{batch_size * seconds / full_step:.0f}",
        f"{operations / full_step / 1e12:.2f}",
        f"× {np.median(times['full'] / times['bare']):.2f}",
        f"{1000 * bare_step:.2f}",
    ]
    if "torch" not in runs:
        return [*cells, "not installed"]
    ratios = times["torch"] / times["bare"]
    return [
        *cells,
        f"{1000 * np.median(times['torch']):.2f}",
        f"× {np.median(ratios):.2f}",
        f"{ratios.min():.2f} … {ratios.max():.2f}",
    ]


def _batch(config: RunConfig, batch_size: int, seconds: int, seed: int) -> Examples:
    """Return a batch of noise with the level of music, of which two thirds are stems."""
    rng = np.random.default_rng(seed)
    label_frames, front_end = seconds * LABEL_RATE, config.front_end
    log_mel = rng.normal(_MEAN, _DEVIATION, (batch_size, seconds * front_end.frame_rate, front_end.n_mels))
    return Examples(
        log_mel.clip(front_end.log_floor_db).astype(np.float32),
        (rng.random((batch_size, label_frames, _CLASSES)) < 0.2).astype(np.float32),
        np.ones((batch_size, label_frames), np.float32),
        rng.random(batch_size) < 2 / 3,
    )


def _on_jax(config: RunConfig, examples: Examples, seed: int) -> tuple[keras.Model, Steps]:
    """Return the network, and a function that trains it with Keras on JAX."""
    model = build_model(config.model, config.front_end, _CLASSES, _MEAN, _DEVIATION)
    train = TrainConfig()
    optimizer = keras.optimizers.AdamW(
        train.learning_rate, weight_decay=train.weight_decay, epsilon=1e-8, global_clipnorm=train.clip_norm
    )
    optimizer.build(model.trainable_variables)
    loss = WeightedBCE(np.ones(_CLASSES))
    key = jax.random.key(seed)

    def loss_of(trainable: list, others: list, examples: Examples) -> tuple[jax.Array, list]:
        logits, others = model.stateless_call(trainable, others, examples.log_mel, training=True)
        return loss(examples.targets, logits, sample_weight=examples.weights), others

    @functools.partial(jax.jit, donate_argnums=0)
    def step(state: tuple[list, list, list], examples: Examples) -> tuple[tuple[list, list, list], jax.Array]:
        trainable, others, optimizer_state = state
        if config.train.remixes:
            iteration = optimizer_state[0]
            random = JaxRandom(jax.random.fold_in(key, iteration))
            draws = draw(random, examples.log_mel.shape[0], config.train)
            examples = remix(examples, draws, config.train, config.front_end)
        (value, others), gradients = jax.value_and_grad(loss_of, has_aux=True)(trainable, others, examples)
        trainable, optimizer_state = optimizer.stateless_apply(optimizer_state, gradients, trainable)
        return (trainable, others, optimizer_state), value

    # Copies, because the step gives their memory away, and the model keeps its own.
    state = jax.tree.map(
        lambda variable: jax.numpy.array(variable.value, copy=True),
        (model.trainable_variables, model.non_trainable_variables, optimizer.variables),
    )
    on_device = jax.device_put(examples)

    def run(steps: int) -> float:
        nonlocal state
        for _ in range(steps):
            state, value = step(state, on_device)
        jax.block_until_ready(state)
        return float(value)

    return model, run


def _on_torch(config: RunConfig, examples: Examples, precision: str, expected: int, seed: int) -> Steps:
    """Return a function that trains the same network, which must have ``expected`` parameters, in PyTorch."""
    import torch

    torch.manual_seed(seed)
    torch.set_float32_matmul_precision("high")  # TF32, as in JAX; convolutions use it anyway
    torch.backends.cudnn.benchmark = True  # choose the fastest convolutions, as XLA does
    device = _torch_device()
    architecture, front_end, train = config.model.architecture, config.front_end, TrainConfig()
    if architecture == "tcn":
        from torch_tcn import TCN

        network: Any = TCN(config.model, front_end.subframes, front_end.n_mels, _CLASSES)
    else:
        from make_golden_torch import Network

        network = Network(architecture, config.model.conv_filters, config.model.gru_units)
    network.to(device)
    count = sum(value.numel() for value in network.parameters())
    if count != expected:
        raise click.ClickException(f"{architecture}: PyTorch's network has {count:,} parameters, Keras' {expected:,}")
    loss = torch.nn.BCEWithLogitsLoss(pos_weight=torch.ones(_CLASSES, device=device))
    optimizer = torch.optim.AdamW(network.parameters(), train.learning_rate, weight_decay=train.weight_decay)
    log_mel, targets = (torch.from_numpy(values).to(device) for values in (examples.log_mel, examples.targets))
    autocast = torch.autocast(device, torch.bfloat16, enabled=precision == "bfloat16")

    def step() -> Any:
        optimizer.zero_grad()
        x = log_mel
        if not config.model.uses_subframes:  # average power over the sub-frames, as in our model
            nepers = x.unflatten(1, (-1, front_end.subframes)) * (math.log(10) / 10)
            x = (nepers.logsumexp(2) - math.log(front_end.subframes)) * (10 / math.log(10))
        x = (x - _MEAN) / _DEVIATION
        with autocast:
            logits = network(x if architecture == "tcn" else x.transpose(1, 2)[:, None])
        value = loss(logits.float(), targets)
        value.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), train.clip_norm)
        optimizer.step()
        return value

    def run(steps: int) -> float:
        network.train()
        for _ in range(steps):
            value = step()
        if device == "cuda":
            torch.cuda.synchronize()
        return value.item()

    return run


def _seconds(run: Steps, steps: int) -> float:
    """Run steps and return how long they take.

    Raises:
        ClickException: The loss is not finite: what was measured is not training.
    """
    began = time.perf_counter()
    loss = run(steps)
    seconds = time.perf_counter() - began
    if not math.isfinite(loss):
        raise click.ClickException(f"the loss is {loss}")
    return seconds


def _device() -> str:
    """Return the name of the device; for a CPU, which JAX does not name, with its cores."""
    device = jax.devices()[0]
    return f"CPU, {len(os.sched_getaffinity(0))} cores" if device.platform == "cpu" else device.device_kind


def _torch_device() -> str:
    """Return PyTorch's name of the kind of device that JAX uses.

    Raises:
        ClickException: PyTorch does not find that device, so that the ratio would compare two.
    """
    import torch

    kind = "cpu" if jax.devices()[0].platform == "cpu" else "cuda"
    if kind == "cuda" and not torch.cuda.is_available():
        raise click.ClickException("JAX uses a GPU that PyTorch does not find: install PyTorch with CUDA, or remove it")
    if kind == "cpu" and torch.cuda.is_available():
        raise click.ClickException("PyTorch finds a GPU that JAX does not use: run pip install 'jax[cuda13]'")
    return kind


def _peer() -> str:
    """Return PyTorch's version, or that it is missing."""
    if importlib.util.find_spec("torch") is None:
        return "PyTorch is not installed: no comparison"
    import torch

    return f"PyTorch {torch.__version__} on {_torch_device()}"


if __name__ == "__main__":
    main()
