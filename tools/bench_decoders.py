"""Measure the processor time in which libsndfile, PyAV and imageio-ffmpeg decode the formats of recordings.

    python tools/bench_decoders.py

Each decodes the same five minutes of stereo and averages the channels. The rounds alternate, so that the ratios are
valid on a machine that does other work as well. imageio-ffmpeg is included if it is installed.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import av
import click
import numpy as np
import soundfile

from mir_tf.io.ffmpeg import FFmpegFile

_RATE = 48_000
_BLOCK = 10 * _RATE
_ENCODERS = {"flac": "flac", "mp3": "libmp3lame", "m4a": "aac", "opus": "libopus"}


@click.command(help=__doc__.partition("\n")[0])
@click.option("--minutes", default=5, show_default=True, help="Length of the recordings.")
@click.option("--rounds", default=5, show_default=True, help="Rounds to measure.")
def main(minutes: int, rounds: int) -> None:
    """Run the rounds and print the table."""
    decoders: dict[str, Callable[[Path], int]] = {"libsndfile": _by_libsndfile, "PyAV": _by_pyav}
    if find_spec("imageio_ffmpeg"):
        decoders["imageio-ffmpeg"] = _by_imageio_ffmpeg
    click.echo(f"{'':6}" + "".join(f"{name + ', s':>19}{'ratio':>7}" for name in decoders))
    with tempfile.TemporaryDirectory() as folder:
        for suffix, encoder in _ENCODERS.items():
            path = _write(Path(folder) / f"song.{suffix}", encoder, minutes)
            usable = {name: decode for name, decode in decoders.items() if _length(decode, path) > 0}
            times = np.array([[_seconds(decode, path) for decode in usable.values()] for _ in range(rounds)])
            medians = dict(zip(usable, np.median(times, axis=0), strict=True))
            unit = list(usable).index("PyAV")
            ratios = dict(zip(usable, np.median(times / times[:, unit : unit + 1], axis=0), strict=True))
            row = (
                f"{medians[name]:19.3f}{ratios[name]:7.2f}" if name in usable else f"{'-':>19}{'':7}"
                for name in decoders
            )
            click.echo(f"{suffix:6}" + "".join(row))
    click.echo("ratio: processor time in relation to PyAV's, the median of the rounds")


def _write(path: Path, encoder: str, minutes: int) -> Path:
    """Encode tones and noise, which repeat each second at a different loudness."""
    generator = np.random.default_rng(0)
    tone = 0.3 * np.sin(2 * np.pi * 440 * np.arange(_RATE) / _RATE)
    second = tone + generator.normal(0, 0.05, (2, _RATE))
    with av.open(str(path), "w") as container:
        stream = container.add_stream(encoder, rate=_RATE, layout="stereo")
        context = stream.codec_context
        resampler = av.AudioResampler(context.format, context.layout, _RATE, context.frame_size or None)
        for number in range(60 * minutes):
            louder = (second * (0.5 + 0.5 * (number % 7) / 7)).astype(np.float32)
            frame = av.AudioFrame.from_ndarray(louder, "fltp", "stereo")
            frame.sample_rate, frame.pts = _RATE, number * _RATE
            for piece in resampler.resample(frame):
                container.mux(stream.encode(piece))
        for piece in resampler.resample(None):
            container.mux(stream.encode(piece))
        container.mux(stream.encode(None))
    return path


def _by_libsndfile(path: Path) -> int:
    with soundfile.SoundFile(path) as file:
        return sum(len(block.mean(axis=1)) for block in file.blocks(_BLOCK, dtype="float32", always_2d=True))


def _by_pyav(path: Path) -> int:
    with path.open("rb") as file, FFmpegFile(file, path) as opened:
        return sum(len(block.mean(axis=1)) for block in opened.blocks(0, None, _BLOCK, 2**22))


def _by_imageio_ffmpeg(path: Path) -> int:
    import imageio_ffmpeg

    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-i", path, "-f", "f32le", "-ac", "2", "-"]
    count = 0
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        while block := process.stdout.read(_BLOCK * 8):
            count += len(np.frombuffer(block, "<f4").reshape(-1, 2).mean(axis=1))
    return count


def _length(decode: Callable[[Path], int], path: Path) -> int:
    """Return the number of decoded samples; 0 if the format is not supported."""
    try:
        return decode(path)
    except soundfile.SoundFileError:
        return 0


def _seconds(decode: Callable[[Path], int], path: Path) -> float:
    """Return the processor time of this process and of those that it started."""
    began = sum(os.times()[:4])
    decode(path)
    return sum(os.times()[:4]) - began


if __name__ == "__main__":
    main()
