"""Recordings: their predictions, and when they wait, are discarded and leave nothing."""

import functools
import gc
import json
import os
import re
import subprocess
import sys
import tempfile
import threading
import types
import urllib.parse
from collections.abc import Callable
from pathlib import Path

import anyio
import numpy as np
import pytest
import soundfile
from helpers import decoding_faults
from helpers.running_app import LIMITS, NOT_A_RECORDING, App, eventually, song
from matplotlib.figure import Figure

from mir_tf.app import decoding, recordings, server
from mir_tf.app.recordings import RecordingState
from mir_tf.inference.formats import FILE_FORMATS
from mir_tf.lite import LiteModel


def test_a_recording_is_heard_as_python_hears_it(app: App, tmp_path: Path) -> None:
    path = song(tmp_path / "söng 1.wav")
    key = app.upload(path.read_bytes(), "C:\\music\\söng 1.wav")
    state = app.wait(key)
    assert (state["state"], state["name"], state["seconds"]) == ("done", "söng 1.wav", 6.0)
    assert len(state["peaks"]) == 6 * 50
    assert 0.2 < max(state["peaks"]) <= 1
    expected = LiteModel(app.model).predict(path)
    np.testing.assert_allclose(state["confidences"], expected.confidence)
    _, _, content = app.ask("GET", f"/api/recordings/{key}/probabilities")
    np.testing.assert_array_equal(np.frombuffer(content, "<f4").reshape(-1, 17), expected.probabilities)
    assert not list(app.recordings._folder.iterdir())  # the upload is deleted

    thresholds = np.linspace(0.2, 0.8, 17).astype(np.float32)
    moved = expected.with_thresholds(thresholds)
    assert moved.intervals != expected.intervals
    model = json.loads(app.ask("GET", "/api/model")[2])
    assert (model["cut"], model["classes"][8], model["descriptions"][8]) == (0.5, "Reed", "saxophone, clarinet, oboe")
    assert [each["name"] for each in model["formats"]] == list(FILE_FORMATS)
    for name, form in FILE_FORMATS.items():
        body = json.dumps(thresholds.tolist())
        status, headers, content = app.ask("POST", f"/api/recordings/{key}/files/{name}", body)
        assert (status, len(content) > 100) == (200, True)
        assert urllib.parse.unquote(headers["content-disposition"]).endswith(f"''söng 1.wav{form.suffix}")
        if name == "json":
            found = json.loads(content)
            assert found["instruments"] == moved.summary()["instruments"]
            assert found["path"] == "söng 1.wav"


@pytest.mark.parametrize("name", ["png", "svg"])
def test_a_downloaded_picture_leaves_no_figure_in_memory(app: App, tmp_path: Path, name: str) -> None:
    key = app.upload(song(tmp_path / "song.wav", 1.0).read_bytes())
    app.wait(key)
    gc.collect()
    gc.disable()  # as if Python's next collection were far away
    try:
        status, _, _ = app.ask("POST", f"/api/recordings/{key}/files/{name}", json.dumps([0.5] * 17))
        assert status == 200
        assert not [each for each in gc.get_objects() if issubclass(type(each), Figure)]
    finally:
        gc.enable()


def test_moved_thresholds_keep_the_shape_of_the_rule(app: App) -> None:
    prediction = LiteModel(app.model).predict(np.zeros(8000, np.float32), 8000)
    thresholds = (prediction.thresholds / 2).astype(np.float32)
    moved = prediction.with_thresholds(thresholds)
    np.testing.assert_allclose(np.array(moved.post_processing.offset_thresholds), 0.9 * thresholds, rtol=1e-6)
    assert moved.post_processing.fits(thresholds)
    nothing = prediction.with_thresholds(np.zeros(17, np.float32))
    assert nothing.post_processing.fits(nothing.thresholds)
    assert nothing.with_thresholds(thresholds).post_processing.fits(thresholds)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"no sound", f"“song.wav” {NOT_A_RECORDING}"),
        (b"", r"“song.wav” cannot be processed: empty file \(0 bytes\)."),
        ("cut", "“song.wav” cannot be processed: damaged or cut off after 1.2 s: .*"),
        ("nan", "“song.wav” cannot be processed: contains NaN or infinity, after 0.0 s."),
        ("long", "“song.wav” cannot be processed: it is longer than 1 minutes."),
    ],
)
def test_a_bad_recording_is_told_in_words_and_leaves_nothing(
    app: App, tmp_path: Path, content: bytes | str, message: str
) -> None:
    if content == "nan":
        soundfile.write(tmp_path / "song.wav", np.full(8000, np.nan), 8000, subtype="FLOAT")
        content = (tmp_path / "song.wav").read_bytes()
    elif content == "long":
        content = song(tmp_path / "long.flac", 61.0).read_bytes()
    elif content == "cut":
        content = song(tmp_path / "song.wav").read_bytes()[:20_000]
    state = app.wait(app.upload(content, copy="yes"))
    assert state["state"] == "failed"
    assert re.fullmatch(message, state["message"])
    assert not list(app.recordings._folder.iterdir())


def test_a_copy_is_made_for_browsers_that_cannot_play_the_file_and_served_in_ranges(app: App, tmp_path: Path) -> None:
    key = app.upload(song(tmp_path / "song.aiff").read_bytes(), "song.aiff", copy="yes")
    app.wait(key)
    status, headers, content = app.ask("GET", f"/api/recordings/{key}/audio")
    assert (status, headers["content-type"]) == (200, "audio/flac")
    (tmp_path / "copy.flac").write_bytes(content)
    assert soundfile.info(tmp_path / "copy.flac").duration == 6.0
    status, _, part = app.ask("GET", f"/api/recordings/{key}/audio", Range="bytes=100-199")
    assert (status, part) == (206, content[100:200])
    assert app.ask("DELETE", f"/api/recordings/{key}")[0] == 204
    assert app.ask("GET", f"/api/recordings/{key}")[0] == 404
    assert not list(app.recordings._folder.iterdir())


def test_short_recordings_overtake_long_ones_and_the_server_answers_meanwhile(
    app: App, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A recording in progress blocks one worker, and nothing else."""
    held, first = threading.Event(), threading.Event()
    progress_of = recordings._progress_of

    def slow(recording: recordings.Recording) -> Callable[[float], object]:
        progress = progress_of(recording)
        if first.is_set():
            return progress
        first.set()
        return lambda seconds: held.wait(60) and progress(seconds)  # it keeps its model

    monkeypatch.setattr(recordings, "_progress_of", slow)
    content = song(tmp_path / "song.wav").read_bytes()
    try:
        long = app.upload(content)
        assert first.wait(60)
        assert all(app.wait(app.upload(content))["state"] == "done" for _ in range(3))
        assert json.loads(app.ask("GET", f"/api/recordings/{long}")[2])["state"] == "predicting"
    finally:
        held.set()
    assert app.wait(long)["state"] == "done"


def test_the_queue_is_that_of_uploads_that_ended_and_prefers_those_that_somebody_waits_for(
    app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    lane = app.recordings._workers
    monkeypatch.setattr(lane._workers, "submit", lambda *_: None)
    first, second, third = (app.recordings.new(name, False) for name in ("first", "second", "third"))
    for recording in (second, first, third):
        app.recordings.predict(recording)
    assert [app.recordings.ahead_of(each) for each in (second, first, third)] == [0, 1, 2]
    app.recordings.find(third.id)
    assert [app.recordings.ahead_of(each) for each in (third, second, first)] == [0, 1, 2]
    served = []
    app.recordings.discard(second)
    for _ in range(3):
        lane._work_on_next(served.append)
    assert served == [third, first]
    for recording in (first, third):
        app.recordings.discard(recording)


@pytest.mark.parametrize("copy", ["yes", "no"])
def test_audio_that_does_not_fit_on_the_disk_is_told(
    app: App, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, copy: str
) -> None:
    content = song(tmp_path / "song.aiff").read_bytes()
    monkeypatch.setattr(decoding, "decode", decoding_faults.fill_the_disk)
    state = app.wait(app.upload(content, "song.aiff", copy=copy))
    assert "the decoded audio cannot be written" in state["message"]
    assert "is this machine's disk full?" in state["message"]
    assert not list(app.recordings._folder.iterdir())


@pytest.mark.parametrize("fault", [decoding_faults.die, decoding_faults.crash, decoding_faults.take_all_memory])
def test_the_server_outlives_a_process_that_decodes(
    app: App, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: Callable[[decoding.Upload], None]
) -> None:
    content = song(tmp_path / "song.wav").read_bytes()
    with monkeypatch.context() as patched:
        patched.setattr(decoding, "decode", fault)
        states = [app.wait(key) for key in [app.upload(content), app.upload(content)]]
    assert {state["message"] for state in states} == {
        "“song.wav” cannot be processed: the process that decodes it crashed or ran out of memory; the file may be "
        "damaged: convert it to flac or mp3."
    }
    assert app.wait(app.upload(content))["state"] == "done"
    assert not list(app.recordings._folder.iterdir())


def test_decoding_that_hangs_is_ended(app: App, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app.recordings._decoders, "_max_seconds", 0.5)
    monkeypatch.setattr(decoding, "decode", functools.partial(decoding_faults.hold, tmp_path / "never"))
    state = app.wait(app.upload(song(tmp_path / "song.wav").read_bytes()))
    assert "cannot be processed: decoding it takes longer than 0 s; the file may be damaged" in state["message"]
    assert not list(app.recordings._folder.iterdir())


def test_a_discarded_recording_is_given_up_and_the_oldest_makes_room(
    app: App, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = song(tmp_path / "song.wav").read_bytes()
    for earlier in app.recordings._recordings.values():
        earlier.used -= recordings._OPEN_SECONDS  # their pages are closed
    keys = [app.upload(content) for _ in range(LIMITS.max_recordings)]
    for key in keys:
        app.wait(key)
    app.wait(keys[0])  # used most recently
    app.wait(app.upload(content))
    assert app.ask("GET", f"/api/recordings/{keys[1]}")[0] == 404
    assert app.ask("GET", f"/api/recordings/{keys[0]}")[0] == 200
    recording = app.recordings.find(keys[0])
    recording.used -= 2 * LIMITS.idle_seconds
    assert app.ask("GET", f"/api/recordings/{keys[0]}")[0] == 404

    monkeypatch.setattr(decoding, "decode", functools.partial(decoding_faults.hold, tmp_path / "never"))
    keys = [app.upload(content) for _ in range(LIMITS.max_recordings)]
    num_waiting = max(0, LIMITS.max_recordings - max(recordings.MIN_WORKERS, os.cpu_count() or 1))
    eventually(lambda: len(app.recordings._workers.waiting()) == num_waiting)
    for ignored in app.recordings._workers.waiting()[:1]:
        ignored.used -= 1  # nobody asks for it
        keys[keys.index(ignored.id)] = app.upload(content)
        assert app.ask("GET", f"/api/recordings/{ignored.id}")[0] == 404
    for key in keys:
        assert app.ask("GET", f"/api/recordings/{key}")[0] == 200
    status, _, answer = app.ask("POST", "/api/recordings?name=a", content)
    assert (status, json.loads(answer)["message"]) == (
        503,
        "Too many recordings are being processed. Try again in a minute.",
    )
    found = [app.recordings.find(key) for key in keys]
    for key in keys:
        assert app.ask("DELETE", f"/api/recordings/{key}")[0] == 204
    eventually(lambda: all(each.finished for each in found) and not list(app.recordings._folder.iterdir()))
    assert {each.state for each in found} == {RecordingState.FAILED}


def test_recordings_are_forgotten_without_a_request(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "_IDLE_CHECK_SECONDS", 0.01)
    forgotten = threading.Event()
    recordings = types.SimpleNamespace(close=lambda: None, discard_idle=forgotten.set)

    async def live() -> None:
        async with server.make_app(recordings, Path("model")).router.lifespan_context(None):
            with anyio.fail_after(10):
                while not forgotten.is_set():
                    await anyio.sleep(0.01)

    anyio.run(live)


@pytest.mark.skipif(sys.platform == "win32", reason="locks of folders")
def test_the_files_of_a_killed_app_are_removed_at_the_next_start_and_no_others(
    app: App, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = "import sys, time; from mir_tf.app import recordings; from pathlib import Path\n"
    words += "import tempfile; folder = Path(tempfile.mkdtemp(prefix=recordings._FOLDER_PREFIX))\n"
    words += "recordings._lock(folder); (folder / 'a').write_text('a'); print(flush=True); time.sleep(600)"
    environment = {**os.environ, "TMPDIR": str(tmp_path), "PYTHONPATH": str(Path(recordings.__file__).parents[2])}
    (tmp_path / "mir-tf-app-link").symlink_to(tmp_path)
    (tmp_path / "mir-tf-app-file").write_text("of somebody else")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(recordings, "_NEW_SECONDS", -1.0)
    with subprocess.Popen([sys.executable, "-c", words], stdout=subprocess.PIPE, env=environment) as process:
        process.stdout.readline()
        recordings._remove_left_folders()
        assert len(list(tmp_path.glob("*/a"))) == 1  # it is running
        process.kill()
    recordings._remove_left_folders()
    assert {path.name for path in tmp_path.iterdir()} == {"mir-tf-app-link", "mir-tf-app-file"}


def test_a_decoder_that_prints_much_does_not_wait(app: App, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app.recordings._decoders, "_max_seconds", 20)
    monkeypatch.setattr(decoding, "decode", decoding_faults.print_much)
    assert app.wait(app.upload(song(tmp_path / "song.wav").read_bytes()))["state"] == "done"


def test_a_long_recording_is_processed_like_a_short_one_and_leaves_a_worker_free(
    app: App, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = song(tmp_path / "song.flac").read_bytes()
    short = app.wait(app.upload(content))
    monkeypatch.setattr(recordings, "SHORT_SECONDS", 2.0)
    key = app.upload(content, copy="yes")
    assert app.wait(key)["peaks"] == short["peaks"]
    assert app.recordings._recordings[key].is_long
    assert app.recordings._long_workers._workers._max_workers < app.recordings._workers._workers._max_workers
    app.ask("DELETE", f"/api/recordings/{key}")


def test_a_recording_is_kept_while_a_page_shows_it(app: App, tmp_path: Path) -> None:
    key = app.upload(song(tmp_path / "song.wav", 1.0).read_bytes())
    app.wait(key)
    recording = app.recordings._recordings[key]
    recording.used -= LIMITS.idle_seconds - 60
    before = recording.used
    assert app.ask("POST", "/api/open", json.dumps([key, "unknown", 3]))[0] == 204
    assert recording.used > before + 60
    for body in ("", "{}", "[" * 50_000):
        assert app.ask("POST", "/api/open", body)[0] == 400


def test_uploads_that_are_too_large_together_wait(app: App, tmp_path: Path) -> None:
    recording = app.recordings.new("large", False)
    recording.size = LIMITS.max_files * LIMITS.max_bytes
    status, headers, answer = app.ask("POST", "/api/recordings?name=a", b"no sound")
    assert (status, headers["retry-after"]) == (503, "1")
    assert b"Too many large recordings" in answer
    app.recordings.discard(recording)
    assert app.ask("POST", "/api/recordings?name=a", b"no sound")[0] == 202


def test_the_title_of_an_upload_is_its_name_wherever_the_app_runs(
    app: App, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "Track00007").mkdir()
    monkeypatch.chdir(tmp_path / "Track00007")  # where "mix.flac" would be that of a Slakh track
    key = app.upload(song(tmp_path / "mix.flac", 1.0).read_bytes(), "mix.flac")
    app.wait(key)
    prediction = app.recordings._recordings[key].prediction
    assert prediction.plot()._suptitle is None or "Track00007" not in prediction.plot()._suptitle.get_text()
    assert any("mix.flac" in axes.get_title(loc="left") for axes in prediction.plot().axes)
    long = app.recordings.new("a" * 300 + ".flac", False)
    assert (len(long.name), long.name[-6:], long.name[:5]) == (120, "….flac", "aaaaa")
    app.recordings.discard(long)
