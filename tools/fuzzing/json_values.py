"""JSON files: changes of their layout, which mean nothing, and of their values."""

from __future__ import annotations

import copy
import json
import random
from dataclasses import dataclass
from typing import Any

from fuzzing.cases import Case, Kind, damage
from mir_tf.io import stored_json

NESTED = json.loads("[" * 60 + "]" * 60)

VALUES: tuple[Any, ...] = (
    None, True, False, 0, 1, -1, 2, 0.5, -0.5, 1e300, -1e-300, 10**15, 10**400, "", "0.5", "1e999", "$x_$", "a\nb",
    "\x00", "é", "x" * 10_000, [], [1], ["123"], {}, {"a": 1}, [None], NESTED,
)  # fmt: skip
"""Values that somebody may put in place of the right one."""

BAD_TEXTS = ("NaN", "-Infinity", "1e999", "9" * 5000, "[" * 100_000, '{"a":1,"a":2}', "'a'", "01", "\ufeff")
"""Texts of values that are not JSON, or that few parsers read alike."""


def relaid(content: dict[str, Any], draw: random.Random) -> bytes:
    """Return the same content with other white space, another order, other escapes, or a byte-order mark."""
    items = list(content.items())
    draw.shuffle(items)
    text = json.dumps(dict(items), indent=draw.choice([None, 1, 4, "\t"]), ensure_ascii=draw.random() < 0.5)
    return (b"\xef\xbb\xbf" if draw.random() < 0.3 else b"") + text.encode() + b"\n" * draw.randrange(3)


def with_other_values(content: dict[str, Any], draw: random.Random) -> dict[str, Any]:
    """Return the content with one to three values changed, removed, repeated or added, and with the right digest."""
    changed = copy.deepcopy({name: value for name, value in content.items() if name != stored_json.DIGEST})
    for _ in range(draw.choice([1, 1, 2, 3])):
        holder: Any = changed
        while True:
            keys = list(holder) if isinstance(holder, dict) else list(range(len(holder)))
            if not keys:
                break
            key = draw.choice(keys)
            if isinstance(holder[key], dict | list) and holder[key] and draw.random() < 0.8:
                holder = holder[key]
                continue
            kind = draw.randrange(8)
            if kind == 0:
                del holder[key]
            elif kind == 1 and isinstance(holder, list):
                holder.insert(key, holder[key])
            elif kind == 1:
                holder[draw.choice(["color", "", "x" * 300])] = copy.deepcopy(draw.choice(VALUES))
            elif kind == 2 and type(holder[key]) in (int, float):
                holder[key] = -holder[key]
            else:
                holder[key] = copy.deepcopy(draw.choice(VALUES))
            break
    return stored_json.sealed(changed)


def with_a_bad_text(content: dict[str, Any], draw: random.Random) -> bytes:
    """Return the content with the text of one value replaced by one that is not JSON."""
    mark = "MARK-OF-THE-PLACE"
    changed = copy.deepcopy(content)
    changed[draw.choice(list(changed))] = mark
    return json.dumps(changed, indent=2).replace(f'"{mark}"', draw.choice(BAD_TEXTS)).encode()


@dataclass(frozen=True)
class JsonCase(Case):
    """A file, with what is the same in it.

    Attributes:
        source: Number of the file that was changed.
        has_other_values: Whether values were changed together with the digest, so that another answer may be right.
    """

    source: int = 0
    has_other_values: bool = False


class JsonKind(Kind):
    """JSON files with a digest: damaged bytes, other values, and another layout, which means nothing."""

    suffix = ".json"
    sources = (".json",)
    gigabytes = 16.0  # of addresses, which TensorFlow reserves
    contents: list[dict[str, Any]]
    """The content of each undamaged file."""

    def case(self, number: int) -> Case:
        """Return an altered file. Every fourth has a change that means nothing."""
        draw = self.draw(number)
        source = draw.randrange(len(self.contents))
        content = self.contents[source]
        text = json.dumps(content, indent=2, ensure_ascii=False).encode()
        if number % 4 == 0:
            return JsonCase(relaid(content, draw), text, source=source)
        if number % 4 == 1:
            changed = json.dumps(with_other_values(content, draw)).encode()
            return JsonCase(changed, source=source, has_other_values=True)
        if number % 16 == 2:
            return JsonCase(with_a_bad_text(content, draw), source=source)
        return JsonCase(damage(text, draw), source=source)
