"""A pool of processes in which a bad file affects only its own result."""

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
"""Function called after each track with the number of all tracks and its seconds of audio, 0 if it is bad."""

ItemT = TypeVar("ItemT")
ResultT = TypeVar("ResultT")


@dataclasses.dataclass(frozen=True)
class Failure:
    """The reason why an item has no result.

    Attributes:
        reason: The message of an error that a user can fix; for any other error, with its type.
    """

    reason: str


class Pool:
    """Worker processes. Made by :func:`pool`."""

    def __init__(self, executor: concurrent.futures.Executor, workers: int) -> None:
        self._executor = executor
        self._in_flight = 2 * workers  # one item waits for each worker, the others are not fetched yet

    def results(
        self, function: Callable[[ItemT], ResultT], items: Iterable[ItemT]
    ) -> Iterator[tuple[ItemT, ResultT | Failure]]:
        """Call ``function`` with each item.

        Args:
            function: Defined in a module, where the workers look it up.
            items: Fetched one by one, two per worker ahead of the results.

        Yields:
            Items with their results, in the order in which they are finished.

        Raises:
            OSError: The disk is not writable or files that the workers need are gone, which would affect all items.
            BrokenProcessPool: A process was killed.
        """
        remaining = iter(items)
        waiting: dict[concurrent.futures.Future[ResultT], ItemT] = {}
        while True:
            for item in itertools.islice(remaining, self._in_flight - len(waiting)):
                waiting[self._executor.submit(function, item)] = item
            if not waiting:
                return
            for future in concurrent.futures.wait(waiting, return_when=concurrent.futures.FIRST_COMPLETED).done:
                result = outcome(future.result)
                yield waiting.pop(future), result


@contextlib.contextmanager
def pool(workers: int, initializer: Callable[[], None] | None = None) -> Iterator[Pool]:
    """Yield worker processes; work that still waits when the block ends is cancelled.

    Args:
        workers: Number of processes, at least one.
        initializer: Called first in each of them.

    Raises:
        DataError: A process was killed.
    """
    # A forked process hangs if its parent has loaded TensorFlow.
    spawn = multiprocessing.get_context("spawn")
    executor = concurrent.futures.ProcessPoolExecutor(workers, spawn, _initialize, (initializer,))
    try:
        yield Pool(executor, workers)
    except BrokenProcessPool as error:
        raise DataError(
            f"a worker process was killed, probably because memory ran out: {workers} workers need up to 1 GB each. "
            "Use fewer --workers, or free memory"
        ) from error
    finally:
        executor.shutdown(cancel_futures=True)


def _initialize(initializer: Callable[[], None] | None) -> None:
    # Ctrl-C reaches every process of a terminal; only the parent handles it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # Otherwise workers would wait for ever after their parent was killed.
    threading.Thread(target=_die_with_parent, daemon=True).start()
    if initializer is not None:
        initializer()


def _die_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def outcome(work: Callable[[], ResultT]) -> ResultT | Failure:
    """Return the result of ``work``, or the failure of its item.

    Raises:
        OSError, BrokenProcessPool: The cause is not the item.
    """
    try:
        return work()
    except (OSError, BrokenProcessPool):
        raise
    except MirTfError as error:
        return Failure(str(error))
    except Exception as error:  # MemoryError, or any error of a library that reads a damaged file
        return Failure(traceback.format_exception_only(error)[-1].strip())
