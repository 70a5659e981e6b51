"""How a run whose networks are trained elsewhere is made and asked: the settings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from nas.errors import InputError
from nas.kinds import BOOLEAN, TRIALS, Kind, optional, text, whole
from nas.settings import Config, Option
from nas.training.base import METRIC_NAME, Metric, is_range

_METRIC, _ASK = "Metric", "Ask"


@dataclass(frozen=True)
class MetricConfig(Config):
    """What the scores of a run are. `range`: the least and the most that one can be, None where that is not
    known.

    Raises InputError for a value of the wrong type or out of range.
    """

    metric: Annotated[str, METRIC_NAME, Option("What the scores are.", _METRIC)] = "score"
    minimize: Annotated[bool, BOOLEAN, Option("The lower a score, the better.", _METRIC)] = False
    range: Annotated[
        tuple[float, float] | None,
        optional(Kind("a range; it is its least and its most, such as 0 100", is_range), "for no known one"),
        Option("The least and the most that a score can be, such as `0 100`.", _METRIC),
    ] = None

    @classmethod
    def of(cls, metric: Metric) -> MetricConfig:
        """Return the settings of a metric."""
        return cls(metric.name, not metric.maximize, metric.range)

    def to_metric(self) -> Metric:
        """Return the metric. Raises InputError for a name that is none."""
        return Metric(self.metric, not self.minimize, self.range)


@dataclass(frozen=True)
class AskConfig(Config):
    """What is asked of a run. `count`: so many networks to train. `points`: a file of proposals in place of
    them, `-` for standard input. `network`: each is printed too. `running`: those that were asked for and not
    told of, in place of more. `trials`: how many networks there are to be in all, None for as many as before.

    Raises InputError for a value of the wrong type or out of range, and for two that exclude each other.
    """

    count: Annotated[
        int,
        whole("a number of networks; it is a whole number, 1 or more", 1),
        Option("So many networks, a line each.", _ASK, key="n"),
    ] = 1
    points: Annotated[
        str | None,
        optional(text("a file; it is a path, or - for standard input")),
        Option("Propose: a file has the choices of a network a line, as JSON; `-` is standard input.", _ASK),
    ] = None
    network: Annotated[bool, BOOLEAN, Option("Print each network as YAML too.", _ASK)] = False
    running: Annotated[
        bool, BOOLEAN, Option("Print those that were asked for and not told of, and ask for none.", _ASK)
    ] = False
    trials: Annotated[
        int | None,
        optional(TRIALS, "for as many as before"),
        Option("From now on, so many networks in all.", _ASK),
    ] = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.points is not None and (self.running or self.count > 1):
            raise InputError("points: has a network a line; leave out --n and --running")
