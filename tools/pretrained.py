"""How the model in this package was made: MIDI to records, a network trained on them, tables of what it hears.

    python tools/pretrained.py --midi MIDI --other-midi OTHER --soundfonts FOLDER --out OUT

Every step but the joining of data sets is a command that a user could type; it is shown, and skipped where an earlier
run has finished it: stopped and started again, the work goes on. FOLDER holds four SoundFonts that are learnt from:
FluidR3_GM.sf2, sf_GMbank.sf2, sonivox.sf2 (npm package @coderline/alphatab) and freepats.sf2, which tools/freepats.py
writes; each is heard as it is and as tools/alter_soundfont.py makes it sound. On MuseScore_General_Full.sf2, the fifth,
thresholds are tuned. TimGM6mb, which pretty_midi brings along, is used for tests only. FluidSynth must be
installed. A CRNN is trained beside the TCN, to compare them.
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

CONFIG_FOLDER = Path(__file__).with_suffix("")
LEARNT = ("FluidR3_GM.sf2", "sf_GMbank.sf2", "sonivox.sf2", "freepats.sf2")
TUNED = "MuseScore_General_Full.sf2"
RUNS = {"tcn": None, "tcn_end": "tcn", "crnn": None}
"""Training runs, each by the configuration of that name, and the run whose weights it starts from."""

NETWORKS = {"TCN": "tcn_end", "CRNN": "crnn"}
"""What the tables call a network → its last run. The first is the package's."""

ALTERED = (1, 2)
"""Seeds of copies of each learnt SoundFont that sound otherwise."""

SEED = 0
COMPOSED = 720
"""Songs that are composed twice, from two seeds, beside those of MIDI."""

TEST_SEED = 100
COMPOSED_FOR_THE_TABLE = 38
"""One of each style."""

SEEN_SONGS = 24
"""Songs of the train split that are rendered anew for the table."""

EXCERPT = "80"
RENDITIONS = "8"
SOUNDS = ("seen sounds", "new SoundFont")
"""The learnt SoundFonts as they are, and TimGM6mb, both by builtin and FluidSynth."""

SONGS = ("seen songs", "new songs", "new composed songs")
"""Some that are trained on, rendered anew; Freedoom's test songs and all other songs; songs of every composed style."""

OVERALL_METRICS = {"micro_f1": "micro F1", "macro_f1": "macro F1", "dominant_accuracy": "dominant"}


def build(midi: Path, out: Path, soundfonts: list[Path], *options: str | Path, seed: int = SEED) -> None:
    """Renders and builds a data set; one that is finished says so."""
    fonts = [word for path in soundfonts for word in ("--soundfont", path)]
    run("python", "-m", "tfrecords_builder", "--midi", midi, *fonts, *options, "--seed", str(seed), "--out", out)


def compose(out: Path, seed: int, songs: int = COMPOSED) -> Path:
    """Composes songs; the same again where they are there."""
    run("python", "-m", "tfrecords_builder.ensembles", "--songs", str(songs), "--seed", str(seed), "--out", out)
    return out


def alter(soundfonts: list[Path], out: Path) -> list[Path]:
    """Copies of SoundFonts that sound otherwise; those that are there stay."""
    out.mkdir(parents=True, exist_ok=True)
    copies = []
    for path, seed in itertools.product(soundfonts, ALTERED):
        copies.append(altered := out / f"{path.stem}-{seed}.sf2")
        if not altered.exists():
            run("python", Path(__file__).with_name("alter_soundfont.py"), path, "--seed", str(seed), "--out", altered)
    return copies


def join(out: Path, folders: list[Path]) -> None:
    """Adds the train splits of data sets with the same front end to the first of them, by hard links to their shards.

    Validation and test are the first one's: songs that people wrote. Those that are composed are alike, and thresholds
    that are best for them are too high for others.
    """
    from mir_tf.data import manifest
    from tfrecords_builder.records import tfds_metadata

    if (out / manifest.MANIFEST_FILE).exists():
        return
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    manifests = {folder: manifest.read_manifest(folder) for folder in folders}
    first = manifests[folders[0]]
    splits = {}
    for split in first.splits:
        parts = manifests if split == "train" else {folders[0]: first}
        shards = [(folder, shard) for folder, each in parts.items() for shard in each.splits[split].shards]
        linked = []
        for number, (folder, shard) in enumerate(shards):
            name = manifest.shard_name(split, number, len(shards))
            os.link(folder / shard.name, out / name)
            linked.append(dataclasses.replace(shard, name=name))
        summary = added([dataclasses.asdict(each.splits[split]) | {"shards": 0} for each in parts.values()])
        splits[split] = manifest.SplitSummary(**summary | {"shards": linked})
    frames = [each.splits["train"].label_frames for each in manifests.values()]
    means = [each.feature_mean for each in manifests.values()]
    squares = [each.feature_mean**2 + each.feature_std**2 for each in manifests.values()]
    mean, square = (
        sum(part * value for part, value in zip(frames, values, strict=True)) / sum(frames)
        for values in (means, squares)
    )
    joined = dataclasses.replace(
        first,
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
    """The sum of numbers, of lists and of dictionaries, member by member; a key that is missing counts nothing."""
    if isinstance(values[0], dict):
        keys = dict.fromkeys(key for value in values for key in value)
        return {key: added([value[key] for value in values if key in value]) for key in keys}
    if isinstance(values[0], list):
        return [added(list(row)) for row in zip(*values, strict=True)]
    return sum(values)


def songs_for_the_table(midi: Path, other: Path, tree: Path, out: Path) -> dict[str, Path]:
    """Folders of MIDI files by the names of :data:`SONGS`."""
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
    """A share and its interval."""
    if estimate["value"] is None:
        return "–"
    return f"{estimate['value']:.3f} ({estimate['low']:.3f}–{estimate['high']:.3f})"


def tables(data: Path, evaluations: Path) -> str:
    """As Markdown: F1 by songs and sounds, and by class in new songs; hours of each class in the training data."""
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
    lines = [f"| songs | sounds | tracks | {' | '.join(columns)} | constant answers |", "|---|---|---:|" + "---|" * 7]
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
    """As Markdown: by how much the first network is better than the second on new songs, with paired intervals."""
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
        drawn = metrics.bootstrap_weights(scored[0][1])
        counts = [counts for *_, counts in scored]
        cells = []
        for measure in measures:
            of = compare.MEASURES[measure]
            value, *_ = of(counts[0], np.ones_like(drawn[:1])) - of(counts[1], np.ones_like(drawn[:1]))
            low, high = metrics.interval(of(counts[0], drawn) - of(counts[1], drawn))
            cells.append(f"{value:+.3f} ({low:+.3f} to {high:+.3f})")
        lines.append(f"| {sounds} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def name_of(*words: str) -> str:
    """Folder of an evaluation or a data set."""
    return "-".join(words).replace(" ", "_")


@click.command(help=__doc__)
@click.option("--midi", type=click.Path(exists=True, file_okay=False, path_type=Path), required=True)
@click.option("--other-midi", type=click.Path(exists=True, file_okay=False, path_type=Path), required=True)
@click.option("--soundfonts", type=click.Path(exists=True, file_okay=False, path_type=Path), required=True)
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), required=True)
def main(midi: Path, other_midi: Path, soundfonts: Path, out: Path) -> None:
    """See the module's docstring."""
    from tfrecords_builder.synthesis.synthesizers import default_soundfont

    learnt = [soundfonts / name for name in LEARNT]
    varied = [*learnt, *alter(learnt, out / "soundfonts")]
    both = ("--synthesizer", "builtin", "--synthesizer", "fluidsynth")
    data, tree, evaluations = out / "data", out / "tree", out / "evaluations"
    variety = (*both, "--excerpt", EXCERPT, "--stems")
    validated = (*variety, "--validation-soundfont", soundfonts / TUNED, "--augment", "1")
    orchestrated = ("--renditions", RENDITIONS, "--shuffle-programs", "1", "--keep-audio", tree)
    build(midi, out / "data_midi", varied, *validated, *orchestrated)
    composed = [compose(out / "midi" / f"composed{seed}", seed) for seed in (SEED, SEED + 1)]
    learnt_alone = (*variety, "--split", "train")
    build(composed[0], out / "data_composed", varied, *learnt_alone, "--augment", "3")
    # Once more with instruments that play any part, not only those that composers give them.
    shuffled = ("--augment", "2", "--shuffle-programs", "2")
    build(composed[1], out / "data_shuffled", varied, *learnt_alone, *shuffled, seed=SEED + 1)
    join(data, [out / "data_midi", out / "data_composed", out / "data_shuffled"])
    held_out = [default_soundfont()]
    sets = {}
    for songs, folder in songs_for_the_table(midi, other_midi, tree, out / "midi").items():
        for sounds, fonts in zip(SOUNDS, (learnt, held_out), strict=True):
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
