"""What a data set holds, in tables, and a page of its log-mel frames with their labels."""

from __future__ import annotations

import collections
import itertools
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from mir_tf.config import LABEL_RATE
from mir_tf.data import pipeline
from mir_tf.data.manifest import Manifest
from mir_tf.errors import DataError
from mir_tf.figures import style, timelines
from mir_tf.figures.colors import color_of
from mir_tf.vocabulary import VOCABULARIES

_VOCABULARY = VOCABULARIES["family"]
_TRACKS = 2
"""Tracks of each split that are drawn."""


def tables(manifest: Manifest) -> list[tuple[str, list[list[str]]]]:
    """Titled tables, each a header and its rows: splits, classes of each vocabulary, what is left out or suspect."""
    titled = [(f"Splits, labels {manifest.labels}", _splits(manifest))]
    has_stems = any(split.records > split.tracks for split in manifest.splits.values())
    counted = ", tracks and stems" if has_stems else ""
    titled += [(f"Activity, vocabulary {name}{counted}", _activity(manifest, name)) for name in VOCABULARIES]
    if manifest.skipped:
        titled.append(("Left out", _left_out(manifest)))
    if manifest.leaks:
        rows = [[pair, str(len(songs))] for pair, songs in manifest.leaks.items()]
        titled.append(("Songs in two splits", [["splits", "songs"], *rows]))
    if manifest.stem_checks:
        rows = [[track, str(len(warnings))] for track, warnings in manifest.stem_checks.items()]
        titled.append(("Suspicions against stems", [["track", "suspicions"], *rows]))
    return titled


def _splits(manifest: Manifest) -> list[list[str]]:
    rows = [["split", "tracks", "stems", "songs", "hours", "shards"]]
    for name, split in manifest.splits.items():
        hours = f"{split.seconds / 3600:.2f}"
        rows.append(
            [
                name,
                str(split.tracks),
                str(split.records - split.tracks),
                str(split.songs),
                hours,
                str(len(split.shards)),
            ]
        )
    return rows


def _activity(manifest: Manifest, vocabulary: str) -> list[list[str]]:
    """Share of the label frames of each split in which a class sounds; classes that sound nowhere share a row."""
    splits = {name: split for name, split in manifest.splits.items() if split.tracks}
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


def _left_out(manifest: Manifest) -> list[list[str]]:
    counts = collections.Counter(item["reason"] for item in manifest.skipped)
    return [["reason", "items"], *([reason, str(count)] for reason, count in counts.items())]


def draw(folder: str | Path, manifest: Manifest, out: str | Path) -> None:
    """Writes :func:`page` into the PNG ``out``.

    Raises:
        DataError: the data set in ``folder`` is damaged; ``out`` cannot be written.
    """
    figure = page(folder, manifest)
    try:
        style.save_png(figure, out)
    except OSError as error:
        raise DataError(f"{out}: cannot be written: {error.strerror}") from error


def page(folder: str | Path, manifest: Manifest) -> Figure:
    """Draws the first tracks of each split: log-mel in dB, and beneath it which instrument plays when.

    Raises:
        DataError: the data set in ``folder`` is damaged.
    """
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
        timelines.draw_log_mel(picture, track.log_mel, manifest.front_end)
        picture.tick_params(labelbottom=False)
        picture.set_title(f"{split}: {track.id} (song {track.song})", loc="left", parse_math=False)
        _draw_labels(figure.add_subplot(grid[2 * row + 1], sharex=picture), track.truth)
    return figure


def _draw_labels(axes: Axes, truth: NDArray[np.bool_]) -> None:
    """Draws truth [label frames, classes] as a lane for each class that sounds."""
    sounding = np.flatnonzero(truth.any(axis=0))
    for lane, index in enumerate(reversed(sounding)):
        style.draw_bars(axes, truth[:, index], lane - 0.4, 0.8, color=color_of(_VOCABULARY.name, int(index)))
    axes.set_yticks(range(len(sounding)), [_VOCABULARY.classes[index] for index in reversed(sounding)])
    axes.set_ylim(-0.5, max(len(sounding), 1) - 0.5)
    axes.set_xlim(0, len(truth) / LABEL_RATE)
    axes.set_xlabel("s")
    axes.tick_params(axis="y", length=0)
