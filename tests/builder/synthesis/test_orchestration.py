"""New instruments that keep the roles of the parts."""

import pretty_midi
import pytest

from mir_tf.vocabulary import FAMILY_SIZE, VOCABULARIES
from tfrecords_builder.ensembles.styles import STYLES
from tfrecords_builder.synthesis.orchestration import ROLES, reorchestrate, role_of

FAMILIES = VOCABULARIES["family"].classes
TUNE = [(beat / 2, beat / 2 + 0.5, 67 + 5 * (beat % 3)) for beat in range(16)]
PARTS = {
    "lead": TUNE,
    "bass": [(start, end, pitch - 36) for start, end, pitch in TUNE],
    "chords": [(start, start + 0.4, pitch) for start in range(8) for pitch in (55, 59, 62)],
    "pad": [(start, start + 2.0, pitch) for start in range(0, 8, 2) for pitch in (55, 59, 62)],
}


def part(notes: list[tuple[float, float, int]], program: int = 80, is_drum: bool = False) -> pretty_midi.Instrument:
    instrument = pretty_midi.Instrument(program, is_drum)
    instrument.notes = [pretty_midi.Note(100, pitch, start, end) for start, end, pitch in notes]
    return instrument


@pytest.mark.parametrize("role", ROLES)
def test_the_role_of_a_part_is_told_by_its_notes(role: str) -> None:
    assert role_of(part(PARTS[role]).notes) == role
    assert role_of(part(PARTS[role][::-1]).notes) == role


@pytest.mark.parametrize("role", ROLES)
def test_a_part_gets_instruments_of_its_role_whose_range_it_has(role: str) -> None:
    programs = []
    for seed in range(600):
        song = pretty_midi.PrettyMIDI()
        song.instruments = [part(PARTS[role])]
        reorchestrate(song, str(seed))
        programs.append(song.instruments[0].program)
    usual = {
        program
        for style in STYLES.values()
        for player in style.parts
        if player.role in ROLES[role]
        for program in player.programs
    }
    changed = [program for program in programs if program != 80]
    assert 0.6 < len(changed) / len(programs) < 0.8
    assert set(changed) <= usual
    assert len(set(changed)) > 5
    families = {FAMILIES[program // FAMILY_SIZE] for program in changed}
    assert {"lead": {"Reed", "Pipe", "Organ"}, "bass": {"Bass"}}.get(role, {"Organ"}) <= families
    if role == "lead":
        assert not families & {"Bass", "Percussive", "Sound Effects"}


def test_a_part_beyond_all_ranges_and_what_has_no_pitch_stay() -> None:
    squeak = [(start, end, pitch + 45) for start, end, pitch in TUNE]
    for seed in range(20):
        song = pretty_midi.PrettyMIDI()
        song.instruments = [part(squeak), part(TUNE, 0, True), part(TUNE, 115), part(TUNE, 125), part([])]
        reorchestrate(song, str(seed))
        assert [instrument.program for instrument in song.instruments] == [80, 0, 115, 125, 80]


def test_a_part_keeps_its_draw_whatever_the_others_are() -> None:
    def drawn(first: list[tuple[float, float, int]]) -> int:
        song = pretty_midi.PrettyMIDI()
        song.instruments = [part(first, 0), part(TUNE)]
        reorchestrate(song, "1")
        return song.instruments[1].program

    assert drawn(TUNE) == drawn([]) == drawn(PARTS["pad"])
