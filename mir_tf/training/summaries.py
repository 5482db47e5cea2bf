"""TensorBoard's event files of a run: curves, timelines, the graph, hyperparameters, time and a profile.

``tensorboard --logdir runs`` shows the runs under the names of their folders. On the HParams page each run is one row,
and TensorBoard puts the hyperparameters in which runs differ first. That works for any set of runs, because no run
writes a list of columns of its own.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from tensorboard.plugins.hparams import api as hparams
from tensorboard.plugins.pr_curve import metadata as pr_curve

from mir_tf.config import RunConfig
from mir_tf.data.pipeline import LabelledTrack
from mir_tf.figures import spectrograms, style
from mir_tf.io.write_errors import writing
from mir_tf.metrics.thresholds import ScoreHistogram
from mir_tf.training.validation import Validation

METRICS = {"best/f1_macro": "macro F1", "best/f1_micro": "micro F1", "best/loss": "validation loss"}
"""Scores of the best epoch so far, tag → name. In TensorBoard's alphabetical order they come first on the HParams
page."""

DATA = "data"
"""The hyperparameter with the folder of the data set, which also decides the front end."""

EPOCHS = "train.epochs"
"""The one field that is not a hyperparameter: you can resume a run with more epochs."""

_PR_CURVE_STEP = 8
"""Every n-th threshold of the histogram becomes a point of a precision-recall curve. The last point is threshold 1."""

_PROFILED_STEPS = (3, 8)
"""First and last step of a profile: the steps before compile the graph and fill the pipeline."""


@dataclasses.dataclass(frozen=True)
class Timing:
    """The time that an epoch took, without validation.

    Attributes:
        steps: Number of steps.
        seconds: Duration of all steps.
        waited: Seconds of waiting for batches.
    """

    steps: int
    seconds: float
    waited: float


def hyperparameter(value: Any) -> Any:
    """Return a field's value as the HParams page can show it: lists and None as text."""
    return value if isinstance(value, bool | int | float | str) else str(value)


class SummaryWriter:
    """Writer of the event files of one run."""

    def __init__(self, folder: Path, config: RunConfig, classes: Sequence[str]) -> None:
        """Open ``folder`` for a run with ``config`` whose model has ``classes``."""
        self._folder, self._config, self._classes = folder, config, classes
        with writing(folder):
            self._writer = tf.summary.create_file_writer(str(folder))
        self._is_profiling = False

    def begin(self, name: str, data: str, graph: tf.Graph) -> None:
        """Write the hyperparameters and the graph: once, before the first epoch.

        Args:
            name: Name of the run on the HParams page. It must be unique: runs with the same name are averaged.
            data: Folder of the data set.
            graph: Graph of the model.
        """
        sections = {key: fields for key, fields in self._config.to_dict().items() if key != "front_end"}
        values = {
            f"{key}.{field}": hyperparameter(value)
            for key, fields in sections.items()
            for field, value in fields.items()
        }
        values[DATA] = data
        del values[EPOCHS]
        with writing(self._folder):
            with self._writer.as_default():
                hparams.hparams(values, trial_id=name)
                tf.summary.graph(graph)
            # If the run is stopped in its first epoch, the resumed run does not write its name again.
            self._writer.flush()

    def profiled(self, step: int, steps: int) -> contextlib.AbstractContextManager[object]:
        """Return a context for ``step`` of ``steps``, from 1, of an epoch in which a few steps are profiled."""
        first, last = _PROFILED_STEPS
        if step == min(first, steps):
            tf.profiler.experimental.start(str(self._folder))
            self._is_profiling = True
        elif step == last + 1:
            self.end_profile()
        return tf.profiler.experimental.Trace("train", step_num=step, _r=1)  # marks a step in the profile

    def end_profile(self) -> None:
        """Write the profile, if one is being taken."""
        if self._is_profiling:
            with writing(self._folder):
                tf.profiler.experimental.stop()
            self._is_profiling = False

    def epoch(
        self,
        row: dict[str, float],
        best: dict[str, float],
        timing: Timing,
        validation: Validation,
        picture: LabelledTrack | None,
    ) -> None:
        """Write the scores of an epoch.

        Args:
            row: The epoch's row of the history.
            best: The row of the best epoch so far.
            timing: The time that training took.
            validation: Scores on validation.
            picture: The track of the first prediction in ``validation``; None draws no picture.
        """
        epoch = int(row["epoch"])
        tuned = validation.tuned
        scalars = {
            "loss/train": row["loss"],
            "loss/validation": row["val_loss"],
            "f1/macro": row["val_macro_f1"],
            "f1/micro": row["val_micro_f1"],
            **dict(zip(METRICS, (best["val_macro_f1"], best["val_micro_f1"], best["val_loss"]), strict=True)),
            "learning_rate": row["learning_rate"],
            "time/seconds_per_step": timing.seconds / timing.steps,
            "time/input_share": timing.waited / timing.seconds,
        }
        per_class = zip(self._classes, tuned.f1, tuned.has_positives, strict=True)
        scalars |= {f"f1_per_class/{name}": f1 for name, f1, has_positives in per_class if has_positives}
        with writing(self._folder), self._writer.as_default():
            for tag, value in scalars.items():
                tf.summary.scalar(tag, value, step=epoch)
            curves = zip(self._classes, _pr_curves(validation.histogram), tuned.has_positives, strict=True)
            for name, curve in ((name, curve) for name, curve, has_positives in curves if has_positives):
                metadata = pr_curve.create_summary_metadata(name, "validation", curve.shape[1])
                tf.summary.write(f"precision_recall/{name}", curve, step=epoch, metadata=metadata)
            if picture:
                self._draw(picture, validation.predictions[0].probabilities, epoch)
            self._writer.flush()

    def _draw(self, track: LabelledTrack, probabilities: NDArray[np.float32], epoch: int) -> None:
        figure = spectrograms.song_figure(
            track.log_mel,
            self._config.front_end,
            track.truth,
            probabilities,
            self._classes,
            title=f"{track.id} after epoch {epoch}",
        )
        tf.summary.image("validation_song", style.to_pixels(figure)[np.newaxis], step=epoch)

    def close(self) -> None:
        """Close the files."""
        self.end_profile()
        with writing(self._folder):
            self._writer.close()


def _pr_curves(histogram: ScoreHistogram) -> NDArray[np.float32]:
    """Return TensorBoard's rows of every class [classes, 6, thresholds]: TP, FP, TN, FN, precision, recall.

    TensorBoard assumes that the thresholds are evenly spaced from 0 to 1; at 1 nothing is detected.
    """
    hits, alarms = (
        np.pad(counts[:, ::_PR_CURVE_STEP].astype(np.float32), ((0, 0), (0, 1))) for counts in histogram.at_least()
    )
    misses, rejections = hits[:, :1] - hits, alarms[:, :1] - alarms
    precision = hits / np.maximum(hits + alarms, 1)
    recall = hits / np.maximum(hits[:, :1], 1)
    return np.stack([hits, alarms, rejections, misses, precision, recall], axis=1)
