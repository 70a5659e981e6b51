"""Coefficients of compound scaling: what a step multiplies depth, width, resolution by (Tan & Le 2019)."""

from __future__ import annotations

from dataclasses import astuple, dataclass
from itertools import pairwise

from nas.errors import InputError
from nas.space.scale import Scale

_MOST = 4.0


@dataclass(frozen=True, slots=True)
class Coefficients:
    """What one step multiplies depth (layers of stages), width (channels) and resolution (side) by.

    Raises InputError for one that is not from 1 to 4, and for three that are 1.
    """

    depth: float
    width: float
    resolution: float

    def __post_init__(self) -> None:
        for factor in astuple(self):
            if not 1 <= factor <= _MOST:
                raise InputError(
                    f"coefficients: {factor:g} is none; a step multiplies by a number from 1 to {_MOST:g}"
                )
        if set(astuple(self)) == {1}:
            raise InputError("coefficients: 1, 1, 1 leave every network as it is; make one of them larger")

    @classmethod
    def parse(cls, text: str) -> Coefficients:
        """Read `1.2,1.1,1.15`: depth, width and resolution. Raises InputError for other text.

        >>> str(Coefficients.parse("1.2,1.1,1.15"))
        'depth x 1.2, width x 1.1, resolution x 1.15'
        """
        try:
            depth, width, resolution = map(float, text.split(","))
        except ValueError:
            raise InputError(
                f"coefficients: '{text}' is not three numbers; write depth, width and resolution, such as "
                "1.2,1.1,1.15"
            ) from None
        return cls(depth, width, resolution)

    def at(self, phi: float) -> Scale:
        """Return the scale of so many steps, fewer than none for a smaller network (equation 3)."""
        return Scale(self.depth**phi, self.width**phi, self.resolution**phi)

    def __str__(self) -> str:
        return str(self.at(1))


EFFICIENTNET = Coefficients(1.2, 1.1, 1.15)
"""Those that were found for EfficientNet-B0 on ImageNet (section 3.3, step 1): the MACs grow 1.92 times."""


def spread_evenly(most: float, steps: int) -> list[float]:
    """Return factors from 1 to `most` in `steps` equal ratios, to three digits behind the point.

    >>> spread_evenly(2, 2)
    [1.0, 1.414, 2.0]
    """
    found = [round(most ** (step / steps), 3) for step in range(steps + 1)]
    assert all(low < high for low, high in pairwise(found)), "so many steps are one"
    return found
