"""The last round of a search: its best networks, trained longer under fresh seeds, name the winner."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, stdev
from typing import TYPE_CHECKING

from nas.runs.folder import Run
from nas.study.records import Record, best_of, read_records

if TYPE_CHECKING:
    from nas.study.queue import Job

TASK = "final"
"""Name of the long training."""
DISTINCT = 0.05
"""Below this p two finalists are told apart."""


@dataclass(frozen=True)
class Finalist:
    """One of the best networks of a search. `record`: its trial; `finals`: its long trainings that gave a
    score, the best first."""

    record: Record
    finals: tuple[Record, ...]

    @property
    def scores(self) -> list[float]:
        """Accuracies of the long trainings, descending."""
        return [final.score for final in self.finals if final.score is not None]

    @property
    def mean(self) -> float:
        """Of the scores, which there must be."""
        return fmean(self.scores)

    @property
    def deviation(self) -> float | None:
        """Standard deviation of the scores, where there are two."""
        return stdev(self.scores) if len(self.scores) > 1 else None


def final_jobs(run: Run) -> list[Job]:
    """The long trainings of the best networks of a run, one seed after the other."""
    from nas.study.queue import Job

    settings = run.settings
    best = best_of(run.records(), settings.finals.count, settings.objective)
    return [
        Job(_name(run, record, seed), record.candidate.choices, TASK, seed)
        for seed in range(settings.finals.seeds)
        for record in best
    ]


def read_finals(run: Run) -> list[Record]:
    """The long trainings of a run, by number."""
    return read_records(run.storage, finals_name(run.study))


def finals_name(study: str) -> str:
    """The name of their study, beside that of the search, in its storage."""
    return f"{study}-finals"


def finalists(run: Run) -> list[Finalist]:
    """The best networks of a run that have long trainings, ranked by the mean reward of these."""
    settings = run.settings
    known = {record.facts["job"]: record for record in read_finals(run)} if settings.finals.count else {}
    found = []
    for record in best_of(run.records(), settings.finals.count, settings.objective):
        names = [_name(run, record, seed) for seed in range(settings.finals.seeds)]
        finals = best_of([known[name] for name in names if name in known], settings.finals.seeds)
        if finals:
            found.append(Finalist(record, tuple(finals)))
    return sorted(
        found, key=lambda one: settings.objective.reward(one.mean, one.record.candidate.cost), reverse=True
    )


def winner(run: Run) -> Finalist | None:
    """The first of the finalists; None where none was trained longer, or some trainings are still to come."""
    if not run.settings.finals.count:
        return None
    ended = {record.facts["job"] for record in read_finals(run) if record.state != "running"}
    if not ended.issuperset(job.name for job in final_jobs(run)):
        return None
    return next(iter(finalists(run)), None)


def spare_weights(run: Run) -> list[Path]:
    """Weights of long trainings that are not the best of their network."""
    best: dict[str, Record] = {}
    finals = read_finals(run)
    for final in best_of(finals, len(finals)):
        best.setdefault(final.candidate.identity, final)
    kept = {final.candidate.number for final in best.values()}
    numbers = (final.candidate.number for final in finals)
    return [final_weights(run, number) for number in numbers if number not in kept]


def final_weights(run: Run, number: int) -> Path:
    """The file of the weights of a long training."""
    return run.weights_file(0).with_name(f"final-{number:05d}.safetensors")


def indistinct(ranked: Sequence[Finalist]) -> float | None:
    """p of Welch's t-test between the first two of some finalists, where these cannot be told apart.

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


def _name(run: Run, record: Record, seed: int) -> str:
    return f"trial {record.candidate.number}, seed {seed}, epochs {run.settings.finals.epochs}"
