"""The networks: from log-mel frames to one logit for each class and label frame.

Everything from decibels to the network, and from the network to the logits, is common to all architectures and is in
:func:`build_model`. Only ``keras.layers`` and ``keras.ops`` are used, so the models run on every Keras backend.
Importing this package also registers the layers that a saved model needs.

To add an architecture:

1. Write ``mir_tf/models/<name>.py`` with a function ``network(log_mel, config, subframes)``, from float32 log-mel
   [batch, frames, mels] to features [batch, steps, width]. By default the frames are label frames (``subframes`` is 1),
   and the network begins with :func:`mir_tf.models.blocks.convolutions`: its steps are interpolated to label frames
   afterwards. With ``uses_subframes=True`` the frames are feature frames, ``subframes`` for each label frame, and the
   steps must be label frames. If the network has layers of its own, register them with
   ``keras.saving.register_keras_serializable(package="mir_tf")``.
2. Add a line to :data:`mir_tf.config.MODELS`, with ``head_dropout`` if the dropout before the classes is another field
   than ``head_dropout``. Settings of the network become fields of :class:`mir_tf.config.ModelConfig`.

Training, evaluation, export, the command line and the tests find it there. :mod:`mir_tf.models.cost` counts
multiply-adds by type of layer: add a type if yours is missing.
"""

from __future__ import annotations

import importlib

import keras

from mir_tf.config import MODELS, FrontEndConfig, ModelConfig
from mir_tf.models import blocks
from mir_tf.models.spec_augment import SpecAugment

_NETWORKS = {name: importlib.import_module(f"{__name__}.{name}").network for name in MODELS}

CLASSES_LAYER = "fc"
"""Name of the last layer with weights, whose outputs are the classes."""


def build_model(
    config: ModelConfig,
    front_end: FrontEndConfig,
    num_classes: int,
    feature_mean: float = 0.0,
    feature_std: float = 1.0,
) -> keras.Model:
    """Return an untrained model.

    Args:
        config: The architecture and its settings.
        front_end: Front end of the model's input.
        num_classes: Number of classes.
        feature_mean: Mean of the train split's log-mel, in dB.
        feature_std: Standard deviation of the train split's log-mel, in dB. Mean and deviation are not used if the
            front end normalises each clip.

    Returns:
        A model from float32 [batch, frames, mels], as :func:`mir_tf.data.frontend.normalize_clip` returns it, to
        float32 logits [batch, label frames, classes]. ``frames`` is any multiple of ``front_end.subframes``. Input,
        normalisation and logits are float32 under every dtype policy.
    """
    x = inputs = keras.Input((None, front_end.n_mels), dtype="float32", name="log_mel")  # [batch, frames, mels]
    subframes = front_end.subframes if config.uses_subframes else 1
    if subframes < front_end.subframes:
        x = blocks.AveragePower(front_end.subframes, dtype="float32", name="average_power")(x)
    if front_end.normalization == "global":
        x = keras.layers.Normalization(
            axis=None, mean=feature_mean, variance=feature_std**2, dtype="float32", name="normalization"
        )(x)
    x = SpecAugment(
        config.freq_masks,
        config.freq_mask_bands,
        config.time_masks,
        config.time_mask_frames * subframes,
        dtype="float32",
        name="spec_augment",
    )(x)  # [batch, label frames × subframes, mels]
    features = _NETWORKS[config.architecture](x, config, subframes)  # [batch, steps, width]
    dropout = getattr(config, MODELS[config.architecture].head_dropout)
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
