"""What is refused before a search starts: budgets, scales, samplers, starts and machines that cannot be."""

from __future__ import annotations

import random
from collections.abc import Callable
from itertools import combinations
from operator import ge, le
from typing import TYPE_CHECKING

import numpy as np

from nas.cost import Interval, format_count, parse_count
from nas.errors import InputError
from nas.execution import find_executor
from nas.kinds import join_or
from nas.machine import check_system, count_cores
from nas.measures import LATENCY, MEASURES, Budget, Measure
from nas.runs.budget import name_option
from nas.runs.config import SearchConfig
from nas.samplers import MULTI_OBJECTIVE, find_sampler
from nas.space import Choices, Space
from nas.space.compound import PUBLISHED
from nas.space.feasible import Domain
from nas.space.fit import Fitted, find_small_maps
from nas.space.scale import scale_space
from nas.study.objective import Objective
from nas.study.pruning import find_pruner
from nas.training.base import Evaluator, Lengthenable, Metric
from nas.training.recipe import Recipe
from nas.workflows.hardware import PlacedConfig, count_gpus, find_unusable_gpu, has_mps
from nas.workflows.observer import Observer
from nas.workflows.warm_start import find_warm_start

if TYPE_CHECKING:
    from nas.data.datasets import ImageData

_SAMPLES = 100
"""Networks by which it is judged whether a limit can be met that is of no additive measure."""
_MANY_SAMPLES = 4096
"""Networks by which it is judged how rare those are that meet all of several limits."""
_EXTREMES = ((1, 2), (16, 100_000))
"""Channels and classes that data have at least, and at most as far as one looks."""
_NAMED = 4
"""Choices that a message names."""
STOP_MPS = "stop MPS by: echo quit | nvidia-cuda-mps-control"
_MOVED = 2
"""Of these, so many are moved towards the limit."""


def check_budget(space: Space, budget: Budget) -> str | None:
    """Raise InputError where no network of the space is inside the budget. Return in a line what is known
    where that could not be told.

    That is known exactly of measures that add up, for each by itself; of others it is what many samples say.
    """
    if LATENCY in budget and space.clock is None:
        raise InputError(
            f"--{name_option(LATENCY)}: latency is known of a search alone, which measures it: nas search "
            f"SPACE --{name_option(LATENCY)} 8ms --runtime onnx; leave it out here"
        )
    for measure in budget:
        if measure.is_additive:
            _check_ends(space, measure, budget[measure])
        elif measure.at_least is not None:
            _check_least(space, measure, budget[measure], *measure.at_least)
    is_band = any(interval.low for interval in budget.values())
    measured = [measure for measure in budget if not measure.is_additive]
    together = len(budget) - len(measured) > 1
    if not (is_band or measured or together) or _is_met(space, budget):
        return None
    _check_together(space, budget)
    for measure in budget:
        if measure.is_additive and not (together and _is_met(space, Budget({measure: budget[measure]}))):
            _check_band(space, measure, budget[measure])
    for measure in measured:
        _check_measured(space, measure, budget)
    if measured or not together:
        return None
    inside = space.uniform(budget)
    if inside.filter_samples(np.random.default_rng(1), _MANY_SAMPLES):
        return None
    # Wilson's bound of a share of which no draw was (Wilson 1927), with 95 % confidence
    rarity = int((_MANY_SAMPLES + 1.96**2) / 1.96**2)
    return (
        f"No network inside {budget} was found in {_MANY_SAMPLES:,} samples of those inside "
        f"--{name_option(budget.counted)}: there is none, or fewer than one in {rarity:,}. Widen a limit "
        "where the search finds none."
    )


def check_ends(space: Space, budget: Budget) -> None:
    """Raise InputError where no network of the space is inside the budget, whatever the channels and classes
    that it will be counted with. Latency, which is not known yet, is left out."""
    additive = [measure for measure in budget if measure.is_additive and measure != LATENCY]
    try:
        for measure in additive:
            _check_ends(space, measure, budget[measure])
    except InputError:
        least, most = (space.for_data(*ends) for ends in _EXTREMES)
        for measure in additive:
            low, high = least.ends(measure).least.value, most.ends(measure).most.value
            if budget[measure].low > high or ((limit := budget[measure].high) is not None and limit < low):
                raise


def _check_ends(space: Space, measure: Measure, interval: Interval) -> None:
    """Raise InputError where a limit is below the least or above the most that networks have."""
    place, what, show = f"--{name_option(measure)}", measure.noun, measure.show
    (least, choices), (most, _) = space.ends(measure)
    if interval.high is not None and interval.high < least:
        raise InputError(
            f"{place}: {show(interval.high)} {what} is below the smallest network of "
            f"'{space.name}', {show(least)}; the largest has {show(most)}. "
            f"Allow at least {_round(measure, least, ge)}; choices that give the least {what}: "
            f"{_name_decisive(space, measure, choices)}"
        )
    if interval.low > most:
        raise InputError(
            f"{place}: {show(interval.low)} {what} is above the largest network of "
            f"'{space.name}', {show(most)}; the smallest has {show(least)}. "
            f"Ask for at most {_round(measure, most, le)}"
        )


def _name_decisive(space: Space, measure: Measure, choices: Choices) -> str:
    """Name the choices of the network of the least of a measure by which another one would have most more."""
    rises: dict[str, int] = dict.fromkeys(choices, 0)
    domain = Domain(space, Budget())
    for point in domain.list_neighbours(choices, random.Random(0)):
        if cost := domain.cost(point):
            (name,) = (n for n, option in choices.items() if n in point and point[n] != option)
            rises[name] = max(rises[name], measure.of(cost))
    first = sorted(rises, key=lambda name: (-rises[name], name))[:_NAMED]
    named = ", ".join(f"{name}: {choices[name]}" for name in first) or "none"
    return named + (f" ({len(first)} of {len(choices)})" if len(first) < len(choices) else "")


def _check_least(space: Space, measure: Measure, interval: Interval, times: int, other: Measure) -> None:
    """Raise InputError where every network is above a limit, having so many times what it has of another."""
    fewest = space.ends(other).least.value
    if interval.high is not None and interval.high < times * fewest:
        raise InputError(
            f"--{name_option(measure)}: {interval.high:,} {measure.noun} is below {times * fewest:,}: "
            f"{times} "
            f"for each of the {fewest:,} {other.noun} that networks of '{space.name}' have at least; allow "
            "more"
        )


def _is_met(space: Space, budget: Budget) -> bool:
    """Return whether some of many samples is inside a budget."""
    return bool(space.uniform(budget).sample(np.random.default_rng(0), 1))


def _check_together(space: Space, budget: Budget) -> None:
    """Raise InputError where it is known that no network is inside two limits of measures that add up."""
    from nas.space.counting.dual import bound_least

    ends = [
        (measure, sign, sign * bound)
        for measure, interval in budget.items()
        if measure.is_additive
        for sign, bound in ((1, interval.high), (-1, interval.low or None))
        if bound is not None
    ]
    for (one, way, high), (other, sign, limit) in combinations(ends, 2):
        if one == other:
            continue
        least = bound_least(
            space,
            lambda cost, other=other, sign=sign: sign * other.of(cost),  # type: ignore[misc]
            lambda cost, one=one, way=way: way * one.of(cost),  # type: ignore[misc]
            high,
        )
        if least > limit:
            within = f"at most {one.show(high)}" if way > 0 else f"{one.show(-high)} or more"
            wanted = f"at most {other.show(limit)}" if sign > 0 else f"{other.show(-limit)} or more"
            most = f"at least {other.show(least)}" if sign > 0 else f"at most {other.show(-least)}"
            raise InputError(
                f"--{name_option(other)}: no network of '{space.name}' with {within} {one.noun} has {wanted} "
                f"{other.noun}; such networks have {most}"
            )


def _check_band(space: Space, measure: Measure, interval: Interval) -> None:
    """Raise InputError where it is known that a band is empty though networks are on both sides of it."""
    from nas.space.counting.exact import find_gap

    gap = find_gap(space.points, measure.of, interval)
    if gap:
        low, high, below, above = map(measure.show, (interval.low, interval.high or 0, *gap))
        raise InputError(
            f"--{name_option(measure)}: no network of '{space.name}' has {low} to {high} "
            f"{measure.noun}; the nearest have {below} and {above}"
        )


def _check_measured(space: Space, measure: Measure, budget: Budget) -> None:
    """Raise InputError where of many networks inside the rest of the budget none is inside this limit.

    They are samples, the ends of what adds up, and samples moved as near as a search would move them.
    """
    interval = budget[measure]
    rest = Budget({other: limit for other, limit in budget.items() if other != measure})
    drawn = space.uniform(rest).sample(np.random.default_rng(0), _SAMPLES)
    ends = [end.choices for m in MEASURES.values() if m.is_additive for end in space.ends(m)]
    domain, rng = Domain(space, budget), random.Random(0)
    moved = [domain.move_inside(point, rng) for point in (drawn or ends)[:_MOVED]]
    points = [*drawn, *(point for point in (*ends, *moved) if rest.admits(space.amounts(point)))]
    found = [space.amount(point, measure) for point in points]
    if any(amount in interval for amount in found) or not found:
        return
    below = max((amount for amount in found if interval.compare(amount) < 0), default=None)
    above = min((amount for amount in found if interval.compare(amount) > 0), default=None)
    nearest = [f"{amount:,}" for amount in (below, above) if amount is not None]
    limit = f"{interval.low:,} to {interval.high:,}" if interval.low else f"at most {interval.high:,}"
    raise InputError(
        f"--{name_option(measure)}: none of {len(found)} networks of '{space.name}' that were tried has "
        f"{limit} {measure.noun}; the nearest {'have' if len(nearest) > 1 else 'has'} {' and '.join(nearest)}"
    )


def check_scale(space: Space, steps: range) -> None:
    """Raise InputError where the networks of a space cannot be scaled at these steps."""
    for step in steps:
        try:
            scale_space(space.resolve(space.smallest()), PUBLISHED[step])
        except InputError as error:
            raise InputError(f"--scale: {error}") from None


def _round(measure: Measure, value: int, is_inside: Callable[[int, int], bool]) -> str:
    """Return an amount, short where what that says is as asked for beside it: by `ge`, 62,357,120 is `62.4M`
    or all of its digits, and never 62.3M."""
    if measure.short is not format_count:
        return measure.show(value)
    text = format_count(value)
    return text if is_inside(parse_count(text), value) else f"{value:,}"


def check_sampler(config: SearchConfig) -> None:
    """Raise InputError for an unknown sampler, and for one that does not take the objectives."""
    sampler = find_sampler(config.sampler)
    if config.pruner:
        find_pruner(config.pruner)(config.recipe.epochs)
    if not (config.objective.is_single or sampler.is_multi_objective):
        raise InputError(
            f"--objective {config.objective.text}: has {1 + len(config.objective.costs)} objectives, and "
            f"sampler '{config.sampler}' takes one; choose --sampler {join_or(MULTI_OBJECTIVE)}, or a "
            "reward such as accuracy*(flops/400M)^-0.07"
        )


def check_warm_start(space: Space, config: SearchConfig, fitted: Fitted | None) -> None:
    """Check what can be known of the warm start before the data are read, which decide its costs."""
    starts = find_warm_start(config.warm_start, space, Budget(), fitted)
    if len(starts) > config.trials:
        raise InputError(
            f"--start: {len(starts)} networks are to be tried first, but --trials is {config.trials}; "
            "raise it, or leave some out"
        )


def describe_small_maps(space: Space, resolution: int) -> str | None:
    """Return in a line which stages see 1 x 1 maps at the proxy's resolution, and the ways out."""
    small = find_small_maps(space, resolution)
    if not small:
        return None
    enough = resolution
    while find_small_maps(space, enough):
        enough *= 2
    own, here = (f"{side} x {side}" for side in (max(space.input_sizes), resolution))
    return (
        f"{', '.join(small)}: maps are 1 x 1 at the proxy's resolution of {here}, and larger at {own}; fit "
        f"the space to such images with --input {resolution}, or train at --resolution {enough}."
    )


def describe_large_batch(recipe: Recipe, data: ImageData) -> str | None:
    """Return in a line what becomes of a batch that is larger than the data."""
    images = round(recipe.fraction * len(data.train_labels))
    if recipe.batch_size <= images:
        return None
    return (
        f"--batch {recipe.batch_size:,} is more than the {images:,} images to train on: an epoch is one step "
        "of all of them; give a smaller one, or --batch auto."
    )


def check_machine(config: PlacedConfig, heard: Observer) -> None:
    """Raise InputError where what trials are to run on is not there."""
    check_system()
    executor = config.executor
    if executor.address != "local":
        heard.doing(f"Joining the cluster at {executor.address}")
    find_executor(executor).check(executor)
    if executor.address != "local":
        return
    if executor.accelerator is not None:
        raise InputError(
            f"accelerator: {executor.accelerator} chooses among the nodes of a cluster; join one by "
            "--address, or leave it out"
        )
    if executor.gpus_per_trial:
        found, why = count_gpus()
        if found < executor.gpus_per_trial:
            has = f"only {found} GPUs" if found > 1 else "only one GPU" if found else "no GPU"
            ways = [STOP_MPS] if "MPS" in why else []
            ways += ["lower it" if found else "leave it out", "or join a cluster with GPUs by --address"]
            raise InputError(
                f"gpus-per-trial: {executor.gpus_per_trial:g}, but torch finds {has} on this machine"
                f"{f' ({why})' if why else ''}; {', '.join(ways)}"
            )
    cores = count_cores()
    if executor.workers != 0 and executor.cpus_per_trial > cores:
        raise InputError(
            f"cpus-per-trial: {executor.cpus_per_trial}, but this machine has {cores}; lower it, or join a "
            "cluster by --address"
        )


def check_gpus(config: PlacedConfig) -> str | None:
    """Raise InputError for a GPU of this machine that trials would fail on, having loaded torch. Return in a
    line why none is used where CUDA is there and torch cannot use it."""
    executor = config.executor
    if executor.address != "local" or executor.gpus_per_trial == 0:
        return None
    found, why = count_gpus()
    if found and (reason := find_unusable_gpu()):
        raise InputError(
            f"gpus-per-trial: {reason}; install a torch that has, or train on the CPU by --gpus-per-trial 0"
        )
    return None if found or not why else f"Trials train without a GPU, as torch finds none ({why})."


def describe_shared_gpu(config: PlacedConfig) -> str | None:
    """Return in a line what it costs that trials share a GPU of this machine without MPS, where they do."""
    each = config.executor.gpus_per_trial
    if config.executor.address != "local" or not each or each >= 1 or has_mps():
        return None
    return (
        f"--gpus-per-trial {each:g}: trials that share a GPU without MPS take turns, and together train no "
        "more images than one (docs/proxy.md); give 1, or start MPS first: nvidia-cuda-mps-control -d."
    )


def check_objective(objective: Objective, metric: Metric) -> None:
    """Raise InputError for a reward of a metric that is minimised: it would fall with the cost."""
    if objective.factors and not metric.maximize:
        raise InputError(
            f"--objective: a reward falls with the cost, and '{metric.name}' is to be minimised; give a "
            "front such as score,flops, or limit the cost by --budget-flops"
        )


def check_rank(config: SearchConfig) -> None:
    """Raise InputError where finalists cannot be ranked as is asked, or a library for that is not
    installed."""
    if not config.finals.in_int8:
        return
    if not config.finals.count:
        raise InputError("rank: int8 is of finalists, and there are none; add finalists: 5, or leave it out")
    if config.data.folds > 1:
        raise InputError(
            f"rank: int8 is of one network, and with folds: {config.data.folds} each is trained so many "
            "times; leave one of the two out"
        )
    from nas.exporters import check_int8
    from nas.training.quantized import FORMAT

    check_int8(FORMAT, "--rank int8")


def check_evaluator(config: SearchConfig, evaluator: Evaluator) -> None:
    """Raise InputError for what is no evaluator, and where the config asks for what one of a user's own does
    not do."""
    if not (callable(evaluator) and isinstance(getattr(evaluator, "metric", None), Metric)):
        raise InputError(
            f"evaluator: {evaluator!r:.60} is none; give an object with a metric, which is an nas.Metric, "
            "and a call that returns a training, or name a function by the setting evaluator: FILE:FUNCTION"
        )
    if config.finals.count and not isinstance(evaluator, Lengthenable):
        raise InputError(
            f"finalists: {evaluator!r} has no with_epochs(epochs, seed), which gives longer trainings; add "
            "it, or leave the finalists out"
        )
