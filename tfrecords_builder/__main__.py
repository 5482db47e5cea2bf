"""The command line of the builder. Only click and the configuration load here, not TensorFlow."""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import click
import yaml
from click.core import ParameterSource

from mir_tf.config import FRONT_ENDS, LABEL_POLICIES, SPLITS, FrontEndConfig
from mir_tf.errors import ConfigError, DataError
from mir_tf.io.click_errors import report_errors
from mir_tf.io.click_path import PathParameter
from mir_tf.io.files import display_path, is_remote, is_utf8, workspace
from mir_tf.vocabulary import PROGRAM_NAMES, VOCABULARIES
from tfrecords_builder.slakh.splits import SCHEMES
from tfrecords_builder.synthesis.settings import SYNTHESIZERS, RenderConfig

if TYPE_CHECKING:
    from mir_tf.data.manifest import Manifest
    from tfrecords_builder.build import BuildReport, TrackSource
    from tfrecords_builder.estimate import BuildEstimate
    from tfrecords_builder.processes import TrackProgress
    from tfrecords_builder.records.make import RecordConfig
    from tfrecords_builder.slakh.tree import Skipped, Track

_FOLDER = PathParameter(exists=True, file_okay=False)
_EITHER = PathParameter(exists=True)
_NEW = PathParameter()
# MIDI, SoundFonts and what is rendered of them are opened by their names.
_LOCAL_FOLDER = PathParameter(local=True, exists=True, file_okay=False)
_LOCAL_FILE = PathParameter(local=True, exists=True, dir_okay=False)
_LOCAL_NEW = PathParameter(local=True)

_FIELDS = "\n".join(f"  {field.name} = {field.default!r}" for field in dataclasses.fields(FrontEndConfig))


@click.command(
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    epilog=f"\b\nFields for --set, as the default preset has them (mir_tf/config.py explains them):\n{_FIELDS}",
)
@click.option(
    "--slakh",
    type=_EITHER,
    metavar="TREE",
    help="Build from Slakh2100, redux, original or baby: a folder, or a .tar or .tar.gz, which is read as a stream "
    "and never unpacked whole.",
)
@click.option(
    "--split-scheme",
    type=click.Choice(SCHEMES),
    default="folder",
    show_default=True,
    help="With --slakh: split by the folders that tracks lie in (80/10/10 by song where there are none), or by one of "
    "the published lists of track numbers. split2 and redux have no MIDI file in two splits.",
)
@click.option(
    "--drop-leaks", is_flag=True, help="With --slakh: leave tracks out of train whose song is in validation or test."
)
@click.option(
    "--midi", type=_LOCAL_FOLDER, metavar="DIR", help="Render a folder of multi-track MIDI, and build from that."
)
@click.option(
    "--demo", type=click.IntRange(min=1), metavar="N", help="Compose and render N songs, and build from that."
)
@click.option(
    "--soundfont",
    "soundfonts",
    type=_LOCAL_FILE,
    multiple=True,
    metavar="SF2",
    help="With --midi: an .sf2 file to render with. May be repeated: several are dealt out by song.",
)
@click.option(
    "--shuffle-programs",
    type=click.IntRange(min=0),
    metavar="SEED",
    help="With --midi or --demo: give each song random instruments, so that rare ones get data.",
)
@click.option(
    "--renditions",
    type=click.IntRange(1, 100),
    default=1,
    show_default=True,
    metavar="N",
    help="With --midi or --demo: tracks made of each song, each with the next SoundFont and synthesiser. With "
    "--shuffle-programs half of them, the first among them, keep the song's own instruments.",
)
@click.option(
    "--augment",
    type=click.IntRange(min=0),
    metavar="SEED",
    help="With --midi or --demo: let recordings differ as real ones do, in key, tuning, balance, equalisation, width, "
    "room, compression, noise, level and codec; guitars through amplifiers; a voice, without a label, in half of them.",
)
@click.option(
    "--excerpt",
    type=click.FloatRange(min=1),
    metavar="SECONDS",
    help="With --midi or --demo: render of each song at most so many seconds, from a random place on.",
)
@click.option(
    "--synthesizer",
    "synthesizers",
    type=click.Choice(SYNTHESIZERS),
    multiple=True,
    help="With --midi or --demo: builtin; or fluidsynth, a program that the system must have. "
    "May be repeated: they are dealt out.  [default: builtin]",
)
@click.option(
    "--validation-soundfont",
    "validation_soundfonts",
    type=_LOCAL_FILE,
    multiple=True,
    metavar="SF2",
    help="With --midi: render validation songs with this instead, so that thresholds are tuned on sounds that were not "
    "trained on. May be repeated.",
)
@click.option(
    "--split",
    type=click.Choice(SPLITS),
    help="With --midi or --demo: put all songs into this split, to test on another collection for instance.  "
    "[default: 80/10/10 by song]",
)
@click.option(
    "--keep-audio",
    type=_LOCAL_NEW,
    metavar="TREE",
    help="With --midi or --demo: render into this folder and keep it.",
)
@click.option(
    "--out",
    type=_NEW,
    metavar="DATA",
    help="Folder of the data set: new, empty, or with an interrupted build of the same arguments, which goes on.",
)
@click.option(
    "--preset",
    type=click.Choice(list(FRONT_ENDS)),
    default="default",
    show_default=True,
    help="Front end. The seed presets are the PyTorch project's: the middle 100 s of each track.",
)
@click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="FIELD=VALUE",
    help="Change a field of the front end. May be repeated; the fields are listed below.",
)
@click.option(
    "--labels",
    type=click.Choice(LABEL_POLICIES),
    default="midi",
    show_default=True,
    help="midi: an instrument is active from note-on to note-off. audible: where its stem is heard, up to 2 s after "
    "the note-off; reads the audio of every stem, which takes some seven times as long.",
)
@click.option(
    "--stems",
    "with_stems",
    is_flag=True,
    help="Let every stem of a train track be an item of its own. Like --labels audible, this stores both kinds of "
    "labels, and reports stems whose sound does not fit their MIDI.",
)
@click.option(
    "--seed",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    metavar="SEED",
    help="Of the split by song, the composed songs and the dealing of SoundFonts.",
)
@click.option(
    "--workers",
    type=click.IntRange(min=1),
    default=os.cpu_count() or 1,
    show_default="one a core",
    metavar="N",
    help="Processes, of at most 1 GB of memory each. With --runner beam those that render.",
)
@click.option(
    "--runner",
    type=click.Choice(["local", "beam"]),
    default="local",
    show_default=True,
    help="local: the processes of this machine. beam: an Apache Beam pipeline, on this machine or a cluster, as "
    "BEAM_OPTIONS say; the records are the same. Not for archives.",
)
@click.option(
    "--dry-run", is_flag=True, help="Say what would be built, how large and how long, by building a few tracks."
)
@click.option(
    "--verify", type=_FOLDER, metavar="DATA", help="Build nothing: read a data set whole, and name damaged files."
)
@click.option("--skip-bad", is_flag=True, help="Exit with 0 even if damaged tracks were left out.")
@click.argument("beam_options", nargs=-1, type=click.UNPROCESSED, metavar="[-- BEAM_OPTIONS]")
def main(
    slakh: Path | None,
    split_scheme: str,
    drop_leaks: bool,
    midi: Path | None,
    demo: int | None,
    soundfonts: tuple[Path, ...],
    shuffle_programs: int | None,
    renditions: int,
    augment: int | None,
    excerpt: float | None,
    synthesizers: tuple[str, ...],
    validation_soundfonts: tuple[Path, ...],
    split: str | None,
    keep_audio: Path | None,
    out: Path | None,
    preset: str,
    settings: tuple[str, ...],
    labels: str,
    with_stems: bool,
    seed: int,
    workers: int,
    dry_run: bool,
    verify: Path | None,
    skip_bad: bool,
    runner: str,
    beam_options: tuple[str, ...],
) -> None:
    """Turn Slakh2100, or any MIDI with a SoundFont, into TFRecords of log-mel frames and labels.

    \b
    One of three sources; the first in two forms:
      python -m tfrecords_builder --slakh slakh2100_flac_redux --out DATA
      python -m tfrecords_builder --slakh slakh2100_flac_redux.tar.gz --labels audible --stems --out DATA
      python -m tfrecords_builder --midi SONGS --soundfont FluidR3_GM.sf2 --out DATA
      python -m tfrecords_builder --demo 40 --out DATA
    With --runner beam all that follows a -- goes to Apache Beam (pip install 'mir-tf[beam]'), and picks its runner:
      python -m tfrecords_builder --slakh TREE --out DATA --runner beam -- --runner=FlinkRunner --flink_master=HOST:8081
    Interrupted, it goes on when the same command is run again. Afterwards, and whenever there is doubt:
      python -m tfrecords_builder --verify DATA

    Exit status: 0 fine, 1 nothing built, damaged tracks left out (see --skip-bad) or damage found, 2 wrong usage.
    """
    given = {"--slakh": slakh, "--midi": midi, "--demo": demo, "--verify": verify}
    if sum(value is not None for value in given.values()) != 1:
        raise click.UsageError(f"exactly one of {', '.join(given)} is needed")
    if (verify is None) != (out is not None):
        raise click.UsageError("--out belongs to --slakh, --midi and --demo, which need it")
    if (midi is None) != (not soundfonts):
        raise click.UsageError("--midi and --soundfont belong together")
    if midi is None and validation_soundfonts:
        raise click.UsageError("--validation-soundfont belongs to --midi")
    with report_errors():
        rendering = RenderConfig(
            seed,
            shuffle_programs,
            renditions,
            synthesizers or SYNTHESIZERS[:1],
            augment,
            excerpt,
            validation_soundfonts,
            split,
        )
    if midi is None and demo is None and (keep_audio is not None or rendering != RenderConfig(seed)):
        raise click.UsageError("--keep-audio and all options of rendering belong to --midi and --demo")
    if slakh is None and (split_scheme != "folder" or drop_leaks):
        raise click.UsageError("--split-scheme and --drop-leaks belong to --slakh: songs that are rendered never leak")
    if keep_audio is not None:
        for flag, folder in (("--out", out), ("--midi", midi)):
            if folder is not None and _overlap(keep_audio, folder):
                raise click.UsageError(f"--keep-audio and {flag} must be two folders, neither within the other")
    if runner == "beam":
        _require_for_beam(slakh, keep_audio, out, dry_run)
    elif beam_options:
        raise click.UsageError(f"{' '.join(beam_options)}: what follows the options belongs to --runner beam")
    for path in (slakh, midi, *soundfonts, *rendering.validation_soundfonts, keep_audio, out):
        if path is not None and not is_utf8(path):
            raise click.UsageError(
                f"{display_path(path)}: its name is not UTF-8, and cannot be written into the data set"
            )
    source = {
        "slakh": slakh and str(slakh),
        "midi": midi and str(midi),
        "demo": demo,
        "soundfonts": [str(path) for path in soundfonts],
        **_plain(rendering),
        "split_scheme": split_scheme,
        "drop_leaks": drop_leaks,
        "labels": labels,
        "stems": with_stems,
    }
    # TensorFlow's own chatter tells a user nothing; what it cannot do, it raises.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with report_errors():
        if verify is not None:
            is_fine = _verify(verify)
        else:
            assert out is not None
            front_end = _front_end(preset, settings)
            from tfrecords_builder import build, resume
            from tfrecords_builder.records.make import RecordConfig

            if runner == "beam":
                beam = _import_beam()
                beam.check_options(beam_options)
                build.use_one_core()  # a worker within this process could not, once TensorFlow has read a remote file

            config = RecordConfig(front_end, labels, with_stems)
            if resume.is_finished(out, front_end, source):
                resume.remove(out)
                click.echo(f"{out}: the data set is finished; nothing to do")
                return
            if dry_run:
                resume.require_free(out, front_end, source)
                if slakh is not None:
                    skipped = _estimate_slakh(slakh, config, seed, split_scheme, drop_leaks, workers)
                else:
                    skipped = _estimate_midi(midi, demo, soundfonts, rendering, config, workers)
            else:
                with resume.unfinished(out, front_end, source) as unfinished, workspace(unfinished) as local:
                    if slakh is not None:
                        tree, not_rendered = slakh, []
                    else:
                        tree = keep_audio or local / resume.TREE
                        not_rendered = _render(midi, demo, soundfonts, rendering, tree, local, workers)
                    with _scratch(local) as scratch:
                        tracks, skipped, track_source = _choose(tree, scratch, config, seed, split_scheme, drop_leaks)
                        skipped = not_rendered + skipped
                        with _progress_bar("Building") as progress:
                            if runner == "beam":
                                report = beam.build_on_beam(
                                    tracks, skipped, unfinished, config, source, tree, beam_options, progress
                                )
                            else:
                                report = build.build(
                                    tracks, skipped, unfinished, config, source, workers, track_source, progress
                                )
                _print_summary(report, out)
                skipped = report.skipped
            is_fine = skip_bad or not any(item.is_bad for item in skipped)
    if not is_fine:
        click.get_current_context().exit(1)


def _plain(rendering: RenderConfig) -> dict[str, Any]:
    """Settings as JSON knows them, the seed among them."""
    content = dataclasses.asdict(rendering)
    content["validation_soundfonts"] = [str(path) for path in rendering.validation_soundfonts]
    return {name: list(value) if isinstance(value, tuple) else value for name, value in content.items()}


def _overlap(first: Path, second: Path) -> bool:
    """Whether one of two folders is, or lies within, the other."""
    first, second = first.resolve(), second.resolve()
    return first.is_relative_to(second) or second.is_relative_to(first)


def _require_for_beam(slakh: Path | None, keep_audio: Path | None, out: Path | None, dry_run: bool) -> None:
    """Refuses what an Apache Beam pipeline cannot do."""
    if out is None or dry_run:
        raise click.UsageError("--runner belongs to builds, not to --dry-run and --verify")
    if slakh is not None and slakh.is_file():
        raise click.UsageError("--runner beam needs a tree: an archive is one stream, which cannot be shared out")
    if slakh is not None and click.get_current_context().get_parameter_source("workers") == ParameterSource.COMMANDLINE:
        raise click.UsageError("--workers belongs to --runner local, and to rendering; Beam has options of its own")
    for flag, folder in (("--slakh", slakh), ("--keep-audio", keep_audio), ("--out", out)):
        if folder is not None and not is_remote(folder) and not folder.is_absolute():
            raise click.UsageError(f"{flag} {folder}: --runner beam needs absolute paths, for workers run elsewhere")


def _import_beam() -> ModuleType:
    try:
        from tfrecords_builder import beam
    except ModuleNotFoundError as error:
        if error.name != "apache_beam":
            raise
        raise ConfigError("--runner beam: Apache Beam is not installed; pip install 'mir-tf[beam]'") from None
    return beam


def _verify(folder: Path) -> bool:
    """Prints what is damaged in a data set, or that nothing is."""
    from mir_tf.data import manifest as schema
    from tfrecords_builder.records.verify import damages

    damaged = False
    with _progress_bar("Verifying") as progress:
        for damage in damages(folder, progress):
            damaged = True
            click.echo(f"damaged: {damage}")
    if damaged:
        click.echo(f"{folder}: remove the data set and build it again")
        return False
    manifest = schema.read_manifest(folder)
    records = sum(split.records for split in manifest.splits.values())
    shards = manifest.shards()
    size = _size(sum(shard.num_bytes for shard in shards))
    click.echo(f"{folder}: fine: {len(shards)} shards, {records} records, {size}")
    return True


@contextlib.contextmanager
def _scratch(parent: Path) -> Iterator[Path]:
    """An empty folder in ``parent`` for the block, whatever a process that was killed left there."""
    folder = parent / "unpacked"
    shutil.rmtree(folder, ignore_errors=True)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _choose(
    root: Path, scratch: Path, config: RecordConfig, seed: int, scheme: str, drop_leaks: bool
) -> tuple[list[Track], list[Skipped], TrackSource]:
    """The tracks of a tree or an archive, those left out, and where the files come from; unpacks into ``scratch``."""
    from tfrecords_builder.build import FilesOnDisk
    from tfrecords_builder.slakh import tree as slakh
    from tfrecords_builder.slakh.archive import Archive

    track_source: TrackSource
    if root.is_file():
        track_source = archive = Archive(root, scratch, with_stems=config.uses_stems)
        with _reading_bar(root.name) as advance:
            layout, skipped = archive.layout(advance)
    else:
        track_source, layout, skipped = FilesOnDisk(root), slakh.read_layout(root), []
    tracks, unused = slakh.choose_tracks(layout, seed, scheme)
    has_splits = scheme != "folder" or any(listing.split for listing in layout.listings)
    nameless = [track.id for track in tracks if track.song == track.id]
    if has_splits and layout.songs is None and nameless:
        named = ", ".join(nameless[:5]) + ", ..." * (len(nameless) > 5)
        click.echo(
            f"no UUID in {slakh.METADATA_NAME} of {len(nameless)} tracks ({named}): whether their songs are in other "
            "splits too cannot be told"
        )
    if drop_leaks:
        tracks, dropped = slakh.drop_leaks(tracks)
        unused += dropped
    return tracks, skipped + unused, track_source


def _estimate_slakh(
    slakh: Path, config: RecordConfig, seed: int, scheme: str, drop_leaks: bool, workers: int
) -> list[Skipped]:
    """Prints what a build from Slakh2100 would give, and returns what it would leave out."""
    from tfrecords_builder import estimate

    with tempfile.TemporaryDirectory() as scratch:
        tracks, skipped, track_source = _choose(slakh, Path(scratch), config, seed, scheme, drop_leaks)
        result = estimate.of_tracks(tracks, skipped, config, track_source, is_stream=slakh.is_file())
    _print_estimate(result, workers)
    if slakh.is_file():
        click.echo("The archive was not unpacked: all tracks are taken to be as long as those few.")
    return result.skipped


def _estimate_midi(
    midi: Path | None,
    demo: int | None,
    soundfonts: tuple[Path, ...],
    rendering: RenderConfig,
    config: RecordConfig,
    workers: int,
) -> list[Skipped]:
    """Prints what a build from MIDI or composed songs would give, and returns what it would leave out."""
    from tfrecords_builder import compose, estimate
    from tfrecords_builder.synthesis.synthesizers import default_soundfont

    with tempfile.TemporaryDirectory() as composed:
        if demo is not None:
            midi, soundfonts = Path(composed), (default_soundfont(),)
            compose.compose_folder(midi, demo, rendering.seed)
        assert midi is not None
        result = estimate.of_midi(midi, soundfonts, rendering, config, workers)
    _print_estimate(result, workers)
    return result.skipped


def _print_estimate(result: BuildEstimate, workers: int) -> None:
    splits = {split: result.of_split(split) for split in SPLITS}
    _print_splits(
        (
            split,
            len(tracks),
            sum(track.records - 1 for track in tracks),
            len({track.song for track in tracks}),
            sum(track.seconds * track.records for track in tracks),
        )
        for split, tracks in splits.items()
    )
    _print_left_out(result.skipped)
    cost, scale = result.cost, result.scale
    click.echo(f"About {_size(result.num_bytes)}, and as much again while it is built", nl=False)
    click.echo(f", and {_size(cost.rendered_bytes * scale)} of rendered audio." if cost.rendered_bytes else ".")
    minutes = cost.work * scale / workers / 60
    click.echo(
        f"About {minutes:.1f} minutes with {workers} workers, where each has a core of its own, "
        f"once they have started. An estimate: {cost.audio:.0f} s of audio took {cost.work:.1f} s."
    )


def _size(num_bytes: float) -> str:
    return f"{num_bytes / 1e9:.2f} GB" if num_bytes >= 1e9 else f"{num_bytes / 1e6:.2f} MB"


def _render(
    midi: Path | None,
    demo: int | None,
    soundfonts: tuple[Path, ...],
    rendering: RenderConfig,
    tree: Path,
    scratch: Path,
    workers: int,
) -> list[Skipped]:
    """Renders what is missing in ``tree``; returns the MIDI files that cannot be."""
    from tfrecords_builder import compose
    from tfrecords_builder.slakh.tree import Skipped
    from tfrecords_builder.synthesis import render
    from tfrecords_builder.synthesis.synthesizers import default_soundfont

    if demo is not None:
        midi, soundfonts = scratch / "midi", (default_soundfont(),)
        compose.compose_folder(midi, demo, rendering.seed)
    assert midi is not None
    with _progress_bar("Rendering") as progress:
        report = render.render_tree(midi, soundfonts, tree, rendering, workers, progress)
    if not report.tracks:
        causes = "".join(f"\n  {reason}" for _, reason in report.bad[:10])
        raise DataError(f"{midi}: not one file could be rendered:{causes}")
    return [Skipped(display_path(path.relative_to(midi)), reason) for path, reason in report.bad]


@contextlib.contextmanager
def _reading_bar(name: str) -> Iterator[Callable[[int, int], None]]:
    """A bar on stderr for the reading of a file.

    Yields:
        what to call with the bytes read and the bytes in all.
    """
    from rich import progress
    from rich.console import Console

    columns = ("Listing {task.description}", progress.BarColumn(), progress.DownloadColumn())
    with progress.Progress(*columns, progress.TimeRemainingColumn(), console=Console(stderr=True)) as bar:
        task = bar.add_task(name, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def _front_end(preset: str, settings: tuple[str, ...]) -> FrontEndConfig:
    """The front end of a preset with some fields changed, each by ``field=value``.

    Raises:
        ConfigError: a setting has no value, or is refused by FrontEndConfig.
    """
    changes = {}
    for setting in settings:
        name, equals, value = setting.partition("=")
        if not equals:
            raise ConfigError(f"--set {setting}: expected FIELD=VALUE")
        try:
            changes[name] = yaml.safe_load(value)
        except (ValueError, yaml.YAMLError) as error:  # ValueError: no such date
            raise ConfigError(f"--set {setting}: {value!r} is no value that YAML knows") from error
    return FRONT_ENDS[preset].replace(**changes)


@contextlib.contextmanager
def _progress_bar(title: str) -> Iterator[TrackProgress]:
    """A bar on stderr: tracks, hours of audio, speed as a multiple of real time, time left.

    Yields:
        what to call after each track.
    """
    from rich import progress
    from rich.console import Console

    columns = (
        progress.TextColumn("{task.description}"),
        progress.BarColumn(),
        progress.MofNCompleteColumn(),
        progress.TextColumn("tracks, {task.fields[hours]:.2f} h of audio"),
        progress.TextColumn("{task.fields[speed]:.0f} × real time, left"),
        progress.TimeRemainingColumn(),
    )
    began = time.monotonic()
    seconds_done = 0.0
    with progress.Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(title, total=None, hours=0.0, speed=0.0)

        def advance(total: int, seconds: float) -> None:
            nonlocal seconds_done
            seconds_done += seconds
            speed = seconds_done / (time.monotonic() - began)
            bar.update(task, advance=1, total=total, hours=seconds_done / 3600, speed=speed)

        yield advance


def _print_summary(report: BuildReport, out: Path) -> None:
    if report.resumed:
        click.echo(f"taken up from the interrupted build: {report.resumed} tracks")
    manifest = report.manifest
    _print_splits(
        (name, split.tracks, split.records - split.tracks, split.songs, split.seconds)
        for name, split in manifest.splits.items()
    )
    for pair, songs in manifest.leaks.items():
        click.echo(f"leak: {len(songs)} songs are in both of {pair} (see --drop-leaks):")
        for tracks in songs.values():
            click.echo(f"  {', '.join(tracks)}")
    if any(split.disagreement for split in manifest.splits.values()):
        click.echo("labels of the mixes that differ, midi and audible, of the frames in which either is active:")
        for name, share in _differing(manifest).items():
            click.echo(f"  {name:<24}{share:>7.1%}")
    for track, stem_checks in manifest.stem_checks.items():
        for finding in stem_checks:
            click.echo(f"suspect: {track}/{finding}")
    for name, vocabulary in VOCABULARIES.items():
        if programs := _sounding(manifest, vocabulary.unmapped()):
            click.echo(f"no class in vocabulary {name}: {', '.join(programs)}")
    _print_left_out(report.skipped)
    if all(manifest.splits[split].tracks for split in ("train", "validation")):
        click.echo(f"The data set is in {out}. Next: look at it, then train on it:")
        click.echo(f"  mir-tf inspect {out}\n  mir-tf fit --data {out} --model crnn --out RUN")
    else:
        click.echo(f"The data set is in {out}. Next: look at it; to train on it takes tracks in train and validation:")
        click.echo(f"  mir-tf inspect {out}")


def _print_splits(rows: Iterable[tuple[str, int, int, int, float]]) -> None:
    """Prints a row for each split: its name, tracks, stems, songs, and seconds of all items."""
    click.echo(f"{'split':<12}{'tracks':>8}{'stems':>8}{'songs':>8}{'hours':>9}")
    for name, tracks, stems, songs, seconds in rows:
        click.echo(f"{name:<12}{tracks:>8}{stems:>8}{songs:>8}{seconds / 3600:>9.3f}")


def _print_left_out(skipped: list[Skipped]) -> None:
    for item in skipped:
        if item.is_bad:
            click.echo(f"left out: {item.item}: {item.reason}")
    unused = collections.Counter(item.reason for item in skipped if not item.is_bad)
    for reason, count in unused.items():
        click.echo(f"not used: {count} items {reason}")


def _differing(manifest: Manifest) -> dict[str, float]:
    """Class of the families → share of the frames with either kind of label in which the mixes have only one."""
    shares: dict[str, float] = {}
    for name in VOCABULARIES["family"].classes:
        counts = [split.disagreement["family"][name] for split in manifest.splits.values() if split.disagreement]
        either = sum(map(sum, counts))
        if either:
            shares[name] = sum(midi + audible for midi, audible, _ in counts) / either
    return shares


def _sounding(manifest: Manifest, programs: list[int]) -> list[str]:
    """Those of ``programs`` that sound somewhere, each with its share of all label frames."""
    splits = manifest.splits.values()
    label_frames = sum(split.label_frames for split in splits)
    names = [PROGRAM_NAMES[program] for program in programs]
    frames = [sum(split.activity["program"][name] for split in splits) for name in names]
    return [f"{name} ({count / label_frames:.1%})" for name, count in zip(names, frames, strict=True) if count]


if __name__ == "__main__":
    main(prog_name="python -m tfrecords_builder")
