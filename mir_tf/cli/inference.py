"""The commands that predict for recordings: ``predict``, ``listen``, ``app``."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import functools
import gc
import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click
from click.core import ParameterSource

from mir_tf import pretrained
from mir_tf.cli.plain import PlainConsole, result_console
from mir_tf.cli.shared import (
    LOCAL_MODEL_FILE,
    MODEL,
    NEW_FOLDER,
    NEW_LOCAL_FILE,
    RECORDING,
    THREADS_OPTION,
    announce_pretrained,
    comma_separated,
    remembered_interrupt,
    uninterrupted,
)
from mir_tf.config import BUNDLE_FILE
from mir_tf.errors import ConfigError
from mir_tf.io.console import make_console
from mir_tf.io.files import as_path, printable, recording_title
from mir_tf.metrics.text import format_count

if TYPE_CHECKING:
    from rich.console import Console

    from mir_tf.inference.batch import DurationEstimate, PredictionJob
    from mir_tf.inference.model import Model
    from mir_tf.inference.prediction import Prediction

_FEW = 5
"""Up to this many recordings, each is printed with a table and a timeline; above, each is one line."""


def _model_and_recordings(
    context: click.Context, parameter: click.Parameter, arguments: tuple[str, ...]
) -> tuple[Path, tuple[Path, ...]]:
    """Return the model and the recordings. The model is the first argument, or the pretrained one by default."""
    with uninterrupted():
        import mir_tf.io.audio  # noqa: F401  # the functions below import from it

    if "-" in arguments:
        raise ConfigError(
            "-: mir-tf predict reads files. For standard input, use mir-tf listen, which reads wav: "
            "ffmpeg -i song.mp3 -f wav - | mir-tf listen"
        )
    if "" in arguments:
        raise ConfigError("one of the paths is empty, as from a variable of the shell that is not set")
    first = arguments[0]
    if first in pretrained.SUBFOLDERS or _is_model(as_path(first)):
        arguments = arguments[1:]
        if not arguments:
            raise ConfigError(f"no recordings given: name recordings or folders of recordings after the model {first}")
    else:
        _require_recordings(as_path(first))
        first = pretrained.PRETRAINED_WORD
    for argument in arguments:
        if _is_late_model(argument):
            raise ConfigError(f"{argument}: this is a model. Name one model only, before all recordings")
    model = MODEL.convert(first, parameter, context)
    return model, tuple(RECORDING.convert(argument, parameter, context) for argument in arguments)


def _is_model(path: Path) -> bool:
    from mir_tf.io.audio import AUDIO_SUFFIXES

    suffix = path.suffix.lower()
    return suffix == ".tflite" or (suffix not in AUDIO_SUFFIXES and (path / BUNDLE_FILE).is_file())


def _is_late_model(argument: str) -> bool:
    """Return whether an argument that should be a recording is a model. A folder that also has audio is not."""
    from mir_tf.inference.batch import find

    path = as_path(argument)
    if argument in pretrained.SUBFOLDERS:
        return not path.exists()
    try:
        return _is_model(path) and not (path.is_dir() and find([path]).songs)
    except OSError:  # a name that is too long; it is reported with the other recordings
        return False


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
        f"{pretrained.WORDS}) or, to use the pretrained model, a recording or a folder of recordings"
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
@click.option("--all", "show_all", is_flag=True, help="Print every class, even those that are not detected.")
@click.option(
    "--json", "as_json", is_flag=True, help="Print a line of JSON for each recording, and nothing else, to stdout."
)
@click.option(
    "--format",
    "formats",
    multiple=True,
    callback=comma_separated,
    help="Write files for each recording: json, csv, jams, audacity, png, svg; comma-separated or repeated.",
)
@click.option(
    "--out",
    type=NEW_FOLDER,
    help="Folder for these files, with the same subfolders as FOLDER. --out alone writes json.  "
    "[default: beside the recordings]",
)
@click.option(
    "--table",
    type=NEW_LOCAL_FILE,
    help="Write one file for all recordings: songs.csv, songs.json, songs.parquet.",
)
@click.option("--overwrite", is_flag=True, help="Write finished files again, and replace files of yours.")
@THREADS_OPTION
def predict(
    model_and_recordings: tuple[Path, tuple[Path, ...]],
    show_all: bool,
    as_json: bool,
    formats: tuple[str, ...],
    out: Path | None,
    table: Path | None,
    overwrite: bool,
    threads: int | None,
) -> None:
    """Detect the instruments in recordings.

    MODEL is a .tflite file made by mir-tf export, the folder of a run made by mir-tf fit, or a pretrained model:
    pretrained, the default, has 17 classes, pretrained-35 has 35, such as Violin. A .tflite file or a pretrained
    model starts in a second, because it does not need TensorFlow.

    AUDIO is a recording or a video of any length: mp3, m4a, wav, flac, ogg, opus, wma, mp4, mov, webm and more. A
    FOLDER is searched for them with all its subfolders.

    Prints the instruments of each recording, their playing time, the dominant one and a timeline; with more than five
    recordings, one line for each. Writes files only with --format, --out or --table.

    If files are written for several recordings, those already processed by this model and unchanged since are skipped,
    so that you can rerun an interrupted command. Existing files from elsewhere, or that you edited, are kept. A
    recording that cannot be read, or whose files cannot be written, is reported and skipped, and the exit status is 1.

    \b
    Examples:
      mir-tf predict song.mp3
      mir-tf predict song.mp3 --json | jq .dominant
      mir-tf predict runs/crnn song.mp3 --format csv,audacity,png
      mir-tf predict model.float32.tflite music --out predictions --format jams
      mir-tf predict music --table music.parquet
    """
    with uninterrupted():
        import mir_tf.lite  # noqa: F401  # load() would import it later
        from mir_tf.inference.batch import PredictionJob, find
        from mir_tf.loading import digest, load

    if out is not None and table is not None and not formats:
        raise ConfigError("--out needs --format; --table alone writes no file for each recording")
    if as_json and show_all:
        raise ConfigError("--json always prints the same fields, so --all has no effect on it; omit one of them")
    model, recordings = model_and_recordings
    announce_pretrained(model)
    found = find(recordings)
    names = formats or (("json",) if out else ())
    resumes = bool(names or table) and not as_json and len(found.songs) > 1
    style = _Style(as_json, len(found.songs) > _FEW and not show_all, show_all)
    tally = _Tally()
    identity = digest(model) if names or table else ""  # to recognise finished files
    with PredictionJob(found.songs, identity, names, out, table, overwrite, predict_all=not resumes) as job:
        for fault in (*found.faults, *job.kept.values()):
            click.echo(f"Error: {printable(fault)}", err=True)
        try:
            with uninterrupted() if model.is_file() else contextlib.nullcontext():  # a run takes seconds to load
                loaded = load(model, threads)
            _predict_each(loaded, job, style, tally)
            if (count := job.write_table()) and not as_json:
                result_console().print(f"Written: {table} ({format_count(count, 'recording')})", soft_wrap=True)
        except KeyboardInterrupt:
            done = len(job.skipped) + tally.num_predicted
            message = "Interrupted before the recording was finished."
            if len(found.songs) > 1:
                how = _how_to_continue(names, table, as_json, overwrite)
                message = f"Interrupted: {done} of {len(found.songs)} recordings are done{how}."
            raise KeyboardInterrupt(message) from None
        if job.ledger_problem:
            click.echo(
                f"Note: cannot record which files were written: {job.ledger_problem}. The next command will treat them "
                "as files of yours, and keep them unless you give --overwrite.",
                err=True,
            )
    if found.others:
        files = "file that is" if found.others == 1 else "files that are"
        click.echo(f"Skipped {found.others:,} {files} not audio.", err=True)
    if found.hidden:
        files = "file or folder" if found.hidden == 1 else "files and folders"
        click.echo(f"Skipped {found.hidden:,} hidden {files}.", err=True)
    if len(found.songs) > 1 or any(song.path not in recordings for song in found.songs):
        click.echo(_summary(len(found.songs), len(job.skipped), len(job.kept), tally), err=True)
    gc.freeze()  # at its end, Python would search all modules for cycles, a tenth of the time for a short recording
    if tally.num_failed or job.kept or found.faults:
        sys.exit(1)


@dataclasses.dataclass(frozen=True)
class _Style:
    """How answers are printed."""

    as_json: bool
    is_brief: bool
    show_all: bool

    def print_answer(self, console: Console | PlainConsole, name: str, prediction: Prediction) -> None:
        """Print a line of JSON, a line of text if brief, or a table and a timeline."""
        from mir_tf.cli.timeline import print_line, print_prediction

        if self.as_json:
            line = json.dumps(prediction.summary(), ensure_ascii=False)
            if console.is_terminal:
                console.print(line, soft_wrap=True)
            else:
                click.echo(line.encode())  # UTF-8, whatever the encoding of stdout is
        elif self.is_brief:
            print_line(console, name, prediction)
        else:
            print_prediction(console, prediction, self.show_all)

    def print_note(self, console: Console | PlainConsole, note: str) -> None:
        """Print what happened to a file, unless the output is JSON or one line for each recording."""
        if not self.as_json and not self.is_brief:
            console.print(printable(note), soft_wrap=True)


@dataclasses.dataclass
class _Tally:
    """What a command has done so far: recordings, and seconds of audio and of time."""

    num_predicted: int = 0
    num_failed: int = 0
    audio_seconds: float = 0.0
    seconds: float = 0.0


def _summary(recordings: int, skipped: int, kept: int, tally: _Tally) -> str:
    """Return the line with which a command for several recordings ends."""
    audio = f"{_rough(tally.audio_seconds)} of audio in {_rough(tally.seconds)}"
    parts = (
        (tally.num_predicted, f"predicted ({audio})"),
        (skipped, "skipped because already done (--overwrite redoes them)"),
        (kept, "with files of yours, which were kept"),
        (tally.num_failed, "failed"),
    )
    listed = ", ".join(f"{count:,} {what}" for count, what in parts if count)
    return f"{format_count(recordings, 'recording')}: {listed}."


def _rough(seconds: float) -> str:
    """Return a duration in the largest fitting unit, such as 48 min."""
    for unit, length in (("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.{0 if seconds >= 10 * length else 1}f} {unit}"
    return f"{seconds:.{0 if seconds >= 10 else 1}f} s"


def _how_to_continue(formats: Sequence[str], table: Path | None, as_json: bool, overwrite: bool) -> str:
    """Return the end of the sentence about finished recordings after Ctrl-C."""
    if as_json or not (formats or table):
        return " and printed"
    unwritten = "" if table is None else f"; {table} is written when all are"
    again = "without --overwrite" if overwrite else "again"
    return f"{unwritten}. Run the same command {again} to continue"


def _predict_each(model: Model, job: PredictionJob, style: _Style, tally: _Tally) -> None:
    """Predict, print and write the recordings of a job, and count them."""
    from mir_tf.errors import AudioError, InUseError
    from mir_tf.inference.batch import DurationEstimate
    from mir_tf.io.audio import probe

    began = time.monotonic()
    duration = DurationEstimate([planned.song for planned in job.planned])
    with remembered_interrupt() as check, _song_progress(len(job.planned), check) as (console, on_progress):
        for number, planned in enumerate(job.planned):
            song, seconds = planned.song, 0.0
            try:
                duration.begin(song, probe(song.path).seconds)
                prediction = model.predict(song.path, progress=functools.partial(on_progress, number, duration))
                seconds = prediction.seconds
            except (AudioError, OSError) as error:
                check()  # the decoder takes a swallowed Ctrl-C for a read error
                tally.num_failed += 1
                fault = str(error) if isinstance(error, AudioError) else f"{song.path}: {error}"
                click.echo(f"Error: {printable(fault)}", err=True)
                continue
            finally:
                duration.end(song, seconds)
            is_in_folder = len(song.place.parts) > 1  # otherwise the place is the name of its file alone
            name = printable(str(song.place)) if is_in_folder else recording_title(song.path)
            style.print_answer(console, name, prediction)
            try:
                for path in job.write(planned, prediction):
                    style.print_note(console, f"Written: {path}")
            except (InUseError, OSError) as error:
                # No other file could be written either.
                if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EROFS):
                    raise
                tally.num_failed += 1
                fault = f"{song.path}: {error}" if type(error) is OSError else str(error)  # others name their file
                click.echo(f"Error: {printable(fault)}", err=True)
                continue
            for path in planned.finished:
                style.print_note(console, f"Written before: {path} (--overwrite writes it again)")
            tally.num_predicted += 1
            tally.audio_seconds += seconds
            tally.seconds = time.monotonic() - began


@contextlib.contextmanager
def _song_progress(
    songs: int, check: Callable[[], None]
) -> Iterator[tuple[Console | PlainConsole, Callable[[int, DurationEstimate, float], None]]]:
    """Show a bar of seconds of audio on stderr, with the time left.

    Args:
        songs: Number of recordings.
        check: Called whenever the bar moves; may raise.

    Yields:
        The console for results, and a function to call with the number of finished recordings, the estimate of the
        total duration, and the processed seconds of the current recording.
    """
    if not sys.stderr.isatty():
        yield result_console(), lambda done, duration, seconds: check()
        return
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.fields[done]} of {task.fields[songs]} recordings, {task.fields[speed]}"),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    drawn = make_console(stderr=True)
    with Progress(*columns, console=drawn, transient=True, disable=not drawn.is_terminal) as progress:
        task = progress.add_task("", total=None, done=0, songs=songs, speed="")
        began = time.monotonic()

        def on_progress(done: int, duration: DurationEstimate, seconds: float) -> None:
            check()
            processed = duration.processed + seconds
            speed = f"{processed / max(time.monotonic() - began, 1e-3):.0f} × real time"
            progress.update(task, completed=processed, total=duration.total, done=done, speed=speed)

        # If both streams are the terminal, the console that draws the bar must print the results above it.
        yield drawn if sys.stdout.isatty() and drawn.is_terminal else result_console(), on_progress


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

    MODEL is a .tflite file made by mir-tf export, or one of the words pretrained (the default) and pretrained-35.

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

    MODEL is a .tflite file made by mir-tf export, which starts in a second, a run, or one of the words pretrained (the
    default) and pretrained-35.

    Drop a recording on the page to see a lane for each instrument, play the recording, change thresholds, and save the
    result as JSON, CSV, JAMS, Audacity labels or a picture.

    Recordings stay on this machine. An upload is deleted as soon as it has been processed. If the browser cannot play
    it, the app makes a copy, and deletes it when the page is closed. Several people can use the page at once. Stop with
    Ctrl-C.

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
