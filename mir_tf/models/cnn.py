"""CNN: three convolution blocks. The receptive field is about 3 s."""

from __future__ import annotations

import keras

from mir_tf.config import ModelConfig
from mir_tf.models import blocks


def network(log_mel: keras.KerasTensor, config: ModelConfig, subframes: int) -> keras.KerasTensor:
    """Return features [batch, steps, filters of the last block] of log-mel [batch, label frames, mels]."""
    return blocks.convolutions(log_mel, config)
