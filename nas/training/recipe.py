"""How networks are trained: the settings of the short training, and the formulas that they stand for."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated

from nas.kinds import BOOLEAN, EPOCHS, Kind, is_whole, number, one_of, optional
from nas.settings import Config, Option, User
from nas.training.base import Metric
from nas.training.scores import SCORES

if TYPE_CHECKING:
    from nas.data.datasets import ImageData

LEARNING_RATES = {"sgd": 0.02, "adamw": 0.005, "rmsprop": 0.002}
"""The optimizers, and the peak learning rate of each where the recipe gives none."""

AUTO = "auto"
BATCH = 64
"""Images in a batch on a CPU, which larger ones do not speed up; the one that `LEARNING_RATES` are of."""
BATCHES = (16, 1024)
"""The smallest and the largest that `auto` picks."""
ENOUGH_STEPS = 32
"""Of an epoch, that `auto` leaves where it can: with as many, accuracy is that of a batch of 64 within its
noise, with half of them it is not (`benchmarks/batch.py`)."""

SCHEDULES: dict[str, Callable[[float], float]] = {
    "cosine": lambda done: 0.5 * (1 + math.cos(math.pi * done)),
    "one_cycle": lambda done: 1 - done,
}
"""What part of the peak learning rate is left when a part of the steps after the rise is done."""

POLICIES = ("randaugment", "autoaugment")

MAP = "map"
METRICS = ("accuracy", "balanced-accuracy", "macro-f1", "top-5", "auc", MAP)
"""What networks are judged by (`nas.training.metrics`)."""

NO_BALANCE, WEIGHTS, SAMPLING = BALANCES = ("none", "weights", "sampling")
"""How uneven classes are evened out: not, in the loss, or in what an epoch trains on."""

LATER = {"metric": METRICS[0], "balance": NO_BALANCE, "deterministic": False}
"""What held before there were these settings: runs of then do not name them."""


TRAINING, AUGMENTATION = "Proxy training", "Augmentation"
"""Panels of options."""


def _share(what: str) -> Kind:
    return number(f"{what}; it is a number of at least 0 and below 1", lambda v: 0 <= v < 1)


def _strength(rule: str) -> Kind:
    return number(rule, lambda v: v >= 0)


_RATE = optional(
    number("a rate; it is a number of at least 0 and below 1", lambda v: 0 <= v < 1), "for the space's own"
)


def _key(help: str, panel: str = TRAINING) -> Option:
    """Return the option of a setting that is given by --recipe KEY=VALUE."""
    return Option(help, panel, flags=(), unused_by=User.EVALUATOR)


@dataclass(frozen=True)
class Recipe(Config):
    """How every network of a search is trained: networks are compared under one recipe or not at all.

    The learning rate rises linearly over the `warmup` share of the steps to its peak and falls to zero at the
    end of this recipe's own epochs, because networks rank poorly at a high learning rate: as a `cosine`
    (Loshchilov & Hutter 2017) or as a line (`one_cycle`, Smith & Topin 2018, without its last phase). `ema`
    is what is validated and kept. `dropout` and `drop_path` take the place of the space's own while the proxy
    trains (`nas.training.drop_rates`): 0, as those are for long trainings. `zero_init_residual` as in
    torchvision (`nas.training.zero_init`). The score of a training that `early_stop` ends is made of the
    epochs that it had. `label_smoothing` as in Szegedy et al. 2016. `metric`: one of
    `METRICS`; `balance` as in `nas.training.sampling`; `score`: of
    `nas.training.scores`. `crop` to `cutmix` are what `nas.training.augment` does to images.

    The defaults are for networks of MobileNet and EfficientNet-B0 size on `digits`: a training then takes
    about 20 s on one CPU thread.
    """

    SECTION = "recipe"

    epochs: Annotated[
        int,
        EPOCHS,
        Option("Epochs of one training.", TRAINING),
    ] = 4
    batch: Annotated[
        int | str | None,
        Kind(
            "a batch; it is auto, or a whole number of at least 2, as batch norm needs two images, or null "
            f"for {BATCH}, and auto on a GPU",
            lambda v: v is None or v == AUTO or is_whole(v, 2),
        ),
        Option(
            f"Images in a batch; `{AUTO}` is the largest power of two up to {BATCHES[1]:,} that leaves "
            f"{ENOUGH_STEPS} steps an epoch; else {BATCH}, and {AUTO} on a GPU.",
            TRAINING,
            unused_by=User.EVALUATOR,
        ),
    ] = None
    optimizer: Annotated[
        str,
        one_of("an optimizer", LEARNING_RATES),
        _key("`sgd` (Nesterov), `adamw`, or `rmsprop` as torchvision trains MobileNetV3."),
    ] = "sgd"
    lr: Annotated[
        float | None,
        optional(
            number("a learning rate; it is a number above 0, such as 0.05", lambda v: v > 0),
            "for the optimizer's own",
        ),
        Option(
            "Peak learning rate, else the optimizer's own: 0.02 of `sgd`, 0.005 of `adamw`, 0.002 of "
            "`rmsprop`; of a batch that is picked, the one that belongs to it.",
            TRAINING,
            unused_by=User.EVALUATOR,
        ),
    ] = None
    schedule: Annotated[
        str,
        one_of("a schedule", SCHEDULES),
        _key("How the rate falls to zero: `cosine`, or `one_cycle`, a line."),
    ] = "cosine"
    warmup: Annotated[
        float,
        _share("a share of the steps"),
        _key("Share of the steps in which the rate rises, as a line from zero."),
    ] = 0.2
    momentum: Annotated[
        float,
        number("a momentum; it is a number above 0 and below 1, such as 0.9", lambda v: 0 < v < 1),
        _key("Of `sgd` and `rmsprop`; the first beta of `adamw`."),
    ] = 0.9
    weight_decay: Annotated[
        float,
        number("a weight decay; it is a number of at least 0, such as 0.0005", lambda v: v >= 0),
        _key("Of weights, not of norms, gains and biases; with `adamw` 0.05 is usual."),
    ] = 5e-4
    grad_clip: Annotated[
        float | None,
        optional(number("a norm; it is a number above 0, such as 1.0", lambda v: v > 0), "for no limit"),
        _key("Largest global norm of a gradient, else no limit."),
    ] = None
    ema: Annotated[
        float | None,
        optional(
            number("a decay; it is above 0 and below 1, such as 0.99", lambda v: 0 < v < 1), "for no average"
        ),
        _key("Decay of a moving average of the weights, else none."),
    ] = None
    label_smoothing: Annotated[
        float, _share("a share of a label"), _key("Share of a label that goes to all classes.")
    ] = 0.1
    dropout: Annotated[
        float | None,
        _RATE,
        _key(
            "Rate of the last dropout, 0 for none; a network without gets one before its last "
            "layer; `null` is the space's."
        ),
    ] = 0
    drop_path: Annotated[
        float | None,
        _RATE,
        _key("Stochastic depth, growing with depth from 0 towards this rate; `null` is the space's."),
    ] = 0
    zero_init_residual: Annotated[
        bool,
        BOOLEAN,
        _key(
            "Networks start as their shortcuts: the last norm of a branch is at scale 0 where its "
            "shortcut has no weights."
        ),
    ] = True
    early_stop: Annotated[
        int | None,
        optional(EPOCHS, "for all of them"),
        _key("Epochs without a higher value of `metric` after which a training ends, else none."),
    ] = None
    fraction: Annotated[
        float,
        number("a share of the images; it is above 0 and up to 1", lambda v: 0 < v <= 1),
        _key("Share of the images to train on, of each class alike; validation keeps all."),
    ] = 1
    metric: Annotated[
        str,
        one_of("a metric", METRICS),
        Option(
            "What a network is judged by on the images to validate on: `accuracy`, `balanced-accuracy`, "
            "`macro-f1`, `top-5`, or `auc` of two classes; `map` of images with several labels, by itself.",
            TRAINING,
            unused_by=User.EVALUATOR,
        ),
    ] = METRICS[0]
    balance: Annotated[
        str,
        one_of("a balance of classes", BALANCES),
        Option(
            "Classes that are uneven count alike: by `weights` in the loss, or by `sampling` as many images "
            "of each in an epoch; else `none`.",
            TRAINING,
            unused_by=User.EVALUATOR,
        ),
    ] = NO_BALANCE
    score: Annotated[
        str,
        one_of("a score", SCORES),
        Option(
            "What the values of the epochs are made into: `last`, `best`, `mean_last_k`, `auc` or "
            "`extrapolated`.",
            TRAINING,
            unused_by=User.EVALUATOR,
        ),
    ] = "last"
    cuda_graph: Annotated[
        bool,
        BOOLEAN,
        _key("On CUDA, forward and backward pass replayed as one graph, which is compared with them first."),
    ] = False
    deterministic: Annotated[
        bool,
        BOOLEAN,
        _key("The same seed, device and versions give the same scores, by algorithms that may be slower."),
    ] = False
    crop: Annotated[
        float,
        number("a share of the resolution; it is a number from 0 to 0.5", lambda v: 0 <= v <= 0.5),
        _key("Shifted by up to this share of the resolution, edges reflected.", AUGMENTATION),
    ] = 0.0625
    random_resized_crop: Annotated[
        float | None,
        optional(
            number("the least share of the area; it is a number above 0 and up to 1", lambda v: 0 < v <= 1),
            "for none",
        ),
        _key("In place of `crop`: a box of at least this share of the area is enlarged.", AUGMENTATION),
    ] = None
    flip: Annotated[
        bool,
        BOOLEAN,
        _key("Mirrored left to right, where the data set allows it (digits do not).", AUGMENTATION),
    ] = True
    policy: Annotated[
        str | None,
        optional(one_of("a policy", POLICIES), "for none"),
        _key("`randaugment` or `autoaugment` (ImageNet's), as in torchvision.", AUGMENTATION),
    ] = None
    color_jitter: Annotated[
        float,
        _strength("a strength; it is 0 for none, or a number such as 0.4"),
        _key(
            "Brightness, contrast and saturation changed by up to this strength, in random order.",
            AUGMENTATION,
        ),
    ] = 0
    cutout: Annotated[
        float,
        number(
            "the square's share of the side; it is 0 for none, or a number up to 1", lambda v: 0 <= v <= 1
        ),
        _key("A square of this share of the side gets the mean colour.", AUGMENTATION),
    ] = 0
    mixup: Annotated[
        float,
        _strength("the alpha of a beta distribution; it is 0 for none, or a number such as 0.2"),
        _key("Blended with another image, labels too, by a share from Beta(a, a) with this a.", AUGMENTATION),
    ] = 0
    cutmix: Annotated[
        float,
        _strength("the alpha of a beta distribution; it is 0 for none, or a number such as 1.0"),
        _key(
            "A box comes from another image, labels by its area; its size from Beta(a, a) with this a.",
            AUGMENTATION,
        ),
    ] = 0

    @property
    def peak_lr(self) -> float:
        return LEARNING_RATES[self.optimizer] if self.lr is None else self.lr

    @property
    def scored_by(self) -> Metric:
        """Its metric, which is from 0 to 1 as all of METRICS are."""
        return Metric(self.metric, range=(0.0, 1.0))

    def fit_to(self, data: ImageData, device: str) -> Recipe:
        """Return the recipe as data are trained on by it, on a device as torch names it."""
        return self.judge_by(data.is_multi_label).fit(len(data.train_labels), device)

    def judge_by(self, multi_label: bool) -> Recipe:
        """Return the recipe for images of one label each, or of several, where `map` is in the place of
        accuracy."""
        if not multi_label or self.metric != METRICS[0]:
            return self
        return replace(self, metric=MAP)

    def fit(self, images: int, device: str) -> Recipe:
        """Return the recipe with a number for its batch, on a device as torch names it, for a data set of so
        many images to train on: all that is trained on those shares it.

        The rate that belongs to a batch of `auto` grows with it from that of 64: in proportion for `sgd`
        (Goyal et al. 2017), by the square root for optimizers that divide by the size of gradients (Malladi
        et al. 2022). One that the recipe gives stays.

        >>> auto = Recipe(batch="auto").fit(40_000, "cuda")
        >>> auto.batch, auto.lr
        (1024, 0.32)
        """
        if isinstance(self.batch, int):
            return self
        if self.batch is None and device != "cuda":
            return replace(self, batch=BATCH)
        batch, most = BATCHES
        while 2 * batch <= most and ENOUGH_STEPS * 2 * batch <= self.fraction * images:
            batch *= 2
        growth = (batch / BATCH) ** (1 if self.optimizer == "sgd" else 0.5)
        rate = float(f"{self.peak_lr * growth:.3g}") if self.lr is None else self.lr
        return replace(self, batch=batch, lr=rate)

    @property
    def batch_size(self) -> int:
        """Images in a batch, of a recipe that is fitted."""
        assert isinstance(self.batch, int), "a recipe is fitted to its data before it trains"
        return self.batch

    def compute_rate(self, step: int, steps: int) -> float:
        """Return the learning rate of a step, counted from 0, of all the steps of a training."""
        rise = round(self.warmup * steps)
        if step < rise:
            return self.peak_lr * (step + 1) / rise
        return self.peak_lr * SCHEDULES[self.schedule]((step - rise) / (steps - rise))

    def is_over(self, curve: Sequence[float]) -> bool:
        """Return whether a training with these values of its metric has run all epochs, or `early_stop` of
        them brought no higher one."""
        if self.early_stop is None or not curve:
            return len(curve) >= self.epochs
        return len(curve) >= self.epochs or len(curve) - curve.index(max(curve)) > self.early_stop

    def halve(self, batch: int) -> Recipe:
        """Return the recipe with half of the batch, and the learning rate in proportion (Goyal et al.
        2017)."""
        half = batch // 2
        return replace(self, batch=half, lr=self.peak_lr * half / batch)
