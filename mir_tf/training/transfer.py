"""Training that starts from a trained model's weights: the check that both fit, and the copy.

The network, the front end, and the mean and standard deviation that normalise the features stay the trained model's.
With another vocabulary, the layer of the classes starts anew.
"""

from __future__ import annotations

import json
import math
from pathlib import Path

import keras
import numpy as np

from mir_tf.bundle import Bundle, BundleDescription, describe
from mir_tf.config import FRONT_ENDS, FrontEndConfig, ModelConfig, RunConfig
from mir_tf.data.manifest import Manifest
from mir_tf.errors import ConfigError, DataError
from mir_tf.io.files import as_path
from mir_tf.models import CLASSES_LAYER


def check_init(
    init: str | Path, data: str | Path, manifest: Manifest, config: RunConfig, out: Path
) -> BundleDescription:
    """Refuse a run that cannot start from the model in a bundle.

    Args:
        init: Folder of the bundle.
        data: Folder of the data set, for the message.
        manifest: Manifest of the data set.
        config: Configuration of the run.
        out: Folder of the run.

    Returns:
        The description of the bundle; its weights are not read.

    Raises:
        BundleError: There is no bundle, or it is damaged.
        DataError: The data set has another front end. The message lists the fields, and the builder's options for the
            right one.
        ConfigError: The networks differ in the fields that the message lists, or the run would replace the model.
    """
    described = describe(init)
    trained = described.config
    if differences := manifest.front_end.differences(trained.front_end):
        raise DataError(
            f"{data}: its front end is not that of the model to start from, {init} ({'; '.join(differences)}); "
            f"build the data set with python -m tfrecords_builder {builder_options(trained.front_end)}"
        )
    fixed = trained.model.replace(**{name: getattr(config.model, name) for name in ModelConfig.TRAINING_ONLY})
    if differences := config.model.differences(fixed):
        raise ConfigError(
            f"the network is not that of the model to start from, {init} ({'; '.join(differences)}); leave these "
            "fields out, or train without it"
        )
    if out.resolve() == as_path(init).resolve():
        raise ConfigError(f"{out}: the run would replace the model that it starts from; choose another folder")
    return described


def builder_options(front_end: FrontEndConfig) -> str:
    """Return the options of ``python -m tfrecords_builder`` for a data set with ``front_end``."""
    wanted = front_end.to_dict()
    changes = {
        name: {field: value for field, value in wanted.items() if value != preset.to_dict()[field]}
        for name, preset in FRONT_ENDS.items()
    }
    preset = min(changes, key=lambda name: len(changes[name]))
    settings = [
        f"--set {field}={value if isinstance(value, str) else json.dumps(value)}"
        for field, value in changes[preset].items()
    ]
    return " ".join([f"--preset {preset}", *settings])


def statistics_of(trained: Bundle) -> tuple[float, float]:
    """Return the mean and standard deviation, in dB, with which a model normalises features.

    They are 0 and 1 if its front end normalises each clip, because then the model itself does not.
    """
    if trained.config.front_end.normalization != "global":
        return 0.0, 1.0
    layer = trained.model.get_layer("normalization")
    mean, variance = (np.asarray(value, np.float64).item() for value in (layer.input_mean, layer.input_variance))
    return mean, math.sqrt(variance)


def take_weights(model: keras.Model, trained: Bundle, with_classes: bool) -> None:
    """Copy the weights and batch statistics of ``trained`` into ``model``.

    Args:
        model: A model with the same network.
        trained: The trained model.
        with_classes: Whether the layer of the classes is copied too, which requires the same classes.
    """
    mine, theirs = ([layer for layer in each.layers if layer.weights] for each in (model, trained.model))
    for layer, other in zip(mine, theirs, strict=True):
        if with_classes or layer.name != CLASSES_LAYER:
            layer.set_weights(other.get_weights())
