"""New mixes from a batch: its stems are shifted in pitch, added up, equalised and covered with noise.

Log-mel spectrograms of sounds that play together add up as power, because their phases are unrelated. A batch of stems
therefore gives mixes that no song contains, at the cost of one exponential for each value, inside the compiled
training step and on its device. The labels are mixed too. Random equalisation imitates other rooms, microphones and
players; random shifts on the mel axis imitate other keys, tunings and sizes of instruments.
"""

from __future__ import annotations

import math

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from mir_tf.config import FrontEndConfig, TrainConfig
from mir_tf.data.pipeline import Examples

_WAVES = 5
"""Number of cosines over the mel axis, with 0, 1, ... half periods. Their weighted sum is a random equalisation."""

_QUIETEST_NOISE_DB = -60.0
"""Lowest level of the noise, relative to the mean power of an example."""

_NEPERS = math.log(10) / 10


def remix(examples: Examples, seed: tf.Tensor, train: TrainConfig, front_end: FrontEndConfig) -> Examples:
    """Mix the stems of a batch with each other, shift and equalise all examples, and add noise.

    Each stem is mixed with those of its next 0 to ``remix_stems`` - 1 neighbours in the batch that are stems too; every
    number of neighbours is equally likely. Nothing is added to a full mix.

    Args:
        examples: The batch, with log-mel in dB.
        seed: int [2]; the same seed gives the same result.
        train: Its fields ``remix_stems``, ``shift_mels``, ``color_db`` and ``noise_db`` set the amounts.
        front_end: Front end of the log-mel; it must not normalise clips.

    Returns:
        A batch of the same shape, in another order.
    """
    order_seed, color_seed, count_seed, gain_seed, noise_seed, final_seed, shift_seed = (
        tf.random.experimental.stateless_fold_in(seed, index) for index in range(7)
    )
    batch = tf.shape(examples.log_mel)[0]
    order = tf.random.experimental.stateless_shuffle(tf.range(batch), order_seed)
    log_mel, targets, weights, is_stem = (tf.gather(value, order) for value in examples)
    log_mel = _shifted(log_mel, shift_seed, train.shift_mels)
    power = tf.exp(_NEPERS * _colored(log_mel, color_seed, train.color_db))  # [batch, frames, mels]
    mixed, mixed_targets = power, targets
    if train.remix_stems > 1:
        others = tf.random.stateless_uniform([batch], count_seed, maxval=train.remix_stems, dtype=tf.int32)
        gains = tf.random.stateless_normal([train.remix_stems, batch], gain_seed, stddev=max(train.color_db, 1.0))
        for shift in range(1, train.remix_stems):
            joins = is_stem & tf.roll(is_stem, shift, 0) & (others >= shift)
            joins = tf.cast(joins & (shift < batch), tf.float32)  # [batch]
            gain = joins * tf.exp(_NEPERS * gains[shift])
            mixed += gain[:, tf.newaxis, tf.newaxis] * tf.roll(power, shift, 0)
            mixed_targets = tf.maximum(mixed_targets, joins[:, tf.newaxis, tf.newaxis] * tf.roll(targets, shift, 0))
    if train.noise_db is not None:
        mixed += _noise(mixed, noise_seed, train.noise_db)
    mixed = _colored(tf.math.log(mixed) / _NEPERS, final_seed, train.color_db)
    return Examples(tf.maximum(mixed, front_end.log_floor_db), mixed_targets, weights, is_stem)


def _shifted(decibels: tf.Tensor, seed: tf.Tensor, farthest: float) -> tf.Tensor:
    """Shift each example by up to ``farthest`` bands, up or down; the outermost band fills the gap."""
    if not farthest:
        return decibels
    bands = np.arange(decibels.shape[2], dtype=np.float32)
    shift = tf.random.stateless_uniform([tf.shape(decibels)[0], 1, 1], seed, -farthest, farthest)
    source = tf.clip_by_value(bands - shift, 0.0, bands[-1])  # [batch, 1, mels]
    # Linear between bands: a product with hat functions, because gathering is slow in the compiled step.
    return tf.matmul(decibels, tf.nn.relu(1.0 - tf.abs(bands[:, np.newaxis] - source)))


def _colored(decibels: tf.Tensor, seed: tf.Tensor, deviation: float) -> tf.Tensor:
    """Equalise each example by a smooth random function of frequency; its lowest terms deviate by ``deviation`` dB."""
    if not deviation:
        return decibels
    waves = _waves(decibels.shape[2]) * (deviation / np.maximum(np.arange(_WAVES), 1) ** 0.5)[:, np.newaxis]
    amounts = tf.random.stateless_normal([tf.shape(decibels)[0], _WAVES], seed)  # [batch, waves]
    return decibels + tf.matmul(amounts, tf.constant(waves, tf.float32))[:, tf.newaxis]


def _noise(power: tf.Tensor, seed: tf.Tensor, loudest: float) -> tf.Tensor:
    """Return the power [batch, 1, mels] of steady noise, with level and slope over frequency drawn for each example."""
    batch, mels = tf.shape(power)[0], power.shape[2]
    level_seed, slope_seed = (tf.random.experimental.stateless_fold_in(seed, index) for index in range(2))
    level = tf.random.stateless_uniform([batch, 1, 1], level_seed, _QUIETEST_NOISE_DB, loudest)
    slope = tf.random.stateless_normal([batch, 1, 1], slope_seed, stddev=10.0)  # dB from the lowest band to the highest
    shape = tf.exp(_NEPERS * (level + slope * np.linspace(-0.5, 0.5, mels, dtype=np.float32)))
    return tf.reduce_mean(power, axis=(1, 2), keepdims=True) * shape


def _waves(mels: int) -> NDArray[np.float64]:
    """Return cosines [waves, mels] of 0, 1, ... half periods."""
    place: NDArray[np.float64] = (np.arange(mels) + 0.5) / mels
    return np.cos(np.pi * np.arange(_WAVES)[:, np.newaxis] * place)
