"""New mixes from a batch: its stems are shifted in pitch, added up, equalised and covered with noise.

Log-mel spectrograms of sounds that play together add up as power, because their phases are unrelated. A batch of stems
therefore gives mixes that no song contains, at the cost of one exponential for each value, inside the compiled
training step and on its device. The labels are mixed too. Random equalisation imitates other rooms, microphones and
players; random shifts on the mel axis imitate other keys, tunings and sizes of instruments.

:func:`draw` draws the random numbers and :func:`remix` applies them. Only ``keras.ops`` is used, so that both run on
every Keras backend; the random numbers come from the caller.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple, Protocol

import numpy as np
from keras import KerasTensor, ops
from numpy.typing import NDArray

from mir_tf.config import FrontEndConfig, TrainConfig
from mir_tf.data.examples import Examples

_WAVES = 5
"""Number of cosines over the mel axis, with 0, 1, ... half periods. Their weighted sum is a random equalisation."""

_QUIETEST_NOISE_DB = -60.0
"""Lowest level of the noise, relative to the mean power of an example."""

_NEPERS = math.log(10) / 10


class Random(Protocol):
    """A source of random numbers. The same methods of one source always return the same numbers."""

    def fold_in(self, index: int) -> Random:
        """Return another source, one for each ``index``."""

    def permutation(self, size: Any) -> KerasTensor:
        """Return 0 … size - 1 as int32 in random order."""

    def integers(self, shape: tuple[Any, ...], bound: int) -> KerasTensor:
        """Return int32 numbers, uniform over 0 … bound - 1."""

    def uniform(self, shape: tuple[Any, ...], low: float, high: float) -> KerasTensor:
        """Return float32 numbers, uniform over low … high."""

    def normal(self, shape: tuple[Any, ...], deviation: float) -> KerasTensor:
        """Return float32 numbers, normal with mean 0."""


class Draws(NamedTuple):
    """The random numbers of one batch. None stands for an effect that is turned off.

    Attributes:
        order: int32 [batch]: The example to be taken for each place of the batch, before all else.
        shift: float32 [batch, 1, 1]: Shift along the mel axis, in bands.
        stem_color: float32 [batch, waves]: Weights of the waves that equalise each stem.
        neighbours: int32 [batch]: How many neighbours are added to each stem.
        gain: float32 [stems, batch]: Gain, in dB, of the n-th neighbour of each stem.
        noise_level: float32 [batch, 1, 1]: Level of the noise, in dB relative to the mean power.
        noise_slope: float32 [batch, 1, 1]: Rise of the noise from the lowest band to the highest, in dB.
        mix_color: float32 [batch, waves]: Weights of the waves that equalise each mix.
    """

    order: KerasTensor
    shift: KerasTensor | None
    stem_color: KerasTensor | None
    neighbours: KerasTensor | None
    gain: KerasTensor | None
    noise_level: KerasTensor | None
    noise_slope: KerasTensor | None
    mix_color: KerasTensor | None


def draw(random: Random, batch: Any, train: TrainConfig) -> Draws:
    """Draw the random numbers for :func:`remix`.

    Args:
        random: Source of the numbers; the same source gives the same draws.
        batch: Number of examples.
        train: Its fields ``remix_stems``, ``shift_mels``, ``color_db`` and ``noise_db`` set the amounts.

    Returns:
        The draws, which fit a batch of this size only.
    """
    order, stem_color, neighbours, gain, noise, mix_color, shift = (random.fold_in(index) for index in range(7))
    mixes, colors, noises = train.remix_stems > 1, train.color_db > 0, train.noise_db is not None
    return Draws(
        order=order.permutation(batch),
        shift=shift.uniform((batch, 1, 1), -train.shift_mels, train.shift_mels) if train.shift_mels else None,
        stem_color=stem_color.normal((batch, _WAVES), 1.0) if colors else None,
        neighbours=neighbours.integers((batch,), train.remix_stems) if mixes else None,
        gain=gain.normal((train.remix_stems, batch), max(train.color_db, 1.0)) if mixes else None,
        noise_level=noise.fold_in(0).uniform((batch, 1, 1), _QUIETEST_NOISE_DB, train.noise_db) if noises else None,
        noise_slope=noise.fold_in(1).normal((batch, 1, 1), 10.0) if noises else None,
        mix_color=mix_color.normal((batch, _WAVES), 1.0) if colors else None,
    )


def remix(examples: Examples, draws: Draws, train: TrainConfig, front_end: FrontEndConfig) -> Examples:
    """Mix the stems of a batch with each other, shift and equalise all examples, and add noise.

    Each stem is mixed with those of its next 0 to ``remix_stems`` - 1 neighbours in the batch that are stems too; every
    number of neighbours is equally likely. Nothing is added to a full mix.

    Args:
        examples: The batch, with log-mel in dB.
        draws: Random numbers that :func:`draw` drew for this size of batch and for ``train``.
        train: Its field ``color_db`` sets the amount of equalisation, and ``remix_stems`` the number of stems.
        front_end: Front end of the log-mel; it must not normalise clips.

    Returns:
        A batch of the same shape, in another order.
    """
    log_mel, targets, weights, is_stem = (ops.take(value, draws.order, axis=0) for value in examples)
    if draws.shift is not None:
        log_mel = _shifted(log_mel, draws.shift)
    if draws.stem_color is not None:
        log_mel = _colored(log_mel, draws.stem_color, train.color_db)
    power = ops.exp(_NEPERS * log_mel)  # [batch, frames, mels]
    mixed, mixed_targets = power, targets
    if draws.neighbours is not None and draws.gain is not None:
        batch = ops.shape(power)[0]
        for distance in range(1, train.remix_stems):
            joins = ops.logical_and(is_stem, ops.roll(is_stem, distance, axis=0))
            joins = ops.logical_and(joins, draws.neighbours >= distance)
            joins = ops.cast(ops.logical_and(joins, distance < batch), "float32")  # [batch]
            gain = joins * ops.exp(_NEPERS * draws.gain[distance])
            mixed = mixed + gain[:, None, None] * ops.roll(power, distance, axis=0)
            joining = joins[:, None, None] * ops.roll(targets, distance, axis=0)
            mixed_targets = ops.maximum(mixed_targets, joining)
    if draws.noise_level is not None and draws.noise_slope is not None:
        mixed = mixed + _noise(mixed, draws.noise_level, draws.noise_slope)
    mixed = ops.log(mixed) / _NEPERS
    if draws.mix_color is not None:
        mixed = _colored(mixed, draws.mix_color, train.color_db)
    return Examples(ops.maximum(mixed, front_end.log_floor_db), mixed_targets, weights, is_stem)


def _shifted(decibels: KerasTensor, shift: KerasTensor) -> KerasTensor:
    """Shift each example by ``shift`` [batch, 1, 1] bands, up or down; the outermost band fills the gap."""
    mels = decibels.shape[2]
    bands = ops.arange(mels, dtype="float32")
    source = ops.clip(bands - shift, 0.0, mels - 1.0)  # [batch, 1, mels]
    # Linear between bands: a product with hat functions, because gathering is slow in the compiled step.
    return ops.matmul(decibels, ops.relu(1.0 - ops.abs(bands[:, None] - source)))


def _colored(decibels: KerasTensor, amounts: KerasTensor, deviation: float) -> KerasTensor:
    """Equalise each example by a smooth function of frequency, the waves weighted by ``amounts`` [batch, waves].

    Args:
        decibels: [batch, frames, mels].
        amounts: Weights with a standard deviation of 1.
        deviation: The lowest waves' deviation, in dB.
    """
    waves = _waves(decibels.shape[2]) * (deviation / np.maximum(np.arange(_WAVES), 1) ** 0.5)[:, np.newaxis]
    return decibels + ops.matmul(amounts, ops.convert_to_tensor(waves, "float32"))[:, None]


def _noise(power: KerasTensor, level: KerasTensor, slope: KerasTensor) -> KerasTensor:
    """Return the power [batch, 1, mels] of steady noise, with ``level`` and ``slope`` [batch, 1, 1] in dB."""
    rise = ops.convert_to_tensor(np.linspace(-0.5, 0.5, power.shape[2]), "float32")  # [mels]
    shape = ops.exp(_NEPERS * (level + slope * rise))
    return ops.mean(power, axis=(1, 2), keepdims=True) * shape


def _waves(mels: int) -> NDArray[np.float64]:
    """Return cosines [waves, mels] of 0, 1, ... half periods."""
    place: NDArray[np.float64] = (np.arange(mels) + 0.5) / mels
    return np.cos(np.pi * np.arange(_WAVES)[:, np.newaxis] * place)
