"""What a search of coefficients came to: how ways to double a network rank, and what may be said of it."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, astuple, dataclass, replace
from statistics import fmean
from typing import Any

import numpy as np

from nas.measures import MEASURES
from nas.runs.coefficients import FORMAT
from nas.space.coefficients import Coefficients
from nas.study.queue import JobKey, NetworkKey
from nas.study.records import Trial
from nas.study.tables import OUTCOME, list_outcome
from nas.workflows.coefficients.gathering import CoefficientsEntry
from nas.workflows.coefficients.seed_blocks import Behind, rank_blocks


@dataclass(frozen=True)
class CoefficientsStanding:
    """A network, as trained and counted: `amounts` of measures by name, `side` of its images, its scores by
    seed. `coefficients`: None for the network that is scaled; `growth`: its MACs in those of that. `behind`:
    how far it is behind the best of those that are ranked."""

    coefficients: Coefficients | None
    is_published: bool
    growth: float
    amounts: Mapping[str, int]
    side: int
    scores: tuple[float | None, ...]
    behind: Behind | None = None

    @property
    def mean(self) -> float | None:
        """The mean score, None where one is missing."""
        known = [score for score in self.scores if score is not None]
        return fmean(known) if len(known) == len(self.scores) else None


@dataclass(frozen=True)
class Ranking:
    """What a search of coefficients came to. `own`: the network that is scaled, `identity` its hash.
    `standings`: those of twice its MACs, the best first, those without all scores last. `seeds`: under which
    all were trained. `claim`: what may be said, in a sentence; `notes`: what makes it less sure."""

    network: str
    identity: str
    data: str
    epochs: int
    seeds: int
    own: CoefficientsStanding
    standings: tuple[CoefficientsStanding, ...]
    claim: str
    notes: tuple[str, ...]

    @property
    def ranked(self) -> list[CoefficientsStanding]:
        """Those that have all scores."""
        return [one for one in self.standings if one.behind is not None]

    @property
    def best(self) -> Coefficients:
        """The coefficients of the best mean."""
        found = self.standings[0].coefficients
        assert found is not None, "only the network itself has none"
        return found

    def to_data(self) -> dict[str, Any]:
        """Return it as plain values."""
        own, *rows = ({**asdict(one), "mean": one.mean} for one in (self.own, *self.standings))
        return {
            "format": FORMAT,
            **asdict(self),
            "best": asdict(self.best),
            "own": own,
            "standings": rows,
        }


def rank(
    entries: Sequence[CoefficientsEntry], trials: Mapping[JobKey, Trial], seeds: int
) -> tuple[CoefficientsStanding, list[CoefficientsStanding]]:
    """Return the standing of the network that is scaled, and those of the others, the best first.

    `trials`: by what they train; `seeds`: so many of the first, two or more, under which all have
    ended. Those of which a training failed are not ranked, and last.
    """
    base, *doubled = (_make_standing(one, trials, seeds) for one in entries)
    whole = [one for one in doubled if one.mean is not None]
    if len(whole) > 1:
        behind = rank_blocks(np.array([one.scores for one in whole], np.float64))
    else:
        behind = [Behind(0.0, 0.0, 0.0, 1.0) for _ in whole]
    ranked = [replace(one, behind=own) for one, own in zip(whole, behind, strict=True)]
    ranked.sort(key=lambda one: one.behind.mean if one.behind else 0.0)
    return base, [*ranked, *(one for one in doubled if one.mean is None)]


def _make_standing(
    one: CoefficientsEntry, trials: Mapping[JobKey, Trial], seeds: int
) -> CoefficientsStanding:
    ended = [trials.get(NetworkKey(one.name, seed)) for seed in range(seeds)]
    amounts = one.network.amounts({})
    known = {measure.name: amounts(measure) for measure in MEASURES.values()}
    return CoefficientsStanding(
        one.doubled.coefficients if one.doubled else None,
        one.doubled is not None and one.doubled.is_published,
        one.growth,
        known,
        one.side,
        tuple(trial.score if trial else None for trial in ended),
    )


def count_seeds(entries: Sequence[CoefficientsEntry], trials: Mapping[JobKey, Trial], seeds: int) -> int:
    """Return how many of the first seeds all networks have been trained under, whatever came of it."""
    for seed in range(seeds):
        ended = [trials.get(NetworkKey(one.name, seed)) for one in entries]
        if any(trial is None or trial.is_running for trial in ended):
            return seed
    return seeds


# What may be said


def word_claim(network: str, ranked: Sequence[CoefficientsStanding], circumstances: str) -> str:
    """Return in a sentence which coefficients are best, and of which others that is known."""
    best, *others = ranked
    ways = f"to double the MACs of {network}"
    if not others:
        return f"{circumstances}, {best.coefficients} is the only way {ways} that was found."
    alike = [one for one in others if one.behind and not one.behind.is_distinct]
    said = [f"is better than {_count(len(others) - len(alike))}"] if len(alike) < len(others) else []
    if alike:
        published = [one for one in alike if one.is_published]
        among = ", one of which has EfficientNet's depth and resolution" if published else ""
        said.append(f"cannot be told apart from {_count(len(alike))}{among}")
    return (
        f"{circumstances}, {best.coefficients} has the best mean of {len(ranked)} ways {ways}: it "
        f"{' and '.join(said)}."
    )


def _count(others: int) -> str:
    return f"{others} other" + "s" * (others > 1)


def list_doubts(
    base: CoefficientsStanding, standings: Sequence[CoefficientsStanding], seeds: int, wanted: int
) -> Iterator[str]:
    """Yield what makes the claim less sure than it sounds."""
    ranked = [one for one in standings if one.behind]
    alike = [one for one in ranked if one.behind and not one.behind.is_distinct]
    if len(alike) > 1:
        yield (
            f"Which of {len(alike)} is the best is not known: the first is taken. More --seeds, or longer "
            "trainings by --epochs in another --folder, may tell them apart."
        )
    if len(ranked) < len(standings):
        failed = ", ".join(str(one.coefficients) for one in standings if not one.behind)
        yield f"Not ranked, as a training failed: {failed}."
    if seeds < wanted:
        yield f"The time limit left {seeds} of {wanted} seeds; the same command goes on."
    if base.mean is not None and ranked and base.mean > (ranked[0].mean or 0.0):
        yield (
            f"The network itself has {base.mean:.4f}: in such trainings, none of twice the MACs scores more "
            "on average."
        )


# What is kept


def dump_trainings(entries: Sequence[CoefficientsEntry], trials: Mapping[JobKey, Trial], seeds: int) -> str:
    """Return a row for each training as CSV: coefficients, costs, side of the images, seed, score, seconds,
    and why it failed."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["depth", "width", "resolution", *MEASURES, "side", "seed", *OUTCOME])
    for one in entries:
        amounts = one.network.amounts({})
        factors = astuple(one.doubled.coefficients) if one.doubled else (1, 1, 1)
        known = [*factors, *(amounts(measure) for measure in MEASURES.values()), one.side]
        for seed in range(seeds):
            writer.writerow([*known, seed, *list_outcome(trials.get(NetworkKey(one.name, seed)))])
    return text.getvalue()
