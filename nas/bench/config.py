"""What is measured of samplers: the settings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from nas.kinds import SEED, TRIALS, listed, number, one_of, optional, whole
from nas.measures import Budget
from nas.runs.budget import ANY, BUDGET
from nas.settings import Config, Option

_PANEL = "Contest"


@dataclass(frozen=True)
class BenchConfig(Config):
    """Everything that decides a contest.

    `samplers`: that take part beside random. `trials`: of a search; `repeats`: searches by each. `score`:
    what a search is told, the mean of a network's scores, or a random one; `noise`: standard deviation of
    what is added to it. `seed`: of the first repeat.
    `jobs`: searches at a time, None for one a core.

    Raises InputError for a value of the wrong type or out of range.
    """

    samplers: Annotated[
        tuple[str, ...],
        listed(
            "a list of samplers; write it as text, such as evolution,tpe",
            lambda name: isinstance(name, str) and name != "",
        ),
        Option(
            "Samplers to compare with random, such as `evolution,tpe`.",
            _PANEL,
            key="sampler",
            missing="give --sampler, such as evolution,tpe",
        ),
    ]
    trials: Annotated[int, TRIALS, Option("Networks that a search tries.", _PANEL)] = 100
    repeats: Annotated[
        int,
        whole("a number of repeats; it is a whole number, 1 or more", 1),
        Option("Searches by each sampler.", _PANEL),
    ] = 30
    budget: Annotated[Budget, BUDGET] = ANY
    score: Annotated[
        str,
        one_of("what a search can be told", ("mean", "random")),
        Option("What a search is told: the `mean` of a network's scores, or a `random` one.", _PANEL),
    ] = "mean"
    noise: Annotated[
        float,
        number("a standard deviation; it is a number, 0 or more", lambda v: v >= 0),
        Option("Standard deviation of what is added to each score that a search is told.", _PANEL),
    ] = 0.0
    seed: Annotated[int, SEED, Option("Of the first repeat; the next have the next seeds.", _PANEL)] = 0
    jobs: Annotated[
        int | None,
        optional(whole("a number of processes; it is a whole number, 1 or more", 1), "for one a core"),
        Option("Searches at a time, each in a process, else one a core.", _PANEL),
    ] = None
