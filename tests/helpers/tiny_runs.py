"""Tiny training runs, and how two of them are compared."""

import csv

import numpy as np
from helpers.tiny_data import CONFIG

from mir_tf import bundle
from mir_tf.bundle.history import CHECKPOINT_FILE, HISTORY_FILE

CNN = CONFIG.merge({"model": {"architecture": "cnn"}})
"""Is built in half the time, for tests that do not depend on the network."""

SPLITS = {"train": [[30, 50, 15], [25, 60]], "validation": [[35, 60]]}


class Killed(Exception):
    """Simulates the end of a process; test_a_process_killed_... really kills one."""


def without_seconds(history):
    return [{name: value for name, value in row.items() if name != "seconds"} for row in history]


def read_history(out):
    with (out / HISTORY_FILE).open(newline="") as file:
        return without_seconds({name: float(value) for name, value in row.items()} for row in csv.DictReader(file))


def variables(out):
    with np.load(out / CHECKPOINT_FILE) as content:
        return [content[str(index)] for index in range(len(content.files) - 1)]


def assert_same_run(out, other):
    """Check that histories, weights, optimizers and bundles are equal to the last bit."""
    assert read_history(out) == read_history(other)
    for mine, theirs in zip(variables(out), variables(other), strict=True):
        np.testing.assert_array_equal(mine, theirs)
    mine, theirs = bundle.load(out), bundle.load(other)
    np.testing.assert_array_equal(mine.thresholds, theirs.thresholds)
    assert mine.post_processing == theirs.post_processing
    for weight, other_weight in zip(mine.model.get_weights(), theirs.model.get_weights(), strict=True):
        np.testing.assert_array_equal(weight, other_weight)
