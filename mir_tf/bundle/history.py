"""The files in a run's folder, and its history: one row of scores for each epoch."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path

from mir_tf.errors import DataError
from mir_tf.io.files import write_text

CHECKPOINT_FILE = "checkpoint.npz"
"""Everything that an interrupted run needs to resume."""

HISTORY_FILE = "history.csv"
"""One row for each epoch, with the columns :data:`HISTORY_COLUMNS`."""

CONFIG_FILE = "config.yaml"
"""The run's configuration without its front end, as ``mir-tf fit --config`` reads it."""

LOGS_FOLDER = "logs"
"""TensorBoard's event files."""

HISTORY_COLUMNS = ("epoch", "loss", "val_loss", "val_macro_f1", "val_micro_f1", "learning_rate", "seconds")
"""Columns of the history: epoch from 1, losses, F1 on validation, learning rate, and duration in seconds."""


def write_history(path: Path, rows: Sequence[Mapping[str, float]]) -> None:
    """Write the history of a run, replacing the file at ``path``."""
    text = io.StringIO()
    table = csv.DictWriter(text, HISTORY_COLUMNS)
    table.writeheader()
    table.writerows(rows)
    write_text(path, text.getvalue())


def read_history(path: Path) -> list[dict[str, float]]:
    """Return the rows of a run's history, or no rows if there is no such file, as for an imported model.

    Raises:
        DataError: The file is damaged.
    """
    if not path.is_file():
        return []
    try:
        table = csv.DictReader(path.read_text(encoding="utf-8").splitlines())
        if missing := set(HISTORY_COLUMNS) - set(table.fieldnames or ()):
            raise ValueError(f"no column {', '.join(sorted(missing))}")
        rows = []
        for row in table:
            if None in row or None in row.values():
                raise ValueError(f"line {table.line_num} must have as many values as the first line has columns")
            rows.append({name: float(value) for name, value in row.items()})
        if not rows:
            raise ValueError("no epoch")
    except (ValueError, csv.Error) as error:
        raise DataError(
            f"{path}: damaged: {error}; run mir-tf fit with the same command again, or remove it"
        ) from error
    return rows
