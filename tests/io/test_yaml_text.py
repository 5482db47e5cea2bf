"""YAML within bounds: what PyYAML reads, and a reason for all that would eat time or memory."""

import time
from pathlib import Path

import pytest
import yaml

from mir_tf.config import read_yaml
from mir_tf.errors import ConfigError
from mir_tf.io.yaml_text import MAX_BYTES, MAX_DEPTH, MAX_NODES, parse_yaml, read_yaml_bytes

BOMB = "a0: &a0 [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"a{i}: &a{i} [{','.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 10)
)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a: [1, 2.5, true, null, 2020-01-02, words]",
        "base: &base {x: 1, y: [2]}\nother: {<<: *base, y: 3}\nlist: [*base, *base]",
        "{a: {b: {c: {d: [[[[1]]]]}}}}",
        "\ufeffa: 1",
        '"a\\u00e9": "\\x41"',
    ],
)
def test_what_is_within_bounds_is_read_as_by_pyyaml(text: str) -> None:
    assert parse_yaml(text) == parse_yaml(text.encode()) == yaml.safe_load(text)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (BOMB, "values, with those that its aliases repeat"),
        ("[" * 100_000, "nest"),
        ("{a: " * 100_000, "nest"),
        ("- " * 100_000, "nest"),
        ("a: &a [*a]", "within what it names"),
        ("a: &a {b: *a}", "within what it names"),
        ("a: *b", "names nothing before it"),
        ("[" + "x," * (MAX_NODES + 1) + "]", "more than"),
        ("a: " + "1:" * 5000 + "1", "characters"),
        ("a: " + "9" * 100_000, "characters"),
        ("a: 1\na: 2", "'a' is given twice"),
        ("a: {b: 1, b: 2}", "'b' is given twice"),
        ("x" * (MAX_BYTES + 1), "larger than"),
        ("a: !!python/object/apply:os.system [ls]", "could not determine a constructor"),
        ("a: 2001-99-99", "month"),
        ('a: !!int ""', "."),
        ("a: !!timestamp foo", "."),
        ("? [a]\n: 1", "unhashable"),
        ("a: 1\n---\nb: 2", "single document"),
        ("\x00", "."),
    ],
)
def test_what_is_beyond_them_is_refused_in_one_line(text: str, reason: str) -> None:
    began = time.process_time()
    with pytest.raises(ValueError, match=reason) as error:
        parse_yaml(text)
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 1000
    assert time.process_time() - began < 5  # a hundredth of what the bomb would take


def test_depth_counts_what_aliases_name() -> None:
    lines = ["a0: &a0 [x]"] + [f"a{i}: &a{i} [*a{i - 1}]" for i in range(1, MAX_DEPTH)]
    parse_yaml("\n".join(lines[: MAX_DEPTH // 2]))
    with pytest.raises(ValueError, match="deep"):
        parse_yaml("\n".join(lines))


def test_bytes_that_are_not_utf8_are_refused() -> None:
    with pytest.raises(ValueError, match="utf-8"):
        parse_yaml(b"a: \xff")


def test_no_more_of_a_file_is_read_than_can_be_used(tmp_path: Path) -> None:
    path = tmp_path / "large.yaml"
    with path.open("wb") as file:
        file.truncate(1 << 40)
    assert len(read_yaml_bytes(path)) == MAX_BYTES + 1
    with pytest.raises(ConfigError, match=r"large\.yaml: cannot be read as YAML: larger than"):
        read_yaml(path)


def test_a_bomb_in_a_configuration_is_refused(tmp_path: Path) -> None:
    (tmp_path / "bomb.yaml").write_text(BOMB)
    with pytest.raises(ConfigError, match=r"bomb\.yaml: cannot be read as YAML: more than"):
        read_yaml(tmp_path / "bomb.yaml")
