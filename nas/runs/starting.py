"""How a search starts: the settings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from nas.errors import InputError
from nas.kinds import BOOLEAN
from nas.runs.common import TRIAL_OF_RUN
from nas.settings import Config, Option

if TYPE_CHECKING:
    from nas.runs.config import SearchConfig

_PANEL = "Start"


@dataclass(frozen=True)
class TrainStartConfig(Config):
    """What is done of a full training. `trial`: of a run, None for its best. `dry_run`: it is only forecast.

    Raises InputError for a value of the wrong type or out of range.
    """

    trial: Annotated[
        int | None, TRIAL_OF_RUN, Option("A trial of the run whose weights were kept, else its best.", _PANEL)
    ] = None
    dry_run: Annotated[bool, BOOLEAN, Option("Only check everything, and forecast the time.", _PANEL)] = False


@dataclass(frozen=True)
class StartConfig(Config):
    """What is done of a search, and where. `join`: it works on a study that another search began. `dry_run`:
    it is only forecast. `submit`: it is done on a cluster.

    Raises InputError for two that exclude each other.
    """

    join: Annotated[
        bool, BOOLEAN, Option("Work on the study --name in --storage that another search began.", _PANEL)
    ] = False
    dry_run: Annotated[
        bool, BOOLEAN, Option("Only forecast time and memory, from three short trainings.", _PANEL)
    ] = False
    submit: Annotated[
        bool,
        BOOLEAN,
        Option("Search on the cluster of --address, auto or http://HOST:8265, and follow from here.", _PANEL),
    ] = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.dry_run and self.join:
            raise InputError(
                "dry-run: forecasts a search that begins, and --join works on one that has begun; leave one "
                "of the two out"
            )
        if self.dry_run and self.submit:
            raise InputError("dry-run: is done on this machine alone; leave out --submit, or --dry-run")


def check_join(config: SearchConfig, name: str | None, join: bool) -> None:
    """Raise InputError where it is not said which study is to be joined."""
    if join and not (config.storage and name):
        raise InputError("--join: a study is in a database and has a name; add --storage and --name")
    if join and config.has_latency:
        raise InputError(
            "--join: latency is predicted by the table of the driver that began the study, and each driver "
            "has one of its own; leave out --join, or limit MACs with --budget-flops"
        )
