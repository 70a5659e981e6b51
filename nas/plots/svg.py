"""What SVG files here are made of: text that XML can hold and all renderers place alike, short numbers."""

from __future__ import annotations

import re

FONT = "font-family: Arial, Helvetica, 'Liberation Sans', sans-serif"
"""Of one width wherever one of the first three is. A rule of its own, as not all renderers know `font`."""


def find_baseline(middle: float, size: float) -> float:
    """Return where the letters of a line stand whose middle is given, and the size of whose font, in pixels.

    Not all renderers know `dominant-baseline`. Capitals of `FONT` are 0.72 of its size high.
    """
    return middle + 0.36 * size


def replace_invalid(text: str) -> str:
    """Replace the characters that XML cannot hold."""
    return re.sub("[^\t\n\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]", "\N{REPLACEMENT CHARACTER}", text)


def format_coordinate(value: float) -> str:
    """Return a coordinate in pixels as text, to a tenth."""
    return f"{value:.1f}".removesuffix(".0")
