"""Names the instruments of a recording by TensorFlow, from a SavedModel of ``mir-tf export``; mir-tf is not needed.

pip install tensorflow soundfile soxr
python examples/tensorflow_savedmodel.py exported/saved_model song.flac
"""

import json
import sys

import numpy as np
import soundfile
import soxr
import tensorflow as tf


def read_audio(path: str, sample_rate: int) -> np.ndarray:
    """A recording as float32 [samples], mono."""
    signal, rate = soundfile.read(path, dtype="float32", always_2d=True)  # [samples, channels]
    return soxr.resample(signal.mean(axis=1), rate, sample_rate)


def main() -> None:
    """Prints each instrument that is heard and how long it plays, the dominant one first."""
    folder, audio = sys.argv[1:]
    model = tf.saved_model.load(folder)
    metadata = json.loads(model.metadata.numpy())
    waveform = read_audio(audio, metadata["sample_rate"])
    # Also `probabilities` [batch, label frames, classes], `active`, and the name of the `dominant` class.
    heard = model.signatures["serving_default"](waveform=tf.constant(waveform[np.newaxis]))
    seconds = heard["playing_time"][0].numpy()  # [classes]
    for index in np.argsort(-seconds, kind="stable"):
        if seconds[index]:
            print(f"{metadata['classes'][index]}: {seconds[index]:.1f} s")


if __name__ == "__main__":
    main()
