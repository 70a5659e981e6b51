"""Networks that are trained once more: which, and the noise that their scores tell."""

from __future__ import annotations

import random
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from statistics import fmean
from typing import Any

import pytest

from nas.cost import Cost
from nas.errors import InputError
from nas.runs.config import SearchConfig
from nas.runs.score_noise import RepeatKey, choose_repeats, measure_noise
from nas.study.records import Candidate, Trial, TrialState


def make_trials(scores: Sequence[float | None], jobs: Sequence[str | None] | None = None) -> list[Trial]:
    return [
        Trial(
            Candidate(n, {}, Cost(100, 1), str(n)),
            TrialState.FAILED if score is None else TrialState.COMPLETE,
            score,
            job=jobs[n] if jobs else None,
        )
        for n, score in enumerate(scores)
    ]


def repeat(scores: dict[int, float | None]) -> list[Trial]:
    return make_trials([*scores.values()], [RepeatKey(trial).name for trial in scores])


def test_a_name_is_read_as_it_was_written() -> None:
    assert RepeatKey.parse(RepeatKey(12).name) == RepeatKey(12)
    for other in ("trial 1, seed 0, epochs 3", "trial x again", "", None):
        assert RepeatKey.parse(other) is None


def test_the_noise_of_pairs_that_are_known() -> None:
    """Half of the mean squared difference is the variance of each of two equal draws."""
    trials = make_trials([0.5, 0.6, None, 0.8, 0.9])
    repeats = repeat({0: 0.52, 1: 0.56, 3: 0.8, 4: 0.88})
    noise, count = measure_noise(trials, repeats) or (0, 0)
    assert count == 4
    assert noise == pytest.approx(((0.02**2 + 0.04**2 + 0 + 0.02**2) / 4 / 2) ** 0.5)


def test_too_few_pairs_tell_no_noise() -> None:
    trials = make_trials([0.5, 0.6, 0.7, 0.8, None])
    assert measure_noise(trials, repeat({0: 0.5, 1: 0.6, 2: 0.7})) is None
    assert measure_noise(trials, repeat({0: 0.5, 1: 0.6, 2: 0.7, 3: None})) is None
    assert measure_noise(trials, repeat({0: 0.5, 1: 0.6, 2: 0.7, 4: 0.8, 9: 0.8})) is None


@pytest.mark.parametrize("true_noise", [0.01, 0.1])
def test_the_noise_is_right_on_average(true_noise: float) -> None:
    """Also where noise is most of what tells scores apart: networks chosen for their scores alone, such as
    the best, would say of 0.1 that it is more than 0.11. The mean of 400 has an error of 1 %."""
    rng = random.Random(0)
    found = []
    for seed in range(400):
        quality = [rng.gauss(0, 0.05) for _ in range(40)]
        trials = make_trials([one + rng.gauss(0, true_noise) for one in quality])
        chosen = choose_repeats(trials, [], 12, seed)
        again = repeat({key.trial: quality[key.trial] + rng.gauss(0, true_noise) for key in chosen})
        noise, count = measure_noise(trials, again) or (0, 0)
        assert count == 12
        found.append(noise**2)
    assert fmean(found) ** 0.5 == pytest.approx(true_noise, rel=0.04)


def test_those_chosen_are_spread_over_the_scores() -> None:
    scores: list[float | None] = [*map(float, range(40))]
    random.Random(1).shuffle(scores)
    trials = make_trials([*scores, None])
    chosen = choose_repeats(trials, [], 8, 3)
    assert chosen == choose_repeats(trials, [], 8, 3) != choose_repeats(trials, [], 8, 4)
    assert sorted(int(trials[key.trial].score or 0) // 5 for key in chosen) == [*range(8)]
    counts = Counter(key.trial for seed in range(500) for key in choose_repeats(trials, [], 8, seed))
    assert set(counts) == {*range(40)} and min(counts.values()) > 60  # each a fifth of 500 times
    assert len(choose_repeats(make_trials([0.1, 0.2, None]), [], 4, 0)) == 2


def test_what_was_begun_stays_chosen() -> None:
    """Also where trials have come since; a trial that a repair has lost is left out."""
    trials = make_trials([*map(float, range(20))])
    chosen = choose_repeats(trials, [], 4, 0)
    begun = repeat({key.trial: 1.0 for key in chosen[:2]})
    assert choose_repeats(trials, begun, 4, 0) == chosen
    more = [*trials, *make_trials([*map(float, range(40))])[20:]]
    later = choose_repeats(more, begun, 4, 0)
    assert later[:2] == chosen[:2] and len({*later}) == 4
    whole = repeat({key.trial: 1.0 for key in chosen})
    assert choose_repeats(more, whole, 4, 0) == chosen
    assert choose_repeats(more, whole, 6, 0)[:4] == chosen and len(choose_repeats(more, whole, 6, 0)) == 6
    assert choose_repeats(trials, repeat({99: 1.0}), 4, 0) == chosen


def test_later_repeats_are_of_all_scores() -> None:
    """They are not those of the lowest scores, and none is of a part that has one."""
    trials = make_trials([*map(float, range(128))])
    for seed in range(20):
        begun = choose_repeats(trials[:64], [], 8, seed)
        later = choose_repeats(trials, repeat({key.trial: 1.0 for key in begun}), 16, seed)
        taken = {key.trial // 8 for key in begun}
        parts = [key.trial // 8 for key in later[8:]]
        assert len({*parts}) == 8 and not taken & {*parts} and max(parts) >= 12


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"repeats": 3},
            "repeats: 3 is not a number of networks; it is 0, or a whole number from 4 on, as fewer tell no "
            "noise",
        ),
        (
            {"repeats": 8, "trials": 12},
            "repeats: 8 are of use from 16 trials on, and there are 12; give --trials 16 or more, or leave "
            "the repeats out",
        ),
        (
            {"repeats": 20, "trials": 18},
            "repeats: 20 are of use from 20 trials on, and there are 18; give --trials 20 or more, or leave "
            "the repeats out",
        ),
        (
            {"repeats": 8, "objective": "accuracy,flops"},
            "repeats: objective accuracy,flops has no best network to name; give a reward such as "
            "accuracy*(flops/400M)^-0.07, or leave the repeats out",
        ),
        (
            {"repeats": 8, "storage": "sqlite:///study.db"},
            "repeats: networks of a study in a database keep their own scores, as other drivers may know of "
            "another noise; leave out --storage, or the repeats",
        ),
        (
            {"repeats": 8, "inherit": True},
            "repeats: with inherit a score depends on what its network started from, and not on the seed "
            "alone; leave one of the two out",
        ),
    ],
)
def test_repeats_that_would_be_of_no_use(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError) as error:
        SearchConfig.from_data({"space": "tiny.yaml", **settings}, "search.yaml")
    assert str(error.value) == f"search.yaml: {message}"
    SearchConfig.from_data({"space": "tiny.yaml", "repeats": 8}, "search.yaml")


def test_a_config_with_repeats_is_read_without_scipy() -> None:
    """`nas ls` reads that of every run."""
    code = "import sys, nas; nas.SearchConfig('mbconv', repeats=4); print('scipy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
