"""The command line of the composer."""

from __future__ import annotations

import shlex
from pathlib import Path

import click

from mir_tf.extras import require_training
from mir_tf.io import locks
from mir_tf.io.click_errors import SafeCommand, report_errors


@click.command(cls=SafeCommand)
@click.option("--songs", type=click.IntRange(min=1), required=True, metavar="N", help="Compose N songs.")
@click.option(
    "--seed", type=click.IntRange(min=0), default=0, show_default=True, metavar="SEED", help="Seed the songs."
)
@click.option("--simple", is_flag=True, help="Compose short songs with few parts, as --demo of the builder does.")
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    required=True,
    metavar="SONGS",
    help="Write them into this folder.",
)
def main(songs: int, seed: int, simple: bool, out: Path) -> None:
    """Compose songs in many styles as MIDI files, for --midi of python -m tfrecords_builder."""
    with report_errors():
        require_training()
        from tfrecords_builder.ensembles.composer import compose_folder

        with locks.exclusive(out):
            compose_folder(out, songs, seed, simple)
    midi = shlex.quote(str(out))
    click.echo(
        f"{songs} songs are in {out}. Next: python -m tfrecords_builder --midi {midi} --soundfont SF2 --out DATA"
    )


if __name__ == "__main__":
    main(prog_name="python -m tfrecords_builder.ensembles")
