"""TCN: strided convolutions that keep the place in frequency, then dilated convolutions over time.

It uses every sub-frame of a label frame. With the default dilations, the receptive field is about ±6 s. Without
recurrence, it can be quantised in full, and it is small enough for phones. After Bai, Kolter and Koltun, An Empirical
Evaluation of Generic Convolutional and Recurrent Networks for Sequence Modeling (2018), but not causal.
"""

from __future__ import annotations

import keras
from keras import layers

from mir_tf.config import ModelConfig
from mir_tf.models import blocks

_STEM_BANDS = 8
"""Mel bands that a filter of the first convolution covers. Its stride is half of them."""


def network(log_mel: keras.KerasTensor, config: ModelConfig, subframes: int) -> keras.KerasTensor:
    """Return features [batch, label frames, temporal filters] of log-mel [batch, label frames × subframes, mels]."""
    first, *others = config.stage_filters
    x = layers.Reshape((-1, log_mel.shape[-1], 1), name="channel")(log_mel)  # [batch, frames, mels, 1]
    # The kernel reaches half a label frame beyond the label frame on each side. An odd number of sub-frames is centred.
    kernel = (2 * subframes - 1, _STEM_BANDS)
    x = _convolution(x, first, kernel, (subframes, _STEM_BANDS // 2), "stem")  # [batch, label frames, mels / 4, first]
    for stage, filters in enumerate(others, start=1):
        # The last stage keeps the bands apart.
        stride = 1 if stage == len(others) else 2
        x = _convolution(x, filters, (3, 3), (1, stride), f"stage{stage}")
    # The place in frequency tells a bass from a flute, so bands become channels instead of being averaged.
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
