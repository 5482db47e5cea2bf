"""Post-processing, compared with an implementation that walks through the frames, and its guarantees."""

import itertools

import numpy as np
import pytest

from mir_tf.events import Events, PostProcessing, decode, hysteresis


def walked(values: list[float], threshold: float, offset: float, shortest: int, longest_gap: int) -> list[bool]:
    """Post-process one class frame by frame, as the documentation describes it."""
    active = [value >= threshold for value in values]
    for frames in (range(1, len(values)), range(len(values) - 2, -1, -1)):  # forward, then backward
        step = frames.step
        for frame in frames:
            active[frame] |= active[frame - step] and values[frame] >= offset

    def runs(value: bool) -> list[range]:
        edges = [
            frame for frame in range(len(active) + 1) if frame in (0, len(active)) or active[frame] != active[frame - 1]
        ]
        return [range(*pair) for pair in itertools.pairwise(edges) if pair[0] < pair[1] and active[pair[0]] == value]

    for gap in runs(False):
        if gap.start > 0 and gap.stop < len(active) and len(gap) <= longest_gap:
            active[gap.start : gap.stop] = [True] * len(gap)
    for run in runs(True):
        if len(run) < shortest:
            active[run.start : run.stop] = [False] * len(run)
    return active


def parameters(offsets: list[float], shortest: list[int], gaps: list[int]) -> PostProcessing:
    """Return parameters from times in frames."""
    return PostProcessing(
        tuple(offsets), tuple(frames / 10 for frames in shortest), tuple(frames / 10 for frames in gaps)
    )


@pytest.mark.parametrize("seed", range(20))
def test_it_equals_the_walk_through_the_frames(seed: int) -> None:
    generator = np.random.default_rng(seed)
    frames, classes = int(generator.integers(0, 80)), 6
    # Few different values, so that many are equal to a threshold.
    probabilities = generator.integers(0, 9, (frames, classes)).astype(np.float32) / 8
    thresholds = generator.integers(0, 9, classes).astype(np.float32) / 8
    offsets = thresholds * generator.integers(0, 5, classes).astype(np.float32) / 4
    shortest, gaps = generator.integers(0, 6, (2, classes)).tolist()
    found = decode(probabilities, thresholds, parameters(offsets.tolist(), shortest, gaps))
    assert found.shape == (frames, classes)
    for index in range(classes):
        expected = walked(
            probabilities[:, index].tolist(), thresholds[index], offsets[index], shortest[index], gaps[index]
        )
        assert found[:, index].tolist() == expected, index


def test_every_interval_contains_a_frame_at_its_threshold() -> None:
    generator = np.random.default_rng(0)
    probabilities = generator.random((400, 17), np.float32)
    thresholds = np.linspace(0.5, 1, 17, dtype=np.float32)
    found = decode(probabilities, thresholds, parameters((thresholds / 2).tolist(), [2] * 17, [3] * 17))
    events = Events.of(found)
    assert len(events) > 50
    for index, start, end in zip(events.classes, events.starts, events.ends, strict=True):
        assert (probabilities[start:end, index] >= thresholds[index]).any()


def test_plain_post_processing_changes_nothing() -> None:
    generator = np.random.default_rng(1)
    probabilities = generator.integers(0, 5, (100, 3)).astype(np.float32) / 4
    thresholds = np.array([0.25, 0.5, 1.0], np.float32)
    found = decode(probabilities, thresholds, PostProcessing.plain(thresholds))
    np.testing.assert_array_equal(found, probabilities >= thresholds)


def test_gaps_are_filled_before_short_events_are_removed() -> None:
    probabilities = np.array([[1, 0, 1, 0, 0, 0, 1]], np.float32).T
    found = decode(probabilities, np.array([0.5], np.float32), parameters([0.5], [3], [1]))
    assert found[:, 0].tolist() == [True, True, True, False, False, False, False]


def test_a_gap_between_two_classes_is_not_filled() -> None:
    probabilities = np.array([[1, 0], [0, 0], [0, 1]], np.float32)
    thresholds = np.full(2, 0.5, np.float32)
    found = decode(probabilities, thresholds, parameters([0.5, 0.5], [0, 0], [9, 9]))
    np.testing.assert_array_equal(found, probabilities >= thresholds)


def test_without_frames_nothing_is_detected() -> None:
    thresholds = np.full(2, 0.5, np.float32)
    assert decode(np.zeros((0, 2), np.float32), thresholds, PostProcessing.plain(thresholds)).shape == (0, 2)


def test_events_are_the_inverse_of_activity() -> None:
    active = np.random.default_rng(2).random((60, 5)) < 0.5
    active[:, 2] = False
    active[:, 3] = True
    events = Events.of(active)
    np.testing.assert_array_equal(events.active(60, 5), active)
    assert (events.ends > events.starts).all()
    assert len(Events.of(active[:, 2:3])) == 0
    whole = Events.of(active[:, 3:4])
    assert (whole.classes.tolist(), whole.starts.tolist(), whole.ends.tolist()) == ([0], [0], [60])


def test_hysteresis_keeps_what_reaches_the_threshold_and_all_around_it() -> None:
    probabilities = np.array([[0.3, 0.5, 0.3, 0.1, 0.3, 0.4, 0.1]], np.float32).T
    events = hysteresis(probabilities, np.array([0.5], np.float32), np.array([0.3], np.float32))
    assert (events.starts.tolist(), events.ends.tolist()) == ([0], [3])


def test_post_processing_comes_back_from_its_dictionary() -> None:
    post_processing = parameters([0.1, 0.25], [0, 3], [7, 1])
    assert PostProcessing.from_dict(post_processing.to_dict()) == post_processing
    assert post_processing.fits(np.array([0.1, 0.3], np.float32))
    assert not post_processing.fits(np.array([0.1, 0.2], np.float32)), (
        "intervals would continue above the threshold only"
    )
    assert not post_processing.fits(np.array([0.5], np.float32))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"offset_thresholds": (0.1, 1.1)}, r"offset_thresholds contains 1\.1; each must be between 0 and 1"),
        ({"offset_thresholds": (0.1, float("nan"))}, "offset_thresholds contains nan"),
        ({"min_durations": (0.1, -0.1)}, r"min_durations contains -0\.1; each must be a whole number of label frames"),
        ({"max_gaps": (0.15, 0.1)}, r"max_gaps contains 0\.15"),
        ({"max_gaps": (float("inf"), 0.1)}, "max_gaps contains inf"),
        ({"max_gaps": (0.1,)}, "one number for each class"),
    ],
)
def test_numbers_out_of_range_are_refused(changes: dict[str, tuple[float, ...]], message: str) -> None:
    fields = {"offset_thresholds": (0.1, 0.2), "min_durations": (0.0, 0.3), "max_gaps": (0.0, 0.7), **changes}
    with pytest.raises(ValueError, match=message):
        PostProcessing(**fields)
