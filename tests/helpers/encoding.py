"""Recordings and videos in every format that PyAV's FFmpeg encodes."""

from pathlib import Path
from typing import Any

import av
import numpy as np


def melody(rate: int, seconds: float = 3.0) -> np.ndarray:
    """Return two different channels, float32 [channels, samples], whose place can be told everywhere."""
    time = np.arange(round(seconds * rate)) / rate
    left = 0.3 * np.sin(2 * np.pi * (220 + 200 * time) * time) * (0.6 + 0.4 * np.sin(6 * np.pi * time))
    return np.stack([left, 0.3 * np.sin(2 * np.pi * (330 + 90 * time) * time)]).astype(np.float32)


def encode(
    path: Path,
    codec: str | None,
    channels: np.ndarray,
    rate: int,
    *,
    video: bool = False,
    form: str | None = None,
    options: dict[str, str] | None = None,
    gap: float = 0.0,
    gap_from: float | None = None,
    layout: str | None = None,
    to_pipe: bool = False,
) -> Path:
    """Write a recording.

    Args:
        path: File; its suffix sets the format, unless ``form`` does.
        codec: FFmpeg's name of the encoder; None for a video without audio.
        channels: float32 [channels, samples].
        rate: Sample rate in Hz.
        video: Whether to add 3 s of video.
        form: FFmpeg's name of the format.
        options: Options of the format.
        gap: Seconds by which the audio is postponed.
        gap_from: Time in seconds of the first audio that is postponed; by default the middle.
        layout: FFmpeg's name of the channels; by default mono or stereo.
        to_pipe: Whether to write as to a pipe, where a program cannot go back to complete the header. Needs ``form``.

    Returns:
        The path.
    """
    layout = layout or ("stereo" if len(channels) == 2 else "mono")
    with av.open(_Pipe(path) if to_pipe else str(path), "w", format=form, options=options or {}) as container:
        pictures, sound = None, None
        if video:
            pictures = container.add_stream("mpeg4", rate=10)
            pictures.width, pictures.height, pictures.pix_fmt = 64, 64, "yuv420p"
        if codec is not None:
            sound = container.add_stream(codec, rate=rate, layout=layout)
            if codec.startswith("wma"):
                sound.codec_context.bit_rate = 128_000
        if pictures is not None:
            for brightness in range(30):
                picture = av.VideoFrame.from_ndarray(np.full((64, 64, 3), 8 * brightness, np.uint8), format="rgb24")
                container.mux(pictures.encode(picture))
            container.mux(pictures.encode(None))
        if sound is not None:
            middle = channels.shape[1] / rate / 2
            _add_audio(container, sound, channels, rate, gap, middle if gap_from is None else gap_from)
    return path


class _Pipe:
    def __init__(self, path: Path) -> None:
        self._path = path
        path.write_bytes(b"")

    def write(self, content: bytes) -> int:
        with self._path.open("ab") as file:
            return file.write(content)


def _add_audio(container: Any, stream: Any, channels: np.ndarray, rate: int, gap: float, gap_from: float) -> None:
    context = stream.codec_context
    resampler = av.AudioResampler(context.format, context.layout, context.sample_rate, context.frame_size or None)
    # Not planar, of which PyAV fails to write 8 channels.
    frame = av.AudioFrame.from_ndarray(channels.T.reshape(1, -1).astype(np.float32), "flt", stream.layout.name)
    frame.sample_rate, frame.pts = rate, 0
    for piece in (*resampler.resample(frame), *resampler.resample(None)):
        for packet in stream.encode(piece):
            _postpone(packet, gap, gap_from)
            container.mux(packet)
    for packet in stream.encode(None):
        _postpone(packet, gap, gap_from)
        container.mux(packet)


def _postpone(packet: Any, gap: float, start: float) -> None:
    if gap and packet.pts * packet.time_base >= start:
        packet.pts += round(gap / packet.time_base)
        packet.dts = packet.pts
