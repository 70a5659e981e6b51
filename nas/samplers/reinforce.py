"""Policy gradient over choices as an Optuna sampler."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from weakref import WeakKeyDictionary

from optuna.distributions import CategoricalDistribution
from optuna.study import Study
from optuna.trial import FrozenTrial

from nas.samplers.points import Known, PointSampler, list_known
from nas.space import Choices
from nas.space.feasible import Domain
from nas.space.language.tree import Option

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
        history = list_known(study)
        if len(history) < self._start:
            return self._sample_inside()
        policy = self._learn_policy(history)
        points = (
            self._domain.make_point(lambda name, options: policy.choose(name, options, self._rng))
            for _ in range(_TRIES)
        )
        return self._find_new(study, points) or self._sample_new(study)

    def _learn_policy(self, history: Sequence[Known]) -> Policy:
        """Return the policy after `history`, as its trials ended. The one of the trial before is taught what
        is new, where it is of the same trials: to start from the first again takes longer with every
        trial."""
        history = sorted(history, key=lambda member: (member.ended, member.number))
        policy = _policies.get(self._domain)
        if policy is None or policy.rate != self._rate or policy.seen != history[: len(policy.seen)]:
            policy = _policies[self._domain] = Policy(self._rate)
        for member in history[len(policy.seen) :]:
            policy.learn(member)
        return policy


class Policy:
    """A softmax for each decision, taught one trial after the other."""

    def __init__(self, rate: float) -> None:
        self.rate = rate
        self.seen: list[Known] = []
        self._logits: dict[str, dict[Option, float]] = {}
        self._mean, self._variance = 0.0, 0.0

    def learn(self, member: Known) -> None:
        """Take one step along the gradient of the log-probability of a network."""
        step = self.rate * self._compute_advantage(member.score)
        for name, option in member.choices.items():
            distribution = member.distributions[name]
            assert isinstance(distribution, CategoricalDistribution)
            logits = self._logits.setdefault(name, dict.fromkeys(distribution.choices, 0.0))
            weights = {other: math.exp(logit) for other, logit in logits.items()}
            total = sum(weights.values())
            for other, weight in weights.items():
                logits[other] -= step * weight / total
            logits[option] += step
        self.seen.append(member)

    def choose(self, name: str, options: tuple[Option, ...], rng: random.Random) -> Option:
        """Return an option by the policy; uniform for a decision that no network had."""
        logits = self._logits.get(name, {})
        return rng.choices(options, [math.exp(logits.get(option, 0.0)) for option in options])[0]

    def _compute_advantage(self, score: float) -> float:
        """Return how far a score is above the moving average of those before it, in their moving
        deviations."""
        if not self.seen:
            self._mean = score
        gap = score - self._mean
        self._variance = _DECAY * self._variance + (1 - _DECAY) * gap * gap
        self._mean = _DECAY * self._mean + (1 - _DECAY) * score
        return gap / self._variance**0.5 if self._variance else 0.0


_policies: WeakKeyDictionary[Domain, Policy] = WeakKeyDictionary()
"""What the last trial of a search knew; all of it follows from the study."""
