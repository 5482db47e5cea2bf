"""tools/deal_songs.py, and the table of the songs' splits that it wrote."""

import collections
import csv
import sys
from pathlib import Path

import pretty_midi
import pytest
from helpers.commands import invoke

ROOT = Path(__file__).resolve().parents[2]
PRETRAINED = ROOT / "tools" / "pretrained"
BY_SONG = {"Freedoom contributors", "Helland T"}
"""Composers whose songs are in several splits."""


@pytest.fixture
def deal_songs(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sys, "path", [str(ROOT / "tools"), *sys.path])
    import deal_songs

    return deal_songs


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def songs() -> list[dict[str, str]]:
    return rows(PRETRAINED / "songs.csv")


def test_each_composer_and_each_file_is_in_one_split(songs) -> None:
    splits = collections.defaultdict(set)
    for song in songs:
        splits[song["composer"]].add(song["split"])
    assert {composer for composer, found in splits.items() if len(found) > 1} == BY_SONG
    assert splits["Helland T"] == {"validation", "test"}
    assert len({song["sha256"] for song in songs}) == len(songs)


def test_each_kind_has_enough_composers_and_songs_to_test_and_to_validate(songs) -> None:
    assert {song["kind"] for song in songs} == {"rock and pop", "game", "orchestral", "chamber", "produced mixes"}
    for kind in ("rock and pop", "game", "orchestral", "chamber"):
        dealt = [
            song
            for song in songs
            if song["kind"] == kind and song["composer"] not in BY_SONG and song["set"] != "openmsx"
        ]
        composers = collections.Counter(song["composer"] for song in dealt)
        for split in ("test", "validation"):
            own = [song for song in dealt if song["split"] == split]
            assert len({song["composer"] for song in own}) >= 0.15 * len(composers), (kind, split)
            train = {song["composer"] for song in dealt if song["split"] == "train"}
            none_left = all(composers[composer] > len(dealt) / 4 for composer in train)
            assert len(own) >= 0.1 * len(dealt) or (split == "validation" and none_left), (kind, split)


def test_freedoom_keeps_its_splits_and_openmsx_is_test(songs) -> None:
    freedoom = collections.Counter(song["split"] for song in songs if song["set"] == "freedoom")
    assert freedoom == {"train": 180, "validation": 20, "test": 21}
    assert {song["split"] for song in songs if song["set"] == "openmsx"} == {"test"}


def test_a_mix_and_its_midi_file_and_remixes_are_in_one_split(songs, deal_songs) -> None:
    splits = collections.defaultdict(set)
    for song in songs:
        if song["set"] in ("mixes", "tanner_helland"):
            row = deal_songs.Song(*(song[field] for field in deal_songs.Song._fields))
            splits[deal_songs.title_of(row)].add(song["split"])
    assert len(splits["findyou"]) == 1
    assert {len(found) for found in splits.values()} == {1}


@pytest.mark.parametrize(
    ("set_name", "file", "composer"),
    [
        ("mutopia", "BachJS__BWV1017__bwv1017__bwv1017.mid", "Bach J"),
        ("openscore_orchestra", "Bach__Johann_Sebastian__B_Minor_Mass__01.mid", "Bach J"),
        ("mutopia", "BeethovenLv__O67__Symphony5_1__Symphony5_1.mid", "Beethoven L"),
        ("openscore_lieder", "Beethoven__Ludwig_van__8_Lieder__7_Marmotte.mid", "Beethoven L"),
        ("mutopia", "Mendelssohn-BartholdyF__O37__nr1__nr1.mid", "Mendelssohn F"),
        ("openscore_lieder", "Mendelssohn__Felix__6_Gesange__4.mid", "Mendelssohn F"),
        ("mutopia", "RougetdeLisleCJ__Marseillaise1792__Marseillaise1792.mid", "RougetdeLisle C"),
        ("mutopia", "Traditional__fleebird__fleebird.mid", "Traditional"),
        ("openscore_lieder", "Poldowski_____Lheure_exquise.mid", "Poldowski"),
        ("openscore_lieder", "Mounsey_Bartholomew__Ann__Songs__5.mid", "Mounsey Bartholomew A"),
        ("polish_scores", "pl-cz--ii-21--001-003_volckmer-augustin--quid-divinus.mid", "Volckmer A"),
        ("polish_scores", "pl-cz--i-8--001-009_danka--missa.mid", "Dankowski A"),
        ("polish_scores", "pl-sa--275--001-002_m-m--ave-regina.mid", "M M"),
        ("simutrans", "45-Misty-Forest.mid", "Gobanboshi"),
        ("simutrans", "46-House-in-the-station.mid", "RykSeb"),
        ("simutrans", "51-Summer-Intersection.mid", "Simutrans, unsigned"),
        ("easyrpg_rtp", "Boss_3.mid", "Someoneman"),
        ("mixes", "Fate.mp3", "Helland T"),
    ],
)
def test_all_sets_spell_a_composer_in_the_same_way(deal_songs, set_name: str, file: str, composer: str) -> None:
    assert deal_songs.composer_of(set_name, file) == composer


@pytest.mark.parametrize(
    ("programs", "orchestral"),
    [
        ((40, 40, 41, 42, 60, 68), True),
        ((40, 40, 41, 42, 71), False),  # a clarinet quintet
        ((40, 40, 41, 42, 43, 0), False),  # no winds
        ((40, 40, 41, 42, 60, 52), False),  # a singer
    ],
)
def test_an_orchestra_has_six_parts_with_strings_and_winds(deal_songs, tmp_path: Path, programs, orchestral) -> None:
    write_midi(tmp_path / "song.mid", programs)
    assert deal_songs.is_orchestral(tmp_path / "song.mid") == orchestral


def test_a_composer_of_two_kinds_has_one_split_and_a_large_one_is_train(deal_songs) -> None:
    def song(composer: str, kind: str):
        return deal_songs.Song("a.mid", "", "mutopia", composer, kind)

    names = [f"Composer {letter}" for letter in "ABCDEFGHIJ"]
    first = min(names, key=deal_songs.rank)
    songs = [song(name, kind) for name in names for kind in ("orchestral", "chamber")]
    assert deal_songs.deal_composers(songs)[first] == "test"
    assert collections.Counter(deal_songs.deal_composers(songs)[name] for name in names) == {
        "train": 6,
        "test": 2,
        "validation": 2,
    }
    assert deal_songs.deal_composers([*songs, *[song(first, "orchestral")] * 5])[first] == "train"


def write_midi(path: Path, programs) -> None:
    song = pretty_midi.PrettyMIDI()
    for program in programs:
        part = pretty_midi.Instrument(program)
        part.notes.append(pretty_midi.Note(90, 60, 0.0, 1.0))
        song.instruments.append(part)
    song.write(str(path))


def command(freedoom: list[Path], openmsx: Path, written: Path, mixes: Path, out: Path) -> list:
    parts = [word for folder in freedoom for word in ("--freedoom", folder)]
    return [*parts, "--openmsx", openmsx, "--written", written, "--mixes", mixes, "--out", out]


@pytest.mark.parametrize(
    ("name", "expected"),
    [("nowhere/a.mid", "unknown set"), ("mutopia/1.mid", "composer"), ("mutopia/AbtF__a.mid", "unreadable MIDI")],
)
def test_files_that_cannot_be_dealt_are_named(deal_songs, tmp_path: Path, name: str, expected: str) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    path = tmp_path / "written" / name
    path.parent.mkdir(parents=True)
    path.write_bytes(b"not MIDI")
    out = tmp_path / "songs.csv"
    result = invoke(deal_songs.main, *command([empty], empty, tmp_path / "written", empty, out))
    assert result.exit_code == 1, result.output
    assert expected in result.output
    assert path.parent.name in result.output
    assert not out.exists()


def test_the_script_reproduces_the_table(deal_songs, shared_folder: Path, tmp_path: Path) -> None:
    data = shared_folder / "data"
    if not (data / "midi_written").is_dir():
        pytest.skip(f"{data}: the songs are absent")
    midi = data / "midi"
    freedoom = [midi / "freedoom", midi / "freedoom_history"]
    out = tmp_path / "songs.csv"
    invoke(deal_songs.main, *command(freedoom, midi / "openmsx", data / "midi_written", data / "mixes", out))
    assert out.read_text(encoding="utf-8") == (PRETRAINED / "songs.csv").read_text(encoding="utf-8")
