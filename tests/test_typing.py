"""Types of the installed package, as a type checker sees them in somebody's own project."""

import re
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

SCRIPT = """\
from pathlib import Path

import numpy as np

import mir_tf

model = mir_tf.load()
reveal_type(model)
reveal_type(model.predict("song.mp3"))
reveal_type(model.predict(Path("song.mp3")))
reveal_type(model.predict(np.zeros(8000), sr=8000))
reveal_type(model.predict([0.0, 0.1], sr=8000))
reveal_type(model.predict(["one.mp3", "two.mp3"], progress=True))
reveal_type(model.predict(Path("music").rglob("*.mp3"), progress=print))
reveal_type(model.predict([np.zeros(8000), np.ones(8000)], sr=8000))
reveal_type(mir_tf.lite.LiteModel("model.tflite").stream(sr=44100))
try:
    model.predict("song.mp3").begin
except mir_tf.errors.AudioError:
    pass
"""


@pytest.fixture(scope="module")
def interpreter(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Install the package's wheel in a virtual environment that shares the dependencies; return its interpreter."""
    folder = tmp_path_factory.mktemp("installed")
    source = shutil.copytree(
        ROOT, folder / "source", ignore=shutil.ignore_patterns(".*", "*.egg-info", "build", "demo", "site", "tests")
    )
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "-w", folder]
    subprocess.run([*command, source], check=True, timeout=300)
    venv.create(folder / "venv", with_pip=False)
    python = folder / "venv" / ("Scripts" if sys.platform == "win32" else "bin") / "python"
    code = "import sysconfig; print(sysconfig.get_path('purelib'))"
    site = Path(subprocess.run([python, "-c", code], capture_output=True, text=True, check=True).stdout.strip())
    zipfile.ZipFile(next(folder.glob("*.whl"))).extractall(site)
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib"))
    return python


@pytest.mark.slow
def test_a_script_of_a_user_is_checked(interpreter: Path, tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(SCRIPT)
    command = [sys.executable, "-m", "mypy", "--strict", "--python-executable", str(interpreter), "script.py"]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert re.findall(r'Revealed type is "(.*)"', result.stdout) == [
        "mir_tf.inference.model.Model",
        *["mir_tf.inference.prediction.Prediction"] * 4,
        *["list[mir_tf.inference.prediction.Prediction]"] * 3,
        "mir_tf.stream.Stream",
    ]
    errors = re.findall(r"error: (.*)", result.stdout)
    assert errors == ['"Prediction" has no attribute "begin"  [attr-defined]'], result.stdout
