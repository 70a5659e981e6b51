"""The settings of the short training: plain values that are written to and read from YAML."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass

from nas.errors import InputError
from nas.proxy.scores import SCORES


@dataclass(frozen=True)
class Recipe:
    """How every network of a search is trained: networks are compared under one recipe or not at all.

    SGD with Nesterov momentum; the learning rate rises linearly over the `warmup` share of the steps and
    falls as a cosine to zero at the end of this recipe's own epochs, because networks rank poorly at a high
    learning rate. `crop` is the largest shift of an image as a share of the resolution. `flip` mirrors
    images left to right where the data set says that this keeps their class (`ImageData.flip`).
    `val_fraction`, `max_images` and `max_broken` say how the data set's training split is used
    (`datasets.load`). `score` names what the accuracies of a training's epochs are made into
    (`nas.proxy.scores`).

    The defaults are for networks of MobileNet and EfficientNet-B0 size on `digits`: a training then takes
    about 20 s on one CPU thread.

    Raises InputError when a value is of the wrong type or out of range.
    """

    epochs: int = 4
    batch: int = 64
    lr: float = 0.02
    momentum: float = 0.9
    weight_decay: float = 5e-4
    warmup: float = 0.2
    label_smoothing: float = 0.1
    flip: bool = True
    crop: float = 0.0625
    resolution: int = 32
    val_fraction: float = 0.2
    max_images: int | None = None
    max_broken: float = 0.01
    score: str = "last"
    folds: int = 1

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            allowed, rule = _RULES[name]
            if not allowed(value):
                raise InputError(f"recipe: {name} is {value!r}; it must be {rule}{_hint(value)}")


def _whole(low: int) -> Callable[[object], bool]:
    return lambda value: type(value) is int and value >= low


def _number(inside: Callable[[float], bool]) -> Callable[[object], bool]:
    return lambda value: type(value) in (int, float) and inside(value)  # type: ignore[arg-type]


_MOST_PIXELS = 2_048

_RULES: dict[str, tuple[Callable[[object], bool], str]] = {
    "epochs": (_whole(1), "a whole number of at least 1"),
    "batch": (_whole(2), "a whole number of at least 2, as batch norm needs two images"),
    "lr": (_number(lambda v: 0 < v < float("inf")), "a number above 0, such as 0.05"),
    "momentum": (_number(lambda v: 0 < v < 1), "a number above 0 and below 1, such as 0.9"),
    "weight_decay": (_number(lambda v: 0 <= v < float("inf")), "a number of at least 0, such as 0.0005"),
    "warmup": (_number(lambda v: 0 <= v < 1), "a share of the steps, at least 0 and below 1"),
    "label_smoothing": (_number(lambda v: 0 <= v < 1), "a share, at least 0 and below 1"),
    "flip": (lambda v: type(v) is bool, "true or false"),
    "crop": (_number(lambda v: 0 <= v <= 0.5), "a share of the resolution, 0 to 0.5"),
    "resolution": (
        lambda v: _whole(8)(v) and v <= _MOST_PIXELS,  # type: ignore[operator]
        f"a whole number of pixels, 8 to {_MOST_PIXELS:,}",
    ),
    "val_fraction": (_number(lambda v: 0 < v < 1), "a share of the images, above 0 and below 1"),
    "score": (lambda v: v in SCORES, f"one of {', '.join(SCORES)}"),
    "folds": (_whole(1), "a whole number of at least 1, such as 5"),
    "max_broken": (_number(lambda v: 0 <= v < 1), "a share of the images, at least 0 and below 1"),
    "max_images": (
        lambda v: v is None or _whole(4)(v),
        "null for all images, or a whole number of at least 4",
    ),
}


def _hint(value: object) -> str:
    """YAML 1.1 reads 5e-4 as text, which a user cannot see from the value."""
    if not isinstance(value, str):
        return ""
    try:
        return f"; in YAML write the number as {float(value)}, '{value}' is text there"
    except ValueError:
        return ""
