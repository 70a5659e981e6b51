"""A budget as files and options have it: a few keys, one value."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Annotated

from nas.cost import Interval, format_latency, parse_count, parse_interval, parse_latency
from nas.errors import InputError
from nas.kinds import Kind, number, optional, parsed
from nas.measures import LATENCY, MACS, MEASURES, PARAMS, Budget, Measure, find_measure
from nas.settings import Config, Keys, Option

ANY = Budget()
"""A budget without limits."""

OPTIONS = {MACS: "budget-flops", PARAMS: "budget-params", LATENCY: "budget-latency"}
"""The measures that have an option of their own."""

_ANY = Interval()
_PANEL = "Budget"


def _limit(
    example: str, parse: Callable[[str], int] = parse_count, write: Callable[[int], str] = str
) -> Kind:
    return parsed(
        f"a budget; write it as text, such as {example}",
        lambda value: isinstance(value, Interval) and (value.high is not None or value == _ANY),
        lambda text: parse_interval(text, parse),
        lambda value: value.write(write),
        null=_ANY,
    )


def explain_exhausted(budget: Budget) -> str:
    """Return why a search ends before all of its trials."""
    return f"no untried network{' inside the budget' if budget else ''} was found"


@dataclass(frozen=True)
class BudgetKeys(Config):
    """The settings that a budget is given by."""

    budget_flops: Annotated[
        Interval,
        _limit("400M"),
        Option(
            "Multiply-accumulates of one image: `400M` at most, or a band `300M..400M`.",
            _PANEL,
            flags=("--budget-flops", "--budget-macs"),
        ),
    ] = _ANY
    budget_params: Annotated[
        Interval, _limit("5M"), Option("Parameters: `5M` at most, or a band `4M..5M`.", _PANEL)
    ] = _ANY
    budget_latency: Annotated[
        Interval,
        _limit("8ms", parse_latency, format_latency),
        Option(
            "Time of one image in `--runtime`: `8ms` at most, or a band `6ms..8ms`; predicted by a table of "
            "the parts of networks, which is measured once.",
            _PANEL,
        ),
    ] = _ANY
    budget: Annotated[
        tuple[str, ...],
        Kind(
            "a list of limits; write them as text, such as [memory=8M], or budget_flops: 400M",
            lambda v: isinstance(v, tuple) and all(isinstance(one, str) and one for one in v),
        ),
        Option(
            f"A limit of any measure, NAME=INTERVAL, such as `memory=8M` or `activations=2M..3M`: "
            f"{', '.join(MEASURES)}; repeatable.",
            _PANEL,
        ),
    ] = ()
    budget_fill: Annotated[
        float | None,
        optional(
            number(
                "a part of the budget; it is a number above 0 and up to 1, and 0.9 leaves out the cheap "
                "networks",
                lambda v: 0 < v <= 1,
            )
        ),
        Option("The part of a budget that networks use at least: 0.9 of `400M` is `360M..400M`.", _PANEL),
    ] = None

    @property
    def value(self) -> Budget:
        """The budget, with what is filled of it.

        Raises InputError for an unknown measure, one that is limited twice, and where nothing can be filled.
        """
        own = {MACS: self.budget_flops, PARAMS: self.budget_params, LATENCY: self.budget_latency}
        limits = {measure: interval for measure, interval in own.items() if interval != _ANY}
        places = {measure: f"--{OPTIONS[measure]}" for measure in limits}
        for text in self.budget:
            measure, interval = _read_limit(text)
            if measure in limits:
                raise InputError(
                    f"budget '{text}': {measure.noun} are limited by {places[measure]} already; keep one"
                )
            limits[measure], places[measure] = interval, f"--budget {text}"
        return Budget(limits) if self.budget_fill is None else fill_budget(Budget(limits), self.budget_fill)

    @classmethod
    def of(cls, budget: Budget) -> BudgetKeys:
        """Return the settings by which a budget is given; what is filled is a band."""
        others = tuple(f"{m.name}={interval.text}" for m, interval in budget.items() if m not in OPTIONS)
        macs, params, latency = (budget.get(measure, _ANY) for measure in (MACS, PARAMS, LATENCY))
        return cls(macs, params, latency, others)


def name_option(measure: Measure) -> str:
    """Return how the limit of a measure is given, for messages: `budget-flops`, or `budget memory`."""
    return OPTIONS.get(measure, f"budget {measure.name}")


def fill_budget(budget: Budget, part: float) -> Budget:
    """Return the upper part of each limit: 0.9 of at most 400M is 360M to 400M.

    Raises InputError where there is no limit, and for one that is a band already.
    """
    bands = [interval for interval in budget.values() if interval.low]
    if bands or not budget:
        what = f"{bands[0]} is a band already" if bands else "there is no budget to fill"
        raise InputError(f"budget-fill: {what}; give it with one figure, such as --budget-flops 400M")
    return Budget({measure: _fill_interval(interval, part) for measure, interval in budget.items()})


def _fill_interval(limit: Interval, part: float) -> Interval:
    return limit if limit.high is None else replace(limit, low=math.ceil(part * limit.high))


def _read_limit(text: str) -> tuple[Measure, Interval]:
    name, equals, limit = text.partition("=")
    if not (name.strip() and equals and limit.strip()):
        raise InputError(f"budget: '{text}' is not a limit; write NAME=INTERVAL, such as memory=8M")
    try:
        measure = find_measure(name)
    except InputError as error:
        raise InputError(f"budget '{text}': {error}") from None
    try:
        return measure, measure.parse_interval(limit)
    except InputError as error:
        raise InputError(f"{name_option(measure)}: {error}") from None


BUDGET = Keys(
    BudgetKeys, lambda values: BudgetKeys(**values).value, lambda budget: BudgetKeys.of(budget).to_data()
)
