"""What is shown and drawn of a space, a network or a run: the settings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from nas.kinds import BOOLEAN, CLASSES, TRIAL, TRIALS, optional, whole
from nas.measures import Budget
from nas.runs.budget import ANY, BUDGET
from nas.runs.common import OWN_INPUT, TRIAL_OF_RUN, input_option
from nas.settings import Config, Option

_PANEL, _DRAWING = "Show", "Drawing"


@dataclass(frozen=True)
class ShowConfig(Config):
    """Everything that decides what is shown.

    `budget`: the networks of a space inside it are counted. `input`: side of the input that a space or a
    network is fitted to, and `classes` that it is counted with, None for its own. `top`: trials of a run;
    `trial`: one of them alone.

    Raises InputError for a value of the wrong type or out of range.
    """

    budget: Annotated[Budget, BUDGET] = ANY
    input: Annotated[int | None, OWN_INPUT, input_option("the space or network", _PANEL)] = None
    classes: Annotated[
        int | None,
        optional(CLASSES, "for its own"),
        Option("Count with so many classes, else with the space's own.", _PANEL),
    ] = None
    top: Annotated[int, TRIALS, Option("How many trials of a run.", _PANEL)] = 5
    trial: Annotated[
        int | None,
        optional(TRIAL, "for the best ones"),
        Option("The network of this trial of a run, whatever became of it.", _PANEL),
    ] = None


@dataclass(frozen=True)
class DrawConfig(Config):
    """Everything that decides a drawing.

    `trial`: one of a run, None for its best. `depth`: levels of the names to open. `unfold`: every layer is
    drawn. `largest`: of a space with choices, the network of most MACs is drawn, or that of least; None where
    it has none. `input`: side of the input that it is fitted to, None for its own.

    Raises InputError for a value of the wrong type or out of range.
    """

    trial: Annotated[
        int | None,
        TRIAL_OF_RUN,
        Option("A trial of the run, whatever became of it, else its best.", _DRAWING),
    ] = None
    depth: Annotated[
        int,
        whole("a number of levels; it is a whole number, 1 or more", 1),
        Option(
            "Levels of the names to open: 1 draws stages, 2 their layers, 3 what a block has inside; as many "
            "as the names have draw every operator.",
            _DRAWING,
        ),
    ] = 1
    unfold: Annotated[
        bool,
        BOOLEAN,
        Option(
            "Draw every layer, one below the other; else a run of equal ones is drawn once, and what is "
            "higher than 2,000 pixels has columns.",
            _DRAWING,
        ),
    ] = False
    largest: Annotated[
        bool | None,
        optional(BOOLEAN, "for neither"),
        Option(
            "Of a space with choices, draw the network of most or least MACs.",
            _DRAWING,
            flags=("--largest/--smallest",),
        ),
    ] = None
    input: Annotated[int | None, OWN_INPUT, input_option("the network", _DRAWING)] = None
