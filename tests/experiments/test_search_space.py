"""Search spaces: the default one, how sections narrow it, and what is refused."""

from pathlib import Path

import keras
import keras_tuner
import pytest
from helpers.experiments import SECTIONS
from helpers.tiny_data import CONFIG, FRONT_END

from mir_tf.config import MODELS, ModelConfig, RunConfig
from mir_tf.errors import ConfigError
from mir_tf.experiments.search_space import DEFAULT_SPACE, Range, SearchSpace
from mir_tf.models import build_model


def test_a_value_fixes_a_list_chooses_and_bounds_bound() -> None:
    space = SearchSpace.of(SECTIONS)
    assert space.choices == {"model.conv_filters": ([2], [4])}
    assert space.ranges == {
        "model.conv_dropout": Range(0.0, 0.4, False, False),
        "train.learning_rate": Range(0.001, 0.01, True, False),
    }
    values = {"model.conv_filters": "[4]", "model.conv_dropout": 0.25, "train.learning_rate": 0.002}
    config = RunConfig(FRONT_END).merge(space.sections(values))
    assert (config.model.conv_filters, config.model.conv_dropout) == ((4,), 0.25)
    assert (config.train.learning_rate, config.train.batch_size) == (0.002, 4)


def test_only_the_fields_of_an_architecture_are_searched() -> None:
    space = SearchSpace.of({"model": {"architecture": "cnn"}}).hyperparameters([])
    names = {parameter.name for parameter in space.space}
    assert {"model.conv_filters", "model.head_dropout", "model.time_mask_frames", "train.learning_rate"} <= names
    assert names.isdisjoint({"model.gru_units", "model.temporal_filters", "model.temporal_dropout"})
    for field in ("gru_units", "temporal_filters"):
        with pytest.raises(ConfigError, match=f"model.{field}: no network of this search has {field}, only "):
            SearchSpace.of({"model": {"architecture": "cnn", field: [16, 32]}})
    assert SearchSpace.of({"model": {"architecture": "cnn", "gru_units": 16}}).fixed["model"]["gru_units"] == 16


def test_the_fields_of_an_architecture_have_values_in_its_trials_alone() -> None:
    space = SearchSpace.of({"model": {"architecture": ["cnn", "crnn", "tcn"]}})
    oracle = keras_tuner.oracles.RandomSearchOracle(
        objective="val_loss", max_trials=40, seed=1, hyperparameters=space.hyperparameters([])
    )
    seen = set()
    for index in range(40):
        values = space.used(oracle.populate_space(str(index))["values"])
        architecture = values["model.architecture"]
        seen.add(architecture)
        assert ("model.gru_units" in values) == (architecture == "crnn")
        assert ("model.temporal_filters" in values) == (architecture == "tcn")
        assert ("model.conv_filters" in values) == (architecture != "tcn")
        model = RunConfig(FRONT_END).merge(space.sections(values)).model
        assert model.architecture == architecture
        if architecture == "cnn":
            assert model.gru_units == ModelConfig().gru_units
    assert seen == {"cnn", "crnn", "tcn"}


@pytest.mark.parametrize("architecture", MODELS)
def test_a_network_depends_on_the_fields_of_its_architecture_alone(architecture: str) -> None:
    """Each field that it does not list changes neither the layers nor their settings."""
    changes = {
        "time_padding": 3, "conv_filters": [3], "conv_dropout": 0.11, "head_dropout": 0.12, "alignment": "stretch",
        "gru_units": 6, "gru_layers": 2, "attention_heads": 1, "attention_dropout": 0.13, "stage_filters": [3, 4],
        "temporal_filters": 12, "dilations": [1, 3], "temporal_dropout": 0.14,
    }  # fmt: skip
    config = CONFIG.merge({"model": {"architecture": architecture}})

    def described(**fields: object) -> str:
        keras.utils.clear_session()
        return build_model(config.merge({"model": fields}).model, FRONT_END, 17, 0.0, 1.0).to_json()

    plain = described()
    changed = {field for field, value in changes.items() if described(**{field: value}) != plain}
    assert changed == {*MODELS[architecture].fields}
    assert changed <= set(changes)


def test_a_flat_list_is_one_value_of_a_field_of_lists() -> None:
    assert SearchSpace.of({"model": {"conv_filters": [8, 8]}}).fixed["model"] == {"conv_filters": [8, 8]}


@pytest.mark.parametrize(
    ("field", "values", "held"),
    [
        ("pos_weight_max", [1, 3.0], (1.0, 3.0)),
        ("learning_rate", ["1e-3", 0.01], (0.001, 0.01)),
        ("noise_db", [None, -10.0], (None, -10.0)),
        ("steps_per_epoch", [None, 100], (None, 100)),
    ],
)
def test_choices_may_be_of_several_types(field: str, values: list[object], held: tuple[object, ...]) -> None:
    space = SearchSpace.of({"train": {field: values}})
    (choice,) = (each for each in space.hyperparameters([Path("data")]).space if each.name == f"train.{field}")
    drawn = {**space.hyperparameters([Path("data")]).values}
    found = [space.sections({**drawn, choice.name: value})["train"][field] for value in choice.values]
    assert tuple(found) == held


def test_a_range_of_an_optional_whole_number_is_of_whole_numbers() -> None:
    assert SearchSpace.of({"train": {"steps_per_epoch": {"min": 50, "max": 200}}}).ranges[
        "train.steps_per_epoch"
    ] == Range(50, 200, False, True)


def test_whole_numbers_stay_whole() -> None:
    assert SearchSpace.of({"model": {"gru_layers": {"min": 1, "max": 3}}}).ranges["model.gru_layers"].is_whole


def test_all_of_the_default_space_is_searched_and_can_be_had() -> None:
    space = SearchSpace.of({})
    searched = {*space.choices, *space.ranges}
    assert searched == {f"{name}.{field}" for name, fields in DEFAULT_SPACE.items() for field in fields}
    names = {parameter.name for parameter in space.hyperparameters([Path("a"), Path("b")]).space}
    assert names == searched | {"data"}


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        ({"model": {"depth": 3}}, "ModelConfig has no field 'depth'"),
        ({"optimizer": {"momentum": 0.9}}, "no section 'optimizer'"),
        ({"model": 3}, "section 'model' is 3"),
        ({"model": {"gru_units": []}}, "model.gru_units: the list of choices is empty"),
        ({"model": {"gru_units": [0]}}, "gru_units is 0; it must be at least 1"),
        ({"model": {"conv_dropout": {"min": 0.2, "max": 1.5}}}, "conv_dropout is 1.5; it must be"),
        ({"model": {"conv_dropout": {"min": 0.2, "max": 0.1}}}, "min must be below max"),
        ({"model": {"conv_dropout": {"min": 0.0, "max": 0.1, "log": True}}}, "above 0 with log"),
        ({"model": {"conv_dropout": {"from": 0.0, "max": 0.1}}}, "unknown from; a range has min, max"),
        ({"model": {"conv_dropout": {"min": "low", "max": 0.1}}}, "min is 'low'; it must be a number"),
        ({"model": {"conv_dropout": {"min": 0.0, "max": 0.1, "log": "false"}}}, "log is 'false'; it must be true"),
        ({"model": 0}, "section 'model' is 0"),
        ({"model": {"gru_units": 60, "attention_heads": [1, 7]}}, "attention_heads is 7; .* width, 120"),
        ({"front_end": {"n_mels": 64}}, "front_end.n_mels: the data set determines the front end"),
        ({"train": {"epochs": [5, 50]}}, r"train.epochs is \[5, 50\]; it cannot be searched"),
    ],
)
def test_what_no_configuration_takes_is_refused(sections: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        SearchSpace.of(sections)


@pytest.mark.parametrize(
    "sections",
    [
        {"window": {"window_seconds": [6.0, 8.0], "overlap_seconds": 1.0}},
        {"window": {"window_seconds": 60.0, "overlap_seconds": {"min": 5.0, "max": 20.0}}},
        {"model": {"gru_units": 60, "attention_heads": [1, 3]}},
        {"model": {"gru_units": [60, 90], "attention_heads": [1, 3]}},
    ],
)
def test_values_are_judged_beside_those_of_the_space_and_not_the_defaults(
    sections: dict[str, dict[str, object]],
) -> None:
    space = SearchSpace.of(sections)
    for section, fields in sections.items():
        for field, value in fields.items():
            if isinstance(value, list):
                assert space.choices[f"{section}.{field}"] == tuple(value)


def test_former_names_of_fields_are_read() -> None:
    space = SearchSpace.of(
        {"train": {"average_decay": 0.9, "focus_positive": [0.0, 1.0], "focus_negative": {"min": 0.0, "max": 2.0}}}
    )
    assert space.fixed["train"]["ema_decay"] == 0.9
    assert space.choices["train.gamma_pos"] == (0.0, 1.0)
    assert (space.ranges["train.gamma_neg"].minimum, space.ranges["train.gamma_neg"].maximum) == (0.0, 2.0)
    assert "train.ema_decay" not in {*space.choices, *space.ranges}
