"""Make the model that comes with mir-tf: render MIDI, train on it, and write the tables of its scores.

    python tools/pretrained.py --midi MIDI --other-midi OTHER --soundfonts FOLDER --out OUT

Each step except the joining of data sets is a command that you could type. It is printed, and skipped if an earlier run
has finished it, so that you can stop the script and start it again. FOLDER contains five SoundFonts. Four are used for
training: FluidR3_GM.sf2, sf_GMbank.sf2, sonivox.sf2 (npm package @coderline/alphatab) and freepats.sf2, written by
tools/freepats.py; each is used as it is and in two copies by tools/alter_soundfont.py. MuseScore_General_Full.sf2 is
used for tuning the thresholds. TimGM6mb, which comes with pretty_midi, is used for tests only. FluidSynth must be
installed. A CRNN is trained as well, for comparison with the TCN.
"""

from __future__ import annotations

import dataclasses
import itertools
import json
import math
import os
import random
import shutil
from pathlib import Path
from typing import Any

import click
from demo import run

_FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)

CONFIG_FOLDER = Path(__file__).with_suffix("")
TRAIN_SOUNDFONTS = ("FluidR3_GM.sf2", "sf_GMbank.sf2", "sonivox.sf2", "freepats.sf2")
TUNING_SOUNDFONT = "MuseScore_General_Full.sf2"
RUNS = {"tcn": None, "tcn_end": "tcn", "crnn": None}
"""Maps a training run, and its configuration of the same name, to the run whose weights it starts from."""

NETWORKS = {"TCN": "tcn_end", "CRNN": "crnn"}
"""Maps a network's name in the tables to its last run. The first network is the one that comes with mir-tf."""

ALTERED = (1, 2)
"""Seeds of the altered copies of each SoundFont."""

SEED = 0
COMPOSED = 720
"""Number of songs to compose with each of two seeds, in addition to the MIDI files."""

TEST_SEED = 100
COMPOSED_FOR_THE_TABLE = 38
"""One of each style."""

SEEN_SONGS = 24
"""Number of songs of the train split to render again for the table."""

EXCERPT = "80"
RENDITIONS = "8"
SOUNDS = ("seen sounds", "new SoundFont")
"""Sounds in the tables: the unaltered SoundFonts of the training data, and TimGM6mb."""

SONGS = ("seen songs", "new songs", "new composed songs")
"""Groups in the tables: songs of the train split; Freedoom's test songs and all of OTHER; a composed song per style."""

OVERALL_METRICS = {"micro_f1": "micro F1", "macro_f1": "macro F1", "dominant_accuracy": "dominant"}


def build(midi: Path, out: Path, soundfonts: list[Path], *options: str | Path, seed: int = SEED) -> None:
    """Render MIDI files and build a data set; if it is finished, the command only reports that."""
    fonts = [word for path in soundfonts for word in ("--soundfont", path)]
    run("python", "-m", "tfrecords_builder", "--midi", midi, *fonts, *options, "--seed", str(seed), "--out", out)


def compose(out: Path, seed: int, songs: int = COMPOSED) -> Path:
    """Compose songs in ``out``, and return that folder; songs that are there already stay the same."""
    run("python", "-m", "tfrecords_builder.ensembles", "--songs", str(songs), "--seed", str(seed), "--out", out)
    return out


def alter(soundfonts: list[Path], out: Path) -> list[Path]:
    """Write copies of SoundFonts with altered sounds, and return their paths; skip those that exist."""
    out.mkdir(parents=True, exist_ok=True)
    copies = []
    for path, seed in itertools.product(soundfonts, ALTERED):
        copies.append(altered := out / f"{path.stem}-{seed}.sf2")
        if not altered.exists():
            run("python", Path(__file__).with_name("alter_soundfont.py"), path, "--seed", str(seed), "--out", altered)
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


def songs_for_the_table(midi: Path, other: Path, tree: Path, out: Path) -> dict[str, Path]:
    """Write the MIDI files of each group in :data:`SONGS`, and return a map from the group to its folder."""
    seen, new, composed = SONGS
    songs = json.loads((tree / "songs.json").read_text(encoding="utf-8"))
    sources = {
        split: sorted({e["source"] for e in songs.values() if e["split"] == split}) for split in ("train", "test")
    }
    chosen = {
        seen: [midi / name for name in random.Random(SEED).sample(sources["train"], SEEN_SONGS)],
        new: [midi / name for name in sources["test"]] + sorted(other.rglob("*.mid")),
    }
    folders = {composed: compose(out / name_of(composed), TEST_SEED, COMPOSED_FOR_THE_TABLE)}
    for name, files in chosen.items():
        folders[name] = out / name_of(name)
        shutil.rmtree(folders[name], ignore_errors=True)
        folders[name].mkdir(parents=True)
        for file in files:
            shutil.copy(file, folders[name])
    return folders


def percent(estimate: dict[str, float]) -> str:
    """Return a share and its confidence interval as text."""
    if estimate["value"] is None:
        return "–"
    bounds = "–" if estimate["low"] is None else f"{estimate['low']:.3f}–{estimate['high']:.3f}"
    return f"{estimate['value']:.3f} ({bounds})"


def tables(data: Path, evaluations: Path) -> str:
    """Return Markdown tables of F1 by group and, for new songs, by class, and the hours of each class in training."""
    results: dict[tuple[str, str, str], dict[str, Any]] = {
        (network, songs, sounds): json.loads(
            (evaluations / name_of(network, songs, sounds) / "evaluation.json").read_text("utf-8")
        )
        for network in NETWORKS
        for songs in SONGS
        for sounds in SOUNDS
    }
    best, *others = NETWORKS
    columns = [f"{name}, {network}" for name in OVERALL_METRICS.values() for network in NETWORKS]
    lines = [f"| songs | sounds | tracks | {' | '.join(columns)} | baseline |", "|---|---|---:|" + "---|" * 7]
    for songs in SONGS:
        for sounds in SOUNDS:
            each = [results[network, songs, sounds] for network in NETWORKS]
            cells = [percent(result["overall_metrics"][name]) for name in OVERALL_METRICS for result in each]
            constant = f"{each[0]['baseline']['micro_f1']:.3f}, {each[0]['baseline']['macro_f1']:.3f}"
            lines.append(f"| {songs} | {sounds} | {each[0]['tracks']} | {' | '.join(cells)} | {constant} |")
    shown = [(best, sounds) for sounds in SOUNDS] + [(network, SOUNDS[1]) for network in others]
    titles = [f"{network}, {sounds}" for network, sounds in shown]
    lines += ["", f"| class, new songs | tracks | {' | '.join(titles)} |", "|---|---:|" + "---|" * len(titles)]
    for rows in zip(*(results[network, "new songs", sounds]["classes"] for network, sounds in shown), strict=True):
        lines.append(f"| {rows[0]['name']} | {rows[0]['tracks']} | {' | '.join(percent(row['f1']) for row in rows)} |")
    train = json.loads((data / "manifest.json").read_text(encoding="utf-8"))["splits"]["train"]
    hours = ", ".join(f"{name} {frames / 36000:.1f}" for name, frames in train["activity"]["family"].items())
    size = f"{train['tracks']} tracks of {train['songs']} songs, {train['seconds'] / 3600:.1f} h with their stems"
    lines += ["", f"Training data: {size}; hours of each class: {hours}."]
    return "\n".join(lines) + "\n"


def differences(out: Path, sets: dict[tuple[str, str], Path]) -> str:
    """Return a Markdown table of the first network's gain over the second on new songs, with paired intervals."""
    import numpy as np

    from mir_tf import bundle
    from mir_tf.experiments import compare
    from mir_tf.metrics import bootstrap as metrics

    measures = ("micro F1", "macro F1")
    lines = [f"| {' − '.join(NETWORKS)}, new songs | {' | '.join(measures)} |", "|---|---|---|"]
    models = [bundle.load(out / name) for name in NETWORKS.values()]
    for sounds in SOUNDS:
        data = sets["new songs", sounds]
        scored = [compare.count_frames(model, data, "test") for model in models]
        drawn = metrics.bootstrap_weights(scored[0].songs)
        counts = [each.counts for each in scored]
        cells = []
        for measure in measures:
            of = compare.MEASURES[measure]
            value, *_ = of(counts[0], np.ones_like(drawn[:1])) - of(counts[1], np.ones_like(drawn[:1]))
            low, high = metrics.interval(of(counts[0], drawn) - of(counts[1], drawn))
            cells.append(f"{value:+.3f} ({low:+.3f} to {high:+.3f})")
        lines.append(f"| {sounds} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def name_of(*words: str) -> str:
    """Return the name of the folder of an evaluation or a data set."""
    return "-".join(words).replace(" ", "_")


@click.command(help=__doc__)
@click.option("--midi", type=_FOLDER, required=True, help="Folder of MIDI files for training and tests.")
@click.option("--other-midi", type=_FOLDER, required=True, help="Folder of MIDI files for tests only.")
@click.option("--soundfonts", type=_FOLDER, required=True, help="Folder of the five SoundFonts.")
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), required=True, help="Output folder.")
def main(midi: Path, other_midi: Path, soundfonts: Path, out: Path) -> None:
    """Run all steps."""
    from tfrecords_builder.synthesis.synthesizers import default_soundfont

    train_fonts = [soundfonts / name for name in TRAIN_SOUNDFONTS]
    varied = [*train_fonts, *alter(train_fonts, out / "soundfonts")]
    both = ("--synthesizer", "builtin", "--synthesizer", "fluidsynth")
    data, tree, evaluations = out / "data", out / "tree", out / "evaluations"
    variety = (*both, "--excerpt", EXCERPT, "--stems")
    validated = (*variety, "--validation-soundfont", soundfonts / TUNING_SOUNDFONT, "--augment", "1")
    orchestrated = ("--renditions", RENDITIONS, "--shuffle-programs", "1", "--keep-audio", tree)
    build(midi, out / "data_midi", varied, *validated, *orchestrated)
    composed = [compose(out / "midi" / f"composed{seed}", seed) for seed in (SEED, SEED + 1)]
    train_only = (*variety, "--split", "train")
    build(composed[0], out / "data_composed", varied, *train_only, "--augment", "3")
    # Once more with random instruments, so that an instrument plays any part and not only its usual ones.
    shuffled = ("--augment", "2", "--shuffle-programs", "2")
    build(composed[1], out / "data_shuffled", varied, *train_only, *shuffled, seed=SEED + 1)
    written = out / "data_midi"
    # Composed songs resemble each other, and the best thresholds for them are too high for other songs.
    train = [written, out / "data_composed", out / "data_shuffled"]
    join(data, {"train": train, "validation": [written], "test": [written]})
    held_out = [default_soundfont()]
    sets = {}
    for songs, folder in songs_for_the_table(midi, other_midi, tree, out / "midi").items():
        for sounds, fonts in zip(SOUNDS, (train_fonts, held_out), strict=True):
            sets[songs, sounds] = out / "sets" / name_of(songs, sounds)
            build(folder, sets[songs, sounds], fonts, *both, "--excerpt", EXCERPT, "--split", "test")
    for name, begun in RUNS.items():
        init = () if begun is None else ("--init", out / begun)
        run("mir-tf", "fit", "--data", data, "--config", CONFIG_FOLDER / f"{name}.yaml", *init, "--out", out / name)
    for network, name in NETWORKS.items():
        for (songs, sounds), folder in sets.items():
            place = evaluations / name_of(network, songs, sounds)
            if not (place / "evaluation.json").exists():
                run("mir-tf", "evaluate", out / name, "--data", folder, "--out", place)
    best, *_ = NETWORKS.values()
    final = out / "pretrained"
    shutil.copytree(
        out / best,
        final,
        ignore=lambda folder, names: set(names) - {"model.keras", "bundle.json"},
        dirs_exist_ok=True,
    )
    run("mir-tf", "report", out / best, "--data", sets["new songs", "new SoundFont"], "--out", out / "report")
    exported = out / "exported"
    if not (exported / "report.json").exists():
        formats = ("--formats", "tflite", "--quantize", "none,float16,int8")
        run("mir-tf", "export", final, "--out", exported, *formats, "--data", data, "--license", "Apache-2.0")
    text = tables(data, evaluations) + "\n" + differences(out, sets)
    (out / "tables.md").write_text(text, encoding="utf-8")
    click.echo(text)
    click.echo(
        f"For mir_tf/pretrained: {final}/model.keras, {final}/bundle.json, {exported}/model.int8.tflite as model.tflite"
    )


if __name__ == "__main__":
    main()
