"""Write a SoundFont with a single sine wave, for tests that measure pitch and level."""

import struct
from pathlib import Path

import numpy as np

RATE = 32000
HEADER_KEY, HERTZ = 60, 440.0


def write_sine(path: Path, program: int = 5, generators: tuple[tuple[int, int], ...] = ()) -> Path:
    """Write a SoundFont whose only preset is ``program``, a looped sine of 440 Hz, and return its path.

    Its sample header gives key 60, which is wrong on purpose: ``generators`` (operator, amount) must correct it.
    """

    def chunk(name: bytes, data: bytes) -> bytes:
        return name + struct.pack("<I", len(data)) + data + b"\0" * (len(data) % 2)

    def gens(*pairs: tuple[int, int]) -> bytes:
        return b"".join(struct.pack("<Hh", *pair) for pair in pairs)

    samples = np.round(20000 * np.sin(2 * np.pi * HERTZ * np.arange(RATE) / RATE)).astype("<i2")
    own = gens(*generators, (54, 1), (53, 0))
    header = struct.pack("<20s5IBbHH", b"sine", 0, RATE, 800, 24800, RATE, HEADER_KEY, 0, 0, 1)
    tables = {
        b"phdr": struct.pack("<20s3H3I", b"p", program, 0, 0, 0, 0, 0)
        + struct.pack("<20s3H3I", b"EOP", 0, 0, 1, 0, 0, 0),
        b"pbag": struct.pack("<4H", 0, 0, 1, 0),
        b"pgen": gens((41, 0), (0, 0)),
        b"inst": struct.pack("<20sH", b"i", 0) + struct.pack("<20sH", b"EOI", 1),
        b"ibag": struct.pack("<4H", 0, 0, len(own) // 4, 0),
        b"igen": own + gens((0, 0)),
        b"shdr": header + struct.pack("<20s5IBbHH", b"EOS", 0, 0, 0, 0, 0, 0, 0, 0, 0),
    }
    body = b"sfbk"
    body += chunk(b"LIST", b"sdta" + chunk(b"smpl", samples.tobytes() + bytes(92)))
    body += chunk(b"LIST", b"pdta" + b"".join(chunk(name, data) for name, data in tables.items()))
    path.write_bytes(chunk(b"RIFF", body))
    return path
