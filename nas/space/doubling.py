"""Ways to double the MACs of a network: what its coefficients are chosen of (Tan & Le 2019, section 3.3)."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass

from nas.errors import InputError
from nas.measures import MACS
from nas.space import Space
from nas.space.coefficients import EFFICIENTNET, Coefficients, spread_evenly
from nas.space.scale import Scale, has_stages, scale_unchecked

LARGEST, _DEEPEST = 1.5, 4.0
"""Resolution and depth beyond which none is looked for that alone doubles the MACs."""
_FINE = 64
"""How many are looked at."""
NEAR = 0.05
"""How far from twice the MACs a network may be, as a share of that."""
_CLOSE = 0.01
"""Of networks so near the one is taken whose width is nearest to that of the formula."""
_PERCENT = 8
"""How far from the width by the formula others are tried."""
_FINE_SIDES = (1, 0.98, 1.02, 0.96, 1.04)
"""Factors of a resolution with which it is tried."""


@dataclass(frozen=True)
class Doubled:
    """A network of about twice the MACs, `growth` times as many, and the coefficients that make it."""

    coefficients: Coefficients
    network: Space
    growth: float

    @property
    def is_published(self) -> bool:
        """Whether depth and resolution are EfficientNet's."""
        known = EFFICIENTNET.depth, EFFICIENTNET.resolution
        return (self.coefficients.depth, self.coefficients.resolution) == known


def double(network: Space, steps: int) -> list[Doubled]:
    """Return ways to double the MACs of a network, as they are counted, each another network.

    Depth goes from 1 to where it alone doubles them, and so does resolution, in `steps` equal ratios each;
    the width is what is missing to twice the MACs, where that is 1 or more. Depth and resolution of
    EfficientNet come first. A network without stages keeps its depth.

    Raises InputError where nothing comes within NEAR of twice the MACs.
    """
    found: dict[str, Doubled] = {}
    for depth, resolution in _list_pairs(network, steps):
        one = _fill_width(network, depth, resolution)
        if one is not None:
            found.setdefault(one.network.identity({}), one)
    if not found:
        raise InputError(
            f"coefficients: no depth, width and resolution make twice the {network.amount({}, MACS):,} MACs "
            f"of '{network.name}' to {100 * NEAR:.0f} %, as layers and channels move in steps; scale a wider "
            "or deeper network"
        )
    return list(found.values())


def _list_pairs(network: Space, steps: int) -> Iterator[tuple[float, float]]:
    """Yield depths with resolutions, EfficientNet's first: of equal networks the first is kept."""
    depths = [1.0]
    if has_stages(network):
        depths = _spread(network, "depth", _DEEPEST, steps)
        yield EFFICIENTNET.depth, EFFICIENTNET.resolution
    for depth in depths:
        for resolution in _spread(network, "resolution", LARGEST, steps):
            yield depth, resolution


def _spread(network: Space, dimension: str, most: float, steps: int) -> list[float]:
    """Return factors of a dimension from 1 to where it alone makes about twice the MACs, `most` at most."""
    base = network.amount({}, MACS)

    def grow(factor: float) -> float:
        try:
            return scale_unchecked(network, Scale(**{dimension: factor})).amount({}, MACS) / base
        except InputError:  # deeper than a file may say
            return math.inf

    factors = spread_evenly(most, _FINE)
    end = factors[bisect_right(factors, 2 * (1 + NEAR), key=grow) - 1]
    return spread_evenly(end, steps) if end > 1 else [1.0]


def _fill_width(network: Space, depth: float, resolution: float) -> Doubled | None:
    """Return the network of a depth and a resolution whose width makes its MACs nearest to twice, None where
    none comes near.

    Channels and maps move in steps: several widths near that of the formula are tried, and where none of them
    comes near, resolutions near that.
    """
    base = network.amount({}, MACS)

    def widen(width: float, side: float) -> tuple[float, Space]:
        """Return how much the MACs have grown, and the network; not at all where it cannot be built."""
        try:
            scaled = scale_unchecked(network, Scale(depth, width, side))
            return scaled.amount({}, MACS) / base, scaled
        except InputError:  # such as channels that their groups do not divide
            return 1.0, network

    least, _ = widen(1, resolution)
    if least > 2 * (1 + NEAR):
        return None
    guess = math.sqrt(2 / least)
    widths = {max(1.0, round(guess * (1 + percent / 100), 3)) for percent in range(-_PERCENT, _PERCENT + 1)}
    for fine in _FINE_SIDES:
        side = min(LARGEST, max(1.0, round(resolution * fine, 3)))
        found = {width: widen(width, side) for width in widths}
        near = [width for width, (growth, _) in found.items() if abs(growth / 2 - 1) <= NEAR]
        if near:
            width = min(near, key=lambda width: (abs(found[width][0] - 2) > 2 * _CLOSE, abs(width - guess)))
            growth, scaled = found[width]
            return Doubled(Coefficients(depth, width, side), scaled, growth)
    return None
