"""A budget from what a user writes: two limits that have an option of their own, others by name."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from nas.cost import Interval
from nas.errors import InputError
from nas.measures import MACS, PARAMS, Budget, Measure, find_measure

OPTIONS = {MACS: "budget-flops", PARAMS: "budget-params"}
"""The measures that have an option of their own."""


def option_of(measure: Measure) -> str:
    """Return how the limit of a measure is given, for messages: `budget-flops`, or `budget memory`."""
    return OPTIONS.get(measure, f"budget {measure.name}")


def read_budget(flops: str | None, params: str | None, others: Sequence[str] = ()) -> Budget:
    """Return the budget of the texts of its limits; `others` are `NAME=INTERVAL`, such as `memory=8M`.

    Raises InputError for a text that cannot be read, an unknown measure and one that is limited twice.
    """
    given = {
        measure: text for measure, text in zip(OPTIONS, (flops, params), strict=True) if text is not None
    }
    places = {measure: f"--{OPTIONS[measure]}" for measure in given}
    for text in others:
        name, equals, limit = text.partition("=")
        if not (name.strip() and equals and limit.strip()):
            raise InputError(f"budget: '{text}' is not a limit; write NAME=INTERVAL, such as memory=8M")
        try:
            measure = find_measure(name)
        except InputError as error:
            raise InputError(f"budget '{text}': {error}") from None
        place = f"--budget {text}"
        if measure in given:
            raise InputError(
                f"budget '{text}': {measure.noun} are limited by {places[measure]} already; keep one"
            )
        given[measure], places[measure] = limit, place
    return Budget({measure: _limit(measure, text) for measure, text in given.items()})


def fill(budget: Budget, part: float) -> Budget:
    """Return the upper part of each limit: 0.9 of at most 400M is 360M to 400M.

    Raises InputError where there is no limit, and for one that is a band already.
    """
    bands = [interval for interval in budget.values() if interval.low]
    if bands or not budget:
        what = f"{bands[0]} is a band already" if bands else "there is no budget to fill"
        raise InputError(f"budget-fill: {what}; give it with one figure, such as --budget-flops 400M")
    return Budget(
        {
            measure: interval
            if interval.high is None
            else replace(interval, low=math.ceil(part * interval.high))
            for measure, interval in budget.items()
        }
    )


def _limit(measure: Measure, text: str) -> Interval:
    try:
        return measure.parse_interval(text)
    except InputError as error:
        raise InputError(f"{option_of(measure)}: {error}") from None
