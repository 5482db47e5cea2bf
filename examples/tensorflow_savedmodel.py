"""Detect the instruments in a recording with TensorFlow and a SavedModel from ``mir-tf export``, without mir-tf.

pip install tensorflow soundfile soxr
python examples/tensorflow_savedmodel.py exported/saved_model song.flac
"""

import json
import sys

import numpy as np
import soundfile
import soxr
import tensorflow as tf


def read_audio(path: str, target_sr: int) -> np.ndarray:
    """Read a recording as mono, float32 [samples]."""
    signal, sr = soundfile.read(path, dtype="float32", always_2d=True)  # [samples, channels]
    return soxr.resample(signal.mean(axis=1), sr, target_sr)


def main() -> None:
    """Print each detected instrument with its playing time, the dominant one first."""
    folder, audio = sys.argv[1:]
    model = tf.saved_model.load(folder)
    metadata = json.loads(model.metadata.numpy())
    waveform = read_audio(audio, metadata["sample_rate"])
    # It also contains `probabilities` [batch, label frames, classes], `active`, and the name of the `dominant` class.
    prediction = model.signatures["serving_default"](waveform=tf.constant(waveform[np.newaxis]))
    seconds = prediction["playing_time"][0].numpy()  # [classes]
    for index in np.argsort(-seconds, kind="stable"):
        if seconds[index]:
            print(f"{metadata['classes'][index]}: {seconds[index]:.1f} s")


if __name__ == "__main__":
    main()
