"""Several devices and machines that train one model together: TensorFlow's strategies, opened with errors one can mend.

A worker is a process; each of its devices holds a replica, a copy of the model that takes its share of every batch.
Workers are started one by one, with the same command and a ``TF_CONFIG`` that names all of them.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from mir_tf.errors import ConfigError, TrainingError

STRATEGIES = ("mirrored", "multiworker")

_EXAMPLE = '{"cluster": {"worker": ["HOST0:PORT", "HOST1:PORT"]}, "task": {"type": "worker", "index": 0}}'

# Another worker has gone: what reaches the others depends on what they were doing.
_LOST_ERRORS = (
    tf.errors.UnavailableError,
    tf.errors.AbortedError,
    tf.errors.CancelledError,
    tf.errors.DeadlineExceededError,
    tf.errors.InternalError,
)


@dataclasses.dataclass(frozen=True)
class Distribution:
    """The devices that train one model.

    Attributes:
        strategy: TensorFlow's; its default one is a single device.
        worker: number of this process.
        workers: processes.
    """

    strategy: tf.distribute.Strategy
    worker: int = 0
    workers: int = 1

    @property
    def is_chief(self) -> bool:
        """Whether this process writes what the run leaves behind."""
        return self.worker == 0

    @property
    def replicas(self) -> int:
        """Replicas on all workers."""
        return int(self.strategy.num_replicas_in_sync)

    @property
    def first_replica(self) -> int:
        """Number of this worker's first replica."""
        return self.worker * self.replicas // self.workers

    def total(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """The sum of all workers' ``values``, the same on each: all must call it at the same point, with one shape."""
        if self.workers == 1:
            return values

        def of_replica(context: tf.distribute.experimental.ValueContext) -> tf.Tensor:
            is_first = context.replica_id_in_sync_group == self.first_replica
            return tf.constant(values if is_first else np.zeros_like(values))

        contributions = self.strategy.experimental_distribute_values_from_function(of_replica)
        return self.strategy.reduce(tf.distribute.ReduceOp.SUM, contributions, axis=None).numpy()

    def gather(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """All workers' ``values`` [workers, ...], as :meth:`total` brings them together."""
        rows = np.zeros((self.workers, *values.shape))
        rows[self.worker] = values
        return self.total(rows)

    @contextlib.contextmanager
    def loss_named(self) -> Iterator[None]:
        """Turns what TensorFlow says inside the block when another worker has gone into an error that says so.

        Raises:
            TrainingError: a worker was lost.
        """
        try:
            yield
        except _LOST_ERRORS as error:
            if self.workers == 1:
                raise
            cause = error.message.partition("\n")[0]
            raise TrainingError(
                f"worker {self.worker} lost another worker ({cause}); start all of them again with the same command: "
                "they go on after the last finished epoch"
            ) from error


def start(name: str | None = None) -> Distribution:
    """Opens a strategy; for ``multiworker`` this waits until all workers have been started.

    Args:
        name: ``mirrored`` for all GPUs of this machine, or its CPU devices where it has none; ``multiworker`` for
            all machines in the environment variable ``TF_CONFIG``; None for a single device.

    Raises:
        ConfigError: ``name`` is none of them, or ``TF_CONFIG`` is missing or wrong.
        TrainingError: TensorFlow cannot open the strategy.
    """
    if name is None:
        return Distribution(tf.distribute.get_strategy())
    if name == "mirrored":
        devices = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
        return Distribution(tf.distribute.MirroredStrategy([device.name for device in devices]))
    if name != "multiworker":
        raise ConfigError(f"strategy is {name!r}; it must be {' or '.join(STRATEGIES)}")
    worker, workers = _read_cluster(os.environ.get("TF_CONFIG"))
    try:
        return Distribution(tf.distribute.MultiWorkerMirroredStrategy(), worker, workers)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"TF_CONFIG is wrong: {error}; it must be like {_EXAMPLE}") from error
    except (RuntimeError, tf.errors.OpError) as error:
        raise TrainingError(
            f"the workers in TF_CONFIG cannot be joined: {error}. Are their addresses right, their ports free, and has "
            "TensorFlow done nothing before in this process?"
        ) from error


def _read_cluster(text: str | None) -> tuple[int, int]:
    """This worker's number and the number of workers in ``TF_CONFIG``."""
    if not text:
        raise ConfigError(f"strategy multiworker needs the environment variable TF_CONFIG, like {_EXAMPLE}")
    try:
        content: dict[str, Any] = json.loads(text)
        cluster, task = content["cluster"], content["task"]
        # As TensorFlow counts them: the chief, if one is named, is the first.
        tasks = [(kind, index) for kind in ("chief", "worker") for index, _ in enumerate(cluster.get(kind, []))]
        return tasks.index((task["type"], task["index"])), len(tasks)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ConfigError(
            f"TF_CONFIG is {text}: {error!r}; it must name all workers and which of them this is, like {_EXAMPLE}"
        ) from error
