"""Networks of a search that are trained once more under another seed, for the noise of one score."""

from __future__ import annotations

import math
import random
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import TYPE_CHECKING

from nas.errors import InputError
from nas.kinds import Kind, is_whole
from nas.settings import Option, User
from nas.study.records import LEAST_SCORED, Trial

if TYPE_CHECKING:
    from nas.runs.config import SearchConfig

LEAST = 4
"""Pairs of scores that tell a noise: its standard error is a third of it."""

REPEATS = Kind(
    f"a number of networks; it is 0, or a whole number from {LEAST} on, as fewer tell no noise",
    lambda value: is_whole(value, 0) and not 0 < value < LEAST,
)
REPEATS_OPTION = Option(
    "Train so many of the networks once more, under another seed, for the noise of a score, by which the "
    "best are ranked.",
    "Search",
    resumable=True,
    unused_by=User.EVALUATOR | User.CALIBRATION,
)


def check_repeats(config: SearchConfig) -> None:
    """Raise InputError where networks are to be trained once more, and what that finds has no use."""
    if not config.repeats:
        return
    least = max(config.repeats, LEAST_SCORED)
    if config.trials < least:
        raise InputError(
            f"repeats: {config.repeats} are of use from {least} trials on, and there are {config.trials}; "
            f"give --trials {least} or more, or leave the repeats out"
        )
    if not config.objective.is_single:
        raise InputError(
            f"repeats: objective {config.objective.text} has no best network to name; give a reward such as "
            "accuracy*(flops/400M)^-0.07, or leave the repeats out"
        )
    if config.storage is not None:
        raise InputError(
            "repeats: networks of a study in a database keep their own scores, as other drivers may know of "
            "another noise; leave out --storage, or the repeats"
        )
    if config.inherit:
        raise InputError(
            "repeats: with inherit a score depends on what its network started from, and not on the seed "
            "alone; leave one of the two out"
        )


def name_repeats(study: str) -> str:
    """Return the name of the study of repeats, beside that of the search, in its storage."""
    return f"{study}-repeats"


@dataclass(frozen=True)
class RepeatKey:
    """What one repeat is: the network of a trial, once more."""

    trial: int

    @property
    def name(self) -> str:
        """What the ledger has of it, which `parse` reads."""
        return f"trial {self.trial} again"

    @property
    def seed(self) -> int:
        return self.trial

    @classmethod
    def parse(cls, name: str | None) -> RepeatKey | None:
        """Return what the training of a name is, None for a name of another kind."""
        found = _NAME.fullmatch(name or "")
        return found and cls(int(found[1]))


_NAME = re.compile(r"trial (\d{1,18}) again")


def choose_repeats(
    trials: Sequence[Trial], repeats: Iterable[Trial], count: int, seed: int
) -> list[RepeatKey]:
    """Return what is to be trained once more: what was begun, and up to `count` of a draw by the seed.

    The scores are cut, in their order, into so many parts of about one size, and one network is drawn of
    each: a network that was chosen for its score would be one with luck, and differ from its repeat by that
    too.
    Where some were begun under another count, parts without one of these come first, in a drawn order.
    """
    scored = sorted((t for t in trials if t.score is not None), key=lambda t: (t.score, t.number))
    total, parts = len(scored), min(count, len(scored))
    rng = random.Random(seed)
    cuts = [scored[i * total // parts : (i + 1) * total // parts] for i in range(parts)]
    drawn = [(cut, rng.choice(cut)) for cut in cuts]
    known = {trial.number for trial in scored}  # a repair may have lost one
    begun = [key for repeat in repeats if (key := RepeatKey.parse(repeat.job)) and key.trial in known]
    rng.shuffle(drawn)
    taken = {key.trial for key in begun}
    drawn.sort(key=lambda one: any(trial.number in taken for trial in one[0]))
    fresh = [RepeatKey(trial.number) for _, trial in drawn if trial.number not in taken]
    return begun + fresh[: max(0, count - len(begun))]


def measure_noise(trials: Sequence[Trial], repeats: Iterable[Trial]) -> tuple[float, int] | None:
    """Return the standard deviation of one score, by the differences of those of each network, and how many
    networks have two; None of too few."""
    squares = []
    for repeat in repeats:
        key = RepeatKey.parse(repeat.job)
        first = trials[key.trial].score if key and key.trial < len(trials) else None
        if first is not None and repeat.score is not None:
            squares.append((repeat.score - first) ** 2)
    return (math.sqrt(fmean(squares) / 2), len(squares)) if len(squares) >= LEAST else None
