"""How to render a folder of songs. This module loads nothing heavy, because the command line imports it."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

from mir_tf.config import SPLITS
from mir_tf.errors import ConfigError

SYNTHESIZERS = ("builtin", "fluidsynth")
"""Players of a SoundFont: :mod:`tfrecords_builder.synthesis.soundfont`, or FluidSynth, a program of the system."""


@dataclasses.dataclass(frozen=True)
class RenderConfig:
    """How to render a folder of songs.

    Attributes:
        seed: Seed of the split by song and of the assignment of SoundFonts.
        shuffle_programs: Seed of random programs for every instrument except drums; None keeps the songs' own
            programs. With several renditions of a song, half of them keep its own programs too, including the first.
        orchestrate: Seed of other instruments that keep the roles of the parts, with the same rule for renditions; None
            keeps the songs' own programs. Excludes ``shuffle_programs``.
        humanize: Seed of deviations in time and velocity, for songs made from scores; None plays them as written.
        renditions: Number of tracks made from each song.
        synthesizers: Some of :data:`SYNTHESIZERS`. Combined with the SoundFonts, they are dealt out to the tracks.
        augment: Seed of :mod:`tfrecords_builder.synthesis.augmentation`; None renders plainly.
        excerpt: Most seconds to render of each song, from a random place; None renders all of it.
        validation_soundfonts: SoundFonts for the songs of the validation split; empty for the same as the others.
        split: Split for all songs; None divides them.
    """

    seed: int = 0
    shuffle_programs: int | None = None
    orchestrate: int | None = None
    humanize: int | None = None
    renditions: int = 1
    synthesizers: tuple[str, ...] = SYNTHESIZERS[:1]
    augment: int | None = None
    excerpt: float | None = None
    validation_soundfonts: tuple[Path, ...] = ()
    split: str | None = None

    def __post_init__(self) -> None:
        """Check the values.

        Raises:
            ConfigError: A value is out of range or excludes another one.
        """
        if self.shuffle_programs is not None and self.orchestrate is not None:
            raise ConfigError("shuffle_programs and orchestrate exclude each other: both choose the instruments")
        if self.excerpt is not None and not 1 <= self.excerpt < math.inf:
            raise ConfigError(f"excerpt is {self.excerpt}; it must be a finite number of at least 1 second")
        if self.split is not None and self.split not in SPLITS:
            raise ConfigError(f"split is {self.split!r}; it must be {' or '.join(SPLITS)}")
        if self.split not in (None, "validation") and self.validation_soundfonts:
            raise ConfigError(
                f"validation SoundFonts are given, but split={self.split!r} leaves no songs for validation"
            )
