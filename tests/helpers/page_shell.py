"""Run the shell commands of the documentation, on little data and with small budgets.

The commands run in bash. ``mir-tf``, the builder and the tools are shell functions there, which send their arguments to
the Python process that started the shell, so that TensorFlow is loaded once and not once for each command.
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

SHELL_FUNCTIONS = r"""
request() {
    printf '%s\0' "$#" "$PWD" "$@" >&"$REQUESTS"
    local status
    read -r status <&"$REPLIES"
    return "$status"
}
mir-tf() {
    case "$*" in
        listen*|*.tflite*) command mir-tf "$@" ;;  # needs no TensorFlow, and may read a pipe
        *) request mir-tf "$@" ;;
    esac
}
python() {
    case "$*" in
        '-m tfrecords_builder '*|tools/choose_*) request python "$@" ;;
        tools/bench_front_end.py*) command python "$@" --songs 10 ;;
        tools/bench_builder.py*) command python "$@" --tracks 4 --rounds 1 ;;
        tools/bench_decoders.py*) command python "$@" --minutes 1 --rounds 1 ;;
        tools/bench_step.py*) command python "$@" --batch-size 2 --rounds 1 ;;
        tools/bench_predict.py*) command python "$@" --minutes 1 --rounds 1 ;;
        tools/bench_start.py*) command python "$@" --rounds 1 ;;
        *) command python "$@" ;;
    esac
}
timeout() { shift 3; "$@"; }  # drops -s KILL 40: no command takes that long here
ffmpeg() { cat song.wav; }
arecord() { tail -c +45 song.wav; }  # without the header of the file
"""

CODE_BLOCK = re.compile(r"^```(\w*)\n((?s:.*?))\n```$|(?<=\n\n)((?: {4}.*\n|\n(?= {4}))+)", re.M)


class Outcome(NamedTuple):
    """A command as it stands on the page, its exit status, and its output."""

    command: str
    status: int
    output: str


def shell_commands(text: str) -> Iterator[str]:
    """Yield the shell commands of a page, without comments and with loops in one piece.

    Commands are in blocks that are indented, fenced as ``sh``, or fenced without a language.
    """
    for language, fenced, indented in CODE_BLOCK.findall(text):
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


def run_commands(page: list[str], folder: Path, defaults: Path) -> list[Outcome]:
    """Run commands one after another; each loop runs once.

    Call this in a process of its own: it redirects standard output and changes module globals, and restores neither.

    Args:
        page: The commands.
        folder: Folder in which they run.
        defaults: Folder with ``fit.yaml``, used by ``mir-tf fit`` without ``--config`` and ``mir-tf tune`` without
            ``--space``, and with ``pretrained``, a model in place of the one that comes with mir-tf.

    Returns:
        The outcomes of the commands that ended; fewer than commands if the shell ended early.
    """
    log = folder.with_suffix(".log")
    with log.open("ab") as file:
        for descriptor in (1, 2):
            os.dup2(file.fileno(), descriptor)
    script = SHELL_FUNCTIONS + "".join(f"{_with_single_loops(command)}request ended $?\n" for command in page)
    requests, requests_end = os.pipe()
    replies_end, replies = os.pipe()
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "REQUESTS": str(requests_end),
        "REPLIES": str(replies_end),
    }
    shell = subprocess.Popen(
        ["bash", "-c", script],
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        pass_fds=(requests_end, replies_end),
    )
    os.close(requests_end)
    os.close(replies_end)
    outcomes: list[Outcome] = []
    with (
        os.fdopen(requests, "rb") as reader,
        os.fdopen(replies, "wb", buffering=0) as writer,
        log.open("rb") as output,
    ):
        while count := _next_word(reader):
            place, program, *arguments = (_next_word(reader) for _ in range(1 + int(count)))
            if program == "ended":
                printed = output.read().decode("utf-8", "replace")
                outcomes.append(Outcome(page[len(outcomes)], int(arguments[0]), printed))
                status = 0
            else:
                os.chdir(place)
                status = _run_here(program, arguments, defaults)
            writer.write(b"%d\n" % status)
    shell.wait()
    return outcomes


def _with_single_loops(command: str) -> str:
    """Return ``command`` changed so that each of its loops runs once."""
    command = re.sub(r"\bfor (\w+) in ([^\s;]+)[^;]*;", r"for \1 in \2;", command)
    return re.sub(r"\buntil (.*); do :; done", r"\1", command)


def _next_word(reader: BinaryIO) -> str:
    """Read the next word of a request; an empty one at the end of the stream."""
    return b"".join(iter(lambda: reader.read(1).rstrip(b"\0"), b"")).decode("utf-8")


def _run_here(program: str, arguments: list[str], defaults: Path) -> int:
    """Run ``mir-tf`` or a Python program in this process on a small budget, and return its exit status."""
    try:
        if program == "mir-tf":
            from mir_tf import pretrained
            from mir_tf.cli import main

            pretrained.FOLDER = defaults / "pretrained"
            main(_with_small_budget(arguments, defaults), prog_name=program)
        elif arguments[:2] == ["-m", "tfrecords_builder"]:
            from tfrecords_builder import processes
            from tfrecords_builder.__main__ import main as build

            processes.pool = _pool
            build(_with_small_budget(arguments[1:], defaults)[1:], prog_name="python -m tfrecords_builder")
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
    """Yield a pool for the builder that uses a thread of this process; a new process would load TensorFlow again."""
    from tfrecords_builder.processes import Pool

    with concurrent.futures.ThreadPoolExecutor(1) as executor:
        yield Pool(executor, 1)


def _with_small_budget(arguments: list[str], defaults: Path) -> list[str]:
    """Return ``arguments`` with a small budget added; if an option is given twice, click uses the last one.

    Also removes an earlier result at ``--out``: the commands of a page are often alternatives with the same ``--out``.
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
        _remove(arguments, "--out")  # plans share runs, but not runs with another budget
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
