"""The cross-fade of windowed inference: two overlapping windows blend linearly in the frames that they share.

:class:`CrossFade` is its only form in NumPy. :mod:`mir_tf.bundle.windows` has the same as TensorFlow operations, for
exported models; a test checks that both are equal.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def fade_in(overlap_frames: int) -> NDArray[np.float32]:
    """Return the weight [overlap frames, 1] of the later window in each shared frame."""
    weights: NDArray[np.float32] = (np.arange(overlap_frames, dtype=np.float32) + 0.5) / max(overlap_frames, 1)
    return weights[:, np.newaxis]


class CrossFade:
    """Joins the predictions for consecutive windows into one for the whole signal.

    Attributes:
        pending: float32 [overlap frames, classes]: the last frames of the window before, which the next one may still
            change; empty before the first window.
    """

    def __init__(self, window_frames: int, overlap_frames: int, num_classes: int) -> None:
        """Join windows of ``window_frames`` label frames that share ``overlap_frames``."""
        self._hop = window_frames - overlap_frames
        self._fade_in = fade_in(overlap_frames)
        self.pending = np.zeros((0, num_classes), np.float32)

    def add(self, window: NDArray[np.float32]) -> NDArray[np.float32]:
        """Add the prediction for the next window, and return the frames that are final now.

        Args:
            window: float32 [window frames, classes]; the last window may be shorter.

        Returns:
            float32 [label frames, classes].
        """
        shared = len(self.pending)
        blended: NDArray[np.float32] = self.pending + (window[:shared] - self.pending) * self._fade_in[:shared]
        frames: NDArray[np.float32] = np.concatenate([blended, window[shared:]])
        self.pending = frames[self._hop :]
        return frames[: self._hop]
