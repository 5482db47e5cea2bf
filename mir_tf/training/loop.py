"""Training: from a data set to the bundle of the best epoch, killed and resumed at will."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import io
import json
import math
import time
import zipfile
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
from mir_tf.config import RunConfig, TrainConfig, with_current_names
from mir_tf.data import manifest as records
from mir_tf.data import pipeline
from mir_tf.data.manifest import Manifest
from mir_tf.data.pipeline import LabelledTrack
from mir_tf.errors import BundleError, ConfigError, DataError, TrainingError
from mir_tf.events import PostProcessing
from mir_tf.io.files import as_path, atomic_write, sha256, write_text
from mir_tf.metrics.event_tuning import choose, grid_counts
from mir_tf.metrics.thresholds import ScoreHistogram, TunedThresholds, shrink, tune
from mir_tf.metrics.track import TrackPrediction
from mir_tf.models import build_model
from mir_tf.training import transfer
from mir_tf.training.distribution import Distribution, start
from mir_tf.training.losses import WeightedBCE, class_weights
from mir_tf.training.remix import remix
from mir_tf.training.summaries import Summaries
from mir_tf.vocabulary import VOCABULARIES, Vocabulary

OnEpoch = Callable[[int, dict[str, float]], None]
OnStep = Callable[[int, int, float], None]


@dataclasses.dataclass(frozen=True)
class FitResult:
    """What a training run came to.

    Attributes:
        out: folder of the run and of the bundle.
        history: one row an epoch: ``epoch`` (from 1), ``loss``, ``val_loss``, ``val_macro_f1``,
            ``val_micro_f1``, ``learning_rate`` (the one it was trained with) and ``seconds``.
        best_epoch: the epoch, from 1, in the bundle.
        best_macro_f1: its macro F1 on validation.
        stopped_early: validation stopped rising before the last epoch.
        epochs_trained: by this call; 0 where the run was finished before.
    """

    out: Path
    history: list[dict[str, float]]
    best_epoch: int
    best_macro_f1: float
    stopped_early: bool
    epochs_trained: int


@dataclasses.dataclass
class Schedule:
    """Learning rate and end of training, from the macro F1 of each epoch.

    A score is a rise if it is more than 1/10,000 of the best above it; the rate falls after more than
    ``plateau_patience`` epochs without one. Both rules are those of PyTorch's ``ReduceLROnPlateau`` with
    ``mode="max"`` and its defaults.

    Attributes:
        learning_rate: of the next epoch.
        best: highest score so far.
        best_epoch: its epoch, from 1; 0 before the first.
        since_best: epochs since then.
        since_reduction: epochs without a rise since then or since the learning rate last fell.
    """

    learning_rate: float
    best: float = -1.0
    best_epoch: int = 0
    since_best: int = 0
    since_reduction: int = 0

    def step(self, epoch: int, score: float, config: TrainConfig) -> bool:
        """Takes the score of ``epoch``, from 1, and tells whether it is a rise."""
        if score > self.best * (1 + 1e-4):
            self.best, self.best_epoch, self.since_best, self.since_reduction = score, epoch, 0, 0
            return True
        self.since_best += 1
        self.since_reduction += 1
        if self.since_reduction > config.plateau_patience:
            self.learning_rate *= config.plateau_factor
            self.since_reduction = 0
        return False

    def is_over(self, config: TrainConfig) -> bool:
        """Whether training ends early."""
        return self.since_best >= config.early_stopping_patience


@dataclasses.dataclass(frozen=True)
class _Best:
    """What the bundle holds of the best epoch besides the weights, as JSON knows it."""

    thresholds: list[float]
    has_positives: list[bool]
    post_processing: dict[str, list[float]]


@dataclasses.dataclass
class _State:
    """What a resumed run must know besides the variables, as JSON knows it.

    ``config`` is :meth:`RunConfig.to_dict`, ``data`` the SHA-256 of the data set's manifest, ``init`` that of the
    ``model.keras`` that the run starts from, if any.
    """

    config: dict[str, Any]
    data: str
    schedule: Schedule
    init: str | None = None
    history: list[dict[str, float]] = dataclasses.field(default_factory=list)
    best: _Best | None = None
    """None before the first epoch."""

    @property
    def epoch(self) -> int:
        """Epochs finished."""
        return len(self.history)


@dataclasses.dataclass(frozen=True)
class _Validation:
    """Scores of a model on the validation split.

    Attributes:
        loss: the training loss, over all label frames.
        histogram: of the scores.
        tuned: thresholds and F1.
        predictions: Of the tracks that this worker has predicted; far smaller than their log-mel.
    """

    loss: float
    histogram: ScoreHistogram
    tuned: TunedThresholds
    predictions: list[TrackPrediction]


def fit(
    data: str | Path,
    out: str | Path,
    config: RunConfig,
    on_epoch: OnEpoch | None = None,
    on_step: OnStep | None = None,
    strategy: str | None = None,
    profile: bool = False,
    init: str | Path | None = None,
) -> FitResult:
    """Trains a model, or goes on training it where a run with the same arguments was stopped.

    On several devices the batch is divided among them; loss, gradients and the statistics of batch normalisation are
    those of the whole batch, so that only SpecAugment, dropout and remixing depend on the devices. Those are no
    part of the run: it may go on with others. Every worker returns the same result; the first one writes ``out``.

    ``out`` receives the bundle of the best epoch, ``history.csv``, ``config.yaml``, TensorBoard's ``logs``,
    and ``checkpoint.npz``, from which a run is resumed after its last finished epoch.

    Args:
        data: folder of the data set.
        out: folder of the run; made if need be.
        config: of the run; its front end must be the data set's.
        on_epoch: called after each epoch with its number from 1 and its row of the history.
        on_step: called after each step with its number from 1, the steps of the epoch, its mean loss so far.
        strategy: None, ``mirrored`` or ``multiworker``, as :func:`mir_tf.training.distribution.start` takes it. All
            workers must see the same ``data`` and the same ``out``.
        profile: take a profile of a few steps of the first epoch that is trained, for TensorBoard; a finished run
            gives none.
        init: folder of a bundle, the weights of which training starts from (:mod:`mir_tf.training.transfer`); the
            optimiser starts anew. None starts from random weights.

    Returns:
        What it came to; a finished run is not trained further.

    Raises:
        DataError: the data set is missing, damaged, of another front end, or without tracks to learn from.
        BundleError: there is no whole bundle in ``init``.
        TrainingError: ``out`` holds a run of another configuration, data set or ``init``, the loss is not finite,
            memory does not suffice, or the workers do not work together.
        ConfigError: the strategy cannot be had, or does not go with the configuration; or the network is not that of
            ``init``.
    """
    distribution = start(strategy)  # TensorFlow wants this before all else that it does
    with distribution.loss_named():
        result = _fit(data, as_path(out), config, on_epoch, on_step, distribution, profile, init)
        distribution.total(np.zeros(1))  # A worker that left before the first one has written would seem lost.
    return result


def _fit(
    data: str | Path,
    out: Path,
    config: RunConfig,
    on_epoch: OnEpoch | None,
    on_step: OnStep | None,
    distribution: Distribution,
    profile: bool,
    init: str | Path | None,
) -> FitResult:
    """What :func:`fit` does on each worker."""
    train = config.train
    _check_divisible(train, distribution)
    manifest = records.read_manifest(data)
    described = None if init is None else transfer.check(init, data, manifest, config, out)
    pipeline.check_front_end(data, manifest, config.front_end)
    vocabulary = VOCABULARIES[train.vocabulary]
    positives = _positives(data, manifest, "train", vocabulary)
    _positives(data, manifest, "validation", vocabulary)  # refuses now what would fail after the first epoch

    state = _State(
        config=config.to_dict(),
        data=sha256(as_path(data) / records.MANIFEST_FILE),
        schedule=Schedule(train.learning_rate),
        init=None if described is None else described.model_sha256,
    )
    values: list[NDArray[Any]] = []
    if (out / CHECKPOINT_FILE).is_file():
        earlier, values = _read_checkpoint(out / CHECKPOINT_FILE)
        _check_same_run(out, earlier, state)
        state = dataclasses.replace(earlier, config=state.config)
    trained = None if init is None else bundle.load(init)
    _agree(distribution, data, out, state)
    if distribution.is_chief:
        out.mkdir(parents=True, exist_ok=True)
        sections = {name: fields for name, fields in config.to_dict().items() if name != "front_end"}
        write_text(out / CONFIG_FILE, yaml.safe_dump(sections, sort_keys=False))

    if train.deterministic:
        tf.config.experimental.enable_op_determinism()
    keras.utils.set_random_seed(train.seed)
    statistics = manifest.feature_mean, manifest.feature_std
    if trained is not None:
        statistics = transfer.statistics_of(trained)
    weights = class_weights(positives, manifest.splits["train"].label_frames, train.pos_weight_max)
    with distribution.strategy.scope():
        with _dtype_policy(train):
            model = build_model(config.model, config.front_end, len(vocabulary), *statistics)
        if trained is not None:
            transfer.take_weights(model, trained, with_classes=trained.vocabulary == vocabulary)
        # PyTorch's AdamW: its epsilon, and decay of every weight.
        optimizer = keras.optimizers.AdamW(
            train.learning_rate,
            weight_decay=train.weight_decay,
            epsilon=1e-8,
            global_clipnorm=train.clip_norm / distribution.replicas,  # see _training_step
        )
        loss = WeightedBCE(weights, train.gamma_pos, train.gamma_neg, train.boundary_weight)
        model.compile(optimizer, loss)  # scales the loss where the precision is float16
        model.optimizer.build(model.trainable_variables)
        run = _Run(data, out, manifest, config, state, model, distribution, on_epoch, on_step)
        if values:
            run.restore(values)
    finished_before = state.epoch
    if state.epoch < train.epochs and not state.schedule.is_over(train):
        run.train(profile)
    return FitResult(
        out=out,
        history=state.history,
        best_epoch=state.schedule.best_epoch,
        best_macro_f1=state.schedule.best,
        stopped_early=state.schedule.is_over(train),
        epochs_trained=state.epoch - finished_before,
    )


def _check_divisible(train: TrainConfig, distribution: Distribution) -> None:
    """Refuses what does not go with several replicas."""
    replicas = distribution.replicas
    if train.batch_size % replicas:
        raise ConfigError(f"TrainConfig.batch_size is {train.batch_size}; it must be a multiple of {replicas} replicas")
    if train.jit and replicas > 1:
        raise ConfigError("TrainConfig.jit is True; XLA compiles the step of a single device: train without it")


def _agree(distribution: Distribution, data: str | Path, out: Path, state: _State) -> None:
    """Refuse workers that would not train the same run.

    Raises:
        TrainingError: naming what differs.
    """
    seen = {
        "settings": json.dumps(state.config),
        "model to start from": str(state.init),
        f"data set in {data}": state.data,
        f"run in {out}": json.dumps(dataclasses.asdict(state)),
    }
    digests = [int(hashlib.sha256(text.encode()).hexdigest()[:12], 16) for text in seen.values()]
    rows = distribution.gather(np.array(digests, np.float64))  # [workers, 4]
    for index, name in enumerate(seen):
        if others := np.flatnonzero(rows[:, index] != rows[0, index]).tolist():
            raise TrainingError(
                f"the {name}: worker {', '.join(map(str, others))} sees another than worker 0; start all workers with "
                "the same command, on folders that all of them share"
            )


class _WeightAverage:
    """An exponential moving average of a model's weights and batch statistics, and the model while it has them."""

    def __init__(self, model: keras.Model, decay: float) -> None:
        self._weights = (
            [weight for weight in model.weights if keras.backend.is_float_dtype(weight.dtype)] if decay else []
        )
        # In the first steps it forgets sooner: it is to hold nothing of the random weights of the start.
        self._average = tf.train.ExponentialMovingAverage(decay, num_updates=model.optimizer.iterations.value)
        self.update()  # makes the variables

    @property
    def variables(self) -> list[tf.Variable]:
        """The averages, one a weight."""
        return [self._average.average(weight.value) for weight in self._weights]

    def update(self) -> None:
        """Takes the weights into the average."""
        self._average.apply([weight.value for weight in self._weights])

    @contextlib.contextmanager
    def swapped_in(self) -> Iterator[None]:
        """Gives the model the averages inside the block, and its weights back after it."""
        trained = [weight.numpy() for weight in self._weights]
        for weight, average in zip(self._weights, self.variables, strict=True):
            weight.assign(average)
        try:
            yield
        finally:
            for weight, value in zip(self._weights, trained, strict=True):
                weight.assign(value)


def _training_step(
    model: keras.Model, average: _WeightAverage, strategy: tf.distribute.Strategy, config: RunConfig
) -> Callable[[Any], tf.Tensor]:
    """A step from a batch, divided among the replicas of ``strategy``, to its loss, equal to that of one replica."""
    optimizer = model.optimizer

    def in_replica(log_mel: tf.Tensor, targets: tf.Tensor, weights: tf.Tensor, is_stem: tf.Tensor) -> tf.Tensor:
        replica = tf.distribute.get_replica_context()
        if config.train.remixes:
            # A function of the step alone, so that a resumed run draws the same.
            seed = tf.stack([tf.constant(config.train.seed, tf.int64), tf.cast(optimizer.iterations.value, tf.int64)])
            seed = tf.random.experimental.stateless_fold_in(seed, tf.cast(replica.replica_id_in_sync_group, tf.int64))
            log_mel, targets, weights = remix(log_mel, targets, weights, is_stem, seed, config.train, config.front_end)
        frames = tf.reduce_sum(weights)
        # Keras divides the loss by the replicas, as if each had as many true frames as the next.
        share = tf.math.divide_no_nan(frames, replica.all_reduce(tf.distribute.ReduceOp.MEAN, frames))
        with tf.GradientTape() as tape:
            logits = model(log_mel, training=True)  # [share of the batch, label frames, classes]
            loss = model.loss(targets, logits, sample_weight=weights) * share
            scaled = optimizer.scale_loss(loss)
        gradients = tape.gradient(scaled, model.trainable_variables)
        # Keras sums the replicas' gradients, but after it has clipped them. Clipped to a replica's part of the norm,
        # their mean gives the whole gradient, clipped, as the sum.
        gradients = replica.all_reduce(tf.distribute.ReduceOp.MEAN, gradients)
        optimizer.apply(gradients, model.trainable_variables)
        return loss

    @tf.function(jit_compile=config.train.jit, autograph=False)
    def step(batch: Any) -> tf.Tensor:
        with _synchronized(model, strategy.num_replicas_in_sync > 1):
            losses = strategy.run(in_replica, args=batch)
        average.update()
        return strategy.reduce(tf.distribute.ReduceOp.SUM, losses, axis=None)

    return step


@contextlib.contextmanager
def _synchronized(model: keras.Model, synchronized: bool) -> Iterator[None]:
    """Batch normalisation over the whole batch where it is traced inside the block; the saved model shows no trace."""
    layers = [layer for layer in model.layers if isinstance(layer, keras.layers.BatchNormalization)]
    for layer in layers:
        layer.synchronized = synchronized
    try:
        yield
    finally:
        for layer in layers:
            layer.synchronized = False


def reset_random_state(model: keras.Model, seed: int, epoch: int, distribution: Distribution | None = None) -> None:
    """Makes what dropout and masks draw from here on a function of ``seed``, ``epoch``, the step and the replica."""
    distribution = distribution or start()
    states = [variable for variable in model.variables if variable.name == "seed_generator_state"]
    for index, state in enumerate(states):
        copies = distribution.strategy.experimental_local_results(state.value)
        for replica, copy in enumerate(copies, distribution.first_replica):
            drawn = np.random.SeedSequence([seed, epoch, index, replica]).generate_state(1)[0]
            # Keras' state is a seed and a counter of draws; it casts the seed to int32.
            copy.assign([int(drawn >> 1), 0])


def missing_classes(data: str | Path, manifest: Manifest, vocabulary: Vocabulary) -> list[str]:
    """Says which classes never sound in the train or the validation split, and what follows; empty if all do.

    Raises:
        DataError: there are no training or validation tracks, or no class sounds in them.
    """
    sentences = []
    for split, consequence in (
        ("train", "the model cannot learn them; their weight is 1"),
        ("validation", "their threshold is 0.5, and they stay out of macro F1"),
    ):
        positives = _positives(data, manifest, split, vocabulary)
        if missing := [name for name, count in zip(vocabulary.classes, positives, strict=True) if not count]:
            sentences.append(f"never sounding in split {split!r}: {', '.join(missing)}: {consequence}")
    return sentences


class _Run:
    """The epochs of one call of :func:`fit`."""

    def __init__(
        self,
        data: str | Path,
        out: Path,
        manifest: Manifest,
        config: RunConfig,
        state: _State,
        model: keras.Model,
        distribution: Distribution,
        on_epoch: OnEpoch | None,
        on_step: OnStep | None,
    ) -> None:
        self._data, self._out, self._manifest = data, out, manifest
        self._config, self._state = config, state
        self._model, self._distribution = model, distribution
        self._average = _WeightAverage(model, config.train.ema_decay)
        self._vocabulary = VOCABULARIES[config.train.vocabulary]
        self._on_epoch, self._on_step = on_epoch, on_step
        self._steps = config.train.steps_per_epoch or pipeline.default_steps(manifest, "train", config)

    def train(self, profile: bool) -> None:
        """Trains to the last epoch or until validation stops rising."""
        train = self._config.train
        self._step = _training_step(self._model, self._average, self._distribution.strategy, self._config)
        self._windowed = WindowedModel(self._model, self._config)
        is_chief = self._distribution.is_chief
        is_new = not (self._out / LOGS_FOLDER).exists()
        summaries = Summaries(self._out / LOGS_FOLDER, self._config, self._vocabulary.classes) if is_chief else None
        if summaries and is_new:
            place = self._out.resolve()
            name = f"{place.name} in {place.parent}"  # the page cuts off what is long
            summaries.begin(name, str(self._data), self._windowed.graph)
        try:
            with pipeline.report_read_errors(self._data, self._manifest, "train"):
                batches = self._batches()
                while self._state.epoch < train.epochs and not self._state.schedule.is_over(train):
                    self._epoch(batches, summaries, profile)
                    profile = False
        except (tf.errors.ResourceExhaustedError, MemoryError) as error:
            raise TrainingError(
                f"out of memory: {train.batch_size} crops of {train.crop_seconds:g} s do not fit; use a "
                "smaller batch_size or crop_seconds, or mixed_precision"
            ) from error
        finally:
            if summaries:
                summaries.close()

    def _batches(self) -> Iterator[Any]:
        """The batches of the epochs to come, divided among the replicas of this worker."""
        train, distribution = self._config.train, self._distribution
        dataset = pipeline.training_dataset(
            self._data,
            self._manifest,
            "train",
            self._config,
            self._state.epoch,
            self._steps,
            distribution.worker,
            distribution.workers,
        )
        if distribution.replicas == 1:
            if tf.config.list_logical_devices("GPU"):
                dataset = dataset.apply(tf.data.experimental.prefetch_to_device("/GPU:0"))
            return iter(dataset)
        # Without an end: else the workers would ask each other before every step whether all have a batch left.
        dataset = dataset.rebatch(train.batch_size // distribution.replicas, drop_remainder=True).repeat()
        return iter(distribution.strategy.distribute_datasets_from_function(lambda context: dataset))

    def _epoch(self, batches: Iterator[Any], summaries: Summaries | None, profile: bool) -> None:
        """Trains and validates once, and leaves everything on disk as a resumed run needs it.

        It begins with the learning rate and the random state that a resumed run would begin with.
        """
        began, state, train = time.perf_counter(), self._state, self._config.train
        epoch = state.epoch + 1
        with self._distribution.strategy.scope():
            self._model.optimizer.learning_rate = state.schedule.learning_rate
        reset_random_state(self._model, train.seed, state.epoch, self._distribution)
        loss = waited = 0.0
        for step in range(1, self._steps + 1):
            with summaries.profiled(step, self._steps) if summaries and profile else contextlib.nullcontext():
                asked = time.perf_counter()
                batch = next(batches)
                waited += time.perf_counter() - asked
                loss += (float(self._step(batch)) - loss) / step
            if not math.isfinite(loss):
                raise self._not_finite(f"the loss is {loss} at step {step} of epoch {epoch}")
            if self._on_step:
                self._on_step(step, self._steps, loss)
        trained = time.perf_counter() - began
        if summaries:
            summaries.end_profile()

        with self._average.swapped_in():
            validation = self._validate()
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
        if state.schedule.step(epoch, validation.tuned.macro_f1, train):
            thresholds = shrink(validation.tuned, validation.histogram, train.threshold_shrinkage)
            scored = [(each.probabilities, each.truth) for each in validation.predictions]
            counts = self._distribution.total(grid_counts(scored, thresholds).astype(np.float64))
            state.best = _Best(
                thresholds=thresholds.tolist(),
                has_positives=validation.tuned.has_positives.tolist(),
                post_processing=choose(counts.astype(np.int64), thresholds).to_dict(),
            )
        if summaries:
            every = train.image_every
            picture = self._picture(validation) if every and epoch % every == 0 else None
            # First: a checkpoint says that its epoch needs no more.
            kept = state.history[state.schedule.best_epoch - 1]
            summaries.epoch(
                row, kept, trained / self._steps, waited / trained, validation.histogram, validation.tuned, picture
            )
            self._write_checkpoint()
            self._write_history()
            self._write_bundle()
        if self._on_epoch:
            self._on_epoch(epoch, row)

    def restore(self, values: list[NDArray[Any]]) -> None:
        """Sets all variables to ``values`` of a checkpoint."""
        variables = self._variables()
        if [variable.shape for variable in variables] != [value.shape for value in values]:
            raise _damaged(self._out / CHECKPOINT_FILE, "its variables are not this model's")
        for variable, value in zip(variables, values, strict=True):
            variable.assign(value)
        if self._distribution.is_chief:
            # The run may have been stopped between the checkpoint and these.
            self._write_history()
            if not self._is_saved():
                self._write_bundle()

    def _variables(self) -> list[keras.Variable | tf.Variable]:
        return [*self._model.weights, *self._model.optimizer.variables, *self._average.variables]

    def _validate(self) -> _Validation:
        """Each worker takes its share of the tracks, and all come to the same figures, from which all decide."""
        distribution = self._distribution
        histogram = ScoreHistogram(len(self._vocabulary))
        losses = frames = 0.0
        predictions: list[TrackPrediction] = []
        for track in predict_split(
            self._windowed,
            self._config,
            self._data,
            "validation",
            manifest=self._manifest,
            worker=distribution.worker,
            workers=distribution.workers,
        ):
            if not np.isfinite(track.probabilities).all():
                raise self._not_finite(f"the model's answers are not finite after epoch {self._state.epoch + 1}")
            histogram.update(track.probabilities, track.truth)
            clipped = np.clip(track.probabilities, 1e-7, 1 - 1e-7)
            logits = np.log(clipped) - np.log1p(-clipped)
            loss = float(self._model.loss(track.truth[np.newaxis].astype(np.float32), logits[np.newaxis]))
            losses += loss * len(logits)
            frames += len(logits)
            predictions.append(track)
        losses, frames = distribution.total(np.array([losses, frames]))
        for counts in (histogram.positives, histogram.negatives):
            counts[:] = distribution.total(counts.astype(np.float64))
        return _Validation(losses / frames, histogram, tune(histogram), predictions)

    def _picture(self, validation: _Validation) -> tuple[LabelledTrack, NDArray[np.float32]]:
        """The first validation track and its probabilities [label frames, classes]."""
        track = next(pipeline.tracks(self._data, self._manifest, "validation", self._vocabulary))
        return track, validation.predictions[0].probabilities

    def _not_finite(self, what: str) -> TrainingError:
        rate = self._state.schedule.learning_rate
        return TrainingError(
            f"{what}: training diverged. Run again, in another folder, with a learning_rate below {rate:g}"
            + (", or without mixed_precision" if self._config.train.mixed_precision else "")
        )

    def _write_checkpoint(self) -> None:
        state = np.frombuffer(json.dumps(dataclasses.asdict(self._state)).encode(), np.uint8)
        values = {str(index): variable.numpy() for index, variable in enumerate(self._variables())}
        with atomic_write(self._out / CHECKPOINT_FILE) as temporary, temporary.open("wb") as file:
            np.savez(file, state=state, **values)

    def _write_history(self) -> None:
        write_history(self._out / HISTORY_FILE, self._state.history)

    def _is_saved(self) -> bool:
        """Whether the bundle of the last epoch stands. Written again it would be another file, with another digest."""
        try:
            found = bundle.describe(self._out)
            return found.info == self._info() and found.model_sha256 == sha256(self._out / bundle.MODEL_FILE)
        except BundleError:
            return False

    def _info(self) -> dict[str, Any]:
        state = self._state
        return state.history[-1] | ({} if state.init is None else {"init": state.init})

    def _write_bundle(self) -> None:
        """The model, if the last epoch is the best."""
        state = self._state
        if state.schedule.best_epoch != state.epoch:
            return
        names = zip(self._vocabulary.classes, state.best.has_positives, strict=True)
        best = Bundle(
            model=self._model,
            config=self._config,
            thresholds=np.array(state.best.thresholds, np.float32),
            post_processing=PostProcessing.from_dict(state.best.post_processing),
            untuned=tuple(name for name, has_positives in names if not has_positives),
            info=self._info(),
        )
        with self._average.swapped_in():
            best.save(self._out)


def _positives(data: str | Path, manifest: Manifest, split: str, vocabulary: Vocabulary) -> NDArray[np.int64]:
    """Label frames of ``split`` in which each class sounds."""
    try:
        positives = records.class_frames(data, manifest, split, vocabulary)
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


def _read_checkpoint(path: Path) -> tuple[_State, list[NDArray[Any]]]:
    """The state and the variables of a run."""
    try:
        with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as content:
            stored = json.loads(content["state"].tobytes())
            values = [content[str(index)] for index in range(len(content.files) - 1)]
        # A field that is younger than the checkpoint had what is now its default.
        config = RunConfig.from_dict(stored["config"]).to_dict()
        parts = {
            "config": config,
            "schedule": Schedule(**stored["schedule"]),
            "best": _Best(**with_current_names(stored["best"], bundle.FORMER_NAMES)),
        }
        return _State(**{**stored, **parts}), values
    except (OSError, EOFError, ValueError, KeyError, TypeError, zipfile.BadZipFile) as error:
        raise _damaged(path, repr(error)) from error


def _check_same_run(out: Path, earlier: _State, now: _State) -> None:
    """Refuses to go on with another configuration, data set or start; only the number of epochs may change."""
    differences = [
        f"{section}.{field}: {old!r} there, {now.config[section][field]!r} now"
        for section, fields in earlier.config.items()
        for field, old in fields.items()
        if now.config[section][field] != old and (section, field) != ("train", "epochs")
    ]
    if earlier.data != now.data:
        differences.append("data: another manifest")
    if earlier.init != now.init:
        there, here = (f"weights {digest[:12]}" if digest else "none" for digest in (earlier.init, now.init))
        differences.append(f"model to start from: {there} there, {here} now")
    if differences:
        raise TrainingError(
            f"{out} holds a run that differs: {'; '.join(differences)}. Use its settings to go on with it, "
            "or another folder for a new run"
        )


def _damaged(path: Path, reason: str) -> TrainingError:
    return TrainingError(f"{path}: damaged ({reason}); delete its folder to train from the start")


@contextlib.contextmanager
def _dtype_policy(train: TrainConfig) -> Iterator[None]:
    """Keras' dtype policy for a model built inside the block."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(_mixed_policy() if train.mixed_precision else "float32")
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def _mixed_policy() -> str:
    """bfloat16, whose range needs no loss scaling; float16 on GPUs of compute capability below 8."""
    gpus = tf.config.list_physical_devices("GPU")
    capabilities = [tf.config.experimental.get_device_details(gpu).get("compute_capability") for gpu in gpus]
    is_old = any(capability is not None and capability < (8, 0) for capability in capabilities)
    return "mixed_float16" if is_old else "mixed_bfloat16"
