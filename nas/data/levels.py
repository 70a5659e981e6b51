"""What pixels mean: which values are black and white where there are more than 256, and what is behind."""

from __future__ import annotations

import math
from dataclasses import dataclass

from nas.errors import InputError

ALPHA = "alpha"
"""The background that is none: alpha stays, as a channel of its own."""
_COLOURS = {"white": (255, 255, 255), "black": (0, 0, 0), "grey": (128, 128, 128)}


@dataclass(frozen=True)
class Levels:
    """The values that become black and white, of images with more than eight bits; what is beyond is too."""

    low: float
    high: float

    @classmethod
    def parse(cls, text: str) -> Levels:
        """Read `0..4095`. Raises InputError for what is none."""
        low, dots, high = text.partition("..")
        try:
            found = cls(float(low), float(high))
        except ValueError:
            found = cls(math.nan, math.nan)
        if not dots or not -math.inf < found.low < found.high < math.inf:
            raise InputError(f"'{text}' is no range of values; write the lower first, such as 0..4095")
        return found

    def __str__(self) -> str:
        return f"{self.low:.10g}..{self.high:.10g}"

    def is_like(self, other: Levels) -> bool:
        """Return whether pixels are as with the other levels, to one of 256 values."""
        step = (other.high - other.low) / 255
        return abs(self.low - other.low) <= step and abs(self.high - other.high) <= step


@dataclass(frozen=True)
class Rendering:
    """How pixels become eight bits without transparency.

    `background`: what is behind transparent pixels, a name, `#rrggbb`, or `alpha` to keep them so. `levels`:
    those of images with more than eight bits; None where they are found over the images.
    """

    background: str = "white"
    levels: Levels | None = None

    @property
    def keeps_alpha(self) -> bool:
        return self.background == ALPHA

    @property
    def channels(self) -> int:
        """Channels of what is read of a file."""
        return 4 if self.keeps_alpha else 3

    @property
    def colour(self) -> tuple[int, int, int]:
        """Red, green and blue of the background, 0 to 255."""
        return parse_colour(self.background)


ON_WHITE = Rendering()


def parse_colour(text: str) -> tuple[int, int, int]:
    """Return red, green and blue of a name or `#rrggbb`. Raises InputError for what is none."""
    if text in _COLOURS:
        return _COLOURS[text]
    digits = text.removeprefix("#")
    if len(digits) != 6 or digits == text or not set(digits.lower()) <= set("0123456789abcdef"):
        raise InputError(
            f"'{text}' is no background; it is {', '.join(_COLOURS)}, a colour such as #ff8000, or {ALPHA} "
            "to keep transparency as a channel"
        )
    red, green, blue = bytes.fromhex(digits)
    return red, green, blue
