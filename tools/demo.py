"""The main job end to end, on composed songs: render, build, train, evaluate on unseen songs, predict, export.

    python tools/demo.py --out demo

Runs the command lines that a user would type, prints each one, and draws one unseen song's timeline beside the truth.
Exits with 1 where micro or macro F1 does not beat the best constant answers by 0.10.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path

import click

SONGS = 120
SEED = 0
MARGIN = 0.10

TRAINING = Path(__file__).with_suffix(".yaml")
"""A narrow network with little regularisation, which learns in minutes."""


def run(*words: str | Path) -> None:
    """Runs a command of this environment, shown as a user would type it; a failure ends the script with its status."""
    shown = shlex.join(str(word) for word in words)
    click.secho(f"\n$ {shown}", bold=True)
    program = {"mir-tf": Path(sys.executable).with_name("mir-tf"), "python": sys.executable}[str(words[0])]
    status = subprocess.run([str(program), *map(str, words[1:])]).returncode
    if status:
        click.echo(f"The command failed with status {status}.", err=True)
        sys.exit(status)


def draw_timeline(run_folder: Path, data: Path, track: str, picture: Path) -> None:
    """Draws what the model hears in ``track`` of the test split, beside what plays."""
    from mir_tf import bundle
    from mir_tf.data import pipeline
    from mir_tf.data.manifest import read_manifest
    from mir_tf.figures import style, timelines
    from mir_tf.figures.colors import color_of

    model = bundle.load(run_folder)
    tracks = pipeline.tracks(data, read_manifest(data), "test", model.vocabulary)
    song = next(candidate for candidate in tracks if candidate.id == track)
    probabilities = model.windowed.predict_track(song.log_mel)
    figure = timelines.timeline_figure(
        probabilities,
        probabilities >= model.thresholds,
        song.truth,
        model.classes,
        [color_of(model.vocabulary.name, index) for index in range(len(model.classes))],
        title=f"{track}, a song that was not trained on",
    )
    style.save_png(figure, picture)


@click.command(help=__doc__)
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("demo"),
    show_default=True,
    help="Folder; replaced.",
)
def main(out: Path) -> None:
    """See the module's docstring."""
    began = time.monotonic()
    marker = out / ".mir-tf-demo"
    if out.exists() and any(out.iterdir()) and not marker.exists():
        raise click.UsageError(f"{out} is not empty and not from this demo; name another folder")
    out.mkdir(parents=True, exist_ok=True)
    for old in out.iterdir():  # not the folder itself, which may be the current one, or a mount
        shutil.rmtree(old) if old.is_dir() and not old.is_symlink() else old.unlink()
    marker.touch()
    audio, data, trained = out / "audio", out / "data", out / "run"
    run(
        "python",
        "-m",
        "tfrecords_builder",
        "--demo",
        str(SONGS),
        "--seed",
        str(SEED),
        "--keep-audio",
        audio,
        "--out",
        data,
    )
    run("mir-tf", "inspect", data, "--report")
    run("mir-tf", "fit", "--data", data, "--model", "crnn", "--seed", str(SEED), "--config", TRAINING, "--out", trained)
    run("mir-tf", "evaluate", trained, "--data", data, "--out", out / "evaluation")
    run("mir-tf", "report", trained, "--data", data, "--out", out / "report")
    track = min(folder.name for folder in (audio / "test").iterdir())
    song, exported = audio / "test" / track / "mix.flac", out / "exported"
    run("mir-tf", "predict", trained, song, "--out", out)
    run("mir-tf", "export", trained, "--out", exported, "--formats", "tflite", "--quantize", "none", "--audio", song)
    run("mir-tf", "predict", exported / "model.float32.tflite", song, "--out", exported)  # without TensorFlow
    timeline = out / "timeline.png"
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"  # as mir-tf does: TensorFlow's start-up chatter tells a user nothing
    draw_timeline(trained, data, track, timeline)

    evaluation = json.loads((out / "evaluation" / "evaluation.json").read_text(encoding="utf-8"))
    click.echo("\nF1 on songs that were not trained on, and of the best constant answers:")
    beaten = True
    for average in ("micro", "macro"):
        value, constant = (
            evaluation["overall_metrics"][f"{average}_f1"]["value"],
            evaluation["baseline"][f"{average}_f1"],
        )
        beaten = beaten and value >= constant + MARGIN
        click.echo(f"  {average} F1 {value:.3f}, constant {constant:.3f}, gain {value - constant:+.3f}")
    click.echo(f"Song {track}, heard beside what plays: {timeline}")
    click.echo(f"Tables and pictures: {out / 'evaluation'}; data: {data / 'inspection.png'}")
    click.echo(f"Pages to read: {out / 'report' / 'report.html'} (model), {data / 'report' / 'report.html'} (data)")
    click.echo(f"Model: {trained}; one file that needs no TensorFlow: {exported / 'model.float32.tflite'}")
    click.echo(f"Took {(time.monotonic() - began) / 60:.1f} minutes.")
    if not beaten:
        click.echo(f"The gain is below {MARGIN}: something is wrong with this installation.", err=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
