"""The state of a run between two epochs: how it is written and read, and whether a run may resume from it."""

from __future__ import annotations

import dataclasses
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from mir_tf import bundle
from mir_tf.config import RunConfig, with_current_names
from mir_tf.errors import TrainingError
from mir_tf.io.archives import NPZ_ERRORS, load_npz
from mir_tf.io.files import atomic_write
from mir_tf.training.schedule import Schedule


@dataclasses.dataclass(frozen=True)
class BestEpoch:
    """The best epoch's bundle without its weights, as JSON stores it.

    Attributes:
        thresholds: Threshold of each class.
        has_positives: Whether each class ever sounds in the validation split.
        post_processing: :meth:`mir_tf.events.PostProcessing.to_dict`.
        confidence: :meth:`mir_tf.confidence.ConfidenceModel.to_dict`; None in a checkpoint of an earlier version.
    """

    thresholds: list[float]
    has_positives: list[bool]
    post_processing: dict[str, list[float]]
    confidence: dict[str, Any] | None = None


@dataclasses.dataclass
class RunState:
    """Everything besides the variables that a resumed run needs, as JSON stores it.

    Attributes:
        config: :meth:`mir_tf.config.RunConfig.to_dict`.
        data: SHA-256 of the data set's manifest.
        schedule: Learning rate and best score.
        init: SHA-256 of the ``model.keras`` that the run starts from, if any.
        history: One row for each finished epoch.
        best: The best epoch; None before the first one.
    """

    config: dict[str, Any]
    data: str
    schedule: Schedule
    init: str | None = None
    history: list[dict[str, float]] = dataclasses.field(default_factory=list)
    best: BestEpoch | None = None

    @property
    def epoch(self) -> int:
        """Number of finished epochs."""
        return len(self.history)


def write_checkpoint(path: Path, state: RunState, variables: Sequence[keras.Variable | tf.Variable]) -> None:
    """Write the state of a run and its variables, replacing the file at ``path``."""
    content = np.frombuffer(json.dumps(dataclasses.asdict(state)).encode(), np.uint8)
    values = {str(index): variable.numpy() for index, variable in enumerate(variables)}
    with atomic_write(path) as temporary, temporary.open("wb") as file:
        np.savez(file, state=content, **values)


def read_checkpoint(path: Path) -> tuple[RunState, list[NDArray[Any]]]:
    """Return the state of a run and the values of its variables.

    Raises:
        TrainingError: The file is damaged.
    """
    try:
        stored_bytes = path.read_bytes()
        arrays = load_npz(io.BytesIO(stored_bytes), len(stored_bytes))
        stored = json.loads(arrays["state"].tobytes())
        values = [arrays[str(index)] for index in range(len(arrays) - 1)]
        # A field that was added later had no effect before, like its default now.
        config = RunConfig.from_dict(stored["config"]).to_dict()
        parts = {
            "config": config,
            "schedule": Schedule(**stored["schedule"]),
            "best": BestEpoch(**with_current_names(stored["best"], bundle.FORMER_BUNDLE_FIELDS)),
        }
        return RunState(**{**stored, **parts}), values
    except NPZ_ERRORS as error:
        raise damaged(path, repr(error)) from error


def check_same_run(out: Path, earlier: RunState, now: RunState) -> None:
    """Refuse to resume with another configuration, data set or initial model; only ``train.epochs`` may change.

    Args:
        out: Folder of the run, for the message.
        earlier: State in the checkpoint.
        now: State of a new run with the arguments given now.

    Raises:
        TrainingError: The runs differ; the message lists the differences.
    """
    differences = [
        f"{section}.{field}: {old!r} there, {now.config[section][field]!r} now"
        for section, fields in earlier.config.items()
        for field, old in fields.items()
        if now.config[section][field] != old and (section, field) != ("train", "epochs")
    ]
    if earlier.data != now.data:
        differences.append("data: another manifest")
    if earlier.init != now.init:
        there, here = (f"weights {digest[:12]}" if digest else "none" for digest in (earlier.init, now.init))
        differences.append(f"model to start from: {there} there, {here} now")
    if differences:
        raise TrainingError(
            f"{out} contains a run that differs: {'; '.join(differences)}. Use its settings to resume it, "
            "or another folder for a new run"
        )


def damaged(path: Path, reason: str) -> TrainingError:
    """Return the error for a checkpoint that cannot be used."""
    return TrainingError(f"{path}: damaged ({reason}); delete its folder to train from the start")
