"""Hyperparameter search with Keras Tuner.

Every trial is a run of :func:`mir_tf.training.loop.fit` in its own folder: it can be resumed, and it leaves the same
files as ``mir-tf fit``. Keras Tuner chooses the configurations and records the results, on one machine or, with its
chief and workers, on several.
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
from keras_tuner.src.engine import stateful
from tensorboard.plugins.hparams import api as hparams

from mir_tf.bundle.history import LOGS_FOLDER
from mir_tf.config import RunConfig
from mir_tf.data.manifest import read_manifest
from mir_tf.errors import ConfigError, TrainingError
from mir_tf.experiments.search_space import SearchSpace
from mir_tf.io import locks, stored_json
from mir_tf.io.files import as_path, make_folder, write_text
from mir_tf.io.write_errors import writing
from mir_tf.training import loop, summaries

TUNERS = ("random", "hyperband", "bayesian")
MAX_SEED = 2**32 - 2
BEST = "best.yaml"
"""The file with the best trial's configuration."""
SETTINGS = "search.json"
"""The file with the settings of the search, by which a second call recognises it."""
KERAS_TUNER_FOLDER = "search"
"""The folder of Keras Tuner's own files."""
TRIALS = "trials"
"""The folder of the trials."""
OBJECTIVE = keras_tuner.Objective("macro_f1", "max")


@dataclasses.dataclass(frozen=True)
class TrialResult:
    """The result of a trial.

    Attributes:
        id: Name of its folder in ``trials``.
        status: ``COMPLETED``, ``FAILED``, ``RUNNING`` or ``INVALID``, as Keras Tuner calls it.
        macro_f1: Macro F1 on validation at tuned thresholds; None without a result.
        values: Values of the hyperparameters that its network has.
        message: Reason of a failure, else empty.
    """

    id: str
    status: str
    macro_f1: float | None
    values: dict[str, Any]
    message: str


def table(results: Sequence[TrialResult]) -> list[list[str]]:
    """Return trials as rows of text with a header.

    Each searched field that a network of the trials has is a column, empty for the networks that lack it.
    """
    names = list(dict.fromkeys(name for result in results for name in result.values))
    rows = [["trial", "macro F1", *(name.partition(".")[2] or name for name in names)]]
    for result in results:
        score = result.status.lower() if result.macro_f1 is None else f"{result.macro_f1:.4f}"
        values = [result.values.get(name, "") for name in names]
        rows.append(
            [result.id, score, *(f"{value:.3g}" if isinstance(value, float) else str(value) for value in values)]
        )
    return rows


def _save(saved: stateful.Stateful, path: str) -> str:
    """Save the state of a search or of a trial so that its file is always whole."""
    text = json.dumps(saved.get_state())
    write_text(path, text)
    return text


# Keras Tuner writes in place: a kill or a full disk would leave half a file, and the search could not be resumed.
stateful.Stateful.save = _save


class _BudgetSpent(BaseException):
    """Raised to end a search within a trial, which a later call resumes.

    It is not an ``Exception``, because Keras Tuner would mark the trial as failed.
    """


class _Interrupted(BaseException):
    """Raised like :class:`_BudgetSpent` if data, disk or code fail, which is not the trial's fault.

    Its cause is the error.
    """


class Search(base_tuner.BaseTuner):
    """Keras Tuner's loop around :func:`mir_tf.training.loop.fit`."""

    def __init__(
        self,
        tuner: str,
        folders: Sequence[Path],
        out: Path,
        space: SearchSpace,
        hyperparameters: keras_tuner.HyperParameters,
        trials: int,
        epochs: int,
        seed: int,
    ) -> None:
        common: dict[str, Any] = {
            "objective": OBJECTIVE,
            "seed": seed + 1,  # Keras Tuner takes 0 as no seed, and draws one
            "hyperparameters": hyperparameters,
            "allow_new_entries": False,
            "max_consecutive_failed_trials": 2**31,  # invalid configurations must not end the search
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
            super().__init__(oracle=oracle, directory=str(out), project_name=KERAS_TUNER_FOLDER)
        except (ValueError, KeyError, TypeError, AttributeError, RuntimeError, OSError) as error:
            problem = f"{out / KERAS_TUNER_FOLDER} cannot be read or written: {error!r}"
            raise TrainingError(f"{problem}. If it is damaged, start again in another folder (--out)") from error

    def run(
        self,
        hours: float | None,
        on_trial: Callable[[Search], None] | None,
        on_epoch: loop.OnEpoch | None,
        on_step: loop.OnStep | None,
    ) -> bool:
        """Run trials until all are done or the time is up; return whether all are done."""
        self._deadline = None if hours is None else time.monotonic() + 3600 * hours
        self._on_trial, self._on_epoch, self._on_step = on_trial, on_epoch, on_step
        try:
            with writing(self._out):
                self.search()
        except _BudgetSpent:
            return False
        except _Interrupted as interruption:
            raise (interruption.__cause__ or interruption) from None
        return True

    def results(self) -> list[TrialResult]:
        """Return the trials, best first; those without a result come last."""
        best = self.oracle.get_best_trials(10**6)
        return [
            TrialResult(
                id=trial.trial_id,
                status=str(trial.status),
                macro_f1=None if trial.score is None else float(trial.score),
                values=self._space.used(
                    {name: value for name, value in trial.hyperparameters.values.items() if "/" not in name}
                ),
                message=(trial.message or "").strip().rpartition("\n")[2],
            )
            for trial in best
        ]

    def folder(self, trial_id: str) -> Path:
        """Return the folder of a trial's run."""
        return self._out / TRIALS / trial_id

    def config(self, values: Mapping[str, Any]) -> tuple[Path, RunConfig]:
        """Return the data set and the configuration of a trial.

        Raises:
            FailedTrialError: The values are invalid together.
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
        """Save the state before the first trial: Keras Tuner resumes only if its file exists."""
        self.save()

    def pre_create_trial(self) -> None:
        """End the search if its time is up."""
        if self._deadline is not None and time.monotonic() >= self._deadline:
            raise _BudgetSpent

    def run_trial(self, trial: trial_module.Trial) -> dict[str, float]:
        """Train a trial, or resume it."""
        values = trial.hyperparameters.values
        data, config = self.config(values)
        out = self.folder(trial.trial_id)
        parent = values.get("tuner/trial_id")

        def on_epoch(epoch: int, row: dict[str, float]) -> None:
            if self._on_epoch:
                self._on_epoch(epoch, row)
            self.pre_create_trial()

        try:
            if parent is not None and not out.exists():  # Hyperband continues a run with more epochs
                copy = out.with_name(f".unfinished-{out.name}")
                shutil.rmtree(copy, ignore_errors=True)
                with writing(out, copy):
                    shutil.copytree(self.folder(parent), copy, ignore=shutil.ignore_patterns(LOGS_FOLDER))
                    copy.rename(out)
            result = loop.fit(data, out, config, on_epoch, self._on_step)
        except (ConfigError, TrainingError, tf.errors.ResourceExhaustedError) as error:
            raise keras_tuner.errors.FailedTrialError(str(error)) from error
        except Exception as error:
            raise _Interrupted from error
        return {OBJECTIVE.name: result.best_macro_f1}

    def on_trial_end(self, trial: trial_module.Trial) -> None:
        """Record the result, write the best configuration, and call ``on_trial``."""
        super().on_trial_end(trial)
        if not is_worker():  # a worker knows only its own trials
            self.write_best()
            if self._on_trial:
                self._on_trial(self)

    def write_best(self) -> None:
        """Write the best trial's configuration for ``mir-tf fit --config``, if a trial has a result."""
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
    """Return whether Keras Tuner's environment variables make this process a worker with a chief elsewhere."""
    return "KERASTUNER_ORACLE_IP" in os.environ and not is_chief()


def is_chief() -> bool:
    """Return whether this process is the chief of a search on several machines, which does not train itself."""
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
    """Search for the configuration with the best macro F1 on validation, or resume a search.

    ``out`` receives a run for each trial in ``trials``, Keras Tuner's files in ``search``, and ``best.yaml``.

    Args:
        data: Folders of data sets of the same songs. If there are several, the search chooses among them, and so among
            their front ends.
        out: Local folder of the search; created if needed.
        tuner: One of :data:`TUNERS`.
        trials: Maximum number of trials.
        epochs: Maximum number of epochs per trial; ``hyperband`` gives most trials fewer.
        hours: Time in hours after which the search stops, within a trial if needed; None for no limit.
        sections: Sections that narrow the default space, see :meth:`SearchSpace.of`.
        seed: Seed for the choice of trials.
        on_trial: Called after each trial.
        on_epoch: Called after each epoch, as in :func:`mir_tf.training.loop.fit`.
        on_step: Called after each step, likewise.

    Returns:
        The search, and whether it is complete.

    Raises:
        ConfigError: The space or a setting is wrong.
        DataError: A data set is missing or damaged.
        TrainingError: ``out`` contains another search.
    """
    if tuner not in TUNERS:
        raise ConfigError(f"tuner is {tuner!r}; it must be one of {', '.join(TUNERS)}")
    for name, value in {"trials": trials, "epochs": epochs}.items():
        if value < 1:
            raise ConfigError(f"{name} is {value}; it must be at least 1")
    if not 0 <= seed <= MAX_SEED:
        raise ConfigError(f"seed is {seed}; it must be between 0 and {MAX_SEED}")
    folders, out = [as_path(folder) for folder in data], Path(out)
    space = SearchSpace.of(sections or {})
    hyperparameters = space.hyperparameters(folders)
    for folder in folders:
        read_manifest(folder)  # a data set that is missing or damaged must not leave settings that refuse another one
    settings = {"data": list(map(str, folders)), "tuner": tuner, "epochs": epochs, "seed": seed}
    # The processes of a search on several machines share the folder.
    with contextlib.nullcontext() if is_worker() or is_chief() else locks.exclusive(out):
        _check_same_search(out, {**settings, "space": dataclasses.asdict(space)})
        found = Search(tuner, folders, out, space, hyperparameters, trials, epochs, seed)
        _write_experiment(out / TRIALS, space, folders)
        is_complete = found.run(hours, on_trial, on_epoch, on_step)
        if is_chief():
            found.write_best()
    return found, is_complete


def _check_same_search(out: Path, settings: dict[str, Any]) -> None:
    """Write the settings of a search, or refuse a folder with a search that has others."""
    text = json.dumps(settings, indent=1, sort_keys=True) + "\n"
    path = out / SETTINGS
    if path.is_file():
        try:
            earlier, now = stored_json.parse_object(path.read_bytes()), json.loads(text)
        except (OSError, ValueError) as error:
            raise TrainingError(
                f"{path} cannot be read: {error}. Remove it to continue, or use another folder"
            ) from error
        if differing := [name for name in now if earlier.get(name) != now[name]]:
            differences = "; ".join(f"{name}: {earlier.get(name)!r} there, {now[name]!r} now" for name in differing)
            raise TrainingError(
                f"{out} contains a different search: {differences}. Use its settings to resume it, or another folder"
            )
        return
    make_folder(out)
    write_text(path, text)


def _write_experiment(folder: Path, space: SearchSpace, data: Sequence[Path]) -> None:
    """Write the columns of TensorBoard's HParams page for all trials."""
    domains: dict[str, Any] = {name: hparams.Discrete(values) for name, values in space.displayed_choices(data).items()}
    domains |= {
        name: (hparams.IntInterval if bounds.is_whole else hparams.RealInterval)(bounds.minimum, bounds.maximum)
        for name, bounds in space.ranges.items()
    }
    with writing(folder), tf.summary.create_file_writer(str(folder)).as_default():
        hparams.hparams_config(
            hparams=[hparams.HParam(name, domain) for name, domain in domains.items()],
            metrics=[hparams.Metric(tag, display_name=name) for tag, name in summaries.METRICS.items()],
        )
