"""Training of one model on several devices and machines: TensorFlow's strategies, with errors that name the remedy.

A worker is a process. Each of its devices is a replica: it has a copy of the model and takes its share of every batch.
Start the workers one by one, with the same command and a ``TF_CONFIG`` that names all of them.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from mir_tf.errors import ConfigError, TrainingError

STRATEGIES = ("mirrored", "multiworker")

_EXAMPLE = '{"cluster": {"worker": ["HOST0:PORT", "HOST1:PORT"]}, "task": {"type": "worker", "index": 0}}'

_LOST_ERRORS = (
    tf.errors.UnavailableError,
    tf.errors.AbortedError,
    tf.errors.CancelledError,
    tf.errors.DeadlineExceededError,
    tf.errors.InternalError,
)
"""TensorFlow's errors when another worker has gone. The error depends on the operation that was running."""


@dataclasses.dataclass(frozen=True)
class Distribution:
    """The devices that train one model.

    Attributes:
        strategy: TensorFlow's strategy; the default one is a single device.
        worker: Number of this process, from 0.
        workers: Number of processes.
    """

    strategy: tf.distribute.Strategy
    worker: int = 0
    workers: int = 1

    @property
    def is_chief(self) -> bool:
        """Whether this process writes the files of the run."""
        return self.worker == 0

    @property
    def replicas(self) -> int:
        """Number of replicas on all workers."""
        return int(self.strategy.num_replicas_in_sync)

    @property
    def first_replica(self) -> int:
        """Number of this worker's first replica."""
        return self.worker * self.replicas // self.workers

    def total(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the sum of ``values`` over all workers: all must call this at the same point, with one shape."""
        if self.workers == 1:
            return values

        def of_replica(context: tf.distribute.experimental.ValueContext) -> tf.Tensor:
            is_first = context.replica_id_in_sync_group == self.first_replica
            return tf.constant(values if is_first else np.zeros_like(values))

        contributions = self.strategy.experimental_distribute_values_from_function(of_replica)
        return self.strategy.reduce(tf.distribute.ReduceOp.SUM, contributions, axis=None).numpy()

    def gather(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the ``values`` of all workers as [workers, ...]; call it as :meth:`total`."""
        rows = np.zeros((self.workers, *values.shape))
        rows[self.worker] = values
        return self.total(rows)

    def require_same(self, seen: Mapping[str, str]) -> None:
        """Refuse workers whose inputs differ; all must call this at the same point.

        Args:
            seen: Name of each input, for the message → its content.

        Raises:
            TrainingError: An input of a worker differs from that of worker 0.
        """
        digests = [int(hashlib.sha256(text.encode()).hexdigest()[:12], 16) for text in seen.values()]
        rows = self.gather(np.array(digests, np.float64))  # [workers, inputs]
        for index, name in enumerate(seen):
            if others := np.flatnonzero(rows[:, index] != rows[0, index]).tolist():
                raise TrainingError(
                    f"the {name}: worker {', '.join(map(str, others))} does not see the same as worker 0; start all "
                    "workers with the same command, on folders that all of them share"
                )

    @contextlib.contextmanager
    def report_worker_loss(self) -> Iterator[None]:
        """Replace TensorFlow's errors after the loss of another worker, inside the block, by a clear one.

        Raises:
            TrainingError: A worker was lost.
        """
        try:
            yield
        except _LOST_ERRORS as error:
            if self.workers == 1:
                raise
            cause = error.message.partition("\n")[0]
            raise TrainingError(
                f"worker {self.worker} lost another worker ({cause}); start all of them again with the same command: "
                "they resume after the last finished epoch"
            ) from error


def start(name: str | None = None) -> Distribution:
    """Open a strategy. ``multiworker`` waits until all workers have been started.

    Args:
        name: ``mirrored`` for all GPUs of this machine, or its CPU devices if it has no GPU; ``multiworker`` for
            all machines in the environment variable ``TF_CONFIG``; None for a single device.

    Raises:
        ConfigError: ``name`` is unknown, or ``TF_CONFIG`` is missing or wrong.
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
            f"cannot connect the workers in TF_CONFIG: {error}. Check that their addresses are right and their ports "
            "free, and that this process has not used TensorFlow before"
        ) from error


def _read_cluster(text: str | None) -> tuple[int, int]:
    """Return this worker's number and the number of workers in ``TF_CONFIG``."""
    if not text:
        raise ConfigError(f"strategy multiworker needs the environment variable TF_CONFIG, like {_EXAMPLE}")
    try:
        content: dict[str, Any] = json.loads(text)
        cluster, task = content["cluster"], content["task"]
        # In TensorFlow's order: a chief, if there is one, is the first worker.
        tasks = [(kind, index) for kind in ("chief", "worker") for index, _ in enumerate(cluster.get(kind, []))]
        return tasks.index((task["type"], task["index"])), len(tasks)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ConfigError(
            f"TF_CONFIG is {text:.200}: {error!r}; it must name all workers and which of them this is, like {_EXAMPLE}"
        ) from error
