"""What TensorBoard shows of a training run: curves, timelines, the graph, hyperparameters, time, a profile."""

from __future__ import annotations

import contextlib
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
from mir_tf.figures import timelines
from mir_tf.metrics.thresholds import ScoreHistogram, TunedThresholds

METRICS = {"kept/f1_macro": "macro F1", "kept/f1_micro": "micro F1", "kept/loss": "validation loss"}
"""Of the best epoch so far, which is kept: what the HParams page lists beside a run's hyperparameters, and names."""

DATA = "data"
"""The hyperparameter that says which data set, and so which front end."""

EPOCHS = "train.epochs"
"""The one field that is no hyperparameter of a run: it may be resumed with more of them."""

_PR_CURVE_STEP = 8
"""Of the histogram's thresholds, every so many becomes a point of a precision-recall curve. Threshold 1 is the last."""

_PROFILED_STEPS = (3, 8)
"""First and last step of a profile: the ones before compile the graph and fill the pipeline."""


def shown(value: Any) -> Any:
    """A field's value as the HParams page can hold it: lists as text, None as the word."""
    return value if isinstance(value, bool | int | float | str) else str(value)


class Summaries:
    """Writes the event files of one run."""

    def __init__(self, folder: Path, config: RunConfig, classes: Sequence[str]) -> None:
        """Opens ``folder`` for a run of ``config`` whose model has ``classes``."""
        self._folder, self._config, self._classes = folder, config, classes
        self._writer = tf.summary.create_file_writer(str(folder))
        self._is_profiling = False

    def begin(self, name: str, data: str, graph: tf.Graph) -> None:
        """Writes what holds for the whole run: once, before its first epoch.

        Args:
            name: of the run on the HParams page, its alone: of runs that share one, the page shows the mean.
            data: folder of the data set, which decides the front end.
            graph: of the model.
        """
        sections = {key: fields for key, fields in self._config.to_dict().items() if key != "front_end"}
        values = {f"{key}.{field}": shown(value) for key, fields in sections.items() for field, value in fields.items()}
        values[DATA] = data
        del values[EPOCHS]
        with self._writer.as_default():
            hparams.hparams(values, trial_id=name)
            tf.summary.graph(graph)

    def profiled(self, step: int, steps: int) -> contextlib.AbstractContextManager[object]:
        """A block for ``step`` of ``steps``, from 1, of an epoch in which a few are to be profiled."""
        first, last = _PROFILED_STEPS
        if step == min(first, steps):
            tf.profiler.experimental.start(str(self._folder))
            self._is_profiling = True
        elif step == last + 1:
            self.end_profile()
        return tf.profiler.experimental.Trace("train", step_num=step, _r=1)  # what the profile takes for a step

    def end_profile(self) -> None:
        """Writes the profile, if one is being taken."""
        if self._is_profiling:
            tf.profiler.experimental.stop()
            self._is_profiling = False

    def epoch(
        self,
        row: dict[str, float],
        kept: dict[str, float],
        seconds_per_step: float,
        input_share: float,
        histogram: ScoreHistogram,
        tuned: TunedThresholds,
        picture: tuple[LabelledTrack, NDArray[np.float32]] | None,
    ) -> None:
        """Writes what an epoch came to.

        Args:
            row: of the history.
            kept: the row of the best epoch so far, whose model is kept.
            seconds_per_step: of training, validation not counted.
            input_share: the share of that in which the step waited for its batch, 0 to 1.
            histogram: of the scores on validation.
            tuned: its best thresholds.
            picture: a validation track and the model's probabilities [label frames, classes]; None draws none.
        """
        epoch = int(row["epoch"])
        scalars = {
            "loss/train": row["loss"],
            "loss/validation": row["val_loss"],
            "f1/macro": row["val_macro_f1"],
            "f1/micro": row["val_micro_f1"],
            **dict(zip(METRICS, (kept["val_macro_f1"], kept["val_micro_f1"], kept["val_loss"]), strict=True)),
            "learning_rate": row["learning_rate"],
            "time/seconds_per_step": seconds_per_step,
            "time/input_share": input_share,
        }
        per_class = zip(self._classes, tuned.f1, tuned.has_positives, strict=True)
        scalars |= {f"f1_per_class/{name}": f1 for name, f1, has_positives in per_class if has_positives}
        with self._writer.as_default():
            for tag, value in scalars.items():
                tf.summary.scalar(tag, value, step=epoch)
            curves = zip(self._classes, _pr_curves(histogram), tuned.has_positives, strict=True)
            for name, curve in ((name, curve) for name, curve, has_positives in curves if has_positives):
                metadata = pr_curve.create_summary_metadata(name, "validation", curve.shape[1])
                tf.summary.write(f"precision_recall/{name}", curve, step=epoch, metadata=metadata)
            if picture:
                self._draw(*picture, epoch)
        self._writer.flush()

    def _draw(self, track: LabelledTrack, probabilities: NDArray[np.float32], epoch: int) -> None:
        figure = timelines.song_figure(
            track.log_mel,
            self._config.front_end,
            track.truth,
            probabilities,
            self._classes,
            title=f"{track.id} after epoch {epoch}",
        )
        tf.summary.image("validation_song", timelines.pixels(figure)[np.newaxis], step=epoch)

    def close(self) -> None:
        """Closes the files."""
        self.end_profile()
        self._writer.close()


def _pr_curves(histogram: ScoreHistogram) -> NDArray[np.float32]:
    """TensorBoard's rows of every class [classes, 6, thresholds]: TP, FP, TN, FN, precision, recall.

    TensorBoard takes the thresholds to be evenly spaced from 0 to 1; at 1 nothing is named.
    """
    hits, alarms = (
        np.pad(counts[:, ::_PR_CURVE_STEP].astype(np.float32), ((0, 0), (0, 1))) for counts in histogram.at_least()
    )
    misses, rejections = hits[:, :1] - hits, alarms[:, :1] - alarms
    precision = hits / np.maximum(hits + alarms, 1)
    recall = hits / np.maximum(hits[:, :1], 1)
    return np.stack([hits, alarms, rejections, misses, precision, recall], axis=1)
