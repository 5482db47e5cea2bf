import collections
import hashlib
import json
import math
import random
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pretty_midi
import pyloudnorm
import pytest
import soundfile
import yaml
from helpers.rendered_tree import Outcome, render_tree
from helpers.sine_soundfont import write_sine

from mir_tf.config import FRONT_ENDS
from mir_tf.errors import ConfigError, DataError
from tfrecords_builder import processes
from tfrecords_builder.ensembles import composer
from tfrecords_builder.records.make import RecordConfig, make_records
from tfrecords_builder.slakh.tree import find_tracks
from tfrecords_builder.synthesis import augmentation, midi_edits, render
from tfrecords_builder.synthesis.augmentation import Augmentation
from tfrecords_builder.synthesis.plan import RenderJob, plan_tree
from tfrecords_builder.synthesis.settings import SYNTHESIZERS, RenderConfig
from tfrecords_builder.synthesis.synthesizers import default_soundfont

RATE = render.SAMPLE_RATE
SILENT_DRUM = 5
ROOT_KEY = 58
SETTINGS = RenderConfig(seed=1, shuffle_programs=5)


def write_midi(path: Path, parts, tempos=((0.0, 120.0),)) -> Path:
    """Write (program, is_drum, [(start, end, pitch)]) parts."""
    song = pretty_midi.PrettyMIDI(resolution=480, initial_tempo=tempos[0][1])
    for start, tempo in tempos[1:]:
        song._tick_scales.append((song.time_to_tick(start), 60 / (tempo * 480)))
        song._update_tick_to_time(song.time_to_tick(start) + 100_000)
    for program, is_drum, notes in parts:
        part = pretty_midi.Instrument(program, is_drum)
        part.notes = [pretty_midi.Note(100, pitch, start, end) for start, end, pitch in notes]
        song.instruments.append(part)
    song.write(str(path))
    return path


PARTS = [
    (0, False, [(0.5 * i, 0.5 * i + 0.45, 60 + i) for i in range(8)]),
    (33, False, [(1.0, 2.0, 36), (2.5, 4.0, 43)]),
    (0, True, [(2.0 + 0.25 * i, 2.1 + 0.25 * i, 36) for i in range(8)]),
    (73, False, [(3.0, 3.05, 84)]),
    (16, True, [(1.0, 1.5, SILENT_DRUM)]),
    (48, False, []),
]


@pytest.fixture(scope="module")
def track(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("render")
    midi = write_midi(folder / "song.mid", PARTS, tempos=((0.0, 120.0), (2.0, 75.0)))
    render.render_track(RenderJob(midi, default_soundfont(), "Track00007"), folder / "train")
    return folder / "train" / "Track00007"


def metadata(track: Path) -> dict:
    return yaml.safe_load((track / "metadata.yaml").read_text())


def contents(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_layout_is_that_of_slakh(track):
    stems = ["S00", "S01", "S02", "S03"]  # S04 is silent, the part without notes is none
    assert sorted(contents(track)) == sorted(
        ["all_src.mid", "metadata.yaml", "mix.flac"]
        + [f"MIDI/{stem}.mid" for stem in stems]
        + [f"stems/{stem}.flac" for stem in stems]
    )
    assert [path.name for path in track.parent.iterdir()] == ["Track00007"]
    for path in track.rglob("*.flac"):
        info = soundfile.info(path)
        assert (info.samplerate, info.channels, info.subtype, info.format) == (RATE, 1, "PCM_16", "FLAC")
        assert info.frames == soundfile.info(track / "mix.flac").frames


def test_metadata_keys_are_those_of_slakh(track, shared_folder):
    genuine = metadata(shared_folder / "data/slakh_fixture/mirdata/slakh2100_flac_redux/train/Track00001")
    ours = metadata(track)
    assert set(ours) == set(genuine)
    assert set(ours["stems"]["S00"]) == set(genuine["stems"]["S00"])
    unrendered = [stem for stem in genuine["stems"].values() if not stem["audio_rendered"]]
    assert set(ours["stems"]["S04"]) == set(unrendered[0])
    kind = {key: type(value) for key, value in genuine["stems"]["S00"].items()}
    assert {key: type(value) for key, value in ours["stems"]["S00"].items()} == kind


def test_metadata_tells_what_was_rendered(track):
    found = metadata(track)
    assert found["audio_dir"] == "Track00007/stems"
    assert found["midi_dir"] == "Track00007/MIDI"
    assert found["UUID"] == hashlib.md5((track.parents[1] / "song.mid").read_bytes()).hexdigest()
    names = ("program_num", "is_drum", "midi_program_name", "inst_class", "audio_rendered", "plugin_name")
    rows = {stem: tuple(entry[name] for name in names) for stem, entry in found["stems"].items()}
    font = "TimGM6mb.sf2"
    assert rows == {
        "S00": (0, False, "Acoustic Grand Piano", "Piano", True, font),
        "S01": (33, False, "Electric Bass (finger)", "Bass", True, font),
        "S02": (128, True, "Drums", "Drums", True, font),
        "S03": (73, False, "Flute", "Pipe", True, font),
        "S04": (128, True, "Drums", "Drums", False, "None"),
    }
    assert not found["stems"]["S04"]["midi_saved"]


def test_stems_are_equally_loud_and_sum_to_the_mix(track):
    found = metadata(track)
    mix = soundfile.read(track / "mix.flac", dtype="int16")[0].astype(int)
    total = np.zeros_like(mix)
    meter = pyloudnorm.Meter(RATE)
    for path in sorted((track / "stems").iterdir()):
        stem = soundfile.read(path, dtype="int16")[0].astype(int)
        total += stem
        loudness = meter.integrated_loudness(stem / 2**15 / found["overall_gain"])
        assert loudness == pytest.approx(found["normalization_factor"], abs=0.1)
        assert np.abs(stem).max() < 2**15 - 1
    assert np.abs(total - mix).max() <= 2.5  # half a step for each of the four stems and the mix
    peak = 20 * math.log10(np.abs(mix).max() / 2**15)
    assert peak == pytest.approx(found["target_peak"], abs=0.01)


def test_a_stem_louder_than_the_mix_does_not_clip(tmp_path):
    # The sine and its opposite, five and a half periods later: the mix nearly vanishes.
    font = write_sine(tmp_path / "sine.sf2", program=5)
    length, half = 4.0, 5.5 / 440  # a whole number of ticks
    parts = [(5, False, [(0.5, length, 60)]), (5, False, [(0.5 + half, length + half, 60)])]
    song = pretty_midi.PrettyMIDI(resolution=22000, initial_tempo=120)
    for program, is_drum, notes in parts:
        part = pretty_midi.Instrument(program, is_drum)
        part.notes = [pretty_midi.Note(100, pitch, start, end) for start, end, pitch in notes]
        song.instruments.append(part)
    song.write(str(tmp_path / "song.mid"))
    render.render_track(RenderJob(tmp_path / "song.mid", font, "Track00001"), tmp_path)
    mix, stem = (soundfile.read(tmp_path / "Track00001" / name)[0] for name in ("mix.flac", "stems/S00.flac"))
    middle = slice(RATE, 3 * RATE)
    assert np.abs(mix[middle]).max() < 0.05 * np.abs(stem[middle]).max()
    assert np.abs(stem).max() == pytest.approx(10 ** (-1 / 20), abs=1e-3)


def test_midi_audio_and_original_share_one_clock(track):
    original = pretty_midi.PrettyMIDI(str(track.parents[1] / "song.mid"))
    whole = pretty_midi.PrettyMIDI(str(track / "all_src.mid"))
    assert len(original.get_tempo_changes()[0]) == 2
    assert whole.get_tempo_changes()[1].tolist() == [120.0]  # as in the stems
    for index in range(4):
        written = pretty_midi.PrettyMIDI(str(track / "MIDI" / f"S{index:02d}.mid"))
        notes = [[(note.start, note.end) for note in song.instruments[i].notes]
                 for song, i in ((written, 0), (whole, index), (original, index))]  # fmt: skip
        np.testing.assert_allclose(notes[0], notes[2], atol=1e-3)
        np.testing.assert_allclose(notes[1], notes[2], atol=1e-3)
        audio = np.abs(soundfile.read(track / "stems" / f"S{index:02d}.flac")[0])
        first = round(written.instruments[0].notes[0].start * RATE)
        assert audio[: max(first - 1, 0)].max(initial=0) == 0
        assert audio[first : first + RATE // 20].max() > 0.01


def test_sounds_die_away_in_the_tail(track):
    end = pretty_midi.PrettyMIDI(str(track / "all_src.mid")).get_end_time()
    mix = soundfile.read(track / "mix.flac")[0]
    assert len(mix) == pytest.approx((end + 2) * RATE, abs=RATE // 100)
    assert np.abs(mix[-RATE // 10 :]).max() < 1e-3


def programs(track: Path) -> list[int]:
    return [stem["program_num"] for stem in metadata(track)["stems"].values()]


def test_shuffled_programs_follow_seed_and_name(tmp_path, track):
    midi = track.parents[1] / "song.mid"
    for folder, name, seed in (
        ("a", "Track00001", 3),
        ("b", "Track00001", 3),
        ("c", "Track00002", 3),
        ("d", "Track00001", 4),
    ):
        job = RenderJob(midi, default_soundfont(), name, shuffle_programs=seed)
        render.render_track(job, tmp_path / folder)
    assert contents(tmp_path / "a") == contents(tmp_path / "b")
    found = [programs(path) for path in sorted(tmp_path.glob("*/Track*"))]
    assert found[0] == found[1]
    assert len({tuple(row) for row in [*found, programs(track)]}) == 4
    for path, row in zip(sorted(tmp_path.glob("*/Track*")), found, strict=True):
        assert row[2] == row[4] == 128
        whole = pretty_midi.PrettyMIDI(str(path / "all_src.mid"))
        assert [part.program for part in whole.instruments if not part.is_drum] == [row[0], row[1], row[3]]
        for index in (0, 1, 3):
            stem = path / "MIDI" / f"S{index:02d}.mid"
            if stem.exists():
                assert pretty_midi.PrettyMIDI(str(stem)).instruments[0].program == row[index]


def test_what_cannot_be_rendered_is_named_and_leaves_nothing(tmp_path):
    font = write_sine(tmp_path / "sine.sf2", program=5)
    good = write_midi(tmp_path / "good.mid", [(5, False, [(0, 1, 60)])])
    (tmp_path / "cut.mid").write_bytes(good.read_bytes()[:30])
    (tmp_path / "cut.sf2").write_bytes(font.read_bytes()[:5000])
    write_midi(tmp_path / "none.mid", [])
    write_midi(tmp_path / "other.mid", [(9, False, [(0, 1, 60)])])
    write_midi(tmp_path / "long.mid", [(5, False, [(0, 1, 60), (4000, 4001, 60)])])
    for midi, soundfont, message in (
        (tmp_path / "cut.mid", font, "cut.mid: unreadable MIDI"),
        (good, tmp_path / "cut.sf2", "cut.sf2: not a readable SoundFont"),
        (tmp_path / "none.mid", font, "none.mid: no notes"),
        (tmp_path / "other.mid", font, "other.mid: none of its notes sounds in .*sine.sf2"),
        (tmp_path / "long.mid", font, "long.mid: 4003 s long; at most 2400 s"),
    ):
        with pytest.raises(DataError, match=message):
            render.render_track(RenderJob(midi, soundfont, "Track00001"), tmp_path / "out")
    assert not list((tmp_path / "out").glob("*")) + list((tmp_path / "out").glob(".*"))


def test_a_stuck_note_ends_in_audio_and_midi(tmp_path, monkeypatch):
    monkeypatch.setattr(midi_edits, "MAX_NOTE_SECONDS", 2.0)
    font = write_sine(tmp_path / "sine.sf2", program=5)
    midi = write_midi(tmp_path / "stuck.mid", [(5, False, [(1, 9, 60)])])
    render.render_track(RenderJob(midi, font, "Track00001"), tmp_path)
    assert soundfile.info(tmp_path / "Track00001/mix.flac").duration == pytest.approx(5, abs=0.01)
    assert pretty_midi.PrettyMIDI(str(tmp_path / "Track00001/MIDI/S00.mid")).get_end_time() == pytest.approx(
        3, abs=0.01
    )


@pytest.fixture(scope="module")
def midi_folder(tmp_path_factory) -> Path:
    """Write four songs (one of them also in another tempo and orchestration), two that fail, and a text."""
    folder = tmp_path_factory.mktemp("midi")
    (folder / "deep").mkdir()
    rng = np.random.default_rng(0)
    for number in range(4):
        keys = rng.integers(48, 72, 60)
        for name, program, beat in (("", 0, 0.1), ("deep/again ", 40, 0.08))[: 2 if number == 0 else 1]:
            notes = [(i * beat, (i + 1) * beat, int(key)) for i, key in enumerate(keys)]
            write_midi(folder / f"{name}song {number}.midi", [(program, False, notes)])
    (folder / "broken.MID").write_bytes(b"MThd")
    write_midi(folder / "zero.mid", [(0, True, [(0, 1, SILENT_DRUM)])])
    (folder / "readme.txt").write_text("no MIDI")
    return folder


@pytest.fixture(scope="module")
def tree(midi_folder, tmp_path_factory) -> tuple[Path, Outcome]:
    out = tmp_path_factory.mktemp("tree") / "new"
    return out, render_tree(midi_folder, fonts(midi_folder), out, SETTINGS, 2)


def fonts(midi_folder: Path) -> list[Path]:
    copy = midi_folder / "copy.sf2"
    if not copy.exists():
        shutil.copy(default_soundfont(), copy)
    return [default_soundfont(), copy]


def test_tree_is_split_by_song(tree):
    out, outcome = tree
    tracks = {path.name: path.parent.name for path in out.glob("*/Track*")}
    plan = json.loads((out / "songs.json").read_text())
    assert plan.pop("Track00007")["source"] == "zero.mid"
    assert len(outcome.tracks) == len(tracks) == len(plan) == 5
    assert {name: entry["split"] for name, entry in plan.items()} == tracks
    assert set(tracks.values()) == {"train", "validation", "test"}
    by_source = {entry["source"]: entry for entry in plan.values()}
    twin, original = by_source["deep/again song 0.midi"], by_source["song 0.midi"]
    assert twin["song"] == original["song"] == "deep/again song 0.midi"
    assert (twin["split"], twin["soundfont"]) == (original["split"], original["soundfont"])
    assert len({entry["song"] for entry in plan.values()}) == 4
    assert {entry["soundfont"] for entry in plan.values()} == {"TimGM6mb.sf2", "copy.sf2"}
    for name, entry in plan.items():
        stems = metadata(out / entry["split"] / name)["stems"]
        assert stems["S00"]["plugin_name"] == entry["soundfont"]


def test_files_that_cannot_be_rendered_are_reported(tree):
    _, outcome = tree
    assert sorted(outcome.bad) == ["broken.MID", "zero.mid"]
    assert "unreadable MIDI" in outcome.bad["broken.MID"]
    assert "none of its notes sounds" in outcome.bad["zero.mid"]


def test_tree_is_the_same_for_any_number_of_workers_and_goes_on_where_it_stopped(tree, midi_folder, tmp_path):
    out, _ = tree
    again = tmp_path / "again"
    shutil.copytree(out, again)
    kept, *lost = sorted(again.glob("*/Track*"))
    for path in lost:
        shutil.rmtree(path)
    before = kept.joinpath("mix.flac").stat().st_mtime_ns
    outcome = render_tree(midi_folder, fonts(midi_folder), again, SETTINGS, 1)
    assert contents(again) == contents(out)
    assert kept.joinpath("mix.flac").stat().st_mtime_ns == before
    assert sorted(outcome.tracks) == sorted(path.name for path in lost)


def test_a_tree_of_other_settings_is_refused(tree, midi_folder):
    out, _ = tree
    before = contents(out)
    for soundfonts, settings in ((fonts(midi_folder), RenderConfig(1)), (fonts(midi_folder)[:1], SETTINGS)):
        with pytest.raises(DataError, match="other files or settings"):
            render_tree(midi_folder, soundfonts, out, settings, 1)
    assert contents(out) == before


def test_nothing_to_render_is_said(tmp_path):
    with pytest.raises(DataError, match=r"no \.mid, \.midi, \.kar or \.rmi file"):
        render_tree(tmp_path, [default_soundfont()], tmp_path / "out", RenderConfig(), 1)
    (tmp_path / "text.sf2").write_text("none")
    with pytest.raises(DataError, match=r"text\.sf2"):
        render_tree(tmp_path, [tmp_path / "text.sf2"], tmp_path / "out", RenderConfig(), 1)
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_composed_songs_render_without_a_silent_stem(tmp_path):
    for path in composer.compose_folder(tmp_path / "midi", 4, seed=0, simple=True):
        render.render_track(RenderJob(path, default_soundfont(), path.stem), tmp_path)
        assert all(stem["audio_rendered"] for stem in metadata(tmp_path / path.stem)["stems"].values())


def test_workers_load_no_tensorflow():
    modules = "tfrecords_builder.synthesis.render, tfrecords_builder.ensembles.composer"
    code = f"import sys, {modules}; sys.exit('tensorflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_renditions_take_turns_and_every_other_one_keeps_its_programs(midi_folder, tmp_path):
    settings = RenderConfig(seed=1, shuffle_programs=5, renditions=3, augment=2, excerpt=2.0)
    outcome = render_tree(midi_folder, fonts(midi_folder), tmp_path / "out", settings, 2)
    plan = json.loads((tmp_path / "out" / "songs.json").read_text())
    assert len(outcome.tracks) == 15
    by_source: dict[str, list[dict]] = {}
    for name, entry in sorted(plan.items()):
        by_source.setdefault(entry["source"], []).append({**entry, "name": name})
    for source, entries in by_source.items():
        assert [entry["shuffle_programs"] for entry in entries] == [None, 5, None]
        assert entries[0]["soundfont"] == entries[2]["soundfont"] != entries[1]["soundfont"]
        assert len({entry["split"] for entry in entries}) == 1, source
        if source == "zero.mid":
            continue
        folders = [tmp_path / "out" / entry["split"] / entry["name"] for entry in entries]
        assert programs(folders[0]) in ([0], [40], [0, None], [40, None])  # None is a voice
        for folder in folders:
            assert soundfile.info(folder / "mix.flac").duration <= 2.0 + midi_edits.TAIL + 0.1


def test_validation_songs_have_soundfonts_of_their_own(midi_folder, tmp_path):
    first, second = fonts(midi_folder)
    settings = RenderConfig(seed=1, validation_soundfonts=(second,), excerpt=1.0)
    render_tree(midi_folder, [first], tmp_path / "out", settings, 1)
    for entry in json.loads((tmp_path / "out" / "songs.json").read_text()).values():
        assert entry["soundfont"] == (second if entry["split"] == "validation" else first).name


def test_all_songs_can_go_to_one_split(midi_folder, tmp_path):
    render_tree(midi_folder, fonts(midi_folder), tmp_path / "out", RenderConfig(split="test", excerpt=1.0), 1)
    assert len(list((tmp_path / "out" / "test").iterdir())) == 5
    with pytest.raises(ConfigError, match="must be train or validation or test"):
        RenderConfig(split="dev")
    with pytest.raises(ConfigError, match="leaves no songs for validation"):
        RenderConfig(split="test", validation_soundfonts=(Path("other.sf2"),))


def test_an_excerpt_is_a_stretch_of_the_song(tmp_path):
    notes = [(float(i), i + 0.5, 40 + i) for i in range(60)]
    midi = write_midi(tmp_path / "long.mid", [(0, False, notes), (40, False, [(0.0, 60.0, 60)])])
    job = RenderJob(midi, default_soundfont(), "Track00001", excerpt=10.0)
    render.render_track(job, tmp_path)
    track = tmp_path / "Track00001"
    stems = sorted((track / "MIDI").iterdir())
    moving, holding = (pretty_midi.PrettyMIDI(str(path)).instruments[0] for path in stems)
    pitches = [note.pitch for note in moving.notes]
    assert 10 <= len(pitches) <= 11
    assert pitches == list(range(pitches[0], pitches[0] + len(pitches)))
    (held,) = holding.notes
    assert (held.start, held.end) == (0, pytest.approx(10, abs=0.01))


@pytest.mark.parametrize("synthesizer", SYNTHESIZERS)
def test_every_synthesizer_plays_the_key_of_the_augmentation(synthesizer, tmp_path, monkeypatch):
    """A square wave at A (440 Hz) is transposed, and also tuned by the built-in synthesiser."""
    if synthesizer == "fluidsynth" and shutil.which("fluidsynth") is None:
        pytest.skip("FluidSynth is not installed")
    monkeypatch.setattr(augmentation, "SUNG", 0.0)
    midi = write_midi(tmp_path / "a.mid", [(80, False, [(0.0, 3.0, 69)])])
    for seed in (1, 3):
        drawn = Augmentation.draw(f"{seed}:Track{seed}")
        job = RenderJob(midi, default_soundfont(), f"Track{seed}", synthesizer, augment=seed)
        render.render_track(job, tmp_path)
        written = pretty_midi.PrettyMIDI(str(tmp_path / job.name / "MIDI" / "S00.mid")).instruments[0]
        assert written.notes[0].pitch == 69 + drawn.semitones
        audio, _ = soundfile.read(tmp_path / job.name / "mix.flac", dtype="float32")
        audio = audio[RATE // 4 : 5 * RATE // 2]
        spectrum = np.abs(np.fft.rfft(audio * np.hanning(len(audio)), 8 * len(audio)))
        frequency = np.fft.rfftfreq(8 * len(audio), 1 / RATE)
        played = 440 * 2 ** (drawn.semitones / 12)
        around = (frequency > played * 0.95) & (frequency < played * 1.05)
        cents = 1200 * np.log2(frequency[around][spectrum[around].argmax()] / played)
        assert cents == pytest.approx(drawn.cents if synthesizer == "builtin" else 0, abs=1)


@pytest.mark.parametrize("sings", [True, False])
def test_a_voice_is_heard_and_no_label_names_it(sings, tmp_path, monkeypatch):
    monkeypatch.setattr(augmentation, "SUNG", float(sings))
    monkeypatch.setattr(Augmentation, "mix", lambda self, signal, sample_rate: signal / np.abs(signal).max())
    midi = write_midi(tmp_path / "song.mid", PARTS)
    job = RenderJob(midi, default_soundfont(), "Track00001", augment=1)
    render.render_track(job, tmp_path / "train")
    folder = tmp_path / "train" / "Track00001"
    stems = metadata(folder)["stems"]
    assert [stem["inst_class"] == "Voice" for stem in stems.values()] == [False] * 5 + [True] * sings
    ((track,), skipped) = find_tracks(tmp_path)
    assert not skipped
    mix, *items = make_records(track, RecordConfig(FRONT_ENDS["default"], stems=True))
    assert set(np.flatnonzero(mix.activity.any(axis=0))) == {0, 33, 73, 128}
    assert set(np.flatnonzero(mix.audible.any(axis=0))) <= {0, 33, 73, 128}
    if sings:
        assert stems["S05"]["program_num"] is None
        assert stems["S05"]["plugin_name"] == stems["S05"]["midi_program_name"] == "Voice"
        voice = items[-1]
        assert voice.id == "Track00001-S05"
        assert voice.log_mel.max() > -30
        assert not voice.activity.any()
        assert not voice.audible.any()
        sung, _ = soundfile.read(folder / "stems" / "S05.flac")
        mixed, _ = soundfile.read(folder / "mix.flac")
        others = sum(soundfile.read(folder / "stems" / f"{name}.flac")[0] for name in ("S00", "S01", "S02", "S03"))
        assert np.corrcoef(mixed, others + sung)[0, 1] > 0.999
        assert np.corrcoef(mixed, others)[0, 1] < 0.995


def test_a_missing_fluidsynth_is_named(tmp_path, monkeypatch):
    midi = write_midi(tmp_path / "a.mid", [(0, False, [(0.0, 1.0, 69)])])
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(DataError, match="apt install fluidsynth"):
        render.render_track(RenderJob(midi, default_soundfont(), "T", "fluidsynth"), tmp_path / "out")


def test_what_was_set_before_an_excerpt_holds_as_it_was_left(tmp_path):
    """Bend, pedal and volume end low; in pretty_midi's order within a tick, the highest value would win."""
    song = pretty_midi.PrettyMIDI(
        str(write_midi(tmp_path / "song.mid", [(5, False, [(0.0, 1.0, 60), (9.0, 20.0, 69)])]))
    )
    (part,) = song.instruments
    part.pitch_bends = [pretty_midi.PitchBend(bend, time) for time, bend in ((0.5, 8000), (1.0, -10), (9.5, 4000))]
    part.control_changes = [
        pretty_midi.ControlChange(number, value, time)
        for number, value, time in (
            (101, 0, 0.1), (100, 0, 0.2), (6, 12, 0.3), (101, 127, 0.4), (100, 127, 0.5),
            (64, 127, 1.0), (7, 120, 1.0), (64, 0, 2.0), (7, 40, 3.0), (7, 90, 12.0),
        )
    ]  # fmt: skip
    midi_edits.cut(song, 10.0, random.Random(0))
    midi_edits.song_of([part]).write(str(tmp_path / "cut.mid"))
    begin = 9.5 - next(bend.time for bend in part.pitch_bends if bend.pitch == 4000)
    assert 3.0 < begin < 9.5
    (part,) = pretty_midi.PrettyMIDI(str(tmp_path / "cut.mid")).instruments
    assert [bend.pitch for bend in part.pitch_bends] == [-10, 4000]
    values = [(change.number, change.value) for change in part.control_changes]
    assert {change for change in values if change[0] in (7, 64)} == {(64, 0), (7, 40), (7, 90)}
    assert [change for change in values if change[0] not in (7, 64)] == [
        (101, 0),
        (100, 0),
        (6, 12),
        (101, 127),
        (100, 127),
    ]


@pytest.mark.parametrize("synthesizers", [1, 2, 3])
def test_every_synthesizer_plays_a_song_with_its_own_programs_and_with_others(synthesizers, midi_folder):
    settings = RenderConfig(
        seed=1,
        shuffle_programs=5,
        renditions=2 * synthesizers,
        synthesizers=("first", "second", "third")[:synthesizers],
    )
    with processes.pool(1) as pool:
        plan, _ = plan_tree(midi_folder, fonts(midi_folder)[:1], settings, pool)
    seen = collections.Counter(
        (job.synthesizer, job.shuffle_programs is None)
        for job in (item.job for item in plan)
        if job.midi.name == "song 1.midi"
    )
    assert len(seen) == 2 * synthesizers
    assert set(seen.values()) == {1}


def test_equal_seeds_of_programs_and_variety_are_independent(tmp_path, monkeypatch):
    """Two draws with the same seed text would be correlated."""
    seeds = []
    for edit in ("reorchestrate", "humanize"):
        monkeypatch.setattr(render, edit, lambda song, seed: seeds.append(seed))
    monkeypatch.setattr(midi_edits, "shuffle_programs", lambda song, seed: seeds.append(seed))
    monkeypatch.setattr(Augmentation, "draw", lambda seed: seeds.append(seed))
    midi = write_midi(tmp_path / "song.mid", PARTS[:1])
    job = RenderJob(midi, default_soundfont(), "T", shuffle_programs=1, orchestrate=1, humanize=1, augment=1)
    render.render_track(job, tmp_path)
    assert len(seeds) == len(set(seeds)) == 4


def test_a_humanized_and_orchestrated_tree_is_rendered_and_told_from_a_plain_one(midi_folder, tmp_path):
    settings = RenderConfig(seed=1, orchestrate=3, humanize=4, renditions=2, excerpt=2.0)
    outcome = render_tree(midi_folder, fonts(midi_folder), tmp_path / "out", settings, 1)
    entries = json.loads((tmp_path / "out" / "songs.json").read_text()).values()
    assert (len(outcome.tracks), len(entries)) == (10, 12)  # one of the six songs has no sound
    assert {entry["humanize"] for entry in entries} == {4}
    assert sorted(entry.get("orchestrate", 0) for entry in entries) == [0] * 6 + [3] * 6
    plain = RenderConfig(seed=1, renditions=2, excerpt=2.0)
    with pytest.raises(DataError, match="other files or settings"):
        render_tree(midi_folder, fonts(midi_folder), tmp_path / "out", plain, 1)
    render_tree(midi_folder, fonts(midi_folder), tmp_path / "plain", plain, 1)
    assert "humanize" not in (tmp_path / "plain" / "songs.json").read_text()  # as earlier versions wrote it


def test_shuffled_and_orchestrated_exclude_each_other():
    with pytest.raises(ConfigError, match="shuffle_programs and orchestrate exclude each other"):
        RenderConfig(shuffle_programs=1, orchestrate=1)


@pytest.mark.skipif(shutil.which("fluidsynth") is None, reason="FluidSynth is not installed")
def test_fluidsynth_keeps_to_the_labels_through_changes_of_tempo(tmp_path):
    tempos = [(0.05 * index, 90.0 + 37 * index % 61) for index in range(800)]
    midi = write_midi(tmp_path / "song.mid", [(115, False, [(38.0, 38.5, 76)])], tempos)
    render.render_track(RenderJob(midi, default_soundfont(), "T", "fluidsynth"), tmp_path)
    (note,) = pretty_midi.PrettyMIDI(str(tmp_path / "T" / "MIDI" / "S00.mid")).instruments[0].notes
    audio, rate = soundfile.read(tmp_path / "T" / "mix.flac")
    begin = np.flatnonzero(np.abs(audio) > 0.1 * np.abs(audio).max())[0] / rate
    assert begin == pytest.approx(note.start, abs=0.02)
    assert note.start == pytest.approx(38.0, abs=0.002)


@pytest.mark.parametrize("synthesizer", SYNTHESIZERS)
def test_an_instrument_that_the_soundfont_lacks_is_silent(synthesizer, tmp_path):
    """FluidSynth alone would play the first program instead, and the label would be wrong."""
    if synthesizer == "fluidsynth" and shutil.which("fluidsynth") is None:
        pytest.skip("FluidSynth is not installed")
    font = write_sine(tmp_path / "sine.sf2", program=0, generators=((ROOT_KEY, 69),))
    midi = write_midi(tmp_path / "song.mid", [(0, False, [(0.0, 2.0, 69)]), (40, False, [(0.0, 2.0, 81)])])
    render.render_track(RenderJob(midi, font, "Track00001", synthesizer), tmp_path)
    stems = metadata(tmp_path / "Track00001")["stems"]
    assert {name: stem["audio_rendered"] for name, stem in stems.items()} == {"S00": True, "S01": False}


def test_hidden_files_are_no_songs(tmp_path):
    write_midi(tmp_path / "song.mid", PARTS[:1])
    (tmp_path / "._song.mid").write_bytes(b"macOS")
    (tmp_path / ".unfinished").mkdir()
    shutil.copy(tmp_path / "song.mid", tmp_path / ".unfinished" / "S00.mid")
    outcome = render_tree(tmp_path, [default_soundfont()], tmp_path / "out", SETTINGS, workers=1)
    assert (len(outcome.tracks), outcome.bad) == (1, {})


def test_a_tree_of_files_that_have_changed_is_refused(tmp_path):
    midi, font = tmp_path / "midi", write_sine(tmp_path / "sine.sf2", program=0)
    midi.mkdir()
    write_midi(midi / "song.mid", PARTS[:1])
    settings = RenderConfig(split="train")
    render_tree(midi, [font], tmp_path / "out", settings, workers=1)
    assert render_tree(midi, [font], tmp_path / "out", settings, workers=1).tracks == []
    write_sine(font, program=0, generators=((ROOT_KEY, 69),))
    with pytest.raises(DataError, match="contains a tree of other files or settings"):
        render_tree(midi, [font], tmp_path / "out", settings, workers=1)
    write_sine(font, program=0)
    write_midi(midi / "song.mid", PARTS[1:2])
    with pytest.raises(DataError, match="contains a tree of other files or settings"):
        render_tree(midi, [font], tmp_path / "out", settings, workers=1)


def test_a_tree_of_an_earlier_version_is_continued(tmp_path):
    """Its songs.json has the former name of ``augment``."""
    font = write_sine(tmp_path / "sine.sf2", program=0)
    (tmp_path / "midi").mkdir()
    write_midi(tmp_path / "midi" / "song.mid", PARTS[:1])
    arguments = (tmp_path / "midi", [font], tmp_path / "out", RenderConfig(split="train"))
    render_tree(*arguments, workers=1)
    songs = tmp_path / "out" / "songs.json"
    songs.write_text(songs.read_text().replace('"augment"', '"vary"'))
    assert render_tree(*arguments, workers=1).tracks == []


def test_samples_beyond_full_scale_stay_on_their_side(tmp_path):
    render._write_flac(tmp_path / "loud.flac", [np.array([1.0, -1.0, 0.5], np.float32)], 1.0)
    assert soundfile.read(tmp_path / "loud.flac", dtype="int16")[0].tolist() == [32767, -32768, 16384]
