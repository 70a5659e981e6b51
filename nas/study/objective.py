"""What a search maximises: accuracy, accuracy against costs, or one reward made of both."""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal
from math import prod

from nas.errors import InputError
from nas.measures import Amounts, Measure, find_measure
from nas.training.base import ACCURACY_METRIC, Metric

_FORMS = "write accuracy; accuracy,flops for a front; or a reward such as accuracy*(flops/400M)^-0.07"
_SCORES = ("accuracy", "score")
"""Words for what trainings are scored by, whatever metric that is."""
_FACTOR = re.compile(r"\*\(([^/()]*)/([^/()]*)\)(?:\^|\*\*)(-?[0-9.]+)")


@dataclass(frozen=True, slots=True)
class Factor:
    """(amount of `measure` / `target`) ^ `exponent` of a reward."""

    measure: Measure
    target: int
    exponent: float

    def of(self, amounts: Amounts) -> float:
        """Return 1 at the target, less above it."""
        return float((max(1, amounts(self.measure)) / self.target) ** self.exponent)


@dataclass(frozen=True, slots=True)
class Objective:
    """Accuracy times `factors`, to be maximised, beside `costs`, measures that are to be minimised.

    With factors this is the soft constraint of MnasNet (Tan et al. 2019, equation 2) and of EfficientNet
    (Tan & Le 2019, section 4), accuracy * (cost / target) ^ w; with costs there are several objectives.
    """

    costs: tuple[Measure, ...] = ()
    factors: tuple[Factor, ...] = ()
    metric: Metric = ACCURACY_METRIC

    @property
    def is_single(self) -> bool:
        """Whether networks have an order, and not only a front."""
        return not self.costs

    @property
    def measures(self) -> tuple[Measure, ...]:
        """The measures that networks are judged by besides their accuracy."""
        return tuple(dict.fromkeys((*self.costs, *(factor.measure for factor in self.factors))))

    @property
    def text(self) -> str:
        """What `parse_objective` reads back."""
        factors = (f"*({f.measure.word}/{f.target})^{Decimal(repr(f.exponent)):f}" for f in self.factors)
        return ",".join(("accuracy" + "".join(factors), *(cost.word for cost in self.costs)))

    def compute_reward(self, score: float, amounts: Amounts) -> float:
        """Return what is maximised."""
        return score * prod(factor.of(amounts) for factor in self.factors)

    def compute_values(self, score: float, amounts: Amounts) -> list[float]:
        """Return the reward, then the costs."""
        return [self.compute_reward(score, amounts), *(float(amounts(measure)) for measure in self.costs)]


ACCURACY = Objective()

_STEEPEST = 10


def parse_objective(text: str) -> Objective:
    """Read `accuracy`, a front `accuracy,flops,memory`, or a reward `accuracy*(flops/400M)^-0.07`.

    >>> parse_objective("accuracy, MACs").text
    'accuracy,flops'

    Raises InputError for anything else.
    """
    plain = re.sub(r"\s", "", text).lower()
    first, *others = plain.split(",")
    if first in _SCORES:
        costs = tuple(_find_measure(text, name) for name in others)
        if len(set(costs)) < len(costs):
            raise InputError(f"'{text}' names a cost twice; leave one out")
        return Objective(costs=costs)
    tail = plain.removeprefix("accuracy").removeprefix("score")
    if others or tail == plain or _FACTOR.sub("", tail):
        raise InputError(f"'{text}' is not an objective; {_FORMS}")
    return Objective(factors=tuple(_parse_factor(text, *found.groups()) for found in _FACTOR.finditer(tail)))


def _find_measure(text: str, name: str) -> Measure:
    try:
        return find_measure(name)
    except InputError as error:
        raise InputError(f"'{text}': {error}") from None


def _parse_factor(text: str, name: str, target: str, exponent: str) -> Factor:
    measure = _find_measure(text, name)
    try:
        factor = Factor(measure, measure.parse(target), float(exponent))
    except InputError as error:
        raise InputError(f"'{text}': {error}") from None
    except ValueError:
        raise InputError(f"'{text}': '{exponent}' is not a number") from None
    if factor.target < 1 or not -_STEEPEST <= factor.exponent < 0:
        raise InputError(
            f"'{text}': (cost/{target})^{exponent} does not fall with the cost; write a target above 0 and "
            f"an exponent from -{_STEEPEST} to below 0"
        )
    return factor
