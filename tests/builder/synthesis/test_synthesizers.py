"""Players of a SoundFont, without the renderer around them."""

import tracemalloc

import pretty_midi
from helpers.sine_soundfont import write_sine

from tfrecords_builder.synthesis.soundfont import SoundFont
from tfrecords_builder.synthesis.synthesizers import play_builtin


def test_long_notes_are_not_kept_in_memory(tmp_path):
    rate, seconds = 8000, 60
    part = pretty_midi.Instrument(5)
    part.notes = [pretty_midi.Note(100, pitch, 0, seconds) for pitch in range(40, 60)]
    soundfont = SoundFont(write_sine(tmp_path / "sine.sf2", program=5))
    tracemalloc.start()
    play_builtin(part, soundfont, seconds * rate, rate, cents=0.0)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    # The track itself, and 50 bytes a sample of the note that is played; twenty kept ones would be another 38 MB.
    assert peak < (4 + 60) * seconds * rate
