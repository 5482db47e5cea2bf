"""Windowed inference with Keras: log-mel of any length to probabilities, in bounded memory, without retracing.

Threshold tuning, evaluation, prediction and export all use it. The signal is cut into overlapping windows of a fixed
length, whose probabilities are cross-faded (:mod:`mir_tf.inference.cross_fade`).
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from mir_tf.config import RunConfig
from mir_tf.data.frontend import normalize_clip
from mir_tf.inference.cross_fade import CrossFade, fade_in

_BATCH_WINDOWS = 8
"""Windows that go through the model at once."""


class WindowedModel:
    """A model with the windowed inference of its configuration."""

    def __init__(self, model: keras.Model, config: RunConfig) -> None:
        """Wrap ``model``; later changes to its weights take effect.

        Args:
            model: Maps float32 [batch, frames, mels] to logits [batch, label frames, classes].
            config: The run's configuration, of which the front end and the window are used.
        """
        self._front_end = config.front_end
        self._num_classes = model.output_shape[-1]
        self._window = config.window.window_frames
        self._overlap = config.window.overlap_frames
        self._window_frames = self._window * self._front_end.subframes

        def probabilities(windows: tf.Tensor, num_frames: tf.Tensor) -> tf.Tensor:
            if self._front_end.normalization == "clip":
                windows = tf.map_fn(
                    lambda item: normalize_clip(item[0], item[1], self._front_end),
                    (windows, num_frames),
                    fn_output_signature=tf.float32,
                )  # [batch, frames, mels]
            return tf.sigmoid(tf.cast(model(windows, training=False), tf.float32))  # [batch, window, classes]

        self._probabilities = tf.function(
            probabilities,
            input_signature=[
                tf.TensorSpec([None, self._window_frames, self._front_end.n_mels], tf.float32),
                tf.TensorSpec([None], tf.int32),
            ],
        )

    @property
    def graph(self) -> tf.Graph:
        """The graph from a batch of windows to their probabilities."""
        return self._probabilities.get_concrete_function().graph

    def predict_blocks(self, blocks: Iterable[NDArray[np.float32]]) -> Iterator[NDArray[np.float32]]:
        """Yield the probabilities for a signal that arrives in blocks.

        Args:
            blocks: float32 [frames, mels]: consecutive pieces, of any lengths, of one signal's raw log-mel.

        Yields:
            float32 [label frames, classes] pieces that together are the ``ceil(frames / subframes)`` label frames of
            the signal. They do not depend on how it was cut into blocks.
        """
        windows = self._windows(blocks)
        cross_fade = CrossFade(self._window, self._overlap, self._num_classes)
        while batch := list(itertools.islice(windows, _BATCH_WINDOWS)):
            features, num_frames = zip(*batch, strict=True)
            predictions = self._probabilities(np.stack(features), np.array(num_frames, np.int32)).numpy()
            for prediction, frames in zip(predictions, num_frames, strict=True):
                yield cross_fade.add(prediction[: -(-frames // self._front_end.subframes)])
        if len(cross_fade.pending):
            yield cross_fade.pending

    def predict_track(self, log_mel: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the probabilities [label frames, classes] for a whole signal's raw log-mel [frames, mels]."""
        pieces = list(self.predict_blocks([log_mel]))
        return np.concatenate(pieces) if pieces else np.zeros((0, self._num_classes), np.float32)

    def predict_batch(self, log_mel: tf.Tensor) -> tf.Tensor:
        """Return :meth:`predict_track` for signals of one length, as graph operations for an exported model.

        Args:
            log_mel: float32 [batch, frames, mels], raw.

        Returns:
            float32 [batch, label frames, classes].
        """
        subframes, mels = self._front_end.subframes, self._front_end.n_mels
        batch, num_frames = tf.shape(log_mel)[0], tf.shape(log_mel)[1]
        num_label_frames = -(-num_frames // subframes)
        hop = self._window - self._overlap
        # An empty signal also has one window, of padding, whose frames are cut off below.
        num_windows = tf.maximum(-(-(num_label_frames - self._overlap) // hop), 1)
        padding = ((num_windows - 1) * hop + self._window) * subframes - num_frames
        # On some processors oneDNN's convolution of an empty batch returns as many channels as its input has. So pad an
        # empty batch with one signal, which is cut off below.
        at_least = tf.maximum(batch, 1)
        paddings = [[0, at_least - batch], [0, tf.maximum(padding, 0)], [0, 0]]
        padded = tf.pad(log_mel, paddings, constant_values=self._front_end.log_floor_db)
        starts = tf.range(num_windows) * hop * subframes  # [windows]

        def predict_window(start: tf.Tensor) -> tf.Tensor:
            """Return the probabilities [batch, window, classes] for the window at frame ``start``."""
            window = tf.ensure_shape(padded[:, start : start + self._window_frames], [None, self._window_frames, mels])
            true_frames = tf.minimum(num_frames - start, self._window_frames)
            return self._probabilities(window, tf.fill([at_least], true_frames))

        # One window of every signal at a time, so that memory does not grow with their length.
        predictions = tf.map_fn(predict_window, starts, fn_output_signature=tf.float32, parallel_iterations=1)
        predictions = tf.ensure_shape(predictions, [None, None, self._window, self._num_classes])
        predictions = tf.transpose(predictions, [1, 0, 2, 3])  # [batch, windows, window, classes]
        return cross_fade_graph(predictions, self._overlap)[:batch, :num_label_frames]

    def _windows(self, blocks: Iterable[NDArray[np.float32]]) -> Iterator[tuple[NDArray[np.float32], int]]:
        """Yield windows [window frames, mels], the last one padded with the log floor, and their true frames."""
        subframes = self._front_end.subframes
        size, overlap = self._window * subframes, self._overlap * subframes
        pending = np.zeros((0, self._front_end.n_mels), np.float32)
        predicted = 0  # frames at the start of ``pending`` that an earlier window covers
        for block in blocks:
            pending = np.concatenate([pending, block])
            while len(pending) >= size:
                yield pending[:size], size
                pending, predicted = pending[size - overlap :], overlap
        if (frames := len(pending)) > predicted:
            floor = self._front_end.log_floor_db
            yield np.pad(pending, ((0, size - frames), (0, 0)), constant_values=floor), frames


def cross_fade_graph(predictions: tf.Tensor, overlap_frames: int) -> tf.Tensor:
    """Return the joined predictions, as :class:`mir_tf.inference.cross_fade.CrossFade` but as graph operations.

    Args:
        predictions: float32 [batch, windows, window frames, classes], at least one window.
        overlap_frames: Label frames that consecutive windows share.

    Returns:
        float32 [batch, label frames, classes].
    """
    _, _, window_frames, num_classes = predictions.shape
    hop, batch = window_frames - overlap_frames, tf.shape(predictions)[0]
    ends, starts = predictions[:, :-1, hop:], predictions[:, 1:, :overlap_frames]
    blended = tf.concat([predictions[:, :1, :overlap_frames], ends + (starts - ends) * fade_in(overlap_frames)], axis=1)
    hops = tf.concat([blended, predictions[:, :, overlap_frames:hop]], axis=2)  # [batch, windows, hop, classes]
    joined = tf.reshape(hops, [batch, tf.shape(predictions)[1] * hop, num_classes])
    return tf.concat([joined, predictions[:, -1, hop:]], axis=1)
