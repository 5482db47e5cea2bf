"""TCN: strided convolutions that keep the place in frequency, then dilated convolutions over time.

Hears the sub-frames of each label frame. Every output hears some six seconds to either side, with the default
dilations. Without recurrence it quantises in full, and small enough for phones. After Bai, Kolter and Koltun, An
Empirical Evaluation of Generic Convolutional and Recurrent Networks for Sequence Modeling (2018), not causal here.
"""

from __future__ import annotations

import keras
from keras import layers

from mir_tf.config import ModelConfig
from mir_tf.models import blocks

_STEM_BANDS = 8
"""Mel bands that a filter of the first convolution covers; it moves by half of them."""


def network(log_mel: keras.KerasTensor, config: ModelConfig, subframes: int) -> keras.KerasTensor:
    """Log-mel [batch, label frames × subframes, mels] to features [batch, label frames, temporal filters]."""
    first, *others = config.stage_filters
    x = layers.Reshape((-1, log_mel.shape[-1], 1), name="channel")(log_mel)  # [batch, frames, mels, 1]
    # It reaches half a label frame beyond on either side; with an odd number of sub-frames it is centred.
    kernel = (2 * subframes - 1, _STEM_BANDS)
    x = _convolution(x, first, kernel, (subframes, _STEM_BANDS // 2), "stem")  # [batch, label frames, mels / 4, first]
    for stage, filters in enumerate(others, start=1):
        # The last one keeps the bands, so that what it has learnt of them stays apart.
        stride = 1 if stage == len(others) else 2
        x = _convolution(x, filters, (3, 3), (1, stride), f"stage{stage}")
    # Where in frequency something lies tells a bass from a flute: bands become channels, they are not averaged.
    x = layers.Reshape((-1, x.shape[2] * x.shape[3]), name="bands")(x)  # [batch, label frames, bands × filters]
    x = _activated(layers.Dense(config.temporal_filters, use_bias=False, name="projection")(x), "projection")
    for dilation in config.dilations:
        y = layers.Conv1D(
            config.temporal_filters,
            kernel_size=3,
            dilation_rate=dilation,
            padding="same",
            use_bias=False,
            kernel_initializer="he_normal",
            name=f"dilated{dilation}",
        )(x)
        y = layers.Dropout(config.temporal_dropout, name=f"dropout{dilation}")(_activated(y, f"dilated{dilation}"))
        x = layers.Add(name=f"residual{dilation}")([x, y])  # [batch, label frames, temporal filters]
    return x


def _convolution(
    x: keras.KerasTensor, filters: int, kernel: tuple[int, int], strides: tuple[int, int], name: str
) -> keras.KerasTensor:
    x = layers.Conv2D(
        filters, kernel, strides, padding="same", use_bias=False, kernel_initializer="he_normal", name=name
    )(x)
    return _activated(x, name)


def _activated(x: keras.KerasTensor, name: str) -> keras.KerasTensor:
    return layers.ReLU(name=f"{name}_relu")(blocks.batch_norm(f"{name}_norm")(x))
