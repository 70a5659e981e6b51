"""Search by a learned model of the score, as an Optuna sampler."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from optuna.study import Study
from optuna.trial import FrozenTrial
from threadpoolctl import threadpool_limits

from nas.cost import Cost
from nas.samplers.gaussian import GaussianProcess, Inputs, compute_quantiles, encode_networks
from nas.samplers.points import Known, PointSampler, list_known
from nas.space import Choices
from nas.space.feasible import Domain

_PARENTS = 20
_CHILDREN = 50
_UNIFORM = 10
"""Candidates of either kind for one proposal; what takes time is their costs."""
_MOST = 300
"""Trials that the model is fitted to."""


class PredictorSampler(PointSampler):
    """In the spirit of BANANAS (White, Neiswanger & Savani 2021, "BANANAS: Bayesian Optimization with Neural
    Architectures for Neural Architecture Search"), with a Gaussian process for the ensemble of networks.

    The first `start` trials are random. From then on a Gaussian process is fitted to the choices, costs and
    scores of the complete trials, and of a pool of candidates inside the budget the one of the greatest
    expected improvement is proposed. Most of the pool are children of the best trials, some random networks.
    """

    def __init__(self, domain: Domain, *, start: int = 10, seed: int | None = None) -> None:
        super().__init__(domain, seed)
        self._start = start

    def propose(self, study: Study, trial: FrozenTrial) -> Choices:
        history = list_known(study)
        if len(history) < self._start:
            return self._sample_new(study)
        ranked = self._rank(_thin(history), self._sample_pool(history))
        return self._find_new(study, ranked) or self._sample_new(study)

    def _sample_pool(self, history: Sequence[Known]) -> list[Choices]:
        """Return candidates inside the budget."""
        best = sorted(history, key=lambda member: -member.score)[:_PARENTS]
        children = []
        for i in range(_CHILDREN):
            changes = 1
            while self._rng.random() < 0.5:
                changes += 1
            children.append(self._domain.mutate(best[i % len(best)].choices, self._rng, changes))
        points = [c for c in children if self._domain.is_inside(c)]
        return points + self._domain.sample(self._rng, _UNIFORM)

    def _rank(self, history: Sequence[Known], pool: Sequence[Choices]) -> list[Choices]:
        """Return the pool, the greatest expected improvement on the best trial first."""
        inputs = self._encode([member.choices for member in history] + [*pool])
        seen, unseen = _split(inputs, len(history))
        with threadpool_limits(1, user_api="blas"):  # matrices are too small to share among threads
            scores = np.array([member.score for member in history])
            model = GaussianProcess(seen, compute_quantiles(scores))
            best = float(model.predict(seen).mean.max())  # as the scores themselves have noise
            gains = model.predict(unseen).compute_improvement(best)
        return [pool[i] for i in np.argsort(-gains, kind="stable")]

    def _encode(self, points: Sequence[Choices]) -> Inputs:
        return encode_networks(points, [self._domain.cost(point) or Cost() for point in points])


def _split(inputs: Inputs, count: int) -> tuple[Inputs, Inputs]:
    return (
        Inputs(inputs.choices[:count], inputs.costs[:count]),
        Inputs(inputs.choices[count:], inputs.costs[count:]),
    )


def _thin(history: Sequence[Known]) -> Sequence[Known]:
    """Return at most `_MOST` trials: the best half of that number, and of the rest every so many."""
    if len(history) <= _MOST:
        return history
    ranked = sorted(history, key=lambda member: -member.score)
    best, rest = ranked[: _MOST // 2], ranked[_MOST // 2 :]
    return best + [rest[i] for i in np.linspace(0, len(rest) - 1, _MOST // 2).astype(int)]
