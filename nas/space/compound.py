"""Compound scaling: a network deeper, wider and larger together, by steps or to a target (Tan & Le 2019)."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from nas.cost import format_count, format_large
from nas.errors import InputError
from nas.measures import MACS, PARAMS, Budget, Measure
from nas.space import Space
from nas.space.coefficients import EFFICIENTNET, Coefficients
from nas.space.scale import Scale, scale_space, scale_unchecked

MAX_PHI = 12
"""About 4,096 times the MACs, or a 4,096th of them."""

TOLERANCE = 0.02
"""How far from a target its network may be, as a share of the target."""
NEAR = 0.97
"""Of networks that use so much of a budget the one nearest to the curve is chosen."""
FULL = 0.9
"""The part of a budget that a network has to use that is scaled to it."""
GROWTH = (1.5, 3.0)
"""What a step may multiply the MACs by, as they are counted: about twice."""


PUBLISHED = (
    Scale(),
    Scale(1.1, 1.0, 240 / 224),
    Scale(1.2, 1.1, 260 / 224),
    Scale(1.4, 1.2, 300 / 224),
    Scale(1.8, 1.4, 380 / 224),
    Scale(2.2, 1.6, 456 / 224),
    Scale(2.6, 1.8, 528 / 224),
    Scale(3.1, 2.0, 600 / 224),
)
"""EfficientNet-B0 to B7, as in the code published with the paper: near the curve of `EFFICIENTNET`, not on
it."""


def parse_steps(text: str) -> range:
    """Return the steps of `PUBLISHED` in a range such as `1..3`, both ends in, or a single one. Raises
    InputError for other text."""
    match = re.fullmatch(r"([0-7])(?:\.\.([0-7]))?", text)
    if not match or match[1] > (match[2] or match[1]):
        raise InputError(
            f"'{text}' is not a range of steps; write LOW..HIGH within 0..7, or one step of these"
        )
    return range(int(match[1]), int(match[2] or match[1]) + 1)


@dataclass(frozen=True, slots=True)
class Solution:
    """A space that was scaled. Where that was to a target, `scale` is that of `phi` but for width and
    resolution."""

    space: Space
    scale: Scale
    phi: float | None = None


def take_step(space: Space, by: Coefficients, step: int, before: Solution | None = None) -> Solution:
    """Return the network that is `step` steps larger by coefficients: after each its MACs, as they are
    counted, have grown as much as by the first, to TOLERANCE or as near as layers and channels let them be.
    No step has a smaller input than the step before, which is `before` where it is known.

    Of a space with choices the coefficients are taken as they are. Raises InputError where the first step
    cannot be built, or does not make about twice the MACs of a network.
    """
    if not space.is_architecture:
        return Solution(scale_space(space, by.at(step)), by.at(step), step)
    first, base = scale_space(space, by.at(1)), space.amount({}, MACS)
    growth = first.amount({}, MACS) / base
    if not GROWTH[0] <= growth <= GROWTH[1]:
        raise InputError(
            f"coefficients: {by} makes {growth:.2f} times the MACs of '{space.name}', and a step is to make "
            "about twice; give other coefficients"
        )
    if step < 2:
        return Solution(first if step else space, by.at(step), step)
    before = before or take_step(space, by, step - 1)
    target = round(base * growth**step)
    found = _approach(space, MACS, target, by, (before.scale.resolution, math.inf))
    off = {cost: max(TOLERANCE, abs(cost / target - 1)) for cost in found}
    return found[min(found, key=lambda cost: (off[cost], found[cost][0]))][1]


def solve(space: Space, measure: Measure, target: int, by: Coefficients = EFFICIENTNET) -> Solution:
    """Return the scaled network with `target` of a measure, up or down: TOLERANCE below it at most.

    `measure`: one that grows with the square of the width, as MACs and parameters do. Layers and channels
    move in steps, so phi alone reaches few costs. At those phi that come nearest on the curve of the
    coefficients, the width, or but for parameters the resolution, takes up what is missing, or both do; the
    network for which they have to take up least is given. One above the target, within TOLERANCE, is given
    where there is no other. A larger network never has a smaller input, nor a smaller one a larger.

    Raises InputError where nothing comes within TOLERANCE of the target, with the nearest costs; also for a
    space with choices left, whose networks have no one cost.
    """
    if not space.is_architecture:
        raise InputError(
            f"'{space.name}' is a space of {format_large(space.count)} networks, and a target is for one; "
            "scale the file of a network, or the space by factors"
        )
    if target < 1:
        raise InputError(f"a network has no {target} {measure.noun}; ask for 1 or more")
    is_larger = target > space.amount({}, measure)
    found = _approach(space, measure, target, by, (1, math.inf) if is_larger else (0, 1))
    near = [cost for cost in found if abs(cost - target) <= TOLERANCE * target]
    if not near:
        below, above = (
            max((c for c in found if c < target), default=None),
            min((c for c in found if c > target), default=None),
        )
        nearest = " and ".join(f"{cost:,}" for cost in (below, above) if cost is not None)
        raise InputError(
            f"no scale of '{space.name}' has about {format_count(target)} {measure.noun}; the nearest have "
            f"{nearest}"
        )
    return found[min(near, key=lambda cost: (cost > target, found[cost][0], target - cost))][1]


def _approach(
    space: Space, measure: Measure, target: int, by: Coefficients, sides: tuple[float, float]
) -> dict[int, tuple[float, Solution]]:
    """Return scaled networks around a target by their cost, each with what its width and resolution take up:
    the distance of their factors from the curve, as logarithms. `sides`: the least and the most resolution,
    at which the curve ends."""
    found: dict[int, tuple[float, Solution]] = {}
    least, most = sides

    def attempt(phi: float, width: float = 1, resolution: float = 1) -> int | None:
        base, strain = by.at(phi), _measure_strain(width, resolution)
        side = min(max(base.resolution, least), most) * resolution
        if not least <= side <= most:
            return None
        try:
            scale = replace(base, width=base.width * width, resolution=side)
            result = scale_unchecked(space, scale)
            cost = result.amount({}, measure)
        except InputError:
            return None
        if cost not in found or strain < found[cost][0]:
            found[cost] = strain, Solution(result, scale, phi)
        return cost

    start = attempt(0)
    assert start is not None
    direction = 1 if target > start else -1
    costs = {0.0: start}
    for step in range(1, MAX_PHI * _STEPS + 1):
        phi = direction * step / _STEPS
        cost = attempt(phi)
        if cost is not None:
            costs[phi] = cost
            if (cost - target) * direction >= 0:
                break
    wanted = range(math.ceil((1 - TOLERANCE) * target), target + 1)
    for phi, width, resolution in _refine(costs, measure, target):
        strain = _measure_strain(width, resolution)
        if any(cost in wanted and other < strain for cost, (other, _) in found.items()):
            break  # those that follow take up more
        attempt(phi, width, resolution)
    return found


def _measure_strain(width: float, resolution: float) -> float:
    return abs(math.log(width)) + abs(math.log(resolution))


def fill(space: Space, budget: Budget) -> Solution:
    """Return the scaled network that uses a budget, at its own input: inside every limit, and as near to one
    of them as layers and channels let it be.

    For depths along the curve of `EFFICIENTNET` the width is the largest that is inside. Of the networks that
    use as much as NEAR, the one is given whose width is nearest to the curve; else the fullest that uses
    FULL. Depth and width alone are scaled, so that it takes the same images.

    Raises InputError where there is none, with the nearest costs, and for a space with choices left.
    """
    if not space.is_architecture:
        raise InputError(f"'{space.name}' is a space, and one network is scaled to a budget")
    limits = {measure: interval.high for measure, interval in budget.items() if interval.high is not None}
    assert limits, "without a limit there is nothing to scale to"

    def use(depth: float, width: float) -> float:
        """Return how much a network has of the limit that it uses most of."""
        try:
            amounts = scale_unchecked(space, Scale(depth, width)).amounts({})
        except InputError:
            return math.inf
        return max(amounts(measure) / high for measure, high in limits.items())

    found: list[tuple[float, float, Solution]] = []
    ends: list[Space] = []
    before = 0.0
    for step in range(-_DEPTHS, _DEPTHS + 1):
        phi = step / 2
        depth = EFFICIENTNET.depth**phi
        before, last = use(depth, 1), before
        if before in (last, math.inf):
            continue  # there are as many layers as at the depth before, or it cannot be built
        for width in _halve(lambda width, depth=depth: use(depth, width) <= 1):  # type: ignore[misc]
            part, scale = use(depth, width), Scale(depth, width)
            if math.isinf(part):
                continue
            scaled = scale_unchecked(space, scale)
            ends.append(scaled)
            if budget.admits(scaled.amounts({})):
                strain = abs(math.log(width / EFFICIENTNET.width**phi))
                found.append((part, strain, Solution(scaled, scale, phi)))
    near = [one for one in found if one[0] >= NEAR]
    if near:
        return min(near, key=lambda one: (one[1], -one[0]))[2]
    fullest = max(found, key=lambda one: one[0], default=None)
    if fullest is None or fullest[0] < FULL:
        raise InputError(_describe_nearest(space, budget, ends))
    return fullest[2]


def _halve(is_inside: Callable[[float], bool]) -> tuple[float, float]:
    """Return two widths next to each other, of which the first is the largest inside, where one is."""
    low, high = -_WIDTHS, _WIDTHS
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if is_inside(2**middle) else (low, middle)
    return 2**low, 2**high


def _describe_nearest(space: Space, budget: Budget, ends: Sequence[Space]) -> str:
    """Say of scaled networks, none of which uses a budget, which are nearest to each of its limits."""
    said = []
    for measure, interval in budget.items():
        amounts = [end.amount({}, measure) for end in ends]
        below = max((amount for amount in amounts if interval.compare(amount) <= 0), default=None)
        above = min((amount for amount in amounts if interval.compare(amount) > 0), default=None)
        nearest = " and ".join(f"{amount:,}" for amount in (below, above) if amount is not None)
        said.append(f"{nearest} {measure.noun}")
    return (
        f"no scale of '{space.name}' uses {budget}; the nearest have {'; '.join(said)}; take "
        "another network, or another budget"
    )


def _refine(
    costs: Mapping[float, int], measure: Measure, target: int
) -> Iterator[tuple[float, float, float]]:
    """Yield values of phi near a target, with factors of width and resolution that take up what is missing:
    first of one of them, then of both, each time the least first."""
    alone: list[tuple[float, float, float]] = []
    both: list[tuple[float, float, float]] = []
    for phi in sorted(costs, key=lambda phi: abs(costs[phi] - target))[:_NEAREST]:
        needed = math.sqrt(target / costs[phi])  # both grow with the square
        for percent in range(-10, 11):
            fine = needed * (1 + percent / 100)
            alone.append((phi, fine, 1.0))
            if measure == PARAMS:
                continue
            alone.append((phi, 1.0, fine))
            both += [(phi, fine / side, side) for side in (0.97, 1.03)]
    for group in (alone, both):
        yield from sorted(group, key=lambda one: _measure_strain(*one[1:]))


_STEPS = 8
_NEAREST = 6
_DEPTHS, _WIDTHS, _HALVINGS = 16, 5.0, 12
"""Depths that are tried, below and above the network's own; powers of two that the width is between, and how
often that is halved."""
