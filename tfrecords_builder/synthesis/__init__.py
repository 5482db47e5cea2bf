"""From MIDI and SoundFonts to an audio tree in Slakh's layout."""
