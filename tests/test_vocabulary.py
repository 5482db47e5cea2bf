"""Vocabularies: each maps every stem of Slakh or General MIDI to a class or to None."""

import numpy as np
import pytest

from mir_tf.vocabulary import (
    CLASS_EXAMPLES,
    DRUMS,
    NUM_PROGRAMS,
    PROGRAM_NAMES,
    VOCABULARIES,
    Vocabulary,
    program_index,
)


def class_index(vocabulary: Vocabulary, program: int, is_drum: bool = False) -> int | None:
    return vocabulary.class_of[program_index(program, is_drum)]


each_vocabulary = pytest.mark.parametrize("vocabulary", VOCABULARIES.values(), ids=VOCABULARIES)


@pytest.mark.parametrize(("name", "size"), [("family", 17), ("slakh", 35), ("program", 129)])
def test_sizes(name: str, size: int) -> None:
    vocabulary = VOCABULARIES[name]
    assert vocabulary.name == name
    assert len(vocabulary) == len(set(vocabulary.classes)) == size


@each_vocabulary
def test_the_map_is_total_and_no_class_is_empty(vocabulary: Vocabulary) -> None:
    assert len(vocabulary.class_of) == NUM_PROGRAMS
    reached = set()
    for program in range(NUM_PROGRAMS):
        for is_drum in (False, True):
            index = class_index(vocabulary, program, is_drum)
            assert index is None or 0 <= index < len(vocabulary)
            if is_drum or program == DRUMS:
                assert vocabulary.classes[index] == "Drums"
            else:
                assert index is None or vocabulary.classes[index] != "Drums"
            reached.add(index)
    assert reached - {None} == set(range(len(vocabulary)))


@pytest.mark.parametrize(("name", "unmapped"), [("family", []), ("slakh", list(range(96, 128))), ("program", [])])
def test_programs_without_a_class_are_listed(name: str, unmapped: list[int]) -> None:
    vocabulary = VOCABULARIES[name]
    assert vocabulary.unmapped() == unmapped
    assert unmapped == [program for program in range(NUM_PROGRAMS) if vocabulary.class_of[program] is None]


@pytest.mark.parametrize(
    ("program", "is_drum", "family", "slakh", "name"),
    [
        (0, False, "Piano", "Acoustic Piano", "Acoustic Grand Piano"),
        (4, False, "Piano", "Electric Piano", "Electric Piano 1"),
        (7, False, "Piano", "Acoustic Piano", "Clavinet"),
        (8, False, "Chromatic Percussion", "Chromatic Percussion", "Celesta"),
        (23, False, "Organ", "Organ", "Tango Accordion"),
        (30, False, "Guitar", "Distorted Electric Guitar", "Distortion Guitar"),
        (33, False, "Bass", "Electric Bass", "Electric Bass (finger)"),
        (47, False, "Strings", "Timpani", "Timpani"),
        (48, False, "Ensemble", "String Ensemble", "String Ensemble 1"),
        (61, False, "Brass", "Brass Section", "Brass Section"),
        (71, False, "Reed", "Clarinet", "Clarinet"),
        (73, False, "Pipe", "Pipe", "Flute"),
        (87, False, "Synth Lead", "Synth Lead", "Lead 8 (bass + lead)"),
        (95, False, "Synth Pad", "Synth Pad", "Pad 8 (sweep)"),
        (96, False, "Synth Effects", None, "FX 1 (rain)"),
        (105, False, "Ethnic", None, "Banjo"),
        (118, False, "Percussive", None, "Synth Drum"),
        (127, False, "Sound Effects", None, "Gunshot"),
        (128, False, "Drums", "Drums", "Drums"),
        (0, True, "Drums", "Drums", "Drums"),
    ],
)
def test_classes_of_some_stems(program: int, is_drum: bool, family: str, slakh: str | None, name: str) -> None:
    for vocabulary, expected in (("family", family), ("slakh", slakh), ("program", name)):
        index = class_index(VOCABULARIES[vocabulary], program, is_drum)
        assert (None if index is None else VOCABULARIES[vocabulary].classes[index]) == expected


def test_families_have_eight_programs_each() -> None:
    assert VOCABULARIES["family"].class_of == (*(program // 8 for program in range(128)), 16)


@pytest.mark.parametrize(
    ("name", "plain"), [("family", set()), ("slakh", {"Synth Strings", "Trumpet", "Soprano/Alto Sax"})]
)
def test_classes_of_several_programs_have_examples(name: str, plain: set[str]) -> None:
    vocabulary = VOCABULARIES[name]
    several = {each for index, each in enumerate(vocabulary.classes) if vocabulary.class_of.count(index) > 1}
    assert several - plain <= set(CLASS_EXAMPLES)
    assert plain <= several


def test_every_example_belongs_to_a_class() -> None:
    assert set(CLASS_EXAMPLES) <= {*VOCABULARIES["family"].classes, *VOCABULARIES["slakh"].classes}
    assert "not singers" in CLASS_EXAMPLES["Choir and Voice"]


def test_every_program_has_a_name_of_its_own() -> None:
    assert len(set(PROGRAM_NAMES)) == NUM_PROGRAMS
    assert all(PROGRAM_NAMES)


@each_vocabulary
@pytest.mark.parametrize("shape", [(NUM_PROGRAMS,), (40, NUM_PROGRAMS), (2, 3, NUM_PROGRAMS), (0, NUM_PROGRAMS)])
def test_projection_equals_a_plain_loop(vocabulary: Vocabulary, shape: tuple[int, ...]) -> None:
    activity = np.random.default_rng(len(shape)).random(shape) < 0.1
    expected = np.zeros((*shape[:-1], len(vocabulary)), bool)
    for program in range(NUM_PROGRAMS):
        if (index := vocabulary.class_of[program]) is not None:
            expected[..., index] |= activity[..., program]
    found = vocabulary.project(activity)
    assert found.dtype == bool
    np.testing.assert_array_equal(found, expected)


@each_vocabulary
def test_matrix_gives_a_program_one_class_or_none(vocabulary: Vocabulary) -> None:
    assert vocabulary.matrix.shape == (NUM_PROGRAMS, len(vocabulary))
    expected = [program not in vocabulary.unmapped() for program in range(NUM_PROGRAMS)]
    np.testing.assert_array_equal(vocabulary.matrix.sum(axis=1), expected)


@pytest.mark.parametrize("program", [-1, 129])
def test_numbers_that_are_not_programs_are_refused(program: int) -> None:
    with pytest.raises(ValueError, match=f"program {program} is not a General MIDI program"):
        program_index(program)
    assert program_index(program, is_drum=True) == DRUMS
