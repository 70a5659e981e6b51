"""Local search with restarts as an Optuna sampler."""

from __future__ import annotations

from optuna.study import Study
from optuna.trial import FrozenTrial

from nas.samplers.points import Known, PointSampler, list_known
from nas.space import Choices
from nas.space.feasible import Domain

_CLIMB = "nas:climb"
"""System attribute of a trial: which climb it belongs to, counted from 0."""


class LocalSearchSampler(PointSampler):
    """Hill climbing of White, Nolen & Savani 2021, "Exploring the Loss Landscape in Neural Architecture
    Search", algorithm 1, inside a budget.

    A climb starts at a random network. Neighbours of its best network, those with one other option, are tried
    in random order; one that is better is the network to go on from at once. When all neighbours are known,
    another climb starts.
    """

    def __init__(self, domain: Domain, *, seed: int | None = None) -> None:
        super().__init__(domain, seed)

    def propose(self, study: Study, trial: FrozenTrial) -> Choices:
        climb, complete = self._find_climb(study)
        near = None
        if complete:
            top = max(complete, key=lambda member: member.score)
            near = self._find_new(study, self._domain.list_neighbours(top.choices, self._rng))
            climb += near is None
            if near is not None:
                self._note_parent(study, trial, top)
        study._storage.set_trial_system_attr(trial._trial_id, _CLIMB, climb)
        return near or self._sample_new(study)

    def _find_climb(self, study: Study) -> tuple[int, list[Known]]:
        """Return the latest climb of all, and its complete trials."""
        trials = [trial for trial in study.get_trials(deepcopy=False) if trial.params]
        climbs = {trial.number: trial.system_attrs.get(_CLIMB, 0) for trial in trials}
        latest = max(climbs.values(), default=0)
        return latest, [member for member in list_known(study) if climbs.get(member.number, 0) == latest]
