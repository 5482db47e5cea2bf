"""CNN: three convolution blocks. Each output hears about three seconds."""

from __future__ import annotations

import keras

from mir_tf.config import ModelConfig
from mir_tf.models import blocks


def network(log_mel: keras.KerasTensor, config: ModelConfig) -> keras.KerasTensor:
    """Log-mel [batch, label frames, mels] to features [batch, steps, filters of the last block]."""
    return blocks.convolutions(log_mel, config)
