"""Comparisons: what is trained, what is not trained again, and what the tables show."""

import dataclasses
import json
import math
from pathlib import Path

import numpy as np
import pytest
from helpers.commands import run
from helpers.experiments import write_plan
from helpers.tiny_data import write_data

from mir_tf.config import RunConfig
from mir_tf.experiments.compare import Comparison, Outcome, TrackCounts, compare
from mir_tf.experiments.plan import Plan, PlannedRun, read_plan
from mir_tf.metrics import bootstrap, counts
from mir_tf.metrics.counts import ConfusionCounts

SPLITS = {"train": [[30, 50, 15], [25, 60]], "validation": [[35, 60]], "test": [[40, 20, 30, 33]]}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    write_data(folder, SPLITS)
    return folder


def test_a_plan_says_which_split_is_scored(tmp_path: Path, data: Path) -> None:
    """The run is trained once, and its scores on two splits are kept in separate files."""
    one = {"runs": {"Narrow": {}}, "seeds": [0]}
    for split, changes in (("test", {}), ("validation", {"split": "validation"}), ("test", {"split": "test"})):
        plan = read_plan(write_plan(tmp_path, **one, **changes), [data], tmp_path / "out")
        trained: list[int] = []
        comparison = compare(plan, tmp_path / "out", on_epoch=lambda epoch, row, into=trained: into.append(epoch))
        assert bool(trained) == (not changes)
        (found,) = comparison.outcomes["Narrow"]
        frames = sum(getattr(found.scores.counts, name)[:, 0].sum() for name in ("tp", "fp", "fn", "tn"))
        assert frames == sum(sum(record) for record in SPLITS[split])
        assert f"On the {split} split, {len(SPLITS[split][0])} tracks" in comparison.to_markdown()
        assert comparison.to_dict()["split"] == split
    names = sorted(path.name for path in plan.runs[0].folder.glob("scores-*.json"))
    assert names == ["scores-test.json", "scores-validation.json"]


def test_a_plan_is_carried_out_once_and_reported(data: Path, tmp_path: Path) -> None:
    words = ["compare", write_plan(tmp_path), "--data", data, "--out", tmp_path / "out"]
    first = run(*words, env={"COLUMNS": "200"})
    assert first.exit_code == 0, first.output
    assert first.output.count("epoch 1: loss") == 4, "two widths, two seeds"
    assert "Run 6 of 6: Narrow again" in first.output
    folders = sorted(path.name for path in (tmp_path / "out" / "runs").iterdir())
    assert folders == ["narrow-seed0", "narrow-seed1", "wide-seed0", "wide-seed1"]

    content = json.loads((tmp_path / "out" / "widths.json").read_text())
    assert list(content["runs"]) == ["Narrow", "Wide", "Narrow again"]
    assert content["runs"]["Narrow"] == content["runs"]["Narrow again"]
    assert [run["config"]["train"]["seed"] for run in content["runs"]["Wide"]] == [0, 1]
    assert [(each["first"], each["second"]) for each in content["differences"][::3]] == [
        ("Narrow", "Wide"),
        ("Narrow", "Narrow again"),
        ("Wide", "Narrow again"),
    ]
    same = content["differences"][3:6]
    assert all((each["value"], each["low"], each["high"], each["is_real"]) == (0, 0, 0, False) for each in same)
    assert (tmp_path / "out" / "widths.png").stat().st_size > 10_000
    text = (tmp_path / "out" / "widths.md").read_text()
    assert "| Narrow − Wide |" in text
    assert "4 tracks" in text

    second = run(*words, env={"COLUMNS": "200"})
    assert second.exit_code == 0
    assert "epoch 1" not in second.output
    assert (tmp_path / "out" / "widths.md").read_text() == text


def test_what_was_finished_is_kept_when_a_plan_is_stopped(data: Path, tmp_path: Path) -> None:
    class Killed(Exception):
        pass

    def stop(name: str, number: int, total: int) -> None:
        if number == 2:
            raise Killed

    plan = read_plan(write_plan(tmp_path, runs={"Narrow": {}}), [data], tmp_path / "out")
    with pytest.raises(Killed):
        compare(plan, tmp_path / "out", on_run=stop)
    assert not (tmp_path / "out" / "widths.md").exists()
    trained: list[int] = []
    compare(plan, tmp_path / "out", on_epoch=lambda epoch, row: trained.append(epoch))
    assert len(trained) == 1


def test_scores_of_another_model_are_not_used(data: Path, tmp_path: Path) -> None:
    plan = read_plan(write_plan(tmp_path, seeds=[0], runs={"Narrow": {}}), [data], tmp_path / "out")
    folder = plan.runs[0].folder
    before = compare(plan, tmp_path / "out")
    scores = folder / "scores-test.json"
    kept = json.loads(scores.read_text())
    scores.write_text(json.dumps({**kept, "model_sha256": "0", "counts": []}))
    assert compare(plan, tmp_path / "out").table() == before.table()
    assert json.loads(scores.read_text()) == kept
    kept["counts"][0][0][0] += 1  # with the same digest
    scores.write_text(json.dumps(kept))
    assert compare(plan, tmp_path / "out").table() == before.table()
    kept["counts"][0][0][0] -= 1
    assert json.loads(scores.read_text()) == kept
    scores.write_text(json.dumps(kept)[:40])
    assert compare(plan, tmp_path / "out").table() == before.table()
    assert json.loads(scores.read_text()) == kept


def outcome(name: str, tp: list[int], fp: list[int], fn: list[int], vocabulary: str = "family") -> Outcome:
    """Return an outcome with one class and a track for each number."""
    config = RunConfig().merge({"train": {"vocabulary": vocabulary}})
    columns = [np.array(column)[:, np.newaxis] for column in (tp, fp, fn, np.zeros_like(tp))]
    tracks = tuple(map(str, range(len(tp))))
    scores = TrackCounts(tracks, tracks, ConfusionCounts(*columns))
    history = [{"epoch": 1, "val_loss": 0.5, "val_macro_f1": 0.4, "seconds": 90.0}]
    return Outcome(PlannedRun(name, config, Path(), Path()), history, 1, scores, 1000, 2e6)


def comparison(*outcomes: Outcome, seeds: int = 1) -> Comparison:
    """Return a comparison in which all seeds of a run have the same scores."""
    return Comparison(Plan("p", "P", "test", ()), {each.run.name: seeds * [each] for each in outcomes})


def test_measures_are_the_field_s() -> None:
    found = comparison(outcome("A", [8, 1], [2, 3], [0, 1]))
    values = {measure: float(found.values("A", measure)[0]) for measure in ("F1", "precision", "recall", "micro F1")}
    assert values == pytest.approx(
        {
            "F1": (16 / 18 + 2 / 6) / 2,
            "precision": (8 / 10 + 1 / 4) / 2,
            "recall": (8 / 8 + 1 / 2) / 2,
            "micro F1": 18 / (18 + 5 + 1),
        }
    )
    assert found.table()[1][-3:] == ["2.0", "1.5", "1 of 1"]


def test_a_difference_in_every_track_is_real_and_one_in_both_directions_is_not() -> None:
    rng = np.random.default_rng(0)
    hits = rng.integers(10, 60, 30)
    first = outcome("A", hits + 20, [10] * 30, 80 - hits)
    worse = outcome("B", hits + 10, [10] * 30, 90 - hits)
    other = outcome("C", rng.permutation(hits + 20), [10] * 30, 80 - hits)
    by_pair = {
        (each.first, each.second, each.measure): each for each in comparison(first, worse, other, seeds=4).differences
    }
    assert by_pair["A", "B", "micro F1"].is_real
    assert by_pair["A", "B", "micro F1"].low < by_pair["A", "B", "micro F1"].value < by_pair["A", "B", "micro F1"].high
    assert not by_pair["A", "C", "F1"].is_real
    few = comparison(
        *(
            outcome(name, [20 + worse] * 5, [10] * 5, [30 - worse] * 5)
            for name, worse in zip("AB", (9, 0), strict=True)
        ),
        seeds=4,
    )
    assert all(each.low > 0 and not each.is_real for each in few.differences), "five songs"
    one = comparison(outcome("A", [29], [10], [21]), outcome("B", [20], [10], [30]))
    assert one.difference_table()[1][1:] == ["+0.152 (–)", "+0.152 (–)", "+0.152 (–)", "unknown"]
    assert any(
        note.startswith("With 1 song, no difference can be told from the choice of songs") for note in one.notes()
    )
    # The same songs are drawn for both runs, so the interval is far narrower than that of either run.
    pair = by_pair["A", "B", "F1"]
    weights = bootstrap.bootstrap_weights(first.scores.songs)
    own = np.ptp(bootstrap.interval(weights @ counts.track_micro_f1(first.scores.counts) / 30))
    assert pair.high - pair.low < own / 2


@pytest.mark.parametrize("seeds", [1, 2, 3, 4])
def test_a_difference_that_few_seeds_cannot_show_is_not_real(seeds: int) -> None:
    hits = np.random.default_rng(0).integers(10, 60, 30)
    better, worse = (outcome(name, hits + more, [10] * 30, 80 - hits) for name, more in (("A", 20), ("B", 10)))
    found = comparison(better, worse, seeds=seeds)
    difference = found.differences[0]
    assert difference.low > 0
    assert (difference.seeds, difference.is_known, difference.is_real) == (seeds, seeds == 4, seeds == 4)
    assert found.difference_table()[1][-1] == ("F1, micro F1, macro F1" if seeds == 4 else "unknown")
    told = (
        f"With {seeds} seed{'s' * (seeds > 1)}, no difference can be told from the noise of training: train at least 4"
    )
    assert (told in " ".join(found.notes())) == (seeds < 4)


def test_a_difference_within_the_noise_of_training_is_not_real() -> None:
    """In every song, one seed of the worse run is better than one seed of the other."""
    hits = np.random.default_rng(0).integers(10, 60, 30)
    first, second = (
        [outcome(name, hits + more, [10] * 30, 80 - hits) for more in gains]
        for name, gains in (("A", (20, 22, 24, 14)), ("B", (10, 11, 12, 16)))
    )
    found = Comparison(Plan("p", "P", "test", ()), {"A": first, "B": second})
    for each in found.differences:
        assert each.low > 0
        assert each.p_seeds == pytest.approx(4 / math.comb(8, 4))  # these ranks, the next, and both mirrored
        assert (each.is_known, each.is_real) == (True, False)
    assert found.difference_table()[1][-1] == "none"


def test_runs_of_other_classes_or_tracks_are_not_compared() -> None:
    first = outcome("A", [8, 1], [2, 3], [0, 1])
    programs = outcome("B", [8, 1], [2, 3], [0, 1], vocabulary="program")
    fewer = outcome("C", [8], [2], [0])
    assert comparison(first, programs, fewer).differences == []


def test_seeds_show_their_spread() -> None:
    pair = [outcome("A", [8], [2], [0]), outcome("A", [8], [0], [0])]
    found = Comparison(Plan("p", "P", "test", ()), {"A": pair})
    assert found.table()[1][1] == f"{(16 / 18 + 1) / 2:.3f} ± {(1 - 16 / 18) / 2:.3f}"


@pytest.mark.parametrize(
    ("best", "trained", "planned", "shown"),
    [
        (8, 10, 10, "8 of 10"),
        (9, 10, 10, "9 of 10, not converged"),
        (10, 10, 10, "10 of 10, not converged"),
        (45, 55, 100, "45 of 55"),  # stopped early: ten epochs were no better
        (1, 1, 1, "1 of 1, not converged"),
    ],
)
def test_a_run_that_still_improves_is_marked(best: int, trained: int, planned: int, shown: str) -> None:
    still = outcome("a", tp=[1], fp=[1], fn=[1])
    run = dataclasses.replace(still.run, config=RunConfig().merge({"train": {"epochs": planned}}))
    still = dataclasses.replace(still, run=run, history=trained * still.history, best_epoch=best)
    found = comparison(still)
    assert found.table()[1][-1] == shown
    assert found.to_dict()["runs"]["a"][0]["is_converged"] is ("not" not in shown)
