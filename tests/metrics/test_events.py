"""Counts of segments and events against sed_eval and mir_eval on the same intervals."""

from typing import Any

import numpy as np
import pytest

from mir_tf.events import Events
from mir_tf.metrics.counts import ConfusionCounts
from mir_tf.metrics.events import event_counts, segment_counts

CLASSES = ("Piano", "Guitar", "Bass", "Drums")


def activity(generator: np.random.Generator, frames: int, change: float) -> np.ndarray:
    """Return classes that come and go: each changes in a frame with the probability ``change``."""
    return np.cumsum(generator.random((frames, len(CLASSES))) < change, axis=0) % 2 == 1


def pairs(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return an estimate and a similar truth: edges are moved, some frames differ, one class is in one of them only."""
    generator = np.random.default_rng(seed)
    truth = activity(generator, int(generator.integers(1, 400)), generator.choice([0.05, 0.2, 0.5]))
    estimate = np.roll(truth, generator.integers(-3, 4), axis=0) ^ (generator.random(truth.shape) < 0.03)
    (truth if seed % 2 else estimate)[:, seed % len(CLASSES)] = False
    return estimate, truth


def as_list(active: np.ndarray, rate: float) -> list[dict[str, object]]:
    """Return events as sed_eval expects them; ``rate`` frames make a second."""
    events = Events.of(active)
    return [
        {"event_onset": start / rate, "event_offset": end / rate, "event_label": CLASSES[index], "file": "song"}
        for index, start, end in zip(events.classes, events.starts, events.ends, strict=True)
    ]


def assert_same(found: ConfusionCounts, measured: Any) -> None:
    """Check that counts are those of sed_eval, for each class and for all together."""
    for index, name in enumerate(CLASSES):
        counts = measured.class_wise[name]
        tp, fp, fn = (int(column[index]) for column in (found.tp, found.fp, found.fn))
        assert (tp, fp, fn) == (counts["Ntp"], counts["Nsys"] - counts["Ntp"], counts["Nref"] - counts["Ntp"]), name
    overall = measured.results_overall_metrics()["f_measure"]["f_measure"]
    assert float(found.micro.f1) == pytest.approx(np.nan_to_num(overall))


@pytest.mark.parametrize("seed", range(12))
def test_segments_are_those_of_sed_eval(seed: int) -> None:
    sed_eval = pytest.importorskip("sed_eval")
    estimate, truth = pairs(seed)
    measured = sed_eval.sound_event.SegmentBasedMetrics(list(CLASSES), time_resolution=1.0)
    measured.evaluate(as_list(truth, 10), as_list(estimate, 10), evaluated_length_seconds=len(truth) / 10)
    assert_same(segment_counts(estimate, truth), measured)


@pytest.mark.parametrize("with_offsets", [False, True])
@pytest.mark.parametrize("seed", range(12))
def test_events_are_those_of_sed_eval(seed: int, with_offsets: bool) -> None:
    """Frames are passed to sed_eval as seconds, because it subtracts whole numbers exactly."""
    sed_eval = pytest.importorskip("sed_eval")
    estimate, truth = pairs(seed)
    measured = sed_eval.sound_event.EventBasedMetrics(
        list(CLASSES),
        evaluate_offset=with_offsets,
        t_collar=2.0,
        percentage_of_length=0.2,
        event_matching_type="optimal",
    )
    measured.evaluate(as_list(truth, 1), as_list(estimate, 1))
    assert_same(event_counts(Events.of(estimate), Events.of(truth), len(CLASSES), with_offsets), measured)


@pytest.mark.parametrize("with_offsets", [False, True])
@pytest.mark.parametrize("seed", range(12))
def test_events_are_those_of_mir_eval(seed: int, with_offsets: bool) -> None:
    transcription = pytest.importorskip("mir_eval").transcription
    estimate, truth = pairs(seed)
    found = event_counts(Events.of(estimate), Events.of(truth), len(CLASSES), with_offsets)
    for index in range(len(CLASSES)):
        mine, true = (Events.of(active[:, [index]]) for active in (estimate, truth))
        notes = [
            (np.stack([events.starts, events.ends], axis=1).astype(float), np.full(len(events), 440.0))
            for events in (true, mine)
        ]
        matched = transcription.match_notes(
            *notes[0],
            *notes[1],
            onset_tolerance=2.0,
            offset_ratio=0.2 if with_offsets else None,
            offset_min_tolerance=2.0,
        )
        counts = (len(matched), len(mine) - len(matched), len(true) - len(matched))
        assert (int(found.tp[index]), int(found.fp[index]), int(found.fn[index])) == counts


def test_as_many_events_as_possible_are_matched() -> None:
    """The first estimate fits both references. A greedy match by distance leaves none for the second estimate."""
    estimate, truth = np.zeros((2, 12, 1), bool)
    truth[[0, 3]] = True
    estimate[[2, 5]] = True
    found = event_counts(Events.of(estimate), Events.of(truth), 1, with_offsets=False)
    assert (found.tp, found.fp, found.fn) == (2, 0, 0)


@pytest.mark.parametrize(("moved", "length", "found"), [(2, 5, True), (3, 14, False), (3, 15, True), (4, 19, False)])
def test_ends_may_differ_by_the_collar_or_a_fifth_of_the_length(moved: int, length: int, found: bool) -> None:
    estimate, truth = np.zeros((2, 40, 1), bool)
    truth[5 : 5 + length] = estimate[5 : 5 + length + moved] = True
    counts = event_counts(Events.of(estimate), Events.of(truth), 1, with_offsets=True)
    assert bool(counts.tp[0]) == found
    assert event_counts(Events.of(estimate), Events.of(truth), 1, with_offsets=False).tp[0] == 1


def test_groups_do_not_meet() -> None:
    estimate, truth = np.zeros((2, 8, 2), bool)
    truth[7, 0] = estimate[0, 1] = True
    found = event_counts(Events.of(estimate), Events.of(truth), 3, with_offsets=False)
    assert found.tp.tolist() == [0, 0, 0]
    assert (found.fp.tolist(), found.fn.tolist()) == ([0, 1, 0], [1, 0, 0])


def test_silence_has_nothing_to_count() -> None:
    silence = np.zeros((30, 2), bool)
    nothing = Events.of(silence)
    for with_offsets in (False, True):
        counts = event_counts(nothing, nothing, 2, with_offsets)
        assert [column.tolist() for column in (counts.tp, counts.fp, counts.fn)] == [[0, 0]] * 3
    assert segment_counts(silence, silence).tn.tolist() == [3, 3]
    assert segment_counts(silence[:0], silence[:0]).tn.tolist() == [0, 0]


def test_the_last_segment_may_be_short() -> None:
    active = np.zeros((11, 1), bool)
    active[10] = True
    counts = segment_counts(active, active)
    assert (counts.tp.tolist(), counts.tn.tolist()) == ([1], [1])
