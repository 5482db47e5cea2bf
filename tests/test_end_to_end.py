"""The whole way through the commands, from audio and MIDI to the prediction for an unseen song."""

import json
import subprocess
import sys
from pathlib import Path

import click
import click.testing
import numpy as np
import pytest
import soundfile
import yaml
from helpers.commands import invoke
from helpers.page_reader import read_page
from helpers.slakh_tree import write_track

from mir_tf import cli
from mir_tf.vocabulary import VOCABULARIES
from tfrecords_builder import __main__ as builder

FAMILY = VOCABULARIES["family"]
RATE = 16000
SECONDS = 20
PROGRAMS = (30, 128)
"""A guitar, synthesised as a chord, and drums, as noise; the two differ in texture, which is quick to learn."""
CHORD = (400, 1000, 1700, 2500, 3500)
"""Frequencies of the guitar in Hz."""

SETTINGS = {
    "model": {"conv_filters": [8], "gru_units": 8, "gru_layers": 1, "conv_dropout": 0.1, "head_dropout": 0.1}
    | {"time_padding": 4, "time_mask_frames": 2, "freq_mask_bands": 2},
    "train": {"epochs": 3, "steps_per_epoch": 120, "batch_size": 4, "crop_seconds": 4.0, "learning_rate": 0.01},
    "window": {"window_seconds": 5.0, "overlap_seconds": 1.0},
}


def write_song(folder: Path, seed: int) -> np.ndarray:
    """Write a Slakh track in which each of :data:`PROGRAMS` starts and stops; return the truth [label frames, 17]."""
    generator = np.random.default_rng(seed)
    time = np.arange(SECONDS * RATE) / RATE
    truth = np.zeros((10 * SECONDS, len(FAMILY)), bool)
    audio = generator.normal(0, 1e-3, len(time))
    stems = {}
    sounds = sum(0.1 * np.sin(2 * np.pi * pitch * time) for pitch in CHORD), generator.normal(0, 0.02, len(time))
    for number, (program, sound) in enumerate(zip(PROGRAMS, sounds, strict=True)):
        # Multiples of a third of a label frame, so that notes end within frames; notes and rests last 1 to 3 s.
        edges = np.cumsum(generator.integers(30, 90, 40)) / 30
        notes = [(on, off) for on, off in zip(edges[::2], edges[1::2], strict=True) if off < SECONDS]
        for on, off in notes:
            audio += sound * ((time >= on) & (time < off))
            truth[int(10 * on + 1e-6) : int(np.ceil(10 * off - 1e-6)), FAMILY.class_of[program]] = True
        stems[f"S{number:02d}"] = (program, notes)
    write_track(folder, stems, SECONDS, RATE, seed)
    soundfile.write(folder / "mix.flac", audio, RATE)
    return truth


def run(command: click.Command, *words: str | Path) -> None:
    result = invoke(command, *words)
    assert result.exit_code == 0, result.output


def test_from_a_slakh_tree_to_a_prediction(tmp_path: Path) -> None:
    tree, data, trained = tmp_path / "tree", tmp_path / "data", tmp_path / "run"
    songs = {f"train/Track0000{seed}": seed for seed in range(4)} | {"validation/Track00008": 8}
    for name, seed in songs.items():
        write_song(tree / name, seed)
    unseen = tree / "test" / "Track00009"
    truth = write_song(unseen, 9)
    settings = tmp_path / "settings.yaml"
    settings.write_text(yaml.safe_dump(SETTINGS))

    changes = ("sample_rate=8000", "n_fft=512", "hop_length=400", "n_mels=16")
    front_end = [word for change in changes for word in ("--set", change)]
    run(builder.main, "--slakh", tree, "--out", data, *front_end, "--workers", 1)
    run(cli.main, "fit", "--data", data, "--config", settings, "--out", trained)
    run(cli.main, "evaluate", trained, "--data", data, "--out", tmp_path / "evaluation")
    run(cli.main, "predict", trained, unseen / "mix.flac", "--out", tmp_path)

    evaluation = json.loads((tmp_path / "evaluation" / "evaluation.json").read_text())
    prediction = json.loads((tmp_path / "mix.flac.json").read_text())
    assert (evaluation["tracks"], evaluation["seconds"], prediction["seconds"]) == (1, SECONDS, SECONDS)
    assert prediction["classes"] == [scores["name"] for scores in evaluation["classes"]] == list(FAMILY.classes)

    # The builder's labels are those of the notes.
    np.testing.assert_allclose(
        [scores["prevalence"] for scores in evaluation["classes"]], truth.mean(axis=0), atol=1e-6
    )

    # predict gives for the recording what evaluate gives for its record.
    active = np.zeros_like(truth)
    for instrument in prediction["instruments"]:
        column = prediction["classes"].index(instrument["class"])
        for interval in instrument["intervals"]:
            active[round(10 * interval["start"]) : round(10 * interval["end"]), column] = True
    f1 = 2 * (active & truth).sum() / (active.sum() + truth.sum())
    # The record is float16, so that a probability close to its threshold may end up on either side of it.
    assert evaluation["overall_metrics"]["micro_f1"]["value"] == pytest.approx(f1, abs=0.01)

    # And the prediction is correct.
    assert f1 > 0.8
    assert evaluation["overall_metrics"]["micro_f1"]["value"] > evaluation["baseline"]["micro_f1"] + 0.1


@pytest.mark.slow
def test_the_demo(tmp_path: Path) -> None:
    """Run ``make demo`` as a new user does: composed songs, the default front end, a model better than the baseline."""
    script = Path(__file__).parents[1] / "tools" / "demo.py"
    result = subprocess.run([sys.executable, script], cwd=tmp_path, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr
    demo = tmp_path / "demo"
    evaluation = json.loads((demo / "evaluation" / "evaluation.json").read_text(encoding="utf-8"))
    for name in ("micro_f1", "macro_f1"):
        assert evaluation["overall_metrics"][name]["value"] >= evaluation["baseline"][name] + 0.10
    for picture in ("timeline.png", "data/inspection.png", "evaluation/f1_per_class.png"):
        assert (demo / picture).read_bytes().startswith(b"\x89PNG")
    for page in ("report", "data/report"):
        assert len(read_page(demo / page / "report.html").pictures) > 3
    prediction = json.loads((demo / "mix.flac.json").read_text(encoding="utf-8"))
    detected = [each["class"] for each in prediction["instruments"] if each["group"] == "detected"]
    assert prediction["dominant"] == next(iter(detected), None)
    assert len(prediction["confidences"]) == len(prediction["classes"])
    assert all(0 < confidence < 1 for confidence in prediction["confidences"])
    by_lite = json.loads((demo / "exported" / "mix.flac.json").read_text(encoding="utf-8"))
    assert by_lite["dominant"] == prediction["dominant"]
