"""The loss: binary cross-entropy that makes up for rare classes and leaves padding out."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops
from numpy.typing import ArrayLike, NDArray


def class_weights(positives: ArrayLike, total: int, maximum: float) -> NDArray[np.float32]:
    """Weight of each class's positive frames: negatives over positives, within [1, ``maximum``].

    Args:
        positives: [classes] label frames in which the class sounds.
        total: label frames counted.
        maximum: upper bound.

    Returns:
        float32 [classes]; a class without positives, of which nothing can be learnt, gets 1.
    """
    positives = np.asarray(positives, np.float64)
    ratio = (total - positives) / np.maximum(positives, 1)
    return np.where(positives > 0, np.clip(ratio, 1, maximum), 1).astype(np.float32)


@keras.saving.register_keras_serializable(package="mir_tf")
class WeightedBCE(keras.losses.Loss):
    """Binary cross-entropy of logits, in float32, with a weight per class on the positives.

    Equal to PyTorch's ``BCEWithLogitsLoss(pos_weight=...)``. Takes 0/1 targets and logits, both
    [batch, frames, classes], and as ``sample_weight`` [batch, frames] 1 for true frames and 0 for padding: the mean
    is over the true frames and all classes.

    Args:
        pos_weight: [classes] weight of the positives.
    """

    def __init__(self, pos_weight: ArrayLike, name: str = "weighted_bce") -> None:
        # Keras' default reduction divides by all frames, padding included.
        super().__init__(name=name, reduction="mean_with_sample_weight", dtype="float32")
        self.pos_weight = [float(weight) for weight in np.asarray(pos_weight)]

    def call(self, y_true: keras.KerasTensor, y_pred: keras.KerasTensor) -> keras.KerasTensor:
        """Loss [batch, frames] of targets and logits [batch, frames, classes]."""
        weight = 1 + (ops.convert_to_tensor(self.pos_weight, "float32") - 1) * y_true
        # log(1 + exp(-x)) is the loss of a positive; that of a negative is x more.
        loss = (1 - y_true) * y_pred + weight * ops.softplus(-y_pred)
        return ops.mean(loss, axis=-1)

    def get_config(self) -> dict[str, Any]:
        """What :meth:`from_config` needs."""
        return {"pos_weight": self.pos_weight, "name": self.name}
