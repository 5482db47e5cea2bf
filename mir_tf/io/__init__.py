"""Files, remote storage and audio: everything that is read from or written to the outside."""
