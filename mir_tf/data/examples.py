"""Batches of training examples, as the input pipeline makes them and the training step takes them."""

from __future__ import annotations

from typing import Any, NamedTuple


class Examples(NamedTuple):
    """A batch of training examples, or one of them without the first axis. The tensors are those of any framework.

    Attributes:
        log_mel: float32 [batch, frames, mels].
        targets: float32 [batch, label frames, classes] of 0 and 1.
        weights: float32 [batch, label frames]: 1, or 0 for padding.
        is_stem: bool [batch]: Whether the example is cut from a single stem.
    """

    log_mel: Any
    targets: Any
    weights: Any
    is_stem: Any
