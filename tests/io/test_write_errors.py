"""Messages about files that cannot be written name the file that the user knows, the reason and the remedy."""

import errno
import os
import pickle
import resource
import sqlite3
import tempfile
from pathlib import Path

import pytest
import tensorflow as tf
from helpers.disks import small_disk

from mir_tf.errors import DataError
from mir_tf.io.files import atomic_write, make_folder, write_bytes, write_text
from mir_tf.io.write_errors import WriteError, describe, explanation, writing

BIG = b"x" * 3_000_000


def test_a_full_disk(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", "1m") as disk:
        write_text(disk / "a.txt", "old")
        with pytest.raises(WriteError) as refusal:
            write_bytes(disk / "a.txt", BIG)
        assert str(refusal.value) == (
            f"{disk / 'a.txt'}: cannot be written: the disk is full (No space left on device); free space, or write to "
            "another disk"
        )
        with (
            pytest.raises(WriteError, match=r"a\.txt: cannot be written: the disk is full"),
            atomic_write(disk / "a.txt") as temporary,
            tf.io.TFRecordWriter(str(temporary)) as file,
        ):
            file.write(BIG)
        assert [path.name for path in disk.iterdir()] == ["a.txt"]
        assert (disk / "a.txt").read_text() == "old"


def test_a_limit_for_the_size_of_files(tmp_path: Path) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
    try:
        with pytest.raises(WriteError, match=r"a\.bin: cannot be written: File too large: .*ulimit -f"):
            write_bytes(tmp_path / "a.bin", BIG)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS])
@pytest.mark.parametrize("kind", [OSError, DataError, sqlite3.OperationalError])
def test_every_shape_of_an_error_becomes_one_message(tmp_path: Path, number: int, kind: type[Exception]) -> None:
    text = os.strerror(number)
    error = OSError(number, text) if kind is OSError else kind(f"cannot write (errno = {number}, '{text}')")
    with pytest.raises(WriteError) as refusal, atomic_write(tmp_path / "song.json"):
        raise error
    message = str(refusal.value)
    assert message.startswith(f"{tmp_path / 'song.json'}: cannot be written: ")
    assert text in message
    assert refusal.value.errno == number
    assert str(pickle.loads(pickle.dumps(refusal.value))) == message, "worker processes send it"


def test_a_full_folder_for_temporary_files_has_another_remedy() -> None:
    with tempfile.TemporaryDirectory() as folder:
        assert "TMPDIR" in explanation(errno.ENOSPC, Path(folder) / "a.wav")


def test_errors_of_other_files_stay_theirs(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), atomic_write(tmp_path / "a.txt"):
        (tmp_path / "input.wav").read_bytes()
    with pytest.raises(OSError, match="Input/output"), atomic_write(tmp_path / "a.txt"):
        raise OSError(errno.EIO, os.strerror(errno.EIO))  # of a file that is read
    with pytest.raises(WriteError, match=f"^{tmp_path / 'out'}: "), writing(tmp_path / "out", tmp_path / "out" / ".x"):
        raise WriteError(errno.ENOSPC, "full", str(tmp_path / "out" / ".x" / "a.bin"))
    assert describe(OSError(errno.ENOSPC, "full", "/data/a.bin")).startswith("/data/a.bin: the disk is full")  # type: ignore[union-attr]
    assert describe(FileNotFoundError(errno.ENOENT, "No such file or directory", "a.wav")) == (
        "a.wav: No such file or directory"
    )


def test_folders_devices_and_pipes_are_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(WriteError, match="is a file, not a folder"):
        make_folder(tmp_path / "file" / "new")
    for name, reason in (("folder", "this is a folder"), ("pipe", "device or a pipe"), ("file/a.txt", "not a folder")):
        with pytest.raises(WriteError, match=f"{name}: cannot be written: .*{reason}"):
            write_text(tmp_path / name, "a")
    with pytest.raises(WriteError, match="/dev/null: cannot be written: this is a device"):
        write_text("/dev/null", "a")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder", "pipe"]


@pytest.mark.parametrize("name", ["x" * 251 + ".png", "歌" * 83 + ".png", "é" * 127, "a." + "b" * 253])
def test_a_name_that_fits_can_be_written(tmp_path: Path, name: str) -> None:
    assert len(os.fsencode(name)) in range(253, 256)
    write_text(tmp_path / name, "a")
    assert [path.name for path in tmp_path.iterdir()] == [name]
    with pytest.raises(WriteError, match=r"File name too long: .* shorten it"):
        write_text(tmp_path / f"{name}.json", "a")
    with pytest.raises(WriteError, match="File name too long"):
        make_folder(tmp_path / f"{name}.json")


def test_long_names_beside_each_other_are_written_apart(tmp_path: Path) -> None:
    with atomic_write(tmp_path / ("x" * 240 + "1")) as one, atomic_write(tmp_path / ("x" * 240 + "2")) as other:
        assert one != other
        one.write_text("1")
        other.write_text("2")
    assert {path.name[-1]: path.read_text() for path in tmp_path.iterdir()} == {"1": "1", "2": "2"}
