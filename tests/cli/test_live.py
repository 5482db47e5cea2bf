"""Live audio from standard input and a microphone: how it is read, what is printed, and how it ends."""

import dataclasses
import fcntl
import importlib.util
import io
import json
import os
import pty
import re
import signal
import struct
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import click.testing
import numpy as np
import pytest
import soundfile
from helpers.commands import run
from rich.console import Console

from mir_tf.cli.meter import Meter
from mir_tf.errors import AudioError
from mir_tf.export.exporter import probe_signal
from mir_tf.inference.prediction import Prediction
from mir_tf.io.capture import Microphone, RawSource
from mir_tf.lite import LiteModel
from mir_tf.stream import Stream

SIGNAL = (0.2 * np.random.default_rng(0).normal(size=(3000, 2))).clip(-1, 0.99)


@pytest.fixture(scope="module")
def path(exported_cnn: Path) -> Path:
    return exported_cnn / "model.float32.tflite"


def written(signal: np.ndarray, rate: int = 8000, **how: str) -> bytes:
    """Return the bytes of an audio file, by default a wav."""
    file = io.BytesIO()
    soundfile.write(file, signal, rate, **{"format": "WAV", **how})
    return file.getvalue()


class Trickle(io.BytesIO):
    """A file that returns a few bytes at a time, as a pipe may."""

    def read1(self, size: int = -1) -> bytes:
        return super().read1(min(size, 777))


def blocks_of(content: bytes, *how: str | int | None) -> np.ndarray:
    source = RawSource.of_format(Trickle(content), *(how or ("wav", None, None)))
    return np.concatenate(list(source.blocks()))


@pytest.mark.parametrize("kind", ["WAV", "WAVEX"])
@pytest.mark.parametrize("subtype", ["PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE"])
def test_wavs_are_decoded_as_by_libsndfile(subtype: str, kind: str) -> None:
    content = written(SIGNAL, format=kind, subtype=subtype)
    expected, _ = soundfile.read(io.BytesIO(content), dtype="float32")
    np.testing.assert_array_equal(blocks_of(content), expected)


@pytest.mark.parametrize(("name", "subtype"), [("s16le", "PCM_16"), ("f32le", "FLOAT")])
def test_raw_audio_is_decoded_as_told(name: str, subtype: str) -> None:
    content = written(SIGNAL, format="RAW", subtype=subtype, endian="LITTLE")
    whole = blocks_of(content, name, 44100, 2)
    np.testing.assert_allclose(whole, SIGNAL, atol=1e-4)
    np.testing.assert_array_equal(blocks_of(content[:-1], name, 44100, 2), whole[:-1])
    np.testing.assert_array_equal(blocks_of(content, name, 44100, None)[:, 0], whole.ravel())


def with_size(content: bytes, size: int) -> bytes:
    """Return a wav whose header states another number of bytes of audio."""
    at = content.index(b"data") + 4
    return content[:at] + size.to_bytes(4, "little") + content[at + 4 :]


def test_what_a_header_states_is_read_and_no_more() -> None:
    content = written(SIGNAL)
    whole = blocks_of(content)
    for placeholder in (0, 0x7FFFFFFF, 0xFFFFFFFF):  # written by programs that write to a pipe
        np.testing.assert_array_equal(blocks_of(with_size(content, placeholder)), whole)
    np.testing.assert_array_equal(blocks_of(content + b"LIST" + bytes(1000)), whole)
    at = content.index(b"data")
    np.testing.assert_array_equal(blocks_of(content[:at] + b"odd \3\0\0\0abc\0" + content[at:]), whole)


BAD = {
    "nothing": (b"", "not a wav; give --format s16le or f32le"),
    "text": (b"not a wav at all, but words", "not a wav; give"),
    "no data": (written(SIGNAL)[:36], "cut off in the header"),
    "data before its layout": (b"RIFF\0\0\0\0WAVEdata\xff\0\0\0" + bytes(255), "cut off in the header"),
    "a huge chunk": (b"RIFF\0\0\0\0WAVEjunk\0\0\0\x7f" + bytes(255), "cut off in the header"),
    "ulaw": (written(SIGNAL, subtype="ULAW"), "cannot decode a wav with encoding 7, 8 bits, 2 channels and 8000 Hz"),
    "many channels": (written(np.zeros((10, 65))), "65 channels; at most 64 are supported"),
    "no samples": (written(SIGNAL[:0]), "contains no samples"),
    "cut off": (written(SIGNAL)[:-4000], "cut off after 0.2 s; its header states 0.4 s"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_wav_is_named(path: Path, name: str) -> None:
    content, message = BAD[name]
    with pytest.raises(AudioError, match=message):
        blocks_of(content)
    result = listen(path, content)
    assert result.exit_code == 1
    assert message in " ".join(result.stderr.split())
    assert len(result.stdout.splitlines()) == (3 if name == "cut off" else 0)


def listen(path: Path, content: bytes, *words: str) -> click.testing.Result:
    return run("listen", path, *words, input=content)


def probabilities_in(output: str) -> np.ndarray:
    """Return the probabilities in lines of JSON, and check each line."""
    frames = [json.loads(line) for line in output.splitlines()]
    for index, frame in enumerate(frames):
        assert list(frame) == ["start", "end", "active", "probabilities"]
        assert (frame["start"], frame["end"]) == (index / 10, (index + 1) / 10)
    return np.array([list(frame["probabilities"].values()) for frame in frames])


def test_a_line_for_each_frame_equals_the_prediction_of_the_file(path: Path, tmp_path: Path) -> None:
    content = written(np.stack([probe_signal(44100, 7.3)] * 2, axis=1), 44100)
    (tmp_path / "song.wav").write_bytes(content)
    expected = LiteModel(path).predict(tmp_path / "song.wav")
    result = listen(path, content)
    assert result.exit_code == 0
    assert "44100 Hz; a frame is final after at most 3.2 s" in result.stderr
    np.testing.assert_allclose(probabilities_in(result.stdout), expected.probabilities, atol=1e-4)
    for line, active in zip(result.stdout.splitlines(), expected.active, strict=True):
        assert json.loads(line)["active"] == [expected.classes[index] for index in np.flatnonzero(active)]
    raw = content[content.index(b"data") + 8 :]
    again = listen(path, raw, "--format", "s16le", "--rate", "44100", "--channels", "2")
    assert again.stdout == result.stdout


def test_nan_on_the_way_ends_it_after_the_frames_before(path: Path) -> None:
    signal = probe_signal(8000, 6.0)
    content = signal.astype("<f4").tobytes() + np.float32(np.nan).tobytes()
    result = listen(path, content, "--format", "f32le", "--rate", "8000")
    assert result.exit_code == 1
    assert "audio contains NaN or infinity" in result.stderr
    assert len(result.stdout.splitlines()) == 60


def test_ten_milliseconds_are_one_frame_and_less_is_none(path: Path) -> None:
    raw = ("--format", "s16le", "--rate")
    assert len(listen(path, bytes(882), *raw, "44100").stdout.splitlines()) == 1
    assert listen(path, bytes(2), *raw, "96000").stdout == ""
    result = listen(path, b"\0", *raw, "44100")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "standard input: contains no samples" in result.stderr


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--format", "s16le"), "s16le states no sample rate: give --rate"),
        (("--rate", "44100"), "a wav states its own rate and channels"),
        (("--format", "wav", "--channels", "2"), "a wav states its own rate and channels"),
        (("--format", "s16le", "--rate", "10"), "sample rate 10: it must be between 1000 and 768000 Hz"),
        (("--format", "s16le", "--rate", "44100", "--channels", "0"), "0 is not in the range"),
        (("--format", "s16le", "--rate", "44100", "--channels", "65"), "--channels 65; at most 64 are supported"),
        (("--format", "mp3"), "'mp3' is not one of"),
        (("--microphone", "--rate", "44100"), "describe standard input; leave them out with --microphone"),
    ],
)
def test_wrong_usage(path: Path, words: tuple[str, ...], message: str) -> None:
    result = listen(path, written(SIGNAL), *words)
    assert result.exit_code == 2
    assert message in " ".join(result.stderr.split())


def test_nothing_on_standard_input_is_wrong_usage(path: Path) -> None:
    done = subprocess.run(command(path), preexec_fn=lambda: os.close(0), capture_output=True, text=True)
    assert done.returncode == 2
    assert "no audio on standard input" in " ".join(done.stderr.split())


def test_a_run_is_no_file_to_listen_with(exported_cnn: Path) -> None:
    assert listen(exported_cnn / "run", b"").exit_code == 2
    assert listen(exported_cnn / "none.tflite", b"").exit_code == 2


def test_a_clip_file_cannot_listen(exported_cnn: Path) -> None:
    result = listen(exported_cnn / "clip.tflite", written(SIGNAL))
    assert result.exit_code == 1
    assert "predicts whole windows, not a timeline" in result.stderr


def command(path: Path, *words: str) -> list[str]:
    return [sys.executable, "-c", "from mir_tf.cli import main; main()", "listen", str(path), *words]


def test_ctrl_c_ends_a_pipe_that_says_nothing_more_with_all_frames(path: Path) -> None:
    signal_, words = probe_signal(8000, 4.25), ("--format", "f32le", "--rate", "8000")
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command(path, *words), **pipes) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(signal_.astype("<f4").tobytes())
        process.stdin.flush()
        first = [process.stdout.readline() for _ in range(20)]  # the first window is printed at once
        while _bytes_in(process.stdin):
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        watchdog = threading.Timer(120, process.kill)
        watchdog.start()
        rest = process.stdout.read()
        watchdog.cancel()
        assert process.wait(60) == 0
    found = probabilities_in((b"".join(first) + rest).decode())
    np.testing.assert_allclose(found, LiteModel(path).predict(signal_, 8000).probabilities, atol=1e-4)


def _bytes_in(pipe: io.BufferedWriter) -> int:
    """Return the number of bytes that have not been read yet."""
    return struct.unpack("i", fcntl.ioctl(pipe, termios.FIONREAD, bytes(4)))[0]


def test_a_reader_that_leaves_early_is_no_failure_with_a_traceback(path: Path) -> None:
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command(path), **pipes) as process:
        assert process.stdout is not None
        process.stdout.close()
        _, errors = process.communicate(written(probe_signal(8000, 9.0)))
    assert b"Traceback" not in errors


def test_a_terminal_shows_a_meter_for_each_instrument(path: Path) -> None:
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 100, 0, 0))
    environment = {**os.environ, "TERM": "xterm", "PYTHONIOENCODING": "utf-8"}
    signal_ = probe_signal(8000, 5.2)
    with subprocess.Popen(command(path), stdin=subprocess.PIPE, stdout=theirs, env=environment) as process:
        os.close(theirs)
        assert process.stdin is not None
        feeder = threading.Thread(target=_feed, args=(process.stdin, written(signal_)))
        feeder.start()
        shown = b"".join(_read_terminal(ours)).decode()
        feeder.join()
        assert process.wait(60) == 0
    os.close(ours)
    expected = LiteModel(path).predict(signal_, 8000)
    last = shown[shown.rindex("instrument") :]
    for name, seconds in zip(expected.classes, expected.playing_time, strict=True):
        assert f"{name} " in last
        assert f"0:{seconds:04.1f}" in last
    assert f"0:05.2, {headline_of(expected)}" in shown
    assert "{" not in shown


def _feed(pipe: io.BufferedWriter, content: bytes) -> None:
    with pipe:
        pipe.write(content)


def _read_terminal(terminal: int) -> Iterator[bytes]:
    while True:
        try:
            piece = os.read(terminal, 1 << 16)
        except OSError:  # on Linux, the end of a terminal
            return
        if not piece:
            return
        yield piece


def drawn(model: LiteModel, height: int, add: Callable[[Meter, Stream], None]) -> list[str]:
    """Return the lines of the last display in a terminal with ``height`` lines."""
    console = Console(file=io.StringIO(), width=100, height=height, force_terminal=True, color_system=None)
    stream = model.stream(8000)
    with Meter(console, model.metadata, stream) as meter:
        add(meter, stream)
    lines = console.file.getvalue().splitlines()
    return lines[max(index for index, line in enumerate(lines) if re.search(r"\d:\d\d\.\d, ", line)) :]


def headline_of(prediction: Prediction) -> str:
    """Return the words of the display's title for a prediction of everything so far."""
    return f"plays longest: {prediction.dominant}" if prediction.dominant else "nothing detected"


def meters_in(lines: list[str]) -> dict[str, str]:
    """Return the lines of the instruments by their names."""
    return {line.split("  ")[1].strip(): line for line in lines if set(line) & set("█·")}


def test_a_meter_shows_what_is_heard_now_and_what_has_played(path: Path) -> None:
    model = LiteModel(path)
    frames = np.zeros((40, 17), np.float32)
    frames[:30, 2] = 1.0  # Organ, which has ended
    frames[20:, 16] = 0.5  # Drums, whose threshold is 0.7
    frames[25:, 4] = 0.4  # Bass, whose threshold is 0.4
    picture = drawn(model, 40, lambda meter, stream: meter.add(frames))
    lines = meters_in(picture)
    assert list(lines) == list(model.classes)
    assert lines["Organ"].count("█") == 0
    assert lines["Organ"].endswith("0:03.0  ")
    assert lines["Drums"].count("█") == 12
    assert lines["Drums"].index("│") - lines["Drums"].index("█") == 17
    assert lines["Drums"].endswith("0:00.0  ")
    assert lines["Bass"].endswith("0:01.5  ")
    whole = Prediction("", 4.0, {}, model.classes, model.thresholds, model.metadata.post_processing, frames)
    expected = dataclasses.replace(whole, confidence_model=model.metadata.confidence, model={"vocabulary": "family"})
    assert f"0:04.0, {headline_of(expected)}" in picture[0]
    for each in expected.instruments:
        assert f"  {each.group} " in lines[each.name]
    assert {"detected", "perhaps"} == {each.group for each in expected.instruments}


def test_a_meter_does_not_wait_until_frames_are_final(path: Path) -> None:
    model, signal_ = LiteModel(path), probe_signal(8000, 4.25)
    picture = drawn(model, 40, lambda meter, stream: meter.add(stream.feed(signal_)))
    expected, lines = model.predict(signal_, 8000), meters_in(picture)
    now = expected.probabilities[-5:].mean(axis=0)
    for name, probability, seconds in zip(model.classes, now, expected.playing_time, strict=True):
        assert sum(map(lines[name].count, "█┃")) == round(float(probability) * 24)
        assert lines[name].endswith(f"0:{seconds:04.1f}  ")
    assert f"0:04.3, {headline_of(expected)}" in picture[0]
    assert {each.name for each in expected.instruments if f"  {each.group} " in lines[each.name]} == {
        *expected.detected,
        *expected.perhaps,
    }


def test_a_low_terminal_shows_the_instruments_that_matter(path: Path) -> None:
    frames = np.zeros((40, 17), np.float32)
    frames[:, [2, 16]] = 1.0
    picture = drawn(LiteModel(path), 8, lambda meter, stream: meter.add(frames))
    assert list(meters_in(picture)) == ["Organ", "Drums"]


def test_without_sounddevice_it_says_what_to_install(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sounddevice", None)  # as if it were not installed
    result = listen(path, b"", "--microphone")
    assert result.exit_code == 2
    assert "pip install 'mir-tf[listen]'" in " ".join(result.stderr.split())


def test_without_a_microphone_it_says_so() -> None:
    if importlib.util.find_spec("sounddevice") is None:
        pytest.skip("sounddevice is not installed")
    try:
        Microphone()
    except AudioError as error:
        message = str(error)
    else:
        pytest.skip("there is a microphone")
    assert message.startswith("microphone: ")
