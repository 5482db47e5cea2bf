"""Stems of Slakh2100 whose sound and MIDI are known to disagree. The builder removes them from the labels."""

KNOWN = {
    "Track00262": ("S01", "short-labels"),
    "Track00357": ("S03", "white-noise"),
    "Track00377": ("S07", "white-noise"),
    "Track00385": ("S00", "white-noise"),
    "Track00398": ("S00", "white-noise"),
    "Track00400": ("S00", "white-noise"),
    "Track00404": ("S03", "long-labels"),
    "Track00496": ("S01", "wrong-pitch"),
    "Track00629": ("S01", "white-noise"),
    "Track00633": ("S01", "white-noise"),
    "Track00737": ("S01", "long-labels"),
    "Track00749": ("S01", "white-noise"),
    "Track00893": ("S01", "long-labels"),
    "Track01629": ("S00", "white-noise"),
    "Track01876": ("S01", "missing-audio"),
    "Track01908": ("S05", "missing-audio"),
    "Track01918": ("S10", "wrong-pitch"),
    "Track01929": ("S04", "wrong-octave"),
    "Track01931": ("S01", "wrong-pitch"),
    "Track01937": ("S03", "wrong-pitch"),
    "Track01993": ("S01", "missing-audio"),
    "Track02024": ("S13", "missing-audio"),
}
"""Track of Slakh2100 → its bad stem and the kind of fault. These facts were published with the data set."""
