"""What belongs together, by the names of images: groups as numbers."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

import numpy as np

from nas.data.base import Labels
from nas.data.layout import Layout
from nas.errors import InputError

Grouping = Callable[[Sequence[str]], "Labels | None"]
"""Gives the groups of images of these names; None where each stands for itself."""


def find_grouping(layout: Layout, place: str) -> Grouping:
    """Return what finds groups by the pattern of a layout, numbered alike for all parts of a data set."""
    if layout.group is None:
        return lambda names: None
    number = make_numbering()
    rule = "a pattern has one group for what belongs together, such as (patient[0-9]+)"
    try:
        pattern = re.compile(layout.group)
    except re.error as error:
        raise InputError(f"--group: '{layout.group}' is no pattern ({error}); {rule}") from None
    if pattern.groups != 1:
        raise InputError(f"--group: '{layout.group}' has {pattern.groups} groups; {rule}")

    def find(names: Sequence[str]) -> Labels:
        found = [pattern.search(name) for name in names]
        lost = [name for name, match in zip(names, found, strict=True) if match is None or match[1] is None]
        if lost:
            raise InputError(
                f"{place}: --group '{layout.group}' is not in {len(lost):,} of {len(names):,} names of "
                f"images, such as {lost[0]}; give a pattern that all names have"
            )
        return number([match[1] for match in found if match])

    return find


def make_numbering() -> Callable[[Sequence[str]], Labels]:
    """Return what numbers names from 0 on, alike in all calls."""
    known: dict[str, int] = {}
    return lambda names: np.array([known.setdefault(name, len(known)) for name in names], dtype=np.int64)
