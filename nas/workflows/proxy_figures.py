"""What scores of a proxy say: their noise, and how they rank networks as a longer training does."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, variance
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nas.cost import Cost
from nas.runs.plan import LEAST
from nas.space import Choices

PROXY, LONG = "proxy", "long"
"""Names of the search's own training, and of the longer one that it stands for."""

LEAST_RANKED = 8
"""Networks that a rank correlation is of. Of four, one order in three has a tau beyond 0.6, either way."""
LEVEL = 0.95

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class ConfidenceInterval:
    """A figure with its 95 % interval."""

    value: float
    low: float
    high: float

    def format(self, factor: float = 1.0) -> str:
        """Return `0.62 (0.41 to 0.78)`, each times a factor."""
        return f"{factor * self.value:.2f} ({factor * self.low:.2f} to {factor * self.high:.2f})"


@dataclass(frozen=True)
class RankCorrelations:
    """How a proxy ranks networks as the longer training does: Kendall's tau-b and Spearman's rho, over all
    and in the third that the longer training has as the best. None of fewer networks than `LEAST_RANKED`."""

    kendall: ConfidenceInterval | None
    spearman: ConfidenceInterval | None
    kendall_top: ConfidenceInterval | None
    spearman_top: ConfidenceInterval | None


@dataclass(frozen=True)
class ProxyFigures:
    """A proxy: the number of networks that it gave scores of, seconds of one training, and its ranking by one
    score of each network."""

    name: str
    networks: int
    seconds: float
    ranking: RankCorrelations

    @property
    def quality_per_second(self) -> ConfidenceInterval | None:
        """Kendall's tau over the seconds of a training."""
        tau = self.ranking.kendall
        return tau and ConfidenceInterval(*(end / self.seconds for end in (tau.value, tau.low, tau.high)))


@dataclass(frozen=True)
class ScoredNetwork:
    """A network with its scores by training: of each seed of the proxy, of one of the others."""

    number: int
    choices: Choices
    cost: Cost
    scores: dict[str, list[float]]
    seconds: dict[str, list[float]]


@dataclass(frozen=True)
class Figures:
    """What a calibration found. `noise`: standard deviation of one score of the proxy over seeds."""

    rows: tuple[ScoredNetwork, ...]
    noise: float
    proxies: tuple[ProxyFigures, ...]
    long_seconds: float

    @property
    def resolvable(self) -> float:
        """The least difference of two scores that is not noise, at 95 %."""
        return find_resolvable(self.noise)

    @property
    def proxy(self) -> ProxyFigures:
        """The search's own."""
        return self.proxies[0]

    @property
    def best(self) -> ProxyFigures | None:
        """The proxy of the most ranking quality per second; None where intervals overlap."""
        ranked = [(q, proxy) for proxy in self.proxies if (q := proxy.quality_per_second)]
        ranked.sort(key=lambda pair: -pair[0].value)
        if len(ranked) < 2 or ranked[0][0].low <= max(quality.high for quality, _ in ranked[1:]):
            return None
        return ranked[0][1]


def find_resolvable(noise: float) -> float:
    """Return the least difference of two scores of a noise that is not noise, at 95 %."""
    return 1.96 * math.sqrt(2) * noise


def describe_too_few(networks: int) -> str:
    """Return what is said in place of a rank correlation of so few networks."""
    return f"{networks} networks are too few for a rank correlation; {LEAST_RANKED} or more give one"


def compute_figures(rows: Sequence[ScoredNetwork], seed: int = 0, resamples: int = 1_000) -> Figures:
    """Return the figures of at least four networks; intervals are by the bootstrap over networks, of so many
    `resamples` from `seed`."""
    rng = np.random.default_rng(seed)
    names = dict.fromkeys(name for row in rows for name in row.scores if name != LONG)
    proxies = []
    for name in names:
        own = [row for row in rows if name in row.scores]
        if len(own) >= LEAST:
            scores, long = (np.array([row.scores[which] for row in own]) for which in (name, LONG))
            seconds = fmean(s for row in own for s in row.seconds[name])
            proxies.append(ProxyFigures(name, len(own), seconds, _rank(scores, long[:, 0], rng, resamples)))
    noise = math.sqrt(fmean(variance(row.scores[PROXY]) for row in rows))
    return Figures(tuple(rows), noise, tuple(proxies), fmean(row.seconds[LONG][0] for row in rows))


def _rank(scores: Floats, long: Floats, rng: np.random.Generator, resamples: int) -> RankCorrelations:
    """Rank by `scores` (networks, seeds) against those of the longer training (networks,)."""
    from scipy.stats import kendalltau, spearmanr

    top = np.argsort(-long, kind="stable")[: math.ceil(len(long) / 3)]

    def interval(statistic: Any, members: NDArray[np.int64]) -> ConfidenceInterval | None:
        def of(chosen: NDArray[np.int64], seeds: NDArray[np.int64]) -> float:
            one, other = scores[chosen, seeds], long[chosen]
            if len(set(one.tolist())) < 2 or len(set(other.tolist())) < 2:
                return 0.0  # what does not tell networks apart does not rank them
            return float(statistic(one, other).statistic)

        if len(members) < LEAST_RANKED:
            return None
        every = [of(members, np.full(len(members), s)) for s in range(scores.shape[1])]
        resampled = []
        for _ in range(resamples):
            chosen = rng.choice(members, len(members))
            resampled.append(of(chosen, rng.integers(scores.shape[1], size=len(chosen))))
        low, high = np.quantile(resampled, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
        return ConfidenceInterval(fmean(every), float(low), float(high))

    whole = np.arange(len(long))
    return RankCorrelations(
        interval(kendalltau, whole),
        interval(spearmanr, whole),
        interval(kendalltau, top),
        interval(spearmanr, top),
    )
