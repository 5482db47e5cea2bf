"""The record of written files: it survives, is shared, and may be lost without stopping any work."""

import os
import sqlite3
import subprocess
import sys
import time
import zlib
from collections.abc import Iterator
from pathlib import Path

import platformdirs
import pytest

from mir_tf.errors import FileSystemError
from mir_tf.inference import ledger
from mir_tf.inference.ledger import CACHE_VARIABLE, Ledger, cache_folder
from mir_tf.io.files import as_path

STAMP = ["model", "/music/é.wav", 12, 1.25]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the cache folder of this test, which does not exist yet."""
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def book() -> Iterator[Ledger]:
    found = Ledger()
    yield found
    found.close()


def reopened(book: Ledger) -> Ledger:
    book.close()
    return Ledger()


def database(cache: Path) -> Path:
    (path,) = cache.iterdir()
    return path


def test_what_is_written_is_known_to_the_next_command(book: Ledger, tmp_path: Path) -> None:
    output, table = tmp_path / "a.csv", tmp_path / "songs.csv"
    book.begin(output, "f00d")
    assert not book.is_finished(output, STAMP)
    book.finish(output, STAMP)
    book.finish(table, STAMP, "é.wav", {"summary": ["é", 0.1]})
    book.finish(table, ["other"], "b.wav", 1)
    book = reopened(book)
    assert book.problem is None
    assert book.has_written(output, "f00d")
    assert not book.has_written(output, "f00e")
    assert not book.has_written(tmp_path / "b.csv", "f00d")
    assert book.is_finished(output, STAMP)
    assert not book.is_finished(output, [*STAMP[:-1], 1.5])
    assert not book.is_finished(table, STAMP)
    assert book.content(table, STAMP, "é.wav") == {"summary": ["é", 0.1]}
    book.finish(output, ["newer"])
    assert (book.is_finished(output, STAMP), book.is_finished(output, ["newer"])) == (False, True)
    with pytest.raises(FileSystemError, match=r"songs\.csv: another command writes this file"):
        book.content(table, ["newer"], "b.wav")
    book.close()


@pytest.mark.parametrize("packed", [b"", b"no zlib", zlib.compress(b"{"), zlib.compress(b"[" * 100_000), None])
def test_damaged_content_is_named(book: Ledger, cache: Path, tmp_path: Path, packed: bytes | None) -> None:
    table = tmp_path / "songs.csv"
    book.finish(table, STAMP, "a.wav", 1)
    with sqlite3.connect(database(cache)) as connection:
        connection.execute("UPDATE stamps SET content = ?", (5 if packed is None else packed,))
    connection.close()
    with pytest.raises(FileSystemError, match=r"songs\.csv: what was recorded .* is damaged; remove that file"):
        book.content(table, STAMP, "a.wav")


def test_an_output_is_known_by_each_of_its_paths(book: Ledger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "music" / "album").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "music")
    book.finish(Path("album/a.csv"), STAMP)
    for path in (tmp_path / "music/album/a.csv", Path("album/../album/a.csv"), Path("./album/a.csv")):
        assert book.is_finished(path, STAMP), path
    monkeypatch.chdir(tmp_path)
    assert not book.is_finished(Path("album/a.csv"), STAMP)
    if os.name != "nt":
        (tmp_path / "link").symlink_to(tmp_path / "music")
        assert book.is_finished(Path("link/album/a.csv"), STAMP)
        strange = Path(os.fsdecode(b"caf\xe9.csv"))
        book.finish(strange, STAMP, str(strange))
        assert book.is_finished(strange, STAMP, str(strange))


def test_remote_outputs_are_known(book: Ledger) -> None:
    book.finish(as_path("s3://bucket/out/a.csv"), STAMP)
    book = reopened(book)
    assert book.is_finished(as_path("s3://bucket/out/a.csv"), STAMP)
    assert not book.is_finished(Path("s3:/bucket/out/a.csv"), STAMP)
    book.close()


_WRITER = """
import sys
from pathlib import Path
from mir_tf.inference.ledger import Ledger
book = Ledger()
for number in range(40):
    output = Path(sys.argv[1], f"{number}.csv")
    book.begin(output, sys.argv[2])
    book.finish(output, sys.argv[2], sys.argv[2], "x" * 1000)
assert book.problem is None, book.problem
"""


def test_commands_at_once_lose_nothing(book: Ledger, tmp_path: Path) -> None:
    writers = [subprocess.Popen([sys.executable, "-c", _WRITER, tmp_path, name]) for name in "abc"]
    assert [writer.wait(timeout=120) for writer in writers] == [0, 0, 0]
    for number in range(40):
        for name in "abc":
            assert book.has_written(tmp_path / f"{number}.csv", name)
            assert book.is_finished(tmp_path / f"{number}.csv", name, name)


def test_entries_go_when_their_output_is_gone_for_a_month(
    book: Ledger, tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, gone, away = tmp_path / "here.csv", tmp_path / "gone.csv", as_path("s3://bucket/away.csv")
    here.touch()
    for path in (here, gone, away):
        book.begin(path, "f00d")
        book.finish(path, STAMP)
    book = reopened(book)
    assert book.is_finished(gone, STAMP)
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 31 * 86400)
    book = reopened(book)
    for path in (here, gone, away):
        assert book.is_finished(path, STAMP) == book.has_written(path, "f00d") == (path != gone)
    book.close()
    with sqlite3.connect(database(cache)) as found:
        assert found.execute("SELECT count(*), min(checked) FROM outputs").fetchone() == (2, now + 31 * 86400)
    found.close()


@pytest.mark.parametrize("content", [b"", b"not a database" * 1000])
def test_a_damaged_database_is_replaced(cache: Path, tmp_path: Path, content: bytes) -> None:
    book = Ledger()
    book.finish(tmp_path / "a.csv", STAMP)
    book.close()
    database(cache).write_bytes(content)
    book = Ledger()
    assert not book.is_finished(tmp_path / "a.csv", STAMP)
    book.finish(tmp_path / "a.csv", STAMP)
    book = reopened(book)
    assert (book.is_finished(tmp_path / "a.csv", STAMP), book.problem) == (True, None)
    book.close()


def check_works_for_itself(book: Ledger, tmp_path: Path) -> None:
    """Check that a ledger without a database works as long as it is open."""
    book.begin(tmp_path / "b.csv", "f00d")
    book.finish(tmp_path / "b.csv", STAMP, content=[1])
    assert book.is_finished(tmp_path / "b.csv", STAMP)
    assert book.has_written(tmp_path / "b.csv", "f00d")
    assert book.content(tmp_path / "b.csv", STAMP) == [1]


def test_without_a_cache_folder_it_works_for_itself(book: Ledger, cache: Path, tmp_path: Path) -> None:
    cache.write_text("a file in the way")
    check_works_for_itself(book, tmp_path)
    assert str(cache) in str(book.problem)
    book = reopened(book)
    assert not book.is_finished(tmp_path / "b.csv", STAMP)
    book.close()


def test_a_database_that_cannot_be_written_is_read(book: Ledger, tmp_path: Path) -> None:
    book.finish(tmp_path / "a.csv", STAMP)
    book._database.execute("PRAGMA query_only = 1")  # as on a full disk, or in a folder that has become read-only
    assert book.is_finished(tmp_path / "a.csv", STAMP)
    assert book.problem is None
    check_works_for_itself(book, tmp_path)
    assert "readonly" in str(book.problem)
    assert book.is_finished(tmp_path / "a.csv", STAMP)


def test_a_database_that_is_locked_for_too_long_is_given_up(
    book: Ledger, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger, "_WAIT_SECONDS", 0.1)
    book.finish(tmp_path / "a.csv", STAMP)
    other = sqlite3.connect(database(cache), isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    check_works_for_itself(book, tmp_path)
    other.close()
    assert "locked" in str(book.problem)


def test_the_cache_lies_where_the_system_has_caches(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv(CACHE_VARIABLE)
    assert cache_folder() == platformdirs.user_cache_path("mir-tf", appauthor=False)
    if sys.platform.startswith("linux"):
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
        assert cache_folder() == tmp_path / "mir-tf"
    monkeypatch.setattr(platformdirs, "user_cache_path", lambda *_, **__: Path("~/.cache/mir-tf"))
    with pytest.raises(OSError, match="no home folder"):
        cache_folder()


def test_it_is_only_opened_when_it_is_used(book: Ledger, cache: Path) -> None:
    book.close()
    assert not cache.exists()
    assert not book.is_finished(Path("a.csv"), STAMP)
    assert cache.exists()
