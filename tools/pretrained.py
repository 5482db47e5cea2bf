"""Make the model that comes with mir-tf: render MIDI, train on it, and write the tables of its scores.

    python tools/pretrained.py --midi MIDI --samples SAMPLES --soundfonts SOUNDFONTS --out OUT

Each step except the copying of songs and the joining of data sets is a command that you could type. It is printed, and
skipped if an earlier run has finished it, so that you can stop the script and start it again.

MIDI contains the songs that tools/pretrained/splits.csv lists, which are found by their digests. SAMPLES contains
recordings of instruments for tools/sample_soundfont.py. SOUNDFONTS contains five files. Four are used for training:
FluidR3_GM.sf2, sf_GMbank.sf2, sonivox.sf2 (npm package @coderline/alphatab) and freepats.sf2, written by
tools/freepats.py; each is used as it is and in two copies by tools/alter_soundfont.py. MuseScore_General_Full.sf2 is
used for validation. TimGM6mb, which comes with pretty_midi, is used for tests only. FluidSynth must be installed. A
CRNN is trained as well, for comparison with the TCN.
"""

from __future__ import annotations

import collections
import csv
import dataclasses
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
SPLITS = CONFIG_FOLDER / "splits.csv"
TRAIN_SOUNDFONTS = ("FluidR3_GM.sf2", "sf_GMbank.sf2", "sonivox.sf2", "freepats.sf2")
VALIDATION_SOUNDFONT = "MuseScore_General_Full.sf2"
RUNS = {"tcn": None, "tcn_end": "tcn", "crnn": None}
"""Maps a training run, and its configuration of the same name, to the run whose weights it starts from."""

NETWORKS = {"TCN": "tcn_end", "CRNN": "crnn"}
"""Maps a network's name in the tables to its last run. The first network is the one that comes with mir-tf."""

SCORES = ("mutopia", "openscore_lieder", "openscore_orchestra", "polish_scores")
"""Sets that were made from scores: their notes are on a grid, and often equally loud."""

NEVER_TRAINED_ON = ("simutrans",)
"""Sets for validation and test only, although the table of songs has some of them in train: see the model card."""

SOUNDS = ("seen sounds", "new SoundFont")
"""Sounds in the tables: the unaltered SoundFonts of the training data, and TimGM6mb."""

KINDS = ("rock and pop", "game", "orchestral", "chamber")
"""Groups in the tables: kinds of test songs. Composers of test songs are not in the training data."""

OVERALL_METRICS = {"micro_f1": "micro F1", "macro_f1": "macro F1", "dominant_accuracy": "dominant"}


@dataclasses.dataclass(frozen=True)
class Setting:
    """The amounts of the recipe.

    Attributes:
        songs: Most songs of each group; None takes all.
        renditions: Tracks of each song for training.
        excerpt: Most seconds of each track.
        composed: Number of songs to compose with each of two seeds.
        copies: Seeds of the altered copies of each SoundFont, and of the SoundFonts of recordings.
        networks: Some of :data:`NETWORKS`.
        sounds: Some of :data:`SOUNDS`; the last one is that of the table by class.
        fit: Options of the training runs.
    """

    songs: int | None = None
    renditions: int = 8
    excerpt: int = 80
    composed: int = 720
    copies: tuple[int, ...] = (1, 2)
    networks: tuple[str, ...] = tuple(NETWORKS)
    sounds: tuple[str, ...] = SOUNDS
    fit: tuple[str, ...] = ()


WHOLE = Setting()
SMALL = Setting(
    songs=2,
    renditions=2,
    excerpt=6,
    composed=2,
    copies=(1,),
    networks=("TCN",),
    sounds=SOUNDS[1:],
    fit=("--epochs", "1", "--steps-per-epoch", "2", "--batch-size", "4"),
)
"""Everything once, on a few songs: shows that the recipe runs, and makes a useless model."""


def stage(table: Path, midi: Sequence[Path], out: Path, most: int | None) -> dict[str, Path]:
    """Copy the songs of a table into a folder for each group, and return a map from the group to its folder.

    The groups are ``played`` and ``scores`` for training, ``validation``, and the kinds of test songs.

    Args:
        table: File with the columns of splits.csv.
        midi: Folders with the songs, searched recursively.
        out: Parent of the folders.
        most: Most songs of each group: the first ones in the order of their digests; None takes all.

    Raises:
        click.ClickException: Songs are missing.
    """
    found = {sha256(path): path for folder in midi for path in sorted(folder.rglob("*.mid"))}
    groups: dict[str, list[dict[str, str]]] = collections.defaultdict(list)
    with table.open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            if row["set"] == "mixes" or (row["split"] == "train" and row["set"] in NEVER_TRAINED_ON):
                continue
            kind = "scores" if row["set"] in SCORES else "played"
            groups[{"train": kind, "test": row["kind"]}.get(row["split"], row["split"])].append(row)
    chosen = {name: sorted(rows, key=lambda row: row["sha256"])[:most] for name, rows in groups.items()}
    if missing := [row["file"] for rows in chosen.values() for row in rows if row["sha256"] not in found]:
        raise click.ClickException(
            f"{len(missing)} songs of {table} are in none of the folders of --midi, such as {', '.join(missing[:3])}"
        )
    folders = {}
    for name, rows in chosen.items():
        folders[name] = out / name_of(name)
        shutil.rmtree(folders[name], ignore_errors=True)
        folders[name].mkdir(parents=True)
        for row in rows:
            shutil.copyfile(found[row["sha256"]], folders[name] / f"{row['set']}-{row['file']}")
    return folders


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
        folders: Data sets to take each split from.
    """
    from mir_tf.data import manifest
    from tfrecords_builder.records import tfds_metadata

    if (out / manifest.MANIFEST_FILE).exists():
        return
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
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


def percent(estimate: dict[str, float]) -> str:
    """Return a share and its confidence interval as text."""
    if estimate["value"] is None:
        return "–"
    bounds = "–" if estimate["low"] is None else f"{estimate['low']:.3f}–{estimate['high']:.3f}"
    return f"{estimate['value']:.3f} ({bounds})"


def tables(data: Path, evaluations: Path, networks: Sequence[str], sounds_shown: Sequence[str]) -> str:
    """Return Markdown tables of F1 by kind of songs and by class, and the hours of each class in training."""
    results: dict[tuple[str, str, str], dict[str, Any]] = {
        (network, kind, sounds): json.loads(
            (evaluations / name_of(network, kind, sounds) / "evaluation.json").read_text("utf-8")
        )
        for network in networks
        for kind in KINDS
        for sounds in sounds_shown
    }
    columns = [f"{name}, {network}" for name in OVERALL_METRICS.values() for network in networks]
    rule = "---|" * (len(columns) + 1)
    lines = [f"| songs | sounds | tracks | {' | '.join(columns)} | baseline |", f"|---|---|---:|{rule}"]
    for kind in KINDS:
        for sounds in sounds_shown:
            each = [results[network, kind, sounds] for network in networks]
            cells = [percent(result["overall_metrics"][name]) for name in OVERALL_METRICS for result in each]
            constant = f"{each[0]['baseline']['micro_f1']:.3f}, {each[0]['baseline']['macro_f1']:.3f}"
            lines.append(f"| {kind} | {sounds} | {each[0]['tracks']} | {' | '.join(cells)} | {constant} |")
    best, new = networks[0], sounds_shown[-1]
    lines += ["", f"| class, {best}, {new} | {' | '.join(KINDS)} |", "|---|" + "---|" * len(KINDS)]
    for rows in zip(*(results[best, kind, new]["classes"] for kind in KINDS), strict=True):
        lines.append(f"| {rows[0]['name']} | {' | '.join(percent(row['f1']) for row in rows)} |")
    train = json.loads((data / "manifest.json").read_text(encoding="utf-8"))["splits"]["train"]
    hours = ", ".join(f"{name} {frames / 36000:.1f}" for name, frames in train["activity"]["family"].items())
    size = f"{train['tracks']} tracks of {train['songs']} songs, {train['seconds'] / 3600:.1f} h with their stems"
    lines += ["", f"Training data: {size}; hours of each class: {hours}."]
    return "\n".join(lines) + "\n"


def differences(out: Path, sets: dict[tuple[str, str], Path]) -> str:
    """Return a Markdown table of the first network's gain over the second by kind, with paired intervals."""
    import numpy as np

    from mir_tf import bundle
    from mir_tf.experiments import compare
    from mir_tf.metrics import bootstrap as metrics

    measures = ("micro F1", "macro F1")
    lines = [f"| {' − '.join(NETWORKS)}, {SOUNDS[1]} | {' | '.join(measures)} |", "|---|---|---|"]
    models = [bundle.load(out / name) for name in NETWORKS.values()]
    for kind in KINDS:
        scored = [compare.count_frames(model, sets[kind, SOUNDS[1]], "test") for model in models]
        drawn = metrics.bootstrap_weights(scored[0].songs)
        counts = [each.counts for each in scored]
        cells = []
        for measure in measures:
            of = compare.MEASURES[measure]
            value, *_ = of(counts[0], np.ones_like(drawn[:1])) - of(counts[1], np.ones_like(drawn[:1]))
            low, high = metrics.interval(of(counts[0], drawn) - of(counts[1], drawn))
            cells.append(f"{value:+.3f} ({low:+.3f} to {high:+.3f})")
        lines.append(f"| {kind} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def name_of(*words: str) -> str:
    """Return the name of the folder of an evaluation or a data set."""
    return "-".join(words).replace(" ", "_")


@click.command(help=__doc__)
@click.option("--midi", type=_FOLDER, multiple=True, required=True, help="Folder of the songs. May be repeated.")
@click.option(
    "--songs",
    "table",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    default=SPLITS,
    help="Table of the songs, their digests, kinds and splits.  [default: tools/pretrained/splits.csv]",
)
@click.option("--samples", type=_FOLDER, required=True, help="Folder of recordings of instruments.")
@click.option("--soundfonts", type=_FOLDER, required=True, help="Folder of the five SoundFonts.")
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), required=True, help="Output folder.")
@click.option("--small", is_flag=True, help="Run all steps on a few songs, to test them: the model is useless.")
def main(midi: tuple[Path, ...], table: Path, samples: Path, soundfonts: Path, out: Path, small: bool) -> None:
    """Run all steps."""
    from tfrecords_builder.synthesis.synthesizers import default_soundfont

    setting = SMALL if small else WHOLE
    networks = {name: NETWORKS[name] for name in setting.networks}
    songs = stage(table, midi, out / "midi", setting.songs)
    train_fonts = [soundfonts / name for name in TRAIN_SOUNDFONTS]
    fonts = out / "soundfonts"
    varied = [*train_fonts, *alter(train_fonts, fonts, setting.copies)]
    varied += record(samples, train_fonts[0], fonts, setting.copies)
    both = ("--synthesizer", "builtin", "--synthesizer", "fluidsynth", "--excerpt", str(setting.excerpt))
    train = (*both, "--split", "train", "--stems")
    varying = (*train, "--renditions", str(setting.renditions), "--orchestrate", "1")
    sets = {name: out / "sets" / name for name in ("played", "scores", "composed", "shuffled", "validation")}
    build(songs["played"], sets["played"], varied, *varying, "--augment", "1")
    build(songs["scores"], sets["scores"], varied, *varying, "--augment", "2", "--humanize", "1")
    composed = [compose(out / "midi" / f"composed{seed}", seed, setting.composed) for seed in (0, 1)]
    build(composed[0], sets["composed"], varied, *train, "--augment", "3")
    # Once more with random instruments, so that an instrument plays any part and not only its usual ones.
    build(composed[1], sets["shuffled"], varied, *train, "--augment", "4", "--shuffle-programs", "2", seed=1)
    # Composed songs resemble each other, and the best thresholds for them are too high for other songs.
    validated = (*both, "--split", "validation", "--renditions", "2", "--orchestrate", "2", "--augment", "5")
    build(songs["validation"], sets["validation"], [soundfonts / VALIDATION_SOUNDFONT], *validated)
    tests = {}
    test_fonts = dict(zip(SOUNDS, (train_fonts, [default_soundfont()]), strict=True))
    for kind, sounds in itertools.product(KINDS, setting.sounds):
        tests[kind, sounds] = out / "sets" / name_of(kind, sounds)
        build(songs[kind], tests[kind, sounds], test_fonts[sounds], *both, "--split", "test")
    data = out / "data"
    tested = [tests[kind, SOUNDS[1]] for kind in KINDS]
    join(
        data,
        {"train": [sets[name] for name in list(sets)[:-1]], "validation": [sets["validation"]], "test": tested},
    )
    wanted = set(networks.values()) | {begun for name, begun in RUNS.items() if name in networks.values()}
    for name, begun in RUNS.items():
        if name in wanted:
            init = () if begun is None else ("--init", out / begun)
            config = CONFIG_FOLDER / f"{name}.yaml"
            run("mir-tf", "fit", "--data", data, "--config", config, *init, *setting.fit, "--out", out / name)
    evaluations = out / "evaluations"
    for network, name in networks.items():
        for (kind, sounds), folder in tests.items():
            place = evaluations / name_of(network, kind, sounds)
            if not (place / "evaluation.json").exists():
                run("mir-tf", "evaluate", out / name, "--data", folder, "--out", place)
    best, *_ = networks.values()
    final = out / "pretrained"
    shutil.copytree(
        out / best,
        final,
        ignore=lambda folder, names: set(names) - {"model.keras", "bundle.json"},
        dirs_exist_ok=True,
    )
    exported = out / "exported"
    if not (exported / "report.json").exists():
        formats = ("--formats", "tflite", "--quantize", "none,float16,int8")
        run("mir-tf", "export", final, "--out", exported, *formats, "--data", data, "--license", "Apache-2.0")
    text = tables(data, evaluations, list(networks), setting.sounds)
    if len(networks) > 1:
        text += "\n" + differences(out, tests)
    (out / "tables.md").write_text(text, encoding="utf-8")
    click.echo(text)
    click.echo(
        f"For mir_tf/pretrained: {final}/model.keras, {final}/bundle.json, {exported}/model.int8.tflite as model.tflite"
    )


if __name__ == "__main__":
    main()
