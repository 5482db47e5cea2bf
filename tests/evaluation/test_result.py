"""The result of an evaluation as sentences, tables, JSON, figures and files."""

import dataclasses
import json
import re
from pathlib import Path

import numpy as np
import pytest
from helpers.predictions import POST_PROCESSING, THRESHOLDS, random_predictions
from matplotlib.image import imread

from mir_tf.confidence import NUM_FEATURES, ConfidenceModel
from mir_tf.evaluation.measure import evaluate_predictions
from mir_tf.evaluation.result import MAIN_SCORES, OVERALL_METRICS, Evaluation
from mir_tf.metrics.bootstrap import Bootstrap, ConfidenceInterval
from mir_tf.metrics.confidence import measure
from mir_tf.vocabulary import VOCABULARIES

FAMILY = VOCABULARIES["family"]


@pytest.fixture(scope="module")
def evaluation() -> Evaluation:
    return evaluate_predictions(random_predictions(), THRESHOLDS, POST_PROCESSING, FAMILY, "DATA", "test")


def test_tables_and_json_contain_the_metrics(evaluation: Evaluation) -> None:
    table = {row[0]: row for row in evaluation.overall_table()}
    macro, gain = (
        evaluation.overall_metrics["macro_f1"],
        evaluation.overall_metrics["macro_f1"].value - evaluation.baseline.macro_f1,
    )
    assert table["macro F1"][1:] == [
        f"{macro.value:.3f}",
        f"{macro.low:.3f} to {macro.high:.3f}",
        f"{evaluation.baseline.macro_f1:.3f}",
        f"{gain:+.3f}",
    ]
    header, *rows = evaluation.class_table()
    assert [row[0] for row in rows] == list(FAMILY.classes)
    assert rows[0][header.index("F1")] == f"{evaluation.classes[0].f1.value:.3f}"
    assert rows[3][header.index("F1")] == "–"

    content = json.loads(json.dumps(evaluation.to_dict(), allow_nan=False))
    assert content["overall_metrics"]["macro_f1"]["value"] == pytest.approx(macro.value, abs=1e-6)
    assert content["classes"][3]["f1"]["value"] is None
    assert content["format"] == 3
    assert content["vocabulary"] == "family"
    assert np.shape(content["confusion"]) == (17, 18)
    for line in evaluation.to_markdown().splitlines():
        assert not line.startswith("|") or line.count("|") in (6, 7, 8, 9, 11)


def test_save_writes_tables_and_figures_and_nothing_else(evaluation: Evaluation, tmp_path: Path) -> None:
    evaluation.save(tmp_path / "new" / "folder")
    files = {path.name for path in (tmp_path / "new" / "folder").iterdir()}
    assert files == {"evaluation.json", "evaluation.md", "f1_per_class.png", "pr_curves.png", "confusion.png"}
    for name in sorted(name for name in files if name.endswith(".png")):
        assert imread(tmp_path / "new" / "folder" / name).ndim == 3


def test_confusion_figure_shows_every_frame_of_the_active_classes(evaluation: Evaluation) -> None:
    axes = evaluation.figures()["confusion"].axes[0]
    shares = axes.images[0].get_array()
    assert shares.shape == (16, 18)
    np.testing.assert_allclose(shares.sum(axis=1), 1)
    recalls = [scores.recall for scores in evaluation.classes if scores.tracks]
    np.testing.assert_allclose(np.diagonal(shares), recalls)
    assert shares[:, 16].sum() > 0  # predicted: the class that is never active


def test_the_first_table_shows_the_main_metrics_beside_their_baselines(evaluation: Evaluation) -> None:
    rows = {row[0]: row[1:] for row in evaluation.main_table()}
    micro, dominant = evaluation.overall_metrics["micro_f1"], evaluation.overall_metrics["dominant_accuracy"]
    precision, recall = (evaluation.overall_metrics[f"micro_{name}"].value for name in ("precision", "recall"))
    values = [f"{value:.3f}" for value in (precision, recall, micro.value, evaluation.baseline.micro_f1)]
    assert rows["frames, micro"] == [*values, micro.interval_text()]
    baseline = f"{evaluation.dominant_baseline:.3f}"
    assert rows["dominant, accuracy"] == ["–", "–", f"{dominant.value:.3f}", baseline, dominant.interval_text()]
    shown = [name for names in MAIN_SCORES.values() for name in names if name]
    assert set(shown) <= set(OVERALL_METRICS)
    assert evaluation.to_markdown().index("| frames, macro |") < evaluation.to_markdown().index("Frame by frame")


def test_presence_has_intervals_in_the_table_of_tracks(evaluation: Evaluation) -> None:
    header, *rows = evaluation.class_presence_table()
    drums = dict(zip(header, rows[-1], strict=True))
    scores = evaluation.classes[-1]
    assert drums["class"] == "Drums"
    assert drums["tracks"] == str(scores.tracks)
    for name, estimate in (("precision", scores.presence_precision), ("recall", scores.presence_recall)):
        assert drums[name] == f"{estimate.value:.3f}"
        assert drums[f"95 % interval of {name}"] == estimate.interval_text()


def test_the_summary_puts_the_metrics_into_words(evaluation: Evaluation) -> None:
    metrics = {name: estimate.value for name, estimate in evaluation.overall_metrics.items()}
    opening, dominant, frames, classes, post_processing = evaluation.summary()
    assert f"names {100 * metrics['presence_micro_recall']:.0f} % of the instruments that play" in opening
    assert f"{100 * metrics['presence_micro_precision']:.0f} % of those it names do play" in opening
    assert f"dominant instrument in {100 * metrics['dominant_accuracy']:.0f} % of the tracks" in dominant
    assert dominant.endswith(f"constant prediction is right in {100 * evaluation.dominant_baseline:.0f} %.")
    assert f"micro F1 is {metrics['micro_f1']:.3f}" in frames
    f1 = {scores.name: scores.f1.value for scores in evaluation.classes if scores.tracks}
    assert classes.startswith(f"The best class is {max(f1, key=f1.__getitem__)} (F1 {max(f1.values()):.3f}), ")
    assert f"the worst is {min(f1, key=f1.__getitem__)} (F1 {min(f1.values()):.3f})." in classes
    assert "constant prediction" not in classes
    assert f"to {evaluation.post_processing_effects['onset_micro_f1'].post_processed.value:.3f}." in post_processing
    assert evaluation.to_markdown().splitlines()[2] == opening


def test_the_summary_of_a_model_that_detects_nothing_has_no_share_of_wrong_detections(evaluation: Evaluation) -> None:
    nothing = {name: ConfidenceInterval(0.0) for name in ("presence_micro_precision", "presence_micro_recall")}
    silent = dataclasses.replace(evaluation, overall_metrics=evaluation.overall_metrics | nothing)
    assert silent.headline.endswith(" in a track, and 0 % of those it names do play.")
    silent = dataclasses.replace(silent, num_events=silent.num_events | {"thresholds": 0})
    assert silent.headline == "The model names 0 % of the instruments that play in a track."


def test_with_confidence_the_headline_is_about_the_detected_instruments() -> None:
    for cut, ending in ((0.5, r" in a track, and \d+ % of those it detects do play\."), (1.0, r" in a track\.")):
        model = ConfidenceModel(((0.0, 1.0, 0.0),) * 17, cut)
        found = evaluate_predictions(
            random_predictions(), THRESHOLDS, POST_PROCESSING, FAMILY, "DATA", "test", confidence=model
        )
        assert found.confidence is not None
        assert bool(found.confidence.detected[0]) == (cut < 1)
        share = f"{100 * found.confidence.recall.value:.0f} %"
        assert re.fullmatch(rf"The model detects {share} of the instruments that play{ending}", found.headline)
        assert found.summary()[0] == found.headline


def test_the_summary_names_the_classes_that_are_no_better_than_a_constant(evaluation: Evaluation) -> None:
    piano, *others = evaluation.classes
    beaten = dataclasses.replace(evaluation, classes=(dataclasses.replace(piano, baseline_f1=1.0), *others))
    assert beaten.summary()[3].endswith(" No better than a constant prediction: Piano.")


# The names that a prediction shows.

CONFIDENCE = ConfidenceModel(((0.0, 1.0, *(0.0,) * (NUM_FEATURES - 1)),) * 17, 0.5)
"""Takes the mean probability of a class as its confidence."""


@pytest.fixture(scope="module")
def named() -> Evaluation:
    return evaluate_predictions(random_predictions(), THRESHOLDS, POST_PROCESSING, FAMILY, "DATA", "test", CONFIDENCE)


def test_the_confidence_of_the_model_is_measured_and_changes_nothing_else(
    named: Evaluation, evaluation: Evaluation
) -> None:
    assert named.confidence is not None
    expected = measure(CONFIDENCE, random_predictions(), THRESHOLDS, Bootstrap([str(song) for song in range(8)]))
    assert dataclasses.asdict(named.confidence).keys() == dataclasses.asdict(expected).keys()
    for field in ("cut", "playing", "named", "detected", "precision", "recall", "brier", "dominant_precision"):
        assert getattr(named.confidence, field) == getattr(expected, field), field
    content, former = named.to_dict(), evaluation.to_dict()
    assert (content.pop("confidence") is None, former.pop("confidence") is None) == (False, True)
    assert json.dumps(content) == json.dumps(former)


def test_names_are_counted_in_a_table(named: Evaluation) -> None:
    names = named.confidence
    assert names is not None
    header, detected, perhaps, every = named.names_table()
    assert header[:4] == ["names", "number", "right", "precision"]
    assert {len(row) for row in (header, detected, perhaps, every)} == {7}
    assert detected == [
        "detected",
        str(names.detected[0]),
        str(names.detected[1]),
        f"{names.precision.value:.3f}",
        f"{names.precision.low:.3f} to {names.precision.high:.3f}",
        f"{names.recall.value:.3f}",
        f"{names.recall.low:.3f} to {names.recall.high:.3f}",
    ]
    number, right = names.named[0] - names.detected[0], names.named[1] - names.detected[1]
    assert number > 0
    assert perhaps == [
        "perhaps",
        str(number),
        str(right),
        f"{right / number:.3f}",
        "",
        f"{right / names.playing:.3f}",
        "",
    ]
    assert every[:4] == ["all names", str(names.named[0]), str(names.named[1]), f"{names.named_precision.value:.3f}"]
    assert every[5] == f"{names.named_recall.value:.3f}"


def test_a_group_without_names_has_no_share(named: Evaluation) -> None:
    assert named.confidence is not None
    nothing = dataclasses.replace(named.confidence, detected=(0, 0))
    silent = dataclasses.replace(named, confidence=nothing)
    assert silent.names_table()[1][1:4] == ["0", "0", "–"]
    assert silent.headline.endswith(" of the instruments that play in a track.")


def test_nothing_of_nothing_is_no_share(named: Evaluation) -> None:
    assert named.confidence is not None
    short = dataclasses.replace(named, confidence=dataclasses.replace(named.confidence, playing=0))
    assert short.headline.startswith("No class plays for at least 1 s in any of these tracks, so none of the ")
    assert not any("perhaps" in sentence for sentence in short.summary())
    silent = dataclasses.replace(named, confidence=dataclasses.replace(named.confidence, detected=(0, 0)))
    assert silent.summary()[2].startswith("It detects nothing, so it names no dominant instrument.")


def test_the_summary_begins_with_the_names(named: Evaluation, evaluation: Evaluation) -> None:
    names = named.confidence
    assert names is not None
    opening, sentence, dominant, *others = named.summary()
    assert others == evaluation.summary()[2:]
    assert opening == (
        f"The model detects {100 * names.recall.value:.0f} % of the instruments that play in a track, "
        f"and {100 * names.precision.value:.0f} % of those it detects do play."
    )
    assert sentence == (
        f"Detected and perhaps together, it names {100 * names.named_recall.value:.0f} % of the instruments that play, "
        f"but {100 - 100 * names.named_precision.value:.0f} % of these names are wrong."
    )
    (first,) = named.names_notes()
    assert f"if its confidence is at least {names.cut:.3f}" in first
    assert f"plays for at least 1 s, which is so {names.playing} times in all tracks" in first
    assert f"Brier score of {names.brier:.3f} (0 is best)" in first
    assert f"share of these tracks, it would have {names.constant_brier:.3f}" in first
    assert f"in {100 * names.dominant_named.value:.0f} % of the tracks" in dominant
    assert f"is right in {100 * names.dominant_precision.value:.0f} % of these" in dominant
    assert dominant.endswith(f"constant prediction is right in {100 * named.dominant_baseline:.0f} %.")


def test_files_of_a_model_with_confidence_have_its_table_and_picture(named: Evaluation, tmp_path: Path) -> None:
    named.save(tmp_path)
    assert imread(tmp_path / "confidence.png").ndim == 3
    text = (tmp_path / "evaluation.md").read_text("utf-8")
    assert text.index("## Detected and perhaps") < text.index("## Effect of post-processing")
    assert "![Calibration of the confidence](confidence.png)" in text
    for note in named.names_notes():
        assert note in text
    content = json.loads((tmp_path / "evaluation.json").read_text("utf-8"))
    assert content["confidence"]["detected"] == list(named.confidence.detected)
    assert np.shape(content["confidence"]["reliability"]["frequency"]) == (1, 16)


def test_a_model_without_confidence_has_no_names(evaluation: Evaluation) -> None:
    assert (evaluation.names_table(), evaluation.names_notes()) == ([], [])
    assert not any("perhaps" in sentence for sentence in evaluation.summary())
    assert "confidence" not in evaluation.figures()
    assert "Detected and perhaps" not in evaluation.to_markdown()
