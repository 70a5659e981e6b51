"""The last round of a search: the settings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from nas.kinds import EPOCHS, one_of, whole
from nas.settings import Config, Option, User

_PANEL = "Search"


@dataclass(frozen=True)
class FinalsConfig(Config):
    """The last round: `count` of the best networks are trained for `epochs` under `seeds` fresh seeds."""

    count: Annotated[
        int,
        whole("a number of networks; it is a whole number, and 0 trains none of them longer", 0),
        Option(
            "Train so many of the best longer, under fresh seeds, before the winner is named.",
            _PANEL,
            key="finalists",
            resumable=True,
            unused_by=User.CALIBRATION,
        ),
    ] = 0
    epochs: Annotated[
        int,
        EPOCHS,
        Option("Epochs of a finalist.", _PANEL, key="final_epochs", unused_by=User.CALIBRATION),
    ] = 30
    seeds: Annotated[
        int,
        whole("a number of seeds; it is a whole number, 1 or more", 1),
        Option("Seeds of a finalist.", _PANEL, key="final_seeds", unused_by=User.CALIBRATION),
    ] = 3
    rank: Annotated[
        str,
        one_of("a precision", ("float32", "int8")),
        Option(
            "Rank finalists by their accuracy in `float32`, or in `int8`, quantised for this CPU and ONNX "
            "Runtime.",
            _PANEL,
            unused_by=User.EVALUATOR | User.CALIBRATION,
        ),
    ] = "float32"

    @property
    def in_int8(self) -> bool:
        """Whether they are ranked by their accuracy in int8."""
        return self.rank == "int8"

    @property
    def scored(self) -> str:
        """What a sentence about their scores ends with."""
        return ", scored in int8" if self.in_int8 else ""
