"""Compare the networks of the PyTorch project, and the TCN, on the songs of the pretrained model.

    python tools/networks.py --midi MIDI --soundfonts SOUNDFONTS --out OUT

Renders the songs once, builds a data set for each front end, and runs the plan tools/networks.yaml. Each step is
a command that you could type. It is printed, and skipped if an earlier run has finished it, so that you can stop the
script and start it again. MIDI and SOUNDFONTS are those of tools/pretrained.py; the copies of the SoundFonts are made
here too. docs/experiments.md has the results.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import click
from demo import run
from pretrained import SONGS, TRAIN_SOUNDFONTS, VALIDATION_SOUNDFONT, WHOLE, alter, fresh, join, stage

_FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)

PLAN = Path(__file__).with_suffix(".yaml")
PRESETS = ("seed_44k", "seed_22k", "default")
EXCERPT = 40
"""Most seconds of a track."""


def songs_by_split(groups: dict[str, Path], out: Path) -> dict[str, Path]:
    """Copy the songs of the groups of :func:`pretrained.stage` into a folder for each split, and return the folders."""
    folders = {split: fresh(out / split) for split in ("train", "validation", "test")}
    for group, folder in groups.items():
        split = {"played": "train", "scores": "train", "validation": "validation"}.get(group.split("_")[0], "test")
        for song in folder.iterdir():
            shutil.copyfile(song, folders[split] / song.name)
    return folders


@click.command(help=__doc__)
@click.option("--midi", type=_FOLDER, multiple=True, required=True, help="Folder of the songs. May be repeated.")
@click.option("--soundfonts", type=_FOLDER, required=True, help="Folder of the five SoundFonts.")
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), required=True, help="Output folder.")
def main(midi: tuple[Path, ...], soundfonts: Path, out: Path) -> None:
    """Run all steps."""
    from tfrecords_builder.synthesis.synthesizers import default_soundfont

    songs = songs_by_split(stage(SONGS, midi, out / "groups", None), out / "midi")
    train_fonts = [soundfonts / name for name in TRAIN_SOUNDFONTS]
    fonts = {
        "train": [*train_fonts, *alter(train_fonts, out / "soundfonts", WHOLE.copies)],
        "validation": [soundfonts / VALIDATION_SOUNDFONT],
        "test": [default_soundfont()],
    }
    sets: dict[str, dict[str, list[Path]]] = {preset: {} for preset in PRESETS}
    for split, folder in songs.items():
        tree = out / "trees" / split
        for preset in PRESETS:
            data = out / "sets" / f"{preset}-{split}"
            sets[preset][split] = [data]
            source: list[str | Path] = ["--slakh", tree]
            if preset == PRESETS[0]:  # the audio is rendered once, and kept for the other front ends
                chosen = [word for font in fonts[split] for word in ("--soundfont", font)]
                synthesizers = ("--synthesizer", "builtin", "--synthesizer", "fluidsynth")
                source = ["--midi", folder, *chosen, *synthesizers, "--excerpt", str(EXCERPT), "--split", split]
                source += [*(("--humanize", "0") if split == "train" else ()), "--keep-audio", tree]
            run("python", "-m", "tfrecords_builder", *source, "--preset", preset, "--out", data)
    for preset, splits in sets.items():
        join(out / preset, splits)
    data_options = [word for preset in PRESETS for word in ("--data", out / preset)]
    run("mir-tf", "compare", PLAN, *data_options, "--out", out / "compared")


if __name__ == "__main__":
    main()
