"""How a folder of songs is rendered. Nothing heavy loads here: the command line reads it."""

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
    """How a folder of songs is rendered.

    Attributes:
        seed: of the split by song and the dealing of SoundFonts.
        shuffle_programs: a seed of random programs for every instrument but drum kits; None keeps the songs' own. Of
            several renditions of a song half keep them too, the first among them.
        renditions: tracks that are made of each song.
        synthesizers: of :data:`SYNTHESIZERS`; with the SoundFonts, they are dealt out among the tracks.
        vary: a seed of :mod:`tfrecords_builder.synthesis.augmentation`; None renders plainly.
        excerpt: seconds that are rendered of each song at most, from a place drawn at random; None renders all.
        validation_soundfonts: of the songs of the split validation, where they are to differ from the others'.
        split: that all songs go to; None divides them.
    """

    seed: int = 0
    shuffle_programs: int | None = None
    renditions: int = 1
    synthesizers: tuple[str, ...] = SYNTHESIZERS[:1]
    vary: int | None = None
    excerpt: float | None = None
    validation_soundfonts: tuple[Path, ...] = ()
    split: str | None = None

    def __post_init__(self) -> None:
        """Checks what goes together.

        Raises:
            ConfigError: a value that is out of range, or that another one excludes.
        """
        if self.excerpt is not None and not 1 <= self.excerpt < math.inf:
            raise ConfigError(f"excerpt is {self.excerpt}; it must be at least 1 s and finite")
        if self.split is not None and self.split not in SPLITS:
            raise ConfigError(f"split is {self.split!r}; it must be {' or '.join(SPLITS)}")
        if self.split not in (None, "validation") and self.validation_soundfonts:
            raise ConfigError(f"all songs go to {self.split!r}: there are none for validation's SoundFonts")
