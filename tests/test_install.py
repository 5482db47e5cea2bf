"""The Dockerfile, step by step in a new virtual environment, and the commands in this light installation.

Docker itself is not needed. The tests are skipped where pip cannot fetch packages.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from helpers.light import REMEDY, TRAINING_COMMANDS, write_inputs
from helpers.running_app import App

ROOT = Path(__file__).parents[1]
MAX_MEGABYTES = 450

pytestmark = [pytest.mark.slow, pytest.mark.skipif(sys.platform == "win32", reason="the image runs Linux")]


class Image(NamedTuple):
    """What the Dockerfile makes: a virtual environment, and how to start a program in it."""

    packages: Path
    environment: dict[str, str]
    user: str
    port: int
    command: list[str]

    def run(self, *words: str | Path, **options) -> subprocess.CompletedProcess:
        """Run a program of the environment."""
        options = {"capture_output": True, "text": True, "env": self.environment, "timeout": 120} | options
        return subprocess.run(list(map(str, words)), **options)


def instructions(dockerfile: str) -> Iterator[tuple[str, str]]:
    """Yield the name and the arguments of each instruction."""
    text = re.sub(r"^#.*\n", "", dockerfile, flags=re.MULTILINE).replace("\\\n", " ")
    for line in filter(None, text.splitlines()):
        name, arguments = line.split(maxsplit=1)
        yield name, arguments


def copy_context(folder: Path) -> None:
    """Copy what .dockerignore lets in: ``*`` leaves out everything, ``!`` takes a name back in."""
    first, *lines = (ROOT / ".dockerignore").read_text("utf-8").splitlines()
    assert first == "*"
    for line in lines:
        if not line.startswith("!"):
            assert line == "**/__pycache__"
        elif (ROOT / line[1:]).is_dir():
            shutil.copytree(ROOT / line[1:], folder / line[1:], ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / line[1:], folder)


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Image:
    """Follow the Dockerfile in a virtual environment; folders of the image lie in a temporary one."""
    base = tmp_path_factory.mktemp("image")
    venv, root = base / "venv", base / "root"
    subprocess.run([sys.executable, "-m", "venv", venv], check=True)
    python = venv / "bin" / "python"
    fetched = [python, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", base / "wheel", "click"]
    if (failed := subprocess.run(fetched, capture_output=True, text=True)).returncode:
        pytest.skip(f"pip cannot fetch packages: {failed.stderr.strip().splitlines()[-1]}")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "MIR_TF"))}
    environment |= {"PATH": f"{venv / 'bin'}{os.pathsep}{os.environ['PATH']}", "TMPDIR": str(base)}
    folder, user, port, command = root, "root", 0, [""]
    for name, arguments in instructions((ROOT / "Dockerfile").read_text("utf-8")):
        match name:
            case "FROM":
                assert f"Python :: {arguments.removeprefix('python:').removesuffix('-slim')}\n" in setup_cfg()
            case "ENV":
                environment |= dict([arguments.split("=", 1)])
            case "WORKDIR":
                folder = root / arguments.removeprefix("/")
                folder.mkdir(parents=True)
            case "COPY":
                assert arguments == ". ."
                copy_context(folder)
            case "RUN":
                options = {"cwd": folder, "env": environment, "capture_output": True, "text": True}
                done = subprocess.run(arguments, shell=True, **options)
                assert done.returncode == 0, done.stderr
            case "USER":
                user = arguments
            case "EXPOSE":
                port = int(arguments)
            case "CMD":
                command = json.loads(arguments)
            case _:
                raise AssertionError(f"this test does not know {name}")
    (packages,) = venv.glob("lib/python*/site-packages")
    return Image(packages, environment, user, port, command)


def setup_cfg() -> str:
    return (ROOT / "setup.cfg").read_text("utf-8")


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in a folder with a recording, a run and a data set."""
    write_inputs(tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_it_is_small_and_has_no_tensorflow(image: Image) -> None:
    listed = image.run("python", ROOT / "tools" / "package_sizes.py").stdout.splitlines()
    megabytes, name = listed[-1].split(maxsplit=1)
    assert name == "in all"
    assert 200 < float(megabytes) < MAX_MEGABYTES, "\n".join(listed)
    names = {path.name for path in image.packages.iterdir()}
    assert {"mir_tf", "tfrecords_builder", "numpy", "ai_edge_litert"} <= names
    assert not names & {"tensorflow", "keras", "librosa", "scipy", "pandas", "pretty_midi"}


def test_predict_and_listen_answer(image: Image, place: Path) -> None:
    predicted = image.run("mir-tf", "predict", "song.wav", "--out", "out", "--format", "json,csv,png,svg")
    assert predicted.returncode == 0, predicted.stderr
    assert "song.wav, 0:06" in predicted.stdout
    assert all((place / "out" / f"song.wav.{name}").stat().st_size for name in ("json", "csv", "png", "svg"))
    with open("song.wav", "rb") as song:
        listened = image.run("mir-tf", "listen", stdin=song)
    assert listened.returncode == 0, listened.stderr
    assert len(listened.stdout.splitlines()) == 60
    code = "import mir_tf; print(mir_tf.load().predict('song.wav').probabilities.shape)"
    assert image.run("python", "-c", code).stdout == "(60, 17)\n"


def test_the_app_serves(image: Image, place: Path) -> None:
    """Start the app as the image does, on a free port, and upload a recording."""
    assert image.user not in ("root", "0")
    words = list(image.command)
    given = words.index("--port") + 1
    assert words[given] == str(image.port)
    words[given] = "0"
    with subprocess.Popen(words, env=image.environment, stdout=subprocess.PIPE, text=True) as process:
        try:
            port = re.match(r"http://.+:(\d+)/ ", process.stdout.readline())[1]
            app = App(int(port), None, None)
            status, _, page = app.ask("GET", "/")
            assert status == 200
            assert b"<title>" in page
            key = app.upload((place / "song.wav").read_bytes())
            assert app.wait(key)["seconds"] == 6.0
            assert len(app.ask("GET", f"/api/recordings/{key}/probabilities")[2]) == 60 * 17 * 4
            status, _, picture = app.ask("POST", f"/api/recordings/{key}/files/png", json.dumps([0.5] * 17))
            assert status == 200
            assert picture.startswith(b"\x89PNG")
        finally:
            process.terminate()
        process.wait(timeout=30)


def test_each_command_that_needs_more_says_so_in_one_line(image: Image, place: Path) -> None:
    commands = [["mir-tf", name, *words] for name, words in TRAINING_COMMANDS.items()]
    commands += [["mir-tf", "predict", "run", "song.wav"]]
    commands += [["python", "-m", "tfrecords_builder", "--demo", "3", "--out", "new"]]
    commands += [["python", "-m", "tfrecords_builder.ensembles", "--songs", "3", "--out", "new"]]
    for words in commands:
        done = image.run(*words)
        assert (done.returncode, done.stdout, done.stderr) == (1, "", f"Error: {REMEDY}\n"), words
        program = words[: words.index("predict") + 1 if "predict" in words else 3 if words[0] == "python" else 2]
        assert image.run(*program, "--help").stdout.startswith("Usage: ")
    assert not (place / "new").exists()
    assert image.run("mir-tf", "--version").returncode == 0
    loaded = image.run("python", "-c", "import mir_tf; mir_tf.load('run')").stderr.splitlines()
    assert loaded[-1] == f"mir_tf.errors.InstallationError: {REMEDY}"
