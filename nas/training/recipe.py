"""The settings of the short training: plain values that are written to and read from YAML."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, replace

from nas.errors import InputError
from nas.training.scores import SCORES

LEARNING_RATES = {"sgd": 0.02, "adamw": 0.005, "rmsprop": 0.002}
"""The optimizers, and the peak learning rate of each where the recipe gives none."""

SCHEDULES: dict[str, Callable[[float], float]] = {
    "cosine": lambda done: 0.5 * (1 + math.cos(math.pi * done)),
    "one_cycle": lambda done: 1 - done,
}
"""What part of the peak learning rate is left when a part of the steps after the rise is done."""

POLICIES = ("randaugment", "autoaugment")


@dataclass(frozen=True)
class Recipe:
    """How every network of a search is trained: networks are compared under one recipe or not at all.

    The learning rate rises linearly over the `warmup` share of the steps to its peak `lr` (None: the
    optimizer's own, `LEARNING_RATES`) and falls to zero at the end of this recipe's own epochs, because
    networks rank poorly at a high learning rate: as a `cosine` (Loshchilov & Hutter 2017) or as a line
    (`one_cycle`, Smith & Topin 2018, without its last phase). `momentum` is Nesterov's of `sgd`, the first
    beta of `adamw`. `grad_clip`: largest global norm of a gradient. `ema`: decay of a moving average of the
    weights, which is then what is validated and kept. `dropout` and `drop_path`: rates that take the place of
    the space's own while the proxy trains (`nas.training.drop_rates`): 0, as those are for long trainings.
    `zero_init_residual` as in torchvision: networks start as their shortcuts (`nas.training.zero_init`).
    `early_stop`: epochs without a higher accuracy after which a training ends; its score is made of those
    that it had. `label_smoothing` as in Szegedy et al. 2016.

    `flip` to `policy` are what `nas.training.augment` does to images; `flip` only where the data set says
    that mirroring keeps the class (`ImageData.flip`). `fraction` of search-train is trained on, of each
    class in proportion; validation keeps all of its images. `val_fraction`, `max_images` and `max_broken`
    say how the data set's training split is used (`datasets.load_dataset`). `score` names what the accuracies
    of a training's epochs are made into (`nas.training.scores`). With `folds` a network is trained once for
    each of so many parts to validate on (`nas.training.folds`). `cuda_graph` replays forward and backward
    passes as one CUDA graph; elsewhere it has no effect.

    The defaults are for networks of MobileNet and EfficientNet-B0 size on `digits`: a training then takes
    about 20 s on one CPU thread.

    Raises InputError when a value is of the wrong type or out of range.
    """

    epochs: int = 4
    batch: int = 64
    optimizer: str = "sgd"
    lr: float | None = None
    schedule: str = "cosine"
    warmup: float = 0.2
    momentum: float = 0.9
    weight_decay: float = 5e-4
    grad_clip: float | None = None
    ema: float | None = None
    label_smoothing: float = 0.1
    dropout: float | None = 0
    drop_path: float | None = 0
    zero_init_residual: bool = True
    early_stop: int | None = None
    flip: bool = True
    crop: float = 0.0625
    random_resized_crop: float | None = None
    color_jitter: float = 0
    cutout: float = 0
    mixup: float = 0
    cutmix: float = 0
    policy: str | None = None
    fraction: float = 1
    score: str = "last"
    cuda_graph: bool = False

    @property
    def peak_lr(self) -> float:
        return LEARNING_RATES[self.optimizer] if self.lr is None else self.lr

    def rate(self, step: int, steps: int) -> float:
        """The learning rate of a step, counted from 0, of all the steps of a training."""
        rise = round(self.warmup * steps)
        if step < rise:
            return self.peak_lr * (step + 1) / rise
        return self.peak_lr * SCHEDULES[self.schedule]((step - rise) / (steps - rise))

    def is_over(self, curve: Sequence[float]) -> bool:
        """Whether a training with these accuracies has run all epochs, or `early_stop` of them brought no
        higher accuracy."""
        if self.early_stop is None or not curve:
            return len(curve) >= self.epochs
        return len(curve) >= self.epochs or len(curve) - curve.index(max(curve)) > self.early_stop

    def halved(self, batch: int) -> Recipe:
        """The recipe with half of the batch, and the learning rate in proportion (Goyal et al. 2017)."""
        half = batch // 2
        return replace(self, batch=half, lr=self.peak_lr * half / batch)

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            allowed, rule = _RULES[name]
            if not allowed(value):
                raise InputError(f"recipe: {name} is {value!r}; it must be {rule}{_hint(value)}")


def _whole(low: int) -> Callable[[object], bool]:
    return lambda value: type(value) is int and value >= low


def _number(inside: Callable[[float], bool]) -> Callable[[object], bool]:
    return lambda value: type(value) in (int, float) and inside(value)  # type: ignore[arg-type]


def _one_of(names: Iterable[str]) -> tuple[Callable[[object], bool], str]:
    allowed = tuple(names)
    return lambda value: value in allowed, f"one of {', '.join(allowed)}"


def _or_null(allowed: Callable[[object], bool], rule: str, null: str) -> tuple[Callable[[object], bool], str]:
    return lambda value: value is None or allowed(value), f"null {null}, or {rule}"


_MOST_PIXELS = 2_048
_INFINITE = float("inf")
_STRENGTH = _number(lambda v: 0 <= v < _INFINITE)
_RATE = _number(lambda v: 0 <= v < 1), "a rate, at least 0 and below 1", "for the space's own"

_RULES: dict[str, tuple[Callable[[object], bool], str]] = {
    "epochs": (_whole(1), "a whole number of at least 1"),
    "batch": (_whole(2), "a whole number of at least 2, as batch norm needs two images"),
    "optimizer": _one_of(LEARNING_RATES),
    "lr": _or_null(
        _number(lambda v: 0 < v < _INFINITE), "a number above 0, such as 0.05", "for the optimizer's own"
    ),
    "schedule": _one_of(SCHEDULES),
    "warmup": (_number(lambda v: 0 <= v < 1), "a share of the steps, at least 0 and below 1"),
    "momentum": (_number(lambda v: 0 < v < 1), "a number above 0 and below 1, such as 0.9"),
    "weight_decay": (_number(lambda v: 0 <= v < _INFINITE), "a number of at least 0, such as 0.0005"),
    "grad_clip": _or_null(
        _number(lambda v: 0 < v < _INFINITE), "a norm above 0, such as 1.0", "for no limit"
    ),
    "ema": _or_null(
        _number(lambda v: 0 < v < 1), "a decay above 0 and below 1, such as 0.99", "for no average"
    ),
    "label_smoothing": (_number(lambda v: 0 <= v < 1), "a share, at least 0 and below 1"),
    "dropout": _or_null(*_RATE),
    "drop_path": _or_null(*_RATE),
    "zero_init_residual": (lambda v: type(v) is bool, "true or false"),
    "early_stop": _or_null(_whole(1), "a number of epochs, 1 or more", "for all epochs"),
    "flip": (lambda v: type(v) is bool, "true or false"),
    "crop": (_number(lambda v: 0 <= v <= 0.5), "a share of the resolution, 0 to 0.5"),
    "random_resized_crop": _or_null(
        _number(lambda v: 0 < v <= 1), "the least share of the area, above 0 and up to 1", "for none"
    ),
    "color_jitter": (_STRENGTH, "0 for none, or a strength such as 0.4"),
    "cutout": (_number(lambda v: 0 <= v <= 1), "0 for none, or the square's share of the side, up to 1"),
    "mixup": (_STRENGTH, "0 for none, or the alpha of a beta distribution, such as 0.2"),
    "cutmix": (_STRENGTH, "0 for none, or the alpha of a beta distribution, such as 1.0"),
    "policy": _or_null(*_one_of(POLICIES), "for none"),
    "resolution": (
        lambda v: _whole(8)(v) and v <= _MOST_PIXELS,  # type: ignore[operator]
        f"a whole number of pixels, 8 to {_MOST_PIXELS:,}",
    ),
    "fraction": (_number(lambda v: 0 < v <= 1), "a share of the images, above 0 and up to 1"),
    "val_fraction": (_number(lambda v: 0 < v < 1), "a share of the images, above 0 and below 1"),
    "folds": (_whole(1), "a whole number of at least 1, such as 5"),
    "max_images": _or_null(_whole(4), "a whole number of at least 4", "for all images"),
    "max_broken": (_number(lambda v: 0 <= v < 1), "a share of the images, at least 0 and below 1"),
    "score": _one_of(SCORES),
    "cuda_graph": (lambda v: type(v) is bool, "true or false"),
}


def _hint(value: object) -> str:
    """YAML 1.1 reads 5e-4 as text, which a user cannot see from the value."""
    if not isinstance(value, str):
        return ""
    try:
        return f"; in YAML write the number as {float(value)}, '{value}' is text there"
    except ValueError:
        return ""
