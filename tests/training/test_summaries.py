"""TensorBoard on runs: what plain ``tensorboard --logdir`` shows of them."""

import contextlib
import json
import os
import re
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from helpers.tiny_data import write_data
from helpers.tiny_runs import CNN, SPLITS
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

from mir_tf import bundle
from mir_tf.bundle.history import LOGS_FOLDER
from mir_tf.metrics.thresholds import ScoreHistogram
from mir_tf.training import summaries
from mir_tf.training.loop import fit
from mir_tf.training.summaries import SummaryWriter

pytestmark = pytest.mark.usefixtures("determinism_ends_with_the_module")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    write_data(folder, SPLITS)
    return folder


def read_logs(folder: Path) -> EventAccumulator:
    logs = EventAccumulator(str(folder), size_guidance={"tensors": 0})
    logs.Reload()
    return logs


def test_pr_curves_reach_from_all_to_few() -> None:
    histogram = ScoreHistogram(1)
    histogram.update(np.array([[0.9], [0.2], [0.6]], np.float32), np.array([[True], [False], [False]]))
    [curve] = summaries._pr_curves(histogram)
    np.testing.assert_allclose(curve[:, 0], [1, 2, 0, 0, 1 / 3, 1])
    np.testing.assert_allclose(curve[:, -1], [0, 0, 2, 1, 0, 0])


def test_pr_curves_have_the_thresholds_that_tensorboard_assumes() -> None:
    scores = np.linspace(0, 0.999, 700, dtype=np.float32)[:, np.newaxis]
    truth = np.random.default_rng(0).random(scores.shape) < scores
    histogram = ScoreHistogram(1)
    histogram.update(scores, truth)
    [curve] = summaries._pr_curves(histogram)
    for threshold, hits, alarms in zip(np.linspace(0, 1, curve.shape[1]), *curve[:2], strict=True):
        assert (hits, alarms) == ((truth & (scores >= threshold)).sum(), (~truth & (scores >= threshold)).sum())


def test_a_run_has_its_name_before_its_first_epoch_ends(tmp_path: Path) -> None:
    SummaryWriter(tmp_path, CNN, ["Piano"]).begin("run in here", "DATA", tf.Graph())  # and is killed
    content = read_logs(tmp_path).SummaryMetadata("_hparams_/session_start_info").plugin_data.content
    started = HParamsPluginData.FromString(content).session_start_info
    assert started.group_name == "run in here"
    assert started.hparams[summaries.DATA].string_value == "DATA"
    assert summaries.EPOCHS not in started.hparams


@pytest.mark.parametrize(("image_every", "steps"), [(5, [1]), (0, [])])
def test_a_short_run_has_a_picture_too(data: Path, tmp_path: Path, image_every: int, steps: list[int]) -> None:
    config = CNN.merge({"train": {"epochs": 1, "steps_per_epoch": 1, "image_every": image_every}})
    logs = read_logs(fit(data, tmp_path, config).out / LOGS_FOLDER)
    drawn = "validation_song" in logs.Tags()["tensors"]
    assert ([event.step for event in logs.Tensors("validation_song")] if drawn else []) == steps


@contextlib.contextmanager
def tensorboard(folder: Path) -> Iterator[str]:
    """Run plain TensorBoard on ``folder``, and give its address."""
    words = [sys.executable, "-m", "tensorboard.main", "--logdir", str(folder), "--port", "0"]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(words, stderr=subprocess.PIPE, text=True, env=environment) as process:
        try:
            assert process.stderr is not None
            for line in process.stderr:
                if found := re.search(r"http://\S+", line):
                    yield found[0]
                    break
            else:
                raise AssertionError("TensorBoard has ended")
        finally:
            process.kill()


@pytest.mark.slow
def test_tensorboard_shows_runs_side_by_side(data: Path, tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    # Folders of the same name, as the trials of two searches have. Epochs differ too, but are not a hyperparameter.
    configs = {"narrow/crnn": {"epochs": 1}, "wide/crnn": {"epochs": 2, "learning_rate": 0.02}}
    for name, fields in configs.items():
        fit(data, runs / name, CNN.merge({"train": {**fields, "steps_per_epoch": 4}}), profile=name == "wide/crnn")
    names = {f"{name}/{LOGS_FOLDER}" for name in configs}
    assert list((runs / "wide" / "crnn" / LOGS_FOLDER / "plugins" / "profile").glob("*/*.xplane.pb"))
    with tensorboard(runs) as address:

        def get(path: str, body: Any = None) -> Any:
            content = None if body is None else json.dumps(body).encode()
            request = urllib.request.Request(
                urllib.parse.urljoin(address, f"data/{path}"), content, {"Content-Type": "application/json"}
            )
            with urllib.request.urlopen(request, timeout=30) as answer:
                return json.load(answer)

        deadline = time.monotonic() + 60
        while any("best/loss" not in get("plugin/scalars/tags").get(name, {}) for name in names):  # it loads them
            assert time.monotonic() < deadline
            time.sleep(0.5)
        assert set(get("runs")) == names, "each run has a name, and there is no other one"
        active = {name for name, plugin in get("plugins_listing").items() if plugin["enabled"]}
        assert {"scalars", "images", "pr_curves", "graphs", "hparams"} <= active
        narrow, wide = sorted(names)
        expected = {"loss/train", "f1/macro", "f1_per_class/Piano", "time/seconds_per_step", "time/input_share"}
        assert expected <= set(get("plugin/scalars/tags")[wide])
        assert "validation_song" in get("plugin/images/tags")[narrow]
        assert "precision_recall/Drums" in get("plugin/pr_curves/tags")[narrow]
        assert get("plugin/graphs/info")[wide]["run_graph"]

        experiment = get("plugin/hparams/experiment", {"experimentName": ""})
        columns = experiment["hparamInfos"]
        assert [column["name"] for column in columns if column["differs"]] == ["train.learning_rate"]
        assert columns[0]["name"] == "train.learning_rate", "settings that differ come first"
        assert {summaries.DATA, "model.conv_filters", "window.window_seconds"} <= {each["name"] for each in columns}
        tags = [metric["name"]["tag"] for metric in experiment["metricInfos"]]
        assert tags[: len(summaries.METRICS)] == list(summaries.METRICS), "the best epoch comes first"
        groups = get(
            "plugin/hparams/session_groups",
            {
                "experimentName": "",
                "allowedStatuses": ["STATUS_UNKNOWN", "STATUS_SUCCESS", "STATUS_FAILURE", "STATUS_RUNNING"],
                "colParams": [{"hparam": "train.learning_rate"}, {"metric": {"group": "", "tag": "best/f1_macro"}}],
                "startIndex": 0,
                "sliceSize": 10,
            },
        )["sessionGroups"]
        rates = {group["name"]: group["hparams"]["train.learning_rate"] for group in groups}
        expected_rates = {"narrow": CNN.train.learning_rate, "wide": 0.02}
        assert rates == {f"crnn in {runs / name}": rate for name, rate in expected_rates.items()}, "a row for each run"
        for group in groups:
            assert group["hparams"][summaries.DATA] == str(data)
            best = bundle.describe(Path(group["name"].removeprefix("crnn in ")) / "crnn").info
            shown = {value["name"]["tag"]: value["value"] for value in group["metricValues"]}
            assert shown["best/f1_macro"] == pytest.approx(best["val_macro_f1"], rel=1e-5)
