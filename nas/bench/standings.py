"""What a contest's outcomes say: means with intervals, paired differences with a test, times."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

import numpy as np

from nas.bench.contest import BASELINE, Outcome
from nas.study.records import RejectionReason

LEVEL = 0.95
_MARKS = (10, 20, 50, 100, 200, 300, 500, 1000, 2000, 5000, 10_000)


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean with the ends of its 95 % interval, Student's t over repeats; these are NaN for one repeat."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class BaselineDifference:
    """The paired difference to the baseline, and `p` of the two-sided Wilcoxon signed-rank test of it."""

    estimate: Estimate
    p: float


@dataclass(frozen=True, slots=True)
class Naming:
    """What the networks lack that searches name in the end: the best true score inside the budget less
    theirs. `by_score`: of the best score; `by_all`: by what all scores say together, where that counts;
    `difference`: by how much the true score of the second is above that of the first, in pairs; `used`: the
    share of searches in which it counts."""

    by_score: Estimate
    by_all: Estimate
    difference: BaselineDifference
    used: float


@dataclass(frozen=True)
class Standing:
    """A sampler's figures.

    `curve`: mean best true score after each trial. `differences`: to the baseline, by number of trials; none
    for the baseline itself. `ask_median_s` and `ask_p95_s`: seconds of an ask. `rejected`: proposals in a
    search that never became trials, on average, by reason. `naming`: None where scores have no noise.
    """

    sampler: str
    curve: tuple[Estimate, ...]
    differences: Mapping[int, BaselineDifference]
    ask_median_s: float
    ask_p95_s: float
    rejected: Mapping[RejectionReason, float]
    naming: Naming | None = None


def list_marks(trials: int) -> list[int]:
    """Return the numbers of trials at which figures are given: 10, 20, 50, 100, ... and the last."""
    return [mark for mark in _MARKS if mark < trials] + [trials]


def compute_standings(outcomes: Sequence[Outcome], most: float | None = None) -> list[Standing]:
    """Return the figures of each sampler, the baseline first, then by name. `most`: the best true score,
    where scores have noise."""
    searches: dict[str, list[Outcome]] = {}
    for outcome in sorted(outcomes, key=lambda o: (o.sampler != BASELINE, o.sampler, o.repeat)):
        searches.setdefault(outcome.sampler, []).append(outcome)
    baseline = _collect_bests(searches[BASELINE])
    return [
        _compute_standing(sampler, own, None if sampler == BASELINE else baseline, most)
        for sampler, own in searches.items()
    ]


def estimate_mean(values: Sequence[float]) -> Estimate:
    """Return the mean of independent values, with its interval."""
    mean = fmean(values)
    if len(values) == 1:
        return Estimate(mean, math.nan, math.nan)
    from scipy.stats import t

    error = float(np.std(values, ddof=1)) / math.sqrt(len(values))
    half = error * float(t.ppf((1 + LEVEL) / 2, len(values) - 1))
    return Estimate(mean, mean - half, mean + half)


def compare_pairs(ours: Sequence[float], theirs: Sequence[float]) -> BaselineDifference:
    """Return ours less theirs in pairs, with a test that ignores equal pairs; p is 1 if all are equal."""
    from scipy.stats import wilcoxon

    # rounded, so that equal differences are ties to the test
    pairs = [round(a - b, 9) for a, b in zip(ours, theirs, strict=True)]
    unequal = [d for d in pairs if d]
    p = float(wilcoxon(unequal).pvalue) if unequal else 1.0
    return BaselineDifference(estimate_mean(pairs), p)


def _compute_standing(
    sampler: str, own: Sequence[Outcome], baseline: Sequence[Sequence[float]] | None, most: float | None
) -> Standing:
    bests = _collect_bests(own)
    asks = np.array([seconds for outcome in own for seconds in outcome.asked_s])
    return Standing(
        sampler,
        tuple(map(estimate_mean, bests)),
        {n: compare_pairs(bests[n - 1], baseline[n - 1]) for n in list_marks(len(bests))} if baseline else {},
        float(np.median(asks)),
        float(np.quantile(asks, 0.95)),
        {reason: fmean(outcome.counts.rejected[reason] for outcome in own) for reason in RejectionReason},
        None if most is None else _compute_naming(own, most),
    )


def _compute_naming(own: Sequence[Outcome], most: float) -> Naming:
    by_score, by_all = [one.best[-1] for one in own], [one.believed for one in own]
    return Naming(
        estimate_mean([most - true for true in by_score]),
        estimate_mean([most - true for true in by_all]),
        compare_pairs(by_all, by_score),
        fmean(one.is_better for one in own),
    )


def _collect_bests(searches: Sequence[Outcome]) -> list[tuple[float, ...]]:
    """Return, for each number of trials, the best true score of each repeat."""
    return list(zip(*(outcome.best for outcome in searches), strict=True))
