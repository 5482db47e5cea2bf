"""What a data set holds, in tables, and a page of its log-mel frames with their labels."""

from __future__ import annotations

import collections
import dataclasses
import itertools
import math
from pathlib import Path
from typing import Any

import librosa
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from mir_tf import pipeline, report, schema
from mir_tf.colors import color_of
from mir_tf.config import LABEL_RATE, FrontEndConfig
from mir_tf.dominance import intervals
from mir_tf.errors import DataError
from mir_tf.schema import Manifest
from mir_tf.vocabulary import VOCABULARIES

_VOCABULARY = VOCABULARIES["family"]
_TRACKS = 2
"""Tracks of each split that are drawn."""

_COLUMNS = 1500
"""Columns of a picture at most; frames that share one are averaged."""

_RANGE_DB = 80
_HERTZ = (200, 500, 1000, 2000, 5000, 10000, 20000)


@dataclasses.dataclass(frozen=True)
class Inspection:
    """What a data set holds.

    Attributes:
        manifest: of the data set.
    """

    manifest: Manifest

    def tables(self) -> list[tuple[str, list[list[str]]]]:
        """Titled tables, each a header and its rows: the splits, the classes of each vocabulary, what is left out."""
        tables = [("Splits", self._splits())]
        tables += [(f"Activity, vocabulary {name}", self._activity(name)) for name in VOCABULARIES]
        if self.manifest.left_out:
            tables.append(("Left out", self._left_out()))
        return tables

    def _splits(self) -> list[list[str]]:
        rows = [["split", "tracks", "songs", "hours", "shards"]]
        for name, split in self.manifest.splits.items():
            hours = f"{split.seconds / 3600:.2f}"
            rows.append([name, str(split.tracks), str(split.songs), hours, str(len(split.shards))])
        return rows

    def _activity(self, vocabulary: str) -> list[list[str]]:
        """Share of the label frames of each split in which a class sounds; classes that sound nowhere share a row."""
        splits = {name: split for name, split in self.manifest.splits.items() if split.tracks}
        rows = [["class", *splits]]
        silent = 0
        for name in VOCABULARIES[vocabulary].classes:
            counts = [split.activity[vocabulary][name] for split in splits.values()]
            if any(counts):
                frames = [split.label_frames for split in splits.values()]
                rows.append([name, *(f"{count / of:.1%}" for count, of in zip(counts, frames, strict=True))])
            else:
                silent += 1
        if silent:
            rows.append([f"{silent} others, each", *("0.0%" for _ in splits)])
        return rows

    def _left_out(self) -> list[list[str]]:
        counts = collections.Counter(item["reason"] for item in self.manifest.left_out)
        return [["reason", "tracks"], *([reason, str(count)] for reason, count in counts.items())]


def inspect(folder: str | Path) -> Inspection:
    """Reads what the data set in ``folder`` holds.

    Raises:
        DataError: it is no data set, or a damaged one.
    """
    return Inspection(schema.read_manifest(folder))


def draw(folder: str | Path, out: str | Path) -> None:
    """Writes :func:`page` into the PNG ``out``.

    Raises:
        DataError: ``folder`` is no data set, or a damaged one; ``out`` cannot be written.
    """
    figure = page(folder)
    try:
        report.save_png(figure, out)
    except OSError as error:
        raise DataError(f"{out}: cannot be written: {error.strerror}") from error


def page(folder: str | Path) -> Figure:
    """Draws the first tracks of each split: log-mel in dB, and beneath it which instrument plays when.

    Raises:
        DataError: it is no data set, or a damaged one.
    """
    manifest = schema.read_manifest(folder)
    tracks = [
        (split, track)
        for split, summary in manifest.splits.items()
        if summary.tracks
        for track in itertools.islice(pipeline.tracks(folder, manifest, split, _VOCABULARY), _TRACKS)
    ]
    lanes = [max(1, int(track.truth.any(axis=0).sum())) for _, track in tracks]
    heights = [inches for count in lanes for inches in (2.4, 0.5 + 0.22 * count)]
    figure = Figure(figsize=(16, sum(heights)), dpi=100, layout="constrained")
    grid = figure.add_gridspec(len(heights), height_ratios=heights)
    for row, (split, track) in enumerate(tracks):
        picture = figure.add_subplot(grid[2 * row])
        _draw_log_mel(picture, track.log_mel, manifest.front_end)
        picture.set_title(f"{split}: {track.id} (song {track.song})", loc="left")
        _draw_labels(figure.add_subplot(grid[2 * row + 1], sharex=picture), track.truth)
    return figure


def _draw_log_mel(axes: Axes, log_mel: NDArray[np.float32], front_end: FrontEndConfig) -> None:
    """Draws log_mel [frames, mels] over seconds and Hz."""
    at_once = math.ceil(len(log_mel) / _COLUMNS)
    starts = np.arange(0, len(log_mel), at_once)
    sizes = np.diff(starts, append=len(log_mel))[:, np.newaxis]
    columns = np.add.reduceat(log_mel, starts) / sizes  # [columns, mels]
    seconds = len(starts) * at_once / front_end.frame_rate
    limits: dict[str, Any] = {"vmin": columns.max() - _RANGE_DB, "vmax": columns.max()}
    axes.imshow(
        columns.T,
        origin="lower",
        aspect="auto",
        interpolation="nearest",
        cmap="magma",
        extent=(0, seconds, -0.5, front_end.n_mels - 0.5),
        **limits,
    )
    centres = librosa.mel_frequencies(
        front_end.n_mels + 2, fmin=front_end.f_min, fmax=front_end.band_edge, htk=front_end.mel_scale == "htk"
    )[1:-1]
    shown = [hertz for hertz in _HERTZ if centres[0] <= hertz <= centres[-1]]
    axes.set_yticks(np.interp(shown, centres, np.arange(front_end.n_mels)), [f"{hertz:g}" for hertz in shown])
    axes.set_ylabel("Hz")
    axes.tick_params(labelbottom=False)


def _draw_labels(axes: Axes, truth: NDArray[np.bool_]) -> None:
    """Draws truth [label frames, classes] as a lane for each class that sounds."""
    sounding = np.flatnonzero(truth.any(axis=0))
    for lane, index in enumerate(reversed(sounding)):
        stretches = [(start, end - start) for start, end in intervals(truth[:, index])]
        axes.broken_barh(stretches, (lane - 0.4, 0.8), color=color_of(_VOCABULARY.name, int(index)), linewidth=0)
    axes.set_yticks(range(len(sounding)), [_VOCABULARY.classes[index] for index in reversed(sounding)])
    axes.set_ylim(-0.5, max(len(sounding), 1) - 0.5)
    axes.set_xlim(0, len(truth) / LABEL_RATE)
    axes.set_xlabel("s")
    axes.tick_params(axis="y", length=0)
