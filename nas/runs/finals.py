"""The last round of a search: its best networks, trained longer under fresh seeds, name the winner."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from statistics import fmean, stdev
from typing import TYPE_CHECKING

from nas.space.keys import make_point_key
from nas.study.objective import Objective
from nas.study.records import Trial, find_best

if TYPE_CHECKING:
    from nas.runs.final_round import FinalsConfig

DISTINCT = 0.05
"""Below this p two finalists are told apart."""


@dataclass(frozen=True)
class Finalist:
    """One of the best networks of a search. `trial`: its trial; `finals`: its long trainings that gave a
    score, the best first."""

    trial: Trial
    finals: tuple[Trial, ...]

    @property
    def scores(self) -> list[float]:
        """Scores of the long trainings, the best first."""
        return [final.score for final in self.finals if final.score is not None]

    @property
    def mean(self) -> float:
        """Of the scores, which there must be."""
        return fmean(self.scores)

    @property
    def deviation(self) -> float | None:
        """Standard deviation of the scores, where there are two."""
        return stdev(self.scores) if len(self.scores) > 1 else None


def name_finals(study: str) -> str:
    """Return the name of the finals' study, beside that of the search, in its storage."""
    return f"{study}-finals"


def select_finalists(trials: Sequence[Trial], config: FinalsConfig, objective: Objective) -> list[Trial]:
    """Return the trials whose networks are trained longer."""
    return find_best(trials, config.count, objective)


def select_finals(
    trials: Sequence[Trial], finals: Iterable[Trial], config: FinalsConfig, objective: Objective
) -> list[Trial]:
    """Return the long trainings of the best networks of now; others were so before more trials had ended."""
    wanted = _list_keys(trials, config, objective)
    return [final for final in finals if FinalKey.parse(final.job) in wanted]


@dataclass(frozen=True)
class FinalKey:
    """What one long training is: of the network of a trial, under a seed, for so many epochs, and whether it
    is scored in int8."""

    trial: int
    seed: int
    epochs: int
    in_int8: bool

    @classmethod
    def of(cls, trial: Trial, seed: int, config: FinalsConfig) -> FinalKey:
        """Return what a long training is by the settings."""
        return cls(trial.number, seed, config.epochs, config.in_int8)

    @property
    def name(self) -> str:
        """What the ledger has of it, which `parse` reads."""
        rank = ", int8" if self.in_int8 else ""
        return f"trial {self.trial}, seed {self.seed}, epochs {self.epochs}{rank}"

    @classmethod
    def parse(cls, name: str | None) -> FinalKey | None:
        """Return what the training of a name is, None for a name of another kind."""
        found = _NAME.fullmatch(name or "")
        return found and cls(int(found[1]), int(found[2]), int(found[3]), bool(found[4]))


_NAME = re.compile(r"trial (\d{1,18}), seed (\d{1,18}), epochs (\d{1,18})(, int8)?")
"""A damaged journal may have a number of so many digits that Python reads none of them."""


def rank_finalists(
    trials: Sequence[Trial], finals: Iterable[Trial], config: FinalsConfig, objective: Objective
) -> list[Finalist]:
    """Return the best networks that have long trainings, by the mean reward of these."""
    known = {FinalKey.parse(final.job): final for final in finals}
    found = []
    for trial in select_finalists(trials, config, objective):
        keys = [FinalKey.of(trial, seed, config) for seed in range(config.seeds)]
        own = [known[key] for key in keys if key in known]
        scored = find_best(own, config.seeds, Objective(metric=objective.metric))
        if scored:
            found.append(Finalist(trial, tuple(scored)))
    sign = objective.metric.sign
    return sorted(
        found, key=lambda one: -sign * objective.compute_reward(one.mean, one.trial.candidate.amount)
    )


def find_winner(
    trials: Sequence[Trial], finals: Sequence[Trial], config: FinalsConfig, objective: Objective
) -> Finalist | None:
    """Return the first of the finalists; None where none was trained longer, or some trainings are still to
    come."""
    if not config.count:
        return None
    ended = {FinalKey.parse(final.job) for final in finals if not final.is_running}
    if not ended.issuperset(_list_keys(trials, config, objective)):
        return None
    return next(iter(rank_finalists(trials, finals, config, objective)), None)


def _list_keys(trials: Sequence[Trial], config: FinalsConfig, objective: Objective) -> set[FinalKey]:
    """Return what long trainings there are to be."""
    best = select_finalists(trials, config, objective)
    return {FinalKey.of(trial, seed, config) for trial in best for seed in range(config.seeds)}


def select_spare(finals: Sequence[Trial], objective: Objective) -> list[int]:
    """Return the numbers of long trainings that are not the best of their network, by either rank."""
    best: dict[tuple[bytes, bool], Trial] = {}
    for final in find_best(finals, len(finals), replace(objective, factors=())):
        key = FinalKey.parse(final.job)
        in_int8 = key is not None and key.in_int8
        best.setdefault((make_point_key(final.candidate.choices), in_int8), final)
    kept = {final.number for final in best.values()}
    return [final.number for final in finals if final.number not in kept]


def compare_first_two(ranked: Sequence[Finalist]) -> float | None:
    """Return p of Welch's t-test between the first two finalists, where these cannot be told apart.

    None where they can, and where there are too few scores to know.
    """
    if len(ranked) < 2 or min(len(one.scores) for one in ranked[:2]) < 2:
        return None
    from scipy.stats import ttest_ind_from_stats

    first, second = ((one.mean, one.deviation, len(one.scores)) for one in ranked[:2])
    if not (first[1] or second[1]):
        return 1.0 if first[0] == second[0] else None
    p = float(ttest_ind_from_stats(*first, *second, equal_var=False).pvalue)
    return None if p < DISTINCT else p
