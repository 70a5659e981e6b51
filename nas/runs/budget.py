"""A budget as files and options have it: a few keys, one value."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Any

from nas.cost import Budget, Interval, parse_interval
from nas.errors import InputError
from nas.kinds import Kind, number, optional, parsed
from nas.settings import Config, Keys, Option

ANY = Budget()
"""A budget without limits."""

_ANY = Interval()
_PANEL = "Budget"


def _limit(example: str) -> Kind:
    return parsed(
        f"a budget; write it as text, such as {example}",
        lambda value: isinstance(value, Interval) and (value.high is not None or value == _ANY),
        parse_interval,
        lambda value: value.text,
        null=_ANY,
    )


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
    def budget(self) -> Budget:
        """The budget, with what is filled of it. Raises InputError where there is nothing to fill."""
        limits = (self.budget_flops, self.budget_params)
        if self.budget_fill is None:
            return Budget(*limits)
        if limits == (_ANY, _ANY):
            raise _not_filled("there is no budget to fill")
        return Budget(*(_filled(limit, self.budget_fill) for limit in limits))


def _filled(limit: Interval, fill: float) -> Interval:
    """The upper part of a limit, where there is one."""
    if limit.low:
        raise _not_filled(f"{limit} is a band already")
    return limit if limit.high is None else replace(limit, low=math.ceil(fill * limit.high))


def _not_filled(why: str) -> InputError:
    return InputError(f"budget-fill: {why}; give it with one figure, such as --budget-flops 400M")


def read_budget(given: Mapping[str, Any], where: str) -> Budget:
    """Return the budget of plain values, `{"budget_flops": "400M"}`. Raises InputError for what is none."""
    return BudgetKeys.from_data(given, where).budget


BUDGET = Keys(
    BudgetKeys,
    lambda values: BudgetKeys(**values).budget,
    lambda budget: BudgetKeys(budget.macs, budget.params).to_data(),
)
