"""What is refused before a search starts: budgets, scales, samplers, starts and machines that cannot be."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nas.cost import Budget, Interval, format_count, parse_count
from nas.errors import InputError
from nas.runs.config import SearchConfig
from nas.samplers import MULTI_OBJECTIVE, find_sampler
from nas.space import Space
from nas.space.compound import PUBLISHED
from nas.space.scale import scale_space
from nas.study.objective import Objective
from nas.training.base import Metric
from nas.workflows.warm_start import find_warm_start

if TYPE_CHECKING:
    from nas.space.counting.point_sets import Measure


def check_budget(space: Space, budget: Budget) -> None:
    """Raises InputError where no network of the space is inside the budget."""
    extent = space.extent
    rows = (
        ("MACs", "flops", budget.macs, extent.smallest, extent.smallest_cost.macs, extent.largest_cost.macs),
        ("parameters", "params", budget.params, extent.fewest, extent.fewest_params, extent.most_params),
    )
    for what, flag, interval, smallest, least, most in rows:
        if interval.high is not None and interval.high < least:
            point = ", ".join(f"{k}: {v}" for k, v in sorted(smallest.items())) or "none"
            raise InputError(
                f"--budget-{flag}: {interval.high:,} {what} is below the smallest network of "
                f"'{space.name}', {least:,}; the largest has {most:,}. "
                f"Allow at least {format_count_up(least)}; choices that give the least {what}: {point}"
            )
        if interval.low > most:
            raise InputError(
                f"--budget-{flag}: {interval.low:,} {what} is above the largest network of "
                f"'{space.name}', {most:,}; the smallest has {least:,}. "
                f"Ask for at most {format_count_down(most)}"
            )
    _check_band(space, budget)


def _check_band(space: Space, budget: Budget) -> None:
    """Raises InputError where it is known that a band is empty though costs lie on both sides of it."""
    import numpy as np

    from nas.space.counting.exact import gap_around

    is_band = budget.macs.low or budget.params.low
    if not is_band or space.uniform(budget).sample(np.random.default_rng(0), 1):
        return
    rows: tuple[tuple[str, str, Interval, Measure], ...] = (
        ("MACs", "flops", budget.macs, lambda cost: cost.macs),
        ("parameters", "params", budget.params, lambda cost: cost.params),
    )
    for what, flag, interval, measure in rows:
        gap = gap_around(space.points, measure, interval) if interval != Interval() else None
        if gap:
            below, above = gap
            raise InputError(
                f"--budget-{flag}: no network of '{space.name}' has {interval.low:,} to {interval.high:,} "
                f"{what}; the nearest have {below:,} and {above:,}"
            )


def check_scale(space: Space, steps: range) -> None:
    """Raises InputError where the networks of a space cannot be scaled at these steps."""
    for step in steps:
        try:
            scale_space(space.resolve(space.smallest()), PUBLISHED[step])
        except InputError as error:
            raise InputError(f"--scale: {error}") from None


def format_count_up(value: int) -> str:
    """A short count that is at least the value: `62.4M` for 62,357,120 and never 62.3M."""
    text = format_count(value)
    return text if parse_count(text) >= value else f"{value:,}"


def format_count_down(value: int) -> str:
    """A short count that is at most the value: `1.02G` for 1,020,588,384 and never 1.03G."""
    text = format_count(value)
    return text if parse_count(text) <= value else f"{value:,}"


def check_sampler(config: SearchConfig) -> None:
    """Raises InputError for an unknown sampler, and for one that does not take the objectives."""
    find_sampler(config.sampler)
    if not config.objective.is_single and config.sampler not in MULTI_OBJECTIVE:
        raise InputError(
            f"--objective {config.objective}: has {1 + len(config.objective.costs)} objectives, and sampler "
            f"'{config.sampler}' takes one; choose --sampler {' or '.join(MULTI_OBJECTIVE)}, or a reward "
            "such as accuracy*(flops/400M)^-0.07"
        )


def check_warm_start(space: Space, config: SearchConfig) -> None:
    """Check what can be known of the warm start before the data are read."""
    starts = find_warm_start(config.warm_start, space, config.budget)
    if len(starts) > config.trials:
        raise InputError(
            f"--start: {len(starts)} networks are to be tried first, but --trials is {config.trials}; "
            "raise it, or leave some out"
        )


def check_machine(config: SearchConfig) -> None:
    """Raises InputError where what trials are to run on is not there."""
    if config.executor.workers != 0:
        from nas.execution.ray_address import check_address

        check_address(config.executor.address)
    elif config.executor.gpus_per_trial:
        import torch

        if not torch.cuda.is_available():
            raise InputError(
                f"gpus-per-trial: {config.executor.gpus_per_trial:g}, but torch finds no GPU on this "
                "machine; leave it out, or join a cluster with GPUs by --address"
            )


def check_objective(objective: Objective, metric: Metric) -> None:
    """Raise InputError for a reward of a metric that is minimised: it would fall with the cost."""
    if objective.factors and not metric.maximize:
        raise InputError(
            f"--objective: a reward falls with the cost, and '{metric.name}' is to be minimised; give a "
            "front such as score,flops, or limit the cost by --budget-flops"
        )
