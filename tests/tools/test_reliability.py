"""Short runs of tools/reliability: commands that are killed, on full disks, and side by side."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def figures(script: str, *words: object) -> dict[str, int]:
    """Run a script and return the figures that it prints in its last line."""
    command = [sys.executable, str(ROOT / "tools" / "reliability" / script), *map(str, words)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    return {name: int(number) for name, number in re.findall(r"[:,] ([a-z, ]+): (\d+)", result.stdout.splitlines()[-1])}


@pytest.mark.slow
def test_killed_commands_end_with_the_undisturbed_result() -> None:
    found = figures("kills.py", "--count", 3, "--only", "predict")
    assert found["kills"] == 3


@pytest.mark.slow
def test_full_disks_are_named_and_leave_whole_files() -> None:
    found = figures("full_disks.py", "--count", 4, "--only", "predict")
    assert sum(found.values()) == 4


@pytest.mark.slow
def test_the_second_of_two_commands_is_refused() -> None:
    found = figures("locks.py", "--count", 2, "--only", "predict")
    assert (found["refused"], found["took over"]) == (2, 1)
