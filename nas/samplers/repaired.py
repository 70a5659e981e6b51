"""Samplers of Optuna, led into the budget."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain

from optuna.samplers import BaseSampler
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from nas.samplers.bounded import bound_study
from nas.samplers.points import PointSampler
from nas.space import Choices
from nas.space.feasible import Domain


class RepairedSampler(PointSampler):
    """A sampler of Optuna that proposes decisions together, each proposal moved to a near network inside.

    Decisions that `sampler` leaves open are drawn; where it leaves all open, as at its start, the point is
    drawn from `domain`. A proposal outside the budget is moved inside, and for one that is a known network a
    neighbour is proposed. So `sampler` is asked once for a trial, however dear it is to ask; it sees at most
    `most` trials.
    """

    def __init__(self, sampler: BaseSampler, domain: Domain, *, most: int, seed: int | None = None) -> None:
        super().__init__(domain, seed)
        self._sampler = sampler
        self._most = most

    def reseed_rng(self) -> None:
        super().reseed_rng()
        self._sampler.reseed_rng()

    def propose(self, study: Study, trial: FrozenTrial) -> Choices:
        self._sampler.before_trial(study, trial)
        seen = bound_study(study, self._most)
        together = self._sampler.infer_relative_search_space(seen, trial)
        wish = self._sampler.sample_relative(seen, trial, together)
        if not wish:
            return self._sample_inside()
        point = self._domain.move_inside(self._domain.complete(wish, self._rng), self._rng)
        points = chain([point], self._domain.list_neighbours(point, self._rng))
        return self._find_new(study, points) or self._sample_new(study)

    def after_trial(
        self, study: Study, trial: FrozenTrial, state: TrialState, values: Sequence[float] | None
    ) -> None:
        self._sampler.after_trial(study, trial, state, values)
