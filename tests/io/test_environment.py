"""Settings of notebooks, of other projects and of CI systems do not change what the commands do."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from helpers.recordings import write_song

from mir_tf import pretrained

HOSTILE = {
    "CLICOLOR_FORCE": "1",
    "COLUMNS": "0",
    "FORCE_COLOR": "1",
    "HOME": "/dev/null",
    "KERAS_BACKEND": "torch",
    "LC_ALL": "C",
    "LIBROSA_CACHE_DIR": "/dev/null",
    "MPLBACKEND": "module://matplotlib_inline.backend_inline",
    "NUMBA_NUM_THREADS": "many",
    "OMP_NUM_THREADS": "0",
    "PYTHONIOENCODING": "ascii",
    "PYTHONOPTIMIZE": "2",
    "PYTHONWARNINGS": "error",
    "TERM": "dumb",
    "TF_USE_LEGACY_KERAS": "1",
}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Return the folder of another project, with settings for Matplotlib and Keras that would break pictures."""
    (tmp_path / "matplotlibrc").write_text("text.usetex: True\nbackend: nonsense\nfont.size: 90\n")
    (tmp_path / "keras.json").write_text('{"backend": "jax", "floatx": "float16", "image_data_format": "nonsense"}')
    write_song(tmp_path / "søng.wav")
    return tmp_path


def start(folder: Path, *words: str | Path, **options: object) -> subprocess.CompletedProcess[bytes]:
    """Run ``mir-tf`` as a process of the project, in the hostile environment."""
    environment = os.environ | HOSTILE | {"KERAS_HOME": str(folder)}
    command = [sys.executable, "-m", "mir_tf", *map(str, words)]
    standard = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | options
    return subprocess.run(command, cwd=folder, env=environment, check=False, **standard)  # type: ignore[call-overload, no-any-return]


def test_predict_writes_the_same_files_as_elsewhere(project: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    plain = tmp_path_factory.mktemp("plain")
    words = ("predict", project / "søng.wav", "--format", "json,csv,png,svg", "--out")
    result = start(project, *words, project / "out")
    assert result.returncode == 0, result.stderr.decode()
    assert b"\x1b" not in result.stdout + result.stderr
    assert rb"s\xf8ng.wav" in result.stdout
    subprocess.run([sys.executable, "-m", "mir_tf", *map(str, (*words, plain))], check=True, capture_output=True)
    files = {path.name: path.read_bytes() for path in plain.iterdir()}
    assert len(files) == 4
    assert {path.name: path.read_bytes() for path in (project / "out").iterdir()} == files


@pytest.mark.slow
def test_a_run_predicts_what_it_predicts_elsewhere(project: Path) -> None:
    result = start(project, "predict", pretrained.folder(), "søng.wav", "--json")
    assert result.returncode == 0, result.stderr.decode()
    expected = subprocess.run(
        [sys.executable, "-m", "mir_tf", "predict", str(pretrained.folder()), "søng.wav", "--json"],
        cwd=project,
        check=True,
        capture_output=True,
    )
    assert json.loads(result.stdout) == json.loads(expected.stdout)


def test_listen_prints_json_to_a_pipe(project: Path) -> None:
    with (project / "søng.wav").open("rb") as audio:
        result = start(project, "listen", stdin=audio)
    assert result.returncode == 0, result.stderr.decode()
    lines = result.stdout.decode().splitlines()
    assert [json.loads(line)["start"] for line in lines[:2]] == [0.0, 0.1]


@pytest.mark.parametrize("module", ["mir_tf", "tfrecords_builder"])
def test_help_has_its_texts_without_docstrings(project: Path, module: str) -> None:
    command = [sys.executable, "-OO", "-W", "error", "-m", module, "--help"]
    result = subprocess.run(command, cwd=project, check=True, capture_output=True, text=True)
    assert "Exit status: 0 success" in " ".join(result.stdout.split())


@pytest.mark.parametrize(
    "words",
    [("--help",), ("predict", "--help"), ("predict", "søng.wav"), ("predict", "søng.wav", "--json"), ("listen",)],
)
def test_a_full_disk_behind_standard_output_is_named(project: Path, words: tuple[str, ...]) -> None:
    with open("/dev/full", "wb") as full, (project / "søng.wav").open("rb") as audio:
        result = start(project, *words, stdin=audio, stdout=full)
    assert result.returncode == 1
    error = result.stderr.decode()
    assert "Error: standard output: cannot be written: the disk is full (No space left on device)" in error
    assert "Traceback" not in error
    assert "Exception ignored" not in error


def test_a_deleted_working_directory_is_named(tmp_path: Path) -> None:
    script = f"mkdir gone && cd gone && rmdir ../gone && exec {sys.executable} -m mir_tf predict song.mp3"
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    result = subprocess.run(
        ["sh", "-c", script], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert result.returncode == 1
    assert (
        result.stderr
        == "Error: the working directory was deleted; change to one that exists (cd), and run this again\n"
    )


HIDING = ("soxr", "numpy", "click", "dataclasses", "random", "json")


def test_a_module_in_the_working_directory_hides_no_package(tmp_path: Path) -> None:
    write_song(tmp_path / "song.wav")
    for name in HIDING:
        (tmp_path / f"{name}.py").write_text("x = 1")
    result = start(tmp_path, "predict", tmp_path / "song.wav")
    assert result.returncode == 0, result.stderr.decode()
    command = [sys.executable, "-m", "tfrecords_builder", "--help"]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)


@pytest.mark.parametrize("name", HIDING)
def test_a_module_that_hides_a_package_is_named(tmp_path: Path, name: str) -> None:
    write_song(tmp_path / "song.wav")
    (tmp_path / f"{name}.py").write_text("x = 1")
    path = os.pathsep.join((str(tmp_path), os.environ.get("PYTHONPATH", "")))
    command = [sys.executable, "-m", "mir_tf", "predict", tmp_path / "song.wav"]
    result = subprocess.run(command, env=os.environ | {"PYTHONPATH": path}, capture_output=True, text=True, check=False)
    assert result.returncode == 1
    assert f"{tmp_path}/{name}.py may hide a package of this name" in result.stderr
    assert "Traceback" not in result.stderr


def test_a_backend_of_keras_that_does_not_fit_is_named() -> None:
    code = "import mir_tf\ntry:\n    mir_tf.load(" + repr(str(pretrained.folder()))
    code += ")\nexcept mir_tf.errors.MirTfError as error:\n    print(error)"
    result = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"KERAS_BACKEND": "torch"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "its backend is torch: set the environment variable KERAS_BACKEND to tensorflow" in result.stdout
