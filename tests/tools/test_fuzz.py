"""tools/fuzz.py: short runs, and what it says about a reader that errs."""

import ctypes.util
import re
import shutil
import sys
from pathlib import Path

import pytest
from helpers.commands import invoke

ROOT = Path(__file__).resolve().parents[2]

DIVISORS = {
    "archive": (3, 8, 8),
    "bundle": (4, 3, 4),
    "keras": (4, 3, 4),
    "manifest": (4, 3, 4),
    "midi": (3.9, 8, 20),
    "soundfont": (2.9, 8, 8),
    "tflite": (4, 3, 4),
    "yaml": (3, 8, 8),
}
"""Kind → least shares of right and refused cases, and greatest share of unjudged ones, as 1 / n."""


@pytest.fixture
def fuzz(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sys, "path", [str(ROOT / "tools"), *sys.path])
    import fuzz

    return fuzz


def require_judge(kind: str) -> None:
    """Skip a test if the program that judges most answers is not installed."""
    if kind == "audio" and shutil.which("ffmpeg") is None:
        pytest.skip("the program ffmpeg, which judges the answers, is not installed")
    if kind in ("soundfont", "SilentFont") and ctypes.util.find_library("fluidsynth") is None:
        pytest.skip("FluidSynth, which judges the answers, is not installed")


def counts(output: str) -> dict[str, int]:
    return {name: int(number) for number, name in re.findall(r"(\d+) (\w+)[,;]", output.splitlines()[-1])}


@pytest.mark.parametrize(
    ("kind", "count"),
    [
        ("archive", 40),
        pytest.param("archive", 200, marks=pytest.mark.slow),
        pytest.param("bundle", 1000, marks=pytest.mark.slow),
        pytest.param("keras", 60, marks=pytest.mark.slow),
        ("manifest", 200),
        pytest.param("manifest", 2000, marks=pytest.mark.slow),
        ("midi", 80),
        pytest.param("midi", 2000, marks=pytest.mark.slow),
        ("soundfont", 60),
        pytest.param("soundfont", 400, marks=pytest.mark.slow),
        ("tflite", 60),
        pytest.param("tflite", 400, marks=pytest.mark.slow),
        pytest.param("yaml", 400, marks=pytest.mark.slow),
    ],
)
def test_damaged_files_are_refused_or_read_as_by_others(fuzz, kind: str, count: int) -> None:
    require_judge(kind)
    result = invoke(fuzz.main, kind, "--count", count, "--seed", 1)
    assert result.exit_code == 0, result.output
    found = counts(result.output)
    right, refused, unjudged = DIVISORS[kind]
    assert found["right"] >= count / right  # at least those whose change means nothing
    assert found["refused"] > count // refused
    assert found["unjudged"] < count // unjudged
    assert sum(found.values()) == count


@pytest.mark.parametrize("count", [64, pytest.param(1000, marks=pytest.mark.slow)])
def test_odd_audio_gives_the_same_samples_or_a_reason(fuzz, count: int) -> None:
    require_judge("audio")
    result = invoke(fuzz.main, "audio", "--count", count, "--seed", 1)
    assert result.exit_code == 0, result.output
    found = counts(result.output)
    assert found["right"] > count // 2
    assert found["unjudged"] < count // 20


@pytest.mark.slow
def test_real_midi_gives_the_notes_of_mido_or_fluidsynth(fuzz, shared_folder: Path) -> None:
    folder = shared_folder / "data" / "slakh_fixture"
    result = invoke(fuzz.main, "midi", "--count", 200, "--files", folder)
    assert result.exit_code == 0, result.output


def run_erring(name: str, count: int, keep: Path, capsys: pytest.CaptureFixture[str]) -> str:
    from fuzzing.cases import run
    from helpers import fuzz_kinds

    with pytest.raises(SystemExit) as stopped:
        run(getattr(fuzz_kinds, name), [], count=count, seed=0, keep=keep, verbose=False)
    assert stopped.value.code == 1
    return capsys.readouterr().out


@pytest.mark.parametrize(
    ("kind", "outcome"),
    [
        ("Loss", "wrong"),
        ("Refusal", "wrong"),
        ("Failure", "crashed"),
        ("LostTrack", "wrong"),
        ("OtherBytes", "wrong"),
        ("SilentFont", "wrong"),
        pytest.param("OtherProgram", "wrong", marks=pytest.mark.slow),  # loads TensorFlow
    ],
)
def test_a_reader_that_errs_is_found(fuzz, tmp_path: Path, capsys, kind: str, outcome: str) -> None:
    require_judge(kind)
    output = run_erring(kind, 12, tmp_path / "kept", capsys)
    assert counts(output)[outcome] > 0
    assert len(list((tmp_path / "kept").iterdir())) == counts(output)[outcome]
    assert f"case 0 {outcome}: " in output


@pytest.mark.parametrize(
    ("kind", "reason"),
    [("Death", "ended with status -6"), ("Hang", "no answer after 1 s"), ("Hunger", "MemoryError")],
)
def test_a_reader_that_breaks_its_process_is_found(fuzz, tmp_path: Path, capsys, kind: str, reason: str) -> None:
    output = run_erring(kind, 3, tmp_path / "kept", capsys)
    assert counts(output) == {"right": 2, "refused": 0, "unjudged": 0, "wrong": 0, "crashed": 1}
    assert "case 1 crashed" in output
    assert reason in output
    assert (tmp_path / "kept" / "1.txt").read_text() == "1"


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_kind_that_cannot_start_ends_the_run(fuzz, tmp_path: Path) -> None:
    from fuzzing.cases import run
    from helpers.fuzz_kinds import LateStart

    with pytest.raises(RuntimeError, match="LateStart: the process for its cases did not start"):
        run(LateStart, [], count=3, seed=0, keep=None, verbose=False)


def test_a_folder_without_files_of_the_kind_is_named(fuzz, tmp_path: Path) -> None:
    result = invoke(fuzz.main, "midi", "--files", tmp_path)
    assert result.exit_code == 2
    assert "no file to alter in it" in result.output


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="/proc")
def test_the_app_answers_or_refuses_any_request(fuzz, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    result = invoke(fuzz.main, "http", "--count", 150, "--seed", 1)
    assert result.exit_code == 0, result.output
    found = counts(result.output)
    assert found["right"] > 40
    assert found["refused"] > 40
    assert found["unjudged"] < 30
