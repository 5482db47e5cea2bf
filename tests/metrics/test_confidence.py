"""Fit of the confidence, choice of its cut, and its metrics, by hand and on data whose weights are known."""

import dataclasses
import math

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from mir_tf.confidence import NUM_FEATURES, ConfidenceModel, features, sigmoid
from mir_tf.metrics import confidence
from mir_tf.metrics.bootstrap import Bootstrap
from mir_tf.metrics.confidence import TrackTable
from mir_tf.metrics.track import TrackPrediction

HALF = np.full(3, 0.5, np.float32)


def track(song: str, levels: list[float], playing: list[float], seconds: float = 4.0) -> TrackPrediction:
    """Return a track in which each class has one probability throughout, and plays for so many seconds."""
    frames = np.arange(round(seconds * 10))[:, np.newaxis]
    truth = frames < 10 * np.array(playing) - 1e-9
    return TrackPrediction(song, song, np.tile(np.array(levels, np.float32), (len(frames), 1)), truth)


def table_of(plays: list[list[bool]], is_named: list[list[bool]] | None = None) -> TrackTable:
    truth = np.array(plays)
    named = np.ones_like(truth) if is_named is None else np.array(is_named)
    return TrackTable(np.zeros((*truth.shape, NUM_FEATURES)), truth, named, np.arange(len(truth)))


def synthetic(tracks: int, weights: np.ndarray, seed: int = 0) -> TrackTable:
    """Draw features, and truth from a logistic regression with ``weights`` [classes, 1 + features]."""
    generator = np.random.default_rng(seed)
    drawn = generator.normal(size=(tracks, len(weights), NUM_FEATURES))
    odds = weights[:, 0] + (drawn * weights[:, 1:]).sum(axis=2)
    plays = generator.random(odds.shape) < sigmoid(odds)
    return TrackTable(drawn, plays, np.ones_like(plays), np.arange(tracks))


# The table.


def test_a_table_summarises_tracks_and_a_class_plays_from_one_second_on() -> None:
    tracks = [track("a", [0.9, 0.4, 0.5], [1.0, 0.9, 0.0]), track("b", [0.2, 0.49, 0.7], [4.0, 0.0, 1.1])]
    table = TrackTable.of(tracks, HALF)
    np.testing.assert_array_equal(table.plays, [[True, False, False], [True, False, True]])
    np.testing.assert_array_equal(table.is_named, [[True, False, True], [False, False, True]])
    for row, each in enumerate(tracks):
        np.testing.assert_array_equal(table.features[row], features(each.probabilities))


def test_tracks_of_a_song_share_a_number_in_every_worker() -> None:
    tracks = [track(song, [0.5] * 3, [0.0] * 3) for song in ("a", "b", "a")]
    first, second, third = TrackTable.of(tracks, HALF).songs.tolist()
    assert first == third != second
    assert TrackTable.of(tracks[2:], HALF).songs.tolist() == [first]
    assert first == 0xE8B7BE43  # CRC-32 of "a": a hash that Python seeds would differ between processes


@pytest.mark.parametrize("tracks", [0, 1, 7])
def test_a_table_comes_back_from_an_array(tracks: int) -> None:
    generator = np.random.default_rng(0)
    table = TrackTable(
        generator.normal(size=(tracks, 5, NUM_FEATURES)),
        generator.random((tracks, 5)) < 0.5,
        generator.random((tracks, 5)) < 0.5,
        generator.integers(2**32, size=tracks),
    )
    array = table.to_array()
    assert array.dtype == np.float64
    assert array.shape == (tracks, 1 + 5 * (NUM_FEATURES + 2))  # also that of a worker without tracks
    if tracks == 0:
        return
    again = TrackTable.from_array(array)
    for field in dataclasses.fields(table):
        mine, theirs = getattr(again, field.name), getattr(table, field.name)
        np.testing.assert_array_equal(mine, theirs, err_msg=field.name)
        assert mine.dtype == theirs.dtype


# The cut.


def cut(confidences: list[float], is_right: list[bool], is_named: list[bool] | None = None) -> float:
    """Choose the cut for one class in as many tracks."""
    named = None if is_named is None else [[each] for each in is_named]
    return confidence.choose_cut(np.array(confidences)[:, np.newaxis], table_of([[each] for each in is_right], named))


def test_the_cut_is_the_lowest_that_is_precise_enough() -> None:
    """Of the 10 highest, 9 are right: 90 %. Of the 11 highest, 9 are, and of the 12 highest 10: less than 90 %."""
    confidences = [0.95, 0.9, 0.85, 0.8, 0.75, 0.7, 0.65, 0.6, 0.55, 0.5, 0.45, 0.4]
    is_right = [True, True, False, *[True] * 7, False, True]
    assert cut(confidences, is_right) == 0.5
    order = np.random.default_rng(0).permutation(12)
    assert cut([confidences[at] for at in order], [is_right[at] for at in order]) == 0.5


def test_a_cut_may_lie_below_one_that_is_not_precise_enough() -> None:
    """The best one is wrong, and the next 9 are right. Every cut between is too imprecise; the lowest one is not."""
    confidences = [0.9, *np.linspace(0.8, 0.55, 9)]
    assert cut(confidences, [False, *[True] * 9]) == pytest.approx(0.55)


def test_names_of_equal_confidence_are_detected_together_or_not_at_all() -> None:
    """The cut 0.6 would be precise with the right one alone, but has two wrong ones with it."""
    assert cut([0.9, 0.6, 0.6, 0.6], [True, True, False, False]) == 0.9
    assert cut([0.9, 0.6, 0.6, 0.6], [True, False, False, True]) == 0.9
    assert cut([0.6] * 10, [True] * 9 + [False]) == 0.6
    assert cut([0.6] * 10, [True] * 8 + [False] * 2) == 1


def test_without_a_cut_that_is_precise_enough_nothing_is_detected() -> None:
    assert cut([0.9, 0.8], [False, True]) == 1
    assert cut([0.9, 0.8], [False, False]) == 1
    assert cut([0.9, 0.8], [True, True], [False, False]) == 1  # no names at all


def test_no_name_is_detected_that_is_more_likely_wrong() -> None:
    """However many names of few songs happen to be right."""
    assert cut([0.9, 0.8, 0.5, 0.4], [True] * 4) == confidence.LOWEST_CUT == 0.5
    assert cut([0.4, 0.3], [True, True]) == 1


def test_only_names_decide_about_the_cut() -> None:
    """A class below its threshold is not shown, however confident."""
    assert cut([0.9, 0.8, 0.7], [False, True, True], [False, True, True]) == 0.7
    assert cut([0.9, 0.8, 0.7], [True, True, False], [True, False, True]) == 0.9


def test_the_cut_is_about_the_names_of_all_classes_together() -> None:
    confidences = np.array([[0.9, 0.2], [0.8, 0.1], [0.7, 0.6]])
    table = table_of([[True, False], [True, False], [True, True]])
    assert confidence.choose_cut(confidences, table) == 0.6


# The fit.


def test_the_fit_finds_the_weights_that_made_the_data() -> None:
    generator = np.random.default_rng(3)
    weights = np.round(generator.normal(0, 1, (3, 1 + NUM_FEATURES)), 2)
    table = synthetic(20_000, weights)
    np.testing.assert_allclose(confidence.fit_weights(table.features, table.plays, 1.0), weights, atol=0.12)


def test_the_fit_equals_scikit_learn() -> None:
    """With one class, whose prior is the fit to the same data, and a prior that is too weak to matter."""
    table = synthetic(500, np.full((1, 1 + NUM_FEATURES), 0.7))
    theirs = LogisticRegression(C=np.inf, tol=1e-10, max_iter=10_000).fit(table.features[:, 0], table.plays[:, 0])
    (found,) = confidence.fit_weights(table.features, table.plays, prior_strength=1e-9)
    np.testing.assert_allclose(found, [*theirs.intercept_, *theirs.coef_[0]], rtol=1e-3)


def test_a_class_without_evidence_has_the_weights_of_all_classes() -> None:
    """Its features are always 0, so that its own data tell only its bias."""
    table = synthetic(2000, np.full((6, 1 + NUM_FEATURES), 1.0))
    table.features[:, 5] = 0
    found = confidence.fit_weights(table.features, table.plays, 1.0)
    np.testing.assert_allclose(found[5, 1:], 1, atol=0.2)


def test_a_class_that_never_plays_has_finite_weights_and_a_low_confidence() -> None:
    """Its own data alone would make its bias infinite."""
    table = synthetic(400, np.full((6, 1 + NUM_FEATURES), 1.0))
    table.plays[:, 5] = False
    found = confidence.fit_weights(table.features, table.plays, 1.0)
    assert np.abs(found).max() < 20
    assert found[5, 0] < found[:5, 0].min() - 1


def test_separable_data_have_finite_weights() -> None:
    inputs = np.linspace(-9, 9, 40).reshape(-1, 1, 1).repeat(NUM_FEATURES, axis=2)
    found = confidence.fit_weights(inputs, inputs[..., 0] > 0, 1.0)
    assert np.isfinite(found).all()
    assert (found[0, 1:] > 0).all()


def test_fit_gives_a_model_whose_cut_comes_from_held_out_songs() -> None:
    table = synthetic(300, np.full((4, 1 + NUM_FEATURES), 1.0))
    model, held_out = confidence.fit(table)
    losses = {}
    for strength in confidence.PRIOR_STRENGTHS:
        found = confidence.held_out_confidence(table, strength)
        losses[strength] = -np.log(np.where(table.plays, found, 1 - found)).mean()
    best = min(losses, key=losses.__getitem__)
    assert len(set(losses.values())) == len(losses)
    np.testing.assert_array_equal(held_out, confidence.held_out_confidence(table, best))
    np.testing.assert_array_equal(np.array(model.weights), confidence.fit_weights(table.features, table.plays, best))
    assert model.cut == confidence.choose_cut(held_out, table) < 1
    chosen = held_out >= model.cut
    assert table.plays[chosen].mean() >= confidence.TARGET_PRECISION


def test_few_songs_draw_classes_together_and_many_let_them_differ() -> None:
    """The strength of the prior is the one that predicts other songs best."""
    same, different = np.full((6, 1 + NUM_FEATURES), 1.0), np.full((6, 1 + NUM_FEATURES), 1.0)
    different[::2, 0], different[1::2, 0] = -3, 3
    few, many = synthetic(20, same), synthetic(600, different)
    (of_few, _), (of_many, _) = confidence.fit(few), confidence.fit(many)
    own = confidence.fit_weights(few.features, few.plays, confidence.PRIOR_STRENGTHS[0])
    assert np.ptp([row[0] for row in of_few.weights]) < 0.7 * np.ptp(own[:, 0])
    assert np.ptp([row[0] for row in of_many.weights]) > 4


def test_held_out_confidences_come_from_other_songs() -> None:
    """A change of the truth of a song changes confidences of other songs, but none of its own."""
    table = dataclasses.replace(synthetic(40, np.full((2, 1 + NUM_FEATURES), 1.0)), songs=np.arange(40) // 2)
    before = confidence.held_out_confidence(table, 1.0)
    for song in (0, 7, 19):
        plays = table.plays.copy()
        is_of_song = table.songs == song
        plays[is_of_song] = ~plays[is_of_song]
        after = confidence.held_out_confidence(dataclasses.replace(table, plays=plays), 1.0)
        np.testing.assert_array_equal(after[is_of_song], before[is_of_song])
        assert (after != before).any(axis=1).sum() >= 40 - 2 * math.ceil(20 / confidence.FOLDS)
    assert ((before > 0) & (before < 1)).all()


@pytest.mark.parametrize("songs", [1, 2, 3])
def test_few_songs_have_confidences_too(songs: int) -> None:
    table = dataclasses.replace(synthetic(6, np.full((2, 1 + NUM_FEATURES), 1.0)), songs=np.arange(6) % songs)
    held_out = confidence.held_out_confidence(table, 1.0)
    assert (held_out > 0).all()
    if songs == 1:
        odds = [model_odds(table, index) for index in range(2)]
        np.testing.assert_allclose(held_out, sigmoid(np.stack(odds, axis=1)))
    assert 0 < confidence.fit(table)[0].cut <= 1


def model_odds(table: TrackTable, index: int) -> np.ndarray:
    weights = confidence.fit_weights(table.features, table.plays, 1.0)[index]
    return weights[0] + table.features[:, index] @ weights[1:]


# The metrics.


@pytest.fixture(scope="module")
def measured() -> confidence.ConfidenceMetrics:
    """Measure three tracks, by a model whose confidence is the mean probability, at a cut of 0.6.

    Named are classes from 0.5 on. In "a", 0 and 1 are detected and 2 is perhaps; only 0 and 2 play. In "b", 0 is
    perhaps and 1 detected; both play. In "c", nothing is detected; 1 perhaps plays, but does not; 2 plays unnoticed.
    """
    model = ConfidenceModel(((0.0, 1.0, *(0.0,) * (NUM_FEATURES - 1)),) * 3, 0.6)
    tracks = [
        track("a", [0.9, 0.7, 0.5], [4.0, 0.5, 3.0]),
        track("b", [0.55, 0.8, 0.1], [4.0, 1.0, 0.0]),
        track("c", [0.2, 0.5, 0.3], [0.0, 0.0, 2.0]),
    ]
    return confidence.measure(model, tracks, HALF, Bootstrap(["a", "b", "c"]))


def test_names_are_counted_by_hand(measured: confidence.ConfidenceMetrics) -> None:
    assert measured.cut == 0.6
    assert measured.playing == 5
    assert measured.named == (6, 4)
    assert measured.detected == (3, 2)
    assert measured.precision.value == pytest.approx(2 / 3)
    assert measured.recall.value == pytest.approx(2 / 5)
    assert measured.named_precision.value == pytest.approx(4 / 6)
    assert measured.named_recall.value == pytest.approx(4 / 5)
    assert measured.precision.low <= 2 / 3 <= measured.precision.high


def test_the_dominant_class_is_one_of_the_detected_ones(measured: confidence.ConfidenceMetrics) -> None:
    """In "a" it is 0, which plays longest; in "b" it is 1, but 0 plays longer; in "c" none is named."""
    assert measured.dominant_named.value == pytest.approx(2 / 3)
    assert measured.dominant_precision.value == pytest.approx(1 / 2)


def test_the_brier_score_is_worked_out_by_hand(measured: confidence.ConfidenceMetrics) -> None:
    errors = [0.1, 0.7, 0.5, 0.45, 0.2, 0.1, 0.2, 0.5, 0.7]
    assert measured.brier == pytest.approx(sum(error**2 for error in errors) / 9, abs=1e-6)
    # The classes play in 2, 1 and 2 of the 3 tracks: constants of 2/3, 1/3 and 2/3 have variances of 2/9.
    assert measured.constant_brier == pytest.approx(2 / 9)


def test_the_reliability_has_a_pair_for_each_track_and_class(measured: confidence.ConfidenceMetrics) -> None:
    diagram = measured.reliability
    assert diagram.frames.shape[0] == 1
    assert diagram.frames.sum() == 9
    assert (diagram.frequency * diagram.frames).sum() == pytest.approx(5)
    assert diagram.error[0] > 0


def test_nothing_named_has_no_precision_but_is_measured() -> None:
    model = ConfidenceModel(((0.0, 1.0, *(0.0,) * (NUM_FEATURES - 1)),) * 3, 1.0)
    found = confidence.measure(model, [track("a", [0.1] * 3, [4.0, 0.0, 0.0])], HALF, Bootstrap(["a"]))
    assert (found.named, found.detected, found.playing) == ((0, 0), (0, 0), 1)
    assert (found.precision.value, found.recall.value, found.dominant_named.value) == (0, 0, 0)


def test_a_class_below_its_threshold_is_not_detected_however_confident() -> None:
    model = ConfidenceModel(((0.0, 1.0, *(0.0,) * (NUM_FEATURES - 1)),) * 3, 0.6)
    thresholds = np.array([0.5, 0.9, 0.5], np.float32)
    found = confidence.measure(model, [track("a", [0.7, 0.8, 0.1], [0.0, 4.0, 0.0])], thresholds, Bootstrap(["a"]))
    assert (found.named, found.detected, found.playing) == ((1, 0), (1, 0), 1)
