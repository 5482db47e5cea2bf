"""Every number the project depends on, in frozen dataclasses with checked ranges and a fingerprint.

No other module repeats these numbers. The builder stores the front end in its manifest and a run stores the whole
configuration in its bundle. :meth:`FrontEndConfig.fingerprint` shows whether two of them belong together.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import math
import typing
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from mir_tf.errors import ConfigError
from mir_tf.io.files import as_path
from mir_tf.io.yaml_text import parse_yaml, read_yaml_bytes
from mir_tf.vocabulary import VOCABULARIES

LABEL_RATE = 10
"""Label frames per second. Frame k covers [k / LABEL_RATE, (k + 1) / LABEL_RATE) seconds."""

SPLITS = ("train", "validation", "test")
"""The splits of a data set."""

LABEL_POLICIES = ("midi", "audible")
"""When a class is active: from note-on to note-off, or while its stem is audible."""

BUNDLE_FILE = "bundle.json"
"""Name of the file that makes a folder a trained model: configuration, vocabulary, thresholds and versions."""

MODEL_FILE = "model.keras"
"""Name of the network's file beside it."""


@dataclasses.dataclass(frozen=True)
class Architecture:
    """The properties of a network that its configuration needs. The network is in ``mir_tf/models/<name>.py``.

    Attributes:
        uses_subframes: Whether it takes every feature frame; the others take averages over each label frame.
        head_dropout: Name of the field of :class:`ModelConfig` with the dropout before the layer of the classes.
        fields: The fields of :class:`ModelConfig` that this architecture has, but not all have. Fields that no
            architecture lists belong to all.
    """

    uses_subframes: bool = False
    head_dropout: str = "head_dropout"
    fields: tuple[str, ...] = ()


_CONVOLUTIONS = ("time_padding", "conv_filters", "conv_dropout", "head_dropout", "alignment")
_RECURRENCES = ("gru_units", "gru_layers")

MODELS: dict[str, Architecture] = {
    "cnn": Architecture(fields=_CONVOLUTIONS),
    "crnn": Architecture(fields=(*_CONVOLUTIONS, *_RECURRENCES)),
    "crnn_mha": Architecture(fields=(*_CONVOLUTIONS, *_RECURRENCES, "attention_heads", "attention_dropout")),
    "tcn": Architecture(
        uses_subframes=True,
        head_dropout="temporal_dropout",
        fields=("stage_filters", "temporal_filters", "dilations", "temporal_dropout"),
    ),
}
"""The architectures by name. To add one, write ``mir_tf/models/<name>.py`` with a function ``network``; add a line."""

ConfigT = TypeVar("ConfigT", bound="Config")


def architectures_with(field: str) -> tuple[str, ...]:
    """Return the architectures that have a field of :class:`ModelConfig`."""
    owners = tuple(name for name, architecture in MODELS.items() if field in architecture.fields)
    return owners or tuple(MODELS)


def with_current_names(values: dict[str, Any], former: dict[str, str]) -> dict[str, Any]:
    """Rename the keys of ``values`` that a file of an earlier format has under a former name.

    Args:
        values: Name → value.
        former: Former name → current name.

    Raises:
        ConfigError: A value is given under both names.
    """
    for old, new in former.items():
        if old in values and new in values:
            raise ConfigError(f"{old} is the former name of {new}, and both are given: leave out {old}")
    return {former.get(name, name): value for name, value in values.items()}


def _bounded(
    default: Any,
    *,
    at_least: float | None = None,
    above: float | None = None,
    at_most: float | None = None,
    below: float | None = None,
    unit: str = "",
) -> Any:
    """Return a dataclass field whose number, or every number of its tuple, must lie within the bounds."""
    bounds = {"at least": at_least, "above": above, "at most": at_most, "below": below}
    given = {words: bound for words, bound in bounds.items() if bound is not None}
    if list(given) == ["at least", "at most"]:
        text = f"between {at_least} and {at_most}"
    else:
        text = " and ".join(f"{words} {bound}" for words, bound in given.items())
    return dataclasses.field(default=default, metadata={"bounds": given, "text": f"{text} {unit}".rstrip()})


def _one_of(default: str, *others: str) -> Any:
    """Return a dataclass field whose value must be ``default`` or one of the ``others``."""
    return dataclasses.field(default=default, metadata={"choices": (default, *others)})


_WITHIN: dict[str, typing.Callable[[float, float], bool]] = {
    "at least": lambda value, bound: value >= bound,
    "above": lambda value, bound: value > bound,
    "at most": lambda value, bound: value <= bound,
    "below": lambda value, bound: value < bound,
}


@dataclasses.dataclass(frozen=True)
class Config:
    """Base of the configurations: conversion to and from plain dictionaries, range checks and a fingerprint."""

    FORMER_NAMES: ClassVar[dict[str, str]] = {}
    """Former name → current name of each renamed field. Files written with the former names can still be read."""

    def __post_init__(self) -> None:
        """Check every field that has bounds or choices; None passes where the field allows it.

        Raises:
            ConfigError: A value is out of range.
        """
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if "choices" in field.metadata:
                choices = field.metadata["choices"]
                self._require(value in choices, field.name, " or ".join(choices))
            if "bounds" in field.metadata and value is not None:
                numbers = value if isinstance(value, tuple) else (value,)
                bounds = field.metadata["bounds"].items()
                is_within = all(_WITHIN[words](number, bound) for number in numbers for words, bound in bounds)
                self._require(is_within, field.name, field.metadata["text"])

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as JSON and YAML can store them (tuples become lists)."""
        return {
            field.name: list(value) if isinstance(value := getattr(self, field.name), tuple) else value
            for field in dataclasses.fields(self)
        }

    @classmethod
    def from_dict(cls: type[ConfigT], values: dict[str, Any]) -> ConfigT:
        """Build the configuration from ``values``; fields without a value keep their defaults.

        Raises:
            ConfigError: A field is unknown (the known ones are listed) or a value is out of range.
        """
        return cls().replace(**values)

    def replace(self: ConfigT, **changes: Any) -> ConfigT:
        """Return a copy with ``changes`` applied and checked.

        Raises:
            ConfigError: A field is unknown, or a value has the wrong type or is out of range.
        """
        types = _field_types(type(self))
        changes = with_current_names(changes, self.FORMER_NAMES)
        if unknown := sorted(map(str, set(changes) - set(types))):
            raise ConfigError(
                f"{type(self).__name__} has no field {', '.join(map(repr, unknown))}; "
                f"its fields are {', '.join(sorted(types))}"
            )
        return dataclasses.replace(self, **{name: _coerce(name, types[name], value) for name, value in changes.items()})

    def fingerprint(self) -> str:
        """Return the first 16 hexadecimal digits of the fields' SHA-256, the same on every machine and version."""
        text = json.dumps(self.to_dict(), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def differences(self: ConfigT, other: ConfigT) -> list[str]:
        """Return a line ``name: mine here, theirs there`` for each field in which the two differ."""
        mine, theirs = self.to_dict(), other.to_dict()
        return [f"{name}: {mine[name]!r} here, {theirs[name]!r} there" for name in mine if mine[name] != theirs[name]]

    def _require(self, condition: bool, name: str, expected: str) -> None:
        if not condition:
            raise ConfigError(f"{type(self).__name__}.{name} is {getattr(self, name)!r}; it must be {expected}")


def _field_types(section: type[Config]) -> dict[str, Any]:
    """Return the type of each field by its name."""
    hints = typing.get_type_hints(section)
    return {field.name: hints[field.name] for field in dataclasses.fields(section)}


def _coerce(name: str, wanted: Any, value: Any) -> Any:
    """Convert a value from YAML, JSON or a command line to the type ``wanted``; if it cannot, name the reason."""
    kinds = typing.get_args(wanted) if type(None) in typing.get_args(wanted) else (wanted,)
    if value is None and type(None) in kinds:
        return None
    kind = kinds[0]
    if kind is float and isinstance(value, int | str) and not isinstance(value, bool):
        with contextlib.suppress(ValueError, OverflowError):  # YAML 1.1 reads 1e-3, without a dot, as text
            value = float(value)
    if isinstance(value, float) and not math.isfinite(value):
        raise ConfigError(f"{name} is {value}; it must be finite")
    if kind == tuple[int, ...] and isinstance(value, list | tuple) and all(type(item) is int for item in value):
        return tuple(value)
    if type(value) is kind:
        return value
    text = wanted.__name__ if isinstance(wanted, type) and not typing.get_args(wanted) else str(wanted)
    raise ConfigError(f"{name} is {value!r}, a {type(value).__name__}; it must be of type {text}")


@dataclasses.dataclass(frozen=True)
class FrontEndConfig(Config):
    """From waveform to log-mel frames. The default is the ``default`` preset.

    Attributes:
        sample_rate: Hz of the waveform that :func:`mir_tf.data.frontend.log_mel` takes.
        n_fft: Window and FFT length in samples, a power of two (TFLite's RFFT has no other).
        hop_length: Samples from one frame to the next.
        frame_center: Where in its hop a frame's window is centred. ``middle`` puts frame i at (i + 1/2) hops, so that
            the sub-frames of a label frame lie inside it; ``start`` puts it at i hops (librosa's ``center=True``).
        window: ``hann`` or ``hamming``, both periodic. The signal is padded with zeros on both sides.
        n_mels: Mel bands.
        f_min: Lower edge of the lowest band in Hz.
        f_max: Upper edge of the highest band in Hz; None is half the sample rate.
        mel_scale: ``slaney`` (bands of unit area, librosa's ``norm="slaney"``) or ``htk`` (bands of unit peak).
        power: Exponent of the magnitude before the mel bands: 2.0 (power) or 1.0 (magnitude).
        log_floor_db: Smallest value in dB, relative to a mel power of 1; everything below becomes this value. −60 dB
            lies about 90 dB under a full-scale sine in the default preset.
        normalization: ``global`` (mean and standard deviation of the train split, a layer of the model) or ``clip``
            (top_db, mean and standard deviation of each clip, over its true frames).
        top_db: With ``clip``, the range in dB kept under the clip's maximum; None keeps all of it.
        segment_seconds: Use only this many seconds from the middle of a track; None uses whole tracks.
    """

    sample_rate: int = _bounded(22050, at_least=8000, at_most=192000, unit="Hz")
    n_fft: int = 1024
    hop_length: int = _bounded(441, at_least=1, unit="sample")
    frame_center: str = _one_of("middle", "start")
    window: str = _one_of("hann", "hamming")
    n_mels: int = 128
    f_min: float = 0.0
    f_max: float | None = None
    mel_scale: str = _one_of("slaney", "htk")
    power: float = 2.0
    log_floor_db: float = _bounded(-60.0, at_least=-200, at_most=0, unit="dB")
    normalization: str = _one_of("global", "clip")
    top_db: float | None = _bounded(None, above=0, unit="dB")
    segment_seconds: float | None = _bounded(None, at_least=1, unit="second")

    def __post_init__(self) -> None:
        """Check every field by itself and against the others.

        Raises:
            ConfigError: A value is out of range, or contradicts another.
        """
        super().__post_init__()
        require = self._require
        require(
            64 <= self.n_fft <= 65536 and self.n_fft & (self.n_fft - 1) == 0,
            "n_fft",
            "a power of two between 64 and 65536, because TFLite's RFFT has no other lengths",
        )
        require(
            self.frame_center == "start" or self.hop_length <= self.n_fft,
            "hop_length",
            f"at most n_fft, {self.n_fft}, when frame_center is 'middle': a longer one skips audio between frames",
        )
        require(1 <= self.n_mels <= self.n_fft // 2, "n_mels", f"between 1 and {self.n_fft // 2} (half of n_fft)")
        require(self.power in (1.0, 2.0), "power", "1.0 (magnitude) or 2.0 (power)")
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
            f"global with {self.subframes} sub-frames in a label frame: per-clip normalisation discards the absolute "
            "level, so sub-frames cannot be averaged as power. Use 'global', or set hop_length to one label frame",
        )
        # A hop that does not divide the label frame drifts against the labels: that error is bounded over a segment,
        # but grows without bound over a whole track.
        drift = abs(self.hop_length * self.subframes - exact) / exact
        if drift:
            divisors = [hop for hop in range(1, int(exact) + 1) if exact % hop == 0]
            nearest = min(divisors, key=lambda hop: abs(hop - self.hop_length), default="none at this sample_rate")
            require(
                self.segment_seconds is not None and drift * self.segment_seconds * LABEL_RATE <= 0.5,
                "hop_length",
                f"a divisor of the label frame of {exact:g} samples (the nearest is {nearest}), or one that drifts by "
                "at most half a label frame over segment_seconds: otherwise audio and labels drift apart",
            )

    @property
    def subframes(self) -> int:
        """Feature frames per label frame."""
        return max(1, round(self.sample_rate / LABEL_RATE / self.hop_length))

    @property
    def frame_rate(self) -> int:
        """Feature frames per second."""
        return self.subframes * LABEL_RATE

    @property
    def band_edge(self) -> float:
        """Upper edge of the highest mel band in Hz."""
        return self.sample_rate / 2 if self.f_max is None else self.f_max

    @property
    def left_padding(self) -> int:
        """Samples of padding before the signal that the first frame's window covers."""
        return (self.n_fft - self.hop_length) // 2 if self.frame_center == "middle" else self.n_fft // 2

    def num_label_frames(self, num_samples: int) -> int:
        """Return the number of label frames of a signal; the signal may cover the last one only in part."""
        # No negative numbers, because integer division in an exported graph may round them the other way, and no
        # num_samples * LABEL_RATE, which overflows int32 in a graph after 81 minutes at 44.1 kHz.
        whole, rest = num_samples // self.sample_rate, num_samples % self.sample_rate
        return whole * LABEL_RATE + (rest * LABEL_RATE + self.sample_rate - 1) // self.sample_rate

    def num_frames(self, num_samples: int) -> int:
        """Return the number of feature frames of a signal: :attr:`subframes` for every label frame."""
        return self.num_label_frames(num_samples) * self.subframes

    def segment(self, seconds: float) -> tuple[float, float]:
        """Return start and length in seconds of the part used of a track of ``seconds``: its middle, or all of it."""
        if self.segment_seconds is None or seconds <= self.segment_seconds:
            return 0.0, seconds
        return (seconds - self.segment_seconds) / 2, self.segment_seconds


@dataclasses.dataclass(frozen=True)
class ModelConfig(Config):
    """The network, from log-mel to logits. The defaults are those of the PyTorch project.

    Attributes:
        architecture: A name in :data:`MODELS`: ``cnn``, ``crnn`` and ``crnn_mha`` are the PyTorch project's, ``tcn`` is
            ours.
        time_padding: Zero frames (of 1/10 s) added on each side before the convolutions.
        conv_filters: Filters of each 3×3 convolution block; every block halves the time axis.
        conv_dropout: Dropout after each block.
        gru_units: Units of a GRU in one direction.
        gru_layers: Number of bidirectional GRUs.
        attention_heads: Heads of the self-attention, whose width is twice ``gru_units``.
        attention_dropout: Dropout on the output of the self-attention.
        head_dropout: Dropout before the linear layer of the classes.
        alignment: ``crop`` interpolates each output at its own place in time; ``stretch`` stretches the padded time
            axis over the outputs, as the PyTorch project does.
        freq_masks: Frequency masks of SpecAugment in a training example.
        freq_mask_bands: Upper bound, exclusive, of a frequency mask's width in bands.
        time_masks: Time masks of SpecAugment in a training example.
        time_mask_frames: Upper bound, exclusive, of a time mask's length in frames of 1/10 s.
        stage_filters: For ``tcn``: filters of each two-dimensional convolution. All but the last reduce the number of
            bands.
        temporal_filters: For ``tcn``: filters of each dilated convolution.
        dilations: For ``tcn``: label frames between the three taps of each dilated convolution; all different.
        temporal_dropout: For ``tcn``: dropout after each dilated convolution and before the linear layer.
    """

    architecture: str = "crnn"
    time_padding: int = _bounded(37, at_least=0)
    conv_filters: tuple[int, ...] = (64, 128, 128)
    conv_dropout: float = _bounded(0.5, at_least=0, below=1)
    gru_units: int = _bounded(64, at_least=1)
    gru_layers: int = _bounded(2, at_least=1)
    attention_heads: int = _bounded(2, at_least=1)
    attention_dropout: float = _bounded(0.5, at_least=0, below=1)
    head_dropout: float = _bounded(0.7, at_least=0, below=1)
    alignment: str = _one_of("crop", "stretch")
    freq_masks: int = _bounded(2, at_least=0)
    freq_mask_bands: int = _bounded(15, at_least=0)
    time_masks: int = _bounded(2, at_least=0)
    time_mask_frames: int = _bounded(75, at_least=0)
    stage_filters: tuple[int, ...] = (40, 56, 80, 112, 112)
    temporal_filters: int = _bounded(128, at_least=1)
    dilations: tuple[int, ...] = (1, 2, 4, 8, 16, 32)
    temporal_dropout: float = _bounded(0.1, at_least=0, below=1)

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
    """Fields that matter for training alone: a run that starts from a trained model may change them."""

    def __post_init__(self) -> None:
        """Check every field by itself and against the others.

        Raises:
            ConfigError: A value is out of range, or contradicts another.
        """
        super().__post_init__()
        require = self._require
        require(self.architecture in MODELS, "architecture", " or ".join(MODELS))
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
        require(
            2 * self.gru_units % self.attention_heads == 0,
            "attention_heads",
            f"a divisor of the attention's width, {2 * self.gru_units}",
        )

    @property
    def uses_subframes(self) -> bool:
        """Whether the network takes every feature frame; the others take averages over each label frame."""
        return MODELS[self.architecture].uses_subframes


@dataclasses.dataclass(frozen=True)
class TrainConfig(Config):
    """The settings of training. The defaults are those of the PyTorch project.

    Attributes:
        vocabulary: Name of the set of classes, a key of :data:`mir_tf.vocabulary.VOCABULARIES`.
        crop_seconds: Length of a training example.
        batch_size: Examples in a step.
        epochs: Largest number of epochs.
        steps_per_epoch: Steps in an epoch. None makes an epoch one pass over the mixes of the train split and over
            ``stem_share`` of the stems.
        learning_rate: AdamW's step size at the start.
        weight_decay: AdamW's decoupled weight decay.
        clip_norm: Largest global norm of the gradients; larger ones are scaled down.
        stem_share: Share of the stems' crops that one pass over the data set takes. It takes all mixes.
        remix_stems: Largest number of stems of a batch that are mixed into a new example; 0 and 1 leave stems alone.
        shift_mels: Largest shift of stems and mixes along the mel axis, up or down, in bands; 0 shifts nothing.
        color_db: Standard deviation of the random equalisation of stems and mixes, in dB; 0 equalises nothing.
        noise_db: Level of the loudest noise added, in dB relative to the mean power of an example; None adds none.
        ema_decay: Decay per step of an exponential moving average of the weights, which is validated and saved instead
            of the weights themselves (Polyak and Juditsky, 1992). 0 averages nothing.
        pos_weight_max: Upper bound of a class's weight, which is negatives over positives; the lower bound is 1. Both
            are counted in all records, including stems, whatever ``stem_share`` is.
        gamma_pos: Exponent of the focal term for positives; see :class:`mir_tf.training.losses.WeightedBCE`. Equal to
            ``gamma_neg``, it makes a focal loss.
        gamma_neg: Exponent of the focal term for negatives; greater than ``gamma_pos``, it makes an asymmetric loss.
        boundary_weight: Weight of a class's frames at its onsets and offsets.
        plateau_factor: Factor on the learning rate when validation macro F1 stops rising.
        plateau_patience: Epochs without a rise before that.
        early_stopping_patience: Epochs without a rise before training ends.
        threshold_shrinkage: How far each class's threshold is moved from its own best value (0) towards the best common
            value of all classes (1); see :func:`mir_tf.metrics.thresholds.shrink`. The best epoch is chosen with the
            classes' own best thresholds.
        image_every: Epochs between two pictures of a validation song in TensorBoard; 0 draws none.
        seed: Seed of the initial weights, crops, order, masks and dropout.
        mixed_precision: Compute in 16 bits; front end, normalisation, logits and loss stay float32.
        jit: Compile the training step with XLA.
        deterministic: Use only operations that give the same bits on every run.
    """

    vocabulary: str = _one_of(*VOCABULARIES)
    crop_seconds: float = 30.0
    batch_size: int = _bounded(16, at_least=1)
    epochs: int = _bounded(100, at_least=1)
    steps_per_epoch: int | None = _bounded(None, at_least=1)
    learning_rate: float = _bounded(1e-3, above=0)
    weight_decay: float = _bounded(1e-2, at_least=0)
    clip_norm: float = _bounded(1.0, above=0)
    stem_share: float = _bounded(1.0, at_least=0, at_most=1)
    remix_stems: int = _bounded(0, at_least=0, at_most=32)
    shift_mels: float = _bounded(0.0, at_least=0, at_most=20, unit="bands")
    color_db: float = _bounded(0.0, at_least=0, at_most=20, unit="dB")
    noise_db: float | None = _bounded(None, above=-60, at_most=0, unit="dB, or None")
    ema_decay: float = _bounded(0.0, at_least=0, below=1)
    pos_weight_max: float = _bounded(10.0, at_least=1)
    gamma_pos: float = _bounded(0.0, at_least=0, at_most=5)
    gamma_neg: float = _bounded(0.0, at_least=0, at_most=5)
    boundary_weight: float = _bounded(1.0, at_least=0, at_most=1)
    plateau_factor: float = _bounded(0.5, above=0, below=1)
    plateau_patience: int = _bounded(3, at_least=1)
    early_stopping_patience: int = _bounded(10, at_least=1)
    threshold_shrinkage: float = _bounded(0.0, at_least=0, at_most=1)
    image_every: int = _bounded(5, at_least=0)
    seed: int = _bounded(0, at_least=0, at_most=2**31 - 1)
    mixed_precision: bool = False
    jit: bool = False
    deterministic: bool = False

    FORMER_NAMES: ClassVar[dict[str, str]] = {
        "focus_positive": "gamma_pos",
        "focus_negative": "gamma_neg",
        "average_decay": "ema_decay",
        "picture_every": "image_every",
    }
    """Fields whose names differed in earlier versions."""

    def __post_init__(self) -> None:
        """Check every field.

        Raises:
            ConfigError: A value is out of range.
        """
        super().__post_init__()
        self._require(
            self.crop_seconds > 0 and math.isclose(self.crop_seconds * LABEL_RATE % 1, 0),
            "crop_seconds",
            f"a whole number of label frames (1/{LABEL_RATE} s)",
        )

    @property
    def remixes(self) -> bool:
        """Whether examples are remixed, shifted, equalised or made noisy before the network gets them."""
        return self.remix_stems > 1 or self.shift_mels > 0 or self.color_db > 0 or self.noise_db is not None


@dataclasses.dataclass(frozen=True)
class WindowConfig(Config):
    """Windowed inference: a long signal is cut into windows whose probabilities are cross-faded.

    Attributes:
        window_seconds: Length of a window.
        overlap_seconds: Seconds that neighbouring windows share, over which their probabilities are cross-faded.
    """

    window_seconds: float = 30.0
    overlap_seconds: float = 5.0

    def __post_init__(self) -> None:
        """Check both fields.

        Raises:
            ConfigError: A value is out of range, or the overlap is too long for the window.
        """
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
    # As in the PyTorch project: 1000 frames from the middle 100 s, hop (n - 2048) // 999 of n samples.
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
    """Everything that defines a training run: a section for each part."""

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
        """Check the sections against each other.

        Raises:
            ConfigError: The front end normalises each clip, and training crops differ in length from inference windows,
                or training remixes examples.
        """
        if self.front_end.normalization == "clip" and self.train.crop_seconds != self.window.window_seconds:
            raise ConfigError(
                f"TrainConfig.crop_seconds is {self.train.crop_seconds:g} and WindowConfig.window_seconds "
                f"{self.window.window_seconds:g}; with a front end that normalises each clip they must be equal, "
                "because a clip's normalisation depends on its length"
            )
        if self.front_end.normalization == "clip" and self.train.remixes:
            raise ConfigError(
                "TrainConfig.remix_stems, shift_mels, color_db and noise_db work on decibels; a front end that "
                "normalises each clip discards them. Leave these fields out, or build the data with --preset default"
            )

    @classmethod
    def for_front_end(cls, front_end: FrontEndConfig) -> RunConfig:
        """Return the defaults for ``front_end``; one that normalises each clip gets the PyTorch project's."""
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
        """Return the sections as JSON and YAML can store them."""
        return {name: getattr(self, name).to_dict() for name in self.SECTIONS}

    def merge(self, sections: dict[str, Any]) -> RunConfig:
        """Return a copy with the fields in ``sections`` (section → field → value) changed.

        Raises:
            ConfigError: A section or field is unknown, or a value has the wrong type or is out of range.
        """
        if unknown := sorted(map(str, set(sections) - set(self.SECTIONS))):
            raise ConfigError(
                f"no section {', '.join(map(repr, unknown))}; the sections are {', '.join(self.SECTIONS)}"
            )
        changed = {}
        for name, fields in sections.items():
            if not isinstance(fields, dict):
                raise ConfigError(f"section {name!r} is {fields!r}; it must map fields to values")
            changed[name] = getattr(self, name).replace(**{str(field): value for field, value in fields.items()})
        return dataclasses.replace(self, **changed)

    @classmethod
    def from_dict(cls, sections: dict[str, Any]) -> RunConfig:
        """Return the inverse of :meth:`to_dict`."""
        return cls().merge(sections)


def read_yaml(path: str | Path) -> dict[str, Any]:
    """Read a YAML file of sections in the form that :meth:`RunConfig.merge` takes.

    Raises:
        ConfigError: The file cannot be read, is not YAML, repeats a key, or is not a mapping.
    """
    try:
        sections = parse_yaml(read_yaml_bytes(as_path(path)))
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path}: cannot be read as YAML: {error}") from error
    if sections is None:
        return {}
    if not isinstance(sections, dict):
        raise ConfigError(
            f"{path}: must contain sections ({', '.join(RunConfig.SECTIONS)}), not a {type(sections).__name__}"
        )
    return sections
