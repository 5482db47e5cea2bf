"""The one reader of YAML: bounded, because a few hundred bytes of YAML can stand for gigabytes."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

MAX_BYTES = 1 << 20
"""Largest file. Slakh's are a hundredth of that."""

MAX_NODES = 50_000
"""Most values, with those that aliases repeat."""

MAX_DEPTH = 40
"""Deepest nesting, with that of what aliases repeat."""

MAX_SCALAR = 3500
"""Longest value in characters: Python needs quadratic time for some long numbers, and prints only 4,300 digits, which a
number of 3,570 hexadecimal ones has."""


def read_yaml_bytes(path: Path) -> bytes:
    """Return the beginning of a file, of which :func:`parse_yaml` refuses more than :data:`MAX_BYTES`.

    Raises:
        OSError: It cannot be read.
    """
    with path.open("rb") as file:
        return file.read(MAX_BYTES + 1)


def parse_yaml(content: bytes | str) -> Any:
    """Return what a YAML document describes, in Python's plain types.

    Args:
        content: The document; bytes must be UTF-8.

    Raises:
        ValueError: It is not YAML, repeats a key of a mapping, or is larger, longer or deeper than the bounds of this
            module. The message is one line.
    """
    import yaml  # here, because running a .tflite file must not need it

    if len(content) > MAX_BYTES:
        raise ValueError(f"larger than {MAX_BYTES} bytes")
    try:
        text = content.decode("utf-8") if isinstance(content, bytes) else content
        _require_small(text)
        return yaml.load(text, _loader())
    except RecursionError:
        raise ValueError("nested too deeply") from None
    except Exception as error:  # PyYAML's constructors raise others too: for an empty !!int, a !!timestamp of words
        raise ValueError(" ".join(str(error).split()) or type(error).__name__) from error


@functools.cache
def _loader() -> Any:
    import yaml

    # libyaml reads Slakh's 2,100 files in seconds, the loader in Python in minutes.
    class Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
        """Refuse repeated keys, which YAML forbids; PyYAML itself keeps the last value without a word."""

        def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
            seen = set()
            for key, _ in node.value:
                if isinstance(key, yaml.ScalarNode):
                    if key.value in seen:
                        raise yaml.constructor.ConstructorError(
                            None, None, f"{key.value!r} is given twice", key.start_mark
                        )
                    seen.add(key.value)
            mapping: dict[Any, Any] = super().construct_mapping(node, deep)
            return mapping

    return Loader


def _require_small(text: str) -> None:
    """Raise ValueError unless a document is within the bounds, before anything is built from it."""
    import yaml

    events = yaml.parse(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    sizes: dict[str, tuple[int, int]] = {}
    """Anchor → number of values and depth of what it names."""
    total = 0
    open_nodes: list[tuple[str | None, int, int]] = []  # anchor, number of values before it, depth within it
    for event in events:
        size, depth = 1, 1
        if isinstance(event, (yaml.MappingStartEvent, yaml.SequenceStartEvent)):
            open_nodes.append((event.anchor, total, 1))
            sizes.pop(event.anchor or "", None)
            total += 1
            if len(open_nodes) > MAX_DEPTH:
                raise ValueError(f"nested more than {MAX_DEPTH} deep")
            continue
        if isinstance(event, (yaml.MappingEndEvent, yaml.SequenceEndEvent)):
            anchor, before, depth = open_nodes.pop()
            if anchor is not None:
                sizes[anchor] = total - before, depth
            depth += 1
        elif isinstance(event, yaml.AliasEvent):
            if event.anchor not in sizes:
                raise ValueError(f"the alias *{event.anchor} is within what it names, or names nothing before it")
            size, depth = sizes[event.anchor]
            total += size
            depth += 1
        elif isinstance(event, yaml.ScalarEvent):
            if len(event.value) > MAX_SCALAR:
                raise ValueError(f"a value has more than {MAX_SCALAR} characters")
            if event.anchor is not None:
                sizes[event.anchor] = 1, 1
            total += 1
        else:
            continue
        if open_nodes:
            anchor, before, deepest = open_nodes[-1]
            open_nodes[-1] = anchor, before, max(deepest, depth)
            if len(open_nodes) + depth - 1 > MAX_DEPTH:
                raise ValueError(f"nested more than {MAX_DEPTH} deep, with what its aliases name")
        if total > MAX_NODES:
            raise ValueError(f"more than {MAX_NODES} values, with those that its aliases repeat")
