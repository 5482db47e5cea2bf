"""Fixtures for all tests."""

import os
from pathlib import Path

import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")


@pytest.fixture(scope="session")
def shared_folder() -> Path:
    """The folder of genuine Slakh files and reference outputs that stands beside some checkouts."""
    folder = Path(os.environ.get("MIR_TF_SHARED", Path(__file__).resolve().parents[2] / "shared"))
    if not folder.is_dir():
        pytest.skip(f"{folder} is absent: it holds genuine Slakh files that the project does not ship")
    return folder


@pytest.fixture(scope="session")
def exported_cnn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an untrained CNN as a run, ``run``, and as ``model.float32.tflite`` and ``clip.tflite``."""
    from tiny_model import make_bundle

    from mir_tf.export import export

    folder = tmp_path_factory.mktemp("exported_cnn")
    bundle = make_bundle("cnn")
    bundle.save(folder / "run")
    assert not export(bundle, folder, ("tflite",), ("none",)).failed
    return folder
