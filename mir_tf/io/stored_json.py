"""JSON files that the project reads back: strict parsing, a digest of their own content, and checks of their values.

A file with a digest has a field :data:`DIGEST`: the SHA-256 of everything else in it. White space and the order of the
fields do not count, so that any JSON tool may reformat the file, but no value can change without being noticed.
"""

from __future__ import annotations

import hashlib
import json
import math
import warnings
from pathlib import Path
from typing import Any

from mir_tf.errors import MirTfWarning

DIGEST = "content_sha256"
"""The field with the SHA-256 of the other fields, in hexadecimal."""

_DEEPEST = 40
"""Levels of lists and objects in a file. Ours have fewer than 10."""

_MOST = 2**53
"""Largest whole number: every count in our files fits, and NumPy's int64 and floats represent it exactly."""

_MOST_DIGITS = 1000
"""Digits of a whole number: Python refuses to convert some thousands."""

_SHOWN = 60
"""Characters of a wrong value that a message shows."""


def parse(text: str | bytes) -> Any:
    """Parse the content of a JSON file.

    Raises:
        ValueError: It is not UTF-8 or not JSON, contains NaN or a number without a finite value, repeats a name in an
            object, or is nested too deeply.
    """
    if isinstance(text, bytes):
        text = text.decode("utf-8-sig")
    try:
        content = json.loads(
            text, parse_constant=_finite, parse_float=_finite, parse_int=_whole, object_pairs_hook=_unrepeated
        )
    except json.JSONDecodeError as error:
        if impostor := impostor_of(text.encode()):
            raise ValueError(impostor) from error
        raise
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    level, depth = [content], 0
    while level := [child for parent in level for child in _children(parent)]:
        depth += 1
        if depth > _DEEPEST:
            raise ValueError("it is nested too deeply")
    return content


def parse_object(text: str | bytes) -> dict[str, Any]:
    """Parse a JSON file whose content is an object.

    Raises:
        ValueError: As for :func:`parse`, or the content is something else.
    """
    return mapping(parse(text), "the content")


def impostor_of(start: bytes) -> str:
    """Return what was saved in place of the real file, with the remedy; empty for anything but the known mistakes.

    Args:
        start: The first bytes of the file, 100 or more.
    """
    start = start.removeprefix(b"\xef\xbb\xbf").lstrip()[:100].lower()
    if start.startswith(b"version https://git-lfs"):
        return "a Git LFS pointer in place of the file: fetch the file itself with git lfs pull"
    if start.startswith((b"<!doctype html", b"<html", b"<?xml")):
        return "a web page or an error message of a server, saved in place of the file: download the file itself again"
    return ""


def _finite(text: str) -> float:
    if not math.isfinite(value := float(text)):
        raise ValueError(f"it contains {text[:_SHOWN]}, which is no finite number")
    return value


def _whole(text: str) -> int:
    if len(text) > _MOST_DIGITS:
        raise ValueError(f"it contains a whole number of {len(text)} digits")
    return int(text)


def _unrepeated(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) < len(pairs):
        names = [name for name, _ in pairs]
        repeated = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"it repeats {repeated[:_SHOWN]!r}")
    return content


def _children(value: Any) -> Any:
    return value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()


def sealed(content: dict[str, Any]) -> dict[str, Any]:
    """Return the content of a file with its digest as the first field; one that is there already is replaced."""
    others = {name: value for name, value in content.items() if name != DIGEST}
    canonical = json.dumps(others, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return {DIGEST: hashlib.sha256(canonical.encode()).hexdigest(), **others}


def unsealed(content: dict[str, Any]) -> tuple[dict[str, Any], bool]:
    """Return the content of a file without its digest, and whether it has one.

    Raises:
        ValueError: The digest is not that of the content.
    """
    if DIGEST not in content:
        return content, False
    if content != (right := sealed(content)):
        raise ValueError(
            f"its content does not match its {DIGEST} (if you edited it on purpose, remove {DIGEST} from it)"
        )
    return {name: value for name, value in right.items() if name != DIGEST}, True


def warn_undigested(path: str | Path, remedy: str) -> None:
    """Warn, once for each file, that damage to it cannot be noticed.

    Args:
        path: The file.
        remedy: How to get a file with a digest.
    """
    warnings.warn(
        f"{path}: without a digest, because an earlier version of mir-tf wrote it or somebody edited it: damage to it "
        f"cannot be noticed; {remedy}",
        MirTfWarning,
        stacklevel=2,
    )


# Checks of values. Each returns the value; `name` is that of its field, for the message.


def mapping(value: Any, name: str) -> dict[str, Any]:
    """Return an object.

    Raises:
        ValueError: ``value`` is something else.
    """
    if not isinstance(value, dict):
        raise _wrong(value, name, "an object")
    return value


def fields(value: Any, name: str, *needed: str, optional: tuple[str, ...] = ()) -> dict[str, Any]:
    """Return an object that has the fields ``needed``, perhaps ``optional`` ones, and no others.

    Raises:
        ValueError: A field is missing or unknown, or ``value`` is no object.
    """
    content = mapping(value, name)
    if missing := [field for field in needed if field not in content]:
        raise ValueError(f"{name} has no field {missing[0]}")
    if unknown := [field for field in content if field not in (*needed, *optional)]:
        raise ValueError(f"{name} has an unknown field {unknown[0][:_SHOWN]}")
    return content


def items(value: Any, name: str) -> list[Any]:
    """Return a list.

    Raises:
        ValueError: ``value`` is something else.
    """
    if not isinstance(value, list):
        raise _wrong(value, name, "a list")
    return value


def number(value: Any, name: str, least: float = -math.inf, most: float = math.inf) -> float:
    """Return a finite number within bounds.

    Raises:
        ValueError: ``value`` is something else: texts and booleans are no numbers.
    """
    is_number = type(value) in (int, float) and -1e300 <= value <= 1e300
    if not (is_number and least <= value <= most):
        raise _wrong(value, name, "a number" + _between(least, most))
    return float(value)


def numbers(value: Any, name: str, least: float = -math.inf, most: float = math.inf) -> tuple[float, ...]:
    """Return a list of finite numbers within bounds.

    Raises:
        ValueError: ``value`` is something else.
    """
    return tuple(number(each, f"{name}[{index}]", least, most) for index, each in enumerate(items(value, name)))


def count(value: Any, name: str, least: int = 0, most: int = _MOST) -> int:
    """Return a whole number within bounds.

    Raises:
        ValueError: ``value`` is something else: 3.0 and true are no whole numbers.
    """
    if type(value) is not int or not least <= value <= most:
        raise _wrong(value, name, "a whole number" + _between(least, most))
    return value


def text(value: Any, name: str) -> str:
    """Return a text.

    Raises:
        ValueError: ``value`` is something else.
    """
    if not isinstance(value, str):
        raise _wrong(value, name, "a text")
    return value


def flag(value: Any, name: str) -> bool:
    """Return true or false.

    Raises:
        ValueError: ``value`` is something else.
    """
    if not isinstance(value, bool):
        raise _wrong(value, name, "true or false")
    return value


def sha256_text(value: Any, name: str) -> str:
    """Return the hexadecimal digits of a SHA-256.

    Raises:
        ValueError: ``value`` is something else.
    """
    if not isinstance(value, str) or len(value) != 64 or set(value) - set("0123456789abcdef"):
        raise _wrong(value, name, "64 hexadecimal digits")
    return value


def class_names(value: Any, name: str) -> tuple[str, ...]:
    """Return a list of names of classes: all different, each a line of printable text.

    Raises:
        ValueError: ``value`` is something else.
    """
    names = tuple(text(each, f"{name}[{index}]") for index, each in enumerate(items(value, name)))
    for index, each in enumerate(names):
        if not each.strip() or not each.isprintable():
            raise _wrong(each, f"{name}[{index}]", "one line of printable text")
        if each in names[:index]:
            raise ValueError(f"{name} contains {each!r} twice")
    return names


def _wrong(value: Any, name: str, expected: str) -> ValueError:
    if isinstance(value, int) and abs(value) > _MOST:
        shown = "a whole number of very many digits"  # Python refuses to write out the longest ones
    elif isinstance(value, list | dict):
        shown = f"a {type(value).__name__} of {len(value)} items"
    else:
        shown = repr(value)
        shown = shown if len(shown) <= _SHOWN else f"{shown[:_SHOWN]}..."
    return ValueError(f"{name} is {shown}; it must be {expected}")


def _between(least: float, most: float) -> str:
    if math.isinf(most) or most == _MOST:
        return "" if math.isinf(least) else f", at least {least}"
    return f" between {least} and {most}"
