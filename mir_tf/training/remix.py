"""New mixes out of a batch: stems of its songs are moved in pitch, added up, coloured and covered with noise.

Log-mel spectrograms of sounds that play together add up as power, for their phases are unrelated. So a batch of stems
gives mixes that no song holds, at the cost of one exponential a value, inside the compiled training step and on its
device. Labels follow. Random colours stand for the rooms, microphones and players that the data lacks, random places on
the mel axis for its keys, tunings and sizes of instruments.
"""

from __future__ import annotations

import math

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from mir_tf.config import FrontEndConfig, TrainConfig

_WAVES = 5
"""Half-waves over the mel axis, the first of none, that a random colour is the sum of."""

_QUIETEST_NOISE_DB = -60.0
"""Of the noise against the mean power of an example."""

_NEPERS = math.log(10) / 10


def remix(
    log_mel: tf.Tensor,
    targets: tf.Tensor,
    weights: tf.Tensor,
    is_stem: tf.Tensor,
    seed: tf.Tensor,
    train: TrainConfig,
    front_end: FrontEndConfig,
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Mixes the stems of a batch among themselves, and moves and colours all examples, as ``train`` says.

    Each stem is joined by its next 0 to ``remix_stems`` - 1 neighbours in the batch, every number as likely, as far as
    these are stems too: the fewer stems a batch has, the fewer are mixed. A mix stays what it is.

    Args:
        log_mel: float32 [batch, frames, mels] in dB.
        targets: float32 [batch, label frames, classes] of 0 and 1.
        weights: float32 [batch, label frames], 0 for padding.
        is_stem: bool [batch].
        seed: int [2]; the same gives the same.
        train: ``remix_stems``, ``shift_mels``, ``color_db`` and ``noise_db``.
        front_end: of ``log_mel``; not normalised by clip.

    Returns:
        Log-mel, targets and weights, of the same shapes, in another order.
    """
    order_seed, color_seed, count_seed, gain_seed, noise_seed, final_seed, shift_seed = (
        tf.random.experimental.stateless_fold_in(seed, index) for index in range(7)
    )
    batch = tf.shape(log_mel)[0]
    order = tf.random.experimental.stateless_shuffle(tf.range(batch), order_seed)
    log_mel, targets, weights, is_stem = (tf.gather(value, order) for value in (log_mel, targets, weights, is_stem))
    log_mel = _shifted(log_mel, shift_seed, train.shift_mels)
    power = tf.exp(_NEPERS * _colored(log_mel, color_seed, train.color_db))  # [batch, frames, mels]
    mixed, heard = power, targets
    if train.remix_stems > 1:
        others = tf.random.stateless_uniform([batch], count_seed, maxval=train.remix_stems, dtype=tf.int32)
        gains = tf.random.stateless_normal([train.remix_stems, batch], gain_seed, stddev=max(train.color_db, 1.0))
        for shift in range(1, train.remix_stems):
            joins = is_stem & tf.roll(is_stem, shift, 0) & (others >= shift)
            joins = tf.cast(joins & (shift < batch), tf.float32)  # [batch]
            gain = joins * tf.exp(_NEPERS * gains[shift])
            mixed += gain[:, tf.newaxis, tf.newaxis] * tf.roll(power, shift, 0)
            heard = tf.maximum(heard, joins[:, tf.newaxis, tf.newaxis] * tf.roll(targets, shift, 0))
    if train.noise_db is not None:
        mixed += _noise(mixed, noise_seed, train.noise_db)
    mixed = _colored(tf.math.log(mixed) / _NEPERS, final_seed, train.color_db)
    return tf.maximum(mixed, front_end.log_floor_db), heard, weights


def _shifted(decibels: tf.Tensor, seed: tf.Tensor, farthest: float) -> tf.Tensor:
    """Each example up to ``farthest`` bands higher or lower; the outermost band fills what it leaves empty."""
    if not farthest:
        return decibels
    bands = np.arange(decibels.shape[2], dtype=np.float32)
    shift = tf.random.stateless_uniform([tf.shape(decibels)[0], 1, 1], seed, -farthest, farthest)
    source = tf.clip_by_value(bands - shift, 0.0, bands[-1])  # [batch, 1, mels]
    # Between bands, linear: a product with hat functions, for gathering is slow where the step is compiled.
    return tf.matmul(decibels, tf.nn.relu(1.0 - tf.abs(bands[:, np.newaxis] - source)))


def _colored(decibels: tf.Tensor, seed: tf.Tensor, deviation: float) -> tf.Tensor:
    """Each example louder or softer by a smooth random function of frequency, ``deviation`` dB its lowest terms'."""
    if not deviation:
        return decibels
    waves = _waves(decibels.shape[2]) * (deviation / np.maximum(np.arange(_WAVES), 1) ** 0.5)[:, np.newaxis]
    amounts = tf.random.stateless_normal([tf.shape(decibels)[0], _WAVES], seed)  # [batch, waves]
    return decibels + tf.matmul(amounts, tf.constant(waves, tf.float32))[:, tf.newaxis]


def _noise(power: tf.Tensor, seed: tf.Tensor, loudest: float) -> tf.Tensor:
    """Power [batch, 1, mels] of steady noise, its level and its slope over frequency drawn for each example."""
    batch, mels = tf.shape(power)[0], power.shape[2]
    level_seed, slope_seed = (tf.random.experimental.stateless_fold_in(seed, index) for index in range(2))
    level = tf.random.stateless_uniform([batch, 1, 1], level_seed, _QUIETEST_NOISE_DB, loudest)
    slope = tf.random.stateless_normal([batch, 1, 1], slope_seed, stddev=10.0)  # dB from the lowest band to the highest
    shape = tf.exp(_NEPERS * (level + slope * np.linspace(-0.5, 0.5, mels, dtype=np.float32)))
    return tf.reduce_mean(power, axis=(1, 2), keepdims=True) * shape


def _waves(mels: int) -> NDArray[np.float64]:
    """Cosines [waves, mels] of 0, 1, ... half periods."""
    place: NDArray[np.float64] = (np.arange(mels) + 0.5) / mels
    return np.cos(np.pi * np.arange(_WAVES)[:, np.newaxis] * place)
