"""Run everything once on composed songs: render, build, train, evaluate on unseen songs, predict and export.

    python tools/demo.py --out demo

Prints and runs the commands that a user would type, and draws the timeline of an unseen song with its ground truth. The
exit status is 1 if micro or macro F1 is less than 0.10 above the constant baseline.
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
    """Print and run a command of this environment; if it fails, exit with its status."""
    shown = shlex.join(str(word) for word in words)
    click.secho(f"\n$ {shown}", bold=True)
    program = {"mir-tf": Path(sys.executable).with_name("mir-tf"), "python": sys.executable}[str(words[0])]
    status = subprocess.run([str(program), *map(str, words[1:])]).returncode
    if status:
        click.echo(f"The command failed with status {status}.", err=True)
        sys.exit(status)


def draw_timeline(run_folder: Path, data: Path, track: str, picture: Path) -> None:
    """Draw the prediction for ``track`` of the test split with its ground truth."""
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
        title=f"{track}, not used in training",
    )
    style.save_png(figure, picture)


@click.command(help=__doc__)
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("demo"),
    show_default=True,
    help="Output folder; its contents are replaced.",
)
def main(out: Path) -> None:
    """Run the commands and print a summary."""
    began = time.monotonic()
    marker = out / ".mir-tf-demo"
    if out.exists() and any(out.iterdir()) and not marker.exists():
        raise click.UsageError(f"{out} is not empty and was not made by this demo; choose another folder")
    out.mkdir(parents=True, exist_ok=True)
    for old in out.iterdir():  # not the folder itself: it may be the current folder or a mount point
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
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"  # as in mir-tf: TensorFlow's start-up messages do not help a user
    draw_timeline(trained, data, track, timeline)

    evaluation = json.loads((out / "evaluation" / "evaluation.json").read_text(encoding="utf-8"))
    click.echo("\nF1 on songs not used in training, and of the constant baseline:")
    beaten = True
    for average in ("micro", "macro"):
        value, constant = (
            evaluation["overall_metrics"][f"{average}_f1"]["value"],
            evaluation["baseline"][f"{average}_f1"],
        )
        beaten = beaten and value >= constant + MARGIN
        click.echo(f"  {average} F1 {value:.3f}, baseline {constant:.3f}, gain {value - constant:+.3f}")
    click.echo(f"Prediction and ground truth of {track}: {timeline}")
    click.echo(f"Tables and figures: {out / 'evaluation'}; data: {data / 'inspection.png'}")
    click.echo(f"Reports: {out / 'report' / 'report.html'} (model), {data / 'report' / 'report.html'} (data)")
    click.echo(f"Model: {trained}; as a file that works without TensorFlow: {exported / 'model.float32.tflite'}")
    click.echo(f"Took {(time.monotonic() - began) / 60:.1f} minutes.")
    if not beaten:
        click.echo(f"The gain is below {MARGIN}: this installation does not work correctly.", err=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
