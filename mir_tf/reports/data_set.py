"""The report of a data set: hours, classes, which ones play together, lengths, and the spectrum of each class."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mir_tf.config import LABEL_RATE
from mir_tf.data import pipeline
from mir_tf.data.manifest import Manifest
from mir_tf.errors import DataError
from mir_tf.figures import data_set as figures
from mir_tf.figures.colors import CLASS_COLORS, SPLIT_COLORS
from mir_tf.figures.spectrograms import mel_centres
from mir_tf.inference.prediction import format_duration
from mir_tf.io.files import as_path
from mir_tf.metrics.text import format_count, format_percent
from mir_tf.reports import inspection
from mir_tf.reports.page import Highlight, Page, Picture, Section, Table
from mir_tf.vocabulary import VOCABULARIES

_VOCABULARY = VOCABULARIES["family"]


@dataclasses.dataclass
class Mixes:
    """Counts of the mixes of a split.

    Attributes:
        seconds: Length of each mix.
        frames: Number of label frames of all mixes.
        together: int64 [classes, classes], label frames in which both classes are active; on the diagonal, in which one
            is.
        polyphony: int64 [classes + 1], label frames in which that many classes are active.
    """

    seconds: list[float]
    frames: int
    together: NDArray[np.int64]
    polyphony: NDArray[np.int64]

    @classmethod
    def empty(cls, num_classes: int) -> Mixes:
        """Start with no mix."""
        return cls([], 0, np.zeros((num_classes, num_classes), np.int64), np.zeros(num_classes + 1, np.int64))

    def add(self, truth: NDArray[np.bool_]) -> None:
        """Add a mix: bool [label frames, classes]."""
        self.seconds.append(len(truth) / LABEL_RATE)
        self.frames += len(truth)
        # Floats represent these counts exactly, and multiply far faster than integers.
        self.together += (truth.T.astype(np.float64) @ truth).astype(np.int64)
        self.polyphony += np.bincount(np.count_nonzero(truth, axis=1), minlength=len(self.polyphony))


@dataclasses.dataclass
class Spectra:
    """Spectra of the single stems, class by class.

    Attributes:
        power: float64 [classes, mels], sum over the frames in which the class is active.
        frames: int64 [classes], number of these frames.
        stems: int64 [classes], number of stems with such frames.
    """

    power: NDArray[np.float64]
    frames: NDArray[np.int64]
    stems: NDArray[np.int64]

    @classmethod
    def empty(cls, num_classes: int, mels: int) -> Spectra:
        """Start with no stem."""
        return cls(np.zeros((num_classes, mels)), np.zeros(num_classes, np.int64), np.zeros(num_classes, np.int64))

    def add(self, log_mel: NDArray[np.float32], truth: NDArray[np.bool_]) -> None:
        """Add a stem: float32 [frames, mels] in dB, and bool [label frames, classes]."""
        power = 10 ** (log_mel.astype(np.float64) / 10)
        subframes = len(log_mel) // len(truth)
        for index in np.flatnonzero(truth.any(axis=0)):
            is_active = np.repeat(truth[:, index], subframes)
            self.power[index] += power[is_active].sum(axis=0)
            self.frames[index] += np.count_nonzero(is_active)
            self.stems[index] += 1

    def decibels(self) -> NDArray[np.float64]:
        """Return the mean power in dB of the active classes, [active classes, mels]."""
        active = self.frames > 0
        mean: NDArray[np.float64] = self.power[active] / self.frames[active, np.newaxis]
        decibels: NDArray[np.float64] = 10 * np.log10(np.maximum(mean, np.finfo(float).tiny))
        return decibels


@dataclasses.dataclass(frozen=True)
class Survey:
    """The result of one pass over all records of a data set.

    Attributes:
        mixes: Counts of each split that has tracks.
        spectra: Spectra of the stems that are records of their own.
    """

    mixes: dict[str, Mixes]
    spectra: Spectra


def survey(folder: str | Path, manifest: Manifest, progress: Callable[[int, int], None] | None = None) -> Survey:
    """Read a data set once, in the memory that one track takes.

    Args:
        folder: Folder of the data set.
        manifest: Its manifest.
        progress: Called after each record with the number of records done and the number of all records.

    Raises:
        DataError: The data set is damaged or has no tracks, or its stems cannot be told from its tracks.
    """
    splits = {name: summary for name, summary in manifest.splits.items() if summary.tracks}
    if not splits:
        raise DataError(f"{folder}: no split has a track, so there is nothing to report; build it from more songs")
    found = Survey({}, Spectra.empty(len(_VOCABULARY), manifest.front_end.n_mels))
    done, records = 0, sum(summary.records for summary in splits.values())
    for name in splits:
        mixes = found.mixes[name] = Mixes.empty(len(_VOCABULARY))
        for track, is_stem in pipeline.read_records(folder, manifest, name, _VOCABULARY):
            if is_stem:
                found.spectra.add(track.log_mel, track.truth)
            else:
                mixes.add(track.truth)
            done += 1
            if progress is not None:
                progress(done, records)
    return found


def write(
    folder: str | Path, manifest: Manifest, out: str | Path, progress: Callable[[int, int], None] | None = None
) -> Path:
    """Write ``report.html`` and its pictures into ``out``.

    Args:
        folder: Folder of the data set.
        manifest: Its manifest.
        out: Folder for the files; made if it does not exist.
        progress: See :func:`survey`.

    Returns:
        The path of the page.

    Raises:
        DataError: See :func:`survey`.
        OSError: ``out`` cannot be written.
    """
    return page(as_path(folder).resolve().name, manifest, survey(folder, manifest, progress)).save(out)


def page(name: str, manifest: Manifest, found: Survey) -> Page:
    """Make the page of the data set ``name``."""
    splits = [manifest.splits[split] for split in found.mixes]
    hours = sum(sum(mixes.seconds) for mixes in found.mixes.values()) / 3600
    tracks, songs = sum(split.tracks for split in splits), sum(split.songs for split in splits)
    stems = sum(split.records - split.tracks for split in splits)
    active = np.sum([mixes.together.diagonal() for mixes in found.mixes.values()], axis=0)
    front_end = manifest.front_end
    return Page(
        title=f"Data set: {name}",
        lead=[
            " ".join(_summary(found)),
            f"Labels: {manifest.labels}. Front end: {front_end.n_mels} mel bands of audio at {front_end.sample_rate} "
            f"Hz, {front_end.frame_rate:g} frames a second, fingerprint {front_end.fingerprint()[:12]}.",
        ],
        highlights=[
            Highlight("music", f"{hours:.2f} h", format_count(tracks, "track")),
            Highlight("songs", str(songs), "told apart by their notes, in each split"),
            Highlight("active classes", f"{np.count_nonzero(active)} of {len(_VOCABULARY)}", "General MIDI families"),
            Highlight("single stems", str(stems), "single instruments, in train"),
        ],
        sections=[
            _hours(manifest, found),
            _balance(found),
            _together(found),
            _polyphony(found),
            _spectra(manifest, found.spectra),
            _lengths(found),
            Section(
                "Fine print",
                [
                    "These are the tables of mir-tf inspect. Their activity includes single stems.",
                    *(Table(title, rows) for title, rows in inspection.tables(manifest)),
                ],
            ),
        ],
    )


def _summary(found: Survey) -> list[str]:
    """Return sentences about the most and the least frequent classes."""
    frames = sum(mixes.frames for mixes in found.mixes.values())
    active = np.sum([mixes.together.diagonal() for mixes in found.mixes.values()], axis=0)
    order = [int(index) for index in np.argsort(-active, kind="stable") if active[index]]
    if not order:
        return ["No class is ever active."]
    most, least = (
        f"{_VOCABULARY.classes[index]} ({format_percent(active[index] / frames)} of the frames)"
        for index in (order[0], order[-1])
    )
    sentences = [f"{len(order)} of {len(_VOCABULARY)} classes are active. The most frequent is {most}"]
    sentences[0] += f", the least frequent {least}." if len(order) > 1 else "."
    for split, mixes in found.mixes.items():
        missing = [_VOCABULARY.classes[index] for index in order if not mixes.together[index, index]]
        if missing:
            sentences.append(f"Missing from {split}: {', '.join(missing)}.")
    return sentences


def _hours(manifest: Manifest, found: Survey) -> Section:
    rows = [["split", "hours", "tracks", "songs", "single stems", "hours of stems"]]
    for split, mixes in found.mixes.items():
        summary, mixed = manifest.splits[split], sum(mixes.seconds)
        counts = (summary.tracks, summary.songs, summary.records - summary.tracks)
        stems = max(summary.seconds - mixed, 0)
        rows.append([split, f"{mixed / 3600:.2f}", *map(str, counts), f"{stems / 3600:.2f}"])
    return Section("Hours", [Table("Size of each split", rows, SPLIT_COLORS)])


def _balance(found: Survey) -> Section:
    shares = {split: mixes.together.diagonal() / mixes.frames for split, mixes in found.mixes.items()}
    rows = [["class", *(f"{split}, {unit}" for split in shares for unit in ("minutes", "share"))]]
    for index, name in enumerate(_VOCABULARY.classes):
        cells = []
        for split, mixes in found.mixes.items():
            minutes = mixes.together[index, index] / LABEL_RATE / 60
            cells += [f"{minutes:.1f}", format_percent(shares[split][index])]
        rows.append([name, *cells])
    title = "Share of each split in which each class is active"
    return Section(
        "Class balance",
        [
            Picture(
                "balance",
                figures.balance_figure(shares, _VOCABULARY.classes, list(CLASS_COLORS.values()), title),
                title,
                "A class that is rare in train is hard to learn. A class that is missing from validation gets no "
                "threshold of its own, and one that is missing from test is not evaluated. If the marks of a class are "
                "far apart, the splits differ.",
            ),
            Table("How long each class is active in the mixes", rows, CLASS_COLORS),
        ],
    )


def _together(found: Survey) -> Section:
    together = np.sum([mixes.together for mixes in found.mixes.values()], axis=0)
    active = np.flatnonzero(together.diagonal())
    counts = together[np.ix_(active, active)]
    return Section(
        "What plays together",
        [
            Picture(
                "together",
                figures.together_figure(
                    counts / counts.diagonal()[:, np.newaxis],
                    [_VOCABULARY.classes[index] for index in active],
                    "How often the class of the column is active while the class of the row is, in %",
                ),
                "Matrix of how often one class is active while another one is",
                "Each row shows what else plays while its class is active. A dark cell off the diagonal is a pair that "
                "is rarely apart, so a network may learn the company instead of the instrument. Single stems (--stems) "
                "and shuffled programs (--shuffle-programs) separate such pairs.",
            )
        ],
    )


def _polyphony(found: Survey) -> Section:
    shares = {split: mixes.polyphony / mixes.frames for split, mixes in found.mixes.items()}
    means = ", ".join(f"{values @ np.arange(len(values)):.2f} in {split}" for split, values in shares.items())
    return Section(
        "Polyphony",
        [
            f"Mean number of classes that are active at once: {means}.",
            Picture(
                "polyphony",
                figures.polyphony_figure(shares, "How many classes are active at once"),
                "Share of the frames by the number of classes that are active at once",
                "The more classes play at once, the harder it is to detect each of them. Frames at 0 are silence, from "
                "which a network learns to detect nothing. The splits should look alike.",
            ),
        ],
    )


def _spectra(manifest: Manifest, spectra: Spectra) -> Section:
    title = "Spectrum of each class"
    active = np.flatnonzero(spectra.frames)
    if not len(active):
        return Section(
            title,
            [
                "Spectra need recordings of single instruments, and this data set has only mixes. Build it with "
                "python -m tfrecords_builder --stems, which adds every stem of the train tracks, and report again."
            ],
        )
    names = [_VOCABULARY.classes[index] for index in active]
    return Section(
        title,
        [
            Picture(
                "spectra",
                figures.spectra_figure(
                    spectra.decibels(),
                    mel_centres(manifest.front_end),
                    spectra.stems[active].tolist(),
                    names,
                    [CLASS_COLORS[name] for name in names],
                    "Mean spectrum of each class",
                ),
                "Mean spectrum of each class, from its stems",
                "Mean power in the mel bands of the front end, over the train frames in which the stems of the class "
                "are active, in dB below its own peak: stems differ in loudness, so only the shape counts. The dashed "
                "line is the mean of all classes in dB. If a class differs from it, the spectrum alone tells the class "
                "from the others. If not, only attack, vibrato or the notes can.",
            )
        ],
    )


def _lengths(found: Survey) -> Section:
    lengths: Mapping[str, list[float]] = {split: mixes.seconds for split, mixes in found.mixes.items()}
    rows = [["split", "shortest", "median", "longest"]]
    rows += [
        [split, *(format_duration(value) for value in np.percentile(seconds, (0, 50, 100)))]
        for split, seconds in lengths.items()
    ]
    return Section(
        "Length",
        [
            Picture(
                "lengths",
                figures.lengths_figure(lengths, "Length of the tracks"),
                "Histogram of the lengths of the tracks",
                "Tracks by the length of audio that is used, with the splits stacked. Training takes more crops from "
                "longer tracks, so they count more.",
            ),
            Table("Length of the tracks in minutes and seconds", rows, SPLIT_COLORS),
        ],
    )
