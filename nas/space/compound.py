"""Compound scaling: how much deeper, wider and larger a network becomes (Tan & Le 2019)."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

from nas.cost import format_count, large_number
from nas.errors import InputError
from nas.measures import MACS, PARAMS, Budget, Measure
from nas.space import Space
from nas.space.scale import Scale, scale_unchecked

ALPHA, BETA, GAMMA = 1.2, 1.1, 1.15
"""Depth, width and resolution of one step of phi (Tan & Le 2019, section 3.3, step 1)."""

MAX_PHI = 12
"""About 4,096 times the MACs, or a 4,096th of them."""

TOLERANCE = 0.03
"""How far from a target its network may be, as a share of the target."""


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


def solve(space: Space, measure: Measure, target: int, *, keep_input: bool = False) -> Solution:
    """The scaled network with `target` of a measure, up or down: TOLERANCE below it at most.

    `measure`: one that grows with the square of the width, as MACs and parameters do. Layers and channels
    move in steps, so phi alone reaches few costs. At those phi that come nearest, the width, or but for
    parameters the resolution, takes up what is missing; the network for which it has to take up least is
    given. One above the target, within TOLERANCE, is given where there is no other. `keep_input`: depth and
    width alone are scaled.

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
        base = replace(compound(phi), resolution=1) if keep_input else compound(phi)
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
    for phi, fine, dimension in _finer(costs, keep_input or measure == PARAMS, target):
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
    """The scaled network that uses most of a budget, at its own input: TOLERANCE below one of the limits.

    Depth and width alone are scaled, so that it takes the same images. It is inside every limit; of those
    that meet one of the limits each it is the one of most MACs.

    Raises InputError as `solve`, and where none that meets a limit is inside the others, with the nearest.
    """
    limits = [(measure, interval.high) for measure, interval in budget.items() if interval.high is not None]
    assert limits, "without a limit there is nothing to scale to"
    inside: list[Solution] = []
    outside: list[str] = []
    refused: list[InputError] = []
    for measure, high in limits:
        for target in (high, int(high / (1 + TOLERANCE))):  # what is above the second is inside too
            try:
                solution = solve(space, measure, target, keep_input=True)
            except InputError as error:
                refused.append(error)
                continue
            amounts = solution.space.amounts({})
            if budget.admits(amounts):
                inside.append(solution)
                break
            outside.append(" and ".join(f"{amounts(one):,} {one.noun}" for one in budget))
    if inside:
        return max(inside, key=lambda solution: solution.space.amount({}, MACS))
    if not outside:
        raise refused[0]
    nearest = ", or ".join(dict.fromkeys(outside))
    raise InputError(f"no scale of '{space.name}' is inside {budget}; the nearest have {nearest}")


def _finer(costs: Mapping[float, int], by_width: bool, target: int) -> list[tuple[float, float, str]]:
    """Values of phi near a target, with what one dimension takes up at each, least first."""
    steps = [
        (phi, math.sqrt(target / costs[phi]) * (1 + percent / 100), dimension)  # both grow with the square
        for phi in sorted(costs, key=lambda phi: abs(costs[phi] - target))[:_NEAREST]
        for dimension in (("width",) if by_width else ("width", "resolution"))
        for percent in range(-10, 11)
    ]
    return sorted(steps, key=lambda step: abs(math.log(step[1])))


_STEPS = 8
_NEAREST = 6
