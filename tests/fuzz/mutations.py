"""Seeded damage to files: to their bytes, their lines, and the values in them."""

from __future__ import annotations

import copy
import json
import math
import random
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any

import yaml

ODD: tuple[Any, ...] = (
    None, True, 0, -1, 1, 7, 2**31, 2**63, 10**30, 0.5, 1e308, math.nan, math.inf, "", " ", "x",
    "x" * 300, "0x10", "1e9", "400M", "..", "../../x", "/etc/passwd", "a\nb", "\x1b[31m", "[/red]",
    "\ud800", "a:b", "conv", [], {}, [[]], [None], {"choice": []}, {"choice": [1, 2]},
    {"range": [1, 9, 2]}, {"same_as": "stem"}, [1, 2, 3],
)  # fmt: skip
"""Values that a place may hold in place of its own."""

_LINES = (
    "", "- choice: [conv, conv]", "extends: mbconv", "extends: /dev/null", "? [", "{", "&a [*a]", "<<: *x",
    "!!python/x y", "\t- x", "---", "%YAML 9.9", '{"op_code": 99}', "null", "[]", "]", '"', "x" * 5000,
    "a: b: c",
)  # fmt: skip


def mutated_bytes(content: bytes, rng: random.Random) -> bytes:
    """Return a content with some bytes changed, cut out, repeated, or with its end cut off."""
    data = bytearray(content)
    for _ in range(rng.choice((1, 1, 2, 5, 20))):
        start = rng.randrange(len(data) + 1)
        end = min(len(data), start + rng.choice((1, 1, 4, 16, 200)))
        kind = rng.randrange(5)
        if kind == 0:
            data[start:end] = rng.randbytes(end - start)
        elif kind == 1:
            del data[start:end]
        elif kind == 2:
            data[start:start] = data[start:end]
        elif kind == 3:
            data[start:end] = bytes([rng.choice((0, 9, 10, 34, 58, 91, 123, 127, 255))]) * (end - start)
        else:
            del data[start if rng.random() < 0.2 else len(data) - rng.randrange(9) :]
    return bytes(data)


def mutated_lines(content: bytes, rng: random.Random) -> bytes:
    """Return a text with lines left out, repeated, moved, indented otherwise, or put between others."""
    lines = content.split(b"\n")
    for _ in range(rng.choice((1, 1, 2, 4))):
        at, other = rng.randrange(len(lines)), rng.randrange(len(lines))
        kind = rng.randrange(5)
        if kind == 0 and len(lines) > 1:
            del lines[at]
        elif kind == 1:
            lines.insert(at, lines[other])
        elif kind == 2:
            lines[at], lines[other] = lines[other], lines[at]
        elif kind == 3:
            lines[at] = lines[at][1:] if rng.random() < 0.5 else b" " * rng.randrange(1, 5) + lines[at]
        else:
            lines.insert(at, rng.choice(_LINES).encode())
    return b"\n".join(lines)


def mutated_value(value: Any, rng: random.Random, pool: Sequence[Any] = ODD) -> Any:
    """Return a tree of mappings and sequences with some of its places changed to those of a pool, left out,
    renamed or repeated."""
    tree = copy.deepcopy(value)
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        places = list(_places(tree))
        if not places:
            return rng.choice(pool)
        parent, key = rng.choice(places)
        kind = rng.randrange(6)
        if kind <= 2:
            parent[key] = copy.deepcopy(rng.choice(pool))
        elif kind == 3:
            del parent[key]
        elif kind == 4:
            other, place = rng.choice(places)
            parent[key] = copy.deepcopy(other[place])
        elif isinstance(parent, dict):
            parent[rng.choice([*parent, *(p[1] for p in places), "x", 1, None])] = parent.pop(key)
        else:
            parent.insert(key, copy.deepcopy(parent[key]))
    return tree


def _places(tree: Any) -> Iterator[tuple[Any, Any]]:
    items = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    for key, inner in items:
        yield tree, key
        yield from _places(inner)


def mutated_yaml(content: bytes, rng: random.Random) -> bytes:
    """Return a YAML text with some values changed."""
    return yaml.safe_dump(mutated_value(_parse(content), rng), sort_keys=False).encode()


@lru_cache
def _parse(content: bytes) -> Any:
    """Return the value of a YAML text, of which a few are damaged again and again: not to be changed."""
    return yaml.safe_load(content)


def mutated_json_lines(content: bytes, rng: random.Random) -> bytes:
    """Return lines of JSON with values of some changed."""
    lines = content.splitlines()
    for _ in range(rng.choice((1, 1, 3))):
        at = rng.randrange(len(lines))
        lines[at] = json.dumps(mutated_value(json.loads(lines[at]), rng)).encode() if lines[at] else b"{}"
    return b"\n".join(lines) + b"\n"
