"""The app: its page in a browser, and its server against clients that are up to no good."""

import configparser
import contextlib
import fnmatch
import http.client
import json
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import types
import urllib.parse
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import anyio
import numpy as np
import pytest
import soundfile

from mir_tf import loading
from mir_tf.app import recordings as kept
from mir_tf.app import server as web
from mir_tf.app.recordings import Limits, Recordings, State
from mir_tf.errors import BundleError, ConfigError
from mir_tf.inference.formats import FORMATS
from mir_tf.lite import LiteModel

NO_RECORDING = (
    "is no recording, or of a kind that cannot be read, as m4a, aac and wma. Try wav, flac, mp3, ogg or aiff."
)
LIMITS = Limits(max_bytes=4_000_000, max_seconds=60.0, max_recordings=6)


class App(NamedTuple):
    """A running app: where it is, what it keeps, and the model's file."""

    port: int
    recordings: Recordings
    model: Path

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, dict[str, str], bytes]:
        """Status, headers with names in small letters, and body of an answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        connection.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
        answer = connection.getresponse()
        content = answer.read()
        connection.close()
        return answer.status, {name.lower(): value for name, value in answer.getheaders()}, content

    def upload(self, content: bytes, name: str = "song.wav", copy: str = "no") -> str:
        status, _, answer = self.ask(
            "POST", f"/api/recordings?{urllib.parse.urlencode({'name': name, 'copy': copy})}", content
        )
        assert status == 202, answer
        return str(json.loads(answer)["id"])

    def wait(self, key: str) -> dict[str, Any]:
        """The state of a recording when no more happens to it."""
        for _ in range(600):
            status, _, answer = self.ask("GET", f"/api/recordings/{key}")
            assert status == 200, answer
            state: dict[str, Any] = json.loads(answer)
            if state["state"] in ("heard", "failed"):
                return state
            time.sleep(0.05)
        raise AssertionError(state)


def eventually(condition: Callable[[], Any]) -> None:
    for _ in range(600):
        if condition():
            return
        time.sleep(0.05)
    raise AssertionError


def song(path: Path, seconds: float = 6.0, rate: int = 8000, **options: str) -> Path:
    """A recording in which something happens."""
    time_axis = np.arange(round(seconds * rate)) / rate
    noise = np.random.default_rng(0).normal(0, 0.2, len(time_axis))
    signal = np.where(time_axis % 2 < 1, noise, 0.3 * np.sin(880 * np.pi * time_axis))
    soundfile.write(path, signal, rate, **options)
    return path


@pytest.fixture(scope="module")
def app(exported_cnn: Path) -> Iterator[App]:
    model = exported_cnn / "model.float32.tflite"
    recordings = Recordings(model, LIMITS)
    listener = web.bind("127.0.0.1", 0)
    server = web.make_server(web.make_app(recordings, model.name))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    yield App(listener.getsockname()[1], recordings, model)
    server.should_exit = True
    thread.join()
    assert not recordings._folder.exists()
    listener.close()


def test_a_recording_is_heard_as_python_hears_it(app, tmp_path):
    path = song(tmp_path / "söng 1.wav")
    key = app.upload(path.read_bytes(), "C:\\music\\söng 1.wav")
    state = app.wait(key)
    assert (state["state"], state["name"], state["seconds"]) == ("heard", "söng 1.wav", 6.0)
    assert len(state["peaks"]) == 6 * 50
    assert 0.2 < max(state["peaks"]) <= 1
    expected = LiteModel(app.model).predict(path)
    _, _, content = app.ask("GET", f"/api/recordings/{key}/probabilities")
    np.testing.assert_array_equal(np.frombuffer(content, "<f4").reshape(-1, 17), expected.probabilities)
    assert not list(app.recordings._folder.iterdir())  # what was uploaded has gone

    thresholds = np.linspace(0.2, 0.8, 17).astype(np.float32)
    moved = expected.with_thresholds(thresholds)
    assert moved.intervals != expected.intervals
    model = json.loads(app.ask("GET", "/api/model")[2])
    assert [each["name"] for each in model["formats"]] == list(FORMATS)
    for name, form in FORMATS.items():
        body = json.dumps(thresholds.tolist())
        status, headers, content = app.ask("POST", f"/api/recordings/{key}/files/{name}", body)
        assert (status, len(content) > 100) == (200, True)
        assert urllib.parse.unquote(headers["content-disposition"]).endswith(f"''söng 1.wav{form.suffix}")
        if name == "json":
            found = json.loads(content)
            assert found["instruments"] == moved.summary()["instruments"]
            assert found["path"] == "söng 1.wav"


def test_moved_thresholds_keep_the_shape_of_the_rule(app):
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
        (b"no sound", f"“song.wav” {NO_RECORDING}"),
        (b"", "“song.wav” cannot be heard: empty file (0 bytes)."),
        ("cut", "“song.wav” cannot be heard: damaged or cut off: .*"),
        ("nan", "“song.wav” cannot be heard: contains NaN or infinity, after 0.0 s."),
        ("long", "“song.wav” cannot be heard: it lasts longer than 1 minutes."),
    ],
)
def test_a_bad_recording_is_told_in_words_and_leaves_nothing(app, tmp_path, content, message):
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


def test_uploads_are_bounded_whether_they_state_their_size_or_not(app):
    big = b"x" * (LIMITS.max_bytes + 1)
    with socket.create_connection(("127.0.0.1", app.port), timeout=60) as connection:
        head = (
            f"POST /api/recordings?name=a HTTP/1.1\r\nHost: 127.0.0.1:{app.port}\r\nContent-Length: {len(big)}\r\n\r\n"
        )
        connection.sendall(head.encode())
        assert connection.recv(100).startswith(b"HTTP/1.1 413 ")
    # Chunked. The server hangs up on what it will not read, perhaps before its answer is read.
    with contextlib.suppress(ConnectionError, http.client.HTTPException):
        assert app.ask("POST", "/api/recordings?name=a", iter([big[: len(big) // 2], big[len(big) // 2 :]]))[0] == 413
    assert not list(app.recordings._folder.iterdir())
    assert app.ask("GET", "/api/model")[0] == 200


def test_a_copy_is_made_for_browsers_that_cannot_play_the_file_and_served_in_ranges(app, tmp_path):
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


def test_short_recordings_overtake_long_ones_and_the_server_answers_meanwhile(app, tmp_path, monkeypatch):
    """A recording that is not through holds one worker, and nothing else."""
    held, first = threading.Event(), threading.Event()
    progress_of = kept._progress_of

    def slow(recording):
        progress = progress_of(recording)
        if first.is_set():
            return progress
        first.set()
        return lambda seconds: held.wait(60) and progress(seconds)  # it has a model, and keeps it

    monkeypatch.setattr(kept, "_progress_of", slow)
    content = song(tmp_path / "song.wav").read_bytes()
    try:
        long = app.upload(content)
        assert first.wait(60)
        assert all(app.wait(app.upload(content))["state"] == "heard" for _ in range(3))
        assert json.loads(app.ask("GET", f"/api/recordings/{long}")[2])["state"] == "hearing"
    finally:
        held.set()
    assert app.wait(long)["state"] == "heard"


def test_an_upload_that_breaks_off_leaves_nothing(app):
    kept_before = set(app.recordings._recordings)
    with socket.create_connection(("127.0.0.1", app.port)) as connection:
        head = f"POST /api/recordings?name=a HTTP/1.1\r\nHost: 127.0.0.1:{app.port}\r\nContent-Length: 1000000\r\n\r\n"
        connection.sendall(head.encode() + bytes(100_000))
        eventually(lambda: list(app.recordings._folder.iterdir()))
    eventually(lambda: not list(app.recordings._folder.iterdir()))
    assert set(app.recordings._recordings) <= kept_before


def test_an_upload_that_takes_long_is_in_use(app):
    with socket.create_connection(("127.0.0.1", app.port)) as connection:
        before = set(app.recordings._recordings)
        host = f"127.0.0.1:{app.port}"
        connection.sendall(f"POST /api/recordings HTTP/1.1\r\nHost: {host}\r\nContent-Length: 3\r\n\r\n1".encode())
        eventually(lambda: set(app.recordings._recordings) - before)
        (key,) = set(app.recordings._recordings) - before
        recording = app.recordings._recordings[key]
        eventually(lambda: recording.file.exists())
        recording.used -= LIMITS.idle_seconds - 60
        before = recording.used
        connection.sendall(b"2")
        eventually(lambda: recording.used > before)


def test_the_queue_is_that_of_uploads_that_ended(app, monkeypatch):
    monkeypatch.setattr(app.recordings._workers, "submit", lambda *_: None)
    first, second = app.recordings.new("first", False), app.recordings.new("second", False)
    for recording in (second, first):
        app.recordings.hear(recording)
    assert [app.recordings.ahead_of(each) for each in (second, first)] == [0, 1]
    for recording in (first, second):
        app.recordings.discard(recording)


def test_a_request_that_breaks_off_is_no_fault_of_the_server(app, tmp_path, caplog):
    key = app.upload(song(tmp_path / "song.wav", 1.0).read_bytes())
    app.wait(key)
    with socket.create_connection(("127.0.0.1", app.port)) as connection:
        path = f"/api/recordings/{key}/files/csv"
        connection.sendall(f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 100\r\n\r\n[0.5".encode())
        time.sleep(0.2)
    time.sleep(0.5)
    assert app.ask("GET", "/api/model")[0] == 200
    assert not caplog.records


def test_a_copy_that_does_not_fit_is_told(app, tmp_path, monkeypatch):
    def full(self, samples):
        raise soundfile.LibsndfileError(2)

    content = song(tmp_path / "song.aiff").read_bytes()
    monkeypatch.setattr(soundfile.SoundFile, "write", full)
    state = app.wait(app.upload(content, "song.aiff", copy="yes"))
    assert "the copy that the browser is to play cannot be written" in state["message"]
    assert "is this machine's disk full?" in state["message"]
    assert not list(app.recordings._folder.iterdir())


def test_answers_say_which_model_gave_them(app, tmp_path):
    """A page may be older than the server."""
    state = app.wait(app.upload(song(tmp_path / "song.wav", 1.0).read_bytes()))
    model = json.loads(app.ask("GET", "/api/model")[2])
    assert state["model"] == model["id"] == loading.digest(app.model)


def test_a_discarded_recording_is_given_up_and_the_oldest_makes_room(app, tmp_path, monkeypatch):
    content = song(tmp_path / "song.wav").read_bytes()
    keys = [app.upload(content) for _ in range(LIMITS.max_recordings)]
    for key in keys:
        app.wait(key)
    app.wait(keys[0])  # used last
    app.wait(app.upload(content))
    assert app.ask("GET", f"/api/recordings/{keys[1]}")[0] == 404
    assert app.ask("GET", f"/api/recordings/{keys[0]}")[0] == 200
    recording = app.recordings.find(keys[0])
    recording.used -= 2 * LIMITS.idle_seconds
    assert app.ask("GET", f"/api/recordings/{keys[0]}")[0] == 404

    held = threading.Event()

    def slow(path, rate):
        held.wait(60)
        yield np.zeros(441, np.float32)

    monkeypatch.setattr(kept, "read_blocks", slow)
    keys = [app.upload(content) for _ in range(LIMITS.max_recordings)]
    status, _, answer = app.ask("POST", "/api/recordings?name=a", content)
    assert (status, json.loads(answer)["message"]) == (
        503,
        "Too many recordings are being heard. Try again in a minute.",
    )
    found = [app.recordings.find(key) for key in keys]
    for key in keys:
        assert app.ask("DELETE", f"/api/recordings/{key}")[0] == 204
    held.set()
    eventually(lambda: all(each.finished for each in found) and not list(app.recordings._folder.iterdir()))
    assert {each.state for each in found} == {State.FAILED}


def test_foreign_names_and_foreign_pages_are_refused(app):
    own = f"127.0.0.1:{app.port}"
    for host, status in {own: 200, f"localhost:{app.port}": 200, f"[::1]:{app.port}": 200, "evil.example": 421}.items():
        assert app.ask("GET", "/", Host=host)[0] == status, host
    post = ("POST", "/api/recordings?name=a", b"no sound")
    assert app.ask(*post, Origin=f"http://{own}")[0] == 202
    for headers in (
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://["},
        {"Sec_Fetch_Site": "cross-site"},
    ):
        assert app.ask(*post, **headers)[0] == 403
    for path in ("/", "/static/main.js", "/api/model", "/nothing"):
        headers = app.ask("GET", path)[1]
        assert "default-src 'none'" in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
    status, headers, _ = app.ask("PUT", "/api/model", Origin=f"http://{own}")
    assert (status, set(headers["allow"].split(", "))) == (405, {"GET", "HEAD"})
    for path in ("/static/../server.py", "/static/%2e%2e/server.py", "/api/recordings/..%2f..%2fetc"):
        assert app.ask("GET", path)[0] == 404


@pytest.mark.parametrize(
    "body",
    [
        "",
        "[]",
        "[" * 50_000,
        json.dumps([2.0] * 17),
        json.dumps(["0.5"] * 17),
        json.dumps([True] * 17),
        "[NaN" + ",0.5" * 16 + "]",
    ],
)
def test_thresholds_that_are_none_are_refused(app, tmp_path, body):
    key = app.upload(song(tmp_path / "song.wav", 1.0).read_bytes())
    app.wait(key)
    status, _, answer = app.ask("POST", f"/api/recordings/{key}/files/csv", body)
    assert status == 400
    assert json.loads(answer)["message"] == "Thresholds must be a JSON list of 17 numbers between 0 and 1."


def test_a_busy_port_and_an_unfit_model_are_named(app, exported_cnn):
    with pytest.raises(ConfigError, match=rf"cannot listen at 127.0.0.1, port {app.port}: Address already in use"):
        web.bind("127.0.0.1", app.port)
    with pytest.raises(BundleError, match="one answer a window and no timeline"):
        Recordings(exported_cnn / "clip.tflite", LIMITS)


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, getattr(signal, "SIGHUP", signal.SIGINT)])
def test_the_command_serves_until_a_signal_and_leaves_nothing(app, tmp_path, how):
    words = ("-c", "from mir_tf.cli import main; main(prog_name='mir-tf')", "app", app.model)
    environment = {"TMPDIR": str(tmp_path), "PATH": "", "PYTHONPATH": str(Path(web.__file__).parents[2])}
    with subprocess.Popen(
        [sys.executable, *words, "--port", "0", "--no-browser", "--host", "0.0.0.0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    ) as process:
        try:
            address = process.stdout.readline()
            assert re.fullmatch(rf"http://{re.escape(socket.gethostname())}:\d+/   Ctrl-C ends it\n", address)
            started = App(int(address.split(":")[2].split("/")[0]), app.recordings, app.model)
            assert started.ask("GET", "/")[0] == 200
            assert len(list(tmp_path.iterdir())) == 1
            connection = socket.create_connection(("127.0.0.1", started.port))  # an upload that does not end
            host = f"127.0.0.1:{started.port}"
            connection.sendall(f"POST /api/recordings HTTP/1.1\r\nHost: {host}\r\nContent-Length: 9\r\n\r\n1".encode())
            eventually(lambda: list(next(tmp_path.iterdir()).iterdir()))
        finally:
            process.send_signal(how)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == (-signal.SIGTERM if how == signal.SIGTERM else 0)
    assert "Warning: whoever reaches 0.0.0.0 can use this page" in errors
    assert "Traceback" not in errors
    assert "Cancel" not in errors
    connection.close()
    assert not list(tmp_path.iterdir())


def test_what_goes_wrong_here_is_said(app, monkeypatch):
    monkeypatch.setattr(kept.Recordings, "find", lambda *_: 1 / 0)
    status, headers, body = app.ask("GET", "/api/recordings/x")
    assert (status, json.loads(body)) == (500, {"message": "Something went wrong on this machine."})
    assert {name.lower(): value for name, value in web._HEADERS.items()}.items() <= headers.items()


def test_recordings_are_forgotten_without_a_request(monkeypatch):
    monkeypatch.setattr(web, "_IDLE_CHECK_SECONDS", 0.01)
    forgotten = threading.Event()
    recordings = types.SimpleNamespace(close=lambda: None, forget_idle=forgotten.set)

    async def live():
        async with web.make_app(recordings, "model").router.lifespan_context(None):
            with anyio.fail_after(10):
                while not forgotten.is_set():
                    await anyio.sleep(0.01)

    anyio.run(live)


def test_an_installed_package_holds_the_page():
    setup = configparser.ConfigParser(interpolation=None)
    setup.read(Path(__file__).parents[2] / "setup.cfg", encoding="utf-8")
    patterns = setup["options.package_data"]["mir_tf"].split()
    files = [f"app/static/{path.name}" for path in web.STATIC.iterdir()]
    assert len(files) > 5
    assert all(any(fnmatch.fnmatch(file, pattern) for pattern in patterns) for file in files)
    html = (web.STATIC / "index.html").read_text("utf-8")
    named = re.findall(r'(?:href|src)="(static/[^"]+)"', html)
    assert named
    assert {f"app/{name}" for name in named} <= set(files)


# In a browser


@pytest.fixture
def page(chromium, app):
    """The page, open; ``page.requests`` are the addresses that it asked for."""
    page = chromium.new_page(viewport={"width": 360, "height": 740})
    page.requests, page.faults = [], []
    page.on("request", lambda request: page.requests.append(request.url))
    page.on("pageerror", lambda error: page.faults.append(str(error)))
    page.goto(f"http://127.0.0.1:{app.port}/")
    page.wait_for_selector("[data-state=empty]")
    yield page
    own = (f"http://127.0.0.1:{app.port}/", f"blob:http://127.0.0.1:{app.port}/", "data:")
    assert not [address for address in page.requests if not address.startswith(own)]
    assert not page.faults
    page.close()


def choose(page, path, state="[data-state=heard]"):
    page.set_input_files("#choice", path)
    page.wait_for_selector(state, timeout=60_000)


def download(page, name):
    with page.expect_download() as found:
        page.click(f"[data-format={name}]")
    return found.value.suggested_filename, Path(found.value.path()).read_bytes()


def until(page, condition):
    """Playwright's own wait_for_function calls eval in the page, which its Content-Security-Policy forbids."""
    for _ in range(200):
        if page.evaluate(condition):
            return
        page.wait_for_timeout(50)
    raise AssertionError(condition)


@pytest.mark.slow
def test_the_page_shows_what_python_finds_and_plays_it(page, app, tmp_path):
    path = song(tmp_path / "song.wav")
    choose(page, path)
    expected = LiteModel(app.model).predict(path)
    assert page.inner_text("#dominant") == expected.dominant
    assert page.locator("#lanes .row:visible").count() == len(expected.detected) > 3
    names = [text.split("\n")[0] for text in page.locator("#bars li").all_inner_texts()]
    assert names == [expected.classes[index] for index in expected.detected]
    assert page.evaluate("document.documentElement.scrollWidth") <= 360

    page.locator("#lanes .lane").first.click()  # in its middle
    until(page, "Math.abs(document.querySelector('#player').currentTime - 3) < 0.1")
    until(page, "Math.abs(document.querySelector('#timeline').style.getPropertyValue('--position') - 0.5) < 0.02")
    for key, time_after in {"ArrowLeft": 0.0, "Shift+ArrowRight": 0.5, "End": 6.0, "Home": 0.0}.items():
        page.keyboard.press(key)
        until(page, f"Math.abs(document.querySelector('#player').currentTime - {time_after}) < 0.1")
    page.keyboard.press("Space")
    until(page, "document.querySelector('#player').currentTime > 0.3")
    assert page.get_attribute("#play", "aria-label") == "Pause"
    page.keyboard.press("Space")
    until(page, "document.querySelector('#player').paused")

    page.click("#others")
    assert page.locator("#lanes .row:visible").count() == 17


def is_dark(page):
    paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
    return max(map(int, re.findall(r"\d+", paper))) < 128


@pytest.mark.slow
def test_the_system_s_colours_are_followed_until_others_are_chosen_which_are_kept(page):
    for scheme in ("dark", "light", "dark"):
        page.emulate_media(color_scheme=scheme)
        assert is_dark(page) == (scheme == "dark")
    page.get_by_role("button", name="Switch to light colours").click()
    assert not is_dark(page)
    page.reload()
    assert not is_dark(page)
    page.get_by_role("button", name="Switch to dark colours").click()
    page.emulate_media(color_scheme="light")
    page.reload()
    assert is_dark(page)


@pytest.mark.slow
def test_colours_can_be_chosen_where_nothing_may_be_stored(page):
    page.add_init_script(
        "Object.defineProperty(window, 'localStorage', { get() { throw new DOMException('', 'SecurityError'); } })"
    )
    page.reload()
    page.wait_for_selector("[data-state=empty]")
    page.click("#theme")
    assert is_dark(page)


class Timeline:
    """What the timeline of a page shows, and the pointer on it."""

    def __init__(self, page):
        self.page = page
        self.touch = page.context.new_cdp_session(page)

    @property
    def part(self):
        """The seconds that are shown, first and last."""
        text = self.page.get_by_role("scrollbar", include_hidden=True).get_attribute("aria-valuetext")
        return tuple(60 * int(minutes) + float(seconds) for minutes, seconds in re.findall(r"(\d+):([\d.]+)", text))

    @property
    def ticks(self):
        return self.page.locator("#ruler .tick").all_inner_texts()

    @property
    def position(self):
        """Where in the width it plays."""
        return float(self.page.evaluate("document.querySelector('#timeline').style.getPropertyValue('--position')"))

    @property
    def time(self):
        return self.page.evaluate("document.querySelector('#player').currentTime")

    def at(self, share, selector="#seek"):
        """The point at a share of the width of something."""
        found = self.page.locator(selector).first
        found.scroll_into_view_if_needed()
        box = found.bounding_box()
        return box["x"] + share * box["width"], box["y"] + box["height"] / 2

    def settle(self):
        self.page.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")

    def drag(self, selector, start, end):
        self.page.mouse.move(*self.at(start, selector))
        self.page.mouse.down()
        self.page.mouse.move(*self.at(end, selector), steps=4)
        self.page.mouse.up()
        self.settle()

    def wheel(self, share, across, along, *keys):
        self.page.mouse.move(*self.at(share))
        for key in keys:
            self.page.keyboard.down(key)
        self.page.mouse.wheel(across, along)
        self.page.wait_for_timeout(100)  # wheels arrive by another way than what is asked for here
        for key in keys:
            self.page.keyboard.up(key)
        self.settle()

    def fingers(self, *paths):
        """Fingers on the first lane, each from one share of its width to another."""
        for kind, moved in (
            ("touchStart", 0.0),
            *(("touchMove", step / 4) for step in range(1, 5)),
            ("touchEnd", None),
        ):
            points = [
                dict(zip("xy", self.at(start + (end - start) * moved, "#lanes .lane"), strict=True), id=index)
                for index, (start, end) in enumerate(paths)
                if moved is not None
            ]
            self.touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
        self.settle()

    def blocks(self, index, times):
        """Whether the lane of a class has a block where these times are shown."""
        start, end = self.part
        return self.page.evaluate(
            """({ index, shares }) => {
                const canvas = document.querySelector(`[data-index='${index}'] canvas`);
                const row = canvas.getContext("2d").getImageData(0, canvas.height - 2, canvas.width, 1).data;
                return shares.map((share) => row[4 * Math.floor(share * canvas.width) + 3] === 255);
            }""",
            {"index": index, "shares": [(time - start) / (end - start) for time in times]},
        )


@pytest.mark.slow
def test_the_timeline_zooms_and_scrolls_as_one(page, app, tmp_path):
    path = song(tmp_path / "song.wav", 32.0)
    choose(page, path)
    expected = LiteModel(app.model).predict(path)
    timeline = Timeline(page)
    closer, wider = page.get_by_role("button", name="Zoom in"), page.get_by_role("button", name="Zoom out")
    assert timeline.part == (0, 32)
    assert wider.is_disabled()
    assert not page.locator("#part").is_visible()

    page.mouse.click(*timeline.at(0.5))
    until(page, "Math.abs(document.querySelector('#player').currentTime - 16) < 0.2")
    waveform = "document.querySelector('#seek canvas').toDataURL()"
    whole, played = page.evaluate(waveform), timeline.position
    closer.click()
    page.keyboard.press("+")
    assert timeline.part == pytest.approx((12, 20), abs=0.2)
    assert timeline.position == pytest.approx(played, abs=0.01)
    assert page.evaluate(waveform) != whole
    assert timeline.ticks[0] == "0:15"
    assert page.evaluate("document.documentElement.scrollWidth") <= 360

    frames = np.arange(round(10 * timeline.part[0]) + 1, round(10 * timeline.part[1]) - 1)
    drawn = 0
    for index in expected.detected:
        plays = np.zeros(320, bool)
        for each in expected.intervals:
            if each.label == expected.classes[index]:
                plays[round(10 * each.start) : round(10 * each.end)] = True
        assert timeline.blocks(index, (frames + 0.5) / 10) == plays[frames].tolist()
        drawn += len(set(plays[frames].tolist())) - 1
    assert drawn

    page.mouse.click(*timeline.at(0.25, "#lanes .lane"))
    assert timeline.time == pytest.approx(timeline.part[0] + 2, abs=0.1)
    until(page, "document.querySelector('#reading').textContent.startsWith('0:14.')")

    under = timeline.part[0] + 0.75 * 8
    timeline.wheel(0.75, 0, -200, "Control")
    start, end = timeline.part
    assert end - start == pytest.approx(4, abs=0.2)
    assert start + 0.75 * (end - start) == pytest.approx(under, abs=0.1)
    timeline.wheel(0.5, 0, -60)
    assert timeline.part == (start, end)  # that scrolls the page
    timeline.wheel(0.5, page.locator("#seek").bounding_box()["width"] / 2, 0)
    assert timeline.part == pytest.approx((start + 2, end + 2), abs=0.1)
    timeline.drag("#ruler", 0.2, 0.7)
    assert timeline.part == pytest.approx((start, end), abs=0.2)
    timeline.drag("#part", 0.5, 0.25)
    assert timeline.part == pytest.approx((6, 10), abs=0.2)
    page.focus("#part")
    page.keyboard.press("End")
    assert timeline.part == pytest.approx((28, 32), abs=0.1)
    page.keyboard.press("PageUp")
    assert timeline.part == pytest.approx((24, 28), abs=0.1)
    page.evaluate("document.activeElement.blur()")

    for key in ("Home", "End", "ArrowLeft", "Shift+ArrowLeft"):  # what plays is shown
        page.keyboard.press(key)
        start, end = timeline.part
        assert start - 0.05 <= timeline.time <= end + 0.05
    while not closer.is_disabled():
        page.keyboard.press("+")
    start, end = timeline.part
    assert end - start == pytest.approx(2, abs=0.1)
    page.keyboard.press("Space")
    until(page, f"document.querySelector('#player').currentTime > {end + 0.2}")
    page.keyboard.press("Space")
    timeline.settle()
    assert timeline.part[0] > start
    assert 0 <= timeline.position <= 1
    while not wider.is_disabled():
        page.keyboard.press("-")
    assert timeline.part == (0, 32)
    assert not page.locator("#part").is_visible()


@pytest.mark.slow
def test_fingers_seek_pull_and_zoom(page, tmp_path):
    choose(page, song(tmp_path / "song.wav", 32.0))
    timeline = Timeline(page)
    timeline.fingers((0.25, 0.25))
    assert timeline.time == pytest.approx(8, abs=0.3)
    timeline.fingers((0.3, 0.1), (0.7, 0.9))  # twice as far apart, about the middle
    assert timeline.part == pytest.approx((8, 24), abs=0.5)
    assert timeline.time == pytest.approx(8, abs=0.3)
    timeline.fingers((0.75, 0.25))
    assert timeline.part == pytest.approx((16, 32), abs=1)
    assert timeline.time == pytest.approx(8, abs=0.3)  # who looks elsewhere does not seek
    timeline.fingers((0.5, 0.5))
    assert timeline.time == pytest.approx(24, abs=1)


@pytest.mark.slow
def test_a_slider_redraws_and_downloads_follow_it(page, app, tmp_path):
    path = song(tmp_path / "song.wav")
    choose(page, path)
    expected = LiteModel(app.model).predict(path)
    index = expected.detected[0]
    before = page.evaluate("document.querySelector('#lanes canvas').toDataURL()")
    thresholds = expected.thresholds.copy()
    thresholds[index] = 0.99
    slider = page.locator(f"[data-index='{index}'] input")
    slider.fill("0.99")
    assert page.evaluate("document.querySelector('#lanes canvas').toDataURL()") != before
    moved = expected.with_thresholds(thresholds)
    assert page.inner_text("#dominant") == moved.dominant != expected.dominant
    name, content = download(page, "jams")
    assert name == "song.wav.jams"
    tags = json.loads(content)["annotations"][0]["data"]
    assert sorted((tag["value"], round(tag["time"], 1)) for tag in tags) == sorted(
        (each.label, round(each.start, 1)) for each in moved.intervals
    )
    page.click("#reset")
    assert page.inner_text("#dominant") == expected.dominant
    for name, form in FORMATS.items():
        assert download(page, name)[0] == f"song.wav{form.suffix}"


@pytest.mark.slow
def test_the_rule_in_the_page_is_that_of_python(page, app, tmp_path):
    """Of the model's own thresholds, of random ones, and of the ends of their range."""
    expected = LiteModel(app.model).predict(song(tmp_path / "song.wav", 30.0))
    random = np.random.default_rng(1)
    cases = [expected.thresholds, np.zeros(17), np.ones(17), *random.uniform(0.1, 0.9, (40, 17))]
    total = 0
    for case in cases:
        thresholds = np.array(case, np.float32)
        found = page.evaluate(
            """async ({ rule, from, to, columns }) => {
                const { moved, stretches, playingTime } = await import("/static/rule.js");
                const thresholds = Float32Array.from(to);
                const changed = moved(rule, from, thresholds);
                return columns.map((column, index) => {
                    const values = Float32Array.from(column);
                    return [stretches(values, thresholds[index], changed, index, 10),
                            playingTime(values, thresholds[index], 10)];
                });
            }""",
            {
                "rule": expected.post_processing.to_dict(),
                "from": expected.thresholds.tolist(),
                "to": thresholds.tolist(),
                "columns": expected.probabilities.T.tolist(),
            },
        )
        moved = expected.with_thresholds(thresholds)
        intervals = sorted((each.label, each.start, each.end) for each in moved.intervals)
        total += len(intervals)
        assert intervals == sorted(
            (expected.classes[index], start / 10, min(end / 10, expected.seconds))
            for index, (stretches, _) in enumerate(found)
            for start, end in stretches
        )
        assert [seconds for _, seconds in found] == pytest.approx(moved.playing_time.tolist())
    assert total > 200


@pytest.mark.slow
def test_rubbish_is_told_kindly_and_files_that_the_browser_cannot_play_are(page, app, tmp_path, monkeypatch):
    (tmp_path / "rubbish.mp3").write_bytes(b"no sound")
    choose(page, tmp_path / "rubbish.mp3", "#failure:has-text('rubbish.mp3')")
    assert page.inner_text("#failure") == f"“rubbish.mp3” {NO_RECORDING}"
    assert page.get_attribute("body", "data-state") == "empty"
    (tmp_path / "big.wav").write_bytes(bytes(LIMITS.max_bytes + 1))
    choose(page, tmp_path / "big.wav", "#failure:has-text('big.wav')")
    assert page.inner_text("#failure") == "“big.wav” is larger than 4 MB. Try a compressed one, as mp3."
    choose(page, song(tmp_path / "song.aiff"))
    assert not page.inner_text("#failure")
    until(page, "Math.abs(document.querySelector('#player').duration - 6) < 0.1")
    page.keyboard.press("ArrowRight")
    until(page, "Math.abs(document.querySelector('#player').currentTime - 5) < 0.1")
    choose(page, tmp_path / "rubbish.mp3", "#failure:has-text('rubbish.mp3')")
    assert page.inner_text("#file") == "song.aiff"  # what was there stays
    monkeypatch.setattr(app.recordings, "model_id", "another")
    choose(page, song(tmp_path / "song.aiff"), "#failure:has-text('with another model. Reload the page.')")


@pytest.mark.slow
def test_who_stops_or_leaves_is_forgotten(page, app, tmp_path, monkeypatch):
    path = song(tmp_path / "song.wav")
    choose(page, path)
    before = set(app.recordings._recordings)
    held = threading.Event()

    def slow(path, rate):
        held.wait(60)
        yield np.zeros(441, np.float32)

    with monkeypatch.context() as patched:
        patched.setattr(kept, "read_blocks", slow)
        choose(page, path, "#message:has-text('Reading it')")
        assert len(set(app.recordings._recordings) - before) == 1
        (tmp_path / "big.wav").write_bytes(bytes(LIMITS.max_bytes + 1))
        choose(page, tmp_path / "big.wav", "#failure:has-text('big.wav')")
        assert page.get_attribute("body", "data-state") == "working"  # the other goes on
        page.click("#stop")
        page.wait_for_selector("[data-state=heard]")
        eventually(lambda: set(app.recordings._recordings) == before)
        choose(page, path, "#message:has-text('Reading it')")
        assert not page.inner_text("#failure")
        page.goto("about:blank")
        eventually(lambda: len(app.recordings._recordings) == len(before) - 1)
        held.set()
    page.requests.clear()
