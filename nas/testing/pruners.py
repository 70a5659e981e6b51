"""What every pruner keeps to."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Literal

import numpy as np
import optuna
import pytest
from optuna.pruners import BasePruner
from optuna.trial import TrialState

from nas.testing.studies import QuietStudies

EPOCHS = 27
_TRIALS = 30
_BESTS = (0, 7, 29)
"""The numbers of trials that are better than all others at each epoch, the later the better."""

Curves = Sequence[Sequence[float]]


class PrunerSuite(QuietStudies):
    """Pruners of Optuna's kind on curves of 27 epochs; subclass it with `pruners`, factories by name."""

    pruners: Mapping[str, Callable[[], BasePruner]] = MappingProxyType({})

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        if "make" in metafunc.fixturenames:
            metafunc.parametrize("make", self.pruners.values(), ids=list(self.pruners))

    def test_it_is_a_pruner_and_says_yes_or_no(self, make: Callable[[], BasePruner]) -> None:
        pruner = make()
        assert isinstance(pruner, BasePruner)
        study = study_of(pruner)
        trial = study.ask()
        trial.report(0.5, 1)
        assert isinstance(trial.should_prune(), bool | np.bool_)

    def test_nothing_is_stopped_before_it_has_reported(self, make: Callable[[], BasePruner]) -> None:
        study = study_of(make())
        stops(study, curves()[:20])
        assert not study.ask().should_prune()

    def test_the_best_of_all_is_not_stopped(self, make: Callable[[], BasePruner]) -> None:
        found = stops(study_of(make()), curves())
        assert [found[number] for number in _BESTS] == [None] * len(_BESTS)

    def test_poor_trials_are_stopped(self, make: Callable[[], BasePruner]) -> None:
        found = stops(study_of(make()), curves())
        assert sum(stop is not None for stop in found) >= 5

    def test_a_loss_is_minimised_as_a_score_is_maximised(self, make: Callable[[], BasePruner]) -> None:
        losses = [[-value for value in curve] for curve in curves()]
        assert stops(study_of(make(), "minimize"), losses) == stops(study_of(make()), curves())

    def test_its_state_is_in_the_study(self, make: Callable[[], BasePruner]) -> None:
        """A search that goes on with another pruner of the same kind stops what it would have stopped."""
        study = study_of(make())
        before = stops(study, curves()[:15])
        study.pruner = make()
        assert before + stops(study, curves()[15:]) == stops(study_of(make()), curves())

    @pytest.mark.filterwarnings("ignore:All-NaN slice:RuntimeWarning")  # numpy's, in Optuna's percentile
    def test_values_that_are_no_numbers_do_not_break_it(self, make: Callable[[], BasePruner]) -> None:
        study = study_of(make())
        broken = [[math.nan] * EPOCHS if number % 4 == 1 else c for number, c in enumerate(curves())]
        found = stops(study, broken)
        assert (found[0], found[7]) == (None, None)


def curves() -> list[list[float]]:
    """Return scores after each epoch of trials, which rise to what a trial is worth."""
    rng = np.random.default_rng(0)
    found = []
    for number in range(_TRIALS):
        worth = 0.9 + 0.02 * _BESTS.index(number) if number in _BESTS else rng.uniform(0.1, 0.7)
        found.append([float(worth * (1 - math.exp(-epoch / 6))) for epoch in range(1, EPOCHS + 1)])
    return found


def study_of(pruner: BasePruner, direction: Literal["minimize", "maximize"] = "maximize") -> optuna.Study:
    """Return an empty study with a pruner."""
    return optuna.create_study(study_name="pruned", direction=direction, pruner=pruner)


def stops(study: optuna.Study, scores: Curves) -> list[int | None]:
    """Train trials of these scores, one after the other; return the epoch at which each was stopped."""
    found: list[int | None] = []
    for curve in scores:
        trial = study.ask()
        stop = None
        for epoch, score in enumerate(curve, 1):
            trial.report(score, epoch)
            if trial.should_prune():
                stop = epoch
                break
        if stop is None and math.isfinite(curve[-1]):
            study.tell(trial, curve[-1])
        else:
            study.tell(trial, state=TrialState.FAIL if stop is None else TrialState.PRUNED)
        found.append(stop)
    return found
