"""Prediction for files of every kind, and for files that are not audio."""

import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
import soundfile
from helpers.tiny_data import CONFIG as TINY

from mir_tf.bundle import Bundle
from mir_tf.bundle.keras_model import RunModel
from mir_tf.bundle.windows import WindowedModel
from mir_tf.confidence import NUM_FEATURES, ConfidenceModel
from mir_tf.config import FrontEndConfig, RunConfig
from mir_tf.data.frontend import log_mel
from mir_tf.errors import AudioError
from mir_tf.events import PostProcessing
from mir_tf.inference.prediction import Interval, Prediction, format_confidence
from mir_tf.models import build_model

FRONT_END = FrontEndConfig(sample_rate=8000, n_fft=512, hop_length=400, n_mels=16)
CONFIG = dataclasses.replace(TINY, front_end=FRONT_END).merge({"model": {"architecture": "cnn"}})
RATE = FRONT_END.sample_rate
CLASSES = ("Piano", "Guitar", "Bass")
HALF = np.full(17, 0.5, np.float32)


@pytest.fixture(scope="module")
def bundle():
    keras.utils.set_random_seed(1)
    model = build_model(CONFIG.model, FRONT_END, 17, -40.0, 20.0)
    # Untrained logits are almost constant: spread them around 0, so that they depend on the audio.
    head = model.get_layer("fc")
    head.set_weights([20 * head.get_weights()[0], np.zeros(17)])
    logits = model(log_mel(tune(8, RATE), FRONT_END)[np.newaxis]).numpy()
    head.set_weights([head.get_weights()[0], -np.median(logits, axis=(0, 1))])
    confidence = ConfidenceModel(((0.3, *(0.5,) * NUM_FEATURES),) * 17, 0.7)
    return Bundle(model, CONFIG, HALF, PostProcessing.plain(HALF), (), {"epoch": 7}, confidence)


def tune(seconds: float, rate: int) -> np.ndarray:
    """Return a signal [samples] below 3 kHz: notes that come and go over a hum of all pitches."""
    time = np.arange(round(seconds * rate)) / rate
    notes = sum(np.sin(2 * np.pi * pitch * time) * (time % every < every / 2) for pitch, every in NOTES)
    hum = sum(np.sin(2 * np.pi * pitch * time + pitch**2) for pitch in range(60, 3000, 60))
    return (0.1 * notes + 0.005 * hum).astype(np.float32)


NOTES = ((440, 2.0), (1200, 3.0), (2500, 1.4))
"""Pitch in Hz and period in seconds, half of which is silent."""


def by_hand(
    roll: list[list[float]],
    thresholds=(0.5, 0.5, 0.5),
    rule: PostProcessing | None = None,
    confidence: ConfidenceModel | None = None,
) -> Prediction:
    chosen = np.array(thresholds, np.float32)
    return Prediction(
        path="song.wav",
        seconds=len(roll) / 10,
        model={"vocabulary": "family"},
        classes=CLASSES,
        thresholds=chosen,
        post_processing=rule or PostProcessing.plain(chosen),
        probabilities=np.array(roll, np.float32),
        confidence_model=confidence,
    )


def test_prediction_names_times_shares_and_the_dominant_class():
    found = by_hand([[0.1, 0.9, 0.5], [0.2, 0.8, 0.7], [0.1, 0.4, 0.499999], [0.1, 0.6, 0.9]])
    np.testing.assert_allclose(found.playing_time, [0, 0.3, 0.3])
    np.testing.assert_allclose(found.share, [0, 0.75, 0.75])
    assert found.dominant == "Guitar"  # the first in a tie
    content = found.to_dict()
    assert [instrument["class"] for instrument in content["instruments"]] == ["Guitar", "Bass"]
    assert content["instruments"][1]["intervals"] == [
        {"start": 0.0, "end": 0.2, "probability": 0.6},
        {"start": 0.3, "end": 0.4, "probability": 0.9},
    ]
    assert content["probabilities"][2] == [0.1, 0.4, 0.5]
    assert content["frame_rate"] == 10


def test_instruments_are_listed_from_the_longest_playing_on():
    content = by_hand([[0.9, 0.1, 0.9], [0.1, 0.1, 0.9]]).to_dict()
    assert content["dominant"] == "Bass"
    assert [instrument["class"] for instrument in content["instruments"]] == ["Bass", "Piano"]


def test_each_class_has_its_own_threshold():
    found = by_hand([[0.4, 0.4, 0.4]], thresholds=(0.3, 0.4, 0.5))
    np.testing.assert_array_equal(found.active, [[True, True, False]])


def test_intervals_follow_the_rule_and_frames_the_thresholds():
    rule = PostProcessing((0.3, 0.5, 0.5), (0.0, 0.2, 0.0), (0.0, 0.0, 0.1))
    roll = [[0.1, 0.9, 0.5], [0.4, 0.2, 0.2], [0.5, 0.4, 0.8], [0.3, 0.6, 0.1], [0.1, 0.7, 0.1]]
    found = by_hand(roll, rule=rule)
    assert [
        dataclasses.replace(interval, probability=round(interval.probability, 6)) for interval in found.intervals
    ] == [
        Interval(0.0, 0.3, "Bass", 0.5),  # a gap is filled
        Interval(0.1, 0.4, "Piano", 0.4),  # it continues above the lower threshold
        Interval(0.3, 0.5, "Guitar", 0.65),  # its single frame at the start is too short
    ]
    np.testing.assert_allclose(found.playing_time, [0.1, 0.3, 0.2])
    assert found.dominant == "Guitar"
    content = found.to_dict()
    assert content["post_processing"] == rule.to_dict()
    assert [len(instrument["intervals"]) for instrument in content["instruments"]] == [1, 1, 1]


def test_a_class_that_is_heard_too_briefly_has_no_interval():
    found = by_hand([[0.9, 0, 0], [0.1, 0, 0]], rule=PostProcessing((0.5,) * 3, (0.2,) * 3, (0.0,) * 3))
    assert found.detected == ["Piano"]
    assert found.intervals == []
    assert found.to_dict()["instruments"][0]["intervals"] == []


def test_no_interval_ends_after_the_audio():
    found = dataclasses.replace(by_hand([[0.9, 0, 0], [0.9, 0, 0]]), seconds=0.1234)
    assert [(interval.start, interval.end) for interval in found.intervals] == [(0, 0.1234)]
    assert found.to_dict()["instruments"][0]["intervals"][0]["end"] == 0.1234


def test_an_interval_of_less_than_a_millisecond_has_a_length():
    """The last frame covers one sample. The reader of references rejects intervals without a length."""
    found = dataclasses.replace(by_hand([[0, 0, 0], [0.9, 0, 0]]), seconds=0.1 + 1 / 22050)
    (interval,) = found.summary()["instruments"][0]["intervals"]
    assert interval["start"] < interval["end"]


def test_nothing_heard_is_a_result():
    found = by_hand([[0.1, 0.2, 0.3]])
    assert found.dominant is None
    assert found.headline == "No instrument detected."
    assert found.to_dict()["instruments"] == []


def mean_as_confidence(cut: float) -> ConfidenceModel:
    """Return a model by which the confidence is the mean probability of the class in the recording."""
    return ConfidenceModel(((0.0, 1.0, *(0.0,) * (NUM_FEATURES - 1)),) * 3, cut)


def test_classes_from_the_cut_on_are_detected_and_other_named_ones_perhaps_play():
    """The mean probabilities are 0.55, 0.6 and 0.25; the guitar plays longest."""
    roll = [[0.9, 0.6, 0.7], [0.2, 0.6, 0.1], [0.9, 0.6, 0.1], [0.2, 0.6, 0.1]]
    found = by_hand(roll, confidence=mean_as_confidence(0.5))
    np.testing.assert_allclose(found.confidence, [0.55, 0.6, 0.25], atol=1e-7)
    assert (found.detected, found.perhaps, found.dominant) == (["Guitar", "Piano"], ["Bass"], "Guitar")
    assert [(each.index, each.name, each.group) for each in found.instruments] == [
        (1, "Guitar", "detected"),
        (0, "Piano", "detected"),
        (2, "Bass", "perhaps"),
    ]
    bass = found.instruments[2]
    assert (bass.playing_time, bass.share, bass.color, bass.is_detected) == (0.1, 0.25, found.colors[2], False)
    assert bass.confidence == pytest.approx(0.25)
    assert found.headline == "Detected: Guitar, Piano. Perhaps: Bass. Plays longest: Guitar."
    content = found.to_dict()
    assert content["dominant"] == "Guitar"
    assert [(each["class"], each["group"], each["confidence"]) for each in content["instruments"]] == [
        ("Guitar", "detected", 0.6),
        ("Piano", "detected", 0.55),
        ("Bass", "perhaps", 0.25),
    ]
    assert (content["confidences"], content["cut"]) == ([0.55, 0.6, 0.25], 0.5)


def test_perhaps_begins_with_the_most_confident_and_detected_with_the_longest_playing():
    """By confidence: piano 0.575, guitar 0.5, bass 0.475. By playing time: bass, guitar, piano."""
    roll = [[0.9, 0.7, 0.6], [0.49, 0.7, 0.6], [0.45, 0.3, 0.6], [0.46, 0.3, 0.1]]
    doubtful = by_hand(roll, confidence=mean_as_confidence(0.9))
    assert (doubtful.detected, doubtful.perhaps, doubtful.dominant) == ([], ["Piano", "Guitar", "Bass"], None)
    assert doubtful.headline == (
        "Detected: nothing for certain. Perhaps: Piano, Guitar, Bass. Plays longest: unclear, perhaps Piano."
    )
    assert doubtful.to_dict()["dominant"] is None
    certain = by_hand(roll, confidence=mean_as_confidence(0.1))
    assert (certain.detected, certain.perhaps, certain.dominant) == (["Bass", "Guitar", "Piano"], [], "Bass")
    assert certain.headline == "Detected: Bass, Guitar, Piano. Plays longest: Bass."


def test_the_dominant_class_is_a_detected_one_even_if_another_plays_longer():
    """The bass plays longest, at 0.5. The piano is surer: 0.6 on average."""
    found = by_hand([[1.0, 0, 0.5], [1.0, 0, 0.5], [0.2, 0, 0.5]], confidence=mean_as_confidence(0.6))
    assert (found.detected, found.perhaps, found.dominant) == (["Piano"], ["Bass"], "Piano")


def test_a_confident_class_that_never_reaches_its_threshold_is_not_named():
    """All means are above the cut, but the piano's threshold is higher; the list of all classes ends with it."""
    found = by_hand([[0.8, 0.7, 0.6], [0.8, 0.4, 0.7]], thresholds=(0.9, 0.5, 0.5), confidence=mean_as_confidence(0.3))
    assert found.detected == ["Bass", "Guitar"]
    assert [each.name for each in found.all_classes] == ["Bass", "Guitar", "Piano"]
    last = found.all_classes[-1]
    assert (last.is_detected, last.playing_time, round(last.confidence, 6)) == (False, 0, 0.8)
    assert found.all_classes[:-1] == found.instruments


def test_all_classes_are_in_the_order_detected_perhaps_not_named():
    found = by_hand([[0.3, 0.9, 0.9], [0.3, 0.9, 0.1], [0.3, 0.9, 0.1]], confidence=mean_as_confidence(0.5))
    assert [each.name for each in found.all_classes] == ["Guitar", "Bass", "Piano"]
    nothing = by_hand([[0.3, 0.1, 0.4]], confidence=mean_as_confidence(0.5))
    assert [each.name for each in nothing.all_classes] == ["Bass", "Piano", "Guitar"]
    assert nothing.instruments == []


def test_without_a_confidence_model_every_named_class_counts_as_detected():
    found = by_hand([[0.9, 0.1, 0.5], [0.1, 0.1, 0.5]])
    assert np.isnan(found.confidence).all()
    assert (found.detected, found.perhaps) == (["Bass", "Piano"], [])
    content = json.loads(found.to_json())
    assert (content["confidences"], content["cut"]) == ([None] * 3, None)
    assert [each["confidence"] for each in content["instruments"]] == [None, None]
    assert [each["group"] for each in content["instruments"]] == ["detected", "detected"]
    assert {row[5] for row in found.rows} == {None}


def test_other_thresholds_change_the_names_but_not_the_confidence():
    found = by_hand([[0.9, 0.4, 0.1], [0.9, 0.4, 0.1]], confidence=mean_as_confidence(0.35))
    moved = found.with_thresholds(np.array([0.5, 0.3, 0.5], np.float32))
    assert (found.detected, moved.detected) == (["Piano"], ["Piano", "Guitar"])
    np.testing.assert_array_equal(moved.confidence, found.confidence)


@pytest.mark.parametrize(
    ("confidence", "text"), [(0.001, "1 %"), (0.004, "1 %"), (0.5, "50 %"), (0.974, "97 %"), (0.9999, "99 %")]
)
def test_a_confidence_in_percent_is_never_certain(confidence, text):
    assert format_confidence(confidence) == text
    assert format_confidence(float("nan")) == ""


def test_json_is_written_whole_and_reads_back(tmp_path):
    found = by_hand([[0.1, 0.9, 0.5]])
    found.save_json(tmp_path / "song.wav.json")
    assert json.loads((tmp_path / "song.wav.json").read_text("utf-8")) == found.to_dict()
    assert [path.name for path in tmp_path.iterdir()] == ["song.wav.json"]


def test_prediction_is_the_windowed_answer_for_the_whole_signal(bundle, tmp_path):
    signal = tune(17.03, RATE)
    soundfile.write(tmp_path / "song.wav", signal, RATE, subtype="FLOAT")
    heard_so_far = []
    found = RunModel(bundle).predict(tmp_path / "song.wav", progress=heard_so_far.append)
    whole = WindowedModel(bundle.model, CONFIG).predict_track(log_mel(signal, FRONT_END).numpy())
    assert found.probabilities.shape == (171, 17)
    assert found.seconds == pytest.approx(17.03)
    np.testing.assert_allclose(found.probabilities, whole, atol=1e-5)
    assert np.ptp(found.probabilities, axis=0).max() > 0.5  # the predictions depend on the audio
    assert heard_so_far == sorted(heard_so_far)
    assert heard_so_far[-1] == found.seconds
    assert found.model == {
        "architecture": "cnn",
        "vocabulary": "family",
        "front_end": FRONT_END.fingerprint(),
        "epoch": 7,
    }
    assert found.classes == bundle.classes
    assert found.post_processing == bundle.post_processing
    np.testing.assert_array_equal(found.confidence, bundle.confidence.confidence(found.probabilities))


@pytest.fixture(scope="module")
def exact(bundle, tmp_path_factory):
    """Predict the first 8 s of the tune at the model's own rate."""
    path = tmp_path_factory.mktemp("exact") / "exact.wav"
    soundfile.write(path, tune(8, RATE), RATE, subtype="FLOAT")
    return RunModel(bundle).predict(path)


@pytest.mark.parametrize(
    ("suffix", "rate", "channels"),
    [
        ("wav", 8000, 1),
        ("wav", 96000, 2),
        ("wav", 44100, 8),
        ("flac", 11025, 2),
        ("mp3", 32000, 1),
        ("mp3", 44100, 2),
        ("ogg", 16000, 1),
        ("ogg", 48000, 2),
        ("aiff", 32000, 1),
    ],
)
def test_formats_rates_and_channels_give_nearly_the_same_timeline(bundle, exact, tmp_path, suffix, rate, channels):
    soundfile.write(tmp_path / f"song.{suffix}", np.stack([tune(8, rate)] * channels, axis=1), rate)
    found = RunModel(bundle).predict(tmp_path / f"song.{suffix}")
    assert 80 <= len(found.probabilities) <= 81  # an mp3 may be some samples longer
    difference = np.abs(found.probabilities[:80] - exact.probabilities).mean()
    assert difference < 0.03
    assert (found.active[:80] != exact.active).mean() < 0.06
    # The same song shifted by one frame differs more than this.
    assert difference < np.abs(exact.probabilities[1:] - exact.probabilities[:-1]).mean() / 2


@pytest.mark.parametrize("signal", [np.zeros(RATE), np.zeros(30 * RATE), np.zeros(1)])
def test_silence_is_answered(bundle, tmp_path, signal):
    soundfile.write(tmp_path / "silence.wav", signal, RATE)
    found = RunModel(bundle).predict(tmp_path / "silence.wav")
    assert len(found.probabilities) == FRONT_END.num_label_frames(len(signal))
    assert np.isfinite(found.probabilities).all()
    json.dumps(found.to_dict(), allow_nan=False)


def test_ten_milliseconds_are_one_frame(bundle, tmp_path):
    soundfile.write(tmp_path / "click.wav", tune(0.01, 44100), 44100)
    found = RunModel(bundle).predict(tmp_path / "click.wav")
    assert found.probabilities.shape == (1, 17)
    assert found.seconds == pytest.approx(0.01, abs=1e-3)


def test_what_cannot_be_heard_is_an_audio_error_naming_the_file(bundle, tmp_path):
    broken = tune(2, RATE)
    broken[9000] = np.nan
    soundfile.write(tmp_path / "nan.wav", broken, RATE, subtype="FLOAT")
    (tmp_path / "text.mp3").write_text("not a song\n" * 200)
    soundfile.write(tmp_path / "empty.wav", np.zeros(0), RATE)
    for name in ("nan.wav", "text.mp3", "empty.wav", "missing.flac"):
        with pytest.raises(AudioError, match=name.replace(".", r"\.")):
            RunModel(bundle).predict(tmp_path / name)


# The memory of the process itself: getrusage would include that of its parent.
_MEASURE = """
import re, sys
from pathlib import Path
from mir_tf.bundle import load
from mir_tf.bundle.keras_model import RunModel
found = RunModel(load(sys.argv[1])).predict(sys.argv[2])
found.save_json(sys.argv[2] + ".json")
peak = re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1]
print(len(found.probabilities), int(peak) // 1024)
"""


@pytest.mark.slow
def test_an_hour_is_heard_in_less_than_1500_megabytes(tmp_path: Path):
    run = _default_bundle(tmp_path / "run")
    generator = np.random.default_rng(0)
    with soundfile.SoundFile(tmp_path / "hour.flac", "w", 44100, 2) as file:
        for _ in range(360):
            file.write(generator.normal(0, 0.05, (441000, 2)))
    command = [sys.executable, "-c", _MEASURE, str(run), str(tmp_path / "hour.flac")]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    frames, megabytes = map(int, done.stdout.split())
    assert frames == 36000
    assert megabytes < 1500


def _default_bundle(folder: Path) -> Path:
    """Save an untrained model of the default size."""
    config = RunConfig()
    model = build_model(config.model, config.front_end, 17, -30.0, 20.0)
    Bundle(model, config, HALF, PostProcessing.plain(HALF), (), {}).save(folder)
    return folder
