"""CRNN: convolution blocks, then bidirectional GRUs. The receptive field is the whole input."""

from __future__ import annotations

import keras

from mir_tf.config import ModelConfig
from mir_tf.models import blocks


def network(log_mel: keras.KerasTensor, config: ModelConfig, subframes: int) -> keras.KerasTensor:
    """Return features [batch, steps, 2 × GRU units] of log-mel [batch, label frames, mels]."""
    x = blocks.convolutions(log_mel, config)
    return blocks.recurrences(x, config)
