"""A data set on one page: hours, classes, what sounds together, lengths, and the spectrum of each instrument group."""

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
from mir_tf.figures import data_set
from mir_tf.figures.colors import color_of
from mir_tf.figures.evaluation import matrix_figure
from mir_tf.figures.timelines import mel_centres
from mir_tf.inference.prediction import format_duration
from mir_tf.io.files import as_path
from mir_tf.reports import inspection
from mir_tf.reports.page import Highlight, Page, Picture, Section, Table
from mir_tf.vocabulary import VOCABULARIES

_VOCABULARY = VOCABULARIES["family"]
_COLORS = {name: color_of(_VOCABULARY.name, index) for index, name in enumerate(_VOCABULARY.classes)}


@dataclasses.dataclass
class Mixes:
    """What the mixes of a split come to.

    Attributes:
        seconds: length of each.
        frames: label frames of all.
        together: int64 [classes, classes], label frames in which both classes sound; the diagonal: in which one does.
        polyphony: int64 [classes + 1], label frames in which so many classes sound.
    """

    seconds: list[float]
    frames: int
    together: NDArray[np.int64]
    polyphony: NDArray[np.int64]

    @classmethod
    def none(cls, num_classes: int) -> Mixes:
        """Of nothing yet."""
        return cls([], 0, np.zeros((num_classes, num_classes), np.int64), np.zeros(num_classes + 1, np.int64))

    def add(self, truth: NDArray[np.bool_]) -> None:
        """Adds a mix: bool [label frames, classes]."""
        self.seconds.append(len(truth) / LABEL_RATE)
        self.frames += len(truth)
        # As float64, which are multiplied far faster than integers, and hold these counts exactly.
        self.together += (truth.T.astype(np.float64) @ truth).astype(np.int64)
        self.polyphony += np.bincount(np.count_nonzero(truth, axis=1), minlength=len(self.polyphony))


@dataclasses.dataclass
class Spectra:
    """What the records of single stems come to, class by class.

    Attributes:
        power: float64 [classes, mels], summed over the frames in which the class sounds.
        frames: int64 [classes], these frames.
        stems: int64 [classes], stems with such frames.
    """

    power: NDArray[np.float64]
    frames: NDArray[np.int64]
    stems: NDArray[np.int64]

    @classmethod
    def none(cls, num_classes: int, mels: int) -> Spectra:
        """Of nothing yet."""
        return cls(np.zeros((num_classes, mels)), np.zeros(num_classes, np.int64), np.zeros(num_classes, np.int64))

    def add(self, log_mel: NDArray[np.float32], truth: NDArray[np.bool_]) -> None:
        """Adds a stem: float32 [frames, mels] in dB, and bool [label frames, classes]."""
        power = 10 ** (log_mel.astype(np.float64) / 10)
        subframes = len(log_mel) // len(truth)
        for index in np.flatnonzero(truth.any(axis=0)):
            sounds = np.repeat(truth[:, index], subframes)
            self.power[index] += power[sounds].sum(axis=0)
            self.frames[index] += np.count_nonzero(sounds)
            self.stems[index] += 1

    def decibels(self) -> NDArray[np.float64]:
        """Mean power in dB of the classes that sound, [sounding, mels]."""
        sounding = self.frames > 0
        mean: NDArray[np.float64] = self.power[sounding] / self.frames[sounding, np.newaxis]
        decibels: NDArray[np.float64] = 10 * np.log10(np.maximum(mean, np.finfo(float).tiny))
        return decibels


@dataclasses.dataclass(frozen=True)
class Survey:
    """What one pass over all records of a data set finds.

    Attributes:
        mixes: of each split with tracks.
        spectra: of the stems that are records of their own.
    """

    mixes: dict[str, Mixes]
    spectra: Spectra


def survey(folder: str | Path, manifest: Manifest, progress: Callable[[int, int], None] | None = None) -> Survey:
    """Reads a data set once, in the memory that one track takes.

    Args:
        folder: of the data set.
        manifest: of it.
        progress: called with records done and records in all after each record.

    Raises:
        DataError: it is damaged, has no track at all, or its stems cannot be told from its tracks.
    """
    splits = {name: summary for name, summary in manifest.splits.items() if summary.tracks}
    if not splits:
        raise DataError(f"{folder}: no split has a track, so there is nothing to report; build one of more songs")
    found = Survey({}, Spectra.none(len(_VOCABULARY), manifest.front_end.n_mels))
    done, records = 0, sum(summary.records for summary in splits.values())
    for name in splits:
        mixes = found.mixes[name] = Mixes.none(len(_VOCABULARY))
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
    """Writes ``report.html`` and its pictures into ``out``.

    Args:
        folder: of the data set.
        manifest: of it.
        out: made if need be.
        progress: as :func:`survey` takes it.

    Returns:
        the page.

    Raises:
        DataError: as :func:`survey`.
        OSError: ``out`` cannot be written.
    """
    return page(as_path(folder).resolve().name, manifest, survey(folder, manifest, progress)).save(out)


def page(name: str, manifest: Manifest, found: Survey) -> Page:
    """The page of the data set ``name``."""
    splits = [manifest.splits[split] for split in found.mixes]
    mixed = sum(sum(mixes.seconds) for mixes in found.mixes.values()) / 3600
    stems = sum(split.records - split.tracks for split in splits)
    ever = np.sum([mixes.together.diagonal() for mixes in found.mixes.values()], axis=0)
    front_end = manifest.front_end
    return Page(
        title=f"Data set: {name}",
        lead=f"Labels {manifest.labels}, {front_end.n_mels} mel bands of audio at {front_end.sample_rate} Hz, "
        f"{front_end.frame_rate:g} frames a second. Fingerprint of the front end: {front_end.fingerprint()[:12]}.",
        highlights=[
            Highlight("music", f"{mixed:.2f} h", f"{sum(split.tracks for split in splits)} tracks"),
            Highlight("songs", str(sum(split.songs for split in splits)), "by the notes, in each split"),
            Highlight("classes that sound", f"{np.count_nonzero(ever)} of {len(_VOCABULARY)}", "General MIDI families"),
            Highlight("stems of their own", str(stems), "items of single instruments in train"),
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
                    "What mir-tf inspect prints. Activity is over all items there, stems of their own included.",
                    *(Table(title, rows) for title, rows in inspection.tables(manifest)),
                ],
            ),
        ],
    )


def _hours(manifest: Manifest, found: Survey) -> Section:
    rows = [["split", "hours", "tracks", "songs", "stems of their own", "hours of stems"]]
    for split, mixes in found.mixes.items():
        summary, mixed = manifest.splits[split], sum(mixes.seconds)
        rows.append(
            [
                split,
                f"{mixed / 3600:.2f}",
                str(summary.tracks),
                str(summary.songs),
                str(summary.records - summary.tracks),
                f"{max(summary.seconds - mixed, 0) / 3600:.2f}",
            ]
        )
    return Section("Hours", [Table("What each split holds", rows, data_set.SPLIT_COLORS)])


def _balance(found: Survey) -> Section:
    shares = {split: mixes.together.diagonal() / mixes.frames for split, mixes in found.mixes.items()}
    rows = [["class", *(f"{split}, {what}" for split in shares for what in ("minutes", "share"))]]
    for index, name in enumerate(_VOCABULARY.classes):
        cells = []
        for split, mixes in found.mixes.items():
            minutes = mixes.together[index, index] / LABEL_RATE / 60
            cells += [f"{minutes:.1f}", f"{100 * shares[split][index]:.1f} %"]
        rows.append([name, *cells])
    return Section(
        "Class balance",
        [
            Picture(
                "balance",
                data_set.balance_figure(
                    shares, _VOCABULARY.classes, list(_COLORS.values()), "How much of each split a class sounds"
                ),
                "Share of each split in which each class sounds",
                "A class that sounds in little of train is hard to learn; one that is missing from validation gets no "
                "threshold of its own, and one missing from test is not measured. Marks far apart: the splits differ.",
            ),
            Table("How long each class sounds in the mixes", rows, _COLORS),
        ],
    )


def _together(found: Survey) -> Section:
    together = np.sum([mixes.together for mixes in found.mixes.values()], axis=0)
    sounding = np.flatnonzero(together.diagonal())
    names = [_VOCABULARY.classes[index] for index in sounding]
    counts = together[np.ix_(sounding, sounding)]
    return Section(
        "What sounds together",
        [
            Picture(
                "together",
                matrix_figure(
                    counts / counts.diagonal()[:, np.newaxis],
                    names,
                    names,
                    "Given that the class of the row sounds: how often that of the column does, too, in %",
                    xlabel="sounds as well",
                    ylabel="sounds",
                ),
                "Matrix of how often one class sounds while another does",
                "A row asks: while this class sounds, what else does? A dark cell off the diagonal is a pair that is "
                "hardly ever heard apart: a network may learn the company instead of the instrument. Stems of their "
                "own (--stems) and shuffled programs (--shuffle-programs) part them.",
            )
        ],
    )


def _polyphony(found: Survey) -> Section:
    shares = {split: mixes.polyphony / mixes.frames for split, mixes in found.mixes.items()}
    means = ", ".join(f"{values @ np.arange(len(values)):.2f} in {split}" for split, values in shares.items())
    return Section(
        "Polyphony",
        [
            f"Classes that sound at once, on average: {means}.",
            Picture(
                "polyphony",
                data_set.polyphony_figure(shares, "How many classes sound at once"),
                "Share of the frames in which so many classes sound at once",
                "The more sound at once, the harder each is to hear. At 0: silence, from which a network learns to say "
                "nothing. The splits should look alike.",
            ),
        ],
    )


def _spectra(manifest: Manifest, spectra: Spectra) -> Section:
    sounding = np.flatnonzero(spectra.frames)
    title = "Spectrum of each group"
    if not len(sounding):
        return Section(
            title,
            [
                "The spectrum of an instrument group is that of its stems alone, and this data set holds mixes only. "
                "Build it with python -m tfrecords_builder --stems, which makes an item of every stem of a train "
                "track, and report again."
            ],
        )
    names = [_VOCABULARY.classes[index] for index in sounding]
    return Section(
        title,
        [
            Picture(
                "spectra",
                data_set.spectra_figure(
                    spectra.decibels(),
                    mel_centres(manifest.front_end),
                    spectra.stems[sounding].tolist(),
                    names,
                    [_COLORS[name] for name in names],
                    "Mean spectrum of each instrument group",
                ),
                "Mean spectrum of each class, from its stems",
                "Power in the mel bands of the front end, averaged over the frames of train in which the stems of the "
                "group sound, in dB under its own peak: stems differ in loudness, and only the shape is compared. "
                "Dashed: the mean of all groups in dB. Where a coloured line leaves it, the group can be told from the "
                "others by its spectrum alone; where it does not, by attack, vibrato or the notes played.",
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
                data_set.lengths_figure(lengths, "Length of the tracks"),
                "Histogram of the lengths of the tracks",
                "Tracks by the audio that is used of them, the splits stacked. Training takes a number of crops of a "
                "track that grows with its length, so that long ones count more.",
            ),
            Table("Length of the tracks in minutes and seconds", rows, data_set.SPLIT_COLORS),
        ],
    )
