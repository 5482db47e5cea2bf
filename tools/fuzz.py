"""Feed altered and damaged files to the project's readers, and judge each answer by an independent one.

    python tools/fuzz.py midi --files FOLDER --count 2000

Each case ends in one of these ways:

- right: the answer is that of an independent reader, or of the file before a change that means nothing.
- refused: an error of the project names the reason. A file after a change that means nothing must not be refused.
- unjudged: there is an answer, but no independent one.
- wrong: the answer is another one.
- crashed: an exception that is not one of the project's, a process that dies, hangs, or needs too much memory.

The exit status is 1 if a case is wrong or crashed. The same seed gives the same cases.
"""

from __future__ import annotations

import importlib
from pathlib import Path

import click
from fuzzing.cases import Kind, run

KINDS = {
    "archive": "archive.Archives",
    "audio": "audio.Audio",
    "bundle": "bundle.Bundle",
    "http": "web.Web",
    "keras": "keras_file.KerasFile",
    "manifest": "manifest.Manifest",
    "midi": "midi.Midi",
    "soundfont": "soundfont.SoundFonts",
    "tflite": "tflite.Tflite",
    "yaml": "yaml_file.YamlFiles",
}
"""Kind → its module and class in ``fuzzing``."""


def kind_of(name: str) -> type[Kind]:
    """Return the class of a kind."""
    module, _, class_name = KINDS[name].partition(".")
    kind: type[Kind] = getattr(importlib.import_module(f"fuzzing.{module}"), class_name)
    return kind


@click.command()
@click.argument("kind", type=click.Choice(sorted(KINDS)))
@click.option(
    "--files",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Alter the files in this folder, instead of random ones.",
)
@click.option("--count", default=200, show_default=True, help="Number of cases.")
@click.option("--seed", default=0, show_default=True, help="Seed of the cases.")
@click.option("--keep", type=click.Path(file_okay=False, path_type=Path), help="Save failed cases here.")
@click.option("--verbose", is_flag=True, help="Print every case, not only failed ones.")
def main(kind: str, files: Path | None, count: int, seed: int, keep: Path | None, verbose: bool) -> None:
    """Feed altered and damaged files to a reader."""
    kind_class = kind_of(kind)
    found: list[Path] = []
    if files is not None:
        found = sorted(path for path in files.rglob("*") if path.suffix.lower() in kind_class.sources)
        if not found:
            names = ", ".join(kind_class.sources) or "this kind takes no files"
            raise click.BadParameter(f"{files}: no file to alter in it ({names})", param_hint="--files")
    run(kind_class, found, count=count, seed=seed, keep=keep, verbose=verbose)


if __name__ == "__main__":
    main()
