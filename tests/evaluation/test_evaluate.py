"""Evaluation: its measures against scikit-learn, and the way from a bundle and a data set to a report."""

import json
import math

import keras
import numpy as np
import pytest
import sklearn.metrics
from helpers.predictions import RULE, THRESHOLDS, some_predictions
from helpers.tiny_data import CONFIG, FRONT_END, write_data, write_stems
from matplotlib.image import imread

from mir_tf.bundle import Bundle
from mir_tf.bundle.windows import WindowedModel
from mir_tf.data import pipeline
from mir_tf.data.manifest import read_manifest
from mir_tf.errors import DataError
from mir_tf.evaluation.evaluate import evaluate
from mir_tf.evaluation.result import CURVE_POINTS, assess
from mir_tf.events import Events, PostProcessing, decode
from mir_tf.metrics.track import TrackPrediction
from mir_tf.models import build_model
from mir_tf.vocabulary import VOCABULARIES

FAMILY = VOCABULARIES["family"]
HALF = np.full(17, 0.5, np.float32)


@pytest.fixture(scope="module")
def answers():
    return some_predictions()


@pytest.fixture(scope="module")
def evaluation(answers):
    return assess(answers, THRESHOLDS, RULE, FAMILY, "DATA", "test")


def joined(answers):
    scores = np.concatenate([answer.probabilities for answer in answers])
    truth = np.concatenate([answer.truth for answer in answers])
    return scores, scores >= THRESHOLDS, truth


def test_headlines_equal_scikit_learn(answers, evaluation):
    scores, active, truth = joined(answers)
    sounding = truth.any(axis=0)
    assert sounding.sum() == 16
    seen = np.stack([(answer.probabilities >= THRESHOLDS).any(axis=0) for answer in answers])
    present = np.stack([answer.truth.any(axis=0) for answer in answers])

    expected = {}
    for prefix, mine, true in (("", active, truth), ("presence_", seen, present)):
        for measure in ("precision", "recall", "f1"):
            score = getattr(sklearn.metrics, f"{measure}_score")
            expected[f"{prefix}micro_{measure}"] = score(true, mine, average="micro")
            expected[f"{prefix}macro_{measure}"] = score(
                true[:, sounding], mine[:, sounding], average="macro", zero_division=0
            )
    expected["track_averaged_micro_f1"] = np.mean(
        [
            sklearn.metrics.f1_score(answer.truth, answer.probabilities >= THRESHOLDS, average="micro")
            for answer in answers
        ]
    )
    expected["macro_average_precision"] = sklearn.metrics.average_precision_score(
        truth[:, sounding], scores[:, sounding], average="macro"
    )
    expected["macro_roc_auc"] = sklearn.metrics.roc_auc_score(truth[:, sounding], scores[:, sounding], average="macro")
    for name, value in expected.items():
        assert evaluation.headlines[name].value == pytest.approx(value, abs=1e-9), name


def test_class_scores_equal_scikit_learn(answers, evaluation):
    scores, active, truth = joined(answers)
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


def test_a_class_that_never_sounds_is_named_and_left_out(evaluation):
    absent = evaluation.classes[3]
    assert absent.tracks == 0
    for value in (absent.f1.value, absent.f1.low, absent.precision, absent.average_precision, absent.roc_auc):
        assert math.isnan(value)
    assert any("Never sounding" in note and FAMILY.classes[3] in note for note in evaluation.notes())
    macro = np.nanmean([scores.f1.value for scores in evaluation.classes])
    assert evaluation.headlines["macro_f1"].value == pytest.approx(macro)


def test_curves_are_short_and_close_to_the_whole(answers, evaluation):
    scores, _, truth = joined(answers)
    for index in (0, 5, 16):
        curve = evaluation.classes[index].curve
        precision, recall, _ = sklearn.metrics.precision_recall_curve(truth[:, index], scores[:, index])
        assert curve.shape[1] <= CURVE_POINTS
        assert (np.diff(curve[0, :-1]) > 0).all()
        assert curve[0, -1] == 1
        assert curve[1, -1] == pytest.approx(truth[:, index].mean()), "where everything is named"
        whole = set(zip(recall.round(12), precision.round(12), strict=True))
        assert set(zip(*curve.round(12), strict=True)) <= whole
        assert np.diff(curve[0]).max() < 0.02 + 1 / truth[:, index].sum()


def test_dominance_and_playing_time():
    def answer(heard: list[int], true: list[int]) -> TrackPrediction:
        frames = np.arange(100)[:, np.newaxis]
        scores, truth = np.zeros((100, 17), np.float32), np.zeros((100, 17), bool)
        scores[:, : len(heard)], truth[:, : len(true)] = frames < heard, frames < true
        return TrackPrediction(str((heard, true)), str((heard, true)), scores, truth)

    found = assess(
        [
            answer([50, 20], [40, 30]),  # right; errors 1 s and 1 s
            answer([10, 60, 5], [60, 60]),  # names one of the tied: right; errors 5, 0 and 0.5 s
            answer([10, 0], [0, 20]),  # wrong; errors 1 s and 2 s
            answer([0], [0]),  # silence, heard as such: right
        ],
        HALF,
        PostProcessing.plain(HALF),
        FAMILY,
        "DATA",
        "test",
    )
    assert found.headlines["dominant_accuracy"].value == 0.75
    assert found.dominant_ties == 1
    assert found.headlines["dominant_playing_time_error"].value == pytest.approx((1 + 5 + 2) / 3)
    assert found.headlines["playing_time_error"].value == pytest.approx((1 + 1 + 5 + 0 + 0.5 + 1 + 2) / 7)
    assert [scores.playing_time_error for scores in found.classes[:3]] == pytest.approx([7 / 3, 1, 0.5])
    assert math.isnan(found.classes[3].playing_time_error)
    assert found.headlines["track_averaged_micro_f1"].value == pytest.approx(
        np.mean([2 * 60 / (70 + 70), 2 * 70 / (75 + 120), 0, 1])
    )


@pytest.mark.parametrize("column", ["thresholds", "rule"])
def test_intervals_are_measured_as_by_sed_eval(answers, evaluation, column):
    """A frame is a second there, because whole numbers of them are subtracted exactly."""
    metrics = pytest.importorskip("sed_eval").sound_event
    names = list(FAMILY.classes)
    measures = {
        "segment": metrics.SegmentBasedMetrics(names, time_resolution=10.0),
        "onset": metrics.EventBasedMetrics(names, t_collar=2.0, evaluate_offset=False),
        "event": metrics.EventBasedMetrics(names, t_collar=2.0, percentage_of_length=0.2),
    }
    found = 0
    for answer in answers:
        rule = RULE if column == "rule" else PostProcessing.plain(THRESHOLDS)
        lists = [
            [
                {"event_onset": start, "event_offset": end, "event_label": names[index], "file": "song"}
                for index, start, end in zip(events.classes, events.starts, events.ends, strict=True)
            ]
            for events in map(Events.of, (answer.truth, decode(answer.probabilities, THRESHOLDS, rule)))
        ]
        found += len(lists[1])
        for measure in measures.values():
            measure.evaluate(*lists)
    for name, measure in measures.items():
        micro = measure.results_overall_metrics()["f_measure"]["f_measure"]
        assert getattr(evaluation.intervals[f"{name}_micro_f1"], column).value == pytest.approx(micro), name
        each = measure.results_class_wise_metrics()
        sounding = [name for name in names if each[name]["count"]["Nref"]]
        macro = np.mean([np.nan_to_num(each[name]["f_measure"]["f_measure"]) for name in sounding])
        assert getattr(evaluation.intervals[f"{name}_macro_f1"], column).value == pytest.approx(macro), name
    assert evaluation.intervals_found[1 + (column == "rule")] == found


def test_the_gain_of_the_rule_is_measured_in_the_same_resamples(evaluation):
    for name, effect in evaluation.intervals.items():
        assert effect.gain.value == pytest.approx(effect.rule.value - effect.thresholds.value), name
        assert effect.gain.low < effect.gain.high
    frames = evaluation.intervals["frame_micro_f1"]
    assert frames.thresholds == evaluation.headlines["micro_f1"]
    both = (frames.thresholds.high - frames.thresholds.low) + (frames.rule.high - frames.rule.low)
    assert frames.gain.high - frames.gain.low < both / 2, "most of the spread is shared"
    rows = evaluation.interval_table()
    assert rows[1][:4] == [
        "frames, micro",
        f"{frames.thresholds.value:.3f}",
        f"{frames.rule.value:.3f}",
        f"{frames.gain.value:+.3f}",
    ]


def test_intervals_are_reproducible_hold_the_value_and_shrink_with_more_tracks(evaluation):
    again = assess(some_predictions(), THRESHOLDS, RULE, FAMILY, "DATA", "test")
    more = assess(some_predictions(tracks=72), THRESHOLDS, RULE, FAMILY, "DATA", "test")
    assert repr(evaluation.headlines) == repr(again.headlines)  # some are NaN, which equals nothing
    for name in ("micro_f1", "track_averaged_micro_f1", "playing_time_error"):
        few, many = evaluation.headlines[name], more.headlines[name]
        assert few.low < few.value < few.high
        assert many.high - many.low < (few.high - few.low) / 1.5


def test_one_track_has_no_interval():
    found = assess(some_predictions(tracks=1), THRESHOLDS, RULE, FAMILY, "DATA", "test")
    assert not math.isnan(found.headlines["micro_f1"].value)
    assert math.isnan(found.headlines["micro_f1"].low)
    assert found.headline_table()[3][2] == "–"


def test_tables_and_json_say_what_was_measured(evaluation):
    table = {row[0]: row for row in evaluation.headline_table()}
    macro, gain = (
        evaluation.headlines["macro_f1"],
        evaluation.headlines["macro_f1"].value - evaluation.baseline.macro_f1,
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
    assert content["headlines"]["macro_f1"]["value"] == pytest.approx(macro.value, abs=1e-6)
    assert content["classes"][3]["f1"]["value"] is None
    assert content["vocabulary"] == "family"
    assert np.shape(content["confusion"]) == (17, 18)
    for line in evaluation.to_markdown().splitlines():
        assert not line.startswith("|") or line.count("|") in (6, 8, 14)


def test_save_writes_tables_and_pictures_and_nothing_else(evaluation, tmp_path):
    evaluation.save(tmp_path / "new" / "folder")
    files = {path.name for path in (tmp_path / "new" / "folder").iterdir()}
    assert files == {"evaluation.json", "evaluation.md", "f1_per_class.png", "pr_curves.png", "confusion.png"}
    for name in sorted(name for name in files if name.endswith(".png")):
        assert imread(tmp_path / "new" / "folder" / name).ndim == 3


def test_confusion_picture_shows_every_frame_of_the_classes_that_sound(evaluation):
    axes = evaluation.figures()["confusion"].axes[0]
    shares = axes.images[0].get_array()
    assert shares.shape == (16, 18)
    np.testing.assert_allclose(shares.sum(axis=1), 1)
    recalls = [scores.recall for scores in evaluation.classes if scores.tracks]
    np.testing.assert_allclose(np.diagonal(shares), recalls)
    assert shares[:, 16].sum() > 0  # taken for the class that never sounds


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    write_data(folder, {"train": [[40]], "test": [[70, 23], [45]], "validation": []})
    return folder


@pytest.fixture(scope="module")
def bundle():
    keras.utils.set_random_seed(0)
    model = build_model(CONFIG.model, FRONT_END, len(FAMILY), -45.0, 20.0)
    return Bundle(model, CONFIG, HALF, PostProcessing.plain(HALF), (), {})


def test_evaluate_measures_the_windowed_answers_for_every_track(data, bundle):
    seen = []
    found = evaluate(bundle, data, "test", lambda done, total: seen.append((done, total)))
    assert seen == [(1, 3), (2, 3), (3, 3)]
    assert found.tracks == 3
    assert found.seconds == pytest.approx(13.8)
    assert found.title == f"test split of {data}"

    model = WindowedModel(bundle.model, bundle.config)
    tracks = pipeline.tracks(data, read_manifest(data), "test", FAMILY)
    answers = [
        TrackPrediction(track.id, track.song, model.predict_track(track.log_mel), track.truth) for track in tracks
    ]
    expected = assess(answers, bundle.thresholds, bundle.post_processing, FAMILY, str(data), "test")
    assert found.to_dict() == expected.to_dict()


def test_evaluate_measures_tracks_and_not_their_stems(bundle, tmp_path):
    write_stems(tmp_path / "stems")
    seen = []
    found = evaluate(bundle, tmp_path / "stems", "train", lambda done, total: seen.append((done, total)))
    assert seen == [(1, 2), (2, 2)]
    assert (found.tracks, found.seconds) == (2, pytest.approx(10.0))


def test_evaluate_refuses_another_front_end_naming_the_fields(bundle, tmp_path):
    write_data(tmp_path, {"test": [[20]]}, FRONT_END.replace(n_mels=16, f_min=30.0))
    with pytest.raises(DataError, match="n_mels: 16 here, 8 there") as error:
        evaluate(bundle, tmp_path, "test")
    assert "f_min" in str(error.value)


def test_evaluate_refuses_a_split_without_tracks_or_without_sound(data, bundle, tmp_path):
    with pytest.raises(DataError, match="'validation'"):
        evaluate(bundle, data, "validation")
    silent = write_data(tmp_path, {"test": [[20]]})
    content = json.loads((tmp_path / "manifest.json").read_text())
    activity = content["splits"]["test"]["activity"]["family"]
    content["splits"]["test"]["activity"]["family"] = dict.fromkeys(activity, 0)
    (tmp_path / "manifest.json").write_text(json.dumps(content))
    assert silent.splits["test"].tracks == 1
    with pytest.raises(DataError, match="nothing sounds"):
        evaluate(bundle, tmp_path, "test")
