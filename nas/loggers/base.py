"""What a logger is, and what it is given."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Protocol

PROJECT = "nas"
"""What runs are gathered in, where a library has such a thing and the user names no other."""
TRAINING = "training"
"""What a run that grows is called, where it has a name of its own in a library."""

Curves = Mapping[str, Sequence[tuple[int, float]]]
"""By their names, pairs of an epoch, counted from 1, and a value."""


@dataclass(frozen=True)
class Run:
    """The run that is logged. `place`: the folder of what is logged of it, absolute. `key`: tells it from all
    other runs, whatever they are called. `settings`: of a search those that are no defaults, as a file has
    them; of a training all, without sections."""

    place: Path
    name: str
    key: str
    settings: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Entry:
    """A trial, or a long training of a finalist, that has ended.

    `name`: `trial-00003` or `final-00003`, after its `number`. `state`: as of a trial. `choices`: of its
    network. `figures`: its score, where it has one, costs and seconds.
    """

    name: str
    number: int
    state: str
    choices: Mapping[str, Any]
    curves: Curves
    figures: Mapping[str, float]

    @property
    def kind(self) -> str:
        """`trial` or `final`."""
        return self.name.partition("-")[0]


def to_plain(values: Mapping[str, Any]) -> dict[str, bool | int | float | str]:
    """Return values as libraries take them, lists as text."""
    return {name: one if isinstance(one, _PLAIN) else str(one) for name, one in values.items()}


_PLAIN = (bool, int, float, str)


def group_by_epoch(curves: Curves) -> dict[int, dict[str, float]]:
    """Return the values of all curves by epoch, in their order."""
    found: dict[int, dict[str, float]] = {}
    for name, curve in curves.items():
        for epoch, value in curve:
            found.setdefault(epoch, {})[name] = value
    return dict(sorted(found.items()))


class Logger(Protocol):
    """Writes a run to the store of a library. It is made and told in a process of its own, which does nothing
    else, and may raise whatever the library raises."""

    needs: ClassVar[tuple[str, ...]]
    """What it imports."""

    @staticmethod
    def environment(place: Path) -> dict[str, str]:
        """Return the variables that the library finds where the user's environment has none of that name: no
        host is reached, and files are in the folder `place`."""
        ...

    @staticmethod
    def command(place: Path, name: str, environment: Mapping[str, str]) -> str:
        """Return the line that opens what is logged of the run `name`, in such an environment."""
        ...

    def __init__(self, run: Run) -> None: ...

    def log(self, entry: Entry) -> None:
        """Write a trial, in place of what is there of one of its name."""
        ...

    def grow(self, curves: Curves, figures: Mapping[str, float]) -> None:
        """Write more of the run itself, a training: the next epochs, so that they can be seen at once. The
        first call has all epochs so far and takes over what another process wrote: each is there once."""
        ...

    def keep(self, files: Sequence[Path], figures: Mapping[str, float]) -> None:
        """Write the files of the best network and its figures, in place of those of another; of a run that
        grows to the run itself."""
        ...

    def close(self) -> None:
        """Have everything written."""
        ...
