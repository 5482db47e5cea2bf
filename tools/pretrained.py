"""Make the two models that come with mir-tf: render MIDI, train on it, and write the tables of their scores.

    python tools/pretrained.py --midi MIDI --samples SAMPLES --soundfonts SOUNDFONTS --start MODEL --out OUT

Each step except the copying of songs and the joining of data sets is a command that you could type. It is printed, and
skipped if an earlier run has finished it, so that you can stop the script and start it again.

MIDI contains the songs that tools/pretrained/songs.csv lists, which are found by their digests. SAMPLES contains
recordings of instruments for tools/sample_soundfont.py. SOUNDFONTS contains five files. Four are used for training:
FluidR3_GM.sf2, sf_GMbank.sf2, sonivox.sf2 (npm package @coderline/alphatab) and freepats.sf2, written by
tools/freepats.py; each is used as it is and in two copies by tools/alter_soundfont.py. MuseScore_General_Full.sf2 is
used for validation. TimGM6mb, which comes with pretty_midi, is used for tests only. FluidSynth must be installed.

MODEL is the model to continue from. The weights that come with mir-tf continue those of the version before. Without
--start, training starts from nothing.
"""

from __future__ import annotations

import collections
import csv
import dataclasses
import hashlib
import itertools
import json
import math
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
from demo import run

from mir_tf.io.files import sha256

_FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)

CONFIG_FOLDER = Path(__file__).with_suffix("")
SONGS = CONFIG_FOLDER / "songs.csv"
TRAIN_SOUNDFONTS = ("FluidR3_GM.sf2", "sf_GMbank.sf2", "sonivox.sf2", "freepats.sf2")
VALIDATION_SOUNDFONT = "MuseScore_General_Full.sf2"
RUNS = ("tcn", "tcn_end")
"""The training runs, each with a configuration of the same name. The second continues the first, or --start."""

FINE_CLASSES = ("--vocabulary", "slakh", "--learning-rate", "0.0005", "--epochs", "25")
"""Options of the run that continues the result with Slakh's 34 classes and drums; its new class layer learns fast."""

SHARES = (2, 3)
"""How often the weights before and after the last run count in their mean, which is the result."""

SCORES = ("mutopia", "openscore_lieder", "openscore_orchestra", "polish_scores")
"""Sets that were made from scores: their notes are on a grid, and often equally loud."""

NEVER_TRAINED_ON = ("simutrans",)
"""Sets for validation and test only, although the table of songs has some of them in train: see the model card."""

PARTS = {"played": 2, "scores": 6}
"""Number of parts into which the songs of each group are cut; each part is rendered with options of its own."""


@dataclasses.dataclass(frozen=True)
class TrainSet:
    """Songs that are rendered for training with the same options.

    Attributes:
        songs: One of the parts of :data:`PARTS`, such as ``scores_0``, or another name if the songs are composed.
        seed: Seed of the builder's random choices.
        choices: Options of the builder that take the seed, besides ``--augment``.
        composed: Seed and number of the songs, if they are composed.
        recorded: Whether SoundFonts of recordings are used as well.
    """

    songs: str
    seed: int
    choices: tuple[str, ...] = ()
    composed: tuple[int, int] | None = None
    recorded: bool = False

    @property
    def name(self) -> str:
        """Name of the data set."""
        return f"{self.songs}-{self.seed}"


TRAIN_SETS = (
    TrainSet("scores_0", 20, ("--humanize",)),
    TrainSet("scores_1", 21, ("--humanize", "--orchestrate")),
    TrainSet("scores_2", 23, ("--humanize",)),
    TrainSet("scores_3", 24, ("--humanize", "--orchestrate")),
    TrainSet("scores_4", 27, ("--humanize",)),
    TrainSet("scores_5", 28, ("--humanize", "--orchestrate"), recorded=True),
    TrainSet("played_0", 22, ("--orchestrate",)),
    TrainSet("played_1", 25, ("--orchestrate",), recorded=True),
    TrainSet("composed_40", 26, composed=(40, 90)),
    TrainSet("composed_41", 31, composed=(41, 300), recorded=True),
    TrainSet("scores_0", 32, ("--humanize", "--orchestrate"), recorded=True),
    TrainSet("scores_2", 33, ("--humanize", "--orchestrate"), recorded=True),
    TrainSet("composed_42", 36, composed=(42, 200), recorded=True),
)

VALIDATION_SETS = {"validation_freedoom": ("--renditions", "4", "--shuffle-programs", "1"), "validation_written": ()}
"""Groups of validation songs, and the options of their builds. Each of Freedoom's few songs is rendered four times."""

SOUNDS = ("seen sounds", "new SoundFont")
"""Sounds in the tables: the unaltered SoundFonts of the training data, and TimGM6mb."""

KINDS = ("rock and pop", "game", "orchestral", "chamber")
"""Groups in the tables: kinds of test songs."""

MIXES = ("validation", "test")
"""Splits of the produced mixes."""

OVERALL_METRICS = {"micro_f1": "micro F1", "macro_f1": "macro F1", "dominant_accuracy": "dominant"}


@dataclasses.dataclass(frozen=True)
class Setting:
    """The amounts of the recipe.

    Attributes:
        train_sets: Data sets for training.
        songs: Most songs of each group, and of each composed data set; None takes all.
        excerpts: Most seconds of a track: for training, and for validation and test.
        copies: Seeds of the altered copies of each SoundFont, and of the SoundFonts of recordings.
        kinds: Some of :data:`KINDS`.
        sounds: Some of :data:`SOUNDS`.
        fit: Options of the training runs.
    """

    train_sets: tuple[TrainSet, ...] = TRAIN_SETS
    songs: int | None = None
    excerpts: tuple[int, int] = (40, 80)
    copies: tuple[int, ...] = (1, 2)
    kinds: tuple[str, ...] = KINDS
    sounds: tuple[str, ...] = SOUNDS
    fit: tuple[str, ...] = ()


WHOLE = Setting()
SMALL = Setting(
    train_sets=(TRAIN_SETS[0], TRAIN_SETS[7], TRAIN_SETS[9]),
    songs=1,
    excerpts=(6, 6),
    copies=(1,),
    kinds=KINDS[:2],
    sounds=SOUNDS[1:],
    fit=("--epochs", "1", "--steps-per-epoch", "2", "--batch-size", "4"),
)
"""Each option once, on a few songs: shows that the recipe runs, and makes a useless model."""


def stage(table: Path, midi: Sequence[Path], out: Path, most: int | None) -> dict[str, Path]:
    """Copy the songs of a table into a folder for each group, and return a map from the group to its folder.

    The groups are the parts of :data:`PARTS` for training, those of :data:`VALIDATION_SETS`, and the kinds of test
    songs. A group without songs is missing.

    Args:
        table: File with the columns of songs.csv.
        midi: Folders with the songs, searched recursively.
        out: Parent of the folders.
        most: Most songs of each group; None takes all.

    Raises:
        click.ClickException: Songs are missing.
    """
    found = {sha256(path): path for folder in midi for path in sorted(folder.rglob("*.mid"))}
    groups: dict[str, dict[str, str]] = collections.defaultdict(dict)
    with table.open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            if row["set"] == "mixes" or (row["split"] == "train" and row["set"] in NEVER_TRAINED_ON):
                continue
            group = {
                "train": "scores" if row["set"] in SCORES else "played",
                "validation": "validation_freedoom" if row["set"] == "freedoom" else "validation_written",
                "test": row["kind"],
            }[row["split"]]
            groups[group][f"{row['set']}__{row['file']}"] = row["sha256"]
    if missing := [name for songs in groups.values() for name, digest in songs.items() if digest not in found]:
        raise click.ClickException(
            f"{len(missing)} songs of {table} are in none of the folders of --midi, such as {', '.join(missing[:3])}"
        )
    folders = {}
    for group, songs in groups.items():
        names = sorted(songs, key=lambda name: hashlib.sha256(name.encode()).hexdigest())
        count = PARTS.get(group, 1)
        for part in range(count):
            chosen = names[part::count][:most]
            name = f"{group}_{part}" if group in PARTS else group
            if chosen:
                folders[name] = fresh(out / name_of(name))
            for song in chosen:
                shutil.copyfile(found[songs[song]], folders[name] / song)
    return folders


def fresh(folder: Path) -> Path:
    """Make an empty folder, and return it."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def build(midi: Path, out: Path, soundfonts: list[Path], *options: str | Path, seed: int = 0) -> None:
    """Render MIDI files and build a data set; if it is finished, the command only reports that."""
    fonts = [word for path in soundfonts for word in ("--soundfont", path)]
    run("python", "-m", "tfrecords_builder", "--midi", midi, *fonts, *options, "--seed", str(seed), "--out", out)


def compose(out: Path, seed: int, songs: int) -> Path:
    """Compose songs in ``out``, and return that folder; songs that are there already stay the same."""
    run("python", "-m", "tfrecords_builder.ensembles", "--songs", str(songs), "--seed", str(seed), "--out", out)
    return out


def alter(soundfonts: list[Path], out: Path, seeds: Sequence[int]) -> list[Path]:
    """Write copies of SoundFonts with altered sounds, and return their paths; skip those that exist."""
    out.mkdir(parents=True, exist_ok=True)
    copies = []
    for path, seed in itertools.product(soundfonts, seeds):
        copies.append(altered := out / f"{path.stem}-{seed}.sf2")
        if not altered.exists():
            run("python", Path(__file__).with_name("alter_soundfont.py"), path, "--seed", str(seed), "--out", altered)
    return copies


def record(samples: Path, base: Path, out: Path, seeds: Sequence[int]) -> list[Path]:
    """Write copies of a SoundFont with recorded instruments, and return their paths; skip those that exist."""
    tool = Path(__file__).with_name("sample_soundfont.py")
    options = ("--samples", samples, "--base", base, "--pitches", out / "pitches.csv")
    copies = []
    for seed in seeds:
        copies.append(recorded := out / f"recorded-{seed}.sf2")
        if not recorded.exists():
            run("python", tool, *options, "--seed", str(seed), "--out", recorded)
    return copies


def join(out: Path, folders: dict[str, list[Path]]) -> None:
    """Join splits of data sets with the same front end, by hard links to their shards.

    Args:
        out: Folder of the joined data set.
        folders: Data sets to take each split from; train must be among them.
    """
    from mir_tf.data import manifest
    from tfrecords_builder.records import tfds_metadata

    if (out / manifest.MANIFEST_FILE).exists():
        return
    fresh(out)
    manifests = {folder: manifest.read_manifest(folder) for each in folders.values() for folder in each}
    splits = {}
    for split, parts in folders.items():
        shards = [(folder, shard) for folder in parts for shard in manifests[folder].splits[split].shards]
        linked = []
        for number, (folder, shard) in enumerate(shards):
            name = manifest.shard_name(split, number, len(shards))
            os.link(folder / shard.name, out / name)
            linked.append(dataclasses.replace(shard, name=name))
        summary = added([dataclasses.asdict(manifests[each].splits[split]) | {"shards": 0} for each in parts])
        splits[split] = manifest.SplitSummary(**summary | {"shards": linked})
    trained = [manifests[folder] for folder in folders["train"]]
    frames = [each.splits["train"].label_frames for each in trained]
    means = [each.feature_mean for each in trained]
    squares = [each.feature_mean**2 + each.feature_std**2 for each in trained]
    mean, square = (
        sum(part * value for part, value in zip(frames, values, strict=True)) / sum(frames)
        for values in (means, squares)
    )
    joined = dataclasses.replace(
        trained[0],
        splits=splits,
        feature_mean=mean,
        feature_std=math.sqrt(square - mean**2),
        skipped=[item for each in manifests.values() for item in each.skipped],
        source={"joined": [each.source for each in manifests.values()]},
        stem_checks={},
    )
    tfds_metadata.write(out, joined)
    manifest.write_manifest(out, joined)


def added(values: list[Any]) -> Any:
    """Return the sum of numbers, or of lists or dictionaries element by element; a missing key counts as 0."""
    if isinstance(values[0], dict):
        keys = dict.fromkeys(key for value in values for key in value)
        return {key: added([value[key] for value in values if key in value]) for key in keys}
    if isinstance(values[0], list):
        return [added(list(row)) for row in zip(*values, strict=True)]
    return sum(values)


def write_references(mixes: Path, table: Path, split: str, out: Path) -> Path:
    """Link the produced mixes of a split into a folder, write what plays in each as CSV, and return the folder.

    Args:
        mixes: Folder with the mixes and index.csv, whose columns are the mix (``file``), its MIDI file (``midi``,
            relative to the folder's parent), how much later the mix starts (``offset_s``), and its ``seconds``.
        table: File with the columns of songs.csv.
        split: Split of the mixes in the table.
        out: Output folder.
    """
    from mir_tf.vocabulary import VOCABULARIES
    from tfrecords_builder.midi import read_parts

    with table.open(newline="", encoding="utf-8") as file:
        chosen = {row["sha256"] for row in csv.DictReader(file) if row["split"] == split}
    fresh(out)
    with (mixes / "index.csv").open(newline="", encoding="utf-8") as file:
        index = [row for row in csv.DictReader(file) if sha256(mixes / row["file"]) in chosen]
    vocabulary = VOCABULARIES["family"]
    for row in index:
        os.symlink((mixes / row["file"]).resolve(), out / row["file"])
        offset, end = float(row["offset_s"]), float(row["seconds"])
        with (out / f"{Path(row['file']).stem}.csv").open("w", newline="", encoding="utf-8") as file:
            intervals = csv.writer(file, lineterminator="\n")
            intervals.writerow(["start", "end", "instrument"])
            for part in read_parts(mixes.parent / row["midi"]):
                name = vocabulary.classes[-1 if part.is_drum else part.program // 8]
                for start, stop in zip(part.starts, part.ends, strict=True):
                    if (begin := max(0.0, start + offset)) < (finish := min(end, stop + offset)):
                        intervals.writerow([round(begin, 4), round(finish, 4), name])
    return out


def evaluate(model: Path, out: Path, *data: str | Path) -> None:
    """Evaluate a model, unless an earlier run has done so."""
    if not (out / "evaluation.json").exists():
        run("mir-tf", "evaluate", model, *data, "--out", out)


def name_of(*words: str) -> str:
    """Return the name of the folder of an evaluation or a data set."""
    return "-".join(words).replace(" ", "_")


def percent(estimate: dict[str, float]) -> str:
    """Return a share and its confidence interval as text."""
    if estimate["value"] is None:
        return "–"
    bounds = "" if estimate["low"] is None else f" ({estimate['low']:.3f}–{estimate['high']:.3f})"
    return f"{estimate['value']:.3f}{bounds}"


def header(*columns: str) -> list[str]:
    """Return the first two lines of a Markdown table."""
    return [f"| {' | '.join(columns)} |", "|---" * len(columns) + "|"]


def tables(data: Path, evaluations: dict[tuple[str, str], Path], vocabulary: str) -> str:
    """Return Markdown tables: scores by kind of songs, names, and scores by class; and the amount of training data.

    Args:
        data: The joined data set.
        evaluations: Maps songs and sounds to the folder of their evaluation. The first one is that of all songs.
        vocabulary: Name of the model's vocabulary.
    """
    results = {key: json.loads((folder / "evaluation.json").read_text("utf-8")) for key, folder in evaluations.items()}
    lines = header("songs", "sounds", "tracks", *OVERALL_METRICS.values(), "constant")
    for (songs, sounds), result in results.items():
        scores = " | ".join(percent(result["overall_metrics"][name]) for name in OVERALL_METRICS)
        constant = f"{result['baseline']['micro_f1']:.3f}, {result['baseline']['macro_f1']:.3f}"
        lines.append(f"| {songs} | {sounds} | {result['tracks']} | {scores} | {constant} |")
    columns = ("right in detected", "right in perhaps", "playing, in detected", "playing, in either list")
    lines += ["", *header("songs", "sounds", *columns)]
    for (songs, sounds), result in results.items():
        found = result["confidence"]
        (detected, right), (named, named_right), playing = found["detected"], found["named"], found["playing"]
        pairs = ((right, detected), (named_right - right, named - detected), (right, playing), (named_right, playing))
        shares = " | ".join(f"{part} of {whole} ({100 * part / max(whole, 1):.0f} %)" for part, whole in pairs)
        lines.append(f"| {songs} | {sounds} | {shares} |")
    lines += ["", *header("class", "tracks", "precision", "recall", "F1", "constant", "reported / playing")]
    for row in next(iter(results.values()))["classes"]:
        ratio = row["recall"] / row["precision"] if row["precision"] and row["recall"] else None
        numbers = (row["precision"], row["recall"], row["baseline_f1"], ratio)
        precision, recall, constant, reported = ("–" if number is None else f"{number:.3f}" for number in numbers)
        cells = (row["name"], row["tracks"], precision, recall, percent(row["f1"]), constant, reported)
        lines.append(f"| {' | '.join(map(str, cells))} |")
    train = json.loads((data / "manifest.json").read_text(encoding="utf-8"))["splits"]["train"]
    hours = ", ".join(f"{name} {frames / 36000:.1f}" for name, frames in train["activity"][vocabulary].items())
    size = f"{train['tracks']} tracks, {train['seconds'] / 3600:.1f} h with their stems"
    lines += ["", f"Training data: {size}; hours of each class: {hours}."]
    return "\n".join(lines) + "\n"


@click.command(help=__doc__)
@click.option("--midi", type=_FOLDER, multiple=True, required=True, help="Folder of the songs. May be repeated.")
@click.option(
    "--songs",
    "table",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    default=SONGS,
    help="Table of the songs, their digests, kinds and splits.  [default: tools/pretrained/songs.csv]",
)
@click.option("--samples", type=_FOLDER, required=True, help="Folder of recordings of instruments.")
@click.option("--soundfonts", type=_FOLDER, required=True, help="Folder of the five SoundFonts.")
@click.option("--mixes", type=_FOLDER, help="Folder of the produced mixes and index.csv, to evaluate on them as well.")
@click.option("--start", type=_FOLDER, help="Model to continue from.  [default: train one first]")
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), required=True, help="Output folder.")
@click.option("--small", is_flag=True, help="Run all steps on a few songs, to test them: the model is useless.")
def main(
    midi: tuple[Path, ...],
    table: Path,
    samples: Path,
    soundfonts: Path,
    mixes: Path | None,
    start: Path | None,
    out: Path,
    small: bool,
) -> None:
    """Run all steps."""
    from tfrecords_builder.synthesis.synthesizers import default_soundfont

    setting = SMALL if small else WHOLE
    songs = stage(table, midi, out / "midi", setting.songs)
    train_fonts = [soundfonts / name for name in TRAIN_SOUNDFONTS]
    fonts = [*train_fonts, *alter(train_fonts, out / "soundfonts", setting.copies)]
    recorded = record(samples, train_fonts[0], out / "soundfonts", setting.copies)
    synthesizers = ("--synthesizer", "builtin", "--synthesizer", "fluidsynth")
    train_excerpt, excerpt = (("--excerpt", str(seconds)) for seconds in setting.excerpts)
    train, held_out = (*synthesizers, *train_excerpt, "--split", "train", "--stems"), (*synthesizers, *excerpt)
    sets = out / "sets"
    for each in setting.train_sets:
        if each.composed:
            seed, count = each.composed
            songs[each.songs] = compose(out / "midi" / each.songs, seed, setting.songs or count)
        choices = [word for choice in ("--augment", *each.choices) for word in (choice, str(each.seed))]
        used = [*fonts, *recorded] if each.recorded else fonts
        build(songs[each.songs], sets / each.name, used, *train, *choices, seed=each.seed)
    for name, options in VALIDATION_SETS.items():
        font = [soundfonts / VALIDATION_SOUNDFONT]
        build(songs[name], sets / name, font, *held_out, "--split", "validation", *options)
    test_fonts = dict(zip(SOUNDS, (train_fonts, [default_soundfont()]), strict=True))
    tests = {
        (kind, sounds): sets / name_of(kind, sounds)
        for kind, sounds in itertools.product(setting.kinds, setting.sounds)
    }
    for (kind, sounds), folder in tests.items():
        build(songs[kind], folder, test_fonts[sounds], *held_out, "--split", "test")
    data = out / "data"
    join(
        data,
        {
            "train": [sets / each.name for each in setting.train_sets],
            "validation": [sets / name for name in VALIDATION_SETS],
            "test": [tests[kind, SOUNDS[1]] for kind in setting.kinds],
        },
    )
    fit = ("mir-tf", "fit", "--data", data, *setting.fit)
    first, last = RUNS
    if start is None:
        run(*fit, "--config", CONFIG_FOLDER / f"{first}.yaml", "--out", out / first)
        start = out / first
    run(*fit, "--config", CONFIG_FOLDER / f"{last}.yaml", "--init", start, "--out", out / last)
    final, fine = out / "pretrained", out / "35_classes"
    if not (final / "bundle.json").exists():
        runs = [path for path, share in zip((start, out / last), SHARES, strict=True) for _ in range(share)]
        run("python", Path(__file__).with_name("average_runs.py"), *runs, "--data", data, "--out", final)
    last_epochs = FINE_CLASSES if not small else FINE_CLASSES[:-2]
    run(*fit, "--config", CONFIG_FOLDER / f"{last}.yaml", "--init", final, *last_epochs, "--out", fine)
    evaluations = {("all", SOUNDS[1]): out / "evaluations" / "all"}
    evaluate(final, evaluations["all", SOUNDS[1]], "--data", data)
    for key, folder in tests.items():
        evaluations[key] = out / "evaluations" / folder.name
        evaluate(final, evaluations[key], "--data", folder)
    for split in MIXES if mixes else ():
        references = write_references(mixes, table, split, out / "mixes" / split)
        evaluations["produced mixes", split] = out / "evaluations" / name_of("mixes", split)
        evaluate(final, evaluations["produced mixes", split], "--references", references, "--audio", references)
    fine_evaluations = {("all, 35 classes", SOUNDS[1]): out / "evaluations" / "all-35_classes"}
    evaluate(fine, fine_evaluations["all, 35 classes", SOUNDS[1]], "--data", data)
    for model in (final, fine):
        if not (out / "exported" / model.name / "report.json").exists():
            formats = ("--formats", "tflite", "--quantize", "int8", "--license", "Apache-2.0")
            run("mir-tf", "export", model, "--out", out / "exported" / model.name, *formats, "--data", data)
    text = tables(data, evaluations, "family") + "\n" + tables(data, fine_evaluations, "slakh")
    (out / "tables.md").write_text(text, encoding="utf-8")
    click.echo(text)
    for model, folder in ((final, "mir_tf/pretrained"), (fine, "mir_tf/pretrained/35_classes")):
        tflite = f"{out}/exported/{model.name}/model.int8.tflite"
        click.echo(f"For {folder}: {model}/model.keras, {model}/bundle.json, {tflite} as model.tflite")


if __name__ == "__main__":
    main()
