"""A bad item gives a reason, a killed process an error, and every other item its result."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from mir_tf.errors import DataError
from tfrecords_builder import processes
from tfrecords_builder.midi import read_parts
from tfrecords_builder.processes import Failure


def test_bad_items_stop_nothing(tmp_path: Path) -> None:
    midi = tmp_path / "a.mid"
    with processes.pool(1) as pool:
        numbers = dict(pool.results(int, ["3", "three", "4"]))
        ((_, memory),) = pool.results(bytes, [2**60])
        ((_, read),) = pool.results(read_parts, [midi])
    assert numbers == {"3": 3, "4": 4, "three": Failure("ValueError: invalid literal for int() with base 10: 'three'")}
    assert memory == Failure("MemoryError")
    assert isinstance(read, Failure)
    assert read.reason.startswith(f"{midi}: cannot be read")


def test_items_are_taken_as_workers_need_them() -> None:
    taken = 0

    def items() -> Iterator[int]:
        nonlocal taken
        for number in range(10):
            taken += 1
            yield number

    with processes.pool(1) as pool:
        done = 0
        for number, result in pool.results(str, items()):
            done += 1
            assert result == str(number)
            assert taken <= done + 2
    assert done == 10


def test_a_killed_process_is_a_clear_error() -> None:
    with (
        pytest.raises(DataError, match=r"a worker process was killed, .* 3 workers need up to 1 GB each. Use fewer"),
        processes.pool(3) as pool,
    ):
        list(pool.results(os._exit, [1]))


def test_a_full_disk_stops_all(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), processes.pool(1) as pool:
        list(pool.results(os.mkdir, [tmp_path / "gone" / "away"]))


def test_workers_die_with_their_parent() -> None:
    code = (
        "import time; from tfrecords_builder import processes\n"
        "with processes.pool(1) as pool:\n"
        "    list(pool.results(int, ['1'])); print('ready', flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == b"ready\n"
        parent.kill()
        parent.communicate(timeout=30)  # the worker holds the pipe open as long as it lives
