"""The settings of a search: defaults, then a file, then flags; written to the run folder as resolved."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from nas.cost import Budget, Interval, parse_interval
from nas.data.config import DataConfig
from nas.deadline import parse_duration
from nas.errors import InputError, did_you_mean
from nas.execution.config import ExecutorConfig
from nas.study.objective import Objective, parse_objective
from nas.training.recipe import Recipe

SCHEDULERS = ("asha", "hyperband", "median")
"""What may stop poor trials early."""


SCREENS = ("grad_norm", "snip", "synflow", "naswot", "jacob_cov", "zico", "zen", "macs", "params")
"""What may choose among candidates before they are trained: zero-cost scores, and costs."""
_MOST_CANDIDATES = 64


@dataclass(frozen=True)
class FinalsConfig:
    count: int = 0
    epochs: int = 30
    seeds: int = 3


@dataclass(frozen=True)
class ScreenConfig:
    name: str
    candidates: int


@dataclass(frozen=True)
class EvaluatorRef:
    file: Path
    function: str

    def __str__(self) -> str:
        return f"{self.file}:{self.function}"


_DATA = ("resolution", "val_fraction", "max_images", "max_broken", "folds")


@dataclass(frozen=True)
class SearchConfig:
    space: str
    budget: Budget = Budget()
    trials: int = 50
    sampler: str = "predictor"
    objective: Objective = Objective()
    seed: int = 0
    prescreen: ScreenConfig | None = None
    warm_start: tuple[str, ...] = ()
    scale: range = range(0)
    pruner: str | None = None
    finals: FinalsConfig = FinalsConfig()
    data: DataConfig = DataConfig()
    recipe: Recipe = Recipe()
    inherit: bool = False
    evaluator: EvaluatorRef | None = None
    executor: ExecutorConfig = ExecutorConfig()
    time_limit: float | None = None
    keep: int = 5
    storage: str | None = None
    raw: dict = field(default_factory=dict, compare=False)

    @classmethod
    def from_data(cls, data, where):
        data = dict(data)
        evaluator = data.pop("evaluator", None)
        top = {k: data.pop(k) for k in _DATA if k in data}
        old = Settings.from_data(data, where)
        ref = None
        if evaluator:
            f, _, n = evaluator.rpartition(":")
            ref = EvaluatorRef(Path(f), n)
        return cls(
            space=old.space,
            budget=old.budget,
            trials=old.trials,
            sampler=old.sampler,
            objective=old.aim,
            seed=old.seed,
            prescreen=ScreenConfig(*old.screen) if old.screen else None,
            warm_start=old.start,
            scale=old.steps,
            pruner=old.scheduler,
            finals=FinalsConfig(old.finalists, old.final_epochs, old.final_seeds),
            data=DataConfig(old.dataset, **top),
            recipe=old.recipe,
            inherit=old.inherit,
            evaluator=ref,
            executor=ExecutorConfig(
                old.workers, old.cpus_per_trial, old.gpus_per_trial, old.trial_timeout, old.address
            ),
            time_limit=old.seconds,
            keep=old.keep,
            storage=old.storage,
            raw={**old.to_data(), **top, "evaluator": evaluator},
        )

    @property
    def time_limit_text(self):
        return self.raw["time_limit"]

    def to_data(self):
        return {k: v for k, v in self.raw.items() if k != "evaluator" or v}

    def changed(self, changes, where):
        return SearchConfig.from_data(
            {**self.to_data(), **{k: v for k, v in changes.items() if v is not None}}, where
        )


def upgrade_settings(data):
    recipe = dict(data.get("recipe", {}))
    moved = {k: recipe.pop(k) for k in _DATA if k in recipe}
    return {**data, "recipe": recipe, **moved}


@dataclass(frozen=True)
class Settings:
    """Everything that decides a search.

    `space`: path or bundled name. Budgets are text as in `parse_interval`; `budget_fill` is the part of each
    that networks use at least. `workers`: trials at a time, None
    for as many as the cluster has room for, 0 for this process without Ray. `address`: `local` starts Ray
    here, `auto` and `HOST:PORT` join a cluster. `gpus_per_trial`: None for 1 where this machine has a GPU and
    0 elsewhere. `trial_timeout`: seconds after which a training fails. `keep`: how many trials' weights stay
    in the run folder. `start`: networks of the space to try first, paths or bundled names. `scale`: steps of
    phi, `1..3`, by which the best network is scaled in the end. `objective`: what is
    maximised, as in `parse_objective`. `finalists`: how many of the best networks are trained for
    `final_epochs` under `final_seeds` fresh seeds before the winner is named. `time_limit`: how long one
    command may train, as in `parse_duration`. `prescreen`: what chooses among how many candidates for each
    trial, `naswot:8`. `inherit`: trials start from the weights
    of the kept one that is most like them.

    Raises InputError for a value of the wrong type or out of range.
    """

    space: str
    budget_flops: str | None = None
    budget_params: str | None = None
    budget_fill: float | None = None
    trials: int = 50
    sampler: str = "predictor"
    seed: int = 0
    dataset: str = "digits"
    workers: int | None = None
    cpus_per_trial: int = 1
    gpus_per_trial: float | None = None
    trial_timeout: float | None = None
    scheduler: str | None = None
    address: str = "local"
    keep: int = 5
    storage: str | None = None
    start: tuple[str, ...] = ()
    scale: str | None = None
    objective: str = "accuracy"
    finalists: int = 0
    final_epochs: int = 30
    final_seeds: int = 3
    time_limit: str | None = None
    prescreen: str | None = None
    inherit: bool = False
    recipe: Recipe = field(default_factory=Recipe)

    def __post_init__(self) -> None:
        for name, (accepts, rule) in _RULES.items():
            value = getattr(self, name)
            if not accepts(value):
                raise InputError(f"{name.replace('_', '-')}: {value!r} is not {rule}")
        needs_ray = {"address": self.address != "local"}
        for name in (name for name, needed in needs_ray.items() if needed and self.workers == 0):
            raise InputError(
                f"{name}: {getattr(self, name)} needs Ray, and workers: 0 runs without it; give 1 worker or "
                f"more, or leave the {name} out"
            )
        if self.finalists and not self.aim.is_single:
            raise InputError(
                f"finalists: objective {self.objective} has no best network to name; give a reward such as "
                "accuracy*(flops/400M)^-0.07, or leave the finalists out"
            )
        if self.inherit and self.recipe.folds > 1:
            raise InputError(
                f"inherit: with folds: {self.recipe.folds} a network would be scored on images that its "
                "parent was trained on; leave one of the two out"
            )
        _ = self.budget, self.steps, self.aim, self.seconds, self.screen

    @property
    def budget(self) -> Budget:
        budget = read_budget(self.budget_flops, self.budget_params)
        if self.budget_fill is None:
            return budget
        return Budget(*(self._filled(part, self.budget_fill) for part in (budget.macs, budget.params)))

    def _filled(self, limit: Interval, fill: float) -> Interval:
        """The upper part of a limit, where there is one."""
        if limit.low or self.budget_flops is self.budget_params is None:
            what = f"{limit} is a band already" if limit.low else "there is no budget to fill"
            raise InputError(f"budget-fill: {what}; give it with one figure, such as --budget-flops 400M")
        return limit if limit.high is None else replace(limit, low=math.ceil(fill * limit.high))

    @property
    def steps(self) -> range:
        """The steps of `scale`."""
        if self.scale is None:
            return range(0)
        from nas.space.compound import parse_steps

        try:
            return parse_steps(self.scale)
        except InputError as error:
            raise InputError(f"scale: {error}") from None

    @property
    def aim(self) -> Objective:
        """What is maximised."""
        try:
            return parse_objective(self.objective)
        except InputError as error:
            raise InputError(f"objective: {error}") from None

    @property
    def seconds(self) -> float | None:
        """The time limit."""
        if self.time_limit is None:
            return None
        try:
            return parse_duration(self.time_limit)
        except InputError as error:
            raise InputError(f"time-limit: {error}") from None

    @property
    def screen(self) -> tuple[str, int] | None:
        """The score of `prescreen`, and the candidates that it chooses among."""
        if self.prescreen is None:
            return None
        name, _, count = self.prescreen.partition(":")
        if name not in SCREENS:
            raise InputError(f"prescreen: '{name}' is not a score{did_you_mean(name, list(SCREENS))}")
        if not (count.isascii() and count.isdigit() and 2 <= int(count) <= _MOST_CANDIDATES):
            raise InputError(
                f"prescreen: '{self.prescreen}' does not say how many candidates it chooses among; write "
                f"{name}:8, or any number from 2 to {_MOST_CANDIDATES}"
            )
        return name, int(count)

    def to_data(self) -> dict[str, Any]:
        """Plain values, from which `from_data` makes equal settings."""
        return asdict(self) | {"start": list(self.start)}

    @classmethod
    def from_data(cls, data: Mapping[str, Any], where: str) -> Settings:
        """Settings from plain values; `where` names their file in messages.

        Raises InputError for an unknown key and for a value that is not allowed.
        """
        if not isinstance(data, Mapping):
            raise InputError(f"{where}: wanted a mapping of settings, such as trials: 50")
        known = [f.name for f in fields(cls)]
        recipe_known = [f.name for f in fields(Recipe)]
        given = dict(data)
        recipe = given.pop("recipe", {})
        if not isinstance(recipe, Mapping):
            raise InputError(f"{where}: recipe: wanted a mapping, such as {{epochs: 4}}")
        for key, allowed in [(k, known) for k in given] + [(k, recipe_known) for k in recipe]:
            if key not in allowed:
                raise InputError(f"{where}: unknown key '{key}'{did_you_mean(str(key), allowed)}")
        if "space" not in given:
            raise InputError(f"{where}: no space is named; add space: FILE, or name it on the command line")
        if isinstance(given.get("start"), list):
            given["start"] = tuple(given["start"])
        try:
            return cls(**given, recipe=Recipe(**recipe))
        except InputError as error:
            raise InputError(f"{where}: {error}") from None


def read_budget(flops: str | None, params: str | None) -> Budget:
    """A budget from the texts of its parts. Raises InputError for one that cannot be read."""
    return Budget(macs=_interval("budget-flops", flops), params=_interval("budget-params", params))


def read_config(path: Path) -> dict[str, Any]:
    """The settings in a YAML file, which may leave the space to a flag.

    Raises InputError for what cannot be read, an unknown key and a value that is not allowed.
    """
    from nas.space.language.source import read_text, read_yaml, to_plain_data

    data = to_plain_data(read_yaml(read_text(path), str(path)))
    if not isinstance(data, dict):
        raise InputError(f"{path}: wanted a mapping of settings, such as trials: 50")
    settings = {key.replace("-", "_"): value for key, value in data.items()}
    Settings.from_data({"space": "given later", **settings}, str(path))
    return settings


def merged(config: Mapping[str, Any], flags: Mapping[str, Any]) -> dict[str, Any]:
    """Settings of a file with those of flags over them; a flag that was not given is None."""
    given = {key: value for key, value in flags.items() if value is not None}
    recipe_keys = {f.name for f in fields(Recipe)}
    recipe = config.get("recipe", {})
    if isinstance(recipe, Mapping):
        recipe = {**recipe, **{k: v for k, v in given.items() if k in recipe_keys}}
    return {**config, **{k: v for k, v in given.items() if k not in recipe_keys}, "recipe": recipe}


_MOST_CPUS = 1_024


def _interval(flag: str, text: str | None) -> Interval:
    if text is None:
        return Interval()
    try:
        return parse_interval(text)
    except InputError as error:
        raise InputError(f"{flag}: {error}") from None


def _whole(low: int, optional: bool = False) -> Callable[[object], bool]:
    return lambda v: (v is None and optional) or (type(v) is int and v >= low)


def _text(value: object) -> bool:
    return isinstance(value, str) and value != ""


def _optional_text(value: object) -> bool:
    return value is None or _text(value)


_RULES: dict[str, tuple[Callable[[object], bool], str]] = {
    "space": (_text, "a path or the name of a bundled space"),
    "budget_flops": (_optional_text, "a budget; write it as text, such as 400M"),
    "budget_params": (_optional_text, "a budget; write it as text, such as 5M"),
    "budget_fill": (
        lambda v: v is None or (type(v) in (int, float) and 0 < v <= 1),  # type: ignore[operator]
        "a part of the budget; it is a number above 0 and up to 1, and 0.9 leaves out the cheap networks",
    ),
    "trials": (_whole(1), "a number of trials; it is a whole number, 1 or more"),
    "sampler": (_text, "the name of a sampler"),
    "seed": (_whole(0), "a seed; it is a whole number, 0 or more"),
    "dataset": (_text, "a data set, such as digits or imagefolder:PATH"),
    "workers": (_whole(0, optional=True), "a number of workers; it is a whole number, 0 or more"),
    "cpus_per_trial": (
        lambda v: _whole(1)(v) and v <= _MOST_CPUS,  # type: ignore[operator]
        f"a number of CPUs; it is a whole number from 1 to {_MOST_CPUS:,}",
    ),
    "gpus_per_trial": (
        lambda v: v is None or (type(v) in (int, float) and v >= 0),  # type: ignore[operator]
        "a number of GPUs; it is a number, 0 or more, and 0.5 lets two trials share one",
    ),
    "trial_timeout": (
        lambda v: v is None or (type(v) in (int, float) and v > 0),  # type: ignore[operator]
        "a number of seconds above 0",
    ),
    "scheduler": (
        lambda v: v is None or v in SCHEDULERS,
        f"a scheduler; it is {' or '.join(SCHEDULERS)}, or is left out",
    ),
    "address": (_text, "an address; it is local, auto or HOST:PORT"),
    "keep": (_whole(1), "a number of trials; it is a whole number, 1 or more"),
    "storage": (
        lambda v: v is None or (isinstance(v, str) and "://" in v),
        "a storage; it is a database URL such as sqlite:///study.db",
    ),
    "start": (
        lambda v: isinstance(v, tuple) and all(map(_text, v)),
        "a list of networks, such as [reference/efficientnet_b0]",
    ),
    "scale": (_optional_text, "a range of steps; write it as text, such as 1..3"),
    "objective": (_text, "an objective, such as accuracy or accuracy,flops"),
    "finalists": (_whole(0), "a number of networks; it is a whole number, and 0 trains none of them longer"),
    "prescreen": (_optional_text, "a score and a number of candidates; write it as text, such as naswot:8"),
    "time_limit": (_optional_text, "a time; write it as text, such as 2h or 90m"),
    "final_epochs": (_whole(1), "a number of epochs; it is a whole number, 1 or more"),
    "final_seeds": (_whole(1), "a number of seeds; it is a whole number, 1 or more"),
    "inherit": (
        lambda v: isinstance(v, bool),
        "true or false; true starts trials from the weights of those before",
    ),
}
