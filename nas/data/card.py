"""What is kept of a data set with what was trained on it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from nas.data.layout import OF_FILES
from nas.data.levels import Levels

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from nas.data.datasets import ImageData


@dataclass(frozen=True)
class DataCard:
    """What is kept of a data set with a run: what the networks trained on it expect and give.

    `background`: what transparent pixels are put on; None in a run of before that was said. `levels`: what is
    black and white in images of more than eight bits; None where there are none. `multi_label`: an image has
    several labels, or none.
    """

    name: str
    classes: tuple[str, ...]
    channels: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    train: int
    validation: int
    background: str | None = None
    levels: tuple[float, ...] | None = None
    multi_label: bool = False

    @classmethod
    def of(cls, data: ImageData) -> DataCard:
        levels = data.rendering.levels
        return cls(
            data.name,
            data.classes,
            data.channels,
            data.mean,
            data.std,
            len(data.train_labels),
            len(data.val_labels),
            data.rendering.background,
            (levels.low, levels.high) if levels else None,
            data.is_multi_label,
        )

    def to_data(self) -> dict[str, Any]:
        found = {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(self).items()}
        return found if self.multi_label else {k: v for k, v in found.items() if k != "multi_label"}

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> DataCard:
        """Invert `to_data`. Raises ValueError or TypeError for what it could not have written."""
        plain: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in data.items()}
        card = cls(**plain)
        if not isinstance(card.multi_label, bool):
            raise ValueError("multi_label is neither true nor false")
        if not isinstance(card.classes, tuple) or not all(isinstance(n, int) for n in card._counts):
            raise ValueError("classes or counts have the wrong type")
        return card

    @property
    def _counts(self) -> tuple[int, ...]:
        return (self.channels, self.train, self.validation)

    def find_change(self, other: DataCard) -> str | None:
        """Return what is different in the other data set, in words; None where it is the same data."""
        if self.classes != other.classes:
            return f"{len(self.classes)} classes were {len(other.classes)}, or have other names"
        if self.multi_label != other.multi_label:
            one, several = "one label", "several labels"
            now, then = (several, one) if self.multi_label else (one, several)
            return f"{now} of an image were {then}"
        if self._counts != other._counts:
            own, others = sum(self._counts[1:]), sum(other._counts[1:])
            return f"{own:,} images of {self.channels} channels were {others:,} of {other.channels}"
        if other.background is not None and self.levels != other.levels:
            now, then = _format_levels(self.levels), _format_levels(other.levels)
            return f"the levels {now} of its images were {then}"
        moments = zip((*self.mean, *self.std), (*other.mean, *other.std), strict=True)
        if not all(math.isclose(a, b, abs_tol=1e-3) for a, b in moments):
            return "the pixels are others"
        return None

    @property
    def moments(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Mean and deviation (C, 1, 1) of the pixels, white as 1."""
        import numpy as np  # which takes its time

        mean, deviation = (np.array(values, np.float32)[:, None, None] for values in (self.mean, self.std))
        return mean, deviation

    def normalise(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return images of eight bits (N, C, H, W) as a network takes them."""
        mean, deviation = self.moments
        scaled = pixels.astype("float32") / 255
        return ((scaled - mean) / deviation).astype("float32")

    @property
    def is_of_files(self) -> bool:
        """Whether its images were decoded from files."""
        return self.name.partition(":")[0] in OF_FILES

    @property
    def keeps_alpha(self) -> bool:
        """Whether the last channel is the alpha of files, by which colours count where they are resized."""
        return self.channels == 4 and self.is_of_files

    def describe_preprocessing(self, side: int) -> dict[str, Any]:
        """Return what makes an image the network's input, in this order, of images side x side.

        A run of before that was said has less of it.
        """
        found: dict[str, Any] = {"levels": list(self.levels)} if self.levels else {}
        found["size"] = [side, side]
        if self.background is not None and self.is_of_files:
            found |= {"orientation": "exif", "background": self.background}
        return {**found, "mean": list(self.mean), "deviation": list(self.std)}


def _format_levels(levels: tuple[float, ...] | None) -> str:
    return str(Levels(*levels)) if levels else "none"
