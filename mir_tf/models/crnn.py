"""CRNN: convolution blocks, then bidirectional GRUs. Each output hears the whole input."""

from __future__ import annotations

import keras

from mir_tf.config import ModelConfig
from mir_tf.models import blocks


def network(log_mel: keras.KerasTensor, config: ModelConfig) -> keras.KerasTensor:
    """Log-mel [batch, label frames, mels] to features [batch, steps, 2 × GRU units]."""
    x = blocks.convolutions(log_mel, config)
    return blocks.recurrences(x, config)
