"""A pool of processes in which a bad file spoils nothing but itself."""

from __future__ import annotations

import concurrent.futures
import contextlib
import dataclasses
import itertools
import multiprocessing
import os
import signal
import threading
import traceback
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures.process import BrokenProcessPool
from typing import TypeVar

from mir_tf.errors import DataError, MirTfError

TrackProgress = Callable[[int, float], None]
"""Called after each track with the number of tracks in all and the seconds of audio that it gave, 0 if it is bad."""

ItemT = TypeVar("ItemT")
ResultT = TypeVar("ResultT")


@dataclasses.dataclass(frozen=True)
class Failure:
    """Why an item has no result.

    Attributes:
        reason: the message of an error that a person can mend; of any other error its type too.
    """

    reason: str


class Pool:
    """Worker processes. Made by :func:`pool`."""

    def __init__(self, executor: concurrent.futures.Executor, workers: int) -> None:
        self._executor = executor
        self._in_flight = 2 * workers  # the next item waits for each worker, while all others stay where they are

    def results(
        self, function: Callable[[ItemT], ResultT], items: Iterable[ItemT]
    ) -> Iterator[tuple[ItemT, ResultT | Failure]]:
        """Calls ``function`` with each item.

        Args:
            function: of a module, for it is looked up there by the workers.
            items: taken one by one, two a worker ahead of the results.

        Yields:
            Items and what became of them, in the order in which they are finished.

        Raises:
            OSError: nothing can be written, or what the workers need is gone: it would be so for the other items too.
            BrokenProcessPool: a process was killed.
        """
        track_source = iter(items)
        waiting: dict[concurrent.futures.Future[ResultT], ItemT] = {}
        while True:
            for item in itertools.islice(track_source, self._in_flight - len(waiting)):
                waiting[self._executor.submit(function, item)] = item
            if not waiting:
                return
            for future in concurrent.futures.wait(waiting, return_when=concurrent.futures.FIRST_COMPLETED).done:
                result = outcome(future.result)
                yield waiting.pop(future), result


@contextlib.contextmanager
def pool(workers: int, initializer: Callable[[], None] | None = None) -> Iterator[Pool]:
    """Worker processes for the block; what still waits when it ends is cancelled.

    Args:
        workers: processes, one at least.
        initializer: called in each of them first.

    Raises:
        DataError: a process was killed.
    """
    # A fork of a process that has loaded TensorFlow hangs.
    spawn = multiprocessing.get_context("spawn")
    executor = concurrent.futures.ProcessPoolExecutor(workers, spawn, _initialize, (initializer,))
    try:
        yield Pool(executor, workers)
    except BrokenProcessPool as error:
        raise DataError(
            f"a worker process was killed, most likely for want of memory: {workers} need up to 1 GB each; "
            "take fewer, or free memory"
        ) from error
    finally:
        executor.shutdown(cancel_futures=True)


def _initialize(initializer: Callable[[], None] | None) -> None:
    # Ctrl-C reaches every process of a terminal: the parent alone decides, and tells what stands.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # The executor's workers wait for ever for a parent that was killed.
    threading.Thread(target=_die_with_parent, daemon=True).start()
    if initializer is not None:
        initializer()


def _die_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def outcome(work: Callable[[], ResultT]) -> ResultT | Failure:
    """What ``work`` returns, or why its item is bad.

    Raises:
        OSError, BrokenProcessPool: not the item is at fault.
    """
    try:
        return work()
    except (OSError, BrokenProcessPool):
        raise
    except MirTfError as error:
        return Failure(str(error))
    except Exception as error:  # MemoryError, or what damage in a file makes a library raise
        return Failure(traceback.format_exception_only(error)[-1].strip())
