"""The tools behind the pretrained model: its recipe, its ablations, and what is chosen by cross-validation."""

import csv
import dataclasses
import hashlib
import importlib
import shutil
import subprocess
import sys
from pathlib import Path

import click
import click.testing
import numpy as np
import pretty_midi
import pytest
import soundfile
from helpers.commands import invoke
from helpers.tiny_data import write_data
from helpers.tiny_model import make_bundle

from mir_tf import bundle
from mir_tf.bundle.predict import predict_split
from mir_tf.config import FRONT_ENDS, RunConfig, read_yaml
from mir_tf.data import manifest as manifests
from mir_tf.data import pipeline
from mir_tf.experiments.plan import read_plan
from mir_tf.inference.metadata import read_tflite
from mir_tf.lite import LiteModel
from mir_tf.metrics import confidence
from mir_tf.metrics.confidence import TrackTable
from mir_tf.metrics.thresholds import ScoreHistogram, shrink, tune
from mir_tf.vocabulary import VOCABULARIES
from tfrecords_builder.ensembles.composer import compose_folder
from tfrecords_builder.records.verify import find_damage
from tfrecords_builder.synthesis.synthesizers import default_soundfont

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def pretrained(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sys, "path", [str(ROOT / "tools"), *sys.path])
    import pretrained

    return pretrained


def test_data_sets_are_joined_split_by_split(pretrained, tmp_path: Path) -> None:
    parts = [tmp_path / "a", tmp_path / "b"]
    write_data(parts[0], {"train": [[30, 50], [25]], "validation": [[35]], "test": [[40]]})
    write_data(parts[1], {"train": [[61]], "validation": [[20, 21]], "test": [[33]]})
    joined = {"train": parts, "validation": parts[::-1], "test": parts[:1]}
    pretrained.join(tmp_path / "both", joined)

    vocabulary = VOCABULARIES["family"]
    manifest = manifests.read_manifest(tmp_path / "both")
    assert list(find_damage(tmp_path / "both")) == []
    single = {part: manifests.read_manifest(part) for part in parts}
    for split, lengths in {"train": [30, 50, 25, 61], "validation": [20, 21, 35], "test": [40]}.items():
        tracks = list(pipeline.tracks(tmp_path / "both", manifest, split, vocabulary))
        assert [len(track.truth) for track in tracks] == lengths
        assert manifest.splits[split].label_frames == sum(lengths)
        counted = manifests.class_frames(tmp_path / "both", manifest, split, vocabulary)
        expected = [manifests.class_frames(part, single[part], split, vocabulary) for part in joined[split]]
        np.testing.assert_array_equal(counted, np.sum(expected, axis=0))
    shares = (
        np.array([one.splits["train"].label_frames for one in single.values()]) / manifest.splits["train"].label_frames
    )
    assert manifest.feature_mean == pytest.approx(shares @ [one.feature_mean for one in single.values()])
    assert manifest.feature_mean**2 + manifest.feature_std**2 == pytest.approx(
        shares @ [one.feature_mean**2 + one.feature_std**2 for one in single.values()]
    )


@pytest.mark.parametrize("tool", ["choose_shrinkage", "choose_post_processing"])
def test_what_is_chosen_on_validation_is_cross_validated(
    tool: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", [str(ROOT / "tools"), *sys.path])
    choose = importlib.import_module(tool)
    made = make_bundle("cnn")
    made.save(tmp_path / "run")

    def run(name: str, lengths: list[list[int]]) -> click.testing.Result:
        write_data(tmp_path / name, {"train": [[30]], "validation": lengths}, made.config.front_end)
        words = [str(tmp_path / "run"), "--data", str(tmp_path / name)]
        return invoke(choose.main, *words)

    result = run("data", [[35, 60], [40]])
    assert result.exit_code == 0, result.output
    assert "3 songs, 3 folds, 8 rounds" in result.output
    refused = run("one", [[35]])
    assert refused.exit_code == 1
    assert "cross-validation needs at least two validation songs" in refused.output
    (tmp_path / "run" / "model.keras").unlink()
    assert "not a whole model: model.keras is missing" in run("again", [[35]]).output


def write_songs(folder: Path, table: Path) -> None:
    """Compose songs, and list them as those of every kind and split."""
    compose_folder(folder, 18, 0, simple=True)  # two of each row
    rows = [
        ("freedoom", "game", "train"),
        ("polish_scores", "chamber", "train"),
        ("simutrans", "rock and pop", "train"),
        ("freedoom", "game", "validation"),
        ("easyrpg_rtp", "game", "validation"),
    ]
    rows += [("freedoom", kind, "test") for kind in ("rock and pop", "game", "orchestral", "chamber")]
    with table.open("w", newline="") as file:
        listed = csv.writer(file)
        listed.writerow(["file", "sha256", "set", "composer", "kind", "split"])
        for path, (set_name, kind, split) in zip(sorted(folder.rglob("*.mid")), 2 * rows, strict=False):
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
            listed.writerow([path.name, digest, set_name, "A B", kind, split])
        listed.writerow(["mix.mp3", "0", "mixes", "A B", "produced mixes", "test"])


def write_mixes(folder: Path, midi: Path, table: Path) -> None:
    """Write a produced mix for each split that has some, with the notes of a MIDI file, and list them in the table."""
    folder.mkdir()
    with (folder / "index.csv").open("w", newline="") as file, table.open("a", newline="") as listed:
        index, rows = csv.writer(file), csv.writer(listed)
        index.writerow(["file", "midi", "offset_s", "seconds", "licence"])
        for number, split in enumerate(("validation", "test")):
            path = folder / f"mix {split}.wav"
            soundfile.write(path, np.full(5 * 22050, 0.1 * (1 + number)), 22050)
            index.writerow([path.name, midi.relative_to(folder.parent), 1.5, 5.0, "CC0"])
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
            rows.writerow([path.name, digest, "mixes", "A B", "produced mixes", split])


def test_references_of_mixes_are_shifted_and_cut_off(pretrained, tmp_path: Path) -> None:
    song = pretty_midi.PrettyMIDI()
    for program, start, end in ((0, 0.0, 1.0), (73, 3.0, 30.0), (0, 4.0, 5.0)):
        part = pretty_midi.Instrument(program)
        part.notes.append(pretty_midi.Note(100, 60, start, end))
        song.instruments.append(part)
    song.write(str(tmp_path / "song.mid"))
    (tmp_path / "songs.csv").write_text("file,sha256,set,composer,kind,split\n")
    write_mixes(tmp_path / "mixes", tmp_path / "song.mid", tmp_path / "songs.csv")
    out = pretrained.write_references(tmp_path / "mixes", tmp_path / "songs.csv", "test", tmp_path / "out" / "test")
    assert sorted(path.name for path in out.iterdir()) == ["mix test.csv", "mix test.wav"]
    with (out / "mix test.csv").open(newline="") as file:
        intervals = list(csv.DictReader(file))
    assert [(row["instrument"], float(row["start"]), float(row["end"])) for row in intervals] == [
        ("Piano", 1.5, 2.5),
        ("Pipe", 4.5, 5.0),
    ]
    assert (out / "mix test.wav").read_bytes() == (tmp_path / "mixes" / "mix test.wav").read_bytes()


def write_samples(folder: Path) -> None:
    """Write five notes of a flute, and their index."""
    folder.mkdir()
    time = np.arange(22050) / 22050
    with (folder / "index.csv").open("w", newline="") as file:
        index = csv.writer(file)
        index.writerow(["set", "instrument", "midi_note", "file"])
        for key in (60, 64, 67, 72, 76):
            frequency = 440 * 2 ** ((key - 69) / 12)
            note = sum(np.sin(2 * np.pi * number * frequency * time) / number**2 for number in (1, 2, 3))
            soundfile.write(folder / f"{key}.wav", 0.3 * note, 22050)
            index.writerow(["spectmorph", "alto-flute", key, f"{key}.wav"])


def test_songs_are_staged_by_digest_and_split(pretrained, tmp_path: Path) -> None:
    write_songs(tmp_path / "songs", tmp_path / "songs.csv")
    folders = pretrained.stage(tmp_path / "songs.csv", [tmp_path / "songs"], tmp_path / "out", None)
    counts = {name: len(list(folder.iterdir())) for name, folder in folders.items()}
    parts = dict.fromkeys(("played_0", "played_1", "scores_0", "scores_1"), 1)
    assert counts == {**parts, **dict.fromkeys((*pretrained.VALIDATION_SETS, *pretrained.KINDS), 2)}
    assert not list((tmp_path / "out").rglob("simutrans*"))  # it may not be trained on
    assert all(path.name.startswith("polish_scores__") for path in folders["scores_1"].iterdir())
    folders = pretrained.stage(tmp_path / "songs.csv", [tmp_path / "songs"], tmp_path / "out", 1)
    assert {len(list(folder.iterdir())) for folder in folders.values()} == {1}
    with pytest.raises(click.ClickException, match=r"16 songs of .* are in none of the folders"):
        pretrained.stage(tmp_path / "songs.csv", [tmp_path / "out" / "midi"], tmp_path / "other", None)


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("fluidsynth") is None, reason="FluidSynth is not installed")
def test_the_recipe_runs_whole_on_a_few_songs(pretrained, tmp_path: Path) -> None:
    write_songs(tmp_path / "songs", tmp_path / "songs.csv")
    write_samples(tmp_path / "samples")
    fonts = tmp_path / "soundfonts"
    fonts.mkdir()
    for name in (*pretrained.TRAIN_SOUNDFONTS, pretrained.VALIDATION_SOUNDFONT):
        shutil.copy(default_soundfont(), fonts / name)
    words = ["--midi", tmp_path / "songs", "--songs", tmp_path / "songs.csv", "--samples", tmp_path / "samples"]
    song = min((tmp_path / "songs").rglob("*.mid"))
    write_mixes(tmp_path / "mixes", song, tmp_path / "songs.csv")
    words += ["--soundfonts", fonts, "--mixes", tmp_path / "mixes", "--small", "--out", tmp_path / "out"]
    command = [sys.executable, ROOT / "tools" / "pretrained.py", *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    text = (tmp_path / "out" / "tables.md").read_text(encoding="utf-8")
    scores, *_ = text.partition("| songs | sounds | right in detected")
    assert [row.split(" | ")[0] for row in scores.splitlines()[2:-1]] == [
        f"| {songs}" for songs in ("all", *pretrained.SMALL.kinds, "produced mixes", "produced mixes")
    ]
    assert "Training data: " in text
    assert "| all, 35 classes | new SoundFont | " in text
    for folder, vocabulary in (("pretrained", "family"), ("35_classes", "slakh")):
        model = LiteModel(tmp_path / "out" / "exported" / folder / "model.int8.tflite")
        assert model.metadata.classes == VOCABULARIES[vocabulary].classes
    assert bundle.load(tmp_path / "out" / "pretrained").confidence is not None


def test_its_configurations_are_read(pretrained) -> None:
    for name in pretrained.RUNS:
        sections = read_yaml(pretrained.CONFIG_FOLDER / f"{name}.yaml")
        config = RunConfig().merge(sections).to_dict()
        assert {
            section: {key: config[section][key] for key in values} for section, values in sections.items()
        } == sections


def test_the_ablations_change_one_thing_each(tmp_path: Path) -> None:
    write_data(tmp_path / "data", {"train": [[10]]}, FRONT_ENDS["default"])
    plan = read_plan(ROOT / "tools" / "pretrained" / "ablations.yaml", [tmp_path / "data"], tmp_path / "out")
    assert plan.split == "validation"
    recipe, *others = [run.config for run in plan.runs]
    assert others
    for other in others:
        changed = [*recipe.model.differences(other.model), *recipe.train.differences(other.train)]
        assert 1 <= len(changed) <= 2, changed


def test_the_confidence_is_fitted_to_several_data_sets_and_stored_twice(
    exported_cnn: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", [str(ROOT / "tools"), *sys.path])
    from fit_confidence import main

    run, tflite = tmp_path / "run", tmp_path / "model.tflite"
    shutil.copytree(exported_cnn / "run", run)
    shutil.copy(exported_cnn / "model.float32.tflite", tflite)
    parts = [tmp_path / "a", tmp_path / "b"]
    write_data(parts[0], {"train": [[30]], "validation": [[60, 40], [50]], "test": [[40]]})
    write_data(parts[1], {"train": [[31]], "validation": [[70, 45, 33]], "test": [[33]]})
    before, former = bundle.load(run), tflite.read_bytes()
    result = invoke(main, run, "--data", parts[0], "--data", parts[1], "--tflite", tflite)
    assert result.exit_code == 0, result.output
    after = bundle.load(run)
    tables = [
        TrackTable.of(list(predict_split(after.windowed, after.config, part, "validation")), after.thresholds)
        for part in parts
    ]
    expected, _ = confidence.fit(TrackTable.joined(tables))
    assert after.confidence is not None
    np.testing.assert_allclose(after.confidence.weights, expected.weights, rtol=1e-4)
    assert after.confidence != before.confidence
    np.testing.assert_array_equal(after.thresholds, before.thresholds)
    assert read_tflite(tflite).confidence == after.confidence
    assert LiteModel(tflite).metadata == dataclasses.replace(
        LiteModel(exported_cnn / "model.float32.tflite").metadata, confidence=after.confidence
    )
    assert abs(len(tflite.read_bytes()) - len(former)) < 5000  # the former metadata are replaced, not kept as well
    *_, row, cut = result.output.splitlines()
    named = sum(int(table.is_named.sum()) for table in tables)
    assert row.split()[:2] == ["all", str(named)]
    assert cut == f"Cut: {after.confidence.cut:.3f}"


def test_runs_are_averaged_and_tuned_on_several_data_sets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [str(ROOT / "tools"), *sys.path])
    from average_runs import main

    made = make_bundle("cnn")
    made.save(tmp_path / "a")
    weights = made.model.get_weights()
    made.model.set_weights([2 * each for each in weights])
    made.save(tmp_path / "b")
    parts = [tmp_path / "one", tmp_path / "two"]
    write_data(parts[0], {"train": [[30]], "validation": [[60, 40], [50]]}, made.config.front_end)
    write_data(parts[1], {"train": [[31]], "validation": [[70, 45, 33]]}, made.config.front_end)
    words = ["--data", parts[0], "--data", parts[1], "--out", tmp_path / "out"]
    result = invoke(main, tmp_path / "a", tmp_path / "b", tmp_path / "b", *words)
    assert result.exit_code == 0, result.output
    assert "mean of 3 runs, tuned on 6 tracks" in result.output
    mean = bundle.load(tmp_path / "out")
    for before, after in zip(weights, mean.model.get_weights(), strict=True):
        np.testing.assert_allclose(after, before * 5 / 3, rtol=1e-5)
    predictions = [each for part in parts for each in predict_split(mean.windowed, mean.config, part, "validation")]
    histogram = ScoreHistogram(17)
    for each in predictions:
        histogram.update(each.probabilities, each.truth)
    np.testing.assert_allclose(
        mean.thresholds, shrink(tune(histogram), histogram, mean.config.train.threshold_shrinkage), rtol=1e-6
    )
    assert mean.confidence is not None
    make_bundle("crnn").save(tmp_path / "other")
    refused = invoke(main, tmp_path / "a", tmp_path / "other", *words)
    assert refused.exit_code == 1
    assert "its network or classes differ" in refused.output
