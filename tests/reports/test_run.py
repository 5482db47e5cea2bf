"""The report of a run: its sections, its numbers, and what it shows if something is missing."""

import json
import os
import shutil
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import yaml
from helpers.commands import failed, run
from helpers.page_reader import Page, read_page
from helpers.predictions import random_predictions
from helpers.tiny_data import FRONT_END, write_data
from helpers.tiny_model import make_bundle

from mir_tf import bundle
from mir_tf.bundle import history
from mir_tf.bundle.predict import predict_split
from mir_tf.metrics.track import TrackPrediction
from mir_tf.reports import run as run_report
from mir_tf.vocabulary import VOCABULARIES

FAMILY = VOCABULARIES["family"]
NAME = "a <b>run & more"
COLUMNS = "epoch,loss,val_loss,val_macro_f1,val_micro_f1,learning_rate,seconds"
SETTINGS = {
    "model": {"architecture": "cnn", "conv_filters": [4], "time_padding": 2},
    "train": {"epochs": 2, "steps_per_epoch": 2, "batch_size": 4, "crop_seconds": 2.0, "learning_rate": 0.005},
    "window": {"window_seconds": 3.0, "overlap_seconds": 1.0},
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a data set in ``data``, a run of two epochs named :data:`NAME`, and its report."""
    folder = tmp_path_factory.mktemp("report")
    write_data(folder / "data", {"train": [[30, 50], [40]], "validation": [[35]], "test": [[30, 52], [45]]})
    (folder / "settings.yaml").write_text(yaml.safe_dump(SETTINGS))
    options = ("--config", folder / "settings.yaml", "--out", folder / NAME)
    assert run("fit", "--data", folder / "data", *options).exit_code == 0
    result = run("report", folder / NAME, "--data", folder / "data")
    assert result.exit_code == 0, result.output
    assert result.output.splitlines()[-1] == f"Report: {folder / NAME / 'report-test' / 'report.html'}"
    return folder


@pytest.fixture(scope="module")
def out(folder: Path) -> Path:
    return folder / NAME / "report-test"


@pytest.fixture(scope="module")
def found(out: Path) -> Page:
    return read_page(out / "report.html")


def test_the_page_has_every_section_and_picture_and_needs_nothing_else(out: Path, found: Page) -> None:
    assert found.title == f"Report: {NAME}"
    assert "The model detects" in found.text.partition("How good it is")[0]
    assert found.headings[1:] == [
        "How good it is",
        "Detected and perhaps",
        "Classes",
        "Thresholds",
        "Confusion",
        "Dominance",
        "Calibration",
        "Best and worst songs",
        "Training",
        "Model",
        "All songs",
    ]
    pictures = {path.name for path in out.glob("*.png")}
    assert {name.removesuffix(".png") for name in pictures} == {
        *("f1_per_class", "pr_curves", "thresholds", "confusion", "dominance", "playing_time"),
        *("confidence", "calibration", "best-1", "worst-1", "training"),
    }
    assert sorted(found.pictures.values()) == sorted((out / name).read_bytes() for name in pictures)


def test_its_numbers_are_those_of_evaluate(folder: Path, out: Path, found: Page) -> None:
    assert run("evaluate", folder / NAME, "--data", folder / "data").exit_code == 0
    written = json.loads((out / "evaluation.json").read_text("utf-8"))
    assert written == json.loads((folder / NAME / "evaluation-test" / "evaluation.json").read_text("utf-8"))
    names = {row[0]: row[1:3] for row in found.tables["Right and wrong names"]}
    assert names["detected"] == [str(count) for count in written["confidence"]["detected"]]
    metrics = {row[0]: row for row in found.tables["All metrics"]}
    assert len(metrics) == 1 + len(written["overall_metrics"])
    micro = written["overall_metrics"]["micro_f1"]
    assert metrics["micro F1"][1:3] == [f"{micro['value']:.3f}", f"{micro['low']:.3f} to {micro['high']:.3f}"]
    assert metrics["micro F1"][3] == f"{written['baseline']['micro_f1']:.3f}"
    classes = {row[0]: row for row in found.tables["Metrics of each class in frames"]}
    for scores in written["classes"]:
        value = scores["f1"]["value"]
        assert classes[scores["name"]][1] == ("–" if value is None else f"{value:.3f}")
    for name in ("micro_f1", "macro_f1", "track_averaged_micro_f1", "dominant_accuracy"):
        assert f"{written['overall_metrics'][name]['value']:.3f}" in found.text.partition("How good it is")[0]


def test_songs_are_sorted_by_f1(folder: Path, found: Page) -> None:
    model = bundle.load(folder / NAME)
    ids = {track.id for track in predict_split(model.windowed, model.config, folder / "data", "test")}
    header, *rows = found.tables["Micro metrics of each track, the best one first"]
    assert {row[0] for row in rows} == ids == {"test-0-0", "test-0-1", "test-1-0"}
    values = [float(row[header.index("F1")]) for row in rows]
    assert values == sorted(values, reverse=True)
    assert {row[0]: row[1] for row in rows}["test-0-1"] == "0:05.2"
    for index, title in ((0, "Number 1 of 3"), (-1, "Number 3 of 3")):
        assert f"Timeline of {rows[index][0]}, predicted and true" in found.pictures
        assert f"{title} songs. Dominant: {rows[index][5]}; predicted: {rows[index][6]}." in found.text
    written = json.loads((folder / NAME / "report-test" / "evaluation.json").read_text("utf-8"))
    assert np.mean(values) == pytest.approx(written["overall_metrics"]["track_averaged_micro_f1"]["value"], abs=1e-3)


def test_a_song_without_an_instrument_has_neither_precision_nor_recall() -> None:
    silence, music = np.zeros((20, 17), bool), np.eye(20, 17, dtype=bool)
    predicted = {"silent": silence, "missed": silence, "false": music, "right": music}
    truth = {"silent": silence, "missed": music, "false": silence, "right": music}
    predictions = [TrackPrediction(name, name, predicted[name].astype(np.float32), truth[name]) for name in truth]
    tracks = run_report.best_first(predictions, np.full(17, 0.5, np.float32))
    assert [track.f1 for track in tracks] == [1, 1, 0, 0]
    [table] = run_report.all_songs(tracks, FAMILY.classes).parts
    assert {row[0]: row[2:5] for row in table.rows[1:]} == {
        "silent": ["1.000", "–", "–"],
        "missed": ["0.000", "–", "0.000"],
        "false": ["0.000", "0.000", "–"],
        "right": ["1.000", "1.000", "1.000"],
    }


def test_a_folder_that_cannot_be_made_is_reported_before_the_evaluation(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setattr(run_report, "predict_split", lambda *_: pytest.fail("evaluated for nothing"))
    out = tmp_path / "file" / "sub" / "page"
    message = failed(2, "report", folder / NAME, "--data", folder / "data", "--out", out)
    assert f"{out}: cannot be created, because {tmp_path / 'file'} is a file" in message.replace(" │ ", " ")
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != tmp_path)
    message = failed(2, "report", folder / NAME, "--data", folder / "data", "--out", tmp_path / "page")
    assert f"{tmp_path} is not writable" in message


def test_training_and_model_are_summed_up(folder: Path, found: Page) -> None:
    model = bundle.load(folder / NAME)
    training = dict(found.tables["Training"])
    assert training["epochs"] == "2"
    assert training["kept epoch"] == f"{model.info['epoch']:.0f}"
    assert training["validation macro F1, kept epoch"] == f"{model.info['val_macro_f1']:.3f}"
    described = dict(found.tables["The model"])
    assert described["architecture"] == "cnn"
    assert described["parameters"] == f"{sum(int(np.prod(weight.shape)) for weight in model.model.trainable_weights):,}"
    assert "learning_rate: 0.005" in dict(found.tables["Its configuration"])["train"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("width", "medium", "scheme"),
    [(360, "screen", "light"), (1280, "screen", "dark"), (718, "print", "light")],  # a phone, a desk, A4 with margins
)
def test_a_browser_shows_it_whole(chromium: Any, out: Path, width: int, medium: str, scheme: str) -> None:
    page = chromium.new_page(viewport={"width": width, "height": 800}, color_scheme=scheme)
    asked, said = [], []
    page.on("request", lambda request: asked.append(request.url.partition(",")[0]))
    page.on("console", lambda message: said.append(message.text))
    page.emulate_media(media=medium)
    page.goto((out / "report.html").resolve().as_uri())
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    sizes = page.evaluate("[...document.images].map(image => [image.complete, image.naturalWidth, image.width])")
    assert len(sizes) == 11
    assert all(is_complete and natural > 600 and shown > 300 for is_complete, natural, shown in sizes)
    assert said == []
    assert set(asked) <= {(out / "report.html").resolve().as_uri(), "data:image/png;base64"}
    page.close()


def test_another_split_with_one_track_into_another_folder(folder: Path, tmp_path: Path) -> None:
    result = run("report", folder / NAME, "--data", folder / "data", "--split", "validation", "--out", tmp_path / "new")
    assert result.exit_code == 0, result.output
    found = read_page(tmp_path / "new" / "report.html")
    assert "validation split of" in found.text
    assert [name for name in found.pictures if name.startswith("Timeline")] == [
        "Timeline of validation-0-0, predicted and true"
    ]


def test_the_report_of_an_imported_run_has_no_training(folder: Path, tmp_path: Path) -> None:
    made = make_bundle("cnn")
    made.save(tmp_path / "run")
    result = run("report", tmp_path / "run", "--data", folder / "data")
    assert result.exit_code == 0, result.output
    found = read_page(tmp_path / "run" / "report-test" / "report.html")
    assert "The run has no history.csv" in found.text
    assert "Training" not in found.tables
    assert dict(found.tables["The model"])["classes without a tuned threshold"] == "Organ"


def test_errors_are_reported_and_leave_no_files(folder: Path, tmp_path: Path) -> None:
    assert "Missing option '--data'" in failed(2, "report", folder / NAME)
    assert "does not exist" in failed(2, "report", folder / NAME, "--data", tmp_path / "nowhere")
    assert "not a data set" in failed(1, "report", folder / NAME, "--data", tmp_path)
    assert "not a trained model" in failed(1, "report", tmp_path, "--data", folder / "data")
    write_data(tmp_path / "other", {"test": [[20]]}, FRONT_END.replace(n_mels=16))
    message = failed(1, "report", folder / NAME, "--data", tmp_path / "other", "--out", tmp_path / "out")
    assert "n_mels: 16 here, 8 there" in message
    write_data(tmp_path / "part", {"train": [[20]], "test": []})
    message = failed(1, "report", folder / NAME, "--data", tmp_path / "part", "--out", tmp_path / "out")
    assert "no track in split 'test'; the splits with tracks are train" in message
    (tmp_path / "file").write_text("")
    failed(2, "report", folder / NAME, "--data", folder / "data", "--out", tmp_path / "file")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("content", "cause"),
    [
        ("epoch,loss\n1,0.5\n", "no column learning_rate, seconds, val_loss, val_macro_f1, val_micro_f1"),
        (f"{COLUMNS}\n1,2,3,4,5,6,much\n", "could not convert string to float: 'much'"),
        (f"{COLUMNS}\n1,2\n", "damaged"),
        (f"{COLUMNS}\n1,2,3,4,5,6,7,8\n", "damaged"),
        ("", "no column"),
        (f"{COLUMNS}\n", "no epoch"),
    ],
)
def test_a_damaged_history_is_reported(folder: Path, tmp_path: Path, content: str, cause: str) -> None:
    shutil.copytree(folder / NAME, tmp_path / "run", ignore=shutil.ignore_patterns("logs", "report-*"))
    (tmp_path / "run" / "history.csv").write_text(content)
    message = failed(1, "report", tmp_path / "run", "--data", folder / "data")
    assert f"{tmp_path / 'run' / 'history.csv'}: damaged: " in message
    assert cause in message
    assert not (tmp_path / "run" / "report-test").exists()


def test_the_best_and_the_worst_are_never_the_same_song() -> None:
    keras.utils.set_random_seed(0)
    made = make_bundle("cnn")
    for tracks, names in {
        1: ["best-1"],
        2: ["best-1", "worst-1"],
        5: ["best-1", "best-2", "worst-1", "worst-2"],
        9: ["best-1", "best-2", "best-3", "worst-1", "worst-2", "worst-3"],
    }.items():
        results = run_report.best_first(random_predictions(tracks), made.thresholds)
        section = run_report.timelines(results, made.classes, ["#0072b2"] * 17)
        pictures = section.parts[1:]
        assert [picture.name for picture in pictures] == names
        assert len({picture.alt for picture in pictures}) == len(names)


def test_history_is_read_as_it_was_written(folder: Path, tmp_path: Path) -> None:
    rows = history.read_history(folder / NAME / "history.csv")
    assert [row["epoch"] for row in rows] == [1, 2]
    assert history.read_history(tmp_path / "none.csv") == []
