"""A search for a better configuration, by Keras Tuner.

Every trial is a run of :func:`mir_tf.training.loop.fit` in a folder of its own: it resumes where it was stopped, and
what it leaves is what ``mir-tf fit`` leaves. Keras Tuner chooses the configurations and keeps the books, on one
machine or, with its own chief and workers, on several.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import keras_tuner
import tensorflow as tf
import yaml
from keras_tuner.engine import base_tuner
from keras_tuner.engine import trial as trial_module
from tensorboard.plugins.hparams import api as hparams

from mir_tf.bundle.history import LOGS_FOLDER
from mir_tf.config import RunConfig
from mir_tf.data.manifest import read_manifest
from mir_tf.errors import ConfigError, TrainingError
from mir_tf.io.files import as_path, write_text
from mir_tf.training import loop, summaries

TUNERS = ("random", "hyperband", "bayesian")
BEST = "best.yaml"
SETTINGS = "search.json"
BOOKS = "search"
TRIALS = "trials"
MAX_SEED = 2**32 - 2
OBJECTIVE = keras_tuner.Objective("macro_f1", "max")

DEFAULT_SPACE: dict[str, dict[str, Any]] = {
    "model": {
        "architecture": ["cnn", "crnn", "crnn_mha", "tcn"],
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
"""What is searched where nothing else is said: architecture, width, regularisation, augmentation, loss, optimiser."""


@dataclasses.dataclass(frozen=True)
class Range:
    """Numbers between two bounds, both included.

    Attributes:
        minimum: the least.
        maximum: the greatest.
        is_log: their logarithm is drawn evenly.
        is_whole: whole numbers only.
    """

    minimum: float
    maximum: float
    is_log: bool
    is_whole: bool


@dataclasses.dataclass(frozen=True)
class Space:
    """What is searched.

    Attributes:
        choices: values of a field, by ``section.field``.
        ranges: bounds of a field, likewise.
        fixed: sections and fields that all trials share.
    """

    choices: dict[str, tuple[Any, ...]]
    ranges: dict[str, Range]
    fixed: dict[str, dict[str, Any]]

    @classmethod
    def of(cls, sections: Mapping[str, Any]) -> Space:
        """The default space, narrowed.

        Args:
            sections: fields of :class:`RunConfig` by section. A value fixes a field; a list names its choices (of a
                field that is itself a list, a list of lists); a mapping of ``min``, ``max`` and, if wanted, ``log``
                bounds it.

        Raises:
            ConfigError: a section, field, choice or bound that a configuration refuses.
        """
        choices: dict[str, tuple[Any, ...]] = {}
        ranges: dict[str, Range] = {}
        fixed: dict[str, dict[str, Any]] = {}
        for section in {**DEFAULT_SPACE, **sections}:
            given = sections.get(section)
            given = {} if given is None else given
            if not isinstance(given, dict):
                raise ConfigError(f"section {section!r} is {given!r}; it must hold fields and what they may be")
            for field, value in {**DEFAULT_SPACE.get(section, {}), **given}.items():
                name = f"{section}.{field}"
                if section == "front_end":
                    raise ConfigError(
                        f"{name}: the front end is that of the data set; to search it, give several data sets"
                    )
                if name == "train.epochs" and isinstance(value, list | dict):
                    raise ConfigError(f"{name} is {value!r}; it is not searched: all trials have those of --epochs")
                if isinstance(value, dict):
                    ranges[name] = _range(name, value)
                elif isinstance(value, list) and not _is_one(section, str(field), value):
                    if not value:
                        raise ConfigError(f"{name}: no choice; name one value at least")
                    choices[name] = tuple(value)
                else:
                    fixed.setdefault(section, {})[str(field)] = value
        base = RunConfig().merge(fixed)
        tried = {name: list(values) for name, values in choices.items()}
        tried |= {name: [bounds.minimum, bounds.maximum] for name, bounds in ranges.items()}
        for name, values in choices.items():
            choices[name] = tuple(_checked(base, name, value, tried) for value in values)
        for name, bounds in ranges.items():
            least, most = (_checked(base, name, bound, tried) for bound in (bounds.minimum, bounds.maximum))
            is_whole = all(isinstance(bound, int) for bound in (least, most))
            ranges[name] = Range(least, most, bounds.is_log, is_whole)
        return cls(choices, ranges, fixed)

    def hyperparameters(self, folders: Sequence[Path]) -> keras_tuner.HyperParameters:
        """The space as Keras Tuner takes it.

        Raises:
            ConfigError: every field is fixed.
        """
        space = keras_tuner.HyperParameters()
        if len(folders) > 1:
            space.Choice(summaries.DATA, [str(folder) for folder in folders])
        for name, values in self.choices.items():
            space.Choice(name, _shown(values))
        for name, bounds in self.ranges.items():
            sampling = "log" if bounds.is_log else "linear"
            if bounds.is_whole:
                space.Int(name, int(bounds.minimum), int(bounds.maximum), sampling=sampling)
            else:
                space.Float(name, bounds.minimum, bounds.maximum, sampling=sampling)
        if not space.space:
            raise ConfigError("nothing to search: every field is fixed")
        return space

    def sections(self, values: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
        """The sections that the values of a trial stand for."""
        sections = {name: dict(fields) for name, fields in self.fixed.items()}
        for name in [*self.choices, *self.ranges]:
            section, _, field = name.partition(".")
            value = values[name]
            if name in self.choices:
                value = self.choices[name][_shown(self.choices[name]).index(value)]
            sections.setdefault(section, {})[field] = value
        return sections


def _is_one(section: str, field: str, value: list[Any]) -> bool:
    """Whether a list is one value of a field that takes lists."""
    default = RunConfig().to_dict().get(section, {}).get(field)
    return isinstance(default, list) and not any(isinstance(item, list) for item in value)


def _checked(base: RunConfig, name: str, value: Any, tried: Mapping[str, Sequence[Any]]) -> Any:
    """A field's value as a configuration holds it.

    Args:
        base: what the space fixes.
        name: of the field.
        value: of it.
        tried: all fields that are searched, and values of them, one of which may make room for this one.

    Raises:
        ConfigError: the value goes neither with ``base`` nor with any of them.
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


def _shown(values: Sequence[Any]) -> list[Any]:
    """Choices as Keras Tuner and the HParams page take them: of one type, as text where they differ."""
    shown = [summaries.shown(value) for value in values]
    return shown if len(set(map(type, shown))) == 1 else list(map(str, shown))


def _range(name: str, value: dict[str, Any]) -> Range:
    if unknown := sorted(set(map(str, value)) - {"min", "max", "log"}):
        raise ConfigError(f"{name}: {', '.join(unknown)}; a range has min, max and, if wanted, log: true")
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
    return Range(minimum, maximum, is_log, all(isinstance(bound, int) for bound in bounds))


@dataclasses.dataclass(frozen=True)
class TrialResult:
    """A trial as the tables show it.

    Attributes:
        id: its folder in ``trials``.
        status: ``COMPLETED``, ``FAILED``, ``RUNNING`` or ``INVALID``, as Keras Tuner calls it.
        macro_f1: on validation at tuned thresholds; None without a result.
        values: of the hyperparameters.
        message: why it failed.
    """

    id: str
    status: str
    macro_f1: float | None
    values: dict[str, Any]
    message: str


def table(results: Sequence[TrialResult]) -> list[list[str]]:
    """Trials as rows of text, the first one the header; a column for each field that is searched."""
    names = list(dict.fromkeys(name for result in results for name in result.values))
    rows = [["trial", "macro F1", *(name.partition(".")[2] or name for name in names)]]
    for result in results:
        score = result.status.lower() if result.macro_f1 is None else f"{result.macro_f1:.4f}"
        values = [result.values.get(name, "") for name in names]
        rows.append(
            [result.id, score, *(f"{value:.3g}" if isinstance(value, float) else str(value) for value in values)]
        )
    return rows


class _BudgetSpent(BaseException):
    """Ends a search within a trial, which a later call goes on with: no ``Exception``, which would fail the trial."""


class _Broken(BaseException):
    """Likewise, where data, disk or code fail, which is no fault of a trial: its cause is the error."""


class Search(base_tuner.BaseTuner):
    """Keras Tuner's loop around :func:`mir_tf.training.loop.fit`."""

    def __init__(
        self,
        tuner: str,
        folders: Sequence[Path],
        out: Path,
        space: Space,
        hyperparameters: keras_tuner.HyperParameters,
        trials: int,
        epochs: int,
        seed: int,
    ) -> None:
        common: dict[str, Any] = {
            "objective": OBJECTIVE,
            "seed": seed + 1,  # Keras Tuner takes 0 for none, and draws one
            "hyperparameters": hyperparameters,
            "allow_new_entries": False,
            "max_consecutive_failed_trials": 2**31,  # one more infeasible configuration is no reason to stop
        }
        if tuner == "hyperband":
            oracle = keras_tuner.oracles.HyperbandOracle(max_epochs=epochs, **common)
            oracle.max_trials = trials
        elif tuner == "bayesian":
            oracle = keras_tuner.oracles.BayesianOptimizationOracle(max_trials=trials, **common)
        else:
            oracle = keras_tuner.oracles.RandomSearchOracle(max_trials=trials, **common)
        oracle.verbose = 0
        self._space, self._folders, self._out = space, list(folders), out
        self._epochs = epochs
        self._manifests = {str(folder): read_manifest(folder) for folder in folders}
        try:
            super().__init__(oracle=oracle, directory=str(out), project_name=BOOKS)
        except (ValueError, KeyError, TypeError, AttributeError, RuntimeError, OSError) as error:
            fault = f"{out / BOOKS} cannot be read or written: {error!r}"
            raise TrainingError(f"{fault}. If it is damaged, begin again in another folder: --out") from error

    def run(
        self,
        hours: float | None,
        on_trial: Callable[[Search], None] | None,
        on_epoch: loop.OnEpoch | None,
        on_step: loop.OnStep | None,
    ) -> bool:
        """Runs trials until all are done, and tells whether they are; False where the budget is spent."""
        self._deadline = None if hours is None else time.monotonic() + 3600 * hours
        self._on_trial, self._on_epoch, self._on_step = on_trial, on_epoch, on_step
        try:
            self.search()
        except _BudgetSpent:
            return False
        except _Broken as broken:
            raise (broken.__cause__ or broken) from None
        return True

    def results(self) -> list[TrialResult]:
        """The trials, best first; those without a result last."""
        best = self.oracle.get_best_trials(10**6)
        return [
            TrialResult(
                id=trial.trial_id,
                status=str(trial.status),
                macro_f1=None if trial.score is None else float(trial.score),
                values={name: value for name, value in trial.hyperparameters.values.items() if "/" not in name},
                message=(trial.message or "").strip().rpartition("\n")[2],
            )
            for trial in best
        ]

    def folder(self, trial_id: str) -> Path:
        """Of a trial's run."""
        return self._out / TRIALS / trial_id

    def config(self, values: Mapping[str, Any]) -> tuple[Path, RunConfig]:
        """The data set and the configuration of a trial.

        Raises:
            FailedTrialError: the values do not go together.
        """
        folder = as_path(values.get(summaries.DATA, self._folders[0]))
        front_end = self._manifests[str(folder)].front_end
        epochs = int(values.get("tuner/epochs", self._epochs))
        try:
            config = RunConfig.for_front_end(front_end).merge(self._space.sections(values))
            return folder, config.merge({"train": {"epochs": epochs}})
        except ConfigError as error:
            raise keras_tuner.errors.FailedTrialError(str(error)) from error

    def on_search_begin(self) -> None:
        """Keras Tuner reads its books again only where it finds this file, and writes it after the first trial."""
        self.save()

    def pre_create_trial(self) -> None:
        """Ends the search where its time is over."""
        if self._deadline is not None and time.monotonic() >= self._deadline:
            raise _BudgetSpent

    def run_trial(self, trial: trial_module.Trial) -> dict[str, float]:
        """Trains a trial's configuration, or goes on where it was stopped."""
        values = trial.hyperparameters.values
        data, config = self.config(values)
        out = self.folder(trial.trial_id)
        parent = values.get("tuner/trial_id")

        def on_epoch(epoch: int, row: dict[str, float]) -> None:
            if self._on_epoch:
                self._on_epoch(epoch, row)
            self.pre_create_trial()

        try:
            if parent is not None and not out.exists():  # Hyperband goes on with a run of fewer epochs
                copy = out.with_name(f".unfinished-{out.name}")
                shutil.rmtree(copy, ignore_errors=True)
                shutil.copytree(self.folder(parent), copy, ignore=shutil.ignore_patterns(LOGS_FOLDER))
                copy.rename(out)
            result = loop.fit(data, out, config, on_epoch, self._on_step)
        except (ConfigError, TrainingError, tf.errors.ResourceExhaustedError) as error:
            raise keras_tuner.errors.FailedTrialError(str(error)) from error
        except Exception as error:
            raise _Broken from error
        return {OBJECTIVE.name: result.best_macro_f1}

    def on_trial_end(self, trial: trial_module.Trial) -> None:
        """Keeps the books, the best configuration on disk, and the caller informed."""
        super().on_trial_end(trial)
        if not is_worker():  # a worker knows its own trials alone
            self.write_best()
            if self._on_trial:
                self._on_trial(self)

    def write_best(self) -> None:
        """Writes the best trial's configuration, as ``mir-tf fit --config`` takes it; nothing before there is one."""
        best = next((result for result in self.results() if result.macro_f1 is not None), None)
        if best is None:
            return
        data, config = self.config(best.values)
        sections = {name: fields for name, fields in config.to_dict().items() if name != "front_end"}
        epochs = self.oracle.trials[best.id].hyperparameters.values.get("tuner/epochs", self._epochs)
        score = f"macro F1 {best.macro_f1:.4f} on the validation split of {data}"
        head = f"# Trial {best.id}: {score}, after at most {epochs} epochs.\n"
        write_text(self._out / BEST, head + yaml.safe_dump(sections, sort_keys=False))


def is_worker() -> bool:
    """Whether this process is a worker of a search whose chief is another one, by Keras Tuner's environment."""
    return "KERASTUNER_ORACLE_IP" in os.environ and not is_chief()


def is_chief() -> bool:
    """Whether this process is the chief of a search on several machines, which trains nothing itself."""
    return "KERASTUNER_ORACLE_IP" in os.environ and "chief" in os.environ.get("KERASTUNER_TUNER_ID", "")


def search(
    data: Sequence[str | Path],
    out: str | Path,
    tuner: str = "random",
    trials: int = 20,
    epochs: int = 20,
    hours: float | None = None,
    sections: Mapping[str, Any] | None = None,
    seed: int = 0,
    on_trial: Callable[[Search], None] | None = None,
    on_epoch: loop.OnEpoch | None = None,
    on_step: loop.OnStep | None = None,
) -> tuple[Search, bool]:
    """Searches for the configuration of the best macro F1 on validation, going on where a search was stopped.

    ``out`` receives a run a trial in ``trials``, Keras Tuner's books in ``search``, and ``best.yaml``.

    Args:
        data: folders of data sets of the same songs; which one, and so which front end, is searched too.
        out: local folder of the search; made if need be.
        tuner: one of :data:`TUNERS`.
        trials: at most.
        epochs: of a trial, at most; ``hyperband`` gives most trials fewer.
        hours: after which the search stops, within a trial if need be; None never.
        sections: narrow the default space, see :meth:`Space.of`.
        seed: of the choices.
        on_trial: called after each trial.
        on_epoch: as :func:`mir_tf.training.loop.fit` takes it.
        on_step: likewise.

    Returns:
        The search, and whether it is through.

    Raises:
        ConfigError: the space or a setting is wrong.
        DataError: a data set is missing or damaged.
        TrainingError: ``out`` holds another search.
    """
    if tuner not in TUNERS:
        raise ConfigError(f"tuner is {tuner!r}; it must be one of {', '.join(TUNERS)}")
    for name, value in {"trials": trials, "epochs": epochs}.items():
        if value < 1:
            raise ConfigError(f"{name} is {value}; it must be at least 1")
    if not 0 <= seed <= MAX_SEED:
        raise ConfigError(f"seed is {seed}; it must be between 0 and {MAX_SEED}")
    folders, out = [as_path(folder) for folder in data], Path(out)
    space = Space.of(sections or {})
    hyperparameters = space.hyperparameters(folders)
    _same_search(out, {"data": list(map(str, folders)), "tuner": tuner, "epochs": epochs, "seed": seed, "space": space})
    found = Search(tuner, folders, out, space, hyperparameters, trials, epochs, seed)
    _write_experiment(out / TRIALS, space, folders)
    through = found.run(hours, on_trial, on_epoch, on_step)
    if is_chief():
        found.write_best()
    return found, through


def _same_search(out: Path, settings: dict[str, Any]) -> None:
    """Refuses a folder in which another search stands."""
    settings = {**settings, "space": dataclasses.asdict(settings["space"])}
    text = json.dumps(settings, indent=1, sort_keys=True) + "\n"
    path = out / SETTINGS
    if path.is_file():
        try:
            earlier, now = dict(json.loads(path.read_text(encoding="utf-8"))), json.loads(text)
        except (OSError, ValueError, TypeError) as error:
            raise TrainingError(f"{path} cannot be read: {error}. Remove it to go on, or use another folder") from error
        if differing := [name for name in now if earlier.get(name) != now[name]]:
            told = "; ".join(f"{name}: {earlier.get(name)!r} there, {now[name]!r} now" for name in differing)
            raise TrainingError(
                f"{out} holds a search that differs: {told}. Use its settings to go on with it, or another folder"
            )
        return
    out.mkdir(parents=True, exist_ok=True)
    write_text(path, text)


def _write_experiment(folder: Path, space: Space, data: Sequence[Path]) -> None:
    """What TensorBoard's HParams page shows of all trials."""
    choices = {summaries.DATA: [str(folder) for folder in data]} if len(data) > 1 else {}
    choices |= {name: _shown(values) for name, values in space.choices.items()}
    domains: dict[str, Any] = {name: hparams.Discrete(values) for name, values in choices.items()}
    domains |= {
        name: (hparams.IntInterval if bounds.is_whole else hparams.RealInterval)(bounds.minimum, bounds.maximum)
        for name, bounds in space.ranges.items()
    }
    with tf.summary.create_file_writer(str(folder)).as_default():
        hparams.hparams_config(
            hparams=[hparams.HParam(name, domain) for name, domain in domains.items()],
            metrics=[hparams.Metric(tag, display_name=name) for tag, name in summaries.METRICS.items()],
        )
