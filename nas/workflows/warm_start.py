"""Networks that a search tries first, given as files: which points of its space they are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from nas.cost import format_large
from nas.errors import InputError
from nas.measures import SHOWN, Budget
from nas.runs.manifest import WarmStart
from nas.space import Space, load_space
from nas.space.fit import Fitted
from nas.space.library import find_space
from nas.space.member import find_point


def find_warm_start(
    files: Sequence[str], space: Space, budget: Budget, fitted: Fitted | None = None
) -> list[WarmStart]:
    """Return the points of a space that are the networks in files, paths or bundled names.

    The space's channels and classes stand for theirs; where it is `fitted` to another input, so are they.
    Raises InputError for a network that is none, is not of the space, is outside the budget or is named
    twice.
    """
    starts: list[WarmStart] = []
    known: dict[str, str] = {}
    for start, identity in _find_networks(files, space, budget, fitted):
        if identity in known:
            raise InputError(
                f"--start {start.file}: is the same network as --start {known[identity]}; name one of them"
            )
        known[identity] = start.file
        starts.append(start)
    return starts


def _find_networks(
    files: Sequence[str], space: Space, budget: Budget, fitted: Fitted | None
) -> Iterator[tuple[WarmStart, str]]:
    for file in files:
        network = load_space(find_space(file))
        if not network.is_architecture:
            raise InputError(
                f"--start {file}: is a space of {format_large(network.count)} networks; name the file of one "
                "network, such as a run's best.yaml"
            )
        network.cost({})
        try:
            network = fitted.fit(network) if fitted else network
            choices = find_point(space, _count_as(space, network))
        except InputError as error:
            raise InputError(
                f"--start {file}: is not a network of '{space.name}': {error}. Change one of the two, or "
                "leave this start out"
            ) from None
        amounts = space.amounts(choices)
        if not budget.admits(amounts):
            figures = [f"{m.show(amounts(m))} {m.noun}" for m in dict.fromkeys((*SHOWN, *budget))]
            raise InputError(
                f"--start {file}: has {', '.join(figures[:-1])} and {figures[-1]}, outside the budget "
                f"{budget}; change the budget, or leave this start out"
            )
        yield WarmStart(file, choices), space.identity(choices)


def _count_as(space: Space, network: Space) -> Space:
    return replace(network, input=(space.input[0], *network.input[1:]), classes=space.classes)
