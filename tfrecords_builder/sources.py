"""The sources of a build: a Slakh tree or archive, a folder of MIDI files, or composed songs.

Nothing heavy loads with this module, because the command line imports it.
"""

from __future__ import annotations

import dataclasses
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from mir_tf.config import SPLITS
from mir_tf.errors import DataError
from tfrecords_builder import console
from tfrecords_builder.synthesis.settings import RenderConfig

if TYPE_CHECKING:
    from tfrecords_builder.build import TrackSource
    from tfrecords_builder.estimate import BuildEstimate
    from tfrecords_builder.records.make import RecordConfig
    from tfrecords_builder.slakh.tree import Skipped, Track


class Source(Protocol):
    """Interface of a source."""

    def description(self) -> dict[str, Any]:
        """Return the arguments of the source for the manifest."""

    def prepare(self, folder: Path, workers: int) -> tuple[SlakhSource, list[Skipped]]:
        """Render the songs, if the source has no audio, into ``folder`` or the folder that keeps the audio.

        Returns:
            The tree to build from, and the files that could not be rendered.
        """

    def estimate(self, config: RecordConfig, workers: int) -> BuildEstimate:
        """Return the estimate of a build."""


@dataclasses.dataclass(frozen=True)
class SlakhSource:
    """A tree in Slakh's layout, or an archive of one.

    Attributes:
        root: The folder or archive.
        seed: Seed of the split by song of a tree without splits.
        split_scheme: One of ``slakh.splits.SCHEMES``.
        drop_leaks: Whether to drop tracks from train whose song is in validation or test.
    """

    root: Path
    seed: int = 0
    split_scheme: str = "folder"
    drop_leaks: bool = False

    def description(self) -> dict[str, Any]:
        """Return the arguments of the source for the manifest."""
        own = {"slakh": str(self.root), "split_scheme": self.split_scheme, "drop_leaks": self.drop_leaks}
        return _description(RenderConfig(self.seed)) | own

    def prepare(self, folder: Path, workers: int) -> tuple[SlakhSource, list[Skipped]]:
        """Return the tree itself: it is rendered already."""
        return self, []

    def choose(self, scratch: Path, config: RecordConfig) -> tuple[list[Track], list[Skipped], TrackSource]:
        """Return the tracks to build, the skipped ones, and the source of their files, which unpacks into ``scratch``.

        Raises:
            DataError: There is no track, or the tree or archive is damaged as a whole.
        """
        from tfrecords_builder.build import FilesOnDisk
        from tfrecords_builder.slakh import tree
        from tfrecords_builder.slakh.archive import Archive

        track_source: TrackSource
        if self.root.is_file():
            track_source = archive = Archive(self.root, scratch, with_stems=config.uses_stems)
            with console.reading_bar(self.root.name) as advance:
                layout = archive.layout(advance)
        else:
            track_source, layout = FilesOnDisk(self.root), tree.read_layout(self.root)
        try:
            tracks, skipped = tree.choose_tracks(layout, self.seed, self.split_scheme)
        except DataError as error:
            raise DataError(track_source.shown(str(error))) from error
        skipped = [dataclasses.replace(item, reason=track_source.shown(item.reason)) for item in skipped]
        if layout.songs is None and tracks:
            has_splits = self.split_scheme != "folder" or tree.layout_has_splits(layout)
            self._print_notes(tracks, has_splits)
        if self.drop_leaks:
            tracks, dropped = tree.drop_leaks(tracks)
            skipped += dropped
        return tracks, skipped, track_source

    def _print_notes(self, tracks: list[Track], has_splits: bool) -> None:
        """Print what a user should know of the splits."""
        nameless = [track.id for track in tracks if track.song == track.id]
        absent = [split for split in SPLITS if split not in {track.split for track in tracks}]
        if not has_splits:
            console.print_split_by_song(self.root, self.seed)
        elif nameless:
            console.print_unknown_songs(nameless)
        if has_splits and absent:
            console.print_no_tracks(self.root, absent)

    def estimate(self, config: RecordConfig, workers: int) -> BuildEstimate:
        """Return the estimate of a build."""
        from tfrecords_builder import estimate

        with tempfile.TemporaryDirectory() as scratch:
            tracks, skipped, track_source = self.choose(Path(scratch), config)
            return estimate.of_tracks(tracks, skipped, config, track_source, is_stream=self.root.is_file())


@dataclasses.dataclass(frozen=True)
class MidiSource:
    """A folder of MIDI files, rendered with SoundFonts.

    Attributes:
        folder: The folder, searched recursively.
        soundfonts: At least one .sf2 file.
        rendering: How to render.
        keep_audio: Folder for the rendered tree; None for a temporary one.
    """

    folder: Path
    soundfonts: tuple[Path, ...]
    rendering: RenderConfig
    keep_audio: Path | None = None

    def description(self) -> dict[str, Any]:
        """Return the arguments of the source for the manifest."""
        own = {"midi": str(self.folder), "soundfonts": [str(path) for path in self.soundfonts]}
        return _description(self.rendering) | own

    def prepare(self, folder: Path, workers: int) -> tuple[SlakhSource, list[Skipped]]:
        """Render the missing tracks.

        Returns:
            The rendered tree, and the MIDI files that could not be rendered.

        Raises:
            DataError: No file could be rendered.
        """
        from tfrecords_builder import resume
        from tfrecords_builder.synthesis import plan, render

        tree = self.keep_audio or folder / resume.TREE
        with console.track_bar("Rendering") as progress:
            report = render.render_tree(self.folder, self.soundfonts, tree, self.rendering, workers, progress)
        skipped = plan.skipped_files(self.folder, report.bad, report.tracks)
        return SlakhSource(tree, self.rendering.seed), skipped

    def estimate(self, config: RecordConfig, workers: int) -> BuildEstimate:
        """Return the estimate of a build."""
        from tfrecords_builder import estimate

        return estimate.of_midi(self.folder, self.soundfonts, self.rendering, config, workers)


@dataclasses.dataclass(frozen=True)
class DemoSource:
    """Composed songs, rendered with the SoundFont that pretty_midi ships.

    Attributes:
        songs: Number of songs.
        rendering: How to render; its seed is the songs' too.
        keep_audio: Folder for the rendered tree; None for a temporary one.
    """

    songs: int
    rendering: RenderConfig
    keep_audio: Path | None = None

    def description(self) -> dict[str, Any]:
        """Return the arguments of the source for the manifest."""
        return _description(self.rendering) | {"demo": self.songs}

    def prepare(self, folder: Path, workers: int) -> tuple[SlakhSource, list[Skipped]]:
        """Compose the songs and render them, as :meth:`MidiSource.prepare`."""
        return self._composed(folder / "midi").prepare(folder, workers)

    def estimate(self, config: RecordConfig, workers: int) -> BuildEstimate:
        """Return the estimate of a build."""
        with tempfile.TemporaryDirectory() as folder:
            return self._composed(Path(folder)).estimate(config, workers)

    def _composed(self, folder: Path) -> MidiSource:
        from tfrecords_builder.ensembles import composer
        from tfrecords_builder.synthesis.synthesizers import default_soundfont

        composer.compose_folder(folder, self.songs, self.rendering.seed, simple=True)
        return MidiSource(folder, (default_soundfont(),), self.rendering, self.keep_audio)


def _description(rendering: RenderConfig) -> dict[str, Any]:
    """Return the arguments of all sources, as JSON values. Those that a source lacks have their defaults."""
    plain = dataclasses.asdict(rendering)
    plain["validation_soundfonts"] = [str(path) for path in rendering.validation_soundfonts]
    plain["synthesizers"] = list(rendering.synthesizers)
    nothing: dict[str, Any] = {"slakh": None, "midi": None, "demo": None, "soundfonts": []}
    return {**nothing, **plain, "split_scheme": "folder", "drop_leaks": False}
