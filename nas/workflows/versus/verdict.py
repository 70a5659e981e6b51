"""What a comparison came to: scores, differences, and what may be claimed of them."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import fmean, stdev
from typing import Any

from nas.errors import InputError
from nas.files import MOST_TABLE_BYTES, read_text
from nas.measures import MEASURES, Budget
from nas.runs.beside import find_random
from nas.runs.comparison import FORMAT, RANDOM, VersusFolder
from nas.runs.state import RunState
from nas.study.history import expect_random, track_best
from nas.study.queue import JobKey, NetworkKey
from nas.study.records import Trial
from nas.study.tables import OUTCOME, list_outcome
from nas.training.recipe import METRICS
from nas.workflows.versus.contestants import NETWORK, Contestant, list_measures
from nas.workflows.versus.pairs import (
    DISTINCT,
    EXACT,
    SWAPS,
    Difference,
    compare,
    count_enough_pairs,
    find_least_p,
)


@dataclass(frozen=True)
class VersusStanding:
    """A row of the table. `amounts`: least and most of each measure by name, which are one for one network.
    `scores`: by seed, None where a training failed; of random members the mean of those of a seed.
    `difference`: of the network's scores less these, where two pairs or more have both."""

    name: str
    about: str
    networks: int
    amounts: Mapping[str, tuple[int, int]]
    scores: tuple[float | None, ...]
    difference: Difference | None

    @property
    def known(self) -> list[float]:
        """The scores that there are."""
        return [score for score in self.scores if score is not None]

    @property
    def mean(self) -> float | None:
        return fmean(self.known) if self.known else None

    @property
    def deviation(self) -> float | None:
        """Standard deviation over seeds, of random members over members too."""
        return stdev(self.known) if len(self.known) > 1 else None


@dataclass(frozen=True)
class EqualCost:
    """The best scores of a search and of random search, by the search's own trainings, after as many
    `seconds` of them; `run`: whose trials random search is told by."""

    seconds: float
    search: float
    random: float
    run: str


@dataclass(frozen=True)
class Verdict:
    """What a comparison came to. The first of the `standings` is the network's. `tested_on`: the images;
    `claim`: what may be said, in a sentence; `notes`: what makes it less sure."""

    network: str
    data: str
    tested_on: str
    epochs: int
    seeds: int
    budget: str
    standings: tuple[VersusStanding, ...]
    test: str
    claim: str
    notes: tuple[str, ...]
    equal_cost: EqualCost | None
    metric: str = METRICS[0]

    @property
    def own(self) -> VersusStanding:
        return self.standings[0]

    @property
    def others(self) -> tuple[VersusStanding, ...]:
        return self.standings[1:]

    def to_data(self) -> dict[str, Any]:
        """Return it as plain values, with the mean and deviation of each standing."""
        rows = [{**asdict(one), "mean": one.mean, "deviation": one.deviation} for one in self.standings]
        return {"format": FORMAT, **asdict(self), "standings": rows}

    @classmethod
    def read(cls, folder: VersusFolder) -> Verdict | None:
        """Read the verdict of a comparison, None where there is none yet. Raises InputError for a damaged
        one."""
        path = folder.verdict_file
        if not path.is_file():
            return None
        try:
            found = {"metric": METRICS[0], **json.loads(read_text(path, MOST_TABLE_BYTES))}
            known = {key: found[key] for key in cls.__dataclass_fields__}
            known["standings"] = tuple(map(_read_standing, found["standings"]))
            known["notes"] = tuple(map(str, found["notes"]))
            known["equal_cost"] = EqualCost(**found["equal_cost"]) if found["equal_cost"] else None
            return cls(**known)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise InputError(f"{path}: is damaged ({error}); compare again, or remove the file") from None


def _read_standing(data: Mapping[str, Any]) -> VersusStanding:
    own: dict[str, Any] = {key: data[key] for key in VersusStanding.__dataclass_fields__}
    own["amounts"] = {str(name): (int(least), int(most)) for name, (least, most) in data["amounts"].items()}
    own["scores"] = tuple(None if score is None else float(score) for score in data["scores"])
    own["difference"] = Difference(**data["difference"]) if data["difference"] else None
    return VersusStanding(**own)


def rank(
    contestants: Sequence[Contestant], trials: Mapping[JobKey, Trial], seeds: int, budget: Budget, seed: int
) -> list[VersusStanding]:
    """Return the standings: the network, its baselines, and the random members together, each compared with
    the network over the seeds under which both have a score. `trials`: by what they train."""
    groups: dict[str, list[Contestant]] = {}
    for one in contestants:
        groups.setdefault(RANDOM if one.is_random else one.name, []).append(one)
    scores = {
        name: [_average_score(members, s, trials) for s in range(seeds)] for name, members in groups.items()
    }
    own = scores[NETWORK]
    pairs = {
        name: [a - b for a, b in zip(own, other, strict=True) if a is not None and b is not None]
        for name, other in scores.items()
        if name != NETWORK
    }
    compared = [name for name, differences in pairs.items() if len(differences) > 1]
    found = dict(zip(compared, compare([pairs[name] for name in compared], seed), strict=True))
    return [
        VersusStanding(
            name, members[0].about, len(members), _list_amounts(members, budget), tuple(scores[name]),
            found.get(name),
        )
        for name, members in groups.items()
    ]  # fmt: skip


def _average_score(members: Sequence[Contestant], seed: int, trials: Mapping[JobKey, Trial]) -> float | None:
    """Return the mean score of those that are trained under a seed; None where one of them has none."""
    ended = [trials.get(NetworkKey(one.name, seed)) for one in members if seed in one.seeds]
    found = [trial.score for trial in ended if trial is not None and trial.score is not None]
    return fmean(found) if found and len(found) == len(ended) else None


def _list_amounts(members: Sequence[Contestant], budget: Budget) -> dict[str, tuple[int, int]]:
    found = {m.name: [one.network.amount({}, m) for one in members] for m in list_measures(budget)}
    return {name: (min(amounts), max(amounts)) for name, amounts in found.items()}


# What may be said


def describe_test(pairs: int) -> str:
    """Return how p was had."""
    how = f"all {2**pairs:,} ways to swap" if pairs <= EXACT else f"{SWAPS:,} random ways to swap"
    return f"two-sided permutation test of the pairs, {how}; p corrected by Holm"


def word_claim(
    network: str, standings: Sequence[VersusStanding], circumstances: str, metric: str = METRICS[0]
) -> str:
    """Return in a sentence what may be claimed of a network against the others, and what not."""
    better: list[str] = []
    worse: list[str] = []
    alike: list[str] = []
    unknown: list[str] = []
    for one in standings[1:]:
        name, difference = _name_group(one), one.difference
        if difference is None:
            unknown.append(name)
        elif not difference.is_distinct:
            alike.append(f"{name} (p = {difference.corrected:.2g})")
        else:
            by = f"{name} by {abs(difference.mean):.4f} (p = {difference.corrected:.2g})"
            (better if difference.mean > 0 else worse).append(by)
    words = ("is more accurate than", "is less accurate than")
    if metric != METRICS[0]:
        words = (f"has a higher {metric} than", f"has a lower {metric} than")
    parts = [
        f"{start} {_join(names)}"
        for start, names in (
            (words[0], better),
            (words[1], worse),
            ("cannot be told apart from", alike),
            ("was not compared, for want of scores, with", unknown),
        )
        if names
    ]
    return f"{circumstances}, {network} {_join(parts)}."


def _name_group(one: VersusStanding) -> str:
    return f"{one.networks} random members of its space" if one.name == RANDOM else one.name


def _join(words: Sequence[str]) -> str:
    *first, last = words
    return f"{', '.join(first)} and {last}" if first else last


def list_doubts_before(count: int, seeds: int, before: Sequence[int]) -> Iterator[str]:
    """Yield what is known before any training of what may be said of so many baselines."""
    if find_least_p(seeds, count) >= DISTINCT:
        yield (
            f"{seeds} seeds against {count} baseline{'s' * (count > 1)} give no p below "
            f"{find_least_p(seeds, count):.2g}, whatever the scores: nothing can be told apart; "
            f"{count_enough_pairs(count)} seeds can."
        )
    if before:
        looks = ", ".join(map(str, before))
        yield (
            f"There was a verdict of another number of seeds before ({looks}): to add seeds until networks "
            "differ finds differences that are not there more often than p says."
        )


def list_doubts(standings: Sequence[VersusStanding], seeds: int, before: Sequence[int]) -> Iterator[str]:
    """Yield what makes the claim less sure than it sounds."""
    yield from list_doubts_before(len(standings) - 1, seeds, before)
    for one in standings:
        if len(one.known) < len(one.scores):
            yield (
                f"{_name_group(one)}: {len(one.known)} of {len(one.scores)} seeds have a score, as trainings "
                "failed; only pairs of two scores count."
            )


def compare_at_equal_cost(state: RunState | None) -> tuple[EqualCost | None, str | None]:
    """Return what a search and random search reach at equal cost, or why that cannot be said.

    It is of trials that were drawn and trained to the end by the search's own recipe: those of a run of
    `random` beside it. Trials that a sampler chose say nothing of random ones.
    """
    if state is None:
        return None, None
    run = find_random(state)
    if run is None:
        return None, (
            "There is no figure of random search at equal total cost: the trials of this search were chosen, "
            "and say nothing of ones that were not; a run beside it by --sampler random gives it."
        )
    if run is state:
        return None, "The search was random search itself."
    reached = track_best(state.trials, state.objective)
    drawn = expect_random(run.trials[len(run.config.warm_start) :], state.objective)
    if not reached or not drawn:
        return (
            None,
            f"There is no figure of random search at equal total cost: {run.folder.path} has no score.",
        )
    end = min(reached[-1].seconds, drawn[-1].seconds)
    ours, theirs = ([one for one in line if one.seconds <= end] for line in (reached, drawn))
    if not ours or not theirs:
        return (
            None,
            f"There is no figure of random search at equal total cost: {run.folder.path} is too short.",
        )
    return EqualCost(end, ours[-1].reward, theirs[-1].reward, run.folder.path.name), None


# What is kept


def dump_trainings(contestants: Sequence[Contestant], trials: Mapping[JobKey, Trial], budget: Budget) -> str:
    """Return a row for each training as CSV: network, seed, costs, score, seconds, and why it failed."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    measures = list_measures(budget)
    writer.writerow(["network", "seed", *(m.name for m in measures), *OUTCOME])
    for one in contestants:
        amounts = [one.network.amount({}, measure) for measure in measures]
        for seed in one.seeds:
            writer.writerow([one.name, seed, *amounts, *list_outcome(trials.get(NetworkKey(one.name, seed)))])
    return text.getvalue()


def name_measure(measure: str) -> str:
    """Return what tables call a measure."""
    return MEASURES[measure].label if measure in MEASURES else measure
