"""The options of decisions as Optuna has them, of which a long search has few: each is kept once."""

from __future__ import annotations

from array import array
from collections.abc import Mapping
from sys import intern
from typing import TYPE_CHECKING

from optuna.distributions import BaseDistribution, CategoricalDistribution, json_to_distribution

if TYPE_CHECKING:
    from nas.space.language.tree import Option

Distributions = dict[str, BaseDistribution]
"""The options of the decisions of a trial, by their names."""


_MOST = 20_000


class SharedOptions:
    """Equal options as one object, and equal decisions of trials as one mapping, which nobody changes."""

    def __init__(self) -> None:
        self._of: dict[object, BaseDistribution] = {}
        self._numbers: dict[tuple[str, int], int] = {}
        """Of a decision over options from here, by its name and their id."""
        self._sets: dict[bytes, Distributions] = {}

    def of(self, options: tuple[Option, ...]) -> BaseDistribution:
        """Return the distribution over options."""
        key = (options, *map(type, options))  # 1 and true are equal
        if key not in self._of:
            self._of[key] = CategoricalDistribution(options)
        return self._of[key]

    def read(self, texts: Mapping[str, str]) -> Distributions:
        """Return the distributions that Optuna has written as these texts. Raises whatever Optuna does."""
        found: Distributions = {}
        for name, text in texts.items():
            known = self._of.get(text)
            if known is None:
                known = self._of[text] = json_to_distribution(text)
            found[intern(name)] = known
        return self.share(found)

    def share(self, decisions: Distributions) -> Distributions:
        """Return the mapping that stands for all that are equal to one of distributions from here."""
        if len(self._sets) >= _MOST:
            self._sets.clear()
        pairs = ((name, id(options)) for name, options in decisions.items())
        # as numbers of four bytes, which take a tenth of the memory of the pairs
        key = array("I", [self._numbers.setdefault(pair, len(self._numbers)) for pair in pairs]).tobytes()
        return self._sets.setdefault(key, decisions)
