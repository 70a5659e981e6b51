"""What all scores say of a run's networks: kept, read, and what trials are ranked by."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from nas.cost import Cost
from nas.errors import InputError
from nas.report.search_lines import describe_believed
from nas.runs.folder import RunFolder
from nas.runs.posterior import BelievedScores, mark_believed
from nas.study.objective import parse_objective
from nas.study.records import Candidate, Trial, TrialState, find_best

SCORES = (0.5, 0.9, 0.7, 0.8)


def make_trials(*scores: float) -> list[Trial]:
    return [
        Trial(Candidate(n, {}, Cost(100, 1), str(n)), TrialState.COMPLETE, score)
        for n, score in enumerate(scores)
    ]


def believe(error: float = 0.1, trials: int = 4) -> BelievedScores:
    return BelievedScores({1: 0.75, 2: 0.8, 3: 0.78}, trials, error, 0.2, "runs/calibrate-a-1")


def test_they_are_read_as_they_were_written(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    assert BelievedScores.read(folder) is None and mark_believed(folder, make_trials(1)) == (*make_trials(1),)
    believe().write(folder)
    assert BelievedScores.read(folder) == believe()


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ("[]", "list indices must be integers or slices, not str"),
        ({"noise": "much"}, "a figure is none"),
        ({"scores": {"one": 1}}, "invalid literal for int() with base 10: 'one'"),
        ({"trials": -1}, "a figure is none"),
    ],
)
def test_a_damaged_file(change: object, why: str, tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    believe().write(folder)
    file = folder.believed_file
    file.write_text(json.dumps(json.loads(file.read_text()) | change) if isinstance(change, dict) else "[]")
    with pytest.raises(InputError) as error:
        BelievedScores.read(folder)
    assert str(error.value) == f"{file}: is damaged ({why}); restore it, or remove it"


def rank(found: BelievedScores, *scores: float, objective: str = "accuracy") -> list[int]:
    trials = found.mark(make_trials(*scores))
    return [trial.number for trial in find_best(trials, len(trials), parse_objective(objective))]


def test_trials_are_ranked_by_them_where_they_say_more_than_a_score() -> None:
    """Those of which nothing is believed, as they were not among the best, come last."""
    assert rank(believe(), *SCORES) == [2, 3, 1, 0]
    assert rank(believe(), *SCORES, objective="accuracy*(flops/400M)^-0.07") == [2, 3, 1, 0]
    assert rank(believe(error=0.3), *SCORES) == [1, 3, 2, 0]  # no better than a score
    assert rank(believe(), *SCORES, 0.6) == [1, 3, 2, 4, 0]  # of before the last trial
    assert rank(believe(), 0.5, 0.9, 0.7) == [1, 2, 0]


def test_trials_of_which_nothing_is_believed_stay_what_they_are() -> None:
    """Who watches a run is sent those that are others than before."""
    trials = make_trials(*SCORES)
    marked = believe().mark(trials)
    assert marked[0] is trials[0] and [trial.believed for trial in marked] == [None, 0.75, 0.8, 0.78]


def test_what_is_said_of_them() -> None:
    marked = find_best(believe().mark(make_trials(*SCORES)), 3)
    assert describe_believed(believe(), marked) == (
        "Ranked by what all scores say of each: what the others say has an error of 0.1000, and one score a "
        "noise of 0.2000 (runs/calibrate-a-1). The first are worth 0.8000, 0.7800, 0.7500."
    )
    raw = make_trials(*SCORES)
    assert describe_believed(believe(error=0.3), raw) == (
        "Ranked by their own scores: what all others say of one has an error of 0.3000, and one score a "
        "noise of 0.2000 (runs/calibrate-a-1)."
    )
    assert describe_believed(None, raw) is None and describe_believed(believe(), raw) is None
