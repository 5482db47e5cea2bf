"""Seeded songs of ensembles that play together: bands, orchestras, choirs, and instruments alone.

    python -m tfrecords_builder.ensembles --songs 400 --out SONGS
    python -m tfrecords_builder --midi SONGS --soundfont FluidR3_GM.sf2 --out DATA

From few songs, a network learns the arrangements instead of the sounds, for example that chords are a guitar. These
songs provide any number of arrangements. A song has a style (:mod:`tfrecords_builder.ensembles.styles`), which lists
its possible parts: each has a role, such as bass or melody, and programs. Guests and doubled parts are added
(:mod:`tfrecords_builder.ensembles.arrangement`). Harmony is a walk over the degrees of a scale. A player
(:mod:`tfrecords_builder.ensembles.players`) has habits, which last for a section of the form and return with it.
Bends, swells and long notes are added at the end (:mod:`tfrecords_builder.ensembles.expression`).
"""
