"""The interface of a trained model, whatever runs it."""

from __future__ import annotations

import abc
import contextlib
import numbers
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeAlias, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mir_tf.errors import AudioError, ConfigError
from mir_tf.inference.prediction import Prediction
from mir_tf.io.audio import find_invalid_rate, probe
from mir_tf.io.console import make_console

OnSeconds: TypeAlias = Callable[[float], None]
"""Called with the seconds of audio processed so far."""


class Model(abc.ABC):
    """A trained model: ``LiteModel`` for a ``.tflite`` file, ``RunModel`` for a run. :func:`mir_tf.load` returns it."""

    @property
    @abc.abstractmethod
    def classes(self) -> tuple[str, ...]:
        """Class names, in the order of the probabilities."""

    @property
    @abc.abstractmethod
    def thresholds(self) -> NDArray[np.float32]:
        """float32 [classes]: a class is detected where its probability reaches its threshold."""

    @property
    @abc.abstractmethod
    def architecture(self) -> str:
        """Name of the network's architecture, such as ``crnn``."""

    @property
    @abc.abstractmethod
    def sample_rate(self) -> int:
        """Sample rate in Hz that the model works at. Audio at any other rate is resampled."""

    @abc.abstractmethod
    def _predict(self, audio: str | Path | ArrayLike, sr: float | None, progress: OnSeconds | None) -> Prediction:
        """Predict for one recording or signal: see :meth:`predict`."""

    @overload
    def predict(  # type: ignore[overload-overlap]  # a str is an iterable of str
        self, audio: str | Path | NDArray[Any], sr: float | None = None, progress: bool | OnSeconds = False
    ) -> Prediction: ...

    @overload
    def predict(  # type: ignore[overload-overlap]  # for NumPy, a list of paths is an array
        self,
        audio: Iterable[str] | Iterable[Path] | Iterable[str | Path] | Iterable[NDArray[Any]],
        sr: float | None = None,
        progress: bool | OnSeconds = False,
    ) -> list[Prediction]: ...

    @overload
    def predict(self, audio: ArrayLike, sr: float | None = None, progress: bool | OnSeconds = False) -> Prediction: ...

    def predict(
        self,
        audio: str | Path | ArrayLike | Iterable[str | Path | NDArray[Any]],
        sr: float | None = None,
        progress: bool | OnSeconds = False,
    ) -> Prediction | list[Prediction]:
        """Predict the instruments in a recording or a signal, or in each of several.

        Args:
            audio: Path of a recording or video of any length; or floating-point [samples] or [samples, channels], about
                -1 to 1, whose channels are averaged. Or several: a list of paths or of NumPy arrays, or another
                iterable such as ``Path("music").rglob("*.mp3")``.
            sr: Sample rate of an array in Hz; None for files.
            progress: True shows a bar, on standard error or in the notebook. A function is called with the seconds of
                audio processed so far, in all recordings together.

        Returns:
            The prediction; for several recordings, a list of predictions in their order.

        Raises:
            AudioError: A recording is missing, not audio or damaged, or an array is empty or invalid (see
                :func:`mir_tf.inference.decoding.blocks`). The message names the recording or the array's place in the
                list. A list is checked first: a missing file is reported before anything is predicted.
            BundleError: The model predicts whole windows only (``clip.tflite``).
            ConfigError: ``sr`` is missing for an array, given for a file, or not a valid sample rate.

        Examples:
            >>> import mir_tf
            >>> model = mir_tf.load()
            >>> [prediction.seconds for prediction in model.predict(["song.flac", "song.flac"])]
            [4.0, 4.0]
        """
        audio = _one(audio)
        several = _several(audio, sr)
        items: list[Any] = [audio] if several is None else []
        for number, item in enumerate(several or ()):
            with _naming(item, number):
                items.append(_one(item, in_list=True))
        on_progress = progress if callable(progress) else None
        shows_bar = bool(progress) and on_progress is None
        # Opening all paths first reports errors early, and gives the bar its length.
        seconds = [_seconds(item, sr) for item in items] if several is not None or shows_bar else []
        predictions: list[Prediction] = []
        with _bar(sum(seconds)) if shows_bar else contextlib.nullcontext(on_progress) as on_seconds:
            before = 0.0
            for number, item in enumerate(items):
                with contextlib.nullcontext() if several is None else _naming(item, number):
                    predictions.append(self._predict(item, sr, _after(before, on_seconds)))
                before += predictions[-1].seconds
        return predictions[0] if several is None else predictions

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.architecture}, {len(self.classes)} classes, {self.sample_rate} Hz>"


def _one(audio: Any, in_list: bool = False) -> Any:
    """Return a recording or an array, with the path of an object that has one as a text.

    Raises:
        AudioError: It is of a type that is neither.
    """
    if isinstance(audio, os.PathLike) and not isinstance(audio, Path):
        audio = os.fspath(audio)
    is_number = in_list and (isinstance(audio, numbers.Number) or getattr(audio, "ndim", 1) == 0)
    if audio is None or isinstance(audio, bytes) or hasattr(audio, "read") or is_number:
        raise AudioError(
            f"audio is of type {type(audio).__name__}; give the path of a recording, or an array with its sample rate"
        )
    return audio


def _several(audio: Any, sr: float | None) -> list[Any] | None:
    """Return the recordings or arrays that ``audio`` consists of; None if it is a single one."""
    if isinstance(audio, str | bytes | Path):
        return None
    if hasattr(audio, "__array__"):  # paths come as such from a column of a data frame
        array = np.asarray(audio)
        return array.tolist() if array.dtype.kind in "OU" and array.ndim == 1 else None
    if isinstance(audio, Sequence):
        if not len(audio):
            return [] if sr is None else None
        first = audio[0]
        is_item = isinstance(first, str | bytes | os.PathLike) or (hasattr(first, "__array__") and np.ndim(first) > 0)
        return list(audio) if is_item else None
    return list(audio) if isinstance(audio, Iterable) else None


def _seconds(item: Any, sr: float | None) -> float:
    """Return the length of a recording, as its header states it, or of an array; 0 if it is not valid."""
    if isinstance(item, str | Path):
        return probe(item).seconds if sr is None else 0.0
    return 0.0 if sr is None or find_invalid_rate(sr) else len(item) / sr


def _after(before: float, on_seconds: OnSeconds | None) -> OnSeconds | None:
    """Return a callback for a recording that follows ``before`` seconds of audio."""
    return None if on_seconds is None else lambda seconds: on_seconds(before + seconds)


@contextlib.contextmanager
def _naming(item: Any, number: int) -> Iterator[None]:
    """Name the place of an array in errors; those of files name the file."""
    try:
        yield
    except (AudioError, ConfigError) as error:
        if isinstance(item, str | Path):
            raise
        raise type(error)(f"number {number} in the list: {error}") from error


@contextlib.contextmanager
def _bar(total: float) -> Iterator[OnSeconds]:
    """Show a bar of ``total`` seconds of audio, and yield the function that moves it."""
    try:
        from rich.progress import Progress
    except ImportError:
        raise ConfigError("progress=True needs the package rich: pip install rich") from None
    console = make_console(stderr=True)
    if console.is_jupyter:  # where rich would need ipywidgets
        from IPython.display import ProgressBar

        bar = ProgressBar(total)
        bar.display()
        yield lambda seconds: setattr(bar, "progress", seconds)
        return
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("predicting", total=total)
        yield lambda seconds: progress.update(task, completed=seconds)
