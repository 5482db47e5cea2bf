"""A small world for the scripts: a tree in Slakh's layout, a data set, a run, recordings, and the commands on them."""

from __future__ import annotations

import contextlib
import hashlib
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pretty_midi
import soundfile
import yaml

ROOT = Path(__file__).resolve().parents[2]

_SETTINGS = {
    "model": {"architecture": "cnn", "conv_filters": [4], "time_padding": 2},
    "train": {
        "epochs": 3,
        "steps_per_epoch": 2,
        "batch_size": 2,
        "crop_seconds": 2.0,
        "image_every": 0,
        "deterministic": True,
    },
    "window": {"window_seconds": 3.0, "overlap_seconds": 1.0},
}
_FRONT_END = ("sample_rate=8000", "n_fft=512", "hop_length=400", "n_mels=8", "f_max=4000.0")
_RATE = 8000
_LONGEST_SECONDS = 600


class Command(NamedTuple):
    """A command that writes into a folder.

    Attributes:
        name: Name in the figures.
        words: What is typed, with the place of the folder as ``OUT``.
        result: Patterns of the files whose bytes are the result.
    """

    name: str
    words: tuple[str, ...]
    result: tuple[str, ...]

    def argv(self, out: Path) -> list[str]:
        """Return the arguments of the process that writes into ``out``."""
        module = "tfrecords_builder" if self.name == "builder" else "mir_tf"
        return [sys.executable, "-m", module, *(word.replace("OUT", str(out)) for word in self.words)]


class World:
    """A folder with everything that the commands need.

    Attributes:
        folder: The folder.
        environment: Environment of the commands, with a cache of its own.
    """

    def __init__(self, folder: Path, songs: int = 4, seconds: float = 6.0) -> None:
        """Write a tree of ``songs`` songs for each split into ``folder``, and recordings of the same sounds."""
        self.folder = folder
        cache = folder / "cache"
        self.environment = os.environ | {"PYTHONPATH": str(ROOT), "MIR_TF_CACHE": str(cache), "COLUMNS": "0"}
        for index in range(2 * songs):
            split = "train" if index % 2 else "validation"
            _write_track(folder / "tree" / split / f"Track{index:05d}", seconds, index)
        (folder / "music").mkdir()
        for path in sorted((folder / "tree").glob("*/*/mix.flac"))[:songs]:
            (folder / "music" / f"{path.parent.name}.flac").write_bytes(path.read_bytes())
        (folder / "settings.yaml").write_text(yaml.safe_dump(_SETTINGS))

    def prepare(self, names: Iterable[str]) -> None:
        """Build the data set ``data`` and train the run ``run``, as far as the commands ``names`` need them."""
        commands, data, run = self.commands(), self.folder / "data", self.folder / "run"
        words = {word for name in names for word in commands[name].words}
        if not words.isdisjoint((str(data), str(run))):
            self.run(commands["builder"], data).check_returncode()
        if str(run) in words:
            self.run(commands["fit"], run).check_returncode()

    def commands(self) -> dict[str, Command]:
        """Return the commands that write, by their names."""
        tree, data, run, settings = (str(self.folder / name) for name in ("tree", "data", "run", "settings.yaml"))
        music = str(self.folder / "music")
        fields = [word for field in _FRONT_END for word in ("--set", field)]
        commands = (
            Command(
                "builder",
                ("--slakh", tree, "--out", "OUT", "--workers", "1", *fields),
                ("manifest.json", "*.tfrecord-*", "*.txt", "*_info.json", "features.json"),
            ),
            Command("fit", ("fit", "--data", data, "--config", settings, "--out", "OUT"), ("config.yaml",)),
            Command(
                "predict",
                ("predict", music, "--table", "OUT/songs.csv", "--format", "json,csv", "--out", "OUT/songs"),
                ("songs.csv", "songs/**/*.json", "songs/**/*.csv"),
            ),
            Command(
                "export",
                ("export", run, "--out", "OUT", "--formats", "savedmodel,tflite", "--quantize", "none"),
                ("*.tflite",),
            ),
            Command(
                "tune",
                ("tune", "--data", data, "--out", "OUT", "--trials", "2", "--epochs", "2", "--space", settings),
                ("best.yaml",),
            ),
            Command(
                "evaluate", ("evaluate", run, "--data", data, "--split", "validation", "--out", "OUT"), ("*.json",)
            ),
            Command("report", ("report", run, "--data", data, "--split", "validation", "--out", "OUT"), ("*.json",)),
            Command("inspect", ("inspect", data, "--report", "--out", "OUT", "--picture", "OUT.png"), ()),
        )
        return {command.name: command for command in commands}

    def start(self, command: Command, out: Path, **variables: str) -> subprocess.Popen[str]:
        """Start a command as the leader of a group of processes."""
        return subprocess.Popen(
            command.argv(out),
            env=self.environment | variables,
            start_new_session=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, command: Command, out: Path, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run a command to its end; ``stderr`` of the result is what it printed there."""
        with self.start(command, out, **variables) as process:
            try:
                _, errors = process.communicate(timeout=_LONGEST_SECONDS)
            except BaseException:
                kill(process)
                raise
        return subprocess.CompletedProcess(command.argv(out), process.returncode, None, errors)


def kill(process: subprocess.Popen[str]) -> None:
    """End a process that :meth:`World.start` has started, and those that it has started, with SIGKILL."""
    with contextlib.suppress(ProcessLookupError):  # it has just ended
        os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


def digests(folder: Path, patterns: tuple[str, ...]) -> dict[str, str]:
    """Return the SHA-256 of the files in ``folder`` that match one of the patterns."""
    files = {path for pattern in patterns for path in folder.glob(pattern) if path.is_file()}
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(files)}


def temporary_world() -> tempfile.TemporaryDirectory[str]:
    """Return a temporary folder for a world."""
    return tempfile.TemporaryDirectory(prefix="mir-tf-reliability-")


def _write_track(folder: Path, seconds: float, seed: int) -> None:
    """Write a track whose two instruments take turns."""
    for name in ("MIDI", "stems"):
        (folder / name).mkdir(parents=True)
    generator = np.random.default_rng(seed)
    time = np.arange(round(seconds * _RATE)) / _RATE
    mix, entries = np.zeros(len(time)), {}
    for index, (program, pitch) in enumerate(((0, 60), (48, 72))):
        onsets = np.arange(index * 0.7 + generator.uniform(0, 0.3), seconds - 1, 1.4)
        sound = sum(
            0.2 * np.sin(2 * np.pi * 440 * 2 ** ((pitch - 69) / 12) * time) * ((time >= on) & (time < on + 0.6))
            for on in onsets
        )
        soundfile.write(folder / "stems" / f"S{index:02d}.flac", sound, _RATE)
        mix += sound
        midi = pretty_midi.PrettyMIDI()
        instrument = pretty_midi.Instrument(program)
        instrument.notes = [pretty_midi.Note(100, pitch, on, on + 0.6) for on in onsets]
        midi.instruments.append(instrument)
        midi.write(str(folder / "MIDI" / f"S{index:02d}.mid"))
        entries[f"S{index:02d}"] = {
            "program_num": program,
            "is_drum": False,
            "plugin_name": "x",
            "audio_rendered": True,
        }
    soundfile.write(folder / "mix.flac", mix, _RATE)
    (folder / "all_src.mid").write_bytes((folder / "MIDI" / "S00.mid").read_bytes())
    (folder / "metadata.yaml").write_text(yaml.safe_dump({"UUID": f"uuid-{seed}", "stems": entries}))
