"""The verbs that hear recordings: ``predict``, ``listen``, ``app``."""

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

from mir_tf import pretrained
from mir_tf.cli.shared import (
    LOCAL_MODEL_FILE,
    MODEL,
    NEW_FOLDER,
    NEW_LOCAL_FILE,
    RECORDING,
    THREADS,
    comma_separated,
    make_console,
    print_table,
    say_model,
)
from mir_tf.config import BUNDLE_FILE
from mir_tf.errors import ConfigError
from mir_tf.io.files import as_path

if TYPE_CHECKING:
    from rich.console import Console

    from mir_tf.inference.batch import DurationEstimate
    from mir_tf.inference.prediction import Prediction


def _model_and_recordings(
    context: click.Context, parameter: click.Parameter, words: tuple[str, ...]
) -> tuple[Path, tuple[Path, ...]]:
    """The model, which is the first word where that names one and else this package's; the recordings and folders."""
    first = words[0]
    if first == pretrained.WORD or _is_model(as_path(first)):
        words = words[1:]
        if not words:
            raise ConfigError(f"nothing to hear: name recordings, or folders of them, after the model {first}")
    else:
        _require_recordings(as_path(first))
        first = pretrained.WORD
    model = MODEL.convert(first, parameter, context)
    return model, tuple(RECORDING.convert(word, parameter, context) for word in words)


def _is_model(path: Path) -> bool:
    from mir_tf.io.audio import SUFFIXES

    suffix = path.suffix.lower()
    return suffix == ".tflite" or (suffix not in SUFFIXES and (path / BUNDLE_FILE).is_file())


def _require_recordings(path: Path) -> None:
    """Refuses a first argument that is no model and no recording: whatever was meant, the rest is not to be heard."""
    from mir_tf.errors import AudioError
    from mir_tf.inference.batch import find
    from mir_tf.io.audio import OTHER_SUFFIXES, SUFFIXES, probe

    if path.suffix.lower() in SUFFIXES | OTHER_SUFFIXES:
        return  # if something is wrong with it, that is said where recordings are named
    if path.is_dir():
        if find([path]).songs:
            return
        what = f"a folder without {BUNDLE_FILE} and without audio"
    elif path.exists():
        try:
            probe(path)
            return
        except AudioError:
            what = "no audio that libsndfile reads"
    else:
        what = "it is not there"
    raise ConfigError(
        f"{path}: {what}. The first argument must be a model (a .tflite file, the folder of a run, or the word "
        f"{pretrained.WORD}), or else, to be heard by the model of mir-tf, a recording or a folder of recordings"
    )


_FEW = 5
"""Recordings up to which each is shown by a table and a timeline; of more, each is a line."""


@click.command()
@click.argument("words", nargs=-1, required=True, callback=_model_and_recordings, metavar="[MODEL] AUDIO|FOLDER...")
@click.option(
    "--format",
    "formats",
    multiple=True,
    callback=comma_separated,
    help="Of json, csv, jams, audacity, png, svg: a file of each for every recording; comma-separated or repeated.  "
    "[default: json; with --into none]",
)
@click.option(
    "--out",
    type=NEW_FOLDER,
    help="Folder for these files, in the tree of each FOLDER.  [default: beside the recording]",
)
@click.option("--into", type=NEW_LOCAL_FILE, help="One file of all recordings: songs.csv, songs.json, songs.parquet.")
@click.option("--again", is_flag=True, help="Hear what is done as well, and replace files of other origin.")
@THREADS
def predict(
    words: tuple[Path, tuple[Path, ...]],
    formats: tuple[str, ...],
    out: Path | None,
    into: Path | None,
    again: bool,
    threads: int | None,
) -> None:
    """Name the instruments in recordings, with the model that comes with mir-tf, or with MODEL.

    MODEL is the first argument where that is a .tflite file of mir-tf export, the folder of a run of mir-tf fit, or the
    word pretrained. A .tflite file, as the model of mir-tf is, needs no TensorFlow and starts in a second.

    AUDIO is any file that libsndfile reads (wav, flac, mp3, ogg and more), of any length; in a FOLDER and below, all
    of them are heard. Instruments, their playing time and the dominant one are printed, with a timeline; of more than
    five recordings, a line for each. SONG.mp3.json is written with the probability of every frame, or other --format.

    What was written by this model, of a recording that has not changed since, is not done again. Files that are there
    already, of your own or edited, are kept. A recording that cannot be read, or whose answer cannot be written, is
    named, the rest goes on, and the exit status is 1.

    \b
    Examples:
      mir-tf predict song.mp3
      mir-tf predict runs/crnn song.mp3 --format csv,audacity,png
      mir-tf predict model.float32.tflite music --out answers --format jams
      mir-tf predict music --into music.parquet
    """
    from mir_tf.errors import AudioError
    from mir_tf.inference.batch import DurationEstimate, PredictionJob, find
    from mir_tf.io.audio import probe
    from mir_tf.loading import digest, load

    if out is not None and into is not None and not formats:
        raise ConfigError("--out is for a file each, which --format names; with --into alone there are none")
    model, audio = words
    say_model(model)
    found = find(audio)
    names = formats or (() if into else ("json",))
    with PredictionJob(found.songs, digest(model), names, out, into, again) as batch:
        predict_live = load(model, threads).predict
        failed: set[Path] = set()
        for fault in (*found.faults, *batch.kept.values()):
            click.echo(f"Error: {fault}", err=True)
        length = DurationEstimate([job.song for job in batch.planned])
        with _song_progress(len(batch.planned)) as (console, on_progress):
            for number, job in enumerate(batch.planned):
                seconds, fault = 0.0, ""
                try:
                    length.begin(job.song, probe(job.song.path).seconds)
                    result = predict_live(job.song.path, progress=functools.partial(on_progress, number, length))
                    seconds = result.seconds
                    written = batch.write(job, result)
                except AudioError as error:
                    fault = str(error)
                except OSError as error:
                    if error.errno == errno.ENOSPC:  # nor could any other answer be written
                        raise
                    fault = f"{job.song.path}: {error}"
                finally:
                    length.end(job.song, seconds)
                if fault:
                    failed.add(job.song.path)
                    click.echo(f"Error: {fault}", err=True)
                    continue
                if len(found.songs) <= _FEW:
                    _print_prediction(console, result)
                    for path in written:
                        console.print(f"Written: {path}", soft_wrap=True)
                else:
                    _print_line(console, str(job.song.place), result)
        if count := batch.write_table():
            make_console().print(f"Written: {into}, of {count} recordings", soft_wrap=True)
    skipped = {
        "recordings that this model has heard before (--again hears them too)": batch.num_done,
        "files that are no audio": found.others,
        "hidden files and folders": found.hidden,
    }
    for what, count in skipped.items():
        if count:
            click.echo(f"Left out: {count} {what}.", err=True)
    for what, count in (("failed", len(failed)), ("have files that were kept", len(batch.kept))):
        if count:
            click.echo(f"{count} of {len(found.songs)} recordings {what}.", err=True)
    if failed or batch.kept or found.faults:
        sys.exit(1)


@click.command()
@click.argument("model", type=LOCAL_MODEL_FILE, default=pretrained.WORD)
@click.option(
    "--format", "audio_format", type=click.Choice(["wav", "s16le", "f32le"]), help="Of standard input.  [default: wav]"
)
@click.option("--rate", type=int, help="Sample rate of raw audio in Hz.")
@click.option("--channels", type=click.IntRange(min=1), help="Channels of raw audio.  [default: 1]")
@click.option("--microphone", is_flag=True, help="Hear the microphone instead (extra listen).")
@THREADS
def listen(
    model: Path,
    audio_format: str | None,
    rate: int | None,
    channels: int | None,
    microphone: bool,
    threads: int | None,
) -> None:
    """Hear audio as it comes, on standard input or from a microphone.

    MODEL is a .tflite file of mir-tf export; without one, the model that comes with mir-tf hears.

    In a terminal a meter for each instrument shows what is heard now, with a mark at its threshold, and how long it has
    played. Elsewhere each frame is printed as a line of JSON as soon as it is final, up to the length of a window later
    (stated at the start): these are the frames that mir-tf predict gives of the same audio. The end of the audio, or
    Ctrl-C, ends it.

    \b
    Examples:
      mir-tf listen --microphone
      ffmpeg -i http://radio/stream -f wav - | mir-tf listen model.float32.tflite
      arecord -f S16_LE -r 44100 -t raw | mir-tf listen model.float32.tflite --format s16le --rate 44100 | jq .active
    """
    from mir_tf.cli.live import lines, predict_live
    from mir_tf.cli.meter import Meter
    from mir_tf.io.capture import Microphone, RawSource
    from mir_tf.lite import LiteModel

    if microphone and (audio_format, rate, channels) != (None, None, None):
        raise ConfigError("--format, --rate and --channels are of standard input: leave them or --microphone out")
    if not microphone and (sys.stdin is None or sys.stdin.isatty()):
        raise ConfigError("nothing is piped into standard input: pipe audio into it, or give --microphone")
    say_model(model)
    lite = LiteModel(model, threads or os.cpu_count() or 1)
    source: Microphone | RawSource
    if microphone:
        source = Microphone()
    else:
        source = RawSource.of_format(sys.stdin.buffer, audio_format, rate, channels)
    stream = lite.stream(source.sr)
    click.echo(f"{source.sr} Hz; a frame is final after {stream.latency:.1f} s at most; Ctrl-C ends it", err=True)
    console, frames = make_console(), predict_live(stream, source)
    if console.is_terminal:
        with Meter(console, lite.metadata, stream) as meter:
            for final in frames:
                meter.add(final)
    else:
        for line in lines(frames, lite.metadata):
            click.echo(line)


@click.command()
@click.argument("model", type=MODEL, default=pretrained.WORD)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen at; others than this reach it.")
@click.option(
    "--port", type=click.IntRange(0, 65535), default=8000, show_default=True, help="Port to listen at; 0: a free one."
)
@click.option(
    "--max-mb",
    type=click.IntRange(min=1),
    default=200,
    show_default=True,
    help="Size of the largest file taken, in MB.",
)
@click.option(
    "--max-minutes", type=click.IntRange(min=1), default=60, show_default=True, help="Length of the longest recording."
)
@click.option(
    "--browser/--no-browser", default=True, show_default=True, help="Open the page in this machine's browser."
)
def app(model: Path, host: str, port: int, max_mb: int, max_minutes: int, browser: bool) -> None:
    """Serve a page on which people drop recordings and see which instruments play when, heard by MODEL.

    MODEL is a .tflite file of mir-tf export, which starts in a second, or a run; without one, it is the model that
    comes with mir-tf. The page plays the recording above a lane for each instrument, has a slider for each threshold,
    and saves what it shows as JSON, CSV, JAMS, labels for Audacity or a picture. Nothing leaves this machine. An upload
    is removed from its disk as soon as it has been heard, a copy made for a browser that cannot play it with its page.
    Several people may use it at once. Ctrl-C ends it.

    \b
    Examples:
      mir-tf app
      mir-tf app exported/model.float32.tflite --host 0.0.0.0 --no-browser   for a class in one network
    """
    from mir_tf.app import server
    from mir_tf.app.recordings import Limits

    say_model(model)
    listener = server.bind(host, port)
    if not server.is_local(listener):
        click.echo(
            f"Warning: whoever reaches {host} can use this page; it has no passwords and no encryption.", err=True
        )
    server.serve(
        model,
        listener,
        host,
        Limits(max_mb * 1_000_000, max_minutes * 60.0),
        browser,
        lambda address: click.echo(f"{address}   Ctrl-C ends it"),
    )


@contextlib.contextmanager
def _song_progress(songs: int) -> Iterator[tuple[Console, Callable[[int, DurationEstimate, float], None]]]:
    """A bar of seconds of audio on stderr, with the time left.

    Yields:
        the console for results; what to call with the songs done, the length of all, and the seconds heard of this one.
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

        def on_progress(done: int, length: DurationEstimate, seconds: float) -> None:
            heard = length.processed + seconds
            speed = f"{heard / max(time.monotonic() - began, 1e-3):.0f} times as fast as they play"
            progress.update(task, completed=heard, total=length.total, done=done, speed=speed)

        # In a terminal, the one who draws the bar must print the rest, above it.
        yield progress.console if sys.stdout.isatty() else make_console(), on_progress


def _print_prediction(console: Console, prediction: Prediction) -> None:
    from mir_tf.cli.timeline import timeline
    from mir_tf.inference.prediction import format_duration

    rows = [["instrument", "playing time", "share"]]
    seconds, share = prediction.playing_time, prediction.share
    for index in prediction.detected:
        rows.append([prediction.classes[index], format_duration(seconds[index]), f"{100 * share[index]:.1f} %"])
    title = f"{Path(prediction.path).name}, {format_duration(prediction.seconds)}: "
    if prediction.dominant is None:
        console.print(title + "no instrument heard", soft_wrap=True)
        return
    print_table(console, title + f"dominant {prediction.dominant}", rows)
    for line in timeline(prediction, console.width, ascii_only=console.options.ascii_only):
        console.print(line)


def _print_line(console: Console, name: str, prediction: Prediction) -> None:
    """Prints a recording in one line: the instruments by their share of it, the dominant one first."""
    from mir_tf.inference.prediction import format_duration

    share = prediction.share
    heard = ", ".join(f"{prediction.classes[index]} {100 * share[index]:.0f} %" for index in prediction.detected)
    console.print(f"{name}, {format_duration(prediction.seconds)}: {heard or 'no instrument heard'}", soft_wrap=True)
