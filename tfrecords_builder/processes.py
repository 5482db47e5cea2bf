"""A pool of processes in which a bad file spoils nothing but itself."""

from __future__ import annotations

import concurrent.futures
import contextlib
import dataclasses
import multiprocessing
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures.process import BrokenProcessPool
from typing import TypeVar

from mir_tf.errors import DataError, MirTfError

Progress = Callable[[int, float], None]
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


@contextlib.contextmanager
def pool(
    workers: int, initializer: Callable[[], None] | None = None
) -> Iterator[concurrent.futures.ProcessPoolExecutor]:
    """Worker processes for the block; what still waits when it ends is cancelled.

    Args:
        workers: processes, one at least.
        initializer: called in each of them first.

    Raises:
        DataError: a process was killed.
    """
    # A fork of a process that has loaded TensorFlow hangs.
    spawn = multiprocessing.get_context("spawn")
    executor = concurrent.futures.ProcessPoolExecutor(workers, mp_context=spawn, initializer=initializer)
    try:
        yield executor
    except BrokenProcessPool as error:
        raise DataError(
            f"a worker process was killed, most likely for want of memory: {workers} need up to 1 GB each; "
            "take fewer, or free memory"
        ) from error
    finally:
        executor.shutdown(cancel_futures=True)


def finished(
    futures: dict[concurrent.futures.Future[ResultT], ItemT],
) -> Iterator[tuple[ItemT, ResultT | Failure]]:
    """Items and what became of them, in the order in which they are finished.

    Raises:
        OSError: the disk is full or gone: it would be for the other items too.
        BrokenProcessPool: a process was killed.
    """
    for future in concurrent.futures.as_completed(futures):
        result: ResultT | Failure
        try:
            result = future.result()
        except (OSError, BrokenProcessPool):
            raise
        except MirTfError as error:
            result = Failure(str(error))
        except Exception as error:  # MemoryError, or what damage in a file makes a library raise
            result = Failure(traceback.format_exception_only(error)[-1].strip())
        yield futures[future], result
