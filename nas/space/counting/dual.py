"""What networks within one limit have at least of another measure."""

from __future__ import annotations

import math
from fractions import Fraction

from nas.space.counting.point_sets import CostOf, find_extreme, sort_sets
from nas.space.space import Space

_ROUNDS = 50


def bound_least(space: Space, measure: CostOf, limited: CostOf, high: int) -> int:
    """Return so much of `measure` as every point has at least of which `limited` is at most `high`.

    There must be such a point; costs may be negative. It is the bound of the Lagrangian dual (Geoffrion 1974,
    "Lagrangean Relaxation for Integer Programming"): exact for what is on the convex hull of all pairs of
    costs, else somewhat less.
    """
    order = sort_sets(space.points)

    def least(share: Fraction) -> tuple[Fraction, int, int]:
        """Return the least of measure + share * (limited - high), and both costs of its point."""
        p, q = share.numerator, share.denominator
        found = find_extreme(order, lambda cost: q * measure(cost) + p * limited(cost), min)
        cost = space.cost(found.choices)
        return Fraction(found.value, q) - share * high, measure(cost), limited(cost)

    best, outer, over = least(Fraction(0))
    if over <= high:
        return outer
    cheapest = space.cost(find_extreme(order, limited, min).choices)
    inner, under = measure(cheapest), limited(cheapest)
    # Each point is a line over the share, and the least of them a concave function whose top is the bound. It
    # lies between a line that rises, of a point beyond `high`, and one that does not.
    for _ in range(_ROUNDS):
        share = Fraction(inner - outer, over - under)  # where the lines of both points meet
        value, cost, amount = least(share)
        best = max(best, value)
        if value >= outer + share * (over - high):  # no line is below
            break
        if amount > high:
            outer, over = cost, amount
        else:
            inner, under = cost, amount
    return math.ceil(best)
