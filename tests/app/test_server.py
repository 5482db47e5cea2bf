"""The server against clients with bad intentions and bad connections, and the command that runs it."""

import configparser
import contextlib
import http.client
import json
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path, PurePosixPath

import pytest
from helpers.commands import failed
from helpers.running_app import LIMITS, App, eventually, song

from mir_tf import loading
from mir_tf.app import recordings, server
from mir_tf.app.recordings import Recordings
from mir_tf.errors import BundleError, ConfigError


def test_uploads_are_bounded_whether_they_state_their_size_or_not(app: App) -> None:
    big = b"x" * (LIMITS.max_bytes + 1)
    with socket.create_connection(("127.0.0.1", app.port), timeout=60) as connection:
        head = (
            f"POST /api/recordings?name=a HTTP/1.1\r\nHost: 127.0.0.1:{app.port}\r\nContent-Length: {len(big)}\r\n\r\n"
        )
        connection.sendall(head.encode())
        assert connection.recv(100).startswith(b"HTTP/1.1 413 ")
    # Chunked. The server closes the connection, perhaps before its response is read.
    with contextlib.suppress(ConnectionError, http.client.HTTPException):
        assert app.ask("POST", "/api/recordings?name=a", iter([big[: len(big) // 2], big[len(big) // 2 :]]))[0] == 413
    assert not list(app.recordings._folder.iterdir())
    assert app.ask("GET", "/api/model")[0] == 200


def test_an_upload_that_breaks_off_leaves_nothing(app: App) -> None:
    kept_before = set(app.recordings._recordings)
    with socket.create_connection(("127.0.0.1", app.port)) as connection:
        head = f"POST /api/recordings?name=a HTTP/1.1\r\nHost: 127.0.0.1:{app.port}\r\nContent-Length: 1000000\r\n\r\n"
        connection.sendall(head.encode() + bytes(100_000))
        eventually(lambda: list(app.recordings._folder.iterdir()))
    eventually(lambda: not list(app.recordings._folder.iterdir()))
    assert set(app.recordings._recordings) <= kept_before


def test_an_upload_that_takes_long_is_in_use(app: App) -> None:
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


def test_a_request_that_breaks_off_is_no_fault_of_the_server(
    app: App, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    key = app.upload(song(tmp_path / "song.wav", 1.0).read_bytes())
    app.wait(key)
    with socket.create_connection(("127.0.0.1", app.port)) as connection:
        path = f"/api/recordings/{key}/files/csv"
        connection.sendall(f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 100\r\n\r\n[0.5".encode())
        time.sleep(0.2)
    time.sleep(0.5)
    assert app.ask("GET", "/api/model")[0] == 200
    assert not caplog.records


def test_answers_say_which_model_gave_them(app: App, tmp_path: Path) -> None:
    """A page may be older than the server that it talks to."""
    state = app.wait(app.upload(song(tmp_path / "song.wav", 1.0).read_bytes()))
    model = json.loads(app.ask("GET", "/api/model")[2])
    assert state["model"] == model["id"] == loading.digest(app.model)


def test_foreign_names_and_foreign_pages_are_refused(app: App) -> None:
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
def test_thresholds_that_are_none_are_refused(app: App, tmp_path: Path, body: str) -> None:
    key = app.upload(song(tmp_path / "song.wav", 1.0).read_bytes())
    app.wait(key)
    status, _, answer = app.ask("POST", f"/api/recordings/{key}/files/csv", body)
    assert status == 400
    assert json.loads(answer)["message"] == "Thresholds must be a JSON list of 17 numbers between 0 and 1."


def test_a_busy_port_and_an_unfit_model_are_named(app: App, exported_cnn: Path) -> None:
    with pytest.raises(ConfigError, match=rf"cannot listen on 127.0.0.1, port {app.port}: Address already in use"):
        server.bind("127.0.0.1", app.port)
    with pytest.raises(BundleError, match="predicts whole windows, not a timeline"):
        Recordings(exported_cnn / "clip.tflite", LIMITS)


def test_the_port_that_nobody_chose_gives_way_to_the_next_free_one(app: App) -> None:
    with server.bind("127.0.0.1", app.port, is_fixed=False) as listener:
        assert listener.getsockname()[1] > app.port
    assert f"cannot listen on 127.0.0.1, port {app.port}" in failed(2, "app", str(app.model), "--port", str(app.port))
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(OSError):  # if another program listens there, all the better
            stack.enter_context(socket.create_server(("127.0.0.1", 8000)))
        words = (sys.executable, "-c", "from mir_tf.cli import main; main()", "app", app.model, "--no-browser")
        process = stack.enter_context(subprocess.Popen(words, stdout=subprocess.PIPE, text=True))
        try:
            port = int(re.match(r"http://127\.0\.0\.1:(\d+)/ ", process.stdout.readline())[1])
            assert port > 8000
            assert App(port, app.recordings, app.model).ask("GET", "/")[0] == 200
        finally:
            process.terminate()


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, getattr(signal, "SIGHUP", signal.SIGINT)])
def test_the_command_serves_until_a_signal_and_leaves_nothing(app: App, tmp_path: Path, how: signal.Signals) -> None:
    words = ("-c", "from mir_tf.cli import main; main(prog_name='mir-tf')", "app", app.model)
    environment = {"TMPDIR": str(tmp_path), "PATH": "", "PYTHONPATH": str(Path(server.__file__).parents[2])}
    with subprocess.Popen(
        [sys.executable, *words, "--port", "0", "--no-browser", "--host", "0.0.0.0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    ) as process:
        try:
            address = process.stdout.readline()
            assert re.fullmatch(rf"http://{re.escape(socket.gethostname())}:\d+/   Ctrl-C to stop\n", address)
            started = App(int(address.split(":")[2].split("/")[0]), app.recordings, app.model)
            assert started.ask("GET", "/")[0] == 200
            assert len(list(tmp_path.iterdir())) == 1
            connection = socket.create_connection(("127.0.0.1", started.port))  # an upload that never ends
            host = f"127.0.0.1:{started.port}"
            connection.sendall(f"POST /api/recordings HTTP/1.1\r\nHost: {host}\r\nContent-Length: 9\r\n\r\n1".encode())
            eventually(lambda: list(next(tmp_path.iterdir()).iterdir()))
        finally:
            process.send_signal(how)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == (-signal.SIGTERM if how == signal.SIGTERM else 0)
    assert "Warning: anyone who can reach 0.0.0.0 can use this page" in errors
    assert "Traceback" not in errors
    assert "Cancel" not in errors
    connection.close()
    assert not list(tmp_path.iterdir())


def test_what_goes_wrong_here_is_said(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recordings.Recordings, "find", lambda *_: 1 / 0)
    status, headers, body = app.ask("GET", "/api/recordings/x")
    assert (status, json.loads(body)) == (500, {"message": "Something went wrong on this machine."})
    assert {name.lower(): value for name, value in server._HEADERS.items()}.items() <= headers.items()


def test_an_installed_package_holds_the_page() -> None:
    setup = configparser.ConfigParser(interpolation=None)
    setup.read(Path(__file__).parents[2] / "setup.cfg", encoding="utf-8")
    patterns = setup["options.package_data"]["mir_tf"].split()
    paths = [path for path in server.STATIC.rglob("*") if path.is_file()]
    files = [path.relative_to(server.STATIC.parents[1]).as_posix() for path in paths]
    assert len(files) > 5
    assert all(any(PurePosixPath(file).match(pattern) for pattern in patterns) for file in files)
    html = (server.STATIC / "index.html").read_text("utf-8")
    named = re.findall(r'(?:href|src)="(static/[^"]+)"', html)
    assert named
    assert {f"app/{name}" for name in named} <= set(files)


def test_the_examples_are_small_and_the_pretrained_model_detects_what_plays_in_them() -> None:
    page = (server.STATIC / "index.html").read_text("utf-8")
    plays = {
        "rock.mp3": {"Guitar", "Bass", "Drums"},
        "jazz.mp3": {"Reed", "Piano", "Drums"},
        "game.mp3": {"Synth Lead", "Guitar", "Bass", "Drums"},
    }
    paths = sorted((server.STATIC / "examples").glob("*.mp3"))
    assert sum(path.stat().st_size for path in paths) < 1_500_000
    assert sorted(re.findall(r'data-example="(.*?)"', page)) == [path.name for path in paths] == sorted(plays)
    model = loading.load()
    for path in paths:
        prediction = model.predict(path)
        assert 20 < prediction.seconds <= 30
        assert set(prediction.detected) == plays[path.name]
