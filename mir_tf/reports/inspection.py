"""The contents of a data set in tables, and a figure of its log-mel frames with their labels."""

from __future__ import annotations

import collections
import itertools
from pathlib import Path

from matplotlib.figure import Figure

from mir_tf.data import pipeline
from mir_tf.data.manifest import Manifest
from mir_tf.figures import spectrograms, style
from mir_tf.figures.colors import CLASS_COLORS
from mir_tf.metrics.text import format_percent
from mir_tf.vocabulary import VOCABULARIES

_VOCABULARY = VOCABULARIES["family"]
_DRAWN_TRACKS = 2
"""Number of tracks of each split that are drawn."""


def tables(manifest: Manifest) -> list[tuple[str, list[list[str]]]]:
    """Return titled tables, whose first rows are headers: splits, classes of each vocabulary, and problems."""
    titled = [(f"Splits, labels {manifest.labels}", _splits(manifest))]
    has_stems = any(split.records > split.tracks for split in manifest.splits.values())
    counted = ", tracks and stems" if has_stems else ""
    titled += [(f"Activity, vocabulary {name}{counted}", _activity(manifest, name)) for name in VOCABULARIES]
    if manifest.skipped:
        counts = collections.Counter(item["reason"] for item in manifest.skipped)
        titled.append(("Skipped", [["reason", "items"], *([reason, str(count)] for reason, count in counts.items())]))
    if manifest.leaks:
        rows = [[pair, str(len(songs))] for pair, songs in manifest.leaks.items()]
        titled.append(("Songs in two splits", [["splits", "songs"], *rows]))
    if manifest.stem_checks:
        rows = [[track, str(len(warnings))] for track, warnings in manifest.stem_checks.items()]
        titled.append(("Suspicious stems", [["track", "warnings"], *rows]))
    return titled


def _splits(manifest: Manifest) -> list[list[str]]:
    rows = [["split", "tracks", "stems", "songs", "hours", "shards"]]
    for name, split in manifest.splits.items():
        counts = (split.tracks, split.records - split.tracks, split.songs)
        rows.append([name, *map(str, counts), f"{split.seconds / 3600:.2f}", str(len(split.shards))])
    return rows


def _activity(manifest: Manifest, vocabulary: str) -> list[list[str]]:
    """Return in which share of the frames of each split a class is active; one row is for all that never are."""
    splits = {name: split for name, split in manifest.splits.items() if split.tracks}
    rows = [["class", *splits]]
    silent = 0
    for name in VOCABULARIES[vocabulary].classes:
        counts = [split.activity[vocabulary][name] for split in splits.values()]
        if any(counts):
            frames = [split.label_frames for split in splits.values()]
            rows.append([name, *(format_percent(count / of) for count, of in zip(counts, frames, strict=True))])
        else:
            silent += 1
    if silent:
        rows.append([f"{silent} others, each", *(format_percent(0) for _ in splits)])
    return rows


def draw(folder: str | Path, manifest: Manifest, out: str | Path) -> None:
    """Write :func:`figure` as the PNG file ``out``.

    Raises:
        DataError: The data set in ``folder`` is damaged.
        WriteError: ``out`` cannot be written.
    """
    style.save_png(figure(folder, manifest), out)


def figure(folder: str | Path, manifest: Manifest) -> Figure:
    """Draw the first tracks of each split: log-mel in dB, and the instruments that play below it.

    Raises:
        DataError: The data set in ``folder`` is damaged.
    """
    tracks = [
        (f"{split}: {track.id} (song {track.song})", track.log_mel, track.truth)
        for split, summary in manifest.splits.items()
        if summary.tracks
        for track in itertools.islice(pipeline.tracks(folder, manifest, split, _VOCABULARY), _DRAWN_TRACKS)
    ]
    colors = [CLASS_COLORS[name] for name in _VOCABULARY.classes]
    return spectrograms.labels_figure(tracks, manifest.front_end, _VOCABULARY.classes, colors)
