"""What proposes the next point: Optuna samplers, theirs and ours, by name.

A factory takes a seed and the trials of the search, and returns a fresh sampler; its docstring is its
one-line description. Optuna is imported by the factories, so that the names are known at once.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING

from nas.errors import InputError, did_you_mean

if TYPE_CHECKING:
    from optuna.samplers import BaseSampler

SamplerFactory = Callable[[int, int], "BaseSampler"]


def _random(seed: int, trials: int) -> BaseSampler:
    """Every option equally likely: the baseline (Li & Talwalkar 2019)."""
    from optuna.samplers import RandomSampler

    return RandomSampler(seed=seed)


def _tpe(seed: int, trials: int) -> BaseSampler:
    """Tree-structured Parzen estimator over joint choices (Bergstra et al. 2011, Falkner et al. 2018)."""
    from optuna.exceptions import ExperimentalWarning
    from optuna.samplers import TPESampler

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)  # `group`
        return TPESampler(seed=seed, multivariate=True, group=True, constant_liar=True)


def _nsga2(seed: int, trials: int) -> BaseSampler:
    """Genetic algorithm with crossover and elitism (Deb et al. 2002)."""
    from nas.samplers.genetic import RepeatableNSGAIISampler

    return RepeatableNSGAIISampler(seed=seed, population_size=_population(trials))


def _evolution(seed: int, trials: int) -> BaseSampler:
    """Regularised evolution: one mutation per child, the oldest die (Real et al. 2019)."""
    from nas.samplers.evolution import RegularizedEvolutionSampler

    population = _population(trials)
    return RegularizedEvolutionSampler(population=population, sample=math.ceil(population / 4), seed=seed)


def _population(trials: int) -> int:
    """A quarter of the trials, so that most are bred, from 4 to 20 individuals."""
    return min(20, max(4, trials // 4))


SAMPLERS: dict[str, SamplerFactory] = {
    "random": _random,
    "tpe": _tpe,
    "nsga2": _nsga2,
    "evolution": _evolution,
}


MULTI_OBJECTIVE = ("nsga2", "tpe", "random")
"""Samplers that take several objectives."""


def find_sampler(name: str) -> SamplerFactory:
    """The factory of the sampler called `name`. Raises InputError for an unknown name."""
    if name not in SAMPLERS:
        raise InputError(f"unknown sampler '{name}'{did_you_mean(name, list(SAMPLERS))}")
    return SAMPLERS[name]
