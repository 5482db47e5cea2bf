"""Offline builder: Slakh2100, or any MIDI with a SoundFont, into sharded TFRecords of log-mel frames and labels."""
