"""Remote paths, against a real S3 API server on loopback."""

import hashlib
import importlib.util
import io
import os
import pickle
import re
import signal
import subprocess
import sys
import tarfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile
import tensorflow as tf
import yaml
from helpers import s3_server
from helpers.commands import run
from helpers.slakh_tree import write_track
from helpers.tiny_data import write_data
from helpers.workers import clusters

from mir_tf import bundle
from mir_tf.bundle.history import HISTORY_FILE, read_history
from mir_tf.config import MODEL_FILE
from mir_tf.data import pipeline
from mir_tf.data.manifest import MANIFEST_FILE, read_manifest, require_intact
from mir_tf.errors import ConfigError, DataError, FileSystemError
from mir_tf.io import audio, remote
from mir_tf.io.files import as_path, atomic_write, is_remote, local, move_into, remove, sha256, write_text
from mir_tf.vocabulary import VOCABULARIES
from tfrecords_builder.slakh import tree as slakh
from tfrecords_builder.slakh.archive import Archive

needs_server = pytest.mark.skipif(
    not all(map(importlib.util.find_spec, ("moto", "tensorflow_io"))), reason="needs moto and tensorflow-io"
)
ABORT = "pure virtual method called"

SETTINGS = {
    "model": {"architecture": "cnn", "conv_filters": [4], "time_padding": 2},
    "train": {"epochs": 1, "steps_per_epoch": 2, "batch_size": 4, "crop_seconds": 1.0},
    "window": {"window_seconds": 2.0, "overlap_seconds": 1.0},
}


@pytest.fixture(scope="module")
def bucket() -> Iterator[Path]:
    """Serve an empty bucket, one for all tests: TensorFlow's client keeps the first server that it connects to."""
    with s3_server.serve("bucket") as address, pytest.MonkeyPatch.context() as environment:
        for name, value in {**s3_server.ENVIRONMENT, "S3_ENDPOINT": address}.items():
            environment.setenv(name, value)
        yield as_path("s3://bucket")


def test_a_uri_becomes_a_path_and_stays_one() -> None:
    path = as_path("s3://bucket/runs/best.keras")
    assert isinstance(path, remote.RemotePath)
    for same in (
        as_path(path),
        as_path("s3://bucket/") / "runs" / "best.keras",
        path.parent / path.name,
        path.with_name("best.keras"),
        path.resolve(),
        path.absolute(),
        pickle.loads(pickle.dumps(path)),
    ):
        assert (same, str(same), os.fspath(same)) == (
            path,
            "s3://bucket/runs/best.keras",
            "s3://bucket/runs/best.keras",
        )
        assert is_remote(same)
    assert (path.name, path.suffix, str(path.relative_to(path.parent))) == ("best.keras", ".keras", "best.keras")


@pytest.mark.parametrize("text", ["folder/file", "/folder/file", "a:b", "C:/folder", "s3:/bucket", "x y://z"])
def test_anything_else_is_a_local_path(text: str) -> None:
    assert as_path(text) == Path(text)
    assert not is_remote(text)


def test_an_unknown_scheme_is_named() -> None:
    with pytest.raises(ConfigError, match=r"ftp://host/x: unknown scheme ftp://.*s3://, gs://$"):
        as_path("ftp://host/x")
    with pytest.raises(ConfigError, match="the bucket is missing"):
        as_path("s3://")
    result = run("inspect", "ftp://host/x")
    assert result.exit_code == 2
    assert "unknown scheme ftp://" in result.output


def test_without_tensorflow_io_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    remote._tensorflow.cache_clear()
    monkeypatch.setitem(sys.modules, "tensorflow_io", None)  # import fails
    with pytest.raises(FileSystemError, match=r"s3:// needs tensorflow-io.*pip install .*'tensorflow-io==0\.37\.1'"):
        as_path("s3://bucket/x").exists()
    result = run("inspect", "s3://bucket/x")
    assert result.exit_code == 1
    assert "pip install" in result.output
    remote._tensorflow.cache_clear()


@needs_server
def test_files_are_written_whole_read_listed_and_removed(bucket: Path, tmp_path: Path) -> None:
    folder = bucket / "files"
    path = folder / "a.txt"
    assert not path.exists()
    assert not folder.exists()
    assert list(folder.iterdir()) == []
    write_text(path, "first")
    write_text(path, "häll\n")
    assert path.read_text() == "häll\n"
    assert path.read_bytes() == "häll\n".encode()
    assert path.stat().st_size == 6
    assert (path.exists(), path.is_file(), path.is_dir()) == (True, True, False)
    assert (folder.exists(), folder.is_file(), folder.is_dir()) == (True, False, True)
    assert bucket.is_dir()
    with path.open("rb") as file:
        assert (file.read(1), file.seek(-2, os.SEEK_END), file.read(), file.read()) == (b"h", 4, b"l\n", b"")
    write_text(folder / "b.json", "")
    write_text(folder / "sub" / "c.txt", "")
    assert sorted(folder.iterdir()) == [path, folder / "b.json", folder / "sub"]
    assert sorted(folder.glob("*.txt")) == [path]
    with local(path) as copy:
        assert (copy.read_text(encoding="utf-8"), copy.name, is_remote(copy)) == ("häll\n", "a.txt", False)

    (tmp_path / "tree" / "deep").mkdir(parents=True)
    (tmp_path / "tree" / "deep" / "d").write_text("d")
    move_into(tmp_path / "tree", folder / "tree")
    move_into(tmp_path / "tree" / "deep" / "d", folder / "e")
    assert ((folder / "tree" / "deep" / "d").read_text(), (folder / "e").read_text()) == ("d", "d")

    remove(folder / "e")
    remove(folder / "tree")
    remove(folder / "tree")
    path.unlink()
    path.unlink(missing_ok=True)
    assert sorted(folder.iterdir()) == [folder / "b.json", folder / "sub"]
    remove(folder)
    assert not folder.exists()


@needs_server
@pytest.mark.parametrize("name", ["two words", "ünï", "100%", "a%20b", "a#b", "a?b", "a+b", "a&b=c", "it's"])
def test_names_may_have_any_characters(bucket: Path, name: str) -> None:
    folder = bucket / "names" / name
    write_text(folder / f"{name}.txt", name)
    assert (folder / f"{name}.txt").read_text() == name
    assert folder in list(folder.parent.iterdir())
    assert list(folder.iterdir()) == [folder / f"{name}.txt"]
    remove(folder)
    assert not folder.exists()


@needs_server
def test_an_empty_object_is_an_empty_file(bucket: Path) -> None:
    """TensorFlow's ``read_file`` would crash the interpreter here."""
    path = bucket / "empty" / MANIFEST_FILE
    write_text(path, "")
    assert (path.is_file(), path.stat().st_size, path.read_bytes(), path.read_text()) == (True, 0, b"", "")
    result = run("inspect", path.parent)
    assert result.exit_code == 1
    assert f"{path}: damaged" in result.output


def _fail_while_writing(path: Path) -> None:
    with atomic_write(path) as temporary:
        temporary.write_text("half")
        raise ZeroDivisionError


@needs_server
def test_what_fails_while_it_is_written_does_not_appear(bucket: Path) -> None:
    with pytest.raises(ZeroDivisionError):
        _fail_while_writing(bucket / "half")
    assert not (bucket / "half").exists()


@needs_server
def test_a_missing_file_is_an_error_as_on_disk(bucket: Path) -> None:
    path = bucket / "none"
    for access in (path.stat, path.read_bytes, path.read_text, lambda: path.open("rb")):
        with pytest.raises(FileNotFoundError, match="s3://bucket/none"):
            access()
    with pytest.raises(ValueError, match="mode 'w'"):
        path.open("w")


@needs_server
def test_a_missing_bucket_is_no_missing_file(bucket: Path) -> None:
    path = as_path("s3://nobucket/run")
    for access in (
        path.exists,
        path.is_file,
        path.read_bytes,
        lambda: list(path.iterdir()),
        lambda: write_text(path, ""),
    ):
        with pytest.raises(OSError, match="no such bucket; check the bucket's name, the credentials") as caught:
            access()
        assert not isinstance(caught.value, FileNotFoundError)
    result = run("inspect", "s3://nobucket/data")
    assert (result.exit_code, len(result.output.splitlines())) == (1, 1)
    assert "no such bucket" in result.output
    result = run("inspect", bucket / "nothing")
    assert result.exit_code == 2
    assert "'s3://bucket/nothing' does not exist" in result.output


@needs_server
@pytest.mark.parametrize("suffix", [".flac", ".wav", ".ogg", ".mp3"])
def test_audio_is_decoded_as_from_disk(bucket: Path, tmp_path: Path, suffix: str) -> None:
    path, song = tmp_path / f"song{suffix}", bucket / f"song{suffix}"
    soundfile.write(path, np.random.default_rng(0).normal(0, 0.1, (160_000, 2)), 16000)
    song.upload(path)  # type: ignore[attr-defined]
    assert audio.probe(song) == audio.probe(path)
    for segment in ((), (3.0, 2.0)):
        blocks = [np.concatenate(list(audio.read_blocks(file, 8000, *segment))) for file in (song, path)]
        np.testing.assert_array_equal(*blocks)


@needs_server
def test_a_slakh_tree_and_an_archive_are_listed_as_from_disk(bucket: Path, tmp_path: Path) -> None:
    for name in ("train/Track00001", "test/Track00002"):
        write_track(tmp_path / "tree" / name)
    (tmp_path / "tree" / "train" / "Track00001" / "stems" / "._S00.flac").write_bytes(b"hidden")
    move_into(tmp_path / "tree", bucket / "tree")
    with tarfile.open(tmp_path / "tree.tar.gz", "w:gz") as archive:
        archive.add(tmp_path / "tree", "tree")
    move_into(tmp_path / "tree.tar.gz", bucket / "tree.tar.gz")

    def facts(layout: slakh.Layout) -> list[tuple[str, str, list[str], object]]:
        wanted = re.compile(r"mix|all_src|\w+/")
        return [
            (item.folder.name, item.split, sorted(filter(wanted.match, item.files)), item.metadata)
            for item in layout.listings
        ]

    expected = facts(slakh.read_layout(tmp_path / "tree"))
    assert expected[0][2] == [
        "MIDI/S00.mid",
        "MIDI/S01.mid",
        "all_src.mid",
        "mix.flac",
        "stems/S00.flac",
        "stems/S01.flac",
    ]
    assert facts(slakh.read_layout("s3://bucket/tree")) == expected
    packed = Archive(bucket / "tree.tar.gz", tmp_path / "scratch", with_stems=False)
    layout = packed.layout()
    assert (sorted(facts(layout), reverse=True), layout.problems) == (sorted(expected, reverse=True), [])
    assert [track.mix.is_file() for track in packed.open(slakh.choose_tracks(layout)[0])] == [True, True]


@needs_server
def test_a_data_set_is_read_and_its_damage_named(bucket: Path, tmp_path: Path) -> None:
    manifest = write_data(tmp_path / "data", {"train": [[30], [20]], "validation": [[20]], "test": [[20]]})
    move_into(tmp_path / "data", bucket / "data")
    assert read_manifest("s3://bucket/data") == manifest
    vocabulary = VOCABULARIES["family"]
    here, there = (
        list(pipeline.tracks(f, manifest, "train", vocabulary)) for f in (tmp_path / "data", "s3://bucket/data")
    )
    for one, other in zip(here, there, strict=True):
        np.testing.assert_array_equal(one.log_mel, other.log_mel)
    shard = bucket / "data" / manifest.splits["train"].shards[1].name
    content = bytearray(shard.read_bytes())
    content[len(content) // 2] ^= 0xFF
    with atomic_write(shard) as temporary:
        temporary.write_bytes(content)
    with pytest.raises(DataError, match=f"{re.escape(str(shard))}: damaged"):
        list(pipeline.tracks("s3://bucket/data", manifest, "train", vocabulary))
    shard.unlink()
    with pytest.raises(DataError, match=f"shard {shard.name} is missing"):
        read_manifest(bucket / "data")
    with pytest.raises(DataError, match=f"shard {shard.name} is missing"):
        require_intact("s3://bucket/data", manifest, ["train"])


@needs_server
def test_a_shard_is_checked_again_if_it_changes(bucket: Path, tmp_path: Path) -> None:
    manifest = write_data(tmp_path / "data", {"train": [[30], [20]], "validation": [[20]], "test": [[20]]})
    move_into(tmp_path / "data", bucket / "changing")
    require_intact("s3://bucket/changing", manifest, ["train"])
    shard = bucket / "changing" / manifest.splits["train"].shards[0].name
    for damaged in (b"", b"another shard"):
        with atomic_write(shard) as temporary:
            temporary.write_bytes(damaged)
        with pytest.raises(DataError, match=f"{shard.name}: damaged: {len(damaged)} bytes; the manifest lists"):
            require_intact("s3://bucket/changing", manifest, ["train"])


def command(*words: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a command as a user would; check that it ends with its own status."""
    own = {name: value for name, value in os.environ.items() if name != "TF_CPP_MIN_LOG_LEVEL"} | environment
    result = subprocess.run(words_of(*words), capture_output=True, text=True, timeout=1200, env=own)
    assert ABORT not in result.stderr
    assert "Traceback" not in result.stderr, result.stderr
    return result


def words_of(*words: str | Path) -> list[str]:
    verb, *rest = map(str, words)
    start = ["-m", verb] if verb == "tfrecords_builder" else ["-c", "from mir_tf.cli import main; main()", verb]
    return [sys.executable, *start, *rest]


def objects(address: str, prefix: str) -> set[str]:
    """Return the names of the objects in the bucket, from the server."""
    with urllib.request.urlopen(f"{address}/bucket?list-type=2&prefix={prefix}", timeout=60) as response:
        return set(re.findall(r"<Key>(.*?)</Key>", response.read().decode()))


@needs_server
@pytest.mark.slow
def test_the_way_from_audio_to_answers_in_a_bucket(bucket: Path, tmp_path: Path) -> None:
    """Every command ends with its own status; a build that is killed and resumed equals one on disk."""
    for number, split in enumerate(("train", "validation", "test"), 1):
        write_track(tmp_path / "tree" / split / f"Track{number:05d}", seconds=4.0, seed=number)
    move_into(tmp_path / "tree", bucket / "slakh")
    words = ("tfrecords_builder", "--set", "sample_rate=8000", "--set", "hop_length=400", "--set", "n_mels=16")
    tree, data, run_folder = "s3://bucket/slakh", "s3://bucket/built", "s3://bucket/runs/first"

    expected = command(*words, "--slakh", tmp_path / "tree", "--out", tmp_path / "data")
    assert expected.returncode == 0, expected.stderr
    with subprocess.Popen(
        words_of(*words, "--slakh", tree, "--out", data, "--workers", 1), start_new_session=True
    ) as build:
        while not objects(os.environ["S3_ENDPOINT"], "built/.unfinished/parts/"):
            assert build.poll() is None, "not killed in time"
            time.sleep(0.05)
        os.killpg(build.pid, signal.SIGKILL)
    assert not objects(os.environ["S3_ENDPOINT"], "built/manifest.json")
    assert command(*words, "--slakh", tree, "--labels", "audible", "--out", data).returncode == 1  # other arguments
    result = command(*words, "--slakh", tree, "--out", data, "--workers", 2)
    assert result.returncode == 0, result.stderr
    names = {path.name for path in (tmp_path / "data").iterdir()}
    assert objects(os.environ["S3_ENDPOINT"], "built/") == {f"built/{name}" for name in names}
    for name in names - {MANIFEST_FILE}:
        assert (bucket / "built" / name).read_bytes() == (tmp_path / "data" / name).read_bytes(), name
    assert "fine: 3 shards" in command("tfrecords_builder", "--verify", data).stdout

    write_text(bucket / "settings.yaml", yaml.safe_dump(SETTINGS))
    fit = ("fit", "--data", data, "--out", run_folder, "--config", "s3://bucket/settings.yaml")
    result = command(*fit)
    assert (result.returncode, "epoch 1: loss" in result.stdout) == (0, True), result.stderr
    result = command(*fit, "--epochs", 2)
    assert (result.returncode, "epoch 1: " in result.stdout, "epoch 2: " in result.stdout) == (0, False, True)
    written = objects(os.environ["S3_ENDPOINT"], "runs/first/")
    for name in ("model.keras", "bundle.json", "history.csv", "config.yaml", "checkpoint.npz", "logs/events"):
        assert any(key.startswith(f"runs/first/{name}") for key in written), name

    song = "s3://bucket/slakh/test/Track00003/mix.flac"
    front_end = {"sample_rate": 8000, "hop_length": 400, "n_mels": 16}
    write_text(bucket / "plan.yaml", yaml.safe_dump({"front_end": front_end, **SETTINGS, "runs": {"One": {}}}))
    for words, written in (
        (("inspect", data, "--report"), "built/report/report.html"),
        (("report", run_folder, "--data", data), "runs/first/report-test/report.html"),
        (("evaluate", run_folder, "--data", data), "runs/first/evaluation-test/evaluation.json"),
        (("predict", run_folder, song, "--format", "json"), "slakh/test/Track00003/mix.flac.json"),
        (("predict", run_folder, song, "--out", "s3://bucket/predictions"), "predictions/mix.flac.json"),
        (
            ("export", run_folder, "--out", "s3://bucket/exported", "--audio", song, "--formats", "savedmodel"),
            "exported/report.md",
        ),
        (("compare", "s3://bucket/plan.yaml", "--data", data, "--out", "s3://bucket/compared"), "compared/plan.md"),
    ):
        result = command(*words)
        assert result.returncode == 0, result.stderr
        assert written in objects(os.environ["S3_ENDPOINT"], written)
    assert "exported/saved_model/saved_model.pb" in objects(os.environ["S3_ENDPOINT"], "exported/")
    searched = ("tune", "--data", data, "--out", tmp_path / "search", "--space", "s3://bucket/settings.yaml")
    result = command(*searched, "--trials", 1, "--epochs", 1)
    assert (result.returncode, (tmp_path / "search" / "best.yaml").is_file()) == (0, True), result.stderr


@needs_server
@pytest.mark.slow
def test_a_beam_pipeline_builds_in_a_bucket(bucket: Path, tmp_path: Path) -> None:
    """It writes the shards of a local build, and reports a damaged track in the same way."""
    pytest.importorskip("apache_beam")
    for number in (1, 2, 3):
        write_track(tmp_path / "tree" / "train" / f"Track{number:05d}", seconds=2.0, seed=number)
    (tmp_path / "tree" / "train" / "Track00002" / "mix.flac").write_bytes(b"no audio")
    move_into(tmp_path / "tree", bucket / "beam-slakh")
    words = ("tfrecords_builder", "--set", "sample_rate=8000", "--set", "hop_length=400", "--set", "n_mels=16")
    expected = command(*words, "--slakh", tmp_path / "tree", "--out", tmp_path / "data")
    result = command(*words, "--slakh", "s3://bucket/beam-slakh", "--out", "s3://bucket/by-beam", "--runner", "beam")
    assert (expected.returncode, result.returncode) == (1, 1), expected.stderr + result.stderr
    assert "Track00002" in result.stdout
    names = {path.name for path in (tmp_path / "data").iterdir()}
    assert objects(os.environ["S3_ENDPOINT"], "by-beam/") == {f"by-beam/{name}" for name in names}
    for name in names - {MANIFEST_FILE}:
        assert (bucket / "by-beam" / name).read_bytes() == (tmp_path / "data" / name).read_bytes(), name


@needs_server
@pytest.mark.slow
def test_what_is_wrong_with_a_store_is_said_in_one_line(bucket: Path, tmp_path: Path) -> None:
    with s3_server.serve("bucket", INITIAL_NO_AUTH_ACTION_COUNT="1") as address:  # the first request creates the bucket
        wrong = command("inspect", "s3://bucket/data", S3_ENDPOINT=address)
        none = {"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": "", "HOME": str(tmp_path)}
        missing = command("inspect", "s3://bucket/data", S3_ENDPOINT=address, **none)
    down = command("inspect", "s3://bucket/data", S3_ENDPOINT=address)
    for result, cause in ((wrong, "access denied"), (missing, "credentials"), (down, "cannot be reached")):
        assert result.returncode == 1
        assert cause in result.stderr
        assert len(result.stderr.splitlines()) == 1, result.stderr


@needs_server
@pytest.mark.slow
def test_a_store_that_goes_away_is_no_damaged_recording(bucket: Path, tmp_path: Path) -> None:
    noise = io.BytesIO()
    soundfile.write(noise, np.random.default_rng(0).normal(0, 0.1, 16000 * 300), 16000, format="FLAC")
    with s3_server.serve("bucket") as address:
        headers = {"Content-Type": "audio/flac"}
        request = urllib.request.Request(f"{address}/bucket/song.flac", noise.getvalue(), headers, method="PUT")
        urllib.request.urlopen(request, timeout=60).close()
        script = (
            "import sys; from mir_tf.io import audio\n"
            "blocks = audio.read_blocks('s3://bucket/song.flac', 16000)\n"
            "print(len(next(blocks)), flush=True); sys.stdin.readline()\n"
            "try: list(blocks)\n"
            "except OSError as error: sys.exit(f'OSError: {error}')"
        )
        environment = {**os.environ, "S3_ENDPOINT": address, "TF_CPP_MIN_LOG_LEVEL": "3"}
        reader = subprocess.Popen(
            [sys.executable, "-c", script],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
        )
        assert reader.stdout is not None
        assert int(reader.stdout.readline()) > 0
    _, said = reader.communicate("\n", timeout=300)
    assert reader.returncode == 1
    assert said.startswith("OSError: "), said
    assert "S3_ENDPOINT" in said


@needs_server
@pytest.mark.slow
def test_bytes_are_right_after_a_connection_breaks(bucket: Path, tmp_path: Path) -> None:
    """One break is repaired; if every answer is cut off, there is an error and no shorter file."""
    content = np.random.default_rng(0).bytes(2_000_000)
    with tf.io.TFRecordWriter(str(tmp_path / "cut")) as writer:
        for start in range(0, len(content), 20_000):
            writer.write(content[start : start + 20_000])
    (bucket / "cut").upload(tmp_path / "cut")  # type: ignore[attr-defined]
    script = (
        "import hashlib, sys; import tensorflow as tf; from mir_tf.io.files import as_path\n"
        "path = as_path('s3://bucket/cut'); path.exists()\n"
        "if sys.argv[1] == 'file': content = path.read_bytes()\n"
        "else: content = b''.join(tf.data.TFRecordDataset(str(path)).as_numpy_iterator())\n"
        "print(hashlib.sha256(content).hexdigest(), flush=True)"
    )
    expected = {"file": (tmp_path / "cut").read_bytes(), "records": content}
    for how, whole in expected.items():
        for times in (1, 1000):
            with s3_server.cutting(os.environ["S3_ENDPOINT"], "/cut", 300_000, times) as address:
                result = subprocess.run(
                    [sys.executable, "-c", script, how],
                    capture_output=True,
                    text=True,
                    timeout=300,
                    # A setting of the user with which the client would return wrong bytes.
                    env={**os.environ, "S3_ENDPOINT": address, "S3_DISABLE_MULTI_PART_DOWNLOAD": "0"},
                )
            if times == 1:
                assert result.stdout.strip() == hashlib.sha256(whole).hexdigest(), result.stderr
            else:
                assert (result.returncode, result.stdout) == (1, "")
                assert "Transferred a partial file" in result.stderr


@needs_server
@pytest.mark.slow
def test_workers_train_in_a_bucket_and_resume(bucket: Path, tmp_path: Path) -> None:
    """Kill one of two after the first epoch: the other one says so, and a new start ends like one device on disk."""
    write_data(tmp_path / "data", {"train": [[30, 50], [25, 60]], "validation": [[35, 60]], "test": [[20]]})
    move_into(tmp_path / "data", bucket / "shared")
    data, out = "s3://bucket/shared", "s3://bucket/runs/workers"
    # Masks and dropout would differ between devices.
    plain = {"freq_masks": 0, "time_masks": 0, "conv_dropout": 0.0, "head_dropout": 0.0}
    settings = {**SETTINGS, "model": {**SETTINGS["model"], **plain}, "train": {**SETTINGS["train"], "epochs": 3}}
    (tmp_path / "settings.yaml").write_text(yaml.safe_dump(settings))
    fit = ("fit", "--config", tmp_path / "settings.yaml")

    assert run(*fit, "--data", tmp_path / "data", "--out", tmp_path / "run").exit_code == 0

    def start() -> list[subprocess.Popen[str]]:
        return [
            subprocess.Popen(
                words_of(*fit, "--data", data, "--out", out, "--strategy", "multiworker"),
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                env={**os.environ, "TF_CONFIG": cluster},
            )
            for cluster in clusters(2)
        ]

    def end(processes: list[subprocess.Popen[str]]) -> list[tuple[int, str]]:
        said = [process.communicate(timeout=300)[1] for process in processes]
        return [(process.returncode, errors) for process, errors in zip(processes, said, strict=True)]

    chief, other = start()
    while "runs/workers/history.csv" not in objects(os.environ["S3_ENDPOINT"], "runs/workers/"):
        assert (chief.poll(), other.poll()) == (None, None)
        time.sleep(0.05)
    other.kill()
    (status, errors), (killed, _) = end([chief, other])
    assert (status, killed) == (1, -signal.SIGKILL), errors
    assert "lost another worker" in errors
    assert "Traceback" not in errors
    finished = read_history(as_path(out) / HISTORY_FILE)
    assert 1 <= len(finished) < 3

    resumed = end(start())
    assert [status for status, _ in resumed] == [0, 0], resumed
    history, expected = (read_history(folder / HISTORY_FILE) for folder in (as_path(out), tmp_path / "run"))
    assert history[: len(finished)] == finished
    for mine, theirs in zip(history, expected, strict=True):
        assert mine["loss"] == pytest.approx(theirs["loss"], rel=1e-4)  # devices round differently
        assert mine["val_macro_f1"] == pytest.approx(theirs["val_macro_f1"], rel=1e-4)
    assert bundle.describe(out).model_sha256 == sha256(as_path(out) / MODEL_FILE)


@needs_server
@pytest.mark.slow
def test_answers_in_a_bucket_are_not_done_again(bucket: Path, exported_cnn: Path, tmp_path: Path) -> None:
    model = exported_cnn / "model.float32.tflite"
    (tmp_path / "music" / "album").mkdir(parents=True)
    for name in ("a.wav", "album/b.wav"):
        soundfile.write(tmp_path / "music" / name, np.zeros(8000), 8000)
    move_into(tmp_path / "music", bucket / "music")
    for options, folder in ((("--format", "json"), "music"), (("--out", "s3://bucket/out"), "out/music")):
        assert run("predict", model, "s3://bucket/music", *options).exit_code == 0
        outputs = {f"{folder}/a.wav.json", f"{folder}/album/b.wav.json"}
        assert outputs <= objects(os.environ["S3_ENDPOINT"], folder)
        for again in ((), ("--overwrite",)):
            result = run("predict", model, "s3://bucket/music", *options, *again)
            assert result.exit_code == 0, result.output
            assert ("2 recordings: 2 skipped because already done" in result.stderr) == (not again)
        (bucket / folder / "a.wav.json").unlink()
        skipped = run("predict", model, "s3://bucket/music", *options).stderr
        assert "2 recordings: 1 predicted" in skipped
        assert ", 1 skipped because already done" in skipped
    (bucket / "model.tflite").upload(model)
    refused = run("predict", "s3://bucket/model.tflite", "s3://bucket/music")
    assert refused.exit_code == 2
    assert "s3://bucket/model.tflite: a .tflite file must be on disk" in refused.stderr
