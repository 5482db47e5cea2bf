"""Detect the instruments in a recording with LiteRT and a ``.tflite`` file from ``mir-tf export``, without mir-tf.

pip install ai-edge-litert numpy soundfile soxr
python examples/litert_tflite.py exported/model.float32.tflite song.flac
"""

from __future__ import annotations

import json
import sys
import zipfile
from typing import Any

import numpy as np
import soundfile
import soxr
from ai_edge_litert.interpreter import Interpreter
from numpy.typing import NDArray


def read_metadata(model: str) -> dict[str, Any]:
    """Read the classes, thresholds, sample rate and windows from the zip at the end of the file."""
    with zipfile.ZipFile(model) as archive:
        metadata: dict[str, Any] = json.loads(archive.read("mir_tf.json"))
    if metadata["format"] not in (2, 3, 4):
        sys.exit(f"{model}: written by another version of mir-tf; export the model again")
    return metadata


def read_audio(path: str, target_sr: int) -> NDArray[np.float32]:
    """Read a recording as mono, float32 [samples]."""
    signal, sr = soundfile.read(path, dtype="float32", always_2d=True)  # [samples, channels]
    resampled: NDArray[np.float32] = soxr.resample(signal.mean(axis=1), sr, target_sr)
    return resampled


def predict(model: str, signal: NDArray[np.float32]) -> NDArray[np.float32]:
    """Predict a signal [samples] of any length window by window; return probabilities [label frames, classes]."""
    metadata = read_metadata(model)
    interpreter = Interpreter(model, num_threads=2)
    run = interpreter.get_signature_runner()
    window_frames, overlap = metadata["window_frames"], metadata["overlap_frames"]
    num_frames = -(-len(signal) * metadata["label_rate"] // metadata["sample_rate"])
    fade_in = ((np.arange(overlap, dtype=np.float32) + 0.5) / max(overlap, 1))[:, np.newaxis]  # [overlap, 1]
    probabilities = np.zeros((num_frames, len(metadata["classes"])), np.float32)
    start = predicted = 0  # label frames
    while predicted < num_frames:
        first = start * metadata["window_samples"] // window_frames - metadata["left_context"]
        # Fill samples outside of the signal with NaN. Zeros would be silence, whose edge changes the last frames.
        window = np.full((1, metadata["input_samples"]), np.nan, np.float32)
        piece = signal[max(first, 0) : first + window.shape[1]]
        window[0, max(-first, 0) : max(-first, 0) + len(piece)] = piece
        new = run(waveform=window)["probabilities"][0, : num_frames - start]  # [label frames, classes]
        if start:  # cross-fade the frames shared with the window before
            old = probabilities[start : start + overlap]
            new[:overlap] = old + (new[:overlap] - old) * fade_in
        probabilities[start : start + len(new)] = new
        predicted = start + len(new)
        start += window_frames - overlap
    return probabilities


def is_sure(probabilities: NDArray[np.float32], confidence: dict[str, Any] | None) -> NDArray[np.bool_]:
    """Return for each class whether the model is sure that it plays in the recording at all."""
    if confidence is None:
        return np.ones(probabilities.shape[1], bool)
    highest = np.sort(probabilities, axis=0)[-10:]  # [10, classes]
    means = np.stack([np.mean(probabilities, axis=0), np.mean(highest, axis=0)], axis=1).clip(1e-4, 1 - 1e-4)
    weights = np.array(confidence["weights"])  # [classes, 3]
    logits = weights[:, 0] + (weights[:, 1:] * np.log(means / (1 - means))).sum(axis=1)
    sure: NDArray[np.bool_] = 1 / (1 + np.exp(-logits.clip(-15, 15))) >= confidence["cut"]
    return sure


def main() -> None:
    """Print each instrument with its playing time, the longest first; mark those that perhaps play."""
    if len(sys.argv) != 3:
        sys.exit("usage: litert_tflite.py model.float32.tflite song.wav")
    model, audio = sys.argv[1:]
    metadata = read_metadata(model)
    if metadata["output"] != "frames":
        sys.exit(f"{model}: predicts whole windows, not a timeline; use model.float32.tflite")
    probabilities = predict(model, read_audio(audio, metadata["sample_rate"]))
    active = probabilities >= np.float32(metadata["thresholds"])  # [label frames, classes]
    seconds = active.sum(axis=0) / metadata["label_rate"]  # [classes]
    sure = is_sure(probabilities, metadata.get("confidence"))
    for index in np.argsort(-seconds, kind="stable"):
        if seconds[index]:
            print(f"{metadata['classes'][index]}: {seconds[index]:.1f} s{'' if sure[index] else ' (perhaps)'}")


if __name__ == "__main__":
    main()
