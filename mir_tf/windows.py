"""The one windowed inference: log-mel of any length to probabilities, in bounded memory, without retracing.

Threshold tuning, evaluation, prediction and export all give its answer. The signal is cut into windows of
fixed length that overlap; where two windows answer for the same frame, their probabilities are cross-faded
linearly.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from mir_tf.config import RunConfig
from mir_tf.frontend import normalize_clip

_BATCH_WINDOWS = 8
"""Windows that go through the model at once."""


class WindowedModel:
    """A model behind the windowed inference of its configuration."""

    def __init__(self, model: keras.Model, config: RunConfig) -> None:
        """Wraps ``model``, whose weights may go on changing, for signals of ``config.front_end``.

        Args:
            model: float32 [batch, frames, mels] to logits [batch, label frames, classes].
            config: the run's; its front end and window are used.
        """
        self._front_end = config.front_end
        self._num_classes = model.output_shape[-1]
        self._window = config.window.window_frames
        self._overlap = config.window.overlap_frames
        fade_in = (np.arange(self._overlap, dtype=np.float32) + 0.5) / max(self._overlap, 1)
        self._fade_in = fade_in[:, np.newaxis]  # [overlap, 1]

        def probabilities(windows: tf.Tensor, num_frames: tf.Tensor) -> tf.Tensor:
            if self._front_end.normalization == "clip":
                windows = tf.map_fn(
                    lambda item: normalize_clip(item[0], item[1], self._front_end),
                    (windows, num_frames),
                    fn_output_signature=tf.float32,
                )  # [batch, frames, mels]
            return tf.sigmoid(tf.cast(model(windows, training=False), tf.float32))  # [batch, window, classes]

        window_frames = self._window * self._front_end.subframes
        self._probabilities = tf.function(
            probabilities,
            input_signature=[
                tf.TensorSpec([None, window_frames, self._front_end.n_mels], tf.float32),
                tf.TensorSpec([None], tf.int32),
            ],
        )

    def predict_blocks(self, blocks: Iterable[NDArray[np.float32]]) -> Iterator[NDArray[np.float32]]:
        """Probabilities of a signal that arrives in blocks.

        Args:
            blocks: float32 [frames, mels], consecutive pieces, of any lengths, of one signal's raw log-mel.

        Yields:
            float32 [label frames, classes] pieces that, joined, are the ``ceil(frames / subframes)`` label
            frames of the signal. How the signal was cut into blocks does not show in them.
        """
        hop = self._window - self._overlap
        windows = self._windows(blocks)
        end: NDArray[np.float32] | None = None  # what the window before answers beyond its hop
        while batch := list(itertools.islice(windows, _BATCH_WINDOWS)):
            features, num_frames = zip(*batch, strict=True)
            answers = self._probabilities(np.stack(features), np.array(num_frames, np.int32)).numpy()
            for padded_answer, frames in zip(answers, num_frames, strict=True):
                answer = padded_answer[: -(-frames // self._front_end.subframes)]  # [label frames, classes]
                if end is not None:
                    answer[: self._overlap] = end + (answer[: self._overlap] - end) * self._fade_in
                yield answer[:hop]
                end = answer[hop:]
        if end is not None:
            yield end

    def predict_track(self, log_mel: NDArray[np.float32]) -> NDArray[np.float32]:
        """Probabilities [label frames, classes] of a whole signal's raw log-mel [frames, mels]."""
        pieces = list(self.predict_blocks([log_mel]))
        return np.concatenate(pieces) if pieces else np.zeros((0, self._num_classes), np.float32)

    def _windows(self, blocks: Iterable[NDArray[np.float32]]) -> Iterator[tuple[NDArray[np.float32], int]]:
        """Windows [window frames, mels], the last one filled up with the log floor, and their true frames."""
        subframes = self._front_end.subframes
        size, overlap = self._window * subframes, self._overlap * subframes
        pending = np.zeros((0, self._front_end.n_mels), np.float32)
        answered = 0  # frames at the start of ``pending`` that a window has answered for already
        for block in blocks:
            pending = np.concatenate([pending, block])
            while len(pending) >= size:
                yield pending[:size], size
                pending, answered = pending[size - overlap :], overlap
        if (frames := len(pending)) > answered:
            floor = self._front_end.log_floor_db
            yield np.pad(pending, ((0, size - frames), (0, 0)), constant_values=floor), frames
