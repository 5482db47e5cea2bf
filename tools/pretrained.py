"""How the model in this package was made: MIDI to records, a network trained on them, tables of what it hears.

    python tools/pretrained.py --midi MIDI --other-midi OTHER --soundfonts FOLDER --out OUT

Every step is a command that a user could type; it is shown, and skipped where an earlier run has finished it: stopped
and started again, the work goes on. FOLDER holds FluidR3_GM.sf2 and sf_GMbank.sf2, which are learnt from, and
MuseScore_General_Full.sf2, on which thresholds are tuned. TimGM6mb, which pretty_midi brings along, and symusic are
heard by nobody before the test. FluidSynth and symusic must be installed.
"""

from __future__ import annotations

import json
import random
import shutil
from pathlib import Path
from typing import Any

import click
from demo import run

PARTS_FOLDER = Path(__file__).with_suffix("")
LEARNT = ("FluidR3_GM.sf2", "sf_GMbank.sf2")
TUNED = "MuseScore_General_Full.sf2"
PARTS = ("part1", "part2", "part3")
"""Of the training; each begins with the best weights of the one before."""

SEED = 0
SEEN_SONGS = 24
"""Songs of the train split that are rendered anew for the table."""

EXCERPT = "80"
SOUNDS = ("seen sounds", "new SoundFont", "new SoundFont and synthesiser")
"""The learnt SoundFonts, and TimGM6mb, both by builtin and FluidSynth; TimGM6mb by symusic."""

SONGS = ("seen songs", "new songs")
"""Some that are trained on, rendered anew; Freedoom's test songs and all other songs."""


def build(midi: Path, out: Path, soundfonts: list[Path], *options: str | Path) -> None:
    """Renders and builds a data set; one that is finished says so."""
    fonts = [word for path in soundfonts for word in ("--soundfont", path)]
    run("python", "-m", "tfrecords_builder", "--midi", midi, *fonts, *options, "--seed", str(SEED), "--out", out)


def songs_for_the_table(midi: Path, other: Path, tree: Path, out: Path) -> dict[str, Path]:
    """Folders of the MIDI files that are trained on and that are not, by name."""
    songs = json.loads((tree / "songs.json").read_text(encoding="utf-8"))
    sources = {
        split: sorted({e["source"] for e in songs.values() if e["split"] == split}) for split in ("train", "test")
    }
    chosen = {
        "seen songs": [midi / name for name in random.Random(SEED).sample(sources["train"], SEEN_SONGS)],
        "new songs": [midi / name for name in sources["test"]] + sorted(other.rglob("*.mid")),
    }
    folders = {}
    for name, files in chosen.items():
        folders[name] = out / name.replace(" ", "_")
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
    results: dict[tuple[str, str], dict[str, Any]] = {
        (songs, sounds): json.loads((evaluations / name_of(songs, sounds) / "evaluation.json").read_text("utf-8"))
        for songs in SONGS
        for sounds in SOUNDS
    }
    lines = [
        "| songs | sounds | tracks | micro F1 | macro F1 | dominant | constant answers |",
        "|---|---|---:|---|---|---|---|",
    ]
    for (songs, sounds), result in results.items():
        cells = [percent(result["headlines"][name]) for name in ("micro_f1", "macro_f1", "dominant_accuracy")]
        constant = f"{result['baseline']['micro_f1']:.3f}, {result['baseline']['macro_f1']:.3f}"
        lines.append(f"| {songs} | {sounds} | {result['tracks']} | {' | '.join(cells)} | {constant} |")
    lines += ["", f"| class, new songs | tracks | {' | '.join(SOUNDS)} |", "|---|---:|---|---|---|"]
    for rows in zip(*(results["new songs", sounds]["classes"] for sounds in SOUNDS), strict=True):
        lines.append(f"| {rows[0]['name']} | {rows[0]['tracks']} | {' | '.join(percent(row['f1']) for row in rows)} |")
    train = json.loads((data / "manifest.json").read_text(encoding="utf-8"))["splits"]["train"]
    hours = ", ".join(f"{name} {frames / 36000:.1f}" for name, frames in train["activity"]["family"].items())
    size = f"{train['tracks']} tracks of {train['songs']} songs, {train['seconds'] / 3600:.1f} h with their stems"
    lines += ["", f"Training data: {size}; hours of each class: {hours}."]
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
    from tfrecords_builder.render import default_soundfont

    learnt = [soundfonts / name for name in LEARNT]
    both = ("--synthesizer", "builtin", "--synthesizer", "fluidsynth")
    data, tree, evaluations = out / "data", out / "tree", out / "evaluations"
    variety = ("--renditions", "4", "--shuffle-programs", "1", "--vary", "1", "--excerpt", EXCERPT, "--stems")
    build(midi, data, learnt, "--validation-soundfont", soundfonts / TUNED, *both, *variety, "--keep-audio", tree)
    held_out = [default_soundfont()]
    played = ((learnt, both), (held_out, both), (held_out, ("--synthesizer", "symusic")))
    sets = {}
    for songs, folder in songs_for_the_table(midi, other_midi, tree, out / "midi").items():
        for sounds, (fonts, synthesizers) in zip(SOUNDS, played, strict=True):
            sets[songs, sounds] = out / "sets" / name_of(songs, sounds)
            build(folder, sets[songs, sounds], fonts, *synthesizers, "--excerpt", EXCERPT, "--split", "test")
    begins: tuple[str | Path, ...] = ()
    for part in PARTS:
        model = out / part
        run("mir-tf", "fit", "--data", data, "--config", PARTS_FOLDER / f"{part}.yaml", *begins, "--out", model)
        begins = ("--init", model)
    for (songs, sounds), folder in sets.items():
        place = evaluations / name_of(songs, sounds)
        if not (place / "evaluation.json").exists():
            run("mir-tf", "evaluate", model, "--data", folder, "--out", place)
    final = out / "pretrained"
    shutil.copytree(
        model, final, ignore=lambda folder, names: set(names) - {"model.keras", "bundle.json"}, dirs_exist_ok=True
    )
    new = sets["new songs", "new SoundFont"]
    run("mir-tf", "report", model, "--data", new, "--out", out / "report")
    exported = out / "exported"
    if not (exported / "report.json").exists():
        formats = ("--formats", "tflite", "--quantize", "none,float16,int8")
        run("mir-tf", "export", final, "--out", exported, *formats, "--data", data, "--license", "Apache-2.0")
    text = tables(data, evaluations)
    (out / "tables.md").write_text(text, encoding="utf-8")
    click.echo(text)
    click.echo(
        f"For mir_tf/pretrained: {final}/model.keras, {final}/bundle.json, {exported}/model.int8.tflite as model.tflite"
    )


if __name__ == "__main__":
    main()
