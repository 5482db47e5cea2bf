"""Parts that the architectures share. Layers have the names of the PyTorch project's modules."""

from __future__ import annotations

import math
from typing import Any

import keras
from keras import layers, ops

from mir_tf.config import ModelConfig


def uniform(fan_in: int) -> keras.initializers.Initializer:
    """Return PyTorch's initialisation of weights and biases: uniform within ±1/√fan_in."""
    bound = 1 / math.sqrt(fan_in)
    return keras.initializers.RandomUniform(-bound, bound)


def batch_norm(name: str) -> layers.Layer:
    """Return batch normalisation with PyTorch's constants: its momentum of 0.1 is 0.9 here."""
    return layers.BatchNormalization(momentum=0.9, epsilon=1e-5, name=name)


def convolutions(log_mel: keras.KerasTensor, config: ModelConfig) -> keras.KerasTensor:
    """Apply convolution blocks, each of which halves the time axis, then the mean over frequency.

    Args:
        log_mel: float32 [batch, frames, mels].
        config: Filters, padding and dropout.

    Returns:
        [batch, steps, filters of the last block]; steps = (frames + 2 × padding) // 2 ** blocks.
    """
    x = layers.ZeroPadding1D(config.time_padding, name="time_padding")(log_mel)  # [batch, padded, mels]
    x = layers.Reshape((-1, x.shape[-1], 1), name="channel")(x)  # [batch, padded, mels, 1]
    x = batch_norm("bn0")(x)
    for block, filters in enumerate(config.conv_filters, start=1):
        fan_in = 3 * 3 * x.shape[-1]
        x = layers.Conv2D(
            filters,
            kernel_size=3,
            padding="same",
            kernel_initializer=uniform(fan_in),
            bias_initializer=uniform(fan_in),
            name=f"conv{block}",
        )(x)
        x = batch_norm(f"bn{block}")(x)
        # The original pools after ELU. ELU is monotonic, so this order gives the same result at half the cost.
        x = layers.MaxPooling2D((2, 1), name=f"pool{block}")(x)  # [batch, padded / 2 ** block, mels, filters]
        x = layers.Activation("elu", name=f"elu{block}")(x)
        x = layers.Dropout(config.conv_dropout, name=f"conv_dropout{block}")(x)
    return ops.mean(x, axis=2)


def recurrences(x: keras.KerasTensor, config: ModelConfig) -> keras.KerasTensor:
    """Apply bidirectional GRUs to [batch, steps, channels] and return [batch, steps, 2 × units]."""
    for layer in range(1, config.gru_layers + 1):
        gru = layers.GRU(
            config.gru_units,
            return_sequences=True,
            reset_after=True,  # PyTorch's and cuDNN's cell, with a separate bias for the recurrent part
            kernel_initializer=uniform(config.gru_units),
            recurrent_initializer=uniform(config.gru_units),
            bias_initializer=uniform(config.gru_units),
        )
        x = layers.Bidirectional(gru, name=f"gru{layer}")(x)
    return x


@keras.saving.register_keras_serializable(package="mir_tf")
class AveragePower(layers.Layer):
    """Average power over the ``subframes`` of each label frame.

    Input: dB [batch, frames, mels]. Output: dB [batch, frames / subframes, mels].
    """

    def __init__(self, subframes: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.subframes = subframes

    def call(self, decibels: keras.KerasTensor) -> keras.KerasTensor:
        batch, _, mels = ops.shape(decibels)
        nepers = decibels * (math.log(10) / 10)  # of power, whatever the front end's exponent: dB are dB
        nepers = ops.reshape(nepers, (batch, -1, self.subframes, mels))
        average = ops.logsumexp(nepers, axis=2) - math.log(self.subframes)
        return average * (10 / math.log(10))

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        batch, frames, mels = input_shape
        return batch, None if frames is None else frames // self.subframes, mels

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "subframes": self.subframes}


@keras.saving.register_keras_serializable(package="mir_tf")
class InterpolateSteps(layers.Layer):
    """Linear interpolation of steps [batch, steps, classes] at each label frame, [batch, frames, classes].

    Args:
        stride: Padded frames in a step: step j covers the padded frames [stride × j, stride × (j + 1)).
        padding: Frames of padding before the first frame.
        alignment: ``crop`` reads every frame at its own place in time, between the centres of the two steps around
            it. ``stretch`` divides all steps, including those of the padding, among the frames, as PyTorch's
            ``interpolate(mode="linear", align_corners=False)`` did in the original: events move towards the middle
            by up to ``padding`` frames.
    """

    def __init__(self, stride: int, padding: int, alignment: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.stride = stride
        self.padding = padding
        self.alignment = alignment

    def call(self, steps: keras.KerasTensor, frames: keras.KerasTensor) -> keras.KerasTensor:
        """Return ``steps`` at each frame of ``frames`` [batch, frames, any], of which only the length matters."""
        num_steps, num_frames = ops.shape(steps)[1], ops.shape(frames)[1]
        frame = ops.arange(num_frames, dtype="float32")
        if self.alignment == "crop":
            place = (frame + self.padding - (self.stride - 1) / 2) / self.stride
        else:
            place = (frame + 0.5) * ops.cast(num_steps, "float32") / ops.cast(num_frames, "float32") - 0.5
        place = ops.clip(place, 0, ops.cast(num_steps - 1, "float32"))[:, None]  # [frames, 1], in steps
        # The weight of a step is one minus its distance from the frame: a product with a sparse matrix.
        weights = ops.relu(1 - ops.abs(place - ops.arange(num_steps, dtype="float32")))  # [frames, steps]
        return ops.matmul(weights, steps)

    def compute_output_shape(
        self, steps_shape: tuple[int | None, ...], frames_shape: tuple[int | None, ...]
    ) -> tuple[int | None, ...]:
        return steps_shape[0], frames_shape[1], steps_shape[2]

    def get_config(self) -> dict[str, Any]:
        own = {"stride": self.stride, "padding": self.padding, "alignment": self.alignment}
        return {**super().get_config(), **own}
