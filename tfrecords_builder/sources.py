"""The sources of a build: a Slakh tree or archive, a folder of MIDI files, or composed songs.

Nothing heavy loads with this module, because the command line imports it.
"""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from mir_tf.config import SPLITS
from mir_tf.errors import DataError
from mir_tf.io.files import write_bytes
from tfrecords_builder import console
from tfrecords_builder.synthesis.settings import RenderConfig

if TYPE_CHECKING:
    from tfrecords_builder.build import Item, TrackSource
    from tfrecords_builder.estimate import BuildEstimate
    from tfrecords_builder.records.make import RecordConfig
    from tfrecords_builder.slakh.tree import Skipped, Track


class Source(Protocol):
    """Interface of a source."""

    def description(self) -> dict[str, Any]:
        """Return the arguments of the source for the manifest."""

    def choose(
        self, scratch: Path, config: RecordConfig, folder: Path, workers: int
    ) -> tuple[Sequence[Item], list[Skipped], TrackSource[Any]]:
        """Return the tracks to build, the skipped ones, and the source of their files.

        Args:
            scratch: Folder for files that are unpacked.
            config: Configuration of the records.
            folder: Folder for files that an interrupted build needs to continue.
            workers: Number of processes that read MIDI files.
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

    def choose(
        self, scratch: Path, config: RecordConfig, folder: Path | None = None, workers: int = 1
    ) -> tuple[list[Track], list[Skipped], TrackSource[Track]]:
        """Return the tracks to build, the skipped ones, and the source of their files, which unpacks into ``scratch``.

        Raises:
            DataError: There is no track, or the tree or archive is damaged as a whole.
        """
        from tfrecords_builder.build import FilesOnDisk
        from tfrecords_builder.slakh import tree
        from tfrecords_builder.slakh.archive import Archive

        track_source: TrackSource[Track]
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

    def choose(
        self, scratch: Path, config: RecordConfig, folder: Path, workers: int
    ) -> tuple[Sequence[Item], list[Skipped], TrackSource[Any]]:
        """Plan the tracks, each of which is rendered when it is built.

        Raises:
            DataError: There is no MIDI file that can be read, a SoundFont cannot be read, or the files or settings are
                not those of an interrupted build.
        """
        from tfrecords_builder import processes, resume
        from tfrecords_builder.build import FilesOnDisk
        from tfrecords_builder.synthesis import plan

        with processes.pool(workers) as pool:
            tracks, bad = plan.plan_tree(self.folder, self.soundfonts, self.rendering, pool)
        skipped = plan.skipped_files(self.folder, sorted(bad), len(tracks))
        plan.write_plan(self.keep_audio or folder / resume.TREE, self.folder, tracks)
        kept = [] if self.keep_audio is None else [self.keep_audio]
        roots = (self.folder, *self.soundfonts, *self.rendering.validation_soundfonts, *kept)
        tracks = [dataclasses.replace(track, tree=self.keep_audio) for track in tracks]
        return tracks, skipped, FilesOnDisk(*roots)

    def estimate(self, config: RecordConfig, workers: int) -> BuildEstimate:
        """Return the estimate of a build."""
        from tfrecords_builder import estimate

        return estimate.of_midi(
            self.folder, self.soundfonts, self.rendering, config, workers, keeps_audio=self.keep_audio is not None
        )


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

    def choose(
        self, scratch: Path, config: RecordConfig, folder: Path, workers: int
    ) -> tuple[Sequence[Item], list[Skipped], TrackSource[Any]]:
        """Compose the songs, and plan their tracks as :meth:`MidiSource.choose` does."""
        return self._composed(folder / "midi").choose(scratch, config, folder, workers)

    def estimate(self, config: RecordConfig, workers: int) -> BuildEstimate:
        """Return the estimate of a build."""
        with tempfile.TemporaryDirectory() as folder:
            return self._composed(Path(folder)).estimate(config, workers)

    def _composed(self, folder: Path) -> MidiSource:
        from tfrecords_builder.ensembles import composer
        from tfrecords_builder.synthesis.synthesizers import default_soundfont

        composer.compose_folder(folder, self.songs, self.rendering.seed, simple=True)
        # Other machines may have pretty_midi elsewhere.
        soundfont = folder / default_soundfont().name
        write_bytes(soundfont, default_soundfont().read_bytes())
        return MidiSource(folder, (soundfont,), self.rendering, self.keep_audio)


def _description(rendering: RenderConfig) -> dict[str, Any]:
    """Return the arguments of all sources, as JSON values. Those that a source lacks have their defaults."""
    plain = dataclasses.asdict(rendering)
    plain["validation_soundfonts"] = [str(path) for path in rendering.validation_soundfonts]
    plain["synthesizers"] = list(rendering.synthesizers)
    nothing: dict[str, Any] = {"slakh": None, "midi": None, "demo": None, "soundfonts": []}
    return {**nothing, **plain, "split_scheme": "folder", "drop_leaks": False}
