"""Carries out shell commands of the documentation, as a reader would who has a small world and little time.

A shell does all that a shell does. ``mir-tf``, the builder and the tools are functions in it, which ask the process
that started it: TensorFlow is loaded once, not once for each of them.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import os
import re
import runpy
import shutil
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

if TYPE_CHECKING:
    from tfrecords_builder.processes import Pool

FUNCTIONS = r"""
ask() {
    printf '%s\0' "$#" "$PWD" "$@" >&"$ASKED"
    local status
    read -r status <&"$ANSWERED"
    return "$status"
}
mir-tf() {
    case "$*" in
        listen*|*.tflite*) command mir-tf "$@" ;;  # needs no TensorFlow, and may read a pipe
        *) ask mir-tf "$@" ;;
    esac
}
python() {
    case "$*" in
        '-m tfrecords_builder '*|tools/choose_*) ask python "$@" ;;
        tools/bench_front_end.py*) command python "$@" --songs 10 ;;
        tools/bench_builder.py*) command python "$@" --tracks 4 --rounds 1 ;;
        tools/bench_predict.py*) command python "$@" --minutes 1 --rounds 1 ;;
        *) command python "$@" ;;
    esac
}
timeout() { shift 3; "$@"; }  # -s KILL 40: nothing takes so long here
ffmpeg() { cat song.wav; }
arecord() { tail -c +45 song.wav; }  # without its header
"""

OUTLINE = re.compile(r"^```(\w*)\n((?s:.*?))\n```$|(?<=\n\n)((?: {4}.*\n|\n(?= {4}))+)", re.M)


class Outcome(NamedTuple):
    """What became of a command: as the page has it, its exit status, and what it printed."""

    command: str
    status: int
    output: str


def commands(text: str) -> Iterator[str]:
    """The shell commands of a page, fenced as ``sh`` or indented: loops in one piece, without comments."""
    for language, fenced, indented in OUTLINE.findall(text):
        if language not in ("", "sh"):
            continue
        command = ""
        block = fenced or re.sub("^ {4}", "", indented, flags=re.M)
        for line in block.replace("\\\n", " ").splitlines():
            if line.startswith("#") or not line.strip():
                continue
            if command and not line.startswith((" ", "done")):
                yield command
                command = ""
            command += line + "\n"
        if command:
            yield command


def carry_out(page: list[str], folder: Path, defaults: Path) -> list[Outcome]:
    """Runs commands one after another, with loops that go round once. Changes this process for good.

    Args:
        page: the commands.
        folder: where they are run.
        defaults: a folder with ``fit.yaml``, for ``mir-tf fit`` without ``--config`` and ``mir-tf tune`` without
            ``--space``, and ``pretrained``, the model that stands for the one that comes with mir-tf.
    """
    log = folder.with_suffix(".log")
    with log.open("ab") as file:
        for descriptor in (1, 2):
            os.dup2(file.fileno(), descriptor)
    script = FUNCTIONS + "".join(f"{_once(command)}ask ended $?\n" for command in page)
    questions, asked = os.pipe()
    answered, answers = os.pipe()
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "ASKED": str(asked),
        "ANSWERED": str(answered),
    }
    shell = subprocess.Popen(
        ["bash", "-c", script], cwd=folder, env=environment, stdin=subprocess.DEVNULL, pass_fds=(asked, answered)
    )
    os.close(asked)
    os.close(answered)
    outcomes: list[Outcome] = []
    with (
        os.fdopen(questions, "rb") as reader,
        os.fdopen(answers, "wb", buffering=0) as writer,
        log.open("rb") as output,
    ):
        while count := _word(reader):
            place, program, *arguments = (_word(reader) for _ in range(1 + int(count)))
            if program == "ended":
                printed = output.read().decode("utf-8", "replace")
                outcomes.append(Outcome(page[len(outcomes)], int(arguments[0]), printed))
                status = 0
            else:
                os.chdir(place)
                status = _status(program, arguments, defaults)
            writer.write(b"%d\n" % status)
    shell.wait()
    return outcomes


def _once(command: str) -> str:
    """A command whose loops go round once."""
    command = re.sub(r"\bfor (\w+) in ([^\s;]+)[^;]*;", r"for \1 in \2;", command)
    return re.sub(r"\buntil (.*); do :; done", r"\1", command)


def _word(reader: BinaryIO) -> str:
    """The next word, none at the end."""
    return b"".join(iter(lambda: reader.read(1).rstrip(b"\0"), b"")).decode("utf-8")


def _status(program: str, arguments: list[str], defaults: Path) -> int:
    """Runs ``mir-tf`` or a Python program here, on a small budget; its exit status."""
    try:
        if program == "mir-tf":
            from mir_tf import pretrained
            from mir_tf.cli import main

            pretrained.FOLDER = defaults / "pretrained"
            main(_small(arguments, defaults), prog_name=program)
        elif arguments[:2] == ["-m", "tfrecords_builder"]:
            from tfrecords_builder import processes
            from tfrecords_builder.__main__ import main as build

            processes.pool = _pool
            build(_small(arguments[1:], defaults)[1:], prog_name="python -m tfrecords_builder")
        else:
            sys.argv = arguments
            runpy.run_path(arguments[0], run_name="__main__")
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except Exception:
        traceback.print_exc()
        return 70
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
    return 0


@contextlib.contextmanager
def _pool(workers: int, initializer: Callable[[], None] | None = None) -> Iterator[Pool]:
    """The builder's pool with a thread of this process: each process of its own would load TensorFlow again."""
    from tfrecords_builder.processes import Pool

    with concurrent.futures.ThreadPoolExecutor(1) as executor:
        yield Pool(executor, 1)


def _small(arguments: list[str], defaults: Path) -> list[str]:
    """What a command costs least with; of an option that is given twice the last one holds.

    What it trains or builds goes first: commands of a page are often choices, of which each has the same ``--out``.
    """
    verb = arguments[0]
    if verb == "fit":
        _remove(arguments, "--out")
        given = [] if "--config" in arguments else ["--config", str(defaults / "fit.yaml")]
        return [*arguments, "--epochs", "1", "--steps-per-epoch", "2", *given]
    if verb == "tune":
        given = [] if "--space" in arguments else ["--space", str(defaults / "fit.yaml")]
        return [*arguments, "--trials", "1", "--epochs", "1", *given]
    if verb == "compare" and "--config" in arguments:
        _remove(arguments, "--out")  # plans share runs, but not those of another budget
    if verb == "export" and "--quantize" not in arguments:
        return [*arguments, "--quantize", "none"]
    if verb == "tfrecords_builder" and "--verify" not in arguments:
        _remove(arguments, "--out")
        _remove(arguments, "--keep-audio")
        return [*arguments, "--workers", "1", *(["--demo", "6"] if "--demo" in arguments else [])]
    return arguments


def _remove(arguments: list[str], option: str) -> None:
    if option in arguments:
        folder = Path(arguments[arguments.index(option) + 1])
        if folder.is_symlink():
            folder.unlink()
        elif folder.exists():
            shutil.rmtree(folder)
