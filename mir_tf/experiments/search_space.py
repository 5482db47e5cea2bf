"""Search spaces for hyperparameters: the default one, and how a YAML file narrows it."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import keras_tuner

from mir_tf.config import MODELS, RunConfig, architectures_with, with_current_names
from mir_tf.errors import ConfigError
from mir_tf.training import summaries

DEFAULT_SPACE: dict[str, dict[str, Any]] = {
    "model": {
        "architecture": [*MODELS],
        "conv_filters": [[16, 32, 32], [32, 64, 64], [64, 128, 128]],
        "conv_dropout": {"min": 0.0, "max": 0.5},
        "gru_units": [32, 64, 128],
        "head_dropout": {"min": 0.0, "max": 0.7},
        "temporal_filters": [64, 128],
        "temporal_dropout": {"min": 0.0, "max": 0.4},
        "freq_mask_bands": [0, 8, 15],
        "time_mask_frames": [0, 25, 75],
    },
    "train": {
        "learning_rate": {"min": 3e-4, "max": 1e-2, "log": True},
        "weight_decay": {"min": 1e-4, "max": 1e-1, "log": True},
        "pos_weight_max": [1.0, 3.0, 10.0],
        "ema_decay": [0.0, 0.99, 0.999],
    },
}
"""The default space: architecture, width, regularisation, augmentation, loss and optimiser."""


_ARCHITECTURE = "model.architecture"


@dataclasses.dataclass(frozen=True)
class Range:
    """A range of numbers, with both bounds included.

    Attributes:
        minimum: Lower bound.
        maximum: Upper bound.
        is_log: Whether to draw from a logarithmic scale.
        is_whole: Whether to draw whole numbers only.
    """

    minimum: float
    maximum: float
    is_log: bool
    is_whole: bool


@dataclasses.dataclass(frozen=True)
class SearchSpace:
    """The fields to search and their values. A trial has those that its architecture has.

    Attributes:
        choices: Values of a field, by ``section.field``.
        ranges: Range of a field, by ``section.field``.
        fixed: Sections with fields that have the same value in all trials.
    """

    choices: dict[str, tuple[Any, ...]]
    ranges: dict[str, Range]
    fixed: dict[str, dict[str, Any]]

    @classmethod
    def of(cls, sections: Mapping[str, Any]) -> SearchSpace:
        """Return the default space, narrowed by sections.

        Args:
            sections: Fields of :class:`RunConfig` by section. A value fixes a field; a list names its choices (a list
                of lists for a field that is itself a list); a mapping of ``min``, ``max`` and optionally ``log``
                gives its range.

        Raises:
            ConfigError: A configuration refuses a section, field, choice or bound.
        """
        choices: dict[str, tuple[Any, ...]] = {}
        parsed: dict[str, tuple[float, float, bool]] = {}
        fixed: dict[str, dict[str, Any]] = {}
        for section in {**DEFAULT_SPACE, **sections}:
            given = sections.get(section)
            given = {} if given is None else given
            if not isinstance(given, dict):
                raise ConfigError(f"section {section!r} is {given!r}; it must map fields to values, choices or ranges")
            if section in RunConfig.SECTIONS:
                given = with_current_names(given, RunConfig.SECTIONS[section].FORMER_NAMES)
            for field, value in {**DEFAULT_SPACE.get(section, {}), **given}.items():
                name = f"{section}.{field}"
                if section == "front_end":
                    raise ConfigError(
                        f"{name}: the data set determines the front end; to search it, give several data sets"
                    )
                if name == "train.epochs" and isinstance(value, list | dict):
                    raise ConfigError(f"{name} is {value!r}; it cannot be searched; set --epochs for all trials")
                if isinstance(value, dict):
                    parsed[name] = _parse_range(name, value)
                elif isinstance(value, list) and not _is_single_value(section, str(field), value):
                    if not value:
                        raise ConfigError(f"{name}: the list of choices is empty; give at least one value")
                    choices[name] = tuple(value)
                else:
                    fixed.setdefault(section, {})[str(field)] = value
        base = RunConfig().merge(fixed)
        architectures = choices.get(_ARCHITECTURE, (base.model.architecture,))
        for name in [name for name in (*choices, *parsed) if not _owners(name, architectures)]:
            section, _, field = name.partition(".")
            if field in (sections.get(section) or {}):
                raise ConfigError(
                    f"{name}: no network of this search has {field}, only {' and '.join(architectures_with(field))}; "
                    "leave it out, or search architectures that have it"
                )
            choices.pop(name, None)
            parsed.pop(name, None)
        tried = {name: list(values) for name, values in choices.items()}
        tried |= {name: [minimum, maximum] for name, (minimum, maximum, _) in parsed.items()}
        for name, values in choices.items():
            choices[name] = tuple(_checked(base, name, value, tried) for value in values)
        ranges = {}
        for name, (*bounds, is_log) in parsed.items():
            minimum, maximum = (_checked(base, name, bound, tried) for bound in bounds)
            ranges[name] = Range(minimum, maximum, is_log, isinstance(minimum, int) and isinstance(maximum, int))
        return cls(choices, ranges, fixed)

    def hyperparameters(self, folders: Sequence[Path]) -> keras_tuner.HyperParameters:
        """Return the space for Keras Tuner, with the data set as a choice if there are several folders.

        Raises:
            ConfigError: Every field is fixed.
        """
        space = keras_tuner.HyperParameters()
        for name, values in self.displayed_choices(folders).items():
            with self._condition(space, name):
                space.Choice(name, values)
        for name, bounds in self.ranges.items():
            sampling = "log" if bounds.is_log else "linear"
            with self._condition(space, name):
                if bounds.is_whole:
                    space.Int(name, int(bounds.minimum), int(bounds.maximum), sampling=sampling)
                else:
                    space.Float(name, bounds.minimum, bounds.maximum, sampling=sampling)
        if not space.space:
            raise ConfigError("nothing to search: every field is fixed")
        return space

    def _condition(self, space: keras_tuner.HyperParameters, name: str) -> contextlib.AbstractContextManager[Any]:
        """Return a context in which a field is only searched for the architectures that have it."""
        architectures = self.choices.get(_ARCHITECTURE, ())
        owners = _owners(name, architectures)
        if name == _ARCHITECTURE or len(owners) == len(architectures):
            return contextlib.nullcontext()
        return space.conditional_scope(_ARCHITECTURE, list(owners))

    def used(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Return the values of a trial without those of fields that its architecture lacks."""
        architecture = values.get(_ARCHITECTURE)
        return {name: value for name, value in values.items() if architecture is None or _owners(name, (architecture,))}

    def displayed_choices(self, folders: Sequence[Path]) -> dict[str, list[Any]]:
        """Return the choices by name as the HParams page shows them, with the data set if there are several folders."""
        choices = {summaries.DATA: [str(folder) for folder in folders]} if len(folders) > 1 else {}
        first = sorted(self.choices, key=lambda name: name != _ARCHITECTURE)  # others depend on it
        return choices | {name: _displayed(self.choices[name]) for name in first}

    def sections(self, values: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
        """Return the sections of a configuration for the values of a trial."""
        sections = {name: dict(fields) for name, fields in self.fixed.items()}
        for name in self.used({name: values[name] for name in [*self.choices, *self.ranges] if name in values}):
            section, _, field = name.partition(".")
            value = values[name]
            if name in self.choices:
                value = self.choices[name][_displayed(self.choices[name]).index(value)]
            sections.setdefault(section, {})[field] = value
        return sections


def _owners(name: str, architectures: Sequence[str]) -> tuple[str, ...]:
    """Return those of the architectures that have the field ``section.field``."""
    section, _, field = name.partition(".")
    return tuple(each for each in architectures if section != "model" or each in architectures_with(field))


def _is_single_value(section: str, field: str, value: list[Any]) -> bool:
    """Return whether a list is a single value of a field that takes lists."""
    default = RunConfig().to_dict().get(section, {}).get(field)
    return isinstance(default, list) and not any(isinstance(item, list) for item in value)


def _checked(base: RunConfig, name: str, value: Any, tried: Mapping[str, Sequence[Any]]) -> Any:
    """Return a field's value as a configuration stores it.

    Args:
        base: The configuration with the fixed fields of the space.
        name: Name of the field, ``section.field``.
        value: Value to check.
        tried: Values of all searched fields. The value may be valid only together with one of them.

    Raises:
        ConfigError: The value is invalid with ``base`` and with each of these values.
    """
    section, _, field = name.partition(".")
    try:
        return base.merge({section: {field: value}}).to_dict()[section][field]
    except ConfigError:
        for other, candidates in tried.items():
            if other == name or other.partition(".")[0] != section:
                continue
            for candidate in candidates:
                with contextlib.suppress(ConfigError):
                    both = {other.partition(".")[2]: candidate, field: value}
                    return base.merge({section: both}).to_dict()[section][field]
        raise


def _displayed(values: Sequence[Any]) -> list[Any]:
    """Return choices for Keras Tuner and the HParams page, which need one type: as text if their types differ."""
    displayed = [summaries.hyperparameter(value) for value in values]
    return displayed if len(set(map(type, displayed))) == 1 else list(map(str, displayed))


def _parse_range(name: str, value: dict[str, Any]) -> tuple[float, float, bool]:
    """Return ``min``, ``max`` and ``log``, which is optional, of a mapping."""
    if unknown := sorted(set(map(str, value)) - {"min", "max", "log"}):
        raise ConfigError(f"{name}: unknown {', '.join(unknown)}; a range has min, max and optionally log: true")
    bounds = []
    for key in ("min", "max"):
        bound = value.get(key)
        if isinstance(bound, str):  # YAML 1.1 reads 1e-3, without a dot, as text
            with contextlib.suppress(ValueError):
                bound = float(bound)
        if isinstance(bound, bool) or not isinstance(bound, int | float):
            raise ConfigError(f"{name}: {key} is {bound!r}; it must be a number")
        bounds.append(bound)
    minimum, maximum = bounds
    is_log = value.get("log", False)
    if not isinstance(is_log, bool):
        raise ConfigError(f"{name}: log is {is_log!r}; it must be true or false")
    if not minimum < maximum or (is_log and minimum <= 0):
        raise ConfigError(f"{name}: from {minimum} to {maximum}; min must be below max, and above 0 with log")
    return minimum, maximum, is_log
