"""The commands that predict for recordings: ``predict``, ``listen``, ``app``."""

from __future__ import annotations

import contextlib
import errno
import functools
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click
from click.core import ParameterSource

from mir_tf import pretrained
from mir_tf.cli.shared import (
    LOCAL_MODEL_FILE,
    MODEL,
    NEW_FOLDER,
    NEW_LOCAL_FILE,
    RECORDING,
    THREADS_OPTION,
    announce_pretrained,
    comma_separated,
    make_console,
)
from mir_tf.config import BUNDLE_FILE
from mir_tf.errors import ConfigError
from mir_tf.io.files import as_path

if TYPE_CHECKING:
    from rich.console import Console

    from mir_tf.inference.batch import DurationEstimate, PredictionJob
    from mir_tf.inference.model import Model

_FEW = 5
"""Up to this many recordings, each is printed with a table and a timeline; above, each is one line."""


def _model_and_recordings(
    context: click.Context, parameter: click.Parameter, arguments: tuple[str, ...]
) -> tuple[Path, tuple[Path, ...]]:
    """Return the model and the recordings. The model is the first argument, or the pretrained one by default."""
    if "-" in arguments:
        raise ConfigError(
            "-: mir-tf predict reads files. For standard input, use mir-tf listen, which reads wav: "
            "ffmpeg -i song.mp3 -f wav - | mir-tf listen"
        )
    first = arguments[0]
    if first == pretrained.PRETRAINED_WORD or _is_model(as_path(first)):
        arguments = arguments[1:]
        if not arguments:
            raise ConfigError(f"no recordings given: name recordings or folders of recordings after the model {first}")
    else:
        _require_recordings(as_path(first))
        first = pretrained.PRETRAINED_WORD
    model = MODEL.convert(first, parameter, context)
    return model, tuple(RECORDING.convert(argument, parameter, context) for argument in arguments)


def _is_model(path: Path) -> bool:
    from mir_tf.io.audio import AUDIO_SUFFIXES

    suffix = path.suffix.lower()
    return suffix == ".tflite" or (suffix not in AUDIO_SUFFIXES and (path / BUNDLE_FILE).is_file())


def _require_recordings(path: Path) -> None:
    """Refuse a first argument that is neither a model nor a recording: it is probably a misspelled model."""
    from mir_tf.errors import AudioError
    from mir_tf.inference.batch import find
    from mir_tf.io.audio import AUDIO_SUFFIXES, probe

    if path.suffix.lower() in AUDIO_SUFFIXES or path.is_fifo():
        return  # an error in it is reported later, as for the other recordings
    if path.is_dir():
        if find([path]).songs:
            return
        problem = f"this folder contains neither {BUNDLE_FILE} nor audio"
    elif path.exists():
        try:
            probe(path)
            return
        except AudioError as error:
            problem = str(error).removeprefix(f"{path}: ")
    else:
        problem = "no such file or folder"
    raise ConfigError(
        f"{path}: {problem}. The first argument must be a model (a .tflite file, the folder of a run, or the word "
        f"{pretrained.PRETRAINED_WORD}) or, to use the pretrained model, a recording or a folder of recordings"
    )


@click.command()
@click.argument(
    "model_and_recordings",
    nargs=-1,
    required=True,
    callback=_model_and_recordings,
    shell_complete=RECORDING.shell_complete,
    metavar="[MODEL] AUDIO|FOLDER...",
)
@click.option(
    "--format",
    "formats",
    multiple=True,
    callback=comma_separated,
    help="Formats of the files for each recording: json, csv, jams, audacity, png, svg; comma-separated or repeated.  "
    "[default: json, or none with --table]",
)
@click.option(
    "--out",
    type=NEW_FOLDER,
    help="Folder for these files, with the subfolders of each FOLDER.  [default: beside the recordings]",
)
@click.option(
    "--table",
    type=NEW_LOCAL_FILE,
    help="Write one file for all recordings: songs.csv, songs.json, songs.parquet.",
)
@click.option("--overwrite", is_flag=True, help="Process all recordings again and replace existing files.")
@THREADS_OPTION
def predict(
    model_and_recordings: tuple[Path, tuple[Path, ...]],
    formats: tuple[str, ...],
    out: Path | None,
    table: Path | None,
    overwrite: bool,
    threads: int | None,
) -> None:
    """Detect the instruments in recordings.

    MODEL is a .tflite file made by mir-tf export, the folder of a run made by mir-tf fit, or the word pretrained.
    Without it, the pretrained model is used. A .tflite file, such as the pretrained model, starts in a second, because
    it does not need TensorFlow.

    AUDIO is a recording or a video of any length: mp3, m4a, wav, flac, ogg, opus, wma, mp4, mov, webm and more. A
    FOLDER is searched for them with all its subfolders.

    Prints the instruments of each recording, their playing time, the dominant one and a timeline; with more than five
    recordings, one line for each. Writes SONG.mp3.json with the probabilities of every frame, or the formats in
    --format.

    Recordings already processed by this model and unchanged since are skipped. Existing files from elsewhere, or that
    you edited, are kept; only an existing --table file is replaced. A recording that cannot be read, or whose files
    cannot be written, is reported and skipped, and the exit status is 1.

    \b
    Examples:
      mir-tf predict song.mp3
      mir-tf predict runs/crnn song.mp3 --format csv,audacity,png
      mir-tf predict model.float32.tflite music --out predictions --format jams
      mir-tf predict music --table music.parquet
    """
    from mir_tf.inference.batch import PredictionJob, find
    from mir_tf.loading import digest, load

    if out is not None and table is not None and not formats:
        raise ConfigError("--out needs --format; --table alone writes no file for each recording")
    model, recordings = model_and_recordings
    announce_pretrained(model)
    found = find(recordings)
    names = formats or (() if table else ("json",))
    with PredictionJob(found.songs, digest(model), names, out, table, overwrite) as job:
        loaded = load(model, threads)
        for fault in (*found.faults, *job.kept.values()):
            click.echo(f"Error: {fault}", err=True)
        num_failed = _predict_each(loaded, job, is_brief=len(found.songs) > _FEW)
        if count := job.write_table():
            make_console().print(f"Written: {table} ({count} recordings)", soft_wrap=True)
    for count, items in (
        (job.num_done, "recordings already processed by this model (--overwrite processes them again)"),
        (found.others, "files that are not audio"),
        (found.hidden, "hidden files and folders"),
    ):
        if count:
            click.echo(f"Skipped {count} {items}.", err=True)
    for count, outcome in ((num_failed, "failed"), (len(job.kept), "have existing files that were kept")):
        if count:
            click.echo(f"{count} of {len(found.songs)} recordings {outcome}.", err=True)
    if num_failed or job.kept or found.faults:
        sys.exit(1)


def _predict_each(model: Model, job: PredictionJob, is_brief: bool) -> int:
    """Predict, write and print the recordings of a job; return how many of them failed."""
    from mir_tf.cli.timeline import print_line, print_prediction
    from mir_tf.errors import AudioError
    from mir_tf.inference.batch import DurationEstimate
    from mir_tf.io.audio import probe

    failed: set[Path] = set()
    duration = DurationEstimate([planned.song for planned in job.planned])
    with _song_progress(len(job.planned)) as (console, on_progress):
        for number, planned in enumerate(job.planned):
            song, seconds = planned.song, 0.0
            try:
                duration.begin(song, probe(song.path).seconds)
                prediction = model.predict(song.path, progress=functools.partial(on_progress, number, duration))
                seconds = prediction.seconds
                written = job.write(planned, prediction)
            except (AudioError, OSError) as error:
                if isinstance(error, OSError) and error.errno == errno.ENOSPC:  # no other file could be written either
                    raise
                failed.add(song.path)
                click.echo(f"Error: {error if isinstance(error, AudioError) else f'{song.path}: {error}'}", err=True)
                continue
            finally:
                duration.end(song, seconds)
            if is_brief:
                print_line(console, str(song.place), prediction)
            else:
                print_prediction(console, prediction)
                for path in written:
                    console.print(f"Written: {path}", soft_wrap=True)
    return len(failed)


@contextlib.contextmanager
def _song_progress(songs: int) -> Iterator[tuple[Console, Callable[[int, DurationEstimate, float], None]]]:
    """Show a bar of seconds of audio on stderr, with the time left.

    Yields:
        The console for results, and a function to call with the number of finished recordings, the estimate of the
        total duration, and the processed seconds of the current recording.
    """
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.fields[done]} of {task.fields[songs]} recordings, {task.fields[speed]}"),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=make_console(stderr=True), transient=True) as progress:
        task = progress.add_task("", total=None, done=0, songs=songs, speed="")
        began = time.monotonic()

        def on_progress(done: int, duration: DurationEstimate, seconds: float) -> None:
            processed = duration.processed + seconds
            speed = f"{processed / max(time.monotonic() - began, 1e-3):.0f} × real time"
            progress.update(task, completed=processed, total=duration.total, done=done, speed=speed)

        # In a terminal, the console that draws the bar must print the results above it.
        yield progress.console if sys.stdout.isatty() else make_console(), on_progress


@click.command()
@click.argument("model", type=LOCAL_MODEL_FILE, default=pretrained.PRETRAINED_WORD)
@click.option(
    "--format",
    "audio_format",
    type=click.Choice(["wav", "s16le", "f32le"]),
    help="Format of standard input.  [default: wav]",
)
@click.option("--rate", type=int, help="Sample rate of raw audio in Hz.")
@click.option("--channels", type=click.IntRange(min=1), help="Channels of raw audio.  [default: 1]")
@click.option("--microphone", is_flag=True, help="Use the microphone instead of standard input (extra listen).")
@THREADS_OPTION
def listen(
    model: Path,
    audio_format: str | None,
    rate: int | None,
    channels: int | None,
    microphone: bool,
    threads: int | None,
) -> None:
    """Detect instruments live, on standard input or from a microphone.

    MODEL is a .tflite file made by mir-tf export. Without it, the pretrained model is used.

    In a terminal, a meter for each instrument shows its probability now, its threshold, and its playing time so far.
    Otherwise, each frame is printed as a line of JSON as soon as it is final, at most one window later; the delay is
    printed at the start. These frames are the ones that mir-tf predict gives for the same audio. Stop with Ctrl-C.

    \b
    Examples:
      mir-tf listen --microphone
      ffmpeg -i http://radio/stream -f wav - | mir-tf listen
      arecord -f S16_LE -r 44100 -t raw |
        mir-tf listen --format s16le --rate 44100 | jq .active
    """
    from mir_tf.cli.live import lines, predict_live
    from mir_tf.cli.meter import Meter
    from mir_tf.io.capture import Microphone, RawSource
    from mir_tf.lite import LiteModel

    if microphone and (audio_format, rate, channels) != (None, None, None):
        raise ConfigError("--format, --rate and --channels describe standard input; leave them out with --microphone")
    if not microphone and (sys.stdin is None or sys.stdin.isatty()):
        raise ConfigError("no audio on standard input: pipe audio into this command, or use --microphone")
    announce_pretrained(model)
    lite = LiteModel(model, threads or os.cpu_count() or 1)
    source = Microphone() if microphone else RawSource.of_format(sys.stdin.buffer, audio_format, rate, channels)
    stream = lite.stream(source.sr)
    click.echo(f"{source.sr} Hz; a frame is final after at most {stream.latency:.1f} s; Ctrl-C to stop", err=True)
    console, frames = make_console(), predict_live(stream, source)
    if console.is_terminal:
        with Meter(console, lite.metadata, stream) as meter:
            for final in frames:
                meter.add(final)
    else:
        for line in lines(frames, lite.metadata):
            click.echo(line)


@click.command()
@click.argument("model", type=MODEL, default=pretrained.PRETRAINED_WORD)
@click.option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    help="Address to bind to. Any address but the default makes the page reachable from other machines.",
)
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=8000,
    show_default="8000 or, if it is taken, the next free one",
    help="Port to bind to; 0 for a free one.",
)
@click.option(
    "--max-mb", type=click.IntRange(min=1), default=200, show_default=True, help="Maximum size of a file in MB."
)
@click.option(
    "--max-minutes",
    type=click.IntRange(min=1),
    default=60,
    show_default=True,
    help="Maximum length of a recording in minutes.",
)
@click.option("--browser/--no-browser", default=True, show_default=True, help="Open the page in the browser.")
@click.pass_context
def app(
    context: click.Context, model: Path, host: str, port: int, max_mb: int, max_minutes: int, browser: bool
) -> None:
    """Serve a web page that detects instruments in recordings.

    MODEL is a .tflite file made by mir-tf export, which starts in a second, or a run. Without it, the pretrained model
    is used.

    Drop a recording on the page to see a lane for each instrument, play the recording, change thresholds, and save the
    result as JSON, CSV, JAMS, Audacity labels or a picture.

    Recordings stay on this machine: an upload is deleted as soon as it has been processed, and the copy for browsers
    that cannot play the original when its page is closed. Several people can use the page at once. Stop with Ctrl-C.

    \b
    Examples:
      mir-tf app
      mir-tf app model.float32.tflite --host 0.0.0.0 --no-browser   for a class
    """
    from mir_tf.app import server
    from mir_tf.app.recordings import UploadLimits

    announce_pretrained(model)
    listener = server.bind(host, port, context.get_parameter_source("port") is not ParameterSource.DEFAULT)
    if not server.is_local(listener):
        click.echo(
            f"Warning: anyone who can reach {host} can use this page; it has no password and no encryption.", err=True
        )
    server.serve(
        model,
        listener,
        host,
        UploadLimits(max_mb * 1_000_000, max_minutes * 60.0),
        browser,
        lambda address: click.echo(f"{address}   Ctrl-C to stop"),
    )
