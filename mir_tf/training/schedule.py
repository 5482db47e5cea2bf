"""The learning rate and the end of training, which depend on the macro F1 on validation."""

from __future__ import annotations

import dataclasses

from mir_tf.config import TrainConfig


@dataclasses.dataclass
class Schedule:
    """Learning rate and end of training, from the macro F1 of each epoch.

    A score counts as a rise if it is more than 1/10,000 above the best one so far. The learning rate falls after more
    than ``plateau_patience`` epochs without a rise. Both rules are those of PyTorch's ``ReduceLROnPlateau`` with
    ``mode="max"`` and its defaults.

    Attributes:
        learning_rate: Learning rate of the next epoch.
        best: Highest score so far.
        best_epoch: Epoch of that score, from 1; 0 before the first epoch.
        since_best: Epochs since then.
        since_reduction: Epochs without a rise, counted from the best epoch or from the last fall of the learning rate.
    """

    learning_rate: float
    best: float = -1.0
    best_epoch: int = 0
    since_best: int = 0
    since_reduction: int = 0

    def step(self, epoch: int, score: float, config: TrainConfig) -> bool:
        """Take the score of ``epoch``, from 1, and return whether it is a rise."""
        if score > self.best * (1 + 1e-4):
            self.best, self.best_epoch, self.since_best, self.since_reduction = score, epoch, 0, 0
            return True
        self.since_best += 1
        self.since_reduction += 1
        if self.since_reduction > config.plateau_patience:
            self.learning_rate *= config.plateau_factor
            self.since_reduction = 0
        return False

    def is_over(self, config: TrainConfig) -> bool:
        """Return whether training ends early."""
        return self.since_best >= config.early_stopping_patience
