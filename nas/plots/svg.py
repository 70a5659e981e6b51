"""What all SVG files here are made of: text that XML can hold, and short numbers."""

from __future__ import annotations

import re


def replace_invalid(text: str) -> str:
    """Replace the characters that XML cannot hold."""
    return re.sub("[^\t\n\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]", "\N{REPLACEMENT CHARACTER}", text)


def format_coordinate(value: float) -> str:
    """Return a coordinate in pixels as text, to a tenth."""
    return f"{value:.1f}".removesuffix(".0")
