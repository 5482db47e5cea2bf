"""TensorBoard on runs, searches and comparisons, under names that a person gave them."""

from __future__ import annotations

import contextlib
import os
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from mir_tf.config import read_yaml
from mir_tf.errors import ConfigError, DataError

_EVENTS = "events.out.tfevents"
"""Beginning of the names of event files."""

_UNTOLD = {"logs", "runs", "trials"}
"""Folders whose names say nothing of a run."""

_REFRESH_SECONDS = 10.0


def find_logs(folders: Sequence[Path]) -> dict[str, Path]:
    """Folders that hold event files, by a short name.

    A run is called as its folder is; one of a search or a comparison by its path from there. Where several folders are
    given, names begin where their paths part.

    Args:
        folders: of runs, searches (``mir-tf tune``), comparisons (``mir-tf compare``), or of any of these.

    Raises:
        DataError: there are no event files in one of them.
    """
    folders = [folder.resolve() for folder in folders]
    root = Path(os.path.commonpath([folder.parent for folder in folders]))
    found: dict[str, Path] = {}
    for folder in folders:
        logs = sorted(
            Path(place) for place, _, files in os.walk(folder) if any(file.startswith(_EVENTS) for file in files)
        )
        if not logs:
            raise DataError(
                f"{folder}: no TensorBoard logs in it; give the folder of mir-tf fit, mir-tf tune or mir-tf compare"
            )
        for place in logs:
            parts = place.relative_to(root).parts
            name = "/".join(part for part in parts if part not in _UNTOLD) or place.name
            found["/".join(parts) if found.get(name, place) != place else name] = place
    return found


def _write_columns(logs: dict[str, Path], folder: Path) -> None:
    """Has the HParams page show the data set and the fields in which runs differ, of a single run all of them.

    A search has said itself what it searches.
    """
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.plugins.hparams import api
    from tensorboard.summary.writer.event_file_writer import EventFileWriter

    from mir_tf.bundle.history import CONFIG_FILE
    from mir_tf.training.summaries import DATA, EPOCHS, METRICS

    if any(place.name == "trials" for place in logs.values()):
        return
    configs = [
        read_yaml(place.parent / CONFIG_FILE) for place in logs.values() if (place.parent / CONFIG_FILE).is_file()
    ]
    values: dict[str, set[str]] = {}
    for section, fields in ((section, fields) for config in configs for section, fields in config.items()):
        for field, value in fields.items():
            values.setdefault(f"{section}.{field}", set()).add(str(value))
    if not configs:
        return
    values.pop(EPOCHS, None)
    # The data set always: config.yaml, which can be taken to another, does not tell it.
    shown = [DATA, *(name for name, different in values.items() if len(configs) == 1 or len(different) > 1)]
    metrics = [api.Metric(tag, display_name=name) for tag, name in METRICS.items()]
    writer = EventFileWriter(str(folder))
    writer.add_event(
        Event(summary=api.hparams_config_pb(hparams=[api.HParam(name) for name in shown], metrics=metrics))
    )
    writer.close()


def _link(logs: dict[str, Path], folder: Path) -> None:
    """Links every folder of event files under its name in ``folder``; what is linked already stays."""
    for name, place in logs.items():
        (folder / name).mkdir(parents=True, exist_ok=True)
        # The entries, not the folder: the links of other runs may have to lie in it.
        for entry in place.iterdir():
            if entry.name.startswith(_EVENTS) or entry.name == "plugins":
                with contextlib.suppress(FileExistsError):
                    (folder / name / entry.name).symlink_to(entry)


@contextlib.contextmanager
def board(folders: Sequence[Path], host: str, port: int | None) -> Iterator[tuple[str, list[str]]]:
    """TensorBoard, while the block runs.

    Runs, and files of runs, that appear later are shown too.

    Args:
        folders: as :func:`find_logs` takes them.
        host: address to listen at.
        port: to listen at; None takes the first free one from 6006 on.

    Yields:
        Its address, and the names of the runs.

    Raises:
        DataError: there is nothing to show.
        ConfigError: the port is taken, or the host is none of this machine.
    """
    from tensorboard import program  # here, because it takes seconds: what cannot be shown is told at once

    logs = find_logs(folders)
    with tempfile.TemporaryDirectory(prefix="mir-tf-board-") as temporary:
        linked = Path(temporary)
        _link(logs, linked)
        _write_columns(logs, linked)
        server = program.TensorBoard()
        server.configure(
            logdir=str(linked),
            host=host,
            reload_interval=_REFRESH_SECONDS,
            reload_multifile=True,  # a resumed run has several event files
            load_fast="false",  # the fast loader follows no links
            **({} if port is None else {"port": port}),
        )
        try:
            address = server.launch()
        except program.TensorBoardServerException as error:
            raise ConfigError(f"{error.msg}; take another --port or --host") from error
        with _repeated(lambda: _link(find_logs(folders), linked)):
            yield address, sorted(logs)


@contextlib.contextmanager
def _repeated(work: Callable[[], None]) -> Iterator[None]:
    """Does ``work`` every so often in the background; a run that is being removed meanwhile is no failure."""
    is_over = threading.Event()

    def repeat() -> None:
        while not is_over.wait(_REFRESH_SECONDS):
            with contextlib.suppress(OSError, DataError):
                work()

    thread = threading.Thread(target=repeat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()
