"""Choices that another program has written, as points of a space."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from nas.errors import InputError, suggest_word
from nas.kinds import FINITE

if TYPE_CHECKING:
    from nas.space import Choices, Space
    from nas.space.language.tree import Option


def read_point(space: Space, given: Mapping[str, Any]) -> Choices:
    """Return the point that choices are, with the options as the space has them: JSON may write 3 as 3.0.

    Raises InputError where they are none: one is missing, unknown, or not among its options.
    """

    def choose(name: str, options: tuple[Option, ...]) -> Option:
        if name not in given:
            raise InputError(f"the choices lack '{name}'; it is one of {list(options)}")
        for option in options:
            if _is_same(option, given[name]):
                return option
        raise InputError(f"{name}: {given[name]!r:.60} is not one of {list(options)}")

    point = space.sample(choose)
    extra = sorted(given.keys() - point.keys())
    if extra:
        hint = suggest_word(extra[0], sorted(point.keys() - given.keys()), "leave it out")
        raise InputError(f"'{extra[0]:.60}' is not a decision of this point{hint}")
    return point


def fit_choices(space: Space, given: Mapping[str, Any]) -> Choices:
    """Return the point that follows choices where it can, and else takes the nearest number."""

    def choose(name: str, options: tuple[Option, ...]) -> Option:
        wish: Any = given.get(name)
        numbers = [option for option in options if isinstance(option, int | float)]
        if FINITE.accepts(wish) and numbers:
            return min(numbers, key=lambda number: abs(number - wish))
        return next((option for option in options if _is_same(option, wish)), options[0])

    return space.sample(choose)


def _is_same(option: Option, value: Any) -> bool:
    """Return whether two options are one: 1 and true are equal in Python."""
    return bool(option == value) and isinstance(option, bool) == isinstance(value, bool)
