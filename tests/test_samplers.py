"""Conformance of every registered sampler, and the rules of regularised evolution."""

from __future__ import annotations

import subprocess
import sys
import warnings
from itertools import pairwise

import optuna
import pytest
from optuna.distributions import CategoricalDistribution
from optuna.trial import TrialState, create_trial

from nas.errors import InputError
from nas.samplers import SAMPLERS, find_sampler
from nas.samplers.evolution import RegularizedEvolutionSampler

WIDTHS = (8, 16, 24, 32)


def objective(trial: optuna.Trial) -> float:
    """Eight choices, two of them conditional; the optimum is 8.

    A wide layer is good when the next is narrow, so that the choices are not independent.
    """
    layers = [trial.suggest_categorical(f"w{i}", WIDTHS) for i in range(6)]
    value = sum(a != b for a, b in pairwise(layers)) + (layers[0] == 32)
    if trial.suggest_categorical("skip", (True, False)):
        return value
    return value + {3: 0.0, 5: 1.0, 7: 2.0}[trial.suggest_categorical("kernel", (3, 5, 7))]


def optimize(sampler: optuna.samplers.BaseSampler, trials: int) -> optuna.Study:
    study = optuna.create_study(direction="maximize", sampler=sampler)
    study.optimize(objective, n_trials=trials)
    return study


def points(study: optuna.Study) -> list[dict]:
    return [trial.params for trial in study.trials]


@pytest.fixture(autouse=True)
def _quiet():
    optuna.logging.set_verbosity(optuna.logging.WARNING)


@pytest.mark.parametrize("name", SAMPLERS)
def test_same_seed_same_points_other_seed_other_points(name):
    first, again, other = (points(optimize(SAMPLERS[name](seed, 45), 45)) for seed in (3, 3, 4))
    assert first == again
    assert first != other


@pytest.mark.parametrize("name", SAMPLERS)
def test_only_active_choices_are_made(name):
    for params in points(optimize(SAMPLERS[name](0, 45), 45)):
        assert ("kernel" in params) == (not params["skip"])
        assert set(params) - {"kernel"} == {*(f"w{i}" for i in range(6)), "skip"}


@pytest.mark.parametrize("name", SAMPLERS)
def test_a_single_option_and_mixed_types_are_taken(name):
    def mixed(trial):
        trial.suggest_categorical("only", ("x",))
        return float(trial.suggest_categorical("act", ("relu", None, 1, 2.5, False)) == "relu")

    study = optuna.create_study(direction="maximize", sampler=SAMPLERS[name](0, 30))
    study.optimize(mixed, n_trials=30)
    assert all(params["only"] == "x" for params in points(study))


@pytest.mark.parametrize("name", SAMPLERS)
def test_no_warnings_and_a_description(name):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        factory = find_sampler(name)
        factory(0, 16)
    assert factory.__doc__ is not None and "\n" not in factory.__doc__ and "20" in factory.__doc__


def test_an_unknown_sampler_is_refused_with_the_nearest_name():
    with pytest.raises(InputError) as error:
        find_sampler("evolutoin")
    assert str(error.value) == "unknown sampler 'evolutoin'; did you mean 'evolution'?"
    with pytest.raises(InputError) as error:
        find_sampler("gp")
    assert str(error.value) == "unknown sampler 'gp'; allowed: evolution, nsga2, random, tpe"


def test_the_names_are_known_without_optuna():
    code = "import sys, nas.samplers; assert 'optuna' not in sys.modules and 'numpy' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("name", ["evolution", "tpe", "nsga2"])
def test_it_learns(name):
    """Mean of the last 30 of 90 trials, over three seeds, at least 1 above random search's mean of 5.0.

    The standard deviation of one random trial is 1.3, of a mean of 90 therefore 0.14.
    """

    def late_mean(factory):
        values = [t.value for seed in range(3) for t in optimize(factory(seed, 90), 90).trials[-30:]]
        return sum(values) / len(values)

    assert late_mean(SAMPLERS[name]) > late_mean(SAMPLERS["random"]) + 1


# Regularised evolution


def evolve(trials: int, *, population: int = 8, sample: int = 3, seed: int = 0) -> list:
    return optimize(
        RegularizedEvolutionSampler(population=population, sample=sample, seed=seed), trials
    ).trials


def is_child(child: dict, parent: dict) -> bool:
    """One choice that both have differs; others only come or go with it."""
    changed = [name for name in child.keys() & parent.keys() if child[name] != parent[name]]
    return len(changed) == 1 and (changed == ["skip"] or child.keys() == parent.keys())


def test_the_first_population_is_random_and_every_later_trial_is_one_mutation_of_a_living_one():
    trials = evolve(60)
    for number in range(8, 60):
        living = trials[number - 8 : number]
        assert any(is_child(trials[number].params, parent.params) for parent in living)
    firsts = [t.params for t in trials[:8]]
    assert not any(is_child(firsts[i], p) for i in range(1, 8) for p in firsts[:i])


def test_the_parent_is_the_best_of_the_sample():
    """A sample of 400 from 8 misses one of them with a chance below 1e-22: the best is always the parent."""
    trials = optimize(RegularizedEvolutionSampler(population=400, sample=400, seed=0), 401).trials
    best = max(trials[:400], key=lambda t: t.value)
    bests = [t.params for t in trials[:400] if t.value == best.value]
    assert any(is_child(trials[400].params, parent) for parent in bests)


def test_age_alone_removes_a_network():
    """The best network of all is the oldest of nine: with a population of eight it has no children."""
    distribution = CategoricalDistribution((0, 1, 2, 3))
    study = optuna.create_study(
        direction="maximize", sampler=RegularizedEvolutionSampler(population=8, sample=8, seed=0)
    )
    add(study, distribution, a=3, b=3, value=100.0)
    for _ in range(8):
        add(study, distribution, a=0, b=0, value=1.0)
    for _ in range(50):
        trial = study.ask()
        child = [trial.suggest_categorical(name, distribution.choices) for name in "ab"]
        assert child.count(0) == 1


def test_pruned_failed_and_running_trials_do_not_breed():
    distribution = CategoricalDistribution((0, 1, 2, 3))
    study = optuna.create_study(
        direction="maximize", sampler=RegularizedEvolutionSampler(population=4, sample=4, seed=0)
    )
    for _ in range(4):
        add(study, distribution, a=0, b=0, value=1.0)
    for state in (TrialState.PRUNED, TrialState.FAIL, TrialState.RUNNING) * 4:
        add(study, distribution, a=3, b=3, state=state)
    for _ in range(50):
        trial = study.ask()
        child = [trial.suggest_categorical(name, distribution.choices) for name in "ab"]
        assert child.count(0) == 1


def add(study, distribution, *, state=TrialState.COMPLETE, value=None, **params):
    trial = create_trial(
        state=state,
        value=value,
        params=params,
        distributions=dict.fromkeys(params, distribution),
    )
    study.add_trial(trial)


def test_every_mutation_is_equally_likely():
    """Two choices of 4 and 2 options: 1/2 for each choice, 1/6 for each other option of the first.

    600 draws; the bounds are 5 standard deviations wide, so a right sampler fails once in 10^6.
    """
    a, b = CategoricalDistribution((0, 1, 2, 3)), CategoricalDistribution((0, 1))
    study = optuna.create_study(
        direction="maximize", sampler=RegularizedEvolutionSampler(population=1, sample=1, seed=0)
    )
    study.add_trial(create_trial(value=1.0, params={"a": 1, "b": 0}, distributions={"a": a, "b": b}))
    seen: dict[tuple, int] = {}
    for _ in range(600):
        trial = study.ask()
        child = trial.suggest_categorical("a", a.choices), trial.suggest_categorical("b", b.choices)
        seen[child] = seen.get(child, 0) + 1
    assert set(seen) == {(0, 0), (2, 0), (3, 0), (1, 1)}
    assert abs(seen[(1, 1)] - 300) < 62
    assert all(abs(seen[(value, 0)] - 100) < 46 for value in (0, 2, 3))


def test_newly_active_choices_are_drawn_uniformly():
    """`skip` is true in the whole population; where it becomes false, every kernel turns up.

    300 draws, about 40 of them unskipped: a kernel is missing with a chance below 1e-6.
    """
    sampler = RegularizedEvolutionSampler(population=1, sample=1, seed=0)
    study = optuna.create_study(direction="maximize", sampler=sampler)
    distributions = {f"w{i}": CategoricalDistribution(WIDTHS) for i in range(6)}
    params = dict.fromkeys(distributions, 8)
    skip = {"skip": CategoricalDistribution((True, False))}
    study.add_trial(
        create_trial(value=1.0, params={**params, "skip": True}, distributions={**distributions, **skip})
    )
    kernels = []
    for _ in range(300):
        trial = study.ask()
        objective(trial)
        kernels.append(trial.params.get("kernel"))
    assert set(kernels) == {None, 3, 5, 7}


def test_numbers_and_minimisation_work_too():
    study = optuna.create_study(sampler=RegularizedEvolutionSampler(population=10, sample=3, seed=0))
    study.optimize(lambda t: abs(t.suggest_int("n", 0, 50) - 7) + abs(t.suggest_float("x", 0, 9) - 3), 150)
    assert study.best_value < 1.0


def test_a_sample_larger_than_the_population_is_refused():
    with pytest.raises(ValueError, match="a sample of 5 cannot be drawn from a population of 4"):
        RegularizedEvolutionSampler(population=4, sample=5)


def test_two_objectives_are_refused():
    study = optuna.create_study(directions=["maximize"] * 2, sampler=RegularizedEvolutionSampler())
    with pytest.raises(ValueError, match="multi-objective"):
        study.ask().suggest_categorical("a", (1, 2))


def test_reseeding_changes_what_is_proposed():
    sampler = RegularizedEvolutionSampler(seed=0)
    first = points(optimize(sampler, 5))
    sampler.reseed_rng()
    again = points(optimize(sampler, 5))
    assert first != again
