"""Ranges of values: what is known of the numbers in a network, whatever its image and its weights."""

from __future__ import annotations

import math
from functools import reduce

Range = tuple[float, float]
"""The least and the greatest number that may be."""

ANY: Range = (-math.inf, math.inf)
"""Nothing is known."""
ZERO: Range = (0.0, 0.0)


def unite_ranges(*ranges: Range) -> Range:
    """Return the range of numbers that are each of one of these."""
    return min(low for low, _ in ranges), max(high for _, high in ranges)


def add_ranges(*ranges: Range) -> Range:
    """Return the range of sums of a number of each."""
    return sum(low for low, _ in ranges), sum(high for _, high in ranges)


def multiply_ranges(*ranges: Range) -> Range:
    """Return the range of products of a number of each."""
    return reduce(_multiply, ranges)


def _multiply(a: Range, b: Range) -> Range:
    # no number is infinite, so that 0 times the end of an open range is 0
    ends = [m * n if m and n else 0.0 for m in a for n in b]
    return min(ends), max(ends)
