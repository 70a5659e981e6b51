"""What a search will take: time and memory, from short trainings of three of its networks."""

from __future__ import annotations

import resource
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from nas.cost import Cost
from nas.data import datasets
from nas.errors import InputError, NasError
from nas.space.counting.census import Census, take_census
from nas.training.base import TrainingFailed
from nas.training.evaluator import ProxyEvaluator
from nas.training.process import borrowed_process
from nas.workflows.hardware import count_slots
from nas.workflows.prepared import Prepared, prepare

if TYPE_CHECKING:
    from nas.runs.config import SearchConfig
    from nas.space import Choices
    from nas.workflows.observer import Observer

_SAMPLES = 100
_BATCHES = 12
"""Of an epoch that is measured, after one of these that warms up."""
_RAY_S = 15
"""Start and stop of Ray."""


@dataclass(frozen=True)
class MeasuredMember:
    """A network of the budget, `smallest`, `median` or `largest` of many draws, and one epoch of it.

    `peak_bytes`: memory of this process, or of the GPU, at its highest up to here.
    """

    name: str
    cost: Cost
    epoch_s: float
    peak_bytes: int


@dataclass(frozen=True)
class Forecast:
    """`trial_s`: one trial, on average; `slots`: trials at a time; `wall_s`: the search with its repeats and
    finalists; `device_s`: what its trainings take of CPU threads, or of GPUs."""

    networks: Census
    members: tuple[MeasuredMember, ...]
    trial_s: float
    slots: int
    wall_s: float
    device_s: float
    on_gpu: bool


def forecast_search(
    config: SearchConfig, observer: Observer, *, plugins: Sequence[Path] = ()
) -> tuple[Prepared, Forecast]:
    """Return a search that is ready to start, and what it will take. Nothing is written."""
    prepared = prepare(config, None, plugins, observer)
    observer.doing("Training three networks of the budget for some batches")
    return prepared, forecast(prepared)


def forecast(prepared: Prepared) -> Forecast:
    """Train three networks for some batches and work out the rest. Nothing is written."""
    config, space = prepared.config, prepared.space
    proxy = _expect_proxy(prepared)
    _check_device(proxy.device)
    rng = np.random.default_rng(config.seed)
    drawn = space.uniform(config.budget).sample(rng, _SAMPLES) or [space.smallest()]
    ordered = sorted(drawn, key=lambda point: space.cost(point).macs)
    places = {"smallest": 0, "median": len(ordered) // 2, "largest": len(ordered) - 1}
    members = tuple(_measure(prepared, name, ordered[place]) for name, place in places.items())
    epoch_s = _estimate_epoch(members, [space.cost(point).macs for point in ordered])
    recipe = config.recipe
    trial_s = recipe.epochs * epoch_s + _time_screen(prepared, ordered[places["median"]])
    finals = min(config.finals.count, config.trials) * config.finals.seeds
    again_s = (config.repeats * recipe.epochs + finals * config.finals.epochs) * epoch_s
    trained_s = config.trials * trial_s + again_s
    on_gpu, slots = proxy.device != "cpu", count_slots(config, proxy.device)
    start_s = 0 if config.executor.workers == 0 else _RAY_S * (1 + bool(config.repeats) + bool(finals))
    each = (config.executor.gpus_per_trial or 1) if on_gpu else config.executor.cpus_per_trial
    return Forecast(
        networks=take_census(space, config.budget),
        members=members,
        trial_s=trial_s,
        slots=slots,
        wall_s=start_s + trained_s / slots,
        device_s=trained_s * each,
        on_gpu=on_gpu,
    )


def _expect_proxy(prepared: Prepared) -> ProxyEvaluator:
    if prepared.proxy is None:
        raise InputError("--dry-run: forecasts the proxy; an evaluator of a user's own takes what it takes")
    return prepared.proxy


def _check_device(device: str) -> None:
    import torch

    if device == "cuda" and not torch.cuda.is_available():
        raise InputError(
            "--dry-run: trains on this machine, where torch finds no GPU; run it where there is one, or "
            "leave --gpus-per-trial out"
        )


def _measure(prepared: Prepared, name: str, point: Choices) -> MeasuredMember:

    from nas.training.loop import NORM_IMAGES

    proxy = _expect_proxy(prepared)
    share, part = datasets.take_part(proxy.data, max(_BATCHES * proxy.recipe.batch_size, NORM_IMAGES))
    recipe = replace(proxy.recipe, epochs=2, early_stop=None)
    evaluator = replace(proxy, recipe=recipe, data=part, timeout_s=None)
    try:
        with borrowed_process(prepared.config.executor.cpus_per_trial):
            training = evaluator(point, 0)
            training.epoch()
            result = training.epoch()
    except TrainingFailed as failure:
        raise NasError(
            f"the {name} network of the budget cannot be trained: {failure}; change the recipe, or the budget"
        ) from None
    epoch_s = (result.seconds - result.norms_s) / share + result.norms_s
    return MeasuredMember(name, prepared.space.cost(point), epoch_s, _read_peak_bytes(proxy.device))


def _time_screen(prepared: Prepared, point: Choices) -> float:
    """Return the seconds of the scores that choose what a trial trains."""
    config = prepared.config
    if config.prescreen is None:
        return 0.0
    from nas.study.records import Candidate
    from nas.workflows.prescreen import Prescreen

    screen = Prescreen(
        config.prescreen.name, config.prescreen.candidates, replace(_expect_proxy(prepared), device="cpu")
    )
    candidate = Candidate(0, point, prepared.space.cost(point), "")
    screen.score(candidate)  # the first one is slower
    start = time.perf_counter()
    screen.score(candidate)
    return screen.candidates * (time.perf_counter() - start)


def _estimate_epoch(members: Sequence[MeasuredMember], macs: Sequence[int]) -> float:
    """Return the seconds of an epoch on average over networks of these costs, on lines between those
    measured."""
    known = sorted({member.cost.macs: member.epoch_s for member in members}.items())
    return float(np.interp(macs, [cost for cost, _ in known], [s for _, s in known]).mean())


def _read_peak_bytes(device: str) -> int:
    if device == "cuda":
        import torch

        return int(torch.cuda.max_memory_allocated())
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
