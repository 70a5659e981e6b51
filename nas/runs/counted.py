"""With which channels and classes the networks of a run are counted: the one place that decides."""

from __future__ import annotations

from dataclasses import replace
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nas.data.card import DataCard
    from nas.data.datasets import ImageData
    from nas.space import Space


class Counted(Enum):
    """What costs, budgets and tables of a run are of."""

    DEPLOYED = "deployed"
    """The network that the user gets."""
    AT_LEAST = "at least"
    """A network of no fewer channels and classes than the space's, in a run of before the other."""

    def of(self, space: Space, classes: int | None, data: DataCard | ImageData | None) -> Space:
        """Return a space as it is counted: with the channels and classes of the data where there are some,
        else its own; `classes` stand for either."""
        if data is None:
            counted = space if classes is None else replace(space, classes=classes)
        elif self is Counted.AT_LEAST:
            counted = space.with_at_least(data.channels, len(data.classes))
        else:
            counted = space.for_data(data.channels, classes or len(data.classes))
        return space if counted == space else counted  # which knows its counts


def describe_classes(space: Space, classes: int | None, data: DataCard | ImageData | None) -> str:
    """Return whose classes a space is counted with, in words."""
    if classes is not None:
        return "as --classes says"
    return "the data's" if data and len(data.classes) == space.classes else "the space's own"
