"""Plans of runs: which configurations and data sets they give, and which plans are refused."""

import dataclasses
from pathlib import Path

import pytest
import yaml
from helpers.commands import run
from helpers.experiments import write_plan
from helpers.tiny_data import write_data

from mir_tf.config import FRONT_ENDS, TrainConfig
from mir_tf.errors import ConfigError
from mir_tf.experiments.plan import read_plan


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    write_data(folder, {"train": [[30]], "validation": [[35]], "test": [[40]]})
    return folder


def test_a_budget_wins_over_the_plan_but_not_over_a_run(tmp_path: Path, data: Path) -> None:
    budget = {"train": {"steps_per_epoch": 7}, "model": {"conv_filters": [3]}}
    plan = read_plan(write_plan(tmp_path), [data], tmp_path / "out", budget)
    assert {planned.config.train.steps_per_epoch for planned in plan.runs} == {7}
    assert {planned.name: planned.config.model.conv_filters for planned in plan.runs} == {
        "Narrow": (3,),
        "Wide": (6,),
        "Narrow again": (2,),
    }
    wrong = tmp_path / "budget.yaml"
    wrong.write_text(yaml.safe_dump({"train": {"batches": 7}}))
    words = ["compare", write_plan(tmp_path), "--data", data, "--out", tmp_path / "out", "--config", wrong]
    refused = run(*words)
    assert refused.exit_code == 2
    assert "TrainConfig has no field 'batches'" in refused.stderr


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"runs": []}, "must map the name of each run"),
        ({"runs": {}}, "must map the name of each run"),
        ({"split": "training"}, "split is 'training'; it must be train or validation or test"),
        ({"split": ["test"]}, r"split is \['test'\]; it must be train or validation or test"),
        ({"seeds": []}, "must be a list of whole numbers"),
        ({"seeds": ["one"]}, "must be a list of whole numbers"),
        ({"runs": {"A": 3}}, "run 'A': it is 3; it must contain sections"),
        ({"runs": {"A": {"preset": "best"}}}, "run 'A': preset is 'best'; it must be one of default"),
        ({"runs": {"A": {"model": {"depth": 3}}}}, "run 'A': ModelConfig has no field 'depth'"),
        ({"network": {}}, "run 'Narrow': no section 'network'"),
        ({"runs": {"A": {"train": {"seed": 3}}}}, "run 'A': train.seed: remove it; the seeds"),
        ({"runs": {"A": {"train": 5}}}, "run 'A': "),
        ({"runs": {"A!": {}, "a?": {"model": {"conv_filters": [3]}}}}, "names of runs must differ in letters"),
        (
            {"runs": {"A": {"front_end": {"n_mels": 16}}}},
            "run 'A': no data set has its front end .*n_mels: 16 here, 8 there.*build one and name it with --data",
        ),
    ],
)
def test_a_wrong_plan_is_named(data: Path, tmp_path: Path, changes: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=rf"(?s)widths\.yaml: .*{message}"):
        read_plan(write_plan(tmp_path, **changes), [data], tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "path", sorted((Path(__file__).parents[2] / "tools" / "plans").iterdir()), ids=lambda p: p.stem
)
def test_the_plans_of_the_original_s_questions_fit_the_presets(path: Path, tmp_path: Path) -> None:
    for preset in ("seed_44k", "seed_22k"):
        write_data(tmp_path / preset, {"train": [[10]]}, FRONT_ENDS[preset])
    with pytest.raises(ConfigError, match="build one with python -m tfrecords_builder --preset seed_44k"):
        read_plan(path, [tmp_path / "seed_22k"], tmp_path / "out")
    plan = read_plan(path, [tmp_path / "seed_44k", tmp_path / "seed_22k"], tmp_path / "out")
    assert len(plan.runs) == 8  # two configurations with four seeds each
    for planned in plan.runs:
        assert planned.data.name == ("seed_22k" if "22.05" in planned.name else "seed_44k")
        assert planned.config.model.alignment == "stretch"
        assert dataclasses.replace(planned.config.train, seed=0, vocabulary="family") == TrainConfig(crop_seconds=100.0)


def test_the_networks_are_trained_on_equally_many_examples(tmp_path: Path) -> None:
    data = [tmp_path / preset for preset in ("seed_44k", "seed_22k", "default")]
    for folder in data:
        write_data(folder, {"train": [[10]]}, FRONT_ENDS[folder.name])
    plan = read_plan(Path(__file__).parents[2] / "tools" / "networks.yaml", data, tmp_path / "out")
    assert len(plan.runs) == 12  # six networks with two seeds each
    first, *others = (dataclasses.replace(run.config.train, seed=0, vocabulary="family") for run in plan.runs)
    assert first.crop_seconds == 10
    assert first.batch_size * first.epochs * (first.steps_per_epoch or 0) == 20_000
    assert all(other == first for other in others)
