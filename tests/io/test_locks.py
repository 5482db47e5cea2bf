"""Locks between processes: they name their holder, end with it, and leave no file behind."""

import concurrent.futures
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from mir_tf.errors import InUseError, MirTfWarning
from mir_tf.io import locks
from mir_tf.io.files import atomic_write, write_text

HOLD = """
import sys, time
from pathlib import Path
from mir_tf.io import locks
with locks.exclusive(Path(sys.argv[1]), sys.argv[2] or None):
    print("held", flush=True)
    time.sleep(60)
"""


def start(folder: Path, name: str = "") -> subprocess.Popen[str]:
    """Start a process that has a lock for a minute, and wait until it has it."""
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(folder), name], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


@pytest.fixture
def holder(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """Start a process that has the lock on ``run``."""
    with start(tmp_path / "run") as process:
        yield process
        process.kill()


def test_a_second_process_is_refused_and_told_who_writes(tmp_path: Path, holder: subprocess.Popen[str]) -> None:
    with pytest.raises(InUseError) as refusal, locks.exclusive(tmp_path / "run"):
        pass
    message = str(refusal.value)
    for part in (f"{tmp_path / 'run'}: another process", f"process {holder.pid} on {os.uname().nodename}, since 20"):
        assert part in message
    (tmp_path / "link").symlink_to("run")
    with pytest.raises(InUseError), locks.exclusive(tmp_path / "link"):
        pass


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_lock_ends_with_its_process(tmp_path: Path, holder: subprocess.Popen[str], number: int) -> None:
    holder.send_signal(number)
    holder.wait()
    assert all(map(locks.is_lock, (tmp_path / "run").iterdir())), "what a killed process leaves is hidden and known"
    with locks.exclusive(tmp_path / "run"):
        pass
    assert not list((tmp_path / "run").iterdir())


def test_parts_of_a_folder_have_locks_of_their_own(tmp_path: Path) -> None:
    with start(tmp_path, "a.csv") as process:
        with locks.exclusive(tmp_path, "b.csv"):
            pass
        with pytest.raises(InUseError, match=r"a\.csv"), locks.exclusive(tmp_path, "a.csv"):
            pass
        process.kill()


def test_one_thread_may_lock_a_folder_twice_and_a_failure_leaves_nothing(tmp_path: Path) -> None:
    with locks.exclusive(tmp_path / "a" / "b"), locks.exclusive(tmp_path / "a" / "b"):
        assert len(list((tmp_path / "a" / "b").iterdir())) == 1
    assert not list((tmp_path / "a" / "b").iterdir())
    with pytest.raises(ZeroDivisionError), locks.exclusive(tmp_path / "c" / "d"):
        raise ZeroDivisionError
    assert not (tmp_path / "c").exists()


def test_a_forked_process_that_ends_leaves_the_lock_to_its_parent(tmp_path: Path) -> None:
    script = """
import os, sys
from pathlib import Path
from mir_tf.io import locks
with locks.exclusive(Path(sys.argv[1])):
    if not os.fork():
        sys.exit("the child ends")
    os.wait()
    print(len(os.listdir(sys.argv[1])))
"""
    command = [sys.executable, "-c", script, str(tmp_path / "run")]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "1\n"


def test_a_lock_outlives_the_removal_of_an_earlier_folder_of_its_name(tmp_path: Path) -> None:
    with start(tmp_path / "run") as process:
        (tmp_path / "run").rename(tmp_path / "moved")
        with start(tmp_path / "run") as later:
            process.send_signal(signal.SIGINT)
            process.wait()
            with pytest.raises(InUseError, match=f"process {later.pid} "), locks.exclusive(tmp_path / "run"):
                pass
            later.kill()


def test_the_message_quotes_the_beginning_of_a_long_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["mir-tf", "predict", *(f"song{number}.mp3" for number in range(100_000))])
    with locks.exclusive(tmp_path), concurrent.futures.ThreadPoolExecutor(1) as other:
        error = other.submit(locks.exclusive(tmp_path).__enter__).exception()
    assert isinstance(error, InUseError)
    assert "mir-tf predict song0.mp3" in str(error)
    assert len(str(error)) < 1000


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
@pytest.mark.parametrize("is_held", [False, True])
def test_a_lock_that_another_user_left_is_taken_over(tmp_path: Path, is_held: bool) -> None:
    with start(tmp_path) as process:
        if not is_held:
            process.kill()
            process.wait()
        (lock,) = tmp_path.iterdir()
        lock.chmod(0o644)
        for folder in (tmp_path, *tmp_path.parents):
            if folder.stat().st_uid == 0 and not folder.stat().st_mode & 0o001:  # pytest keeps others out
                folder.chmod(0o711)
        tmp_path.chmod(0o777)
        script = (
            "import os, sys; from pathlib import Path; from mir_tf.io import locks\nos.setuid(12345)\n"
            "with locks.exclusive(Path(sys.argv[1])): print(os.stat(next(Path(sys.argv[1]).iterdir())).st_uid)"
        )
        result = subprocess.run([sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True)
        process.kill()
    if is_held:
        assert f"process {process.pid} " in result.stderr
    else:
        assert result.stdout == "12345\n", result.stderr


def test_a_file_system_without_locks_is_used_with_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(descriptor: int, operation: int) -> None:
        raise OSError(37, "No locks available")

    monkeypatch.setattr(locks.fcntl, "flock", fail)
    with pytest.warns(MirTfWarning, match=f"^{tmp_path}: this file system has no locks"), locks.exclusive(tmp_path):
        write_text(tmp_path / "a.txt", "a")
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]


WRITE = """
import json, sys
from pathlib import Path
from mir_tf.io.files import atomic_write
for number in range(200):
    with atomic_write(sys.argv[1]) as temporary:
        temporary.write_text(json.dumps([sys.argv[2]] * 2000))
"""


def test_a_file_that_many_processes_write_is_always_that_of_one(tmp_path: Path) -> None:
    path = tmp_path / "song.json"
    writers = [subprocess.Popen([sys.executable, "-c", WRITE, str(path), str(number)]) for number in range(3)]
    seen = set()
    while any(writer.poll() is None for writer in writers):
        if path.exists():
            content = json.loads(path.read_text())
            assert len(content) == 2000
            assert len(set(content)) == 1
            seen.add(content[0])
        time.sleep(0.001)
    assert [writer.returncode for writer in writers] == [0, 0, 0]
    assert seen
    assert [each.name for each in tmp_path.iterdir()] == ["song.json"]


def test_a_writer_waits_for_the_other_one_and_takes_over_from_a_killed_one(tmp_path: Path) -> None:
    code = "import sys, time\nfrom mir_tf.io.files import atomic_write\nwith atomic_write(sys.argv[1]) as path:\n"
    code += "    path.write_text('half')\n    print('held', flush=True)\n    time.sleep(60)"
    with subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path / "a.txt")], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.kill()
        process.wait()
        with atomic_write(tmp_path / "a.txt") as temporary:
            temporary.write_text("whole")
    assert (tmp_path / "a.txt").read_text() == "whole"
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]
