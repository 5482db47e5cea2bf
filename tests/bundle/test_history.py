"""The history of a run: written, read, missing and damaged."""

from pathlib import Path

import pytest

from mir_tf.bundle.history import HISTORY_COLUMNS, read_history, write_history
from mir_tf.errors import DataError

ROWS = [
    {name: 0.1 * epoch + place for place, name in enumerate(HISTORY_COLUMNS)} | {"epoch": epoch} for epoch in (1, 2)
]


def test_a_history_comes_back(tmp_path: Path) -> None:
    write_history(tmp_path / "history.csv", ROWS)
    assert read_history(tmp_path / "history.csv") == ROWS
    assert [path.name for path in tmp_path.iterdir()] == ["history.csv"]


def test_a_model_that_was_not_trained_here_has_no_history(tmp_path: Path) -> None:
    assert read_history(tmp_path / "none.csv") == []


@pytest.mark.parametrize(
    ("content", "cause"),
    [
        ("", "no column epoch, learning_rate, loss"),
        (",".join(HISTORY_COLUMNS), "no epoch"),
        (",".join(HISTORY_COLUMNS) + "\n1,2,3", "line 2 must have as many values"),
        (",".join(HISTORY_COLUMNS) + "\n1,2,3,4,5,6,7,8", "line 2 must have as many values"),
        (",".join(HISTORY_COLUMNS) + "\n1,2,3,4,5,6,x", "could not convert"),
        (",".join(HISTORY_COLUMNS[1:]) + "\n1,2,3,4,5,6", "no column epoch"),
    ],
)
def test_a_damaged_history_is_named(tmp_path: Path, content: str, cause: str) -> None:
    (tmp_path / "history.csv").write_text(content)
    with pytest.raises(DataError, match=rf"history\.csv: damaged: .*{cause}") as error:
        read_history(tmp_path / "history.csv")
    assert "run mir-tf fit with the same command again, or remove it" in str(error.value)
