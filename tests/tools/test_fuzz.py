"""tools/fuzz.py: short runs, and what it says about a reader that errs."""

import re
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from helpers.commands import invoke

from mir_tf.errors import DataError

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def fuzz(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sys, "path", [str(ROOT / "tools"), *sys.path])
    import fuzz

    return fuzz


def counts(output: str) -> dict[str, int]:
    return {name: int(number) for number, name in re.findall(r"(\d+) (\w+)[,;]", output.splitlines()[-1])}


@pytest.mark.parametrize("count", [80, pytest.param(2000, marks=pytest.mark.slow)])
def test_damaged_midi_gives_the_same_notes_or_a_reason(fuzz, count: int) -> None:
    result = invoke(fuzz.main, "midi", "--count", count, "--seed", 1)
    assert result.exit_code == 0, result.output
    found = counts(result.output)
    assert found["right"] > count // 4
    assert found["refused"] > count // 8
    assert found["unjudged"] < count // 20
    assert sum(found.values()) == count


@pytest.mark.slow
def test_real_midi_gives_the_notes_of_mido_or_fluidsynth(fuzz, shared_folder: Path) -> None:
    folder = shared_folder / "data" / "slakh_fixture"
    result = invoke(fuzz.main, "midi", "--count", 200, "--files", folder)
    assert result.exit_code == 0, result.output


def without_last_note(read: Callable) -> Callable:
    def read_less(path: Path) -> list:
        *parts, _ = read(path)
        return parts

    return read_less


def refuse(path: Path) -> list:
    raise DataError(f"{path}: unreadable")


def fail(path: Path) -> list:
    raise KeyError(path)


@pytest.mark.parametrize(("fault", "outcome"), [("loss", "wrong"), ("refusal", "wrong"), ("failure", "crashed")])
def test_a_reader_that_errs_is_found(fuzz, tmp_path: Path, monkeypatch, fault: str, outcome: str) -> None:
    readers = {"loss": without_last_note(fuzz.read_parts), "refusal": refuse, "failure": fail}
    monkeypatch.setattr(fuzz, "read_parts", readers[fault])
    result = invoke(fuzz.main, "midi", "--count", 12, "--keep", tmp_path / "kept")
    assert result.exit_code == 1, result.output
    assert counts(result.output)[outcome] > 0
    assert len(list((tmp_path / "kept").iterdir())) == counts(result.output)[outcome]
    assert f"case 0 {outcome}: " in result.output


def test_a_folder_without_midi_is_named(fuzz, tmp_path: Path) -> None:
    result = invoke(fuzz.main, "midi", "--files", tmp_path)
    assert result.exit_code == 2
    assert "no MIDI file in it" in result.output
