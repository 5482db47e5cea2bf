"""A bad item gets a reason, a killed process an error, and all else its result."""

import os
from pathlib import Path

import pytest

from mir_tf.errors import DataError
from tfrecords_builder import processes
from tfrecords_builder.midi import read_parts
from tfrecords_builder.processes import Failure


def test_bad_items_stop_nothing(tmp_path: Path) -> None:
    midi = tmp_path / "a.mid"
    with processes.pool(1) as pool:
        work = {
            "good": pool.submit(int, "3"),
            "value": pool.submit(int, "three"),
            "memory": pool.submit(bytes, 2**60),
            "midi": pool.submit(read_parts, midi),
            "last": pool.submit(int, "4"),
        }
        results = dict(processes.finished({future: item for item, future in work.items()}))
    assert (results["good"], results["last"]) == (3, 4)
    assert results["value"] == Failure("ValueError: invalid literal for int() with base 10: 'three'")
    assert results["memory"] == Failure("MemoryError")
    assert isinstance(results["midi"], Failure)
    assert results["midi"].reason.startswith(f"{midi}: cannot be read")


def test_a_killed_process_is_a_clear_error() -> None:
    with (
        pytest.raises(DataError, match=r"a worker process was killed, .* 3 need up to 1 GB each; take fewer"),
        processes.pool(3) as pool,
    ):
        list(processes.finished({pool.submit(os._exit, 1): "item"}))


def test_a_full_disk_stops_all(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), processes.pool(1) as pool:
        list(processes.finished({pool.submit(os.mkdir, tmp_path / "gone" / "away"): "item"}))
