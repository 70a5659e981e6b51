"""Which decisions the scores of a search depend on."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, quantiles

from nas.study.history import thin
from nas.study.objective import Objective
from nas.study.records import Trial

LEAST = 20
"""Complete trials below which no importance is worked out."""
MOST = 1000
"""Trials that trees are fitted to; of more, as many at equal steps, the first and the last among them."""
TREES = 20


@dataclass(frozen=True, slots=True)
class Importance:
    """The part of the variance of rewards that a decision explains by itself, 0 to 1: the mean over trees,
    and the middle 90 % of them."""

    name: str
    value: float
    low: float
    high: float


def find_shared_names(trials: Sequence[Trial]) -> list[str]:
    """Return the decisions that every one of some trials takes, and that have more than one option there."""
    if not trials:
        return []
    first = trials[0].candidate.choices
    names = set(first).intersection(*(trial.candidate.choices for trial in trials))
    return [n for n in first if n in names and any(t.candidate.choices[n] != first[n] for t in trials)]


def compute_importances(trials: Sequence[Trial], objective: Objective, seed: int = 0) -> list[Importance]:
    """Return the importance of each decision that all complete trials take, the greatest first.

    By functional ANOVA (Hutter, Hoos & Leyton-Brown 2014, "An Efficient Approach for Assessing Hyperparameter
    Importance"), Optuna's, over the box of the options that were tried: each tree is fitted to a bootstrap of
    its own of the trials. Empty where there are fewer than `LEAST` complete trials, or nothing varies.
    """
    scored = thin([trial for trial in trials if trial.score is not None], MOST)
    names = find_shared_names(scored)
    rewards = [objective.compute_reward(t.score, t.candidate.amount) for t in scored if t.score is not None]
    if len(scored) < LEAST or not names or min(rewards) == max(rewards):
        return []
    # Squares may be beyond a float; by a power of two nothing is rounded, and the shares are the same.
    power = -math.frexp(max(map(abs, rewards)))[1]
    found = _compute_by_tree(scored, [math.ldexp(reward, power) for reward in rewards], names, seed)
    if len(found) < 2:
        return []
    result = []
    for name in names:
        shares = [tree[name] for tree in found]
        ends = quantiles(shares, n=20, method="inclusive")
        result.append(Importance(name, fmean(shares), ends[0], ends[-1]))
    return sorted(result, key=lambda one: -one.value)


def _compute_by_tree(
    trials: Sequence[Trial], rewards: Sequence[float], names: Sequence[str], seed: int
) -> list[dict[str, float]]:
    """Return the importance of decisions by each tree that splits at all."""
    import optuna
    from optuna.distributions import BaseDistribution, CategoricalDistribution
    from optuna.importance import FanovaImportanceEvaluator
    from optuna.trial import create_trial

    from nas.samplers.verbosity import quiet_optuna

    class Options(CategoricalDistribution):
        """Optuna compares those of every two trials, which are one object or others."""

        def __eq__(self, other: object) -> bool:
            return isinstance(other, Options) and self.choices is other.choices

        __hash__ = CategoricalDistribution.__hash__

    choices = [trial.candidate.choices for trial in trials]
    options: dict[str, BaseDistribution] = {
        name: Options(list(dict.fromkeys(point[name] for point in choices))) for name in names
    }
    with quiet_optuna():
        study = optuna.create_study(direction="maximize")
    study.add_trials(
        create_trial(params={n: point[n] for n in names}, distributions=options, value=reward)
        for point, reward in zip(choices, rewards, strict=True)
    )
    found = []
    for tree in range(TREES):
        try:
            found.append(FanovaImportanceEvaluator(n_trees=1, seed=seed + tree).evaluate(study))
        except RuntimeError:  # a bootstrap of equal rewards
            continue
    return found
