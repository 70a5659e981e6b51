"""The settings of a search: defaults, then a file, then options; written to the run folder as resolved."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any

from nas.data.config import DataConfig, choose_resolution
from nas.deadline import dump_duration, parse_duration
from nas.errors import InputError, suggest_word
from nas.execution.config import ExecutorConfig
from nas.importing import FileFunction
from nas.kinds import (
    BOOLEAN,
    CLASSES,
    SEED,
    TRIALS,
    Kind,
    dump_value,
    is_number,
    optional,
    parsed,
    quote_each,
    text,
)
from nas.loggers import NAMES, log_option
from nas.measures import LATENCY, SHOWN, Budget, Measure, is_known
from nas.passwords import HIDDEN, SecretUrl
from nas.runs.budget import ANY, BUDGET
from nas.runs.common import SPACE_INPUT
from nas.runs.final_round import FinalsConfig
from nas.runs.runtime import RuntimeConfig
from nas.runs.score_noise import REPEATS, REPEATS_OPTION, check_repeats
from nas.samplers import SAMPLERS
from nas.settings import Config, Option, User
from nas.study.objective import ACCURACY, Objective, parse_objective
from nas.study.pruning import PRUNERS
from nas.training.recipe import TRAINING, Recipe
from nas.training.screens import SCREENS

_SEARCH, _WORKERS = "Search", "Workers"
_MOST_CANDIDATES = 64

DURATION = parsed(
    "a time; write it as text, such as 2h or 90m",
    lambda value: value is None or (is_number(value) and value > 0),
    parse_duration,
    dump_duration,
    null=None,
)
TIME_LIMIT = Option(
    "Stop training after `2h`, `90m` or `1h30m`, whatever the trials do.", _WORKERS, resumable=True
)


@dataclass(frozen=True)
class ScreenConfig:
    """What chooses before a training: of so many `candidates` the one that score `name` has as the best."""

    name: str
    candidates: int

    @classmethod
    def parse(cls, text: str) -> ScreenConfig:
        """Read `naswot:8`. Raises InputError for what is none."""
        name, _, count = text.partition(":")
        if name not in SCREENS:
            raise InputError(f"'{name}' is not a score{suggest_word(name, list(SCREENS))}")
        if not (count.isascii() and count.isdigit() and 2 <= int(count) <= _MOST_CANDIDATES):
            raise InputError(
                f"'{text}' does not say how many candidates it chooses among; write {name}:8, or any number "
                f"from 2 to {_MOST_CANDIDATES}"
            )
        return cls(name, int(count))

    def __str__(self) -> str:
        return f"{self.name}:{self.candidates}"


def _parse_steps(text: str) -> range:
    from nas.space.compound import parse_steps  # with the language of spaces, which takes its time

    return parse_steps(text)


def _is_imported(value: Any) -> bool:
    return isinstance(value, str) and ":" in value


class _StorageKind(Kind):
    def explain(self, value: Any) -> str:
        """Hide the password, which a URL that is mistyped has all the same."""
        user, at, host = str(value).rpartition("@")
        return super().explain(f"{HIDDEN}@{host}" if at and ":" in user else value)


def _make_absolute(url: str) -> str:
    """Return the URL with the path of an SQLite file made absolute, so that it is found from any folder."""
    found = _RELATIVE.fullmatch(url)
    return f"{found[1]}{Path(found[2]).absolute()}{found[3]}" if found else url


_RELATIVE = re.compile(r"(sqlite(?:\+\w+)?:///)(?!:memory:)([^/?][^?]*)(.*)", re.DOTALL)


@dataclass(frozen=True)
class SearchConfig(Config):
    """Everything that decides a search, each value read once.

    `space`: path or bundled name. `input`: side of the input that `fit_input` fits it to, None for its own.
    `classes`: what networks are counted with, None for the data's, or the space's without data.
    `warm_start`: networks of the space to try first, paths or bundled names.
    `scale`: steps of `nas.space.compound.PUBLISHED` by which the best network is scaled in the end. `pruner`:
    a name of `PRUNERS`, or MODULE:CLASS. `time_limit`: seconds that one command may train. `keep`: how many
    trials' weights stay in the run folder. `inherit`: trials start from the weights of the kept one that is
    most like them. `storage`: the URL of a database; the path of an SQLite file becomes absolute.

    Raises InputError for a value of the wrong type or out of range, and for two that exclude each other.
    """

    space: Annotated[
        str,
        text("a path or the name of a bundled space"),
        Option(
            "A space: a YAML file, or the name of a bundled one (see 'nas spaces').",
            is_argument=True,
            missing="add space: FILE, or name it on the command line",
        ),
    ]
    budget: Annotated[Budget, BUDGET] = ANY
    input: Annotated[
        int | None,
        SPACE_INPUT,
        Option(
            "Side in pixels of images that the space is fitted to: early strides become 1, costs are counted "
            "there, and the best network takes them; else the space's own.",
            _SEARCH,
        ),
    ] = None
    classes: Annotated[
        int | None,
        optional(
            CLASSES,
            "for the data's, else the space's",
        ),
        Option(
            "Count networks with so many classes, as for a task of later; else with those of the data, or of "
            "the space where an evaluator trains.",
            _SEARCH,
        ),
    ] = None
    trials: Annotated[
        int,
        TRIALS,
        Option("Networks to try.", _SEARCH, resumable=True, unused_by=User.CALIBRATION),
    ] = 50
    latency: RuntimeConfig = field(default_factory=RuntimeConfig)
    sampler: Annotated[
        str,
        text("the name of a sampler"),
        Option(
            f"What proposes networks: {quote_each(SAMPLERS)}, or MODULE:CLASS of an Optuna sampler.",
            _SEARCH,
            again=_is_imported,
            unused_by=User.CALIBRATION,
        ),
    ] = "predictor"
    objective: Annotated[
        Objective,
        parsed(
            "an objective, such as accuracy or accuracy,flops",
            lambda value: isinstance(value, Objective),
            parse_objective,
            lambda value: value.text,
        ),
        Option(
            "`accuracy`; `accuracy,flops` for a front; or a reward, `accuracy*(flops/400M)^-0.07`.",
            _SEARCH,
            unused_by=User.CALIBRATION,
        ),
    ] = ACCURACY
    seed: Annotated[
        int,
        SEED,
        Option(
            "Of networks, weights and the data's split; with one worker, the same seed gives the same "
            "search.",
            _SEARCH,
        ),
    ] = 0
    prescreen: Annotated[
        ScreenConfig | None,
        parsed(
            "a score and a number of candidates; write it as text, such as naswot:8",
            lambda value: value is None or isinstance(value, ScreenConfig),
            ScreenConfig.parse,
            str,
            null=None,
        ),
        Option(
            "Train the best of several candidates by a score without training, such as `naswot:8`.",
            _SEARCH,
            unused_by=User.EVALUATOR | User.CALIBRATION,
        ),
    ] = None
    warm_start: Annotated[
        tuple[str, ...],
        Kind(
            "a list of networks, such as [reference/efficientnet_b0]",
            lambda v: isinstance(v, tuple) and all(isinstance(one, str) and one for one in v),
        ),
        Option(
            "Try this network first: a file, or the name of a bundled one; repeatable.",
            _SEARCH,
            key="start",
            unused_by=User.CALIBRATION,
        ),
    ] = ()
    scale: Annotated[
        range,
        parsed(
            "a range of steps; write it as text, such as 1..3",
            lambda value: isinstance(value, range) and value in (range(0), range(value.start, value.stop)),
            _parse_steps,
            lambda value: f"{value.start}..{value.stop - 1}",
            null=range(0),
        ),
        Option(
            "Scale the best network in the end, by EfficientNet's steps `1..3`.",
            _SEARCH,
            unused_by=User.CALIBRATION,
        ),
    ] = range(0)
    repeats: Annotated[int, REPEATS, REPEATS_OPTION] = 0
    finals: FinalsConfig = field(default_factory=FinalsConfig)
    pruner: Annotated[
        str | None,
        optional(text("the name of a scheduler"), "for none"),
        Option(
            f"What stops poor trials early: {quote_each(PRUNERS)}, or MODULE:CLASS of an Optuna pruner.",
            _SEARCH,
            key="scheduler",
            again=_is_imported,
            unused_by=User.CALIBRATION,
        ),
    ] = None
    data: DataConfig = field(default_factory=DataConfig)
    recipe: Recipe = field(default_factory=Recipe)
    inherit: Annotated[
        bool,
        Kind(f"{BOOLEAN.rule}; true starts trials from the weights of those before", BOOLEAN.accepts),
        Option(
            "Start trials from the weights of the kept trial that is most like them.",
            TRAINING,
            unused_by=User.CALIBRATION,
        ),
    ] = False
    evaluator: Annotated[
        FileFunction | None,
        parsed(
            "an evaluator; it is FILE:FUNCTION, such as regression.py:train",
            lambda value: value is None or isinstance(value, FileFunction),
            FileFunction.parse,
            str,
            null=None,
        ),
        Option(
            "Train by code of your own, FILE:FUNCTION; the file is run.",
            TRAINING,
            resumable=True,
            unused_by=User.CALIBRATION,
        ),
    ] = None
    executor: ExecutorConfig = field(default_factory=ExecutorConfig)
    time_limit: Annotated[float | None, DURATION, TIME_LIMIT] = None
    keep: Annotated[
        int,
        TRIALS,
        Option("Keep the weights of so many best trials.", unused_by=User.CALIBRATION),
    ] = 5
    log: Annotated[tuple[str, ...], NAMES, log_option("trials", unused_by=User.CALIBRATION)] = ()
    storage: Annotated[
        str | None,
        optional(
            _StorageKind(
                "a storage; it is a database URL such as sqlite:///study.db",
                lambda v: isinstance(v, str) and "://" in v,
                write=lambda v: None if v is None else str(v),
            )
        ),
        Option(
            "Keep the study in a database, such as `sqlite:///study.db`, else in the run folder.",
            resumable=True,
            again=lambda value: value is not None,
        ),
    ] = None

    def __post_init__(self) -> None:
        super().__post_init__()
        for measure in self.measures:
            if not is_known(measure):
                raise InputError(
                    f"budget: measure '{measure.name}' has no row in nas.measures.MEASURES, by which a run "
                    "is read again; add it there"
                )
        if self.storage is not None:
            whole = SecretUrl(self.storage).whole
            object.__setattr__(self, "storage", SecretUrl(_make_absolute(whole)))
        if self.finals.count and not self.objective.is_single:
            raise InputError(
                f"finalists: objective {self.objective.text} has no best network to name; give a reward such "
                "as accuracy*(flops/400M)^-0.07, or leave the finalists out"
            )
        check_repeats(self)
        if self.inherit and self.data.folds > 1:
            raise InputError(
                f"inherit: with folds: {self.data.folds} a network would be scored on images that its "
                "parent was trained on; leave one of the two out"
            )

    @property
    def has_latency(self) -> bool:
        """Whether latency is limited or judged by."""
        return LATENCY in self.measures

    @property
    def measures(self) -> tuple[Measure, ...]:
        """What tables have columns of: what is always shown, limited, or judged by."""
        return tuple(dict.fromkeys((*SHOWN, *self.budget, *self.objective.measures)))

    def change(self, settings: Mapping[str, Any], where: str) -> SearchConfig:
        """Return the config with plain settings over its own. Raises InputError as `from_data`."""
        return type(self).from_data(merge({**self.to_data(), "storage": self.storage}, settings), where)

    @classmethod
    def read(cls, data: Any) -> dict[str, Any]:
        """Return the values of the fields that are given; an input is the proxy's resolution too, where none
        is given."""
        values = super().read(data)
        if values.get("input") is not None and "resolution" not in data:
            values["data"] = replace(
                values.get("data", DataConfig()), resolution=choose_resolution(values["input"])
            )
        return values

    def select_given(self) -> dict[str, Any]:
        """Return the plain values that are no defaults; a resolution is one that is not that of the input."""
        found = super().select_given()
        if self.input is not None:
            found["resolution"] = self.data.resolution
            if self.data.resolution == choose_resolution(self.input):
                del found["resolution"]
        return found


_WHY = {
    User.EVALUATOR: "it is of the proxy, and an evaluator of a user's own trains here; leave one out",
    User.CALIBRATION: "it is of searches, and this is a calibration; leave it out",
}


def check_used(given: Mapping[str, Any], user: User, where: str | None = None) -> None:
    """Raise InputError for one of the plain settings that are given that has no effect on a user of them."""
    for place, value in SearchConfig.find_unused(given, user):
        start = f"{where}: {place}" if where else place
        raise InputError(f"{start}: {dump_value(value)} has no effect: {_WHY[user]}")


def merge(settings: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Return plain settings with others over them, those of a section one by one."""
    both = [key for key in SearchConfig.sections() if key in settings and key in over]
    return {**settings, **over, **{key: {**settings[key], **over[key]} for key in both}}
