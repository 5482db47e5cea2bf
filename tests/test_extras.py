"""The extra ``train``: what it contains, and what works without it."""

import ast
import configparser
import functools
import importlib.metadata
import re
import subprocess
import sys
from pathlib import Path

import pytest
from helpers.commands import failed, invoke
from helpers.light import REMEDY, TRAINING_COMMANDS, write_inputs
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from mir_tf import cli, extras
from mir_tf.errors import InstallationError
from tfrecords_builder.__main__ import main as builder
from tfrecords_builder.ensembles.__main__ import main as ensembles

ROOT = Path(__file__).parents[1]

setup = configparser.ConfigParser(interpolation=None)
setup.read(ROOT / "setup.cfg", encoding="utf-8")


def declared(lines: str) -> set[str]:
    """Return the names of the packages in a list of requirements."""
    requirements = [line for line in lines.splitlines() if line and not line.startswith("#")]
    return {canonicalize_name(Requirement(line).name) for line in requirements}


LIGHT = declared(setup["options"]["install_requires"])
EXTRAS = {name: declared(lines) for name, lines in setup["options.extras_require"].items()}


@functools.cache
def installed() -> dict[str, set[str]]:
    """Return top-level module → names of the installed packages that contain it."""
    found = importlib.metadata.packages_distributions()
    return {module: set(map(canonicalize_name, packages)) for module, packages in found.items()}


def test_the_checked_modules_are_those_of_the_extra() -> None:
    found = {module: installed()[module] & EXTRAS["train"] for module in extras.TRAIN_MODULES}
    assert all(found.values()), found
    # NumPy and pandas are only held back, setuptools is for others, and tensorflow-io is optional.
    rest = EXTRAS["train"] - set().union(*found.values())
    assert rest == {"numpy", "pandas", "setuptools", "tensorflow-io"}


def test_every_imported_package_is_declared() -> None:
    known = LIGHT.union(*EXTRAS.values())
    imported = set()
    for package in ("mir_tf", "tfrecords_builder"):
        for path in (ROOT / package).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text("utf-8"))):
                if isinstance(node, ast.Import):
                    imported |= {alias.name.partition(".")[0] for alias in node.names}
                elif isinstance(node, ast.ImportFrom):
                    imported.add(str(node.module).partition(".")[0])
    imported -= sys.stdlib_module_names | {"mir_tf", "tfrecords_builder"}
    imported -= {"IPython", "_typeshed"}  # imported only where it runs already, in a notebook; only for types
    assert {"numpy", "tensorflow", "soundfile", "librosa"} <= imported
    # The name of an optional package that is not installed here is taken for that of its module.
    assert not {module for module in imported if not installed().get(module, {canonicalize_name(module)}) & known}


@pytest.fixture
def without_training(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the packages of the extra look absent."""
    for module in extras.TRAIN_MODULES:
        monkeypatch.setitem(sys.modules, module, None)


def test_all_commands_that_need_the_extra_are_listed() -> None:
    assert set(cli.main.commands) - set(TRAINING_COMMANDS) == {"predict", "listen", "app"}


@pytest.mark.usefixtures("without_training")
@pytest.mark.parametrize("name", TRAINING_COMMANDS)
def test_a_command_that_needs_the_extra_names_it(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_inputs(tmp_path)
    assert failed(1, name, *TRAINING_COMMANDS[name]).endswith(f"Error: {REMEDY}")
    assert not list(tmp_path.glob("new*"))


@pytest.mark.usefixtures("without_training")
def test_the_builder_a_run_and_remote_files_name_it_too(tmp_path: Path) -> None:
    write_inputs(tmp_path)
    for command, words in ((builder, ("--demo", 3)), (ensembles, ("--songs", 3))):
        result = invoke(command, *words, "--out", tmp_path / "new")
        assert (result.exit_code, result.stderr) == (1, f"Error: {REMEDY}\n")
    assert failed(1, "predict", tmp_path / "run", tmp_path / "song.wav").endswith(f"Error: {REMEDY}")
    assert failed(1, "predict", "gs://bucket/song.wav").endswith(f"Error: {REMEDY}")
    assert {path.name for path in tmp_path.iterdir()} == {"data", "run", "song.wav", "plan.yaml"}


def test_numpy_2_is_named_where_tensorflow_cannot_use_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def version(package: str) -> str:
        return {"numpy": numpy, "tensorflow": "2.16.2"}[package]

    requirements = ["absl-py", 'numpy<1; python_version < "3"', 'numpy<2.0.0,>=1.23.5; python_version >= "3"']
    monkeypatch.setattr(importlib.metadata, "version", version)
    monkeypatch.setattr(importlib.metadata, "requires", {"tensorflow": requirements}.get)
    numpy = "1.26.4"
    extras.require_training()
    numpy = "2.4.6"
    expected = r"TensorFlow 2\.16\.2 needs numpy <2\.0\.0,>=1\.23\.5, but 2\.4\.6 .*pip install 'mir-tf\[train\]'$"
    with pytest.raises(InstallationError, match=expected):
        extras.require_training()


_WITHOUT = """
import sys
sys.modules.update(dict.fromkeys({absent!r}))
import mir_tf.app.server, mir_tf.cli.meter
from mir_tf.cli import main
main(sys.argv[1:])
"""


def test_prediction_pictures_and_the_app_need_no_package_of_the_extras(tmp_path: Path) -> None:
    """Predict in a process that can import only what ``pip install .`` gives, apart from what that itself needs."""
    # Matplotlib and LiteRT need packaging and flatbuffers.
    optional = set().union(*EXTRAS.values()) - LIGHT - {"mir-tf", "packaging", "flatbuffers"}
    absent = {module for module, packages in installed().items() if packages <= optional}
    assert {"tensorflow", "keras", "librosa", "scipy", "pandas"} <= absent
    write_inputs(tmp_path)
    song = tmp_path / "song.wav"
    command = [sys.executable, "-c", _WITHOUT.format(absent=absent)]
    words = ["predict", song, "--out", tmp_path, "--format", "json,csv,audacity,png,svg"]
    done = subprocess.run([*command, *words], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "song.wav, 0:06" in done.stdout
    assert (tmp_path / "song.wav.png").read_bytes().startswith(b"\x89PNG")
    assert "</svg>" in (tmp_path / "song.wav.svg").read_text("utf-8")
    heard = subprocess.run([*command, "listen"], input=song.read_bytes(), capture_output=True)
    assert heard.returncode == 0, heard.stderr
    assert len(re.findall(rb'^\{"start": ', heard.stdout, re.M)) == 60
