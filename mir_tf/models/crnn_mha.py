"""CRNN + MHA: the CRNN, then multi-head self-attention over its steps."""

from __future__ import annotations

import keras
from keras import layers, ops

from mir_tf.config import ModelConfig
from mir_tf.models import blocks


def network(log_mel: keras.KerasTensor, config: ModelConfig, subframes: int) -> keras.KerasTensor:
    """Return features [batch, steps, 2 × GRU units] of log-mel [batch, label frames, mels]."""
    x = blocks.convolutions(log_mel, config)
    x = blocks.recurrences(x, config)
    attended = self_attention(x, config.attention_heads)
    attended = layers.Dropout(config.attention_dropout, name="attention_dropout")(attended)
    return layers.LayerNormalization(epsilon=1e-5, name="attn_norm")(layers.add([x, attended]))


def self_attention(x: keras.KerasTensor, heads: int) -> keras.KerasTensor:
    """Return scaled dot-product attention among the steps of ``x`` [batch, steps, width], as PyTorch computes it.

    Vaswani et al., Attention Is All You Need (NeurIPS 2017), section 3.2.
    """
    width = x.shape[-1]
    # Keras' defaults, Glorot over the stacked projections and zero biases, are PyTorch's too.
    projected = layers.Dense(3 * width, name="attention_in")(x)  # [batch, steps, 3 × width]
    projected = layers.Reshape((-1, 3, heads, width // heads))(projected)
    query, key, value = ops.unstack(projected, 3, axis=2)  # each [batch, steps, heads, width / heads]
    attended = ops.dot_product_attention(query, key, value)
    attended = layers.Reshape((-1, width))(attended)  # [batch, steps, width]
    return layers.Dense(width, kernel_initializer=blocks.uniform(width), name="attention_out")(attended)
