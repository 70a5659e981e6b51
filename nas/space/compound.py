"""Compound scaling: how much deeper, wider and larger a network becomes (Tan & Le 2019)."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from nas.cost import format_count, large_number
from nas.errors import InputError
from nas.measures import PARAMS, Budget, Measure
from nas.space import Space
from nas.space.scale import Scale, scale_unchecked

ALPHA, BETA, GAMMA = 1.2, 1.1, 1.15
"""Depth, width and resolution of one step of phi (Tan & Le 2019, section 3.3, step 1)."""

MAX_PHI = 12
"""About 4,096 times the MACs, or a 4,096th of them."""

TOLERANCE = 0.03
"""How far from a target its network may be, as a share of the target."""
FULL = 0.9
"""The part of a budget that a network has to use that is scaled to it."""


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
"""EfficientNet-B0 to B7, as in the code published with the paper: near the curve of `compound`, not on it."""


def parse_steps(text: str) -> range:
    """The steps of `PUBLISHED` in a range such as `1..3`, both ends in. Raises InputError for other text."""
    match = re.fullmatch(r"([0-7])\.\.([0-7])", text)
    if not match or match[1] > match[2]:
        raise InputError(f"'{text}' is not a range of steps; write LOW..HIGH within 0..7")
    return range(int(match[1]), int(match[2]) + 1)


def compound(phi: float) -> Scale:
    """The scale of a compound coefficient, negative for a smaller network (Tan & Le 2019, equation 3).

    The MACs grow about 2^phi times.
    """
    return Scale(ALPHA**phi, BETA**phi, GAMMA**phi)


@dataclass(frozen=True, slots=True)
class Solution:
    """A space that was scaled. Where that was to a target, `scale` is that of `phi` but for one dimension."""

    space: Space
    scale: Scale
    phi: float | None = None


def solve(space: Space, measure: Measure, target: int) -> Solution:
    """The scaled network with `target` of a measure, up or down: TOLERANCE below it at most.

    `measure`: one that grows with the square of the width, as MACs and parameters do. Layers and channels
    move in steps, so phi alone reaches few costs. At those phi that come nearest, the width, or but for
    parameters the resolution, takes up what is missing; the network for which it has to take up least is
    given. One above the target, within TOLERANCE, is given where there is no other.

    Raises InputError where nothing comes within TOLERANCE of the target, with the nearest costs; also for a
    space with choices left, whose networks have no one cost.
    """
    if not space.is_architecture:
        raise InputError(
            f"'{space.name}' is a space of {large_number(space.count)} networks, and a target is for one; "
            "scale the file of a network, or the space by factors"
        )
    if target < 1:
        raise InputError(f"a network has no {target} {measure.noun}; ask for 1 or more")
    found: dict[int, Solution] = {}
    strain: dict[int, float] = {}

    def attempt(phi: float, fine: float = 1, dimension: str = "width") -> int | None:
        base = compound(phi)
        try:
            scale = replace(base, **{dimension: getattr(base, dimension) * fine})
            result = scale_unchecked(space, scale)
            cost = result.amount({}, measure)
        except InputError:
            return None
        if abs(math.log(fine)) < strain.get(cost, math.inf):
            found[cost], strain[cost] = Solution(result, scale, phi), abs(math.log(fine))
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
    for phi, fine, dimension in _finer(costs, measure, target):
        if any(cost in wanted and strain[cost] < abs(math.log(fine)) for cost in found):
            break  # those that follow take up more
        attempt(phi, fine, dimension)
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
    return found[min(near, key=lambda cost: (cost > target, strain[cost], target - cost))]


def fill(space: Space, budget: Budget) -> Solution:
    """The scaled network that uses a budget, at its own input: inside every limit, and as near to one of them
    as layers and channels let it be.

    For depths along the curve of `compound` the width is the largest that is inside. Of the networks that use
    as much as 1 - TOLERANCE, the one is given whose width is nearest to the curve; else the fullest that uses
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
        depth = ALPHA**phi
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
                strain = abs(math.log(width / BETA**phi))
                found.append((part, strain, Solution(scaled, scale, phi)))
    near = [one for one in found if one[0] >= 1 - TOLERANCE]
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
        below = max((amount for amount in amounts if interval.side(amount) <= 0), default=None)
        above = min((amount for amount in amounts if interval.side(amount) > 0), default=None)
        nearest = " and ".join(f"{amount:,}" for amount in (below, above) if amount is not None)
        said.append(f"{nearest} {measure.noun}")
    return f"no scale of '{space.name}' uses {budget}; the nearest have {'; '.join(said)}"


def _finer(costs: Mapping[float, int], measure: Measure, target: int) -> list[tuple[float, float, str]]:
    """Values of phi near a target, with what one dimension takes up at each, least first."""
    steps = [
        (phi, math.sqrt(target / costs[phi]) * (1 + percent / 100), dimension)  # both grow with the square
        for phi in sorted(costs, key=lambda phi: abs(costs[phi] - target))[:_NEAREST]
        for dimension in (("width",) if measure == PARAMS else ("width", "resolution"))
        for percent in range(-10, 11)
    ]
    return sorted(steps, key=lambda step: abs(math.log(step[1])))


_STEPS = 8
_NEAREST = 6
_DEPTHS, _WIDTHS, _HALVINGS = 16, 5.0, 12
"""Depths that are tried, below and above the network's own; powers of two that the width is between, and how
often that is halved."""
