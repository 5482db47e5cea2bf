"""Binary cross-entropy with per-class positive weights, optional focal terms and masked padding."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops
from numpy.typing import ArrayLike, NDArray


def class_weights(positives: ArrayLike, total: int, maximum: float) -> NDArray[np.float32]:
    """Return the weight of each class's positive frames: negatives over positives, within [1, ``maximum``].

    Args:
        positives: [classes] label frames in which the class sounds.
        total: Number of label frames.
        maximum: Upper bound.

    Returns:
        float32 [classes]; 1 for a class without positives, which cannot be learned.
    """
    positives = np.asarray(positives, np.float64)
    ratio = (total - positives) / np.maximum(positives, 1)
    return np.where(positives > 0, np.clip(ratio, 1, maximum), 1).astype(np.float32)


@keras.saving.register_keras_serializable(package="mir_tf")
class WeightedBCE(keras.losses.Loss):
    """Binary cross-entropy of logits, in float32, with a weight on the positives of each class.

    With target y and probability p, the sigmoid of the logit, the loss of a frame and class is::

        -pos_weight y (1 - p)^gamma_pos log p - (1 - y) p^gamma_neg log(1 - p)

    With both exponents 0 it is PyTorch's ``BCEWithLogitsLoss(pos_weight=...)``. With equal exponents it is the focal
    loss (Lin et al., Focal Loss for Dense Object Detection, 2017). With a greater ``gamma_neg`` it is the asymmetric
    loss (Ridnik et al., Asymmetric Loss for Multi-Label Classification, 2021) without its margin.

    Targets (0 or 1) and logits are both [batch, frames, classes]. ``sample_weight`` [batch, frames] is 1 for true
    frames and 0 for padding: the mean is over the true frames and all classes.

    Args:
        pos_weight: [classes] weight of the positives.
        gamma_pos: Exponent that reduces the loss of positives that are already detected.
        gamma_neg: Exponent that reduces the loss of negatives that are already rejected.
        boundary_weight: Weight, in place of 1, of a class in the frames on both sides of its onsets and offsets, whose
            labels are more exact than their audio. The mean still counts such a frame as one. Padding is silence: a
            class that is active in the last true frame before it ends there.
    """

    def __init__(
        self,
        pos_weight: ArrayLike,
        gamma_pos: float = 0.0,
        gamma_neg: float = 0.0,
        boundary_weight: float = 1.0,
        name: str = "weighted_bce",
    ) -> None:
        # Keras' default reduction divides by all frames, including padding.
        super().__init__(name=name, reduction="mean_with_sample_weight", dtype="float32")
        self.pos_weight = [float(weight) for weight in np.asarray(pos_weight)]
        self.gamma_pos, self.gamma_neg = float(gamma_pos), float(gamma_neg)
        self.boundary_weight = float(boundary_weight)

    def call(self, y_true: keras.KerasTensor, y_pred: keras.KerasTensor) -> keras.KerasTensor:
        """Return the loss [batch, frames] of targets and logits [batch, frames, classes]."""
        weight = 1 + (ops.convert_to_tensor(self.pos_weight, "float32") - 1) * y_true
        # log(1 + exp(-x)) is the loss of a positive; the loss of a negative is greater by x.
        loss = (1 - y_true) * y_pred + weight * ops.softplus(-y_pred)
        if self.gamma_pos or self.gamma_neg:
            # log(1 - p) is -softplus(x), and log p is -softplus(-x): powers with finite gradients where p is 0 or 1.
            loss *= ops.exp(
                -self.gamma_pos * y_true * ops.softplus(y_pred) - self.gamma_neg * (1 - y_true) * ops.softplus(-y_pred)
            )
        if self.boundary_weight != 1:
            loss *= 1 + (self.boundary_weight - 1) * _boundaries(y_true)
        return ops.mean(loss, axis=-1)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments of :meth:`from_config`."""
        return {
            "pos_weight": self.pos_weight,
            "gamma_pos": self.gamma_pos,
            "gamma_neg": self.gamma_neg,
            "boundary_weight": self.boundary_weight,
            "name": self.name,
        }


def _boundaries(targets: keras.KerasTensor) -> keras.KerasTensor:
    """Return 1 for targets [batch, frames, classes] that differ from the frame before or after, 0 for others."""
    changes = ops.abs(targets[:, 1:] - targets[:, :-1])  # [batch, frames - 1, classes]
    return ops.maximum(
        ops.pad(changes, ((0, 0), (1, 0), (0, 0))),
        ops.pad(changes, ((0, 0), (0, 1), (0, 0))),
    )
