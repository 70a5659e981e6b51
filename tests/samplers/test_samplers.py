"""Conformance of every registered sampler, and what is special about each."""

from __future__ import annotations

import random
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from itertools import product
from statistics import NormalDist
from typing import Any, Literal

import numpy as np
import optuna
import pytest
from optuna.distributions import CategoricalDistribution
from optuna.trial import FrozenTrial, TrialState, create_trial
from scipy.stats import multivariate_normal
from toys import total

from nas.cost import Cost, Interval
from nas.errors import InputError
from nas.measures import MACS, PARAMS, Budget
from nas.samplers import MULTI_OBJECTIVE, SAMPLERS, find_sampler, gaussian
from nas.samplers.bounded import bound_study
from nas.samplers.evolution import RegularizedEvolutionSampler
from nas.samplers.gaussian import Array, GaussianProcess, Inputs, Posterior, compute_quantiles
from nas.samplers.local_search import LocalSearchSampler
from nas.samplers.points import CONSTRAINTS, REPEATS, list_known
from nas.space import Choices
from nas.space.feasible import Domain
from nas.space.language.tree import Option
from nas.testing.samplers import Points, SamplerSuite, objective, points, sampler_of, search
from nas.testing.spaces import WIDTHS, Layers, domain_of


class TestSamplers(SamplerSuite):
    names = tuple(SAMPLERS)
    learners = tuple(name for name in SAMPLERS if name != "random")
    multi_objective = MULTI_OBJECTIVE
    margin = 1.0

    def marks(self, name: str, test: str) -> Sequence[pytest.MarkDecorator]:
        """The slowest sampler is tried in the slow tests, and another where it trains often."""
        often = ("test_it_learns", "test_the_same_seed_gives_the_same_points_and_another_seed_others")
        return [pytest.mark.slow] if name == "gp" or (name == "predictor" and test in often) else []

    def seeds_of(self, name: str) -> int:
        return 1 if name == "gp" else self.seeds


class TestSamplersOfOptuna(SamplerSuite):
    names = ("optuna.samplers:TPESampler",)
    learners = ()
    multi_objective = names


def domain(budget: Budget | None = None, space: Layers | None = None) -> Domain:
    return domain_of(space or Layers(), budget)


def value_of(trial: FrozenTrial) -> float:
    """The value of a trial that has one."""
    assert trial.value is not None
    return trial.value


@pytest.fixture(autouse=True)
def _quiet() -> None:
    optuna.logging.set_verbosity(optuna.logging.WARNING)


@pytest.mark.parametrize("name", SAMPLERS)
def test_a_description_with_its_year(name: str) -> None:
    description = SAMPLERS[name].make.__doc__
    assert description is not None and "\n" not in description and "20" in description


def test_an_unknown_sampler_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(InputError) as error:
        find_sampler("evolutoin")
    assert str(error.value) == "unknown sampler 'evolutoin'; did you mean 'evolution'?"
    with pytest.raises(InputError) as error:
        find_sampler("xyz")
    assert str(error.value) == (
        "unknown sampler 'xyz'; allowed: "
        "evolution, gp, local, nsga2, nsga3, predictor, random, reinforce, tpe"
    )


@pytest.mark.parametrize(
    ("path", "message"),
    [
        (
            "optuna.sampler:CmaEsSampler",
            "'optuna.sampler' cannot be imported (ModuleNotFoundError: No module named 'optuna.sampler'); "
            "write MODULE:CLASS, such as optuna.samplers:CmaEsSampler",
        ),
        ("optuna.samplers:CmaSampler", "optuna.samplers: has no 'CmaSampler'; did you mean 'CmaEsSampler'?"),
        ("math:floor", "math: 'floor' is not an Optuna sampler; name a class of it"),
        (
            "optuna.pruners:NopPruner",
            "optuna.pruners: 'NopPruner' is not an Optuna sampler; name a class of it",
        ),
        (
            "optuna.samplers:GridSampler",
            "cannot be made without arguments (GridSampler.__init__() missing 1 required positional "
            "argument: 'search_space'); write a class of your own that gives them",
        ),
    ],
)
def test_an_import_path_that_is_no_sampler_is_refused(path: str, message: str) -> None:
    with pytest.raises(InputError) as error:
        find_sampler(path)
    assert str(error.value) == f"sampler '{path}': {message}"


def test_a_sampler_of_optuna_by_its_path_repeats_itself() -> None:
    def late(seed: int) -> Points:
        return points(search(sampler_of("optuna.samplers:TPESampler", seed, 30), 30))

    assert late(1) == late(1) != late(2)


def test_the_names_are_known_without_optuna() -> None:
    code = "import sys, nas.samplers; assert 'optuna' not in sys.modules and 'numpy' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


# Regularised evolution


def evolve(trials: int, *, population: int = 8, sample: int = 3, seed: int = 0) -> list[FrozenTrial]:
    return search(
        RegularizedEvolutionSampler(domain(), population=population, sample=sample, seed=seed), trials
    ).trials


def is_child(child: Mapping[str, Any], parent: Mapping[str, Any]) -> bool:
    """One choice that both have differs; others only come or go with it."""
    changed = [name for name in child.keys() & parent.keys() if child[name] != parent[name]]
    return len(changed) == 1 and (changed == ["skip"] or child.keys() == parent.keys())


def test_the_first_population_is_random_and_every_later_trial_is_one_mutation_of_a_living_one() -> None:
    trials = evolve(60)
    for number in range(8, 60):
        living = trials[number - 8 : number]
        assert any(is_child(trials[number].params, parent.params) for parent in living)
    firsts = [t.params for t in trials[:8]]
    assert not any(is_child(firsts[i], p) for i in range(1, 8) for p in firsts[:i])


def test_the_parent_is_the_best_of_the_sample() -> None:
    """A sample of 400 from 8 misses one of them with a chance below 1e-22: the best is always the parent."""
    trials = search(RegularizedEvolutionSampler(domain(), population=400, sample=400, seed=0), 401).trials
    best = max(trials[:400], key=value_of)
    bests = [t.params for t in trials[:400] if t.value == best.value]
    assert any(is_child(trials[400].params, parent) for parent in bests)


def test_age_alone_removes_a_network() -> None:
    """The best network of all is the oldest of nine: with a population of eight it has no children."""
    distribution = CategoricalDistribution((0, 1, 2, 3))
    study = optuna.create_study(
        direction="maximize",
        sampler=RegularizedEvolutionSampler(domain(space=Pair()), population=8, sample=8, seed=0),
    )
    add(study, distribution, a=3, b=3, value=100.0)
    for _ in range(8):
        add(study, distribution, a=0, b=0, value=1.0)
    for _ in range(50):
        trial = study.ask()
        child = [trial.suggest_categorical(name, distribution.choices) for name in "ab"]
        assert child.count(0) == 1


def test_pruned_failed_and_running_trials_do_not_breed() -> None:
    distribution = CategoricalDistribution((0, 1, 2, 3))
    study = optuna.create_study(
        direction="maximize",
        sampler=RegularizedEvolutionSampler(domain(space=Pair()), population=4, sample=4, seed=0),
    )
    for _ in range(4):
        add(study, distribution, a=0, b=0, value=1.0)
    for state in (TrialState.PRUNED, TrialState.FAIL, TrialState.RUNNING) * 4:
        add(study, distribution, a=3, b=3, state=state)
    for _ in range(50):
        trial = study.ask()
        child = [trial.suggest_categorical(name, distribution.choices) for name in "ab"]
        assert child.count(0) == 1


class Pair(Layers):
    """Two decisions, `a` of four options and `b` of as many as wanted."""

    def __init__(self, b: int = 4) -> None:
        self.b = tuple(range(b))

    def sample(self, choose: Callable[[str, tuple[Any, ...]], Any]) -> Choices:
        return {"a": choose("a", (0, 1, 2, 3)), "b": choose("b", self.b)}

    def cost(self, choices: Choices) -> Cost:
        return Cost()


def add(
    study: optuna.Study,
    distribution: CategoricalDistribution,
    *,
    state: TrialState = TrialState.COMPLETE,
    value: float | None = None,
    **params: int,
) -> None:
    trial = create_trial(
        state=state,
        value=value,
        params=params,
        distributions=dict.fromkeys(params, distribution),
    )
    study.add_trial(trial)


def test_every_mutation_is_equally_likely() -> None:
    """Two choices of 4 and 2 options: 1/2 for each choice, 1/6 for each other option of the first.

    600 draws; the bounds are 5 standard deviations wide, so a right sampler fails once in 10^6.
    """
    a, b = CategoricalDistribution((0, 1, 2, 3)), CategoricalDistribution((0, 1))
    study = optuna.create_study(
        direction="maximize",
        sampler=RegularizedEvolutionSampler(domain(space=Pair(2)), population=1, sample=1, seed=0),
    )
    study.add_trial(create_trial(value=1.0, params={"a": 1, "b": 0}, distributions={"a": a, "b": b}))
    seen: dict[tuple[object, object], int] = {}
    for _ in range(600):
        trial = study.ask()
        child = trial.suggest_categorical("a", a.choices), trial.suggest_categorical("b", b.choices)
        seen[child] = seen.get(child, 0) + 1
    assert set(seen) == {(0, 0), (2, 0), (3, 0), (1, 1)}
    assert abs(seen[(1, 1)] - 300) < 62
    assert all(abs(seen[(value, 0)] - 100) < 46 for value in (0, 2, 3))


def test_several_changes_are_of_as_many_decisions_or_fewer() -> None:
    start: Choices = {**{f"w{i}": 8 for i in range(6)}, "skip": True}
    rng = random.Random(0)
    children = [domain().mutate(start, rng, 3) for _ in range(100)]
    counts = {sum(child[name] != option for name, option in start.items()) for child in children}
    assert counts == {1, 2, 3}


def test_newly_active_choices_are_drawn_uniformly() -> None:
    """`skip` is true in the whole population; where it becomes false, every kernel turns up.

    300 draws, about 40 of them unskipped: a kernel is missing with a chance below 1e-6.
    """
    sampler = RegularizedEvolutionSampler(domain(), population=1, sample=1, seed=0)
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


@pytest.mark.parametrize("name", ["evolution", "local", "reinforce", "predictor"])
def test_minimisation_works_too(name: str) -> None:
    """Random networks score 5.0 on average, with a deviation of 1.3."""
    study = optuna.create_study(direction="minimize", sampler=sampler_of(name, 0, 90))
    study.optimize(objective, 90)
    assert sum(map(value_of, study.trials[-30:])) / 30 < 4.5


def test_a_sample_larger_than_the_population_is_refused() -> None:
    with pytest.raises(ValueError, match="a sample of 5 cannot be drawn from a population of 4"):
        RegularizedEvolutionSampler(domain(), population=4, sample=5)


def test_a_known_child_is_born_again() -> None:
    """The best network is older than the population, and has just been proposed again: it breeds.

    A sample of 4 misses one of 4 with a chance of 0.32, all of 40 samples with one below 1e-19.
    """
    both = CategoricalDistribution((0, 1, 2, 3))

    def children(repeats: list[int]) -> list[list[Option]]:
        sampler = RegularizedEvolutionSampler(domain(space=Pair()), population=4, sample=4, seed=0)
        study = optuna.create_study(direction="maximize", sampler=sampler)
        facts = [(3, 9.0, []), *((0, 1.0, list[int]()) for _ in range(5)), (0, 1.0, repeats)]
        for option, value, repeated in facts:
            trial = create_trial(
                value=value,
                params={"a": option, "b": option},
                distributions={"a": both, "b": both},
                system_attrs={REPEATS: repeated},
            )
            study.add_trial(trial)
        return [[*Pair().sample(study.ask().suggest_categorical).values()] for _ in range(40)]

    assert all(child.count(0) == 1 for child in children([]))
    assert any(child.count(3) == 1 and 0 not in child for child in children([0]))


def test_crossover_takes_every_choice_from_either_parent() -> None:
    sampler = RegularizedEvolutionSampler(domain(), population=2, sample=1, crossover=1.0, seed=0)
    study = optuna.create_study(direction="maximize", sampler=sampler)
    widths = CategoricalDistribution(WIDTHS)
    names = [f"w{i}" for i in range(6)]
    skip = CategoricalDistribution((True, False))
    for width in (8, 32):
        study.add_trial(
            create_trial(
                value=1.0,
                params={**dict.fromkeys(names, width), "skip": True},
                distributions={**dict.fromkeys(names, widths), "skip": skip},
            )
        )
    children = [Layers().sample(study.ask().suggest_categorical) for _ in range(40)]
    assert all(sum(child[name] not in (8, 32) for name in names) <= 1 for child in children)
    assert any(2 <= sum(child[name] == 8 for name in names) <= 4 for child in children)


@pytest.mark.parametrize("name", ["evolution", "local", "reinforce", "predictor"])
def test_times_with_and_without_a_zone_are_in_one_order(name: str) -> None:
    """As in a run that was begun under Optuna 5 and goes on under 4."""
    study = optuna.create_study(direction="maximize", sampler=sampler_of(name, 0, 90))
    study.optimize(objective, 12)
    began = datetime(2026, 1, 1, 12, tzinfo=UTC)
    trials = study.get_trials(deepcopy=False)
    for i, trial in enumerate(trials):
        ended = began - timedelta(minutes=i)
        trial.datetime_complete = ended if i % 2 else ended.astimezone().replace(tzinfo=None)
    assert [member.ended for member in list_known(study)] == [began - timedelta(minutes=i) for i in range(12)]
    study.optimize(objective, 2)


# Local search


def test_a_climb_goes_on_from_the_best_to_its_neighbours_until_all_are_known() -> None:
    study = optuna.create_study(
        direction="maximize", sampler=LocalSearchSampler(domain(space=Pair()), seed=1)
    )
    study.optimize(lambda t: float(total(Pair().sample(t.suggest_categorical))), 16)
    trials = study.trials
    assert len({tuple(t.params.values()) for t in trials}) == 16
    climbs = [t.system_attrs["nas:climb"] for t in trials]
    for trial in trials:
        climb = [t for t in trials[: trial.number] if climbs[t.number] == climbs[trial.number]]
        if climb:
            top = max(climb, key=value_of)
            assert sum(top.params[n] != trial.params[n] for n in "ab") == 1
    assert climbs == sorted(climbs) and set(climbs) == {*range(max(climbs) + 1)}


# The predictor


def test_quantiles_are_of_ranks_and_equal_for_equal_scores() -> None:
    found = compute_quantiles(np.array([0.1, 5.0, 5.0, 900.0]))
    normal = NormalDist()
    assert np.allclose(found, [normal.inv_cdf(p) for p in (1 / 8, 1 / 2, 1 / 2, 7 / 8)])


def inputs(count: int, rng: np.random.Generator) -> Inputs:
    taken = rng.integers(0, 3, size=(count, 8))
    choices = np.eye(3)[taken].reshape(count, 24)
    return Inputs(choices, choices @ rng.random((24, 2)))


def test_the_posterior_of_the_gaussian_process_is_that_of_scikit_learn() -> None:
    """Another route to the same numbers, at the hyperparameters that were fitted."""
    from sklearn.gaussian_process import GaussianProcessRegressor
    from sklearn.gaussian_process.kernels import RBF

    rng = np.random.default_rng(0)
    seen, unseen = inputs(40, rng), inputs(10, rng)
    scores = seen.choices @ rng.random(24) + 0.1 * rng.standard_normal(40)
    model = GaussianProcess(seen, compute_quantiles(scores))
    ours = model.predict(unseen)

    def flat(i: Inputs) -> Array:
        costs = (i.costs - seen.costs.mean(axis=0)) / seen.costs.std(axis=0) / model.length
        return np.hstack([i.choices / np.sqrt(8 * model.reach), costs])

    theirs = GaussianProcessRegressor(RBF(1.0), alpha=model.noise, optimizer=None)
    mean, deviation = theirs.fit(flat(seen), compute_quantiles(scores)).predict(flat(unseen), return_std=True)
    assert np.allclose(ours.mean, mean, atol=1e-6)
    assert np.allclose(ours.deviation, np.sqrt(model.variance) * deviation, atol=1e-6)


@pytest.mark.parametrize("noise", [0.0, 0.5, 3.0])
def test_reach_length_and_noise_are_the_likeliest_of_the_whole_grid(noise: float) -> None:
    """By another route: scipy's density of the targets for every covariance on the grid."""
    rng = np.random.default_rng(1)
    seen = inputs(40, rng)
    scores = seen.choices @ rng.random(24) + noise * rng.standard_normal(40)
    targets = compute_quantiles(scores)
    model = GaussianProcess(seen, targets)
    differing = 1 - seen.choices @ seen.choices.T / 8
    costs = (seen.costs - seen.costs.mean(axis=0)) / seen.costs.std(axis=0)
    squares = ((costs[:, None] - costs) ** 2).sum(axis=2)

    def likelihood(reach: float, length: float, part: float) -> float:
        unscaled = np.exp(-differing / reach - squares / length**2 / 2) + part * np.eye(40)
        variance = targets @ np.linalg.solve(unscaled, targets) / 40
        return float(multivariate_normal(cov=variance * unscaled).logpdf(targets))

    grid = product(gaussian._REACHES, gaussian._COST_LENGTHS, gaussian._NOISES)
    best = max(likelihood(*one) for one in grid)
    assert likelihood(model.reach, model.length, model.noise) == pytest.approx(best, rel=1e-9)


def test_the_fitted_noise_follows_the_noise_of_the_scores() -> None:
    rng = np.random.default_rng(0)
    seen = inputs(120, rng)
    signal = seen.choices @ rng.random(24)
    scores = [signal + d * signal.std() * rng.standard_normal(120) for d in (0.0, 2.0)]
    noises = [GaussianProcess(seen, compute_quantiles(one)).noise for one in scores]
    assert noises[0] < 0.05 < noises[1]


@pytest.mark.parametrize("known", [None, 0.3])
def test_what_others_say_of_a_network_is_what_a_model_of_them_predicts(known: float | None) -> None:
    """With the same hyperparameters, by another route: every network left out, one after the other."""
    rng = np.random.default_rng(2)
    seen = inputs(20, rng)
    targets = seen.choices @ rng.random(24) + 0.3 * rng.standard_normal(20)
    targets -= targets.mean()
    model = GaussianProcess(seen, targets, known)
    if known:
        assert model.variance * model.noise == pytest.approx(known**2)
    costs = (seen.costs - seen.costs.mean(axis=0)) / seen.costs.std(axis=0) / model.length
    squares = ((costs[:, None] - costs) ** 2).sum(axis=2)
    covariance = np.exp(-(1 - seen.choices @ seen.choices.T / 8) / model.reach - squares / 2)
    noisy = covariance + model.noise * np.eye(20)
    for i, expected in enumerate(model.leave_one_out()):
        rest = np.arange(20) != i
        told = covariance[i, rest] @ np.linalg.solve(noisy[np.ix_(rest, rest)], targets[rest])
        assert expected == pytest.approx(told)


def test_a_known_noise_is_the_likeliest_of_the_grid_too() -> None:
    """By scipy's density, as above, of covariances whose noise is that."""
    rng = np.random.default_rng(3)
    seen = inputs(30, rng)
    targets = seen.choices @ rng.random(24) + 0.5 * rng.standard_normal(30)
    targets -= targets.mean()
    model = GaussianProcess(seen, targets, 0.5)
    differing = 1 - seen.choices @ seen.choices.T / 8
    costs = (seen.costs - seen.costs.mean(axis=0)) / seen.costs.std(axis=0)
    squares = ((costs[:, None] - costs) ** 2).sum(axis=2)

    def likelihood(reach: float, length: float, part: float) -> float:
        unscaled = np.exp(-differing / reach - squares / length**2 / 2) + part * np.eye(30)
        return float(multivariate_normal(cov=0.25 / part * unscaled).logpdf(targets))

    grid = product(gaussian._REACHES, gaussian._COST_LENGTHS, gaussian._NOISES)
    best = max(likelihood(*one) for one in grid)
    assert likelihood(model.reach, model.length, model.noise) == pytest.approx(best, rel=1e-9)


def test_the_expected_improvement_is_the_mean_of_what_is_gained() -> None:
    """Of 40,000 draws: the bounds are 6 standard errors of a mean wide. Far below it is next to nothing."""
    belief = Posterior(np.array([1.0, 0.0, -9.0]), np.array([0.5, 2.0, 1e-3]))
    draws = belief.mean + belief.deviation * np.random.default_rng(0).standard_normal((40_000, 3))
    gained = np.maximum(draws - 0.8, 0).mean(axis=0)
    assert (
        np.allclose(belief.compute_improvement(0.8), gained, atol=0.04)
        and belief.compute_improvement(0.8)[1] > 0.4
    )


@pytest.mark.parametrize(("trials", "start"), [(16, 4), (24, 6), (40, 10), (100, 10), (1000, 10)])
def test_a_predictor_models_after_a_quarter_of_the_trials_and_ten_at_most(trials: int, start: int) -> None:
    """Random networks are those that the same seed draws without a model."""

    def first(name: str) -> Points:
        study = optuna.create_study(direction="maximize")
        for number in range(start + 1):
            study.sampler = sampler_of(name, number, trials)
            study.optimize(objective, 1)
        return points(study)

    modelled, drawn = first("predictor"), first("random")
    assert modelled[:-1] == drawn[:-1] and modelled[-1] != drawn[-1]


@pytest.mark.parametrize("name", ["local", "predictor", "reinforce"])
def test_what_is_proposed_is_new_and_inside_the_budget(name: str) -> None:
    budget = Budget({MACS: Interval(80, 104)})
    study = search(sampler_of(name, 0, 60, budget), 60)
    assert len({Layers().identity(t.params) for t in study.trials}) == 60
    assert all(budget.admits(Layers().amounts(t.params)) for t in study.trials)


# Domain


def test_moving_inside_changes_few_choices_and_then_the_cost_little() -> None:
    """From 152 to at most 130 one layer can go, from 32 to 8; at most 112 takes two."""
    start: Choices = {"w0": 32, "w1": 24, "w2": 32, "w3": 32, "w4": 24, "w5": 6 + 2, "skip": True}
    near = domain(Budget({MACS: Interval(0, 130)}))
    for seed in range(10):
        moved = near.move_inside(start, random.Random(seed))
        assert sum(moved[name] != start[name] for name in start) == 1
        assert Layers().cost(moved).macs == 128
    two = domain(Budget({MACS: Interval(0, 112)})).move_inside(start, random.Random(0))
    assert sum(two[name] != start[name] for name in start) == 2


def test_neighbours_are_all_points_with_one_other_option() -> None:
    start: Choices = {**{f"w{i}": 8 for i in range(6)}, "skip": False, "kernel": 3}
    near = [*domain().list_neighbours(start, random.Random(0))]
    assert len(near) == 6 * 3 + 1 + 2
    assert all(is_child(point, start) for point in near)


def test_draws_are_inside_also_where_hardly_anything_is() -> None:
    tight = domain(Budget({MACS: Interval(48, 48), PARAMS: Interval(7, 7)}))
    for point in tight.sample(random.Random(0), 5):
        assert point == {**{f"w{i}": 8 for i in range(6)}, "skip": False, "kernel": 7}


def test_two_objectives_are_refused() -> None:
    study = optuna.create_study(directions=["maximize"] * 2, sampler=RegularizedEvolutionSampler(domain()))
    with pytest.raises(ValueError, match="multi-objective"):
        study.ask().suggest_categorical("a", (1, 2))


def test_reseeding_changes_what_is_proposed() -> None:
    sampler = RegularizedEvolutionSampler(domain(), seed=0)
    first = points(search(sampler, 5))
    sampler.reseed_rng()
    again = points(search(sampler, 5))
    assert first != again


# Samplers of Optuna that see fewer trials


@pytest.mark.parametrize(("direction", "values"), [("maximize", [9, 1, 7, 8]), ("minimize", [3, 9, 1, 2])])
def test_a_bounded_study_has_the_best_and_some_of_the_others(
    direction: Literal["maximize", "minimize"], values: list[int]
) -> None:
    """Of the others the best and the worst. Failed trials and constraints are left out."""
    study = optuna.create_study(direction=direction)
    for value in (3, 9, 1, 7, None, 8, 2, 6, 4, 5):
        state = TrialState.FAIL if value is None else TrialState.COMPLETE
        study.add_trial(create_trial(state=state, value=value, system_attrs={CONSTRAINTS: [0.1], "own": 1}))
    running = study.ask()
    seen = bound_study(study, 4)
    *finished, last = seen.get_trials()
    assert [trial.value for trial in finished] == values
    assert all(trial.system_attrs == {"own": 1} for trial in finished) and last.number == running.number
    assert [trial.number for trial in seen.get_trials(states=[TrialState.RUNNING])] == [running.number]
    assert CONSTRAINTS in study.trials[0].system_attrs
    seen._storage.set_trial_system_attr(running._trial_id, "written", 1)
    assert study.trials[-1].system_attrs["written"] == 1


def test_of_several_objectives_all_trials_are_seen() -> None:
    study = optuna.create_study(directions=["maximize", "minimize"])
    for value in range(9):
        study.add_trial(create_trial(values=[value, value]))
    assert len(bound_study(study, 4).get_trials()) == 9
