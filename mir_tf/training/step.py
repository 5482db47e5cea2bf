"""One training step, with the average of the weights, the precision and the random state."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from mir_tf.config import RunConfig, TrainConfig
from mir_tf.data.examples import Examples
from mir_tf.training.distribution import Distribution
from mir_tf.training.remix import draw, remix

TrainingStep = Callable[[Examples], tf.Tensor]
"""Trains on a batch and returns its loss."""


class WeightAverage:
    """An exponential moving average of a model's weights and batch statistics."""

    def __init__(self, model: keras.Model, decay: float) -> None:
        """Start the average at the model's weights; with a ``decay`` of 0 nothing is averaged."""
        self._weights = (
            [weight for weight in model.weights if keras.backend.is_float_dtype(weight.dtype)] if decay else []
        )
        # With num_updates the decay is smaller in the first steps, so that the random initial weights soon fade.
        self._average = tf.train.ExponentialMovingAverage(decay, num_updates=model.optimizer.iterations.value)
        self.update()  # creates the variables

    @property
    def variables(self) -> list[tf.Variable]:
        """The averages, one for each weight."""
        return [self._average.average(weight.value) for weight in self._weights]

    def update(self) -> None:
        """Add the current weights to the average."""
        self._average.apply([weight.value for weight in self._weights])

    @contextlib.contextmanager
    def swapped_in(self) -> Iterator[None]:
        """Give the model the averages inside the block, and its own weights back after it."""
        trained = [weight.numpy() for weight in self._weights]
        for weight, average in zip(self._weights, self.variables, strict=True):
            weight.assign(average)
        try:
            yield
        finally:
            for weight, value in zip(self._weights, trained, strict=True):
                weight.assign(value)


class StatelessRandom:
    """Random numbers from TensorFlow that depend on a seed alone.

    Args:
        seed: int64 [2].
        jit: Whether XLA compiles the code. The numbers are then others.
    """

    def __init__(self, seed: tf.Tensor, jit: bool = False) -> None:
        self._seed = seed
        self._jit = jit

    def fold_in(self, index: int) -> StatelessRandom:
        return StatelessRandom(tf.random.experimental.stateless_fold_in(self._seed, index), self._jit)

    def permutation(self, size: tf.Tensor) -> tf.Tensor:
        if self._jit:  # XLA cannot compile stateless_shuffle
            keys = tf.random.stateless_uniform([size], self._seed, minval=None, maxval=None, dtype=tf.int32)
            return tf.argsort(keys, stable=True)
        return tf.random.experimental.stateless_shuffle(tf.range(size), self._seed)

    def integers(self, shape: tuple[Any, ...], bound: int) -> tf.Tensor:
        return tf.random.stateless_uniform(shape, self._seed, maxval=bound, dtype=tf.int32)

    def uniform(self, shape: tuple[Any, ...], low: float, high: float) -> tf.Tensor:
        return tf.random.stateless_uniform(shape, self._seed, low, high)

    def normal(self, shape: tuple[Any, ...], deviation: float) -> tf.Tensor:
        return tf.random.stateless_normal(shape, self._seed, stddev=deviation)


def training_step(
    model: keras.Model, average: WeightAverage, strategy: tf.distribute.Strategy, config: RunConfig
) -> TrainingStep:
    """Return the compiled training step.

    Args:
        model: Compiled with its optimizer and loss.
        average: Updated after each step.
        strategy: Divides the batch among its replicas. Loss and gradients equal those of a single replica.
        config: Configuration of the run.

    Returns:
        A function from a batch to its loss.
    """
    optimizer = model.optimizer

    def in_replica(examples: Examples) -> tf.Tensor:
        replica = tf.distribute.get_replica_context()
        if config.train.remixes:
            # The seed depends on the step alone, so that a resumed run draws the same.
            seed = tf.stack([tf.constant(config.train.seed, tf.int64), tf.cast(optimizer.iterations.value, tf.int64)])
            seed = tf.random.experimental.stateless_fold_in(seed, tf.cast(replica.replica_id_in_sync_group, tf.int64))
            draws = draw(StatelessRandom(seed, config.train.jit), tf.shape(examples.log_mel)[0], config.train)
            examples = remix(examples, draws, config.train, config.front_end)
        frames = tf.reduce_sum(examples.weights)
        # Keras divides the loss by the number of replicas, as if all had the same number of true frames.
        share = tf.math.divide_no_nan(frames, replica.all_reduce(tf.distribute.ReduceOp.MEAN, frames))
        with tf.GradientTape() as tape:
            logits = model(examples.log_mel, training=True)  # [share of the batch, label frames, classes]
            loss = model.loss(examples.targets, logits, sample_weight=examples.weights) * share
            scaled = optimizer.scale_loss(loss)
        gradients = tape.gradient(scaled, model.trainable_variables)
        # Keras clips the gradients of each replica before it sums them. The optimizer's clipping norm is therefore
        # divided by the number of replicas, and each replica gets the mean of all gradients: the clipped sum is exact.
        gradients = replica.all_reduce(tf.distribute.ReduceOp.MEAN, gradients)
        optimizer.apply(gradients, model.trainable_variables)
        return loss

    @tf.function(jit_compile=config.train.jit, autograph=False)
    def step(batch: Examples) -> tf.Tensor:
        with _synchronized(model, strategy.num_replicas_in_sync > 1):
            losses = strategy.run(in_replica, args=(batch,))
        average.update()
        return strategy.reduce(tf.distribute.ReduceOp.SUM, losses, axis=None)

    return step


@contextlib.contextmanager
def _synchronized(model: keras.Model, synchronized: bool) -> Iterator[None]:
    """Trace batch normalisation over the whole batch inside the block. The saved model is not affected."""
    layers = [layer for layer in model.layers if isinstance(layer, keras.layers.BatchNormalization)]
    for layer in layers:
        layer.synchronized = synchronized
    try:
        yield
    finally:
        for layer in layers:
            layer.synchronized = False


def reset_random_state(model: keras.Model, seed: int, epoch: int, distribution: Distribution) -> None:
    """Make the draws of dropout and masks from here on a function of ``seed``, ``epoch``, step and replica."""
    states = [variable for variable in model.variables if variable.name == "seed_generator_state"]
    for index, state in enumerate(states):
        copies = distribution.strategy.experimental_local_results(state.value)
        for replica, copy in enumerate(copies, distribution.first_replica):
            drawn = np.random.SeedSequence([seed, epoch, index, replica]).generate_state(1)[0]
            # Keras' state is a seed and a counter of draws; it casts the seed to int32.
            copy.assign([int(drawn >> 1), 0])


@contextlib.contextmanager
def dtype_policy(train: TrainConfig) -> Iterator[None]:
    """Set Keras' dtype policy for a model that is built inside the block."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(_mixed_policy() if train.mixed_precision else "float32")
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def _mixed_policy() -> str:
    """Return bfloat16, whose range needs no loss scaling, or float16 on GPUs of compute capability below 8."""
    gpus = tf.config.list_physical_devices("GPU")
    capabilities = [tf.config.experimental.get_device_details(gpu).get("compute_capability") for gpu in gpus]
    is_old = any(capability is not None and capability < (8, 0) for capability in capabilities)
    return "mixed_float16" if is_old else "mixed_bfloat16"
