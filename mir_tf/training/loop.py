"""Training: from a data set to the bundle of the best epoch, resumable after every epoch."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import json
import math
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
import yaml
from numpy.typing import NDArray

from mir_tf import bundle
from mir_tf.bundle import Bundle
from mir_tf.bundle.history import CHECKPOINT_FILE, CONFIG_FILE, HISTORY_FILE, LOGS_FOLDER, write_history
from mir_tf.bundle.predict import predict_split
from mir_tf.bundle.windows import WindowedModel
from mir_tf.confidence import ConfidenceModel
from mir_tf.config import MODEL_FILE, RunConfig, TrainConfig
from mir_tf.data import pipeline
from mir_tf.data.examples import Examples
from mir_tf.data.manifest import MANIFEST_FILE, Manifest, OnShard, class_frames, read_manifest, require_intact
from mir_tf.data.pipeline import LabelledTrack
from mir_tf.errors import BundleError, ConfigError, DataError, TrainingError
from mir_tf.events import PostProcessing
from mir_tf.io import locks
from mir_tf.io.files import as_path, make_folder, sha256, write_text
from mir_tf.metrics import confidence
from mir_tf.metrics.confidence import TrackTable
from mir_tf.metrics.counts import Baseline
from mir_tf.metrics.event_tuning import choose, grid_counts
from mir_tf.metrics.thresholds import shrink
from mir_tf.models import build_model
from mir_tf.training import transfer
from mir_tf.training.checkpoint import BestEpoch, RunState, check_same_run, damaged, read_checkpoint, write_checkpoint
from mir_tf.training.distribution import Distribution, start
from mir_tf.training.losses import WeightedBCE, class_weights
from mir_tf.training.schedule import Schedule
from mir_tf.training.step import TrainingStep, WeightAverage, dtype_policy, reset_random_state, training_step
from mir_tf.training.summaries import SummaryWriter, Timing
from mir_tf.training.validation import Validation, validate
from mir_tf.vocabulary import VOCABULARIES, Vocabulary

OnEpoch = Callable[[int, dict[str, float]], None]
"""Called after each epoch with its number, from 1, and its row of the history with :data:`BASELINES` added."""

BASELINES = ("baseline_macro_f1", "baseline_micro_f1")
"""F1 of the best constant predictions for the validation split, beside that of the model in a row."""

OnStep = Callable[[int, int, float], None]
"""Called after each step with its number, from 1, the steps in the epoch, and the epoch's mean loss so far."""


@dataclasses.dataclass(frozen=True)
class FitResult:
    """The outcome of a training run.

    Attributes:
        out: Folder of the run and of its bundle.
        history: One row for each epoch, with the columns :data:`mir_tf.bundle.history.HISTORY_COLUMNS`.
        best_epoch: The epoch in the bundle, from 1.
        best_macro_f1: Its macro F1 on validation.
        stopped_early: Whether training ended before the last epoch because validation stopped rising.
        epochs_trained: Epochs trained by this call; 0 if the run was finished before.
        baseline: The best constant predictions for validation; None if no epoch was trained.
    """

    out: Path
    history: list[dict[str, float]]
    best_epoch: int
    best_macro_f1: float
    stopped_early: bool
    epochs_trained: int
    baseline: Baseline | None


@dataclasses.dataclass(frozen=True)
class _Setup:
    """The arguments of one call of :func:`fit`, and the data that follow from them.

    Attributes:
        data: Folder of the data set.
        out: Folder of the run.
        config: Configuration of the run.
        distribution: The devices.
        on_epoch: Called after each epoch.
        on_step: Called after each step.
        on_check: Called after each shard that is compared with its digest.
    """

    data: str | Path
    out: Path
    config: RunConfig
    distribution: Distribution
    on_epoch: OnEpoch | None
    on_step: OnStep | None
    on_check: OnShard | None

    @functools.cached_property
    def manifest(self) -> Manifest:
        """The data set's manifest."""
        return read_manifest(self.data)

    @property
    def vocabulary(self) -> Vocabulary:
        """The classes."""
        return VOCABULARIES[self.config.train.vocabulary]

    @property
    def steps(self) -> int:
        """Steps in an epoch."""
        return self.config.train.steps_per_epoch or pipeline.default_steps(self.manifest, "train", self.config)


def fit(
    data: str | Path,
    out: str | Path,
    config: RunConfig,
    on_epoch: OnEpoch | None = None,
    on_step: OnStep | None = None,
    strategy: str | None = None,
    profile: bool = False,
    init: str | Path | None = None,
    on_check: OnShard | None = None,
) -> FitResult:
    """Train a model, or resume a run that was interrupted if you call this with the same arguments.

    Several devices share every batch. Loss, gradients and the statistics of batch normalisation are those of the whole
    batch, so that only SpecAugment, dropout and remixing depend on the devices. The devices are not part of the run:
    you can resume it on others. Every worker returns the same result; the first one writes ``out``.

    ``out`` receives the bundle of the best epoch, ``history.csv``, ``config.yaml``, TensorBoard's ``logs``, and
    ``checkpoint.npz``, from which a run resumes after its last finished epoch.

    Args:
        data: Folder of the data set.
        out: Folder of the run; created if needed.
        config: Configuration of the run. Its front end must be the data set's.
        on_epoch: Called after each epoch with its number, from 1, and its row of the history, which also has the
            :data:`BASELINES`.
        on_step: Called after each step with its number, from 1, the number of steps in the epoch, and the epoch's mean
            loss so far.
        strategy: None, ``mirrored`` or ``multiworker``, see :func:`mir_tf.training.distribution.start`. All workers
            must see the same ``data`` and the same ``out``.
        profile: Whether to profile a few steps of the first epoch of this call, for TensorBoard.
        init: Folder of a bundle whose weights training starts from (:mod:`mir_tf.training.transfer`). The optimizer
            starts anew. None starts from random weights.
        on_check: Called with the bytes that were compared with their digests so far, and with the bytes of all shards.

    Returns:
        The outcome. A finished run is not trained further.

    Raises:
        DataError: The data set is missing, damaged, has another front end, or has no tracks to learn from.
        BundleError: ``init`` contains no complete bundle.
        TrainingError: ``out`` contains a run with another configuration, data set or ``init``, the loss is not finite,
            memory does not suffice, or the workers fail to work together.
        ConfigError: The strategy is not available or does not fit the configuration, or the network is not that of
            ``init``.
        InUseError: Another process is writing ``out``.
        WriteError: A file cannot be written.
    """
    distribution = start(strategy)  # TensorFlow requires this before anything else that it does
    # Of the workers, only the first one writes.
    lock = locks.exclusive(as_path(out)) if distribution.is_chief else contextlib.nullcontext()
    with lock, distribution.report_worker_loss():
        result = _fit(_Setup(data, as_path(out), config, distribution, on_epoch, on_step, on_check), profile, init)
        # Without this, a worker that ends before the first one has written its files would count as lost.
        distribution.total(np.zeros(1))
    return result


def _fit(setup: _Setup, profile: bool, init: str | Path | None) -> FitResult:
    """Train on one worker."""
    data, out, config, distribution = setup.data, setup.out, setup.config, setup.distribution
    train = config.train
    _check_divisible(train, distribution)
    described = None if init is None else transfer.check_init(init, data, setup.manifest, config, out)
    pipeline.check_front_end(data, setup.manifest, config.front_end)
    positives = _positives(data, setup.manifest, "train", setup.vocabulary)
    _positives(data, setup.manifest, "validation", setup.vocabulary)  # fails now rather than after the first epoch
    state, values = _new_or_earlier_state(setup, None if described is None else described.model_sha256)
    trained = None if init is None else bundle.load(init)
    distribution.require_same(
        {
            "settings": json.dumps(state.config),
            "model to start from": str(state.init),
            f"data set in {data}": state.data,
            f"run in {out}": json.dumps(dataclasses.asdict(state)),
        }
    )
    if distribution.is_chief:
        make_folder(out)
        sections = {name: fields for name, fields in config.to_dict().items() if name != "front_end"}
        write_text(out / CONFIG_FILE, yaml.safe_dump(sections, sort_keys=False))

    if train.deterministic:
        tf.config.experimental.enable_op_determinism()
    keras.utils.set_random_seed(train.seed)
    with distribution.strategy.scope():
        run = _Run(setup, state, _build(setup, positives, trained))
        if values:
            run.restore(values)
    finished_before = state.epoch
    if not run.is_over:
        require_intact(data, setup.manifest, ("train", "validation"), setup.on_check)
        run.train(profile)
    return FitResult(
        out=out,
        history=state.history,
        best_epoch=state.schedule.best_epoch,
        best_macro_f1=state.schedule.best,
        stopped_early=state.schedule.is_over(train),
        epochs_trained=state.epoch - finished_before,
        baseline=run.baseline,
    )


def _check_divisible(train: TrainConfig, distribution: Distribution) -> None:
    """Refuse a configuration that does not work with the number of replicas."""
    replicas = distribution.replicas
    if train.batch_size % replicas:
        raise ConfigError(f"TrainConfig.batch_size is {train.batch_size}; it must be a multiple of {replicas} replicas")
    if train.jit and replicas > 1:
        raise ConfigError("TrainConfig.jit is True; XLA compiles the step of a single device: train without it")


def _new_or_earlier_state(setup: _Setup, init_sha256: str | None) -> tuple[RunState, list[NDArray[Any]]]:
    """Return the state of the run, and the values of its variables if there is a checkpoint to resume from."""
    state = RunState(
        config=setup.config.to_dict(),
        data=sha256(as_path(setup.data) / MANIFEST_FILE),
        schedule=Schedule(setup.config.train.learning_rate),
        init=init_sha256,
    )
    path = setup.out / CHECKPOINT_FILE
    if not path.is_file():
        return state, []
    earlier, values = read_checkpoint(path)
    check_same_run(setup.out, earlier, state)
    return dataclasses.replace(earlier, config=state.config), values


def _build(setup: _Setup, positives: NDArray[np.int64], trained: Bundle | None) -> keras.Model:
    """Return the model, compiled, with the weights of ``trained`` if given.

    Args:
        setup: The run.
        positives: int64 [classes]: label frames of the train split in which each class sounds.
        trained: The model whose weights training starts from.
    """
    config, manifest = setup.config, setup.manifest
    train = config.train
    statistics = manifest.feature_mean, manifest.feature_std
    if trained is not None:
        statistics = transfer.statistics_of(trained)
    with dtype_policy(train):
        model = build_model(config.model, config.front_end, len(setup.vocabulary), *statistics)
    if trained is not None:
        transfer.take_weights(model, trained, with_classes=trained.vocabulary == setup.vocabulary)
    # As PyTorch's AdamW: with its epsilon, and with decay of every weight.
    optimizer = keras.optimizers.AdamW(
        train.learning_rate,
        weight_decay=train.weight_decay,
        epsilon=1e-8,
        global_clipnorm=train.clip_norm / setup.distribution.replicas,  # see training_step
    )
    weights = class_weights(positives, manifest.splits["train"].label_frames, train.pos_weight_max)
    loss = WeightedBCE(weights, train.gamma_pos, train.gamma_neg, train.boundary_weight)
    model.compile(optimizer, loss)  # scales the loss if the precision is float16
    model.optimizer.build(model.trainable_variables)
    return model


def missing_classes(data: str | Path, manifest: Manifest, vocabulary: Vocabulary) -> list[str]:
    """Return a warning for each of the splits ``train`` and ``validation`` in which some classes never sound.

    Raises:
        DataError: There are no training or validation tracks, or no class sounds in them.
    """
    sentences = []
    for split, consequence in (
        ("train", "the model cannot learn them; their weight is 1"),
        ("validation", "their threshold is 0.5, and macro F1 leaves them out"),
    ):
        positives = _positives(data, manifest, split, vocabulary)
        if missing := [name for name, count in zip(vocabulary.classes, positives, strict=True) if not count]:
            sentences.append(f"never sounding in split {split!r}: {', '.join(missing)}: {consequence}")
    return sentences


def _positives(data: str | Path, manifest: Manifest, split: str, vocabulary: Vocabulary) -> NDArray[np.int64]:
    """Return the label frames [classes] of ``split`` in which each class sounds."""
    try:
        positives = class_frames(data, manifest, split, vocabulary)
    except DataError as error:
        raise DataError(
            f"{error}. Training learns from split 'train' and tunes thresholds on split 'validation': build "
            "the data set from more songs"
        ) from error
    if not positives.any():
        raise DataError(
            f"{data}: no class of the vocabulary {vocabulary.name!r} ever sounds in split {split!r}; "
            "build the data set from other songs"
        )
    return positives


class _Run:
    """The epochs of one call of :func:`fit`."""

    def __init__(self, setup: _Setup, state: RunState, model: keras.Model) -> None:
        """Prepare to train ``model``, which is compiled, from ``state`` on; ``state`` is updated after each epoch."""
        self.setup, self.state, self.model = setup, state, model
        self.baseline: Baseline | None = None
        self._average = WeightAverage(model, setup.config.train.ema_decay)

    @functools.cached_property
    def _windowed(self) -> WindowedModel:
        return WindowedModel(self.model, self.setup.config)

    @property
    def is_over(self) -> bool:
        """Whether the run has reached its last epoch, or validation has stopped rising."""
        train = self.setup.config.train
        return self.state.epoch >= train.epochs or self.state.schedule.is_over(train)

    @property
    def variables(self) -> list[keras.Variable | tf.Variable]:
        """Everything that the checkpoint stores of the model, its optimizer and the average of its weights."""
        return [*self.model.weights, *self.model.optimizer.variables, *self._average.variables]

    def restore(self, values: list[NDArray[Any]]) -> None:
        """Set all variables to the ``values`` in a checkpoint."""
        variables = self.variables
        if [variable.shape for variable in variables] != [value.shape for value in values]:
            raise damaged(self.setup.out / CHECKPOINT_FILE, "its variables are not this model's")
        for variable, value in zip(variables, values, strict=True):
            variable.assign(value)
        if self.setup.distribution.is_chief:
            # The run may have been stopped after it wrote the checkpoint and before it wrote these.
            write_history(self.setup.out / HISTORY_FILE, self.state.history)
            if not self._is_saved():
                self._save_if_best()

    def train(self, profile: bool) -> None:
        """Train to the last epoch or until validation stops rising."""
        setup, train = self.setup, self.setup.config.train
        step = training_step(self.model, self._average, setup.distribution.strategy, setup.config)
        summaries = self._open_summaries() if setup.distribution.is_chief else None
        try:
            with pipeline.report_read_errors(setup.data, setup.manifest, "train"):
                batches = self._batches()
                while not self.is_over:
                    self._epoch(step, batches, summaries, profile)
                    profile = False
        except (tf.errors.ResourceExhaustedError, MemoryError) as error:
            raise TrainingError(
                f"out of memory: {train.batch_size} crops of {train.crop_seconds:g} s do not fit; use a "
                "smaller batch_size or crop_seconds, or mixed_precision"
            ) from error
        finally:
            if summaries:
                summaries.close()

    def _open_summaries(self) -> SummaryWriter:
        setup, logs = self.setup, self.setup.out / LOGS_FOLDER
        is_new = not logs.exists()
        summaries = SummaryWriter(logs, setup.config, setup.vocabulary.classes)
        if is_new:
            place = setup.out.resolve()
            name = f"{place.name} in {place.parent}"  # the page cuts off long names
            summaries.begin(name, str(setup.data), self._windowed.graph)
        return summaries

    def _batches(self) -> Iterator[Examples]:
        """Return the batches of the remaining epochs, divided among the replicas of this worker."""
        setup, distribution = self.setup, self.setup.distribution
        dataset = pipeline.training_dataset(
            setup.data,
            setup.manifest,
            "train",
            setup.config,
            self.state.epoch,
            setup.steps,
            distribution.worker,
            distribution.workers,
        )
        if distribution.replicas == 1:
            if tf.config.list_logical_devices("GPU"):
                dataset = dataset.apply(tf.data.experimental.prefetch_to_device("/GPU:0"))
            return iter(dataset)
        # Repeated without end: otherwise the workers would ask each other before every step whether all have a batch.
        share = setup.config.train.batch_size // distribution.replicas
        dataset = dataset.rebatch(share, drop_remainder=True).repeat()
        return iter(distribution.strategy.distribute_datasets_from_function(lambda context: dataset))

    def _epoch(
        self,
        step: TrainingStep,
        batches: Iterator[Examples],
        summaries: SummaryWriter | None,
        profile: bool,
    ) -> None:
        """Train and validate once, and write everything that a resumed run needs."""
        began, state, distribution = time.perf_counter(), self.state, self.setup.distribution
        epoch = state.epoch + 1
        loss, timing = self._train_epoch(step, batches, summaries, profile)
        # An epoch on a shard that was replaced meanwhile must not get into the checkpoint.
        require_intact(self.setup.data, self.setup.manifest, ["train"])
        validation = self._validate()
        self.baseline = validation.baseline
        row = {
            "epoch": epoch,
            "loss": loss,
            "val_loss": validation.loss,
            "val_macro_f1": validation.tuned.macro_f1,
            "val_micro_f1": validation.tuned.micro_f1,
            "learning_rate": state.schedule.learning_rate,
            "seconds": time.perf_counter() - began,
        }
        state.history.append(row)
        if state.schedule.step(epoch, validation.tuned.macro_f1, self.setup.config.train):
            state.best = self._best(validation)
        if summaries:
            # Before the checkpoint: once that is written, its epoch is not repeated.
            best = state.history[state.schedule.best_epoch - 1]
            summaries.epoch(row, best, timing, validation, self._picture())
        if distribution.is_chief:
            write_checkpoint(self.setup.out / CHECKPOINT_FILE, state, self.variables)
            write_history(self.setup.out / HISTORY_FILE, state.history)
            self._save_if_best()
        if self.setup.on_epoch:
            constant = (self.baseline.macro_f1, self.baseline.micro_f1)
            self.setup.on_epoch(epoch, row | dict(zip(BASELINES, constant, strict=True)))

    def _train_epoch(
        self,
        step: TrainingStep,
        batches: Iterator[Examples],
        summaries: SummaryWriter | None,
        profile: bool,
    ) -> tuple[float, Timing]:
        """Train once, with the learning rate and the random state that a resumed run begins the epoch with.

        Returns:
            The mean loss, and where the time went.
        """
        began, setup, state = time.perf_counter(), self.setup, self.state
        with setup.distribution.strategy.scope():
            self.model.optimizer.learning_rate = state.schedule.learning_rate
        reset_random_state(self.model, setup.config.train.seed, state.epoch, setup.distribution)
        loss = waited = 0.0
        steps = setup.steps
        for number in range(1, steps + 1):
            with summaries.profiled(number, steps) if summaries and profile else contextlib.nullcontext():
                asked = time.perf_counter()
                batch = next(batches)
                waited += time.perf_counter() - asked
                loss += (float(step(batch)) - loss) / number
            if not math.isfinite(loss):
                raise self._diverged(f"the loss is {loss} at step {number} of epoch {state.epoch + 1}")
            if setup.on_step:
                setup.on_step(number, steps, loss)
        trained = time.perf_counter() - began
        if summaries:
            summaries.end_profile()
        return loss, Timing(steps, trained, waited)

    def _validate(self) -> Validation:
        """Score the average of the weights. Each worker predicts its share of the tracks; all get the same scores."""
        setup, distribution = self.setup, self.setup.distribution
        predictions = predict_split(
            self._windowed,
            setup.config,
            setup.data,
            "validation",
            manifest=setup.manifest,
            worker=distribution.worker,
            workers=distribution.workers,
        )
        with self._average.swapped_in():
            try:
                return validate(predictions, self.model.loss, len(setup.vocabulary), distribution)
            except FloatingPointError as error:
                raise self._diverged(f"{error} after epoch {self.state.epoch + 1}") from error

    def _best(self, validation: Validation) -> BestEpoch:
        """Return the thresholds and the post-processing of the epoch that was just validated."""
        shrinkage = self.setup.config.train.threshold_shrinkage
        thresholds = shrink(validation.tuned, validation.histogram, shrinkage)
        scored = [(each.probabilities, each.truth) for each in validation.predictions]
        counts = self.setup.distribution.total(grid_counts(scored, thresholds).astype(np.float64))
        distribution, mine = self.setup.distribution, TrackTable.of(validation.predictions, thresholds).to_array()
        rows = np.zeros((self.setup.manifest.splits["validation"].tracks, mine.shape[1]))
        rows[distribution.worker :: distribution.workers] = mine
        return BestEpoch(
            thresholds=thresholds.tolist(),
            has_positives=validation.tuned.has_positives.tolist(),
            post_processing=choose(counts.astype(np.int64), thresholds).to_dict(),
            confidence=confidence.fit(TrackTable.from_array(distribution.total(rows)))[0].to_dict(),
        )

    def _picture(self) -> LabelledTrack | None:
        """Return the first validation track if it is to be drawn: every few epochs, and after the last one."""
        setup, every = self.setup, self.setup.config.train.image_every
        if not every or (self.state.epoch % every and not self.is_over):
            return None
        return next(pipeline.tracks(setup.data, setup.manifest, "validation", setup.vocabulary))

    def _diverged(self, cause: str) -> TrainingError:
        rate = self.state.schedule.learning_rate
        return TrainingError(
            f"{cause}: training diverged. Run again, in another folder, with a learning_rate below {rate:g}"
            + (", or without mixed_precision" if self.setup.config.train.mixed_precision else "")
        )

    def _is_saved(self) -> bool:
        """Return whether the bundle of the last epoch is complete.

        If it is, it must not be written again: the file would have another digest.
        """
        try:
            found = bundle.describe(self.setup.out)
            return found.info == self._info() and found.model_sha256 == sha256(self.setup.out / MODEL_FILE)
        except BundleError:
            return False

    def _info(self) -> dict[str, Any]:
        state = self.state
        return state.history[-1] | ({} if state.init is None else {"init": state.init})

    def _save_if_best(self) -> None:
        """Write the bundle if the last epoch is the best one."""
        state = self.state
        if state.schedule.best_epoch != state.epoch:
            return
        names = zip(self.setup.vocabulary.classes, state.best.has_positives, strict=True)
        best = Bundle(
            model=self.model,
            config=self.setup.config,
            thresholds=np.array(state.best.thresholds, np.float32),
            post_processing=PostProcessing.from_dict(state.best.post_processing),
            untuned=tuple(name for name, has_positives in names if not has_positives),
            info=self._info(),
            confidence=None if state.best.confidence is None else ConfidenceModel.from_dict(state.best.confidence),
        )
        with self._average.swapped_in():
            best.save(self.setup.out)
