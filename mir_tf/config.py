"""Every number the project depends on, in frozen dataclasses with a range check and a fingerprint.

Nothing here is restated elsewhere: the builder stores the front end in its manifest, a run stores all of it in its
bundle, and two parties that disagree refuse each other by :meth:`FrontEndConfig.fingerprint`.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import math
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from mir_tf.errors import ConfigError
from mir_tf.io.files import as_path
from mir_tf.vocabulary import VOCABULARIES

LABEL_RATE = 10
"""Label frames a second. Frame k covers [k / LABEL_RATE, (k + 1) / LABEL_RATE) seconds."""

SPLITS = ("train", "validation", "test")
"""The parts of a data set."""

LABEL_POLICIES = ("midi", "audible")
"""Label policies: active from note-on to note-off, or where the stem is heard."""

BUNDLE_FILE = "bundle.json"
"""Name of the file that makes a folder a trained model: configuration, vocabulary, thresholds, versions."""

ConfigT = TypeVar("ConfigT", bound="Config")


def with_current_names(values: dict[str, Any], former: dict[str, str]) -> dict[str, Any]:
    """Rename the keys of ``values`` that a file of an earlier format has under a former name.

    Args:
        values: name → value.
        former: former name → name now.

    Raises:
        ConfigError: a value is given under both names.
    """
    for old, new in former.items():
        if old in values and new in values:
            raise ConfigError(f"{old} is the former name of {new}; both are given: leave out {old}")
    return {former.get(name, name): value for name, value in values.items()}


@dataclasses.dataclass(frozen=True)
class Config:
    """Base of the configurations: conversion to and from plain dictionaries, and a fingerprint."""

    FORMER_NAMES: ClassVar[dict[str, str]] = {}
    """Former name → name now of each renamed field. Files written with the former names are still read."""

    def to_dict(self) -> dict[str, Any]:
        """The fields as JSON and YAML know them (tuples become lists)."""
        return {
            field.name: list(value) if isinstance(value := getattr(self, field.name), tuple) else value
            for field in dataclasses.fields(self)
        }

    @classmethod
    def from_dict(cls: type[ConfigT], values: dict[str, Any]) -> ConfigT:
        """Builds the configuration from ``values``; fields not named keep their defaults.

        Raises:
            ConfigError: an unknown field (the known ones are listed) or a value out of range.
        """
        return cls().replace(**values)

    def replace(self: ConfigT, **changes: Any) -> ConfigT:
        """A copy with ``changes`` applied and checked.

        Raises:
            ConfigError: an unknown field, a wrong type or a value out of range.
        """
        fields = {field.name: field for field in dataclasses.fields(self)}
        changes = with_current_names(changes, self.FORMER_NAMES)
        if unknown := sorted(map(str, set(changes) - set(fields))):
            raise ConfigError(
                f"{type(self).__name__} has no field {', '.join(map(repr, unknown))}; "
                f"its fields are {', '.join(sorted(fields))}"
            )
        return dataclasses.replace(
            self, **{name: _coerce(name, str(fields[name].type), value) for name, value in changes.items()}
        )

    def fingerprint(self) -> str:
        """The first 16 hexadecimal digits of the SHA-256 of the fields, stable across machines and versions."""
        text = json.dumps(self.to_dict(), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def differences(self: ConfigT, other: ConfigT) -> list[str]:
        """The fields in which the two differ, each as ``name: mine here, theirs there``."""
        mine, theirs = self.to_dict(), other.to_dict()
        return [f"{name}: {mine[name]!r} here, {theirs[name]!r} there" for name in mine if mine[name] != theirs[name]]

    def _require(self, condition: bool, name: str, expected: str) -> None:
        if not condition:
            raise ConfigError(f"{type(self).__name__}.{name} is {getattr(self, name)!r}; it must be {expected}")


def _coerce(name: str, annotation: str, value: Any) -> Any:
    """Turns what YAML, JSON or a command line gives into the type of the field, or says why it cannot."""
    if value is None and "None" in annotation:
        return None
    kind = annotation.replace(" | None", "")
    if kind == "float" and isinstance(value, int | str) and not isinstance(value, bool):
        with contextlib.suppress(ValueError, OverflowError):  # YAML 1.1 reads 1e-3, without a dot, as text
            value = float(value)
    if isinstance(value, float) and not math.isfinite(value):
        raise ConfigError(f"{name} is {value}; it must be finite")
    if kind == "tuple[int, ...]" and isinstance(value, list | tuple) and all(type(item) is int for item in value):
        return tuple(value)
    if kind in ("int", "float", "bool", "str") and type(value).__name__ == kind:
        return value
    raise ConfigError(f"{name} is {value!r}, a {type(value).__name__}; it must be of type {annotation}")


@dataclasses.dataclass(frozen=True)
class FrontEndConfig(Config):
    """From waveform to log-mel frames. The default is the ``default`` preset.

    Attributes:
        sample_rate: Hz of the waveform that :func:`mir_tf.data.frontend.log_mel` takes.
        n_fft: window and FFT length in samples, a power of two (TFLite's RFFT has no other).
        hop_length: samples from one frame to the next.
        frame_center: where in its hop a frame's window is centred: ``middle`` puts frame i at (i + 1/2) hops, so that
            the sub-frames of a label frame lie inside it; ``start`` puts it at i hops (librosa's ``center=True``).
        window: ``hann`` or ``hamming``, both periodic. Zeros stand before the first sample and after the last.
        n_mels: mel bands.
        f_min: lower edge of the lowest band in Hz.
        f_max: upper edge of the highest band in Hz; None is half the sample rate.
        mel_scale: ``slaney`` (bands of unit area, librosa's ``norm="slaney"``) or ``htk`` (bands of unit peak).
        power: exponent of the magnitude before the mel bands: 2.0 (power) or 1.0 (magnitude).
        log_floor_db: dB, re a mel power of 1, below which nothing is told apart. −60 dB lies about 90 dB under a
            full-scale sine in the default preset.
        normalization: ``global`` (mean and deviation of the train split, a layer of the model) or ``clip`` (the
            clip's own top_db, mean and deviation, over its true frames).
        top_db: with ``clip``, the range in dB kept under the clip's maximum; None keeps all of it.
        segment_seconds: only the middle so many seconds of a track are used; None uses whole tracks.
    """

    sample_rate: int = 22050
    n_fft: int = 1024
    hop_length: int = 441
    frame_center: str = "middle"
    window: str = "hann"
    n_mels: int = 128
    f_min: float = 0.0
    f_max: float | None = None
    mel_scale: str = "slaney"
    power: float = 2.0
    log_floor_db: float = -60.0
    normalization: str = "global"
    top_db: float | None = None
    segment_seconds: float | None = None

    _CHOICES: ClassVar[dict[str, tuple[str, ...]]] = {
        "frame_center": ("middle", "start"),
        "window": ("hann", "hamming"),
        "mel_scale": ("slaney", "htk"),
        "normalization": ("global", "clip"),
    }

    def __post_init__(self) -> None:
        """Checks every field by itself and against the others."""
        require = self._require
        for name, choices in self._CHOICES.items():
            require(getattr(self, name) in choices, name, " or ".join(choices))
        require(8000 <= self.sample_rate <= 192000, "sample_rate", "between 8000 and 192000 Hz")
        require(
            64 <= self.n_fft <= 65536 and self.n_fft & (self.n_fft - 1) == 0,
            "n_fft",
            "a power of two between 64 and 65536, because TFLite's RFFT has no other lengths",
        )
        require(self.hop_length >= 1, "hop_length", "at least 1 sample")
        require(
            self.frame_center == "start" or self.hop_length <= self.n_fft,
            "hop_length",
            f"at most n_fft, {self.n_fft}, where frame_center is 'middle': a longer one skips audio between frames",
        )
        require(1 <= self.n_mels <= self.n_fft // 2, "n_mels", f"between 1 and {self.n_fft // 2} (half of n_fft)")
        require(self.power in (1.0, 2.0), "power", "1.0 (magnitude) or 2.0 (power)")
        require(-200 <= self.log_floor_db <= 0, "log_floor_db", "between -200 and 0 dB")
        require(0 <= self.f_min < self.band_edge, "f_min", f"at least 0 and below {self.band_edge} Hz")
        require(
            self.f_max is None or self.f_max <= self.sample_rate / 2,
            "f_max",
            f"at most half the sample rate, {self.sample_rate / 2} Hz",
        )
        require(
            self.top_db is None or self.normalization == "clip",
            "top_db",
            "None unless normalization is 'clip'",
        )
        require(self.top_db is None or self.top_db > 0, "top_db", "above 0 dB")
        require(self.segment_seconds is None or self.segment_seconds >= 1, "segment_seconds", "at least 1 second")
        require(
            self.segment_seconds is None or (self.segment_seconds * LABEL_RATE).is_integer(),
            "segment_seconds",
            f"a whole number of label frames (1/{LABEL_RATE} s)",
        )
        exact = self.sample_rate / LABEL_RATE
        require(
            self.hop_length <= exact * 1.25,
            "hop_length",
            f"at most one label frame of 1/{LABEL_RATE} s, {exact:g} samples",
        )
        require(
            self.normalization == "global" or self.subframes == 1,
            "normalization",
            f"global with {self.subframes} sub-frames in a label frame: clips normalised to no unit hold no power to "
            "average; or set hop_length to one label frame",
        )
        # A hop that does not divide the label frame drifts against the labels: bounded over a segment, but never
        # over a whole track.
        drift = abs(self.hop_length * self.subframes - exact) / exact
        if drift:
            divisors = [hop for hop in range(1, int(exact) + 1) if exact % hop == 0]
            nearest = min(divisors, key=lambda hop: abs(hop - self.hop_length), default="none at this sample_rate")
            require(
                self.segment_seconds is not None and drift * self.segment_seconds * LABEL_RATE <= 0.5,
                "hop_length",
                f"a divisor of the label frame of {exact:g} samples (the nearest is {nearest}), or one that drifts by "
                "at most half a label frame over segment_seconds: otherwise audio and labels part",
            )

    @property
    def subframes(self) -> int:
        """Feature frames in a label frame."""
        return max(1, round(self.sample_rate / LABEL_RATE / self.hop_length))

    @property
    def frame_rate(self) -> int:
        """Feature frames a second."""
        return self.subframes * LABEL_RATE

    @property
    def band_edge(self) -> float:
        """Upper edge of the highest mel band in Hz."""
        return self.sample_rate / 2 if self.f_max is None else self.f_max

    @property
    def left_padding(self) -> int:
        """Samples before the first one that the first frame's window reaches."""
        return (self.n_fft - self.hop_length) // 2 if self.frame_center == "middle" else self.n_fft // 2

    def num_label_frames(self, num_samples: int) -> int:
        """Label frames of a signal: the last one may be covered in part."""
        # Without negative numbers, which integer division in an exported graph may round the other way, and without
        # num_samples * LABEL_RATE, which outgrows the int32 of a graph after 81 minutes at 44.1 kHz.
        whole, rest = num_samples // self.sample_rate, num_samples % self.sample_rate
        return whole * LABEL_RATE + (rest * LABEL_RATE + self.sample_rate - 1) // self.sample_rate

    def num_frames(self, num_samples: int) -> int:
        """Feature frames of a signal: :attr:`subframes` for every label frame."""
        return self.num_label_frames(num_samples) * self.subframes

    def segment(self, seconds: float) -> tuple[float, float]:
        """Start and length in seconds of what is used of a track of ``seconds``: its middle, or all of it."""
        if self.segment_seconds is None or seconds <= self.segment_seconds:
            return 0.0, seconds
        return (seconds - self.segment_seconds) / 2, self.segment_seconds


@dataclasses.dataclass(frozen=True)
class ModelConfig(Config):
    """The network, from log-mel to logits. Defaults are the PyTorch project's.

    Attributes:
        architecture: ``cnn``, ``crnn``, ``crnn_mha``, which are the PyTorch project's, or ``tcn``.
        time_padding: zero frames (of 1/10 s) put on each side before the convolutions.
        conv_filters: filters of each 3×3 convolution block; every block halves the time axis.
        conv_dropout: dropout after each block.
        gru_units: units of a GRU in one direction.
        gru_layers: bidirectional GRUs.
        attention_heads: heads of the self-attention, whose width is twice ``gru_units``.
        attention_dropout: dropout on the output of the self-attention.
        head_dropout: dropout before the linear layer of the classes.
        alignment: ``crop`` interpolates each output at its own place in time; ``stretch`` stretches the padded time
            axis over the outputs, as the original did.
        freq_masks: frequency masks of SpecAugment in a training example.
        freq_mask_bands: bound of a frequency mask's width in bands, exclusive.
        time_masks: time masks of SpecAugment in a training example.
        time_mask_frames: bound of a time mask's length in frames of 1/10 s, exclusive.
        stage_filters: of ``tcn``: filters of each two-dimensional convolution, of which all but the last reduce the
            bands.
        temporal_filters: of ``tcn``: filters of each dilated convolution.
        dilations: of ``tcn``: label frames between the three taps of each dilated convolution; all different.
        temporal_dropout: of ``tcn``: dropout after each dilated convolution, and before the linear layer.
    """

    architecture: str = "crnn"
    time_padding: int = 37
    conv_filters: tuple[int, ...] = (64, 128, 128)
    conv_dropout: float = 0.5
    gru_units: int = 64
    gru_layers: int = 2
    attention_heads: int = 2
    attention_dropout: float = 0.5
    head_dropout: float = 0.7
    alignment: str = "crop"
    freq_masks: int = 2
    freq_mask_bands: int = 15
    time_masks: int = 2
    time_mask_frames: int = 75
    stage_filters: tuple[int, ...] = (40, 56, 80, 112, 112)
    temporal_filters: int = 128
    dilations: tuple[int, ...] = (1, 2, 4, 8, 16, 32)
    temporal_dropout: float = 0.1

    ARCHITECTURES: ClassVar[tuple[str, ...]] = ("cnn", "crnn", "crnn_mha", "tcn")
    """The networks there are to choose from."""

    TRAINING_ONLY: ClassVar[tuple[str, ...]] = (
        "conv_dropout",
        "attention_dropout",
        "head_dropout",
        "temporal_dropout",
        "freq_masks",
        "freq_mask_bands",
        "time_masks",
        "time_mask_frames",
    )
    """Fields that change nothing but training: a run that starts from a trained model may have others."""

    def __post_init__(self) -> None:
        """Checks every field by itself and against the others."""
        require = self._require
        require(self.architecture in self.ARCHITECTURES, "architecture", " or ".join(self.ARCHITECTURES))
        require(self.alignment in ("crop", "stretch"), "alignment", "crop or stretch")
        require(
            len(self.conv_filters) >= 1 and all(filters >= 1 for filters in self.conv_filters),
            "conv_filters",
            "one positive number for each block",
        )
        require(
            len(self.stage_filters) >= 2 and all(filters >= 1 for filters in self.stage_filters),
            "stage_filters",
            "at least two positive numbers",
        )
        require(
            all(dilation >= 1 for dilation in self.dilations) and len(set(self.dilations)) == len(self.dilations),
            "dilations",
            "different positive numbers",
        )
        for name in ("gru_units", "gru_layers", "attention_heads", "temporal_filters"):
            require(getattr(self, name) >= 1, name, "at least 1")
        for name in ("time_padding", "freq_masks", "freq_mask_bands", "time_masks", "time_mask_frames"):
            require(getattr(self, name) >= 0, name, "at least 0")
        for name in ("conv_dropout", "attention_dropout", "head_dropout", "temporal_dropout"):
            require(0 <= getattr(self, name) < 1, name, "at least 0 and below 1")
        require(
            2 * self.gru_units % self.attention_heads == 0,
            "attention_heads",
            f"a divisor of the attention's width, {2 * self.gru_units}",
        )

    @property
    def uses_subframes(self) -> bool:
        """Whether the network takes every feature frame, and answers for label frames; else it takes averages."""
        return self.architecture == "tcn"


@dataclasses.dataclass(frozen=True)
class TrainConfig(Config):
    """How a model is trained. Defaults are the PyTorch project's.

    Attributes:
        vocabulary: name of the classes, a key of :data:`mir_tf.vocabulary.VOCABULARIES`.
        crop_seconds: length of a training example.
        batch_size: examples in a step.
        epochs: epochs at most.
        steps_per_epoch: steps in an epoch; None passes over every second of the train split once, and
            over ``stem_share`` of the stems.
        learning_rate: AdamW's step size at the start.
        weight_decay: AdamW's decoupled decay.
        clip_norm: gradients are scaled down to this global norm.
        stem_share: share of the crops of stems that a pass over the data set takes; of mixes it takes all.
        remix_stems: stems of a batch that are mixed anew at most; up to 1, stems are heard alone.
        shift_mels: how far stems and mixes are moved over the mel axis at most, up or down, in bands; 0 moves nothing.
        color_db: standard deviation of random equalisation of stems and mixes, in dB; 0 equalises nothing.
        noise_db: the loudest noise that is added, in dB of the mean power of an example; None adds none.
        ema_decay: what an exponential moving average of the weights keeps of itself in a step; it is validated and
            saved in place of the weights that are trained (Polyak and Juditsky, 1992). 0 averages nothing.
        pos_weight_max: upper bound of a class's weight, negatives over positives; the lower bound is 1. Both are
            counted in all records, stems' too, whatever ``stem_share`` is.
        gamma_pos: exponent of the loss on positives that are recognised already; see
            :class:`mir_tf.training.losses.WeightedBCE`. Equal to ``gamma_neg``, it makes a focal loss.
        gamma_neg: exponent on negatives; greater than ``gamma_pos``, it makes an asymmetric loss.
        boundary_weight: weight of a class's frames at its onsets and offsets.
        plateau_factor: factor on the learning rate when validation macro F1 stops rising.
        plateau_patience: epochs without a rise before that.
        early_stopping_patience: epochs without a rise before training ends.
        threshold_shrinkage: how far the bundle's thresholds are drawn from the best of each class, 0, to the one
            that is best for all, 1; see :func:`mir_tf.metrics.thresholds.shrink`. The best epoch is chosen at the
            best ones.
        image_every: epochs between the pictures of a validation song in TensorBoard; 0 draws none.
        seed: of the initial weights, crops, order, masks and dropout.
        mixed_precision: compute in 16 bits; front end, normalisation, logits and loss stay float32.
        jit: compile the training step with XLA.
        deterministic: only operations that give the same bits on every run.
    """

    vocabulary: str = "family"
    crop_seconds: float = 30.0
    batch_size: int = 16
    epochs: int = 100
    steps_per_epoch: int | None = None
    learning_rate: float = 1e-3
    weight_decay: float = 1e-2
    clip_norm: float = 1.0
    stem_share: float = 1.0
    remix_stems: int = 0
    shift_mels: float = 0.0
    color_db: float = 0.0
    noise_db: float | None = None
    ema_decay: float = 0.0
    pos_weight_max: float = 10.0
    gamma_pos: float = 0.0
    gamma_neg: float = 0.0
    boundary_weight: float = 1.0
    plateau_factor: float = 0.5
    plateau_patience: int = 3
    early_stopping_patience: int = 10
    threshold_shrinkage: float = 0.0
    image_every: int = 5
    seed: int = 0
    mixed_precision: bool = False
    jit: bool = False
    deterministic: bool = False

    FORMER_NAMES: ClassVar[dict[str, str]] = {
        "focus_positive": "gamma_pos",
        "focus_negative": "gamma_neg",
        "average_decay": "ema_decay",
        "picture_every": "image_every",
    }

    def __post_init__(self) -> None:
        """Checks every field."""
        require = self._require
        require(self.vocabulary in VOCABULARIES, "vocabulary", " or ".join(VOCABULARIES))
        require(
            self.crop_seconds > 0 and math.isclose(self.crop_seconds * LABEL_RATE % 1, 0),
            "crop_seconds",
            f"a whole number of label frames (1/{LABEL_RATE} s)",
        )
        for name in ("batch_size", "epochs", "plateau_patience", "early_stopping_patience"):
            require(getattr(self, name) >= 1, name, "at least 1")
        require(self.steps_per_epoch is None or self.steps_per_epoch >= 1, "steps_per_epoch", "at least 1")
        for name in ("learning_rate", "clip_norm"):
            require(getattr(self, name) > 0, name, "above 0")
        require(self.weight_decay >= 0, "weight_decay", "at least 0")
        require(0 <= self.stem_share <= 1, "stem_share", "between 0 and 1")
        require(0 <= self.remix_stems <= 32, "remix_stems", "between 0 and 32")
        require(0 <= self.shift_mels <= 20, "shift_mels", "between 0 and 20 bands")
        require(0 <= self.color_db <= 20, "color_db", "between 0 and 20 dB")
        require(self.noise_db is None or -60 < self.noise_db <= 0, "noise_db", "above -60 and at most 0 dB, or None")
        require(0 <= self.ema_decay < 1, "ema_decay", "at least 0 and below 1")
        require(self.pos_weight_max >= 1, "pos_weight_max", "at least 1")
        for name in ("gamma_pos", "gamma_neg"):
            require(0 <= getattr(self, name) <= 5, name, "between 0 and 5")
        require(0 <= self.boundary_weight <= 1, "boundary_weight", "between 0 and 1")
        require(0 < self.plateau_factor < 1, "plateau_factor", "between 0 and 1")
        require(0 <= self.threshold_shrinkage <= 1, "threshold_shrinkage", "between 0 and 1")
        require(self.image_every >= 0, "image_every", "at least 0")
        require(0 <= self.seed < 2**31, "seed", "between 0 and 2147483647")

    @property
    def remixes(self) -> bool:
        """Whether examples are changed before the network hears them."""
        return self.remix_stems > 1 or self.shift_mels > 0 or self.color_db > 0 or self.noise_db is not None


@dataclasses.dataclass(frozen=True)
class WindowConfig(Config):
    """The one windowed inference: a long signal is cut into windows whose answers are cross-faded.

    Attributes:
        window_seconds: length of a window.
        overlap_seconds: seconds that neighbouring windows share, over which their probabilities are cross-faded.
    """

    window_seconds: float = 30.0
    overlap_seconds: float = 5.0

    def __post_init__(self) -> None:
        """Checks both fields."""
        for name in ("window_seconds", "overlap_seconds"):
            value = getattr(self, name)
            self._require(
                value >= 0 and (value * LABEL_RATE).is_integer(),
                name,
                f"a whole number of label frames (1/{LABEL_RATE} s)",
            )
        self._require(self.window_seconds >= 1, "window_seconds", "at least 1 second")
        self._require(
            self.overlap_seconds <= self.window_seconds / 2,
            "overlap_seconds",
            f"at most half of window_seconds, {self.window_seconds / 2:g}",
        )

    @property
    def window_frames(self) -> int:
        """Label frames in a window."""
        return int(self.window_seconds * LABEL_RATE)

    @property
    def overlap_frames(self) -> int:
        """Label frames that neighbouring windows share."""
        return int(self.overlap_seconds * LABEL_RATE)


FRONT_ENDS: dict[str, FrontEndConfig] = {
    "default": FrontEndConfig(),
    # The PyTorch project's: 1000 frames from the middle 100 s, hop (n - 2048) // 999 of n samples.
    "seed_44k": FrontEndConfig(
        sample_rate=44100,
        n_fft=2048,
        hop_length=4412,
        frame_center="start",
        log_floor_db=-100.0,
        normalization="clip",
        top_db=80.0,
        segment_seconds=100.0,
    ),
    "seed_22k": FrontEndConfig(
        sample_rate=22050,
        n_fft=2048,
        hop_length=2205,
        frame_center="start",
        log_floor_db=-100.0,
        normalization="clip",
        top_db=80.0,
        segment_seconds=100.0,
    ),
}
"""The front ends by preset name."""


@dataclasses.dataclass(frozen=True)
class RunConfig:
    """All that defines a training run."""

    front_end: FrontEndConfig = FrontEndConfig()
    model: ModelConfig = ModelConfig()
    train: TrainConfig = TrainConfig()
    window: WindowConfig = WindowConfig()

    SECTIONS: ClassVar[dict[str, type[Config]]] = {
        "front_end": FrontEndConfig,
        "model": ModelConfig,
        "train": TrainConfig,
        "window": WindowConfig,
    }

    def __post_init__(self) -> None:
        """Checks the sections against each other.

        Raises:
            ConfigError: clips that are normalised each by itself are trained on at another length than they are used.
        """
        if self.front_end.normalization == "clip" and self.train.crop_seconds != self.window.window_seconds:
            raise ConfigError(
                f"TrainConfig.crop_seconds is {self.train.crop_seconds:g} and WindowConfig.window_seconds "
                f"{self.window.window_seconds:g}; with a front end that normalises each clip they must be equal, "
                "because a clip's normalisation depends on its length"
            )
        if self.front_end.normalization == "clip" and self.train.remixes:
            raise ConfigError(
                "TrainConfig.remix_stems, shift_mels, color_db and noise_db need decibels to work on; a front end that "
                "normalises each clip has none: leave them out, or build the data with --preset default"
            )

    @classmethod
    def for_front_end(cls, front_end: FrontEndConfig) -> RunConfig:
        """The defaults that go with ``front_end``: the original's where it normalises each clip, as that did."""
        if front_end.normalization == "global":
            return cls(front_end)
        seconds = front_end.segment_seconds or TrainConfig.crop_seconds
        return cls(
            front_end,
            ModelConfig(alignment="stretch"),
            TrainConfig(crop_seconds=seconds),
            WindowConfig(window_seconds=seconds, overlap_seconds=0.0),
        )

    def to_dict(self) -> dict[str, Any]:
        """The sections as JSON and YAML know them."""
        return {name: getattr(self, name).to_dict() for name in self.SECTIONS}

    def merge(self, sections: dict[str, Any]) -> RunConfig:
        """A copy with the fields in ``sections`` (section → field → value) changed.

        Raises:
            ConfigError: an unknown section or field, a wrong type, a value out of range.
        """
        if unknown := sorted(map(str, set(sections) - set(self.SECTIONS))):
            raise ConfigError(
                f"no section {', '.join(map(repr, unknown))}; the sections are {', '.join(self.SECTIONS)}"
            )
        changed = {}
        for name, fields in sections.items():
            if not isinstance(fields, dict):
                raise ConfigError(f"section {name!r} is {fields!r}; it must hold fields and their values")
            changed[name] = getattr(self, name).replace(**{str(field): value for field, value in fields.items()})
        return dataclasses.replace(self, **changed)

    @classmethod
    def from_dict(cls, sections: dict[str, Any]) -> RunConfig:
        """The inverse of :meth:`to_dict`."""
        return cls().merge(sections)


def read_yaml(path: str | Path) -> dict[str, Any]:
    """Reads a YAML file of sections, as :meth:`RunConfig.merge` takes them.

    Raises:
        ConfigError: the file cannot be read, is not YAML, names something twice, or is not a mapping.
    """
    import yaml  # here, because who runs a .tflite file has none

    class Loader(yaml.SafeLoader):
        """Refuses what YAML forbids and PyYAML takes: of two values of a key it keeps the last."""

        def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
            seen = set()
            for key, _ in node.value:
                if isinstance(key, yaml.ScalarNode):
                    if key.value in seen:
                        raise yaml.constructor.ConstructorError(
                            None, None, f"{key.value!r} is there twice", key.start_mark
                        )
                    seen.add(key.value)
            return super().construct_mapping(node, deep)

    try:
        sections = yaml.load(as_path(path).read_text(encoding="utf-8"), Loader)
    except (OSError, ValueError, yaml.YAMLError) as error:  # ValueError: no UTF-8, or no such date
        raise ConfigError(f"{path}: cannot be read as YAML: {error}") from error
    if sections is None:
        return {}
    if not isinstance(sections, dict):
        raise ConfigError(
            f"{path}: must hold sections ({', '.join(RunConfig.SECTIONS)}), not a {type(sections).__name__}"
        )
    return sections
