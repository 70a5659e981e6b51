"""What proposes the next point: Optuna samplers, theirs and ours, by name.

A factory takes what a sampler may know and returns a fresh sampler, whose state is all in the trials of the
study that it is asked for; its docstring is its one-line description. Optuna is imported by the factories,
so that the names are known at once.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nas.errors import InputError, suggest_word

if TYPE_CHECKING:
    from optuna.samplers import BaseSampler

    from nas.samplers.imported import ImportedSampler
    from nas.space.feasible import Domain


@dataclass(frozen=True, slots=True)
class SamplerContext:
    """What a sampler is made from: a seed, the number of trials of the search, and its domain."""

    seed: int
    trials: int
    domain: Domain


SamplerFactory = Callable[[SamplerContext], "BaseSampler"]


def _make_random(context: SamplerContext) -> BaseSampler:
    """Return random search, uniform inside the budget: the baseline (Li & Talwalkar 2019)."""
    from nas.samplers.uniform import UniformSampler

    return UniformSampler(context.domain, seed=context.seed)


def _make_tpe(context: SamplerContext) -> BaseSampler:
    """Return the tree-structured Parzen estimator, joint (Bergstra et al. 2011, Falkner et al. 2018)."""
    from optuna.samplers import TPESampler

    with _no_warnings():  # of `group`
        tpe = TPESampler(seed=context.seed, multivariate=True, group=True, constant_liar=True)
    return _add_repair(tpe, context, most=100)


def _make_nsga2(context: SamplerContext) -> BaseSampler:
    """Return the genetic algorithm with crossover and elitism (Deb et al. 2002)."""
    from nas.samplers.genetic import RepeatableNSGAIISampler

    population = _choose_population(context.trials)
    nsga2 = RepeatableNSGAIISampler(seed=context.seed, population_size=population)
    return _add_start(nsga2, context, population)


def _make_nsga3(context: SamplerContext) -> BaseSampler:
    """Return the genetic algorithm that keeps to reference directions (Deb & Jain 2014)."""
    from nas.samplers.genetic import RepeatableNSGAIIISampler

    population = _choose_population(context.trials)
    with _no_warnings():
        nsga3 = RepeatableNSGAIIISampler(seed=context.seed, population_size=population)
    return _add_start(nsga3, context, population)


def _make_gp(context: SamplerContext) -> BaseSampler:
    """Return Optuna's Gaussian process: expected improvement (Jones, Schonlau & Welch 1998; Optuna 2024)."""
    from nas.samplers.bayesian import SharedGPSampler

    with _no_warnings():
        gp = SharedGPSampler(seed=context.seed, warn_independent_sampling=False)
    return _add_repair(gp, context, most=40)  # the fit takes a second for 100 trials of 20 decisions


def _make_evolution(context: SamplerContext) -> BaseSampler:
    """Return regularised evolution: one mutation per child, the oldest die (Real et al. 2019)."""
    from nas.samplers.evolution import RegularizedEvolutionSampler

    population = _choose_population(context.trials)
    return RegularizedEvolutionSampler(
        context.domain, population=population, sample=math.ceil(population / 4), seed=context.seed
    )


def _make_local(context: SamplerContext) -> BaseSampler:
    """Return local search with restarts (White, Nolen & Savani 2021)."""
    from nas.samplers.local_search import LocalSearchSampler

    return LocalSearchSampler(context.domain, seed=context.seed)


def _make_reinforce(context: SamplerContext) -> BaseSampler:
    """Return the policy gradient over choices with a moving baseline (Zoph & Le 2017)."""
    from nas.samplers.reinforce import ReinforceSampler

    return ReinforceSampler(context.domain, seed=context.seed)


def _make_predictor(context: SamplerContext) -> BaseSampler:
    """Return a Gaussian process of scores: expected improvement (after White, Neiswanger & Savani 2021)."""
    from nas.samplers.predictor import PredictorSampler

    start = min(10, _choose_population(context.trials))
    return PredictorSampler(context.domain, start=start, seed=context.seed)


def _add_start(sampler: BaseSampler, context: SamplerContext, start: int) -> BaseSampler:
    from nas.samplers.uniform import UniformStart

    return UniformStart(sampler, context.domain, start=start, seed=context.seed)


def _add_repair(sampler: BaseSampler, context: SamplerContext, most: int) -> BaseSampler:
    from nas.samplers.repaired import RepairedSampler

    return RepairedSampler(sampler, context.domain, most=most, seed=context.seed)


@contextmanager
def _no_warnings() -> Iterator[None]:
    """Leave out what Optuna says of features that it calls experimental."""
    from optuna.exceptions import ExperimentalWarning

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        yield


def _choose_population(trials: int) -> int:
    """Return a quarter of the trials, so that most are bred, from 4 to 20 individuals."""
    return min(20, max(4, trials // 4))


@dataclass(frozen=True, slots=True)
class BuiltinSampler:
    """The factory of a sampler of ours, which `make` is. `is_multi_objective`: whether it takes several
    objectives."""

    make: SamplerFactory
    is_multi_objective: bool = False

    def __call__(self, context: SamplerContext) -> BaseSampler:
        return self.make(context)


SAMPLERS = {
    "random": BuiltinSampler(_make_random, is_multi_objective=True),
    "tpe": BuiltinSampler(_make_tpe, is_multi_objective=True),
    "nsga2": BuiltinSampler(_make_nsga2, is_multi_objective=True),
    "nsga3": BuiltinSampler(_make_nsga3, is_multi_objective=True),
    "gp": BuiltinSampler(_make_gp),
    "evolution": BuiltinSampler(_make_evolution),
    "local": BuiltinSampler(_make_local),
    "reinforce": BuiltinSampler(_make_reinforce),
    "predictor": BuiltinSampler(_make_predictor),
}
MULTI_OBJECTIVE = tuple(name for name, sampler in SAMPLERS.items() if sampler.is_multi_objective)
"""Names of those that take several objectives."""


def find_sampler(name: str) -> BuiltinSampler | ImportedSampler:
    """Return the factory of the sampler called `name`, or at an import path, MODULE:CLASS.

    Raises InputError where there is none.
    """
    if ":" in name:
        from nas.samplers.imported import import_sampler

        return import_sampler(name)
    if name not in SAMPLERS:
        raise InputError(f"unknown sampler '{name}'{suggest_word(name, list(SAMPLERS))}")
    return SAMPLERS[name]
