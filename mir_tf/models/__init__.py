"""The networks: log-mel frames in, one logit per class and label frame out.

An architecture is a function in a file of its own; :data:`MODELS` lists them. What leads to the network, from
decibels, and from it, to the logits, is common to all and stands in :func:`build_model`. Only ``keras.layers`` and
``keras.ops`` are used, so the models run on every Keras backend. Importing this package also registers the layers that
a saved model needs.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import keras

from mir_tf.config import FrontEndConfig, ModelConfig
from mir_tf.models import blocks, cnn, crnn, crnn_mha, tcn
from mir_tf.models.spec_augment import SpecAugment

MODELS: dict[str, Callable[..., keras.KerasTensor]] = {
    "cnn": cnn.network,
    "crnn": crnn.network,
    "crnn_mha": crnn_mha.network,
    "tcn": tcn.network,
}
"""The architectures by name, each from log-mel to features [batch, steps, width].

The first three take label frames, whose steps are longer than these; the TCN takes feature frames, and its steps are
label frames.
"""

CLASSES_LAYER = "fc"
"""Name of the last layer with weights, whose outputs are the classes."""


def build_model(
    config: ModelConfig,
    front_end: FrontEndConfig,
    num_classes: int,
    feature_mean: float = 0.0,
    feature_std: float = 1.0,
) -> keras.Model:
    """Builds an untrained model.

    Args:
        config: the network.
        front_end: what its input is made with.
        num_classes: logits of a label frame.
        feature_mean: mean in dB of the train split's log-mel.
        feature_std: its standard deviation in dB. Neither is used where the front end normalises each clip.

    Returns:
        A model from float32 [batch, frames, mels], what :func:`mir_tf.data.frontend.normalize_clip` returns, to float32
        logits [batch, label frames, classes]. ``frames`` is any multiple of ``front_end.subframes``. Input,
        normalisation and logits are float32 under every dtype policy.
    """
    x = inputs = keras.Input((None, front_end.n_mels), dtype="float32", name="log_mel")  # [batch, frames, mels]
    network = MODELS[config.architecture]
    frames_in_label = 1
    if config.uses_subframes:
        frames_in_label = front_end.subframes
        network = functools.partial(network, subframes=frames_in_label)
    elif front_end.subframes > 1:
        x = blocks.AveragePower(front_end.subframes, dtype="float32", name="average_power")(x)
    if front_end.normalization == "global":
        x = keras.layers.Normalization(
            axis=None, mean=feature_mean, variance=feature_std**2, dtype="float32", name="normalization"
        )(x)
    x = SpecAugment(
        config.freq_masks,
        config.freq_mask_bands,
        config.time_masks,
        config.time_mask_frames * frames_in_label,
        dtype="float32",
        name="spec_augment",
    )(x)  # [batch, frames, mels]: label frames, or what the TCN hears
    features = network(x, config)  # [batch, steps, width]
    dropout = config.temporal_dropout if config.uses_subframes else config.head_dropout
    features = keras.layers.Dropout(dropout, name="head_dropout")(features)
    logits = keras.layers.Dense(
        num_classes,
        kernel_initializer=blocks.uniform(features.shape[-1]),
        bias_initializer=blocks.uniform(features.shape[-1]),
        dtype="float32",
        name=CLASSES_LAYER,
    )(features)  # [batch, steps, classes]
    if not config.uses_subframes:
        logits = blocks.InterpolateSteps(
            2 ** len(config.conv_filters), config.time_padding, config.alignment, dtype="float32", name="logits"
        )(logits, x)  # [batch, label frames, classes]
    return keras.Model(inputs, logits, name=config.architecture)
