"""Predict folders of recordings: search, skip, write, and report failures."""

import contextlib
import csv
import errno
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click.testing
import numpy as np
import pyarrow.parquet
import pytest
from helpers.commands import failed, run
from helpers.recordings import write_song

from mir_tf.errors import ConfigError
from mir_tf.inference.batch import AudioFile, DurationEstimate, PredictionJob, find
from mir_tf.inference.formats import FILE_FORMATS, TABLE_FORMATS
from mir_tf.inference.ledger import CACHE_VARIABLE, Ledger
from mir_tf.inference.prediction import INTERVAL_COLUMNS


@pytest.fixture
def music(tmp_path: Path) -> Path:
    """Write two songs of one name, one of another, a broken one, other files and hidden ones."""
    folder = tmp_path / "music"
    for name in ("b.wav", "album/b.wav", "album/[a] Å.FLAC"):
        write_song(folder / name)
    (folder / "broken.mp3").write_text("no music\n" * 100)
    (folder / "cover.jpg").write_bytes(b"picture")
    for name in (".hidden.wav", ".cache/c.wav"):
        write_song(folder / name)
    return folder


def names(songs: list[AudioFile]) -> list[str]:
    return [song.place.as_posix() for song in songs]


def test_folders_are_searched_in_order_and_what_is_left_out_is_counted(music: Path) -> None:
    found = find([music])
    assert names(found.songs) == ["music/album/[a] Å.FLAC", "music/album/b.wav", "music/b.wav", "music/broken.mp3"]
    assert (found.hidden, found.others, found.faults) == (2, 1, [])
    assert found.songs[2].size == (music / "b.wav").stat().st_size


def test_files_are_taken_whatever_their_names_and_each_once(music: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(music)
    found = find([Path("cover.jpg"), Path("none.wav"), Path(".hidden.wav"), Path("album"), music, Path("b.wav")])
    expected = ["cover.jpg", "none.wav", ".hidden.wav", "album/[a] Å.FLAC", "album/b.wav", "music/b.wav"]
    assert names(found.songs) == [*expected, "music/broken.mp3"]
    assert names(find([Path()]).songs)[0] == "music/album/[a] Å.FLAC"


def test_answers_are_no_strange_files(model: Path, tmp_path: Path) -> None:
    write_song(tmp_path / "music" / "a.wav")
    (tmp_path / "music" / "notes.txt").touch()
    (tmp_path / "music" / ".mir-tf.jsonl").touch()  # an earlier version wrote such files
    for _ in range(2):
        found = find([tmp_path / "music"])
        assert (found.others, found.hidden) == (1, 0)
        assert run("predict", model, tmp_path / "music", "--format", "json").exit_code == 0
    assert (tmp_path / "music" / "a.wav.json").is_file()


def test_recordings_that_are_not_read_are_failures(model: Path, tmp_path: Path) -> None:
    write_song(tmp_path / "music" / "a.wav")
    for name in ("b.M4A", "empty.mp3"):
        (tmp_path / "music" / name).write_bytes(b"\0\0\0\x20ftypM4A " * (name == "b.M4A"))
    unread, empty = tmp_path / "music" / "b.M4A", tmp_path / "music" / "empty.mp3"
    for audio in (unread, tmp_path / "music"):
        result = run("predict", model, audio)
        assert result.exit_code == 1
        assert f"Error: {unread}: incomplete: its index is missing, as if the recording or download" in result.stderr
    assert f"Error: {empty}: empty file (0 bytes)" in result.stderr


def test_folders_without_audio_are_faults(music: Path) -> None:
    (music / "album" / "notes").mkdir()
    (music / "album" / "notes" / "score.mid").write_bytes(b"MThd")
    found = find([music / "album" / "notes", music])
    assert len(found.songs) == 4
    (fault,) = found.faults
    assert fault.startswith(f"{music / 'album' / 'notes'}: no audio in this folder: no file that ends in .mp3, .m4a")


@pytest.mark.skipif(os.name == "nt", reason="links need rights there")
def test_links_are_followed_but_not_in_circles(music: Path) -> None:
    (music / "album" / "up").symlink_to(music)
    (music / "more").symlink_to(music / "album")
    found = names(find([music]).songs)
    assert [name for name in found if "more" in name] == ["music/more/[a] Å.FLAC", "music/more/b.wav"]
    assert not [name for name in found if "up" in name]


@pytest.mark.skipif(os.name == "nt", reason="links need rights there")
def test_links_to_recordings_that_are_gone_are_recordings(music: Path) -> None:
    """git-annex has such links for missing recordings: each fails with its name when it is read."""
    (music / "album" / "gone.flac").symlink_to(music / "nowhere.flac")
    assert "music/album/gone.flac" in names(find([music]).songs)


@pytest.mark.skipif(os.name == "nt" or os.getuid() == 0, reason="whoever is root may read everything")
def test_a_folder_that_cannot_be_read_is_a_fault(music: Path) -> None:
    (music / "album").chmod(0)
    found = find([music])
    (music / "album").chmod(0o755)
    assert names(found.songs) == ["music/b.wav", "music/broken.mp3"]
    assert found.faults == [f"{music / 'album'}: this folder cannot be read: Permission denied"]


@pytest.mark.skipif(os.name == "nt", reason="links need rights there")
def test_what_cannot_be_looked_at_stops_no_other(model: Path, music: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files in a folder that you may list but not enter, or behind such a link: the system tells nothing about them."""
    (music / "album" / "locked.mp3").touch()
    (music / "album" / "locked").mkdir()

    def stat(path: Path, **options: Any) -> os.stat_result:
        if path.stem == "locked":
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return os.stat(path, **options)

    monkeypatch.setattr(Path, "stat", stat)
    found = find([music, music / "album" / "locked.mp3"])
    assert "music/album/locked.mp3" in names(found.songs)
    assert len(found.songs) == 5
    assert found.others == 2
    result = run("predict", model, music)
    assert result.exit_code == 1
    assert f"Error: {music / 'album' / 'locked.mp3'}: " in result.stderr
    assert "5 recordings: 3 predicted" in result.stderr


def test_time_left_is_judged_by_size_until_a_file_states_its_length() -> None:
    songs = [
        AudioFile(Path(name), Path(name), size, 0) for name, size in (("a.wav", 100), ("b.WAV", 300), ("c.mp3", 50))
    ]
    length = DurationEstimate(songs)
    assert length.total is None
    length.begin(songs[0], 10.0)
    assert length.total == pytest.approx(45.0)  # mp3 is estimated from all files until one is opened
    length.end(songs[0], 10.0)
    length.begin(songs[2], 50.0)
    assert length.total == pytest.approx(10 + 30 + 50)
    length.end(songs[2], 0.0)  # it is broken
    assert length.total == pytest.approx(10 + 30)
    length.begin(songs[1], 20.0)
    length.end(songs[1], 20.0)
    assert length.total == length.processed == 30.0


@pytest.fixture(scope="module")
def model(exported_cnn: Path) -> Path:
    return exported_cnn / "model.float32.tflite"


def written(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def num_answers(result: click.testing.Result) -> int:
    """Return the number of recordings whose answer was printed, with its duration."""
    return len(re.findall(r"^.+, \d+:\d\d\.\d(?::|$)", result.stdout, re.M))


def test_a_folder_is_heard_a_line_each_and_its_tree_is_kept(model: Path, music: Path, tmp_path: Path) -> None:
    for name in ("1.wav", "2.wav"):
        write_song(music / name)
    result = run("predict", model, music, "--out", tmp_path / "out", "--format", "csv,jams", "--format", "csv")
    assert result.exit_code == 1
    assert written(tmp_path / "out") == [
        f"music/{name}.{suffix}"
        for name in ("1.wav", "2.wav", "album/[a] Å.FLAC", "album/b.wav", "b.wav")
        for suffix in ("csv", "jams")
    ]
    assert "\nmusic/album/b.wav, 0:04.0: " in result.stdout
    assert f"Error: {music / 'broken.mp3'}: not audio" in result.stderr
    assert "Skipped 1 file that is not audio.\nSkipped 2 hidden files and folders.\n" in result.stderr
    assert re.search(r"\n6 recordings: 5 predicted \(20 s of audio in \S+ s\), 1 failed\.\n\Z", result.stderr)


def test_every_format_lies_beside_the_recording(model: Path, tmp_path: Path) -> None:
    song = write_song(tmp_path / "song.wav")
    result = run("predict", model, song, "--format", ",".join(FILE_FORMATS))
    assert result.exit_code == 0, result.output
    assert set(written(tmp_path)) == {"song.wav", *(f"song.wav{form.suffix}" for form in FILE_FORMATS.values())}
    for form in FILE_FORMATS.values():
        assert f"Written: {song}{form.suffix}\n" in result.stdout


def test_the_help_names_every_format() -> None:
    text = " ".join(run("predict", "--help").output.split())
    assert f"recording: {', '.join(FILE_FORMATS)}; " in text
    assert ", ".join(f"songs{suffix}" for suffix in TABLE_FORMATS) in text


def change_nothing(song: Path) -> None:
    pass


def change_song(song: Path) -> None:
    write_song(song, 1.5)


def touch_song(song: Path) -> None:
    os.utime(song, (1e9, 1e9))


def remove_answer(song: Path) -> None:
    song.with_name("b.wav.csv").unlink()


@pytest.mark.parametrize(
    ("change", "options", "processed"),
    [
        (change_nothing, (), 0),
        (change_nothing, ("--overwrite",), 2),
        (change_nothing, ("--format", "audacity"), 2),
        (change_song, (), 1),
        (touch_song, (), 1),
        (remove_answer, (), 1),
    ],
)
def test_what_is_done_is_not_done_again(
    model: Path, tmp_path: Path, change: Callable[[Path], None], options: tuple[str, ...], processed: int
) -> None:
    songs = [write_song(tmp_path / "b.wav"), write_song(tmp_path / "c.wav")]
    words = ("predict", model, tmp_path, "--format", "csv")
    assert run(*words).exit_code == 0
    outputs = {song: song.with_name(f"{song.name}.csv") for song in songs}
    outputs[songs[1]].write_text("edited by hand\n")
    change(songs[0])
    result = run(*words, *options)
    assert result.exit_code == 0, result.output
    assert num_answers(result) == processed
    assert result.stderr.splitlines()[-1].startswith("2 recordings: ")
    skipped = f"{2 - processed} skipped because already done (--overwrite redoes them).\n"
    assert result.stderr.endswith(skipped) == (processed < 2)
    with outputs[songs[0]].open(newline="") as file:
        assert next(csv.reader(file)) == list(INTERVAL_COLUMNS)
    assert (outputs[songs[1]].read_text() == "edited by hand\n") == (processed < 2 or "audacity" in options)


def test_files_of_other_origin_are_kept(
    model: Path, exported_cnn: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """People keep references beside recordings under the names of outputs, and edit outputs by hand."""
    song, other = write_song(tmp_path / "b.wav"), write_song(tmp_path / "c.wav")
    reference, output = tmp_path / "b.wav.csv", tmp_path / "c.wav.csv"
    reference.write_text("start,end,instrument\n0,1,Piano\n")
    result = run("predict", model, song, other, "--format", "csv,json")
    assert result.exit_code == 1
    problem = "exists and was not written by mir-tf, or was edited; --overwrite replaces it"
    assert f"Error: {reference}: {problem}\n" in result.stderr
    assert result.stderr.endswith("1 with files of yours, which were kept.\n")
    assert reference.read_text() == "start,end,instrument\n0,1,Piano\n"
    assert written(tmp_path) == ["b.wav", "b.wav.csv", "b.wav.json", "c.wav", "c.wav.csv", "c.wav.json"]
    output.write_text("edited by hand\n")
    for path, exit_code in ((model, 0), (exported_cnn / "run", 1)):
        result = run("predict", path, other, "--format", "csv")
        assert (result.exit_code, result.stdout.count("c.wav, 0:04.0")) == (exit_code, 1)
        assert output.read_text() == "edited by hand\n"
    assert run("predict", model, song, other, "--format", "csv", "--overwrite").exit_code == 0
    for path in (reference, output):
        assert path.read_text().startswith(",".join(INTERVAL_COLUMNS))
    assert run("predict", model, other, "--format", "csv").exit_code == 0
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "lost"))
    before = output.read_text()
    assert "c.wav.csv: exists and was not written by mir-tf" in failed(1, "predict", model, other, "--format", "csv")
    assert output.read_text() == before


def test_what_a_killed_run_has_written_is_its_own(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    song = write_song(tmp_path / "b.wav")

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Ledger, "finish", full)
        assert run("predict", model, song, "--format", "csv").exit_code == 1
    assert (tmp_path / "b.wav.csv").is_file()
    os.utime(tmp_path / "b.wav.csv", (1e9, 1e9))  # a changed time does not make it a foreign file
    result = run("predict", model, song, "--format", "csv")
    assert (result.exit_code, num_answers(result)) == (0, 1)


def test_another_model_hears_again(model: Path, exported_cnn: Path, tmp_path: Path) -> None:
    for name in ("b.wav", "c.wav"):
        write_song(tmp_path / name)
    for path, processed in ((model, 2), (model, 0), (exported_cnn / "run", 2), (exported_cnn / "run", 0)):
        result = run("predict", path, tmp_path, "--format", "csv")
        assert (result.exit_code, num_answers(result)) == (0, processed)


def intervals(path: Path) -> list[tuple[str, float, float, str, str, float, float]]:
    with path.open(newline="", encoding="utf-8") as file:
        header, *rows = csv.reader(file)
    assert tuple(header) == INTERVAL_COLUMNS
    return [(row[0], float(row[1]), float(row[2]), row[3], row[4], float(row[5]), float(row[6])) for row in rows]


def test_all_in_one_holds_every_song_that_can_be_read(model: Path, music: Path, tmp_path: Path) -> None:
    result = run("predict", model, music, "--out", tmp_path / "apart", "--format", "csv")
    apart = [row for name in written(tmp_path / "apart") for row in intervals(tmp_path / "apart" / name)]
    for suffix in TABLE_FORMATS:
        result = run("predict", model, music, "--table", tmp_path / "new" / f"songs{suffix}")
        assert result.exit_code == 1
        assert result.stdout.endswith(f"Written: {tmp_path / 'new' / 'songs'}{suffix} (3 recordings)\n")
        assert re.search(r"4 recordings: 3 predicted \(.*\), 1 failed\.\n\Z", result.stderr)
    assert written(tmp_path / "new") == ["songs.csv", "songs.json", "songs.parquet"]
    assert intervals(tmp_path / "new" / "songs.csv") == apart
    content = json.loads((tmp_path / "new" / "songs.json").read_text("utf-8"))
    assert content["model"]["vocabulary"] == "family"
    assert [song["path"] for song in content["songs"]] == [
        str(music / name) for name in ("album/[a] Å.FLAC", "album/b.wav", "b.wav")
    ]
    assert sum(len(each["intervals"]) for song in content["songs"] for each in song["instruments"]) == len(apart)
    table = pyarrow.parquet.read_table(tmp_path / "new" / "songs.parquet")
    assert json.loads(table.schema.metadata[b"model"]) == content["model"]
    assert [str(kind) for kind in table.schema.types] == ["string", "double", "double", *["string"] * 2, *["float"] * 2]
    rows = [tuple(row.values()) for row in table.to_pylist()]
    assert [row[:5] for row in rows] == [row[:5] for row in apart]
    assert {row[4] for row in rows} == {"detected", "perhaps"}
    np.testing.assert_allclose([row[5:] for row in rows], [row[5:] for row in apart], atol=1e-6)
    assert not list(music.rglob("*.json"))


def test_all_in_one_grows_by_what_is_new(model: Path, tmp_path: Path) -> None:
    write_song(tmp_path / "music" / "a.wav")
    words = ("predict", model, tmp_path / "music", "--table", tmp_path / "songs.csv")
    assert run(*words).exit_code == 0
    first = intervals(tmp_path / "songs.csv")
    write_song(tmp_path / "music" / "b.wav", 2.0)
    (tmp_path / "songs.csv").unlink()  # it was not written yet if the command was interrupted
    result = run(*words)
    assert ", 1 skipped because already done" in result.stderr
    assert (num_answers(result), result.stdout.count("(2 recordings)")) == (1, 1)
    grown = intervals(tmp_path / "songs.csv")
    assert grown[: len(first)] == first
    assert {row[0] for row in grown[len(first) :]} == {str(tmp_path / "music" / "b.wav")}
    assert "2 recordings: 2 skipped because already done" in run(*words).stderr
    assert intervals(tmp_path / "songs.csv") == grown


@pytest.mark.parametrize("suffix", TABLE_FORMATS)
def test_a_table_that_somebody_else_wrote_or_edited_is_kept(model: Path, suffix: str, tmp_path: Path) -> None:
    song, table = write_song(tmp_path / "a.wav"), tmp_path / f"songs{suffix}"
    words = ("predict", model, song, "--table", table)
    table.write_bytes(b"mine")
    message = failed(2, *words)
    assert f"{table}: exists and was not written by mir-tf, or was edited" in message
    assert table.read_bytes() == b"mine"
    assert run(*words, "--overwrite").exit_code == 0
    made = table.read_bytes()
    assert made != b"mine"
    write_song(song, 2.0)
    assert run(*words).exit_code == 0  # its own table may grow
    assert table.read_bytes() != made
    table.write_bytes(made + b" ")
    assert "or was edited" in failed(2, *words)


def test_parquet_is_written_in_parts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("mir_tf.inference.formats._ROWS_AT_ONCE", 2)
    songs = [
        {
            "path": f"{number}.wav",
            "instruments": [
                {
                    "class": "Piano",
                    "group": "perhaps",
                    "confidence": None if number == 3 else 0.25,
                    "intervals": [{"start": 0.5, "end": 1.0, "probability": 0.75}],
                }
            ],
        }
        for number in range(5)
    ]
    TABLE_FORMATS[".parquet"].write(
        tmp_path / "songs.parquet", iter([*songs, {"path": "silent.wav", "instruments": []}]), {}
    )
    file = pyarrow.parquet.ParquetFile(tmp_path / "songs.parquet")
    assert (file.num_row_groups, file.metadata.num_rows) == (3, 5)
    rows = file.read().to_pylist()
    for number, confidence in ((3, None), (4, 0.25)):
        expected = (f"{number}.wav", 0.5, 1.0, "Piano", "perhaps", confidence, 0.75)
        assert rows[number] == dict(zip(INTERVAL_COLUMNS, expected, strict=True))
    TABLE_FORMATS[".parquet"].write(tmp_path / "none.parquet", [], {})
    assert pyarrow.parquet.read_table(tmp_path / "none.parquet").column_names == list(INTERVAL_COLUMNS)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--format", "mp4"), "format 'mp4' is not one of json, csv, jams, audacity, png, svg"),
        (("--format", "parquet"), "it is for all songs together: --table songs.parquet"),
        (("--table", "songs.xlsx"), "songs.xlsx: its suffix is '.xlsx'; it must be one of .csv, .json, .parquet"),
        (("--table", "songs.csv", "--out", "predictions"), "--out needs --format; --table alone writes no file"),
        (("--table", "s3://bucket/songs.csv"), "must be a local path"),
    ],
)
def test_wrong_usage(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: tuple[str, ...], message: str
) -> None:
    song = write_song(tmp_path / "song.wav")
    monkeypatch.chdir(tmp_path)
    result = run("predict", model, song, *options)
    assert result.exit_code == 2
    assert message in " ".join(result.output.split())
    assert written(tmp_path) == ["song.wav"]


def test_nothing_to_hear_is_a_failure(model: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    result = run("predict", model, tmp_path / "empty", "--table", tmp_path / "songs.csv")
    assert result.exit_code == 1
    assert f"Error: {tmp_path / 'empty'}: no audio in this folder" in result.stderr
    assert written(tmp_path) == []


def test_a_package_that_is_missing_is_named_before_the_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    song = AudioFile.of(write_song(tmp_path / "song.wav"), Path("song.wav"))
    for package, options in (("jams", {"formats": ["jams"]}), ("pyarrow", {"formats": [], "table": Path("s.parquet")})):
        monkeypatch.setitem(sys.modules, package, None)
        with pytest.raises(ConfigError, match=rf"needs the package {package}: pip install 'mir-tf\[formats\]'"):
            PredictionJob([song], "model", **options)


@pytest.mark.skipif(os.name == "nt", reason="no pseudo-terminals there")
@pytest.mark.parametrize("piped", [False, True])
def test_results_are_printed_above_the_bar_and_into_pipes(model: Path, tmp_path: Path, piped: bool) -> None:
    songs = [write_song(tmp_path / f"{number}.wav", 20.0) for number in range(6)]
    command = [sys.executable, "-c", "from mir_tf.cli import main; main()", "predict", model, *songs, "--overwrite"]
    terminal, end = os.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "100"}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE if piped else end, stderr=end, env=environment, text=True
    ) as process:
        os.close(end)
        shown = b""
        with contextlib.suppress(OSError):  # Linux reports that the other end is closed
            while part := os.read(terminal, 1 << 16):
                shown += part
        out = process.stdout.read() if process.stdout else ""
    os.close(terminal)
    assert process.returncode == 0
    assert b"of 6 recordings" in shown
    if piped:
        assert [line.partition(",")[0] for line in out.splitlines()] == [song.name for song in songs]
        assert b"0.wav, " not in shown
    else:
        for song in songs:
            before, _, _ = shown.decode().partition(f"{song.name}, 0:20.0: ")
            assert before.endswith(("\x1b[2K", "\n")), before[-80:]


@pytest.mark.skipif(os.name == "nt", reason="names are text there")
def test_names_that_are_no_utf_8_are_escaped_in_what_is_written(model: Path, tmp_path: Path) -> None:
    song = write_song(tmp_path / "song.wav").rename(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.wav"))
    formats = ",".join(name for name in FILE_FORMATS if name != "jams")
    for again in (False, True):
        result = run("predict", model, song, "--format", formats, "--table", tmp_path / "all.csv")
        assert result.exit_code == 0, result.output
        assert result.stdout.count("Written before: ") == (len(FILE_FORMATS) - 1) * again
    assert json.loads(Path(f"{song}.json").read_text("utf-8"))["path"] == f"{tmp_path}/caf\\udce9.wav"
    assert run("predict", model, song, "--table", tmp_path / "all.json").exit_code == 0
    assert json.loads((tmp_path / "all.json").read_text("utf-8"))["songs"][0]["path"].endswith("caf\\udce9.wav")


def test_an_answer_that_cannot_be_written_stops_no_other(model: Path, tmp_path: Path) -> None:
    for name in ("1.wav", "2.wav", "3.wav"):
        write_song(tmp_path / name)
    (tmp_path / "2.wav.json").mkdir()
    songs = [tmp_path / name for name in ("1.wav", "2.wav", "3.wav")]
    result = run("predict", model, *songs, "--format", "json")
    assert result.exit_code == 1
    assert f"Error: {tmp_path / '2.wav.json'}: cannot be written: " in result.stderr
    assert result.stderr.endswith(", 1 failed.\n")
    assert num_answers(result) == 3, "the answer is printed nevertheless"
    assert (tmp_path / "3.wav.json").is_file()


def test_what_lies_above_goes_below_out(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "songs" / "here").mkdir(parents=True)
    write_song(tmp_path / "songs" / "1.wav")
    monkeypatch.chdir(tmp_path / "songs" / "here")
    assert run("predict", model, "..", "--out", "predictions").exit_code == 0
    assert written(tmp_path) == ["songs/1.wav", "songs/here/predictions/songs/1.wav.json"]


def test_dollars_and_colons_in_a_name_are_no_markup(model: Path, tmp_path: Path) -> None:
    song = write_song(tmp_path / "$_$ :smile:.wav")
    result = run("predict", model, song, "--format", "png,svg")
    assert result.exit_code == 0, result.output
    assert "$_$ :smile:.wav" in result.stdout
    assert "$_$ :smile:.wav" in Path(f"{song}.svg").read_text("utf-8")
