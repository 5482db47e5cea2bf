"""Metrics of predictions against scikit-learn, sed_eval and small cases worked out by hand."""

import dataclasses
import math

import numpy as np
import pytest
import sklearn.metrics
from helpers.predictions import POST_PROCESSING, THRESHOLDS, random_predictions

from mir_tf.evaluation.measure import CURVE_POINTS, evaluate_predictions
from mir_tf.evaluation.result import Evaluation
from mir_tf.events import Events, PostProcessing, decode
from mir_tf.metrics.bootstrap import wilson
from mir_tf.metrics.dominance import dominance_matrix
from mir_tf.metrics.thresholds import ScoreHistogram
from mir_tf.metrics.track import TrackPrediction
from mir_tf.vocabulary import VOCABULARIES

FAMILY = VOCABULARIES["family"]
HALF = np.full(17, 0.5, np.float32)


@pytest.fixture(scope="module")
def predictions() -> list[TrackPrediction]:
    return random_predictions()


@pytest.fixture(scope="module")
def evaluation(predictions: list[TrackPrediction]) -> Evaluation:
    return evaluate_predictions(predictions, THRESHOLDS, POST_PROCESSING, FAMILY, "DATA", "test")


def joined(predictions: list[TrackPrediction]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return scores, predictions and truth of all tracks together, [frames, classes] each."""
    scores = np.concatenate([each.probabilities for each in predictions])
    truth = np.concatenate([each.truth for each in predictions])
    return scores, scores >= THRESHOLDS, truth


def test_overall_metrics_equal_scikit_learn(predictions: list[TrackPrediction], evaluation: Evaluation) -> None:
    scores, active, truth = joined(predictions)
    kept = np.flatnonzero(truth.any(axis=0))
    assert len(kept) == 16
    seen = np.stack([(each.probabilities >= THRESHOLDS).any(axis=0) for each in predictions])
    present = np.stack([each.truth.any(axis=0) for each in predictions])

    expected = {}
    for prefix, mine, true in (("", active, truth), ("presence_", seen, present)):
        for measure in ("precision", "recall", "f1"):
            score = getattr(sklearn.metrics, f"{measure}_score")
            expected[f"{prefix}micro_{measure}"] = score(true, mine, average="micro")
            expected[f"{prefix}macro_{measure}"] = score(true[:, kept], mine[:, kept], average="macro", zero_division=0)
    expected["track_averaged_micro_f1"] = np.mean(
        [
            sklearn.metrics.f1_score(each.truth, each.probabilities >= THRESHOLDS, average="micro")
            for each in predictions
        ]
    )
    expected["macro_average_precision"] = sklearn.metrics.average_precision_score(
        truth[:, kept], scores[:, kept], average="macro"
    )
    expected["macro_roc_auc"] = sklearn.metrics.roc_auc_score(truth[:, kept], scores[:, kept], average="macro")
    for name, value in expected.items():
        assert evaluation.overall_metrics[name].value == pytest.approx(value, abs=1e-9), name


def test_class_scores_equal_scikit_learn(predictions: list[TrackPrediction], evaluation: Evaluation) -> None:
    scores, active, truth = joined(predictions)
    for index, found in enumerate(evaluation.classes):
        assert found.name == FAMILY.classes[index]
        assert found.threshold == pytest.approx(THRESHOLDS[index])
        assert found.prevalence == pytest.approx(truth[:, index].mean())
        if index == 3:
            continue
        true, mine = truth[:, index], active[:, index]
        assert found.precision == pytest.approx(sklearn.metrics.precision_score(true, mine))
        assert found.recall == pytest.approx(sklearn.metrics.recall_score(true, mine))
        assert found.f1.value == pytest.approx(sklearn.metrics.f1_score(true, mine))
        assert found.f1.low <= found.f1.value <= found.f1.high
        assert found.baseline_f1 == pytest.approx(sklearn.metrics.f1_score(true, np.ones_like(true)))
        assert found.average_precision == pytest.approx(sklearn.metrics.average_precision_score(true, scores[:, index]))
        assert found.roc_auc == pytest.approx(sklearn.metrics.roc_auc_score(true, scores[:, index]))


def test_a_class_that_is_never_active_is_named_and_not_in_the_macro_mean(evaluation: Evaluation) -> None:
    absent = evaluation.classes[3]
    assert absent.tracks == 0
    for value in (absent.f1.value, absent.f1.low, absent.precision, absent.average_precision, absent.roc_auc):
        assert math.isnan(value)
    assert any("Never active" in note and FAMILY.classes[3] in note for note in evaluation.notes())
    macro = np.nanmean([scores.f1.value for scores in evaluation.classes])
    assert evaluation.overall_metrics["macro_f1"].value == pytest.approx(macro)


def test_curves_are_short_and_close_to_the_whole(predictions: list[TrackPrediction], evaluation: Evaluation) -> None:
    scores, _, truth = joined(predictions)
    for index in (0, 5, 16):
        curve = evaluation.classes[index].curve
        precision, recall, _ = sklearn.metrics.precision_recall_curve(truth[:, index], scores[:, index])
        assert curve.shape[1] <= CURVE_POINTS
        assert (np.diff(curve[0, :-1]) > 0).all()
        assert curve[0, -1] == 1
        assert curve[1, -1] == pytest.approx(truth[:, index].mean()), "everything is predicted"
        whole = set(zip(recall.round(12), precision.round(12), strict=True))
        assert set(zip(*curve.round(12), strict=True)) <= whole
        assert np.diff(curve[0]).max() < 0.02 + 1 / truth[:, index].sum()


def test_dominance_and_playing_time() -> None:
    def predict(predicted: list[int], true: list[int]) -> TrackPrediction:
        frames = np.arange(100)[:, np.newaxis]
        scores, truth = np.zeros((100, 17), np.float32), np.zeros((100, 17), bool)
        scores[:, : len(predicted)], truth[:, : len(true)] = frames < predicted, frames < true
        return TrackPrediction(str((predicted, true)), str((predicted, true)), scores, truth)

    found = evaluate_predictions(
        [
            predict([50, 20], [40, 30]),  # right; errors 1 s and 1 s
            predict([10, 60, 5], [60, 60]),  # predicts one of the tied: right; errors 5, 0 and 0.5 s
            predict([10, 0], [0, 20]),  # wrong; errors 1 s and 2 s
            predict([0], [0]),  # silence, predicted as such: right
        ],
        HALF,
        PostProcessing.plain(HALF),
        FAMILY,
        "DATA",
        "test",
    )
    assert found.overall_metrics["dominant_accuracy"].value == 0.75
    assert found.dominant_ties == 1
    assert found.dominant_baseline == 0.5, "two tracks have the first class, two the second, and one is silent"
    assert found.presence_baseline.micro_f1 == pytest.approx(2 * 5 / (2 * 4 + 5)), "the first two classes, always"
    assert found.overall_metrics["dominant_playing_time_error"].value == pytest.approx((1 + 5 + 2) / 3)
    assert found.overall_metrics["playing_time_error"].value == pytest.approx((1 + 1 + 5 + 0 + 0.5 + 1 + 2) / 7)
    assert [scores.playing_time_error for scores in found.classes[:3]] == pytest.approx([7 / 3, 1, 0.5])
    assert math.isnan(found.classes[3].playing_time_error)
    assert found.overall_metrics["track_averaged_micro_f1"].value == pytest.approx(
        np.mean([2 * 60 / (70 + 70), 2 * 70 / (75 + 120), 0, 1])
    )


@pytest.mark.parametrize("column", ["thresholds", "post_processed"])
def test_events_equal_sed_eval(predictions: list[TrackPrediction], evaluation: Evaluation, column: str) -> None:
    """Frames are passed to sed_eval as seconds, because it subtracts whole numbers exactly."""
    metrics = pytest.importorskip("sed_eval").sound_event
    names = list(FAMILY.classes)
    measures = {
        "segment": metrics.SegmentBasedMetrics(names, time_resolution=10.0),
        "onset": metrics.EventBasedMetrics(names, t_collar=2.0, evaluate_offset=False),
        "event": metrics.EventBasedMetrics(names, t_collar=2.0, percentage_of_length=0.2),
    }
    found = 0
    for each in predictions:
        post_processing = POST_PROCESSING if column == "post_processed" else PostProcessing.plain(THRESHOLDS)
        lists = [
            [
                {"event_onset": start, "event_offset": end, "event_label": names[index], "file": "song"}
                for index, start, end in zip(events.classes, events.starts, events.ends, strict=True)
            ]
            for events in map(Events.of, (each.truth, decode(each.probabilities, THRESHOLDS, post_processing)))
        ]
        found += len(lists[1])
        for measure in measures.values():
            measure.evaluate(*lists)
    effects = evaluation.post_processing_effects
    for name, measure in measures.items():
        micro = measure.results_overall_metrics()["f_measure"]["f_measure"]
        assert getattr(effects[f"{name}_micro_f1"], column).value == pytest.approx(micro), name
        by_class = measure.results_class_wise_metrics()
        active = [name for name in names if by_class[name]["count"]["Nref"]]
        macro = np.mean([np.nan_to_num(by_class[name]["f_measure"]["f_measure"]) for name in active])
        assert getattr(effects[f"{name}_macro_f1"], column).value == pytest.approx(macro), name
    assert evaluation.num_events[column] == found
    assert evaluation.num_events["truth"] == sum(len(Events.of(each.truth)) for each in predictions)


def test_the_gain_of_post_processing_is_from_the_same_resamples(evaluation: Evaluation) -> None:
    for name, effect in evaluation.post_processing_effects.items():
        assert effect.gain.value == pytest.approx(effect.post_processed.value - effect.thresholds.value), name
        assert effect.gain.low < effect.gain.high
    frames = evaluation.post_processing_effects["frame_micro_f1"]
    assert frames.thresholds == evaluation.overall_metrics["micro_f1"]
    both = (frames.thresholds.high - frames.thresholds.low) + (frames.post_processed.high - frames.post_processed.low)
    assert frames.gain.high - frames.gain.low < both / 2, "both share most of their spread"
    rows = evaluation.post_processing_table()
    assert rows[1][:4] == [
        "frames, micro",
        f"{frames.thresholds.value:.3f}",
        f"{frames.post_processed.value:.3f}",
        f"{frames.gain.value:+.3f}",
    ]


def test_intervals_are_reproducible_contain_the_value_and_shrink_with_more_tracks(evaluation: Evaluation) -> None:
    again = evaluate_predictions(random_predictions(), THRESHOLDS, POST_PROCESSING, FAMILY, "DATA", "test")
    more = evaluate_predictions(random_predictions(tracks=72), THRESHOLDS, POST_PROCESSING, FAMILY, "DATA", "test")
    assert repr(evaluation.overall_metrics) == repr(again.overall_metrics)  # NaN never equals itself
    for name in ("micro_f1", "track_averaged_micro_f1", "playing_time_error"):
        few, many = evaluation.overall_metrics[name], more.overall_metrics[name]
        assert few.low < few.value < few.high
        assert many.high - many.low < (few.high - few.low) / 1.5


def test_the_presence_of_each_class_equals_scikit_learn(
    predictions: list[TrackPrediction], evaluation: Evaluation
) -> None:
    seen = np.stack([(each.probabilities >= THRESHOLDS).any(axis=0) for each in predictions])
    present = np.stack([each.truth.any(axis=0) for each in predictions])
    for index, scores in enumerate(evaluation.classes):
        if not scores.tracks:
            assert math.isnan(scores.presence_precision.value)
            continue
        for measure, trials in (("precision", seen), ("recall", present)):
            found = getattr(scores, f"presence_{measure}")
            right = getattr(sklearn.metrics, f"{measure}_score")(present[:, index], seen[:, index])
            assert found.value == pytest.approx(right)
            if trials[:, index].sum() > 1:  # each track is a song
                assert (found.low, found.high) == pytest.approx(tuple(wilson(right, trials[:, index].sum())))
            else:
                assert math.isnan(found.low)


def test_what_is_never_found_is_not_certain_to_be_never_found(predictions: list[TrackPrediction]) -> None:
    """The dominant instrument is wrong in all of eight tracks, and nothing that is detected plays."""
    backwards = [
        dataclasses.replace(each, probabilities=(~each.truth & ~each.truth.any(axis=0)).astype(np.float32))
        for each in predictions
    ]
    found = evaluate_predictions(backwards, HALF, PostProcessing.plain(HALF), FAMILY, "DATA", "test")
    accuracy, precision = (found.overall_metrics[name] for name in ("dominant_accuracy", "micro_precision"))
    for estimate in (accuracy, precision):
        assert (estimate.value, estimate.low, estimate.high) == pytest.approx((0, *wilson(0, 8)))
    several = [scores.f1 for scores in found.classes if scores.tracks > 1]
    assert len(several) > 10
    assert all(each.low == 0 and 0.3 < each.high < 1 for each in several)


def test_one_track_has_no_interval() -> None:
    found = evaluate_predictions(random_predictions(tracks=1), THRESHOLDS, POST_PROCESSING, FAMILY, "DATA", "test")
    assert not math.isnan(found.overall_metrics["micro_f1"].value)
    assert math.isnan(found.overall_metrics["micro_f1"].low)
    assert found.overall_table()[3][2] == "–"


def test_the_accuracy_of_the_dominant_instrument_is_the_diagonal_of_its_matrix(
    predictions: list[TrackPrediction], evaluation: Evaluation
) -> None:
    matrix = dominance_matrix(
        [each.probabilities >= THRESHOLDS for each in predictions], [each.truth for each in predictions]
    )
    assert matrix.sum() == len(predictions)
    assert np.trace(matrix) / len(predictions) == pytest.approx(evaluation.overall_metrics["dominant_accuracy"].value)


def test_f1_at_a_threshold_is_that_of_the_histogram(predictions: list[TrackPrediction]) -> None:
    histogram = ScoreHistogram(17)
    for each in predictions:
        histogram.update(each.probabilities, each.truth)
    thresholds = np.full(17, 0.4375, np.float32)  # 448 / 1024
    found = evaluate_predictions(predictions, thresholds, PostProcessing.plain(thresholds), FAMILY, "DATA", "test")
    for index, scores in enumerate(found.classes):
        if scores.tracks:
            assert histogram.f1()[index, 448] == pytest.approx(scores.f1.value)
