"""SpecAugment as a layer, which runs on whole batches on the accelerator, inside the compiled training step."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="mir_tf")
class SpecAugment(keras.layers.Layer):
    """Random masks over bands and over stretches of time of each example, in training only.

    Park et al., SpecAugment (Interspeech 2019), without time warping. As in torchaudio and tensorflow-io, a mask's
    width is uniform over 0 … bound - 1, or 0 … axis - 1 if the axis is shorter, and its start is uniform over all
    places where it fits except the last one. Masked values become the example's minimum.

    Input and output: [batch, frames, mels].

    Args:
        freq_masks: Number of frequency masks in an example.
        freq_mask_bands: Bound of their width in bands, exclusive.
        time_masks: Number of time masks in an example.
        time_mask_frames: Bound of their width in frames, exclusive.
        seed: Seed of the masks; None draws one from Keras' global seed.
    """

    def __init__(
        self,
        freq_masks: int,
        freq_mask_bands: int,
        time_masks: int,
        time_mask_frames: int,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.freq_masks = freq_masks
        self.freq_mask_bands = freq_mask_bands
        self.time_masks = time_masks
        self.time_mask_frames = time_mask_frames
        self.seed = seed
        self.seed_generator = keras.random.SeedGenerator(seed)

    def call(self, inputs: keras.KerasTensor, training: bool = False) -> keras.KerasTensor:
        if not training:
            return inputs
        batch, frames, mels = ops.shape(inputs)
        in_time = self._masked(batch, frames, self.time_masks, self.time_mask_frames)  # [batch, frames]
        in_frequency = self._masked(batch, mels, self.freq_masks, self.freq_mask_bands)  # [batch, mels]
        masked = ops.logical_or(in_time[:, :, None], in_frequency[:, None, :])  # [batch, frames, mels]
        return ops.where(masked, ops.min(inputs, axis=(1, 2), keepdims=True), inputs)

    def _masked(self, batch: Any, size: Any, masks: int, widest: int) -> keras.KerasTensor:
        """Return the places of an axis under one of the masks: bool [batch, size]."""
        length = ops.cast(size, "float32")
        shape = (batch, masks, 1)
        # Floats represent these integers exactly, and their bounds, unlike keras.random.randint's, may be tensors.
        width = ops.floor(ops.minimum(float(widest), length) * self._uniform(shape))
        start = ops.floor((length - width) * self._uniform(shape))
        place = ops.arange(size, dtype="float32")  # [size]
        return ops.any(ops.logical_and(start <= place, place < start + width), axis=1)

    def _uniform(self, shape: tuple[Any, ...]) -> keras.KerasTensor:
        return keras.random.uniform(shape, dtype="float32", seed=self.seed_generator)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return input_shape

    def get_config(self) -> dict[str, Any]:
        own = {
            "freq_masks": self.freq_masks,
            "freq_mask_bands": self.freq_mask_bands,
            "time_masks": self.time_masks,
            "time_mask_frames": self.time_mask_frames,
            "seed": self.seed,
        }
        return {**super().get_config(), **own}
