"""The command line of the builder. It loads click and the configuration, and TensorFlow only to do its work."""

from __future__ import annotations

if __name__ == "__main__":
    from mir_tf.io import search_path

    search_path.prepare()

import contextlib
import dataclasses
import functools
import os
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import click

from mir_tf.config import FRONT_ENDS, LABEL_POLICIES, SPLITS, FrontEndConfig
from mir_tf.errors import ConfigError
from mir_tf.extras import require_training
from mir_tf.io import locks
from mir_tf.io.click_errors import report_errors
from mir_tf.io.click_path import PathParameter
from mir_tf.io.files import scratch_folder, workspace
from mir_tf.io.yaml_text import parse_yaml
from tfrecords_builder import console
from tfrecords_builder.options import BUILDS, RecordedPath, SourceCommand, SourceOption, require_apart, require_runner
from tfrecords_builder.slakh.splits import SCHEMES
from tfrecords_builder.sources import DemoSource, MidiSource, SlakhSource, Source
from tfrecords_builder.synthesis.settings import SYNTHESIZERS, RenderConfig

if TYPE_CHECKING:
    from tfrecords_builder.build import BuildReport
    from tfrecords_builder.records.make import RecordConfig

_RENDERED = ("midi", "demo")

# MIDI files, SoundFonts and rendered audio are opened by name, so they must be local.
_LOCAL_FOLDER = RecordedPath(local=True, exists=True, file_okay=False)
_LOCAL_FILE = RecordedPath(local=True, exists=True, dir_okay=False)

_FIELDS = "\n".join(f"  {field.name} = {field.default!r}" for field in dataclasses.fields(FrontEndConfig))

_option = functools.partial(click.option, cls=SourceOption)


@click.command(
    cls=SourceCommand,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=f"\b\nFields for --set, with the values of the default preset:\n{_FIELDS}",
)
@_option(
    "--slakh",
    type=RecordedPath(exists=True),
    metavar="TREE",
    help="Build from Slakh2100 (redux, original or baby): a folder, or a .tar or .tar.gz, which is read as a stream "
    "and never unpacked as a whole.",
)
@_option("--midi", type=_LOCAL_FOLDER, metavar="DIR", help="Render a folder of MIDI files and build from it.")
@_option("--demo", type=click.IntRange(min=1), metavar="N", help="Compose and render N songs and build from them.")
@_option(
    "--verify",
    type=PathParameter(exists=True, file_okay=False),
    metavar="DATA",
    help="Check a finished data set instead of building one: read all of it and list damaged files.",
)
@_option(
    "--split-scheme",
    of=["slakh"],
    type=click.Choice(SCHEMES),
    default="folder",
    show_default=True,
    help="Split by the folders that tracks are in (80/10/10 by song if there are none), or by a published list of "
    "track numbers. In split2 and redux, no MIDI file is in two splits.",
)
@_option(
    "--drop-leaks",
    of=["slakh"],
    is_flag=True,
    help="Remove tracks from train whose song is also in validation or test.",
)
@_option(
    "--soundfont",
    "soundfonts",
    of=["midi"],
    required_by=["midi"],
    type=_LOCAL_FILE,
    multiple=True,
    metavar="SF2",
    help="Render with this .sf2 file. Required; may be repeated to deal out several by song.",
)
@_option(
    "--validation-soundfont",
    "validation_soundfonts",
    of=["midi"],
    type=_LOCAL_FILE,
    multiple=True,
    metavar="SF2",
    help="Render validation songs with this .sf2 file instead, so that thresholds are tuned on sounds that were not "
    "trained on. May be repeated.",
)
@_option(
    "--synthesizer",
    "synthesizers",
    of=_RENDERED,
    type=click.Choice(SYNTHESIZERS),
    multiple=True,
    help="Choose the synthesiser: builtin, or the program fluidsynth, which must be installed. May be repeated to take "
    "turns.  [default: builtin]",
)
@_option(
    "--renditions",
    of=_RENDERED,
    type=click.IntRange(1, 100),
    default=1,
    show_default=True,
    metavar="N",
    help="Make N tracks from each song, each with the next SoundFont and synthesiser. With --shuffle-programs or "
    "--orchestrate, half of them, including the first, keep the song's own instruments.",
)
@_option(
    "--shuffle-programs",
    of=_RENDERED,
    type=click.IntRange(min=0),
    metavar="SEED",
    help="Give each song random instruments, so that rare ones get data.  [default: the song's own]",
)
@_option(
    "--orchestrate",
    of=_RENDERED,
    type=click.IntRange(min=0),
    metavar="SEED",
    help="Give two thirds of the parts another instrument of the same role and range, so that rare ones get data: "
    "a melody goes from a synthesiser to an oboe, chords from a guitar to an organ.  [default: the song's own]",
)
@_option(
    "--humanize",
    of=_RENDERED,
    type=click.IntRange(min=0),
    metavar="SEED",
    help="Play songs made from scores with an uneven tempo, inexact onsets and changing loudness.  [default: as "
    "written]",
)
@_option(
    "--augment",
    of=_RENDERED,
    type=click.IntRange(min=0),
    metavar="SEED",
    help="Make tracks differ as real recordings do: key, tuning, balance, equalisation, width, room, compression, "
    "noise, level, codec, guitar amplifiers, and in half of them an unlabelled voice.  [default: plain]",
)
@_option(
    "--excerpt",
    of=_RENDERED,
    type=click.FloatRange(min=1),
    metavar="SECONDS",
    help="Render at most this much of each song, from a random place.  [default: all of it]",
)
@_option(
    "--split",
    of=_RENDERED,
    type=click.Choice(SPLITS),
    help="Put all songs into one split, for example to test on another collection.  [default: 80/10/10 by song]",
)
@_option(
    "--keep-audio",
    of=_RENDERED,
    check=require_apart,
    type=RecordedPath(local=True),
    metavar="TREE",
    help="Render into this folder and keep it.  [default: a temporary folder]",
)
@_option(
    "--out",
    of=BUILDS,
    required_by=BUILDS,
    type=RecordedPath(),
    metavar="DATA",
    help="Write the data set into this folder. Required. The folder must be new, empty, or contain an interrupted "
    "build with the same arguments, which then continues.",
)
@_option(
    "--preset",
    of=BUILDS,
    type=click.Choice(list(FRONT_ENDS)),
    default="default",
    show_default=True,
    help="Choose the front end. The seed presets are those of the PyTorch project: the middle 100 s of each track.",
)
@_option(
    "--set",
    "settings",
    of=BUILDS,
    multiple=True,
    metavar="FIELD=VALUE",
    help="Change a field of the front end; the fields are listed below. May be repeated.",
)
@_option(
    "--labels",
    of=BUILDS,
    type=click.Choice(LABEL_POLICIES),
    default="midi",
    show_default=True,
    help="Choose when an instrument counts as active. midi: from note-on to note-off. audible: while its stem can be "
    "heard, up to 2 s after the note-off; this reads every stem and takes about seven times as long.",
)
@_option(
    "--stems",
    "with_stems",
    of=BUILDS,
    is_flag=True,
    help="Also make a record of every stem of a train track. Like --labels audible, this stores both kinds of labels "
    "and reports stems whose sound does not fit their MIDI.",
)
@_option(
    "--seed",
    of=BUILDS,
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    metavar="SEED",
    help="Seed the split by song, the composed songs and the assignment of SoundFonts.",
)
@_option(
    "--workers",
    of=BUILDS,
    type=click.IntRange(min=1),
    default=os.cpu_count() or 1,
    show_default="one per core",
    metavar="N",
    help="Use N processes, which need up to 1 GB of memory each. Not with --runner beam.",
)
@_option(
    "--runner",
    of=BUILDS,
    check=require_runner,
    type=click.Choice(["local", "beam"]),
    default="local",
    show_default=True,
    help="Choose where to build. local: processes on this machine. beam: an Apache Beam pipeline, here or on a "
    "cluster that BEAM_OPTIONS name; not for archives. The records are the same.",
)
@_option(
    "--dry-run", of=BUILDS, is_flag=True, help="Build only a few tracks, to estimate size and duration of the build."
)
@_option("--skip-bad", of=BUILDS, is_flag=True, help="Exit with status 0 even if damaged tracks were skipped.")
@click.argument("beam_options", nargs=-1, type=click.UNPROCESSED, metavar="[-- BEAM_OPTIONS]")
def main(verify: Path | None, **options: Any) -> None:
    """Turn Slakh2100, or MIDI and a SoundFont, into TFRecords of log-mel frames and labels.

    \b
    Examples:
      python -m tfrecords_builder --slakh slakh2100_flac_redux --out DATA
      python -m tfrecords_builder --slakh slakh2100_flac_redux.tar.gz \\
          --labels audible --stems --out DATA
      python -m tfrecords_builder --midi SONGS \\
          --soundfont FluidR3_GM.sf2 --out DATA
      python -m tfrecords_builder --demo 40 --out DATA
      python -m tfrecords_builder --verify DATA

    If a build is interrupted, rerun the same command to continue it.

    With --runner beam, everything after -- goes to Apache Beam and chooses its runner (pip install 'mir-tf[dask]'):

    \b
      python -m tfrecords_builder --slakh TREE --out DATA --runner beam \\
          -- --runner=DaskRunner --dask_client_address=tcp://HOST:8786

    Exit status: 0 success; 1 nothing was built, damaged tracks were skipped (see --skip-bad), or --verify found
    damage; 2 wrong usage; 130 interrupted.
    """
    # TensorFlow logs much that does not concern users; it raises its errors.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with report_errors():
        require_training()
        is_fine = _build(_source(options), options) if verify is None else _verify(verify)
    if not is_fine:
        click.get_current_context().exit(1)


def _source(options: dict[str, Any]) -> Source:
    """Return the source that the options describe.

    Raises:
        ConfigError: Rendering options are out of range or exclude each other.
    """
    seed = options["seed"]
    if options["slakh"] is not None:
        return SlakhSource(options["slakh"], seed, options["split_scheme"], options["drop_leaks"])
    rendering = RenderConfig(
        seed=seed,
        shuffle_programs=options["shuffle_programs"],
        orchestrate=options["orchestrate"],
        humanize=options["humanize"],
        renditions=options["renditions"],
        synthesizers=options["synthesizers"] or SYNTHESIZERS[:1],
        augment=options["augment"],
        excerpt=options["excerpt"],
        validation_soundfonts=options["validation_soundfonts"],
        split=options["split"],
    )
    if options["midi"] is not None:
        return MidiSource(options["midi"], options["soundfonts"], rendering, options["keep_audio"])
    return DemoSource(options["demo"], rendering, options["keep_audio"])


def _build(source: Source, options: dict[str, Any]) -> bool:
    """Build a data set, or print an estimate for ``--dry-run``; return whether the exit status is 0."""
    out, workers = options["out"], options["workers"]
    front_end = _front_end(options["preset"], options["settings"])
    from tfrecords_builder import build, resume
    from tfrecords_builder.records.make import RecordConfig

    if options["runner"] == "beam":
        _import_beam().check_options(options["beam_options"])
        build.use_one_core()  # a worker in this process could not, once TensorFlow has read a remote file
    config = RecordConfig(front_end, options["labels"], options["with_stems"])
    description = source.description() | {"labels": config.labels, "stems": config.stems}
    if resume.is_finished(out, front_end, description):
        resume.remove_unfinished(out)
        click.echo(f"{out}: the data set is finished; nothing to do")
        return True
    if options["dry_run"]:
        resume.require_free(out, front_end, description)
        estimate = source.estimate(config, workers)
        console.print_estimate(estimate, workers, is_archive=isinstance(source, SlakhSource) and source.root.is_file())
        skipped = estimate.skipped
    else:
        report = _build_all(source, config, description, options)
        console.print_summary(report, out)
        skipped = report.skipped
    return options["skip_bad"] or not any(item.is_bad for item in skipped)


def _build_all(
    source: Source, config: RecordConfig, description: dict[str, Any], options: dict[str, Any]
) -> BuildReport:
    """Choose the tracks, and build all of them."""
    from tfrecords_builder import build, resume

    workers = options["workers"]
    kept = options["keep_audio"]
    with (
        locks.exclusive(options["out"]),
        contextlib.nullcontext() if kept is None else locks.exclusive(kept),
        resume.unfinished(options["out"], config.front_end, description) as unfinished,
        workspace(unfinished) as local,
        scratch_folder(local / "unpacked") as scratch,
    ):
        tracks, skipped, track_source = source.choose(scratch, config, local, workers)
        with console.track_bar("Building") as progress:
            if options["runner"] == "beam":
                assert isinstance(track_source, build.FilesOnDisk)
                roots = track_source.roots
                report: BuildReport = _import_beam().build_on_beam(
                    tracks, skipped, unfinished, config, description, roots, options["beam_options"], progress
                )
                return report
            return build.build(tracks, skipped, unfinished, config, description, workers, track_source, progress)


def _import_beam() -> ModuleType:
    try:
        from tfrecords_builder import beam
    except ModuleNotFoundError as error:
        if error.name != "apache_beam":
            raise
        raise ConfigError("--runner beam: Apache Beam is not installed; pip install 'mir-tf[beam]'") from None
    return beam


def _verify(folder: Path) -> bool:
    """Print the damage in a data set, or its size if it is undamaged; return whether it is undamaged."""
    from mir_tf.data.manifest import read_manifest
    from tfrecords_builder.records.verify import find_damage

    damaged = False
    with console.track_bar("Verifying") as progress:
        for damage in find_damage(folder, progress):
            damaged = True
            click.echo(f"damaged: {damage}")
    if damaged:
        click.echo(f"{folder}: remove the data set and build it again")
        return False
    manifest = read_manifest(folder)
    records = sum(split.records for split in manifest.splits.values())
    shards = manifest.shards()
    size = console.format_size(sum(shard.num_bytes for shard in shards))
    click.echo(f"{folder}: fine: {len(shards)} shards, {records} records, {size}")
    return True


def _front_end(preset: str, settings: tuple[str, ...]) -> FrontEndConfig:
    """Return the front end of a preset with some fields changed, each by ``field=value``.

    Raises:
        ConfigError: A setting has no value, or FrontEndConfig refuses it.
    """
    changes = {}
    for setting in settings:
        name, equals, value = setting.partition("=")
        if not equals:
            raise ConfigError(f"--set {setting}: expected FIELD=VALUE")
        try:
            changes[name] = parse_yaml(value)
        except ValueError as error:
            raise ConfigError(f"--set {setting}: {value!r} is not a valid YAML value") from error
    return FRONT_ENDS[preset].replace(**changes)


if __name__ == "__main__":
    main(prog_name="python -m tfrecords_builder")
