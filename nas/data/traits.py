"""How images were read, where that is not plain, and how that is said."""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntFlag, auto
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nas.data.levels import Levels, Rendering


class Trait(IntFlag):
    """What a user may want to know of how an image was read."""

    TRANSPARENT = auto()
    """It has pixels that are not opaque."""
    DEEP = auto()
    """It has more than eight bits a channel, and levels are black and white."""
    CUT_DEPTH = auto()
    """It has 16 bits a channel in a layout of which Pillow reads the upper eight."""
    TURNED = auto()
    """It is turned or mirrored as its EXIF orientation says."""
    FRAMES = auto()
    """It is the first of several in its file."""
    CUT_END = auto()
    """The end of its file is missing, and no pixel."""
    INVERTED = auto()
    """It is a CMYK JPEG without Adobe's mark, whose inks stand as they are."""


Traits = Mapping[Trait, int]
"""How many images have which."""

_RENEWED = (Trait.TRANSPARENT, Trait.DEEP, Trait.TURNED, Trait.INVERTED)
"""Those that the builds before did not regard, so that the pixels are others."""


def describe_traits(traits: Traits, rendering: Rendering, levels: Levels | None) -> list[str]:
    """Return a sentence for each trait that some image has."""
    alpha = "keep their alpha as a channel" if rendering.keeps_alpha else f"are put on {rendering.background}"
    found = "given" if rendering.levels else "found over those to train on; --levels LOW..HIGH sets others"
    sayings = {
        Trait.TRANSPARENT: f"has transparent pixels, which {alpha}",
        Trait.DEEP: f"has more than 8 bits: {levels} are black to white, {found}",
        Trait.CUT_DEPTH: "has 16 bits a channel, of which Pillow reads the upper 8",
        Trait.TURNED: "is turned as EXIF says",
        Trait.FRAMES: "is the first of several in a file, animated or of many pages",
        Trait.CUT_END: "lacks the last bytes of the file, and no pixel",
        Trait.INVERTED: "is CMYK without Adobe's mark, and not inverted",
    }
    return [_count(traits[trait], saying) for trait, saying in sayings.items() if traits.get(trait)]


def _count(count: int, saying: str) -> str:
    verb, rest = saying.split(" ", 1)
    return f"1 image {saying}." if count == 1 else f"{count:,} images {_PLURAL[verb]} {rest}."


_PLURAL = {"has": "have", "is": "are", "lacks": "lack"}


def describe_renewed(traits: Traits) -> str:
    """Return what builds before this read otherwise; nothing where they read all images so."""
    words = {
        Trait.TRANSPARENT: "transparent",
        Trait.DEEP: "of more than 8 bits",
        Trait.TURNED: "turned by EXIF",
        Trait.INVERTED: "CMYK without Adobe's mark",
    }
    return ", ".join(f"{traits[trait]:,} {words[trait]}" for trait in _RENEWED if traits.get(trait))
