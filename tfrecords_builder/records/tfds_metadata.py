"""The files that let TensorFlow Datasets read a data set: ``tfds.builder_from_directory(DATA)``.

They have the form that version 4.9 writes. The package itself is not needed to build.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from mir_tf.data import records
from mir_tf.data.manifest import DATA_SET_NAME, Manifest
from mir_tf.io.files import write_text

_CONNECTORS = "tensorflow_datasets.core.features"
_TEXT = {"pythonClassName": f"{_CONNECTORS}.text_feature.Text", "text": {}}
_INTEGER = {
    "pythonClassName": f"{_CONNECTORS}.scalar.Scalar",
    "tensor": {"shape": {}, "dtype": "int64", "encoding": "none"},
}


def write(folder: Path, manifest: Manifest) -> None:
    """Write ``dataset_info.json`` and ``features.json``."""
    for name, text in contents(manifest).items():
        write_text(folder / name, text)


def contents(manifest: Manifest) -> dict[str, str]:
    """Return file name → content."""
    info = {
        "name": DATA_SET_NAME,
        "version": "1.0.0",
        "description": "Log-mel frames of music and the instruments that sound in it. "
        "numpy.unpackbits(activity, axis=1)[:, :129] tells them by General MIDI program, drums last; audible alike, "
        "without frames where the stems were not heard.",
        "fileFormat": "tfrecord",
        "splits": [
            {
                "name": name,
                "filepathTemplate": "{DATASET}-{SPLIT}.{FILEFORMAT}-{SHARD_X_OF_Y}",
                "numBytes": str(sum(shard.num_bytes for shard in split.shards)),
                "shardLengths": [str(shard.records) for shard in split.shards],
            }
            for name, split in manifest.splits.items()
            if split.shards
        ],
    }
    features = {
        "pythonClassName": f"{_CONNECTORS}.features_dict.FeaturesDict",
        "featuresDict": {
            "features": {
                "id": _TEXT,
                "song": _TEXT,
                "num_samples": _INTEGER,
                "sample_rate": _INTEGER,
                "num_frames": _INTEGER,
                "num_mels": _INTEGER,
                "num_label_frames": _INTEGER,
                "log_mel": _matrix("float16", manifest.front_end.n_mels),
                "activity": _matrix("uint8", records.ACTIVITY_BYTES),
                "audible": _matrix("uint8", records.ACTIVITY_BYTES),
            }
        },
    }
    return {
        "dataset_info.json": json.dumps(info, indent=2) + "\n",
        "features.json": json.dumps(features, indent=2) + "\n",
    }


def _matrix(dtype: str, width: int) -> dict[str, Any]:
    """Return the feature of a matrix of any length, stored as bare bytes in row order."""
    return {
        "pythonClassName": f"{_CONNECTORS}.tensor_feature.Tensor",
        "tensor": {"shape": {"dimensions": ["-1", str(width)]}, "dtype": dtype, "encoding": "bytes"},
    }
