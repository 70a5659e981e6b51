"""What every sampler keeps to."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from functools import cache
from typing import Any

import optuna
import pytest
from optuna.samplers import BaseSampler

from nas.cost import Interval
from nas.measures import MACS, PARAMS, Budget
from nas.samplers import SamplerContext, find_sampler
from nas.testing.spaces import Layers, Mixed, domain_of
from nas.testing.studies import QuietStudies

Points = list[dict[str, Any]]
_SPACE = Layers()


class SamplerSuite(QuietStudies):
    """Samplers by name or MODULE:CLASS, on a space of 16,384 points; subclass it with `names`.

    `margin` is how much better than random search those that learn are, in the mean of the last 30 of 90
    trials over `seeds`: the standard deviation of that difference is 0.2 for three seeds. `learners` are
    those that do, all unless it is given; `multi_objective` are those that take two objectives.
    """

    names: Sequence[str] = ()
    learners: Sequence[str] | None = None
    multi_objective: Sequence[str] = ()
    margin: float = 0.6
    seeds: int = 3

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        learners = self.names if self.learners is None else self.learners
        kinds = {
            "name": self.names,
            "learner": learners,
            "multi_objective_name": self.multi_objective,
        }
        for fixture in kinds.keys() & set(metafunc.fixturenames):
            marks = {name: self.marks(name, metafunc.function.__name__) for name in kinds[fixture]}
            metafunc.parametrize(fixture, [pytest.param(n, marks=m, id=n) for n, m in marks.items()])

    def marks(self, name: str, test: str) -> Sequence[pytest.MarkDecorator]:
        """Return the marks of a test of one sampler: of a slow one."""
        return ()

    def test_the_same_seed_gives_the_same_points_and_another_seed_others(self, name: str) -> None:
        first, again, other = (points(search(sampler_of(name, seed, 45), 45)) for seed in (3, 3, 4))
        assert first == again
        assert first != other

    def test_one_that_is_made_anew_for_each_trial_repeats_itself(self, name: str) -> None:
        """As a search does, so that it can stop and go on: what a sampler knows is in the study."""

        def anew() -> Points:
            study = search(sampler_of(name, 0, 20), 1)
            for number in range(1, 20):
                study.sampler = sampler_of(name, number, 20)
                study.optimize(objective, 1)
            return points(study)

        assert anew() == anew()

    def test_only_active_choices_are_made(self, name: str) -> None:
        for params in points(search(sampler_of(name, 0, 45), 45)):
            assert ("kernel" in params) == (not params["skip"])
            assert set(params) - {"kernel"} == {*(f"w{i}" for i in range(6)), "skip"}

    def test_a_single_option_and_mixed_types_are_taken(self, name: str) -> None:
        space = Mixed()
        study = optuna.create_study(
            direction="maximize", sampler=find_sampler(name)(SamplerContext(0, 30, domain_of(space)))
        )
        study.optimize(lambda trial: space.score(space.sample(trial.suggest_categorical)), n_trials=30)
        assert all(params["only"] == "x" for params in points(study))

    def test_the_random_start_is_inside_the_budget(self, name: str) -> None:
        budget = Budget({MACS: Interval(80, 88), PARAMS: Interval(3, 5)})
        for params in points(search(sampler_of(name, 0, 40, budget), 9)):
            assert budget.admits(_SPACE.amounts(params))

    def test_pruned_and_failed_trials_do_not_stop_it(self, name: str) -> None:
        def some(trial: optuna.Trial) -> float:
            score = objective(trial)
            if trial.number % 3 == 1:
                trial.report(score, 1)
                raise optuna.TrialPruned
            return float("nan") if trial.number % 5 == 2 else score

        study = optuna.create_study(direction="maximize", sampler=sampler_of(name, 0, 30))
        study.optimize(some, 30)
        assert len(study.trials) == 30

    def test_it_is_made_without_warnings(self, name: str) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            sampler_of(name, 0, 16)

    def test_it_learns(self, learner: str) -> None:
        assert late_mean(learner, self.seeds_of(learner)) > late_mean("random", self.seeds) + self.margin

    def seeds_of(self, name: str) -> int:
        """Return how many searches a mean is of."""
        return self.seeds

    def test_several_objectives_are_taken(self, multi_objective_name: str) -> None:
        def both(trial: optuna.Trial) -> tuple[float, float]:
            point = _SPACE.sample(trial.suggest_categorical)
            return _SPACE.score(point), float(len(set(point.values())))

        study = optuna.create_study(
            directions=["maximize", "minimize"], sampler=sampler_of(multi_objective_name, 0, 45)
        )
        study.optimize(both, 45)
        assert all(len(trial.values) == 2 for trial in study.trials)
        assert study.best_trials


def sampler_of(name: str, seed: int, trials: int, budget: Budget | None = None) -> BaseSampler:
    """Return a sampler of the space of layers."""
    return find_sampler(name)(SamplerContext(seed, trials, domain_of(Layers(), budget)))


def objective(trial: optuna.Trial) -> float:
    """Return the score at the point of a trial."""
    return _SPACE.score(_SPACE.sample(trial.suggest_categorical))


def search(sampler: BaseSampler, trials: int) -> optuna.Study:
    """Return a study of so many trials, one after the other."""
    study = optuna.create_study(direction="maximize", sampler=sampler)
    study.optimize(objective, n_trials=trials)
    return study


def points(study: optuna.Study) -> Points:
    """Return the points of all trials of a study."""
    return [trial.params for trial in study.trials]


@cache
def late_mean(name: str, seeds: int) -> float:
    """Return the mean score of the last 30 of 90 trials, over so many searches."""
    late = [t for seed in range(seeds) for t in search(sampler_of(name, seed, 90), 90).trials[-30:]]
    scores = [float(trial.values[0]) for trial in late]
    return sum(scores) / len(scores)
