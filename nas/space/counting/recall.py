"""What parts of a network came to at points that were met, by the decisions inside them."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Any

from nas.space.language.tree import Choice, Option

Ask = Callable[[Choice, str], Option]
"""The option taken at a point, given a choice and the name of a decision on it."""

_MOST = 100_000
"""Decisions and results that are kept."""


@dataclass(slots=True)
class _Fork:
    """A decision that is needed next, and by its option what follows: another decision, or a result."""

    choice: Choice
    name: str
    branches: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Result:
    value: Any


class Memory:
    """Results by key and by the decisions that they needed, in the order in which they were asked for.

    Which decisions a part needs depends on those before, so results are the leaves of a tree of questions.
    Looking one up asks for the same as working it out, in the same order.
    """

    def __init__(self) -> None:
        self._roots: dict[Hashable, Any] = {}
        self._size = 0

    def find(self, key: Hashable, ask: Ask) -> _Result | None:
        """Return the result under a key for the options that `ask` takes; None where there is none yet."""
        found = self._roots.get(key)
        while type(found) is _Fork:
            # as text, since the options 1 and true are equal
            found = found.branches.get(repr(ask(found.choice, found.name)))
        result: _Result | None = found
        return result

    def keep(self, key: Hashable, asked: dict[str, tuple[Choice, Option]], value: Any) -> None:
        """Keep a result under a key, for the decisions that were asked for."""
        if self._size + len(asked) >= _MOST:
            self._roots.clear()
            self._size = 0
        branches: dict[Any, Any] = self._roots
        at: Hashable = key
        for name, (choice, option) in asked.items():
            if at not in branches:
                branches[at] = _Fork(choice, name)
                self._size += 1
            branches, at = branches[at].branches, repr(option)
        branches[at] = _Result(value)
        self._size += 1
