"""Objects in images: an image has the class of its only object, or of its largest."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from dataclasses import dataclass
from typing import TypeVar

Image = TypeVar("Image", bound=Hashable)
Class = TypeVar("Class", bound=Hashable)


@dataclass
class Largest:
    """Chooses the largest object of each image, and counts. `empty`: images without an object; `mixed`: those
    with objects of several classes."""

    empty: int = 0
    mixed: int = 0

    def choose(self, objects: Iterable[tuple[Image, Class, float]], images: int) -> dict[Image, Class]:
        """Return the class of each of so many images that has an object, of objects as image, class and
        area. Of equal ones it is the first."""
        largest: dict[Image, tuple[float, Class]] = {}
        classes: dict[Image, set[Class]] = {}
        for image, kind, area in objects:
            classes.setdefault(image, set()).add(kind)
            if image not in largest or area > largest[image][0]:
                largest[image] = area, kind
        self.empty += images - len(largest)
        self.mixed += sum(len(kinds) > 1 for kinds in classes.values())
        return {image: kind for image, (_, kind) in largest.items()}


def note_objects(found: Largest) -> list[str]:
    """Return what is to be said of images whose class is not plain."""
    notes = []
    if found.empty:
        notes.append(f"Images without an object are left out, {found.empty:,} of them.")
    if found.mixed:
        notes.append(
            f"Images with objects of several classes have the class of the largest, {found.mixed:,} of them."
        )
    return notes
