"""Settings of training runs that take seconds, and the comparison of two runs."""

import csv
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from helpers.tiny_data import CONFIG

from mir_tf import bundle
from mir_tf.bundle.history import CHECKPOINT_FILE, HISTORY_FILE

CNN = CONFIG.merge({"model": {"architecture": "cnn"}})
"""Builds in half the time of the CRNN; for tests that do not depend on the architecture."""

SPLITS = {"train": [[30, 50, 15], [25, 60]], "validation": [[35, 60]]}


class Killed(Exception):
    """Raised in place of a signal that ends the process; test_a_process_killed_... sends one."""


def without_seconds(history: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the rows of a history without the time that each epoch took."""
    return [{name: value for name, value in row.items() if name != "seconds"} for row in history]


def read_history(out: Path) -> list[dict[str, Any]]:
    """Read the history of the run in ``out``, without the time that each epoch took."""
    with (out / HISTORY_FILE).open(newline="") as file:
        return without_seconds({name: float(value) for name, value in row.items()} for row in csv.DictReader(file))


def variables(out: Path) -> list[np.ndarray]:
    """Return all variables in the checkpoint of the run in ``out``."""
    with np.load(out / CHECKPOINT_FILE) as content:
        return [content[str(index)] for index in range(len(content.files) - 1)]


def assert_same_run(out: Path, other: Path) -> None:
    """Assert that histories, weights, optimizer states and bundles of two runs are equal to the last bit."""
    assert read_history(out) == read_history(other)
    for mine, theirs in zip(variables(out), variables(other), strict=True):
        np.testing.assert_array_equal(mine, theirs)
    mine, theirs = bundle.load(out), bundle.load(other)
    np.testing.assert_array_equal(mine.thresholds, theirs.thresholds)
    assert mine.post_processing == theirs.post_processing
    assert mine.confidence == theirs.confidence
    for weight, other_weight in zip(mine.model.get_weights(), theirs.model.get_weights(), strict=True):
        np.testing.assert_array_equal(weight, other_weight)
