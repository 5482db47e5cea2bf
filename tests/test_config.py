"""Configuration: types, ranges, fingerprints, and the values derived from fields."""

import dataclasses
import math
from fractions import Fraction
from pathlib import Path

import pytest
import yaml

from mir_tf.config import (
    FRONT_ENDS,
    LABEL_RATE,
    Config,
    FrontEndConfig,
    ModelConfig,
    RunConfig,
    TrainConfig,
    WindowConfig,
    read_yaml,
)
from mir_tf.errors import ConfigError

SECTIONS = RunConfig.SECTIONS.values()

# Stored in manifests and bundles. If one of these changes, existing data sets and models no longer match it.
FINGERPRINTS = {"default": "0a075d5ec4c081c9", "seed_44k": "9c973a0fd7cac8cd", "seed_22k": "4455cefdae30847b"}


@pytest.mark.parametrize("name", FRONT_ENDS)
def test_presets_have_the_fingerprints_that_are_stored(name: str) -> None:
    assert FRONT_ENDS[name].fingerprint() == FINGERPRINTS[name]


def test_every_field_of_the_front_end_counts_in_its_fingerprint() -> None:
    base = FRONT_ENDS["seed_22k"].replace(n_fft=4096, top_db=None)
    changes = {
        "sample_rate": 22051,
        "n_fft": 8192,
        "hop_length": 2204,
        "frame_center": "middle",
        "window": "hamming",
        "n_mels": 64,
        "f_min": 20.0,
        "f_max": 8000.0,
        "mel_scale": "htk",
        "power": 1.0,
        "log_floor_db": -90.0,
        "normalization": "global",
        "top_db": 60.0,
        "segment_seconds": 90.0,
    }
    assert set(changes) == {field.name for field in dataclasses.fields(FrontEndConfig)}
    prints = [base.replace(**{name: value}).fingerprint() for name, value in changes.items()]
    assert len({base.fingerprint(), *prints}) == len(changes) + 1


def test_defaults_are_the_documented_ones() -> None:
    assert FrontEndConfig() == FRONT_ENDS["default"]
    train = TrainConfig()
    assert (train.vocabulary, train.crop_seconds, train.batch_size, train.learning_rate) == ("family", 30.0, 16, 1e-3)
    model = ModelConfig()
    assert (model.architecture, model.conv_filters, model.gru_units) == ("crnn", (64, 128, 128), 64)
    assert WindowConfig() == WindowConfig(30.0, 5.0)


@pytest.mark.parametrize("section", SECTIONS)
def test_dictionaries_round_trip(section: type[Config]) -> None:
    assert section.from_dict(section().to_dict()) == section()
    assert section.from_dict({}) == section()


@pytest.mark.parametrize("name", FRONT_ENDS)
def test_a_run_round_trips_through_yaml(name: str, tmp_path: Path) -> None:
    run = RunConfig.for_front_end(FRONT_ENDS[name]).merge(
        {"model": {"conv_filters": [8, 16]}, "train": {"steps_per_epoch": 7, "vocabulary": "slakh", "jit": True}}
    )
    path = tmp_path / "run.yaml"
    path.write_text(yaml.safe_dump(run.to_dict()), encoding="utf-8")
    assert RunConfig.from_dict(read_yaml(path)) == run


def test_an_unknown_field_lists_the_known_ones() -> None:
    with pytest.raises(ConfigError, match="WindowConfig has no field 'hop'; its fields are overlap_seconds, window_se"):
        WindowConfig.from_dict({"hop": 3})


@pytest.mark.parametrize(
    ("section", "name", "value", "wanted"),
    [
        (FrontEndConfig, "sample_rate", "22050", "int"),
        (FrontEndConfig, "sample_rate", None, "int"),
        (FrontEndConfig, "n_mels", 64.0, "int"),
        (FrontEndConfig, "n_mels", True, "int"),
        (FrontEndConfig, "power", "loud", "float"),
        (FrontEndConfig, "power", False, "float"),
        (FrontEndConfig, "window", 3, "str"),
        (FrontEndConfig, "f_max", "high", "float | None"),
        (ModelConfig, "conv_filters", 64, r"tuple\[int, ...\]"),
        (ModelConfig, "conv_filters", [64, 1.5], r"tuple\[int, ...\]"),
        (TrainConfig, "jit", "yes", "bool"),
        (TrainConfig, "jit", 1, "bool"),
    ],
)
def test_a_value_of_the_wrong_type_is_refused(section: type[Config], name: str, value: object, wanted: str) -> None:
    with pytest.raises(ConfigError, match=f"^{name} is .*; it must be of type {wanted}$"):
        section().replace(**{name: value})


@pytest.mark.parametrize("floor", [-60, "-60", "-6e1"])  # YAML 1.1 reads -6e1, which has no dot, as text
def test_an_integer_or_text_is_converted_to_float(floor: int | str) -> None:
    config = FrontEndConfig().replace(log_floor_db=floor, f_max=None)
    assert type(config.log_floor_db) is float
    assert config.fingerprint() == FINGERPRINTS["default"]


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize(
    ("section", "name"),
    [(FrontEndConfig, "segment_seconds"), (WindowConfig, "window_seconds"), (TrainConfig, "learning_rate")],
)
def test_a_number_that_is_not_finite_is_refused(section: type[Config], name: str, value: float) -> None:
    with pytest.raises(ConfigError, match=f"{name} is .*finite"):
        section().replace(**{name: value})


SEED = FRONT_ENDS["seed_22k"]


@pytest.mark.parametrize(
    ("config", "changes", "message"),
    [
        (FrontEndConfig(), {"sample_rate": 4000}, "between 8000 and 192000 Hz"),
        (FrontEndConfig(), {"n_fft": 1000}, "n_fft is 1000; it must be a power of two between 64 and 65536"),
        (FrontEndConfig(), {"n_fft": 32}, "power of two between 64 and 65536"),
        (FrontEndConfig(), {"hop_length": 0}, "hop_length is 0; it must be at least 1 sample"),
        (FrontEndConfig(), {"hop_length": 2205}, "hop_length is 2205; it must be at most n_fft, 1024"),
        (FrontEndConfig(), {"hop_length": 440}, r"a divisor of the label frame of 2205 samples \(the nearest is 441\)"),
        (FrontEndConfig(), {"hop_length": 400}, r"the nearest is 441"),
        (FrontEndConfig(), {"sample_rate": 11025}, "the nearest is none at this sample_rate"),
        (FrontEndConfig(), {"hop_length": 4410, "n_fft": 8192}, "at most one label frame of 1/10 s, 2205 samples"),
        # The hop of 4412 instead of 4410 samples drifts by 0.45 label frames in 100 s, so 200 s are too long.
        (FRONT_ENDS["seed_44k"], {"segment_seconds": 200.0}, "drifts by at most half a label frame"),
        (FRONT_ENDS["seed_44k"], {"segment_seconds": None}, "drifts by at most half a label frame"),
        (FrontEndConfig(), {"frame_center": "end"}, "frame_center is 'end'; it must be middle or start"),
        (FrontEndConfig(), {"window": "boxcar"}, "hann or hamming"),
        (FrontEndConfig(), {"mel_scale": "bark"}, "slaney or htk"),
        (FrontEndConfig(), {"normalization": "batch"}, "global or clip"),
        (FrontEndConfig(), {"normalization": "clip"}, "global with 5 sub-frames in a label frame"),
        (FrontEndConfig(), {"n_mels": 0}, r"between 1 and 512 \(half of n_fft\)"),
        (FrontEndConfig(), {"n_mels": 513}, r"between 1 and 512 \(half of n_fft\)"),
        (FrontEndConfig(), {"power": 3.0}, r"1.0 \(magnitude\) or 2.0 \(power\)"),
        (FrontEndConfig(), {"log_floor_db": 10.0}, "between -200 and 0 dB"),
        (FrontEndConfig(), {"f_min": 11025.0}, "at least 0 and below 11025.0 Hz"),
        (FrontEndConfig(), {"f_min": 500.0, "f_max": 400.0}, "at least 0 and below 400.0 Hz"),
        (FrontEndConfig(), {"f_max": 11026.0}, "f_max is 11026.0; it must be at most half the sample rate, 11025.0 Hz"),
        (FrontEndConfig(), {"top_db": 80.0}, "top_db is 80.0; it must be None unless normalization is 'clip'"),
        (SEED, {"top_db": 0.0}, "above 0 dB"),
        (SEED, {"segment_seconds": 0.5}, "at least 1 second"),
        (SEED, {"segment_seconds": 99.95}, "a whole number of label frames"),
        (ModelConfig(), {"architecture": "rnn"}, "cnn or crnn or crnn_mha"),
        (ModelConfig(), {"alignment": "shift"}, "crop or stretch"),
        (ModelConfig(), {"conv_filters": []}, "one positive number for each block"),
        (ModelConfig(), {"conv_filters": [8, 0]}, "one positive number for each block"),
        (ModelConfig(), {"gru_layers": 0}, "gru_layers is 0; it must be at least 1"),
        (ModelConfig(), {"time_masks": -1}, "time_masks is -1; it must be at least 0"),
        (ModelConfig(), {"head_dropout": 1.0}, "at least 0 and below 1"),
        (ModelConfig(), {"attention_heads": 3}, "a divisor of the attention's width, 128"),
        (TrainConfig(), {"vocabulary": "midi"}, "vocabulary is 'midi'; it must be family or slakh or program"),
        (TrainConfig(), {"crop_seconds": 0.0}, "a whole number of label frames"),
        (TrainConfig(), {"crop_seconds": 1.25}, "a whole number of label frames"),
        (TrainConfig(), {"batch_size": 0}, "at least 1"),
        (TrainConfig(), {"steps_per_epoch": 0}, "at least 1"),
        (TrainConfig(), {"learning_rate": 0.0}, "above 0"),
        (TrainConfig(), {"weight_decay": -0.1}, "at least 0"),
        (TrainConfig(), {"pos_weight_max": 0.5}, "at least 1"),
        (TrainConfig(), {"gamma_pos": -0.5}, "gamma_pos is -0.5; it must be between 0 and 5"),
        (TrainConfig(), {"gamma_neg": 5.5}, "gamma_neg is 5.5; it must be between 0 and 5"),
        (TrainConfig(), {"boundary_weight": -0.1}, "boundary_weight is -0.1; it must be between 0 and 1"),
        (TrainConfig(), {"boundary_weight": 1.5}, "boundary_weight is 1.5; it must be between 0 and 1"),
        (TrainConfig(), {"plateau_factor": 1.0}, "plateau_factor is 1.0; it must be above 0 and below 1"),
        (TrainConfig(), {"plateau_factor": 0.0}, "plateau_factor is 0.0; it must be above 0 and below 1"),
        (TrainConfig(), {"image_every": -1}, "at least 0"),
        (TrainConfig(), {"seed": 2**31}, "between 0 and 2147483647"),
        (WindowConfig(), {"window_seconds": 0.5, "overlap_seconds": 0.0}, "at least 1 second"),
        (WindowConfig(), {"window_seconds": 10.25}, "a whole number of label frames"),
        (WindowConfig(), {"overlap_seconds": 15.1}, "overlap_seconds is 15.1; it must be at most half .*, 15"),
        (WindowConfig(), {"overlap_seconds": -0.1}, "a whole number of label frames"),
    ],
)
def test_a_value_out_of_range_is_reported_with_its_range(config: Config, changes: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        config.replace(**changes)


def test_bounds_themselves_are_allowed() -> None:
    FrontEndConfig(n_fft=64, hop_length=63, n_mels=32, f_min=0.0, f_max=11025.0, log_floor_db=0.0)
    FrontEndConfig(sample_rate=8000, hop_length=800)
    WindowConfig(1.0, 0.5)
    TrainConfig(crop_seconds=0.1)
    for tenths in range(10, 4000):  # tenths have no exact binary form
        TrainConfig(crop_seconds=tenths / LABEL_RATE)
        assert WindowConfig(tenths / LABEL_RATE, 0.0).window_frames == tenths


def test_differences_name_field_and_both_values() -> None:
    assert FRONT_ENDS["seed_44k"].differences(FRONT_ENDS["seed_22k"]) == [
        "sample_rate: 44100 here, 22050 there",
        "hop_length: 4412 here, 2205 there",
    ]
    assert FrontEndConfig().differences(FRONT_ENDS["default"]) == []


def test_the_hop_is_changed_in_one_place() -> None:
    config = FrontEndConfig().replace(hop_length=315)
    assert config.subframes == 7
    assert config.frame_rate == 70
    assert config.num_frames(22050) == 70
    assert config.left_padding == (1024 - 315) // 2
    assert config.num_label_frames(22050) == FrontEndConfig().num_label_frames(22050) == 10


@pytest.mark.parametrize("name", FRONT_ENDS)
def test_frames_of_a_signal(name: str) -> None:
    config = FRONT_ENDS[name]
    frame = config.sample_rate // LABEL_RATE
    for num_samples in (0, 1, frame - 1, frame, frame + 1, 10 * frame, 12345, 1_000_000, 100 * config.sample_rate):
        expected = math.ceil(Fraction(num_samples * LABEL_RATE, config.sample_rate))
        assert config.num_label_frames(num_samples) == expected
        assert config.num_frames(num_samples) == expected * config.subframes
    assert config.num_label_frames(100 * config.sample_rate) == 1000


@pytest.mark.parametrize(("name", "subframes"), [("default", 5), ("seed_44k", 1), ("seed_22k", 1)])
def test_subframes_of_the_presets(name: str, subframes: int) -> None:
    assert FRONT_ENDS[name].subframes == subframes
    assert FRONT_ENDS[name].frame_rate == 10 * subframes


@pytest.mark.parametrize(
    ("name", "seconds", "segment"),
    [
        ("default", 250.0, (0.0, 250.0)),
        ("seed_44k", 250.0, (75.0, 100.0)),
        ("seed_22k", 100.5, (0.25, 100.0)),
        ("seed_44k", 100.0, (0.0, 100.0)),
        ("seed_44k", 31.7, (0.0, 31.7)),
    ],
)
def test_the_segment_is_the_middle_of_a_track(name: str, seconds: float, segment: tuple[float, float]) -> None:
    assert FRONT_ENDS[name].segment(seconds) == segment


def test_a_run_follows_its_front_end() -> None:
    assert RunConfig.for_front_end(FRONT_ENDS["default"]) == RunConfig()
    for name in ("seed_44k", "seed_22k"):
        run = RunConfig.for_front_end(FRONT_ENDS[name])
        assert run.front_end == FRONT_ENDS[name]
        assert run.model == ModelConfig(alignment="stretch")
        assert run.train == TrainConfig(crop_seconds=100.0)
        assert run.window == WindowConfig(100.0, 0.0)


def test_clips_normalised_without_a_segment_are_run_as_they_are_trained() -> None:
    front_end = FRONT_ENDS["seed_22k"].replace(segment_seconds=None)
    run = RunConfig.for_front_end(front_end)
    assert run.train.crop_seconds == run.window.window_seconds == TrainConfig().crop_seconds
    assert run.window.overlap_seconds == 0
    with pytest.raises(ConfigError, match=r"crop_seconds is 10 and WindowConfig.window_seconds 30; .* must be equal"):
        run.merge({"train": {"crop_seconds": 10.0}})
    run.merge({"train": {"crop_seconds": 10.0}, "window": {"window_seconds": 10.0}})


def test_merging_changes_the_given_fields_and_keeps_the_others() -> None:
    run = RunConfig().merge({"train": {"seed": 5}}).merge({"train": {"epochs": 2}, "model": {}})
    assert run == RunConfig(train=TrainConfig(seed=5, epochs=2))


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        ({"trian": {}}, "no section 'trian'; the sections are front_end, model, train, window"),
        ({7: {}}, "no section '7'"),
        ({"train": {7: 1}}, "TrainConfig has no field '7'"),
        ({"train": 3}, "section 'train' is 3; it must map fields to values"),
        ({"train": None}, "section 'train' is None"),
        ({"model": {"layers": 3}}, "ModelConfig has no field 'layers'; its fields are"),
    ],
)
def test_wrong_sections_are_refused(sections: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        RunConfig().merge(sections)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"- train", "must contain sections .*, not a list"),
        (b"train: [", "cannot be read as YAML"),
        (b"\xff\xfe\x00", "cannot be read as YAML"),
        (b"train:\n  seed: 2020-13-45", "cannot be read as YAML: month must be in 1..12"),
        (
            b"model: {gru_units: 8}\ntrain: {seed: 1}\nmodel: {}",
            r"cannot be read as YAML: 'model' is given twice\s.*line 3",
        ),
        (b"train: {seed: 1, seed: 2}", "cannot be read as YAML: 'seed' is given twice"),
    ],
)
def test_a_file_without_sections_is_reported(content: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "settings.yaml"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=f"settings.yaml: {message}"):
        read_yaml(path)


def test_an_empty_file_changes_nothing_and_a_missing_one_is_reported(tmp_path: Path) -> None:
    path = tmp_path / "settings.yaml"
    with pytest.raises(ConfigError, match=r"settings.yaml: cannot be read"):
        read_yaml(path)
    path.write_text("# nothing yet\n")
    assert read_yaml(path) == {}
