"""Policy gradient over choices as an Optuna sampler."""

from __future__ import annotations

import random
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from optuna.distributions import CategoricalDistribution
from optuna.study import Study
from optuna.trial import FrozenTrial

from nas.samplers.domain import Domain
from nas.samplers.points import Known, PointSampler, known
from nas.space import Choices
from nas.space.tree import Option

_TRIES = 100
"""Points drawn from the policy for one that is new and inside the budget."""
_DECAY = 0.9
"""Weight of the past in the moving baseline."""


class ReinforceSampler(PointSampler):
    """REINFORCE of Zoph & Le 2017, "Neural Architecture Search with Reinforcement Learning", section 3.2,
    with a table for a controller.

    Each decision has a softmax over its options, all equal in the beginning. Every score moves the logits
    along the gradient of the log-probability of its network, by `rate` times how far the score is above a
    moving average of the scores before, in units of their moving deviation, so that the scale of scores does
    not matter. The first `start` trials are random; points outside the budget are drawn again.
    """

    def __init__(
        self, domain: Domain, *, rate: float = 0.2, start: int = 10, seed: int | None = None
    ) -> None:
        super().__init__(domain, seed)
        self._rate = rate
        self._start = start

    def propose(self, study: Study, trial: FrozenTrial) -> Choices:
        history = known(study)
        if len(history) < self._start:
            return self._drawn()
        policy = Policy(history, self._rate)
        points = (
            self._domain.point(lambda name, options: policy.choose(name, options, self._rng))
            for _ in range(_TRIES)
        )
        return self._first_new(study, points) or self._drawn_new(study)


class Policy:
    """A softmax for each decision, after the scores of `history` in their order."""

    def __init__(self, history: Sequence[Known], rate: float) -> None:
        options: dict[str, tuple[Option, ...]] = {}
        for member in history:
            for name in member.choices.keys() - options.keys():
                distribution = member.distributions[name]
                assert isinstance(distribution, CategoricalDistribution)
                options[name] = distribution.choices
        names = sorted(options)
        width = max(map(len, options.values()), default=1)
        cells = {
            name: {option: row * width + col for col, option in enumerate(options[name])}
            for row, name in enumerate(names)
        }
        logits = np.full((len(names), width), -np.inf)
        logits.flat[[cell for row in cells.values() for cell in row.values()]] = 0.0
        chosen = [cells[name][option] for member in history for name, option in member.choices.items()]
        taken = np.zeros((len(history), *logits.shape))
        members = np.repeat(np.arange(len(history)), [len(member.choices) for member in history])
        taken.reshape(len(history), -1)[members, chosen] = 1.0
        active = taken.sum(axis=2, keepdims=True)
        for i, advantage in enumerate(_advantages([member.score for member in history])):
            logits += rate * advantage * (taken[i] - active[i] * _softmax(logits))
        self._weights = dict(zip(names, _softmax(logits).tolist(), strict=True))

    def choose(self, name: str, options: tuple[Option, ...], rng: random.Random) -> Option:
        """An option by the policy; uniform for a decision that no network had."""
        weights = self._weights.get(name)
        return rng.choices(options, weights=weights and weights[: len(options)])[0]


def _softmax(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    """Probabilities of shape (decisions, options), each row's over its options; a logit of -inf is none."""
    weights = np.exp(logits)
    probabilities: NDArray[np.float64] = weights / weights.sum(axis=1, keepdims=True)
    return probabilities


def _advantages(scores: Sequence[float]) -> list[float]:
    """How far each score is above the moving average of those before it, in their moving deviations."""
    advantages = []
    mean, variance = scores[0], 0.0
    for score in scores:
        gap = score - mean
        variance = _DECAY * variance + (1 - _DECAY) * gap * gap
        advantages.append(gap / variance**0.5 if variance else 0.0)
        mean = _DECAY * mean + (1 - _DECAY) * score
    return advantages
