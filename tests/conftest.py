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
