"""TensorBoard on runs: which it finds, what they are called, and what its pages hold."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click.testing
import pytest
import yaml
from helpers.tiny_data import CONFIG, write_data

from mir_tf import bundle
from mir_tf.board import find_logs
from mir_tf.cli import main
from mir_tf.errors import DataError


def put_events(*folders: Path) -> None:
    for folder in folders:
        folder.mkdir(parents=True)
        (folder / "events.out.tfevents.1.host").touch()


def test_runs_are_called_as_their_folders(tmp_path: Path) -> None:
    put_events(tmp_path / "runs" / "cnn" / "logs", tmp_path / "runs" / "crnn" / "logs")
    runs = tmp_path / "runs"
    assert list(find_logs([runs / "cnn", runs / "crnn"])) == ["cnn", "crnn"]
    assert list(find_logs([runs / "crnn"])) == ["crnn"]
    assert find_logs([runs])["cnn"] == runs / "cnn" / "logs"


def test_trials_and_compared_runs_are_called_by_what_they_are_part_of(tmp_path: Path) -> None:
    search, compared = tmp_path / "search", tmp_path / "compared"
    put_events(search / "trials", search / "trials" / "0" / "logs", compared / "runs" / "cnn-seed0" / "logs")
    assert set(find_logs([search, compared])) == {"search", "search/0", "compared/cnn-seed0"}


def test_no_two_runs_share_a_name(tmp_path: Path) -> None:
    put_events(tmp_path / "a" / "logs", tmp_path / "runs" / "a" / "logs")
    assert set(find_logs([tmp_path / "a", tmp_path / "runs"])) == {"a", "runs/a/logs"}


def test_a_folder_without_logs_is_named(tmp_path: Path) -> None:
    put_events(tmp_path / "run" / "logs")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="empty: no TensorBoard logs in it; give the folder of mir-tf fit"):
        find_logs([tmp_path / "run", tmp_path / "empty"])
    result = click.testing.CliRunner().invoke(main, ["board", str(tmp_path / "empty")])
    assert result.exit_code == 1
    assert "no TensorBoard logs in it" in result.stderr


def test_remote_folders_are_refused() -> None:
    result = click.testing.CliRunner().invoke(main, ["board", "s3://bucket/run"])
    assert result.exit_code == 2
    assert "must be a local path" in result.stderr


def command(*words: str | Path) -> list[str]:
    return [sys.executable, "-c", "from mir_tf.cli import main; main(prog_name='mir-tf')", *map(str, words)]


@contextlib.contextmanager
def interrupted(process: subprocess.Popen[str]) -> Iterator[None]:
    """Ends it as Ctrl-C does."""
    try:
        yield
    finally:
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0


@pytest.mark.slow
def test_every_page_holds_what_a_person_looks_for(tmp_path: Path) -> None:
    data = tmp_path / "data"
    write_data(data, {"train": [[30, 50, 15], [25, 60]], "validation": [[35, 60]]})
    sections = {name: getattr(CONFIG, name).to_dict() for name in ("model", "train", "window")}
    sections["train"] |= {"epochs": 2, "image_every": 1, "steps_per_epoch": 4}
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(sections))
    runs = tmp_path / "runs"
    # Folders of one name, as the trials of two searches have; and epochs that differ, which are no hyperparameter.
    for name, more in {"narrow/crnn": ["--epochs", 1], "wide/crnn": ["--learning-rate", 0.02, "--profile"]}.items():
        words = ["fit", "--data", data, "--config", tmp_path / "config.yaml", "--out", runs / name]
        subprocess.run(command(*words, *more), check=True, capture_output=True)
    assert list((runs / "wide" / "crnn" / "logs" / "plugins" / "profile").glob("*/*.xplane.pb"))

    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    words = command("board", tmp_path / "runs", "--port", 0)
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True, env=environment) as board, interrupted(board):
        assert board.stdout is not None
        address = board.stdout.readline().strip()
        assert board.stdout.readline() == "2 runs: narrow/crnn, wide/crnn\n"

        def get(path: str, body: Any = None) -> Any:
            content = None if body is None else json.dumps(body).encode()
            request = urllib.request.Request(
                urllib.parse.urljoin(address, f"data/{path}"), content, {"Content-Type": "application/json"}
            )
            with urllib.request.urlopen(request, timeout=30) as answer:
                return json.load(answer)

        assert set(get("runs")) == {"narrow/crnn", "wide/crnn", "."}, "the last has the columns of the HParams page"
        active = {name for name, plugin in get("plugins_listing").items() if plugin["enabled"]}
        assert {"scalars", "images", "pr_curves", "graphs", "hparams"} <= active
        scalars = get("plugin/scalars/tags")["wide/crnn"]
        expected = {"loss/train", "f1/macro", "f1_per_class/Piano", "time/seconds_per_step", "time/input_share"}
        assert expected <= set(scalars)
        assert "validation_song" in get("plugin/images/tags")["narrow/crnn"]
        assert "precision_recall/Drums" in get("plugin/pr_curves/tags")["narrow/crnn"]
        assert get("plugin/graphs/info")["wide/crnn"]["run_graph"]
        groups = get(
            "plugin/hparams/session_groups",
            {
                "experimentName": "",
                "allowedStatuses": ["STATUS_UNKNOWN", "STATUS_SUCCESS", "STATUS_FAILURE", "STATUS_RUNNING"],
                "colParams": [{"hparam": "train.learning_rate"}, {"metric": {"group": "", "tag": "kept/f1_macro"}}],
                "startIndex": 0,
                "sliceSize": 10,
            },
        )["sessionGroups"]
        assert [
            column["name"] for column in get("plugin/hparams/experiment", {"experimentName": ""})["hparamInfos"]
        ] == ["data", "train.learning_rate"]
        rates = {group["name"]: group["hparams"]["train.learning_rate"] for group in groups}
        expected_rates = {"narrow": CONFIG.train.learning_rate, "wide": 0.02}
        assert rates == {f"crnn in {runs / name}": rate for name, rate in expected_rates.items()}, "a row for each run"
        for group in groups:
            kept = bundle.describe(Path(group["name"].removeprefix("crnn in ")) / "crnn").info
            shown = {value["name"]["tag"]: value["value"] for value in group["metricValues"]}
            assert shown["kept/f1_macro"] == pytest.approx(kept["val_macro_f1"], rel=1e-5)
