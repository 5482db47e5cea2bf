"""The result of an evaluation as sentences, tables, JSON, figures and files."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from helpers.predictions import POST_PROCESSING, THRESHOLDS, random_predictions
from matplotlib.image import imread

from mir_tf.evaluation.measure import evaluate_predictions
from mir_tf.evaluation.result import Evaluation
from mir_tf.metrics.bootstrap import ConfidenceInterval
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
        assert not line.startswith("|") or line.count("|") in (6, 8, 14)


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


def test_the_summary_puts_the_metrics_into_words(evaluation: Evaluation) -> None:
    metrics = {name: estimate.value for name, estimate in evaluation.overall_metrics.items()}
    opening, frames, classes, post_processing = evaluation.summary()
    assert f"finds {100 * metrics['presence_micro_recall']:.0f} % of the instruments that play" in opening
    assert f"{100 - 100 * metrics['presence_micro_precision']:.0f} % of those it detects do not play" in opening
    assert f"dominant instrument in {100 * metrics['dominant_accuracy']:.0f} % of the tracks" in opening
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
    assert silent.summary()[0].startswith("The model finds 0 % of the instruments that play in a track. It finds the ")


def test_the_summary_names_the_classes_that_are_no_better_than_a_constant(evaluation: Evaluation) -> None:
    piano, *others = evaluation.classes
    beaten = dataclasses.replace(evaluation, classes=(dataclasses.replace(piano, baseline_f1=1.0), *others))
    assert beaten.summary()[2].endswith(" No better than a constant prediction: Piano.")
