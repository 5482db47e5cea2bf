"""Detect the instruments in a recording with MediaPipe and a ``clip.tflite`` from ``mir-tf export``, without mir-tf.

pip install mediapipe soundfile soxr
python examples/mediapipe_audio.py exported/clip.tflite song.flac

The same file runs in MediaPipe's AudioClassifier on Android, iOS and the web.
"""

from __future__ import annotations

import json
import sys
import zipfile

import soundfile
import soxr
from mediapipe.tasks.python import BaseOptions
from mediapipe.tasks.python.audio import AudioClassifier, AudioClassifierOptions
from mediapipe.tasks.python.components.containers import AudioData


def main() -> None:
    """Print the instruments detected in each window of the recording, with their probabilities."""
    model, audio = sys.argv[1:]
    with zipfile.ZipFile(model) as archive:
        metadata = json.loads(archive.read("mir_tf.json"))
    threshold_of = dict(zip(metadata["classes"], metadata["thresholds"], strict=True))
    signal, sr = soundfile.read(audio, dtype="float32", always_2d=True)  # [samples, channels]
    # MediaPipe can resample too, but less steeply than in training: probabilities move by 0.1 and more.
    waveform = soxr.resample(signal.mean(axis=1), sr, metadata["sample_rate"])
    options = AudioClassifierOptions(base_options=BaseOptions(model_asset_path=model))
    with AudioClassifier.create_from_options(options) as classifier:
        windows = classifier.classify(AudioData.create_from_array(waveform, metadata["sample_rate"]))
    for window in windows:
        categories = window.classifications[0].categories  # the most probable first
        detected = [category for category in categories if category.score >= threshold_of[category.category_name]]
        names = ", ".join(f"{category.category_name} {category.score:.3f}" for category in detected)
        print(f"{window.timestamp_ms / 1000:.1f} s: {names or '-'}")


if __name__ == "__main__":
    main()
