"""The file of a pipeline, read as steps: all that is wrong in it is said before the first of them begins."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from nas.errors import InputError, suggest_word
from nas.files import read_given_text
from nas.loggers import check_loggers
from nas.runs.comparison import VersusConfig
from nas.runs.config import SearchConfig, check_used
from nas.runs.exporting import ExportConfig
from nas.runs.factors import ScaleConfig
from nas.runs.final_round import FinalsConfig
from nas.runs.plan import Plan
from nas.runs.profiling import ProfileConfig
from nas.runs.training import TrainConfig
from nas.settings import Config, User, name_keys
from nas.space.language.source import read_yaml, to_plain_data
from nas.steps.following import ExportStep, ProfileStep, ReportStep, ScaleStep, TrainStep, VersusStep
from nas.steps.searching import CalibrateStep, FinalistsStep, SearchSetup, SearchStep, check_proxy
from nas.workflows.checks import check_ends, check_rank
from nas.workflows.pipeline import Step
from nas.workflows.profile import check_profile
from nas.workflows.scaling import read_coefficients

STEPS = ("search", "calibrate", "finalists", "scale", "train", "versus", "profile", "export", "report")
"""In the order in which they are done, whatever that in a file is."""
_FINALISTS = 3
"""Where a step of finalists does not say how many."""
_EXPORT = ("format",)
"""Settings of an export that a pipeline has a use for."""
_PROFILE = tuple(key for key in ProfileConfig.settings() if key != "input")
"""Of a profile."""


def read_pipeline(what: Path | str | Mapping[str, Any], plugins: Sequence[Path | str] = ()) -> list[Step]:
    """Return the steps of a file, or of the mapping that it would have, in the order in which they are done.

    Raises InputError, with file, step and key, for an unknown step or key, a value that is not allowed, and a
    step without one that it needs.
    """
    where = "pipeline" if isinstance(what, Mapping) else str(what)
    found = _read_settings(what, where)
    with _placed(where):
        return list(_make_steps(found, tuple(map(Path, plugins))))


def _read_settings(what: Path | str | Mapping[str, Any], where: str) -> dict[str, dict[str, Any]]:
    """Return the plain settings of each step."""
    data: Any = what
    if not isinstance(what, Mapping):
        data = to_plain_data(read_yaml(read_given_text(Path(what)), where))
    if not isinstance(data, Mapping) or not data:
        raise InputError(f"{where}: wanted steps with their settings, such as search: {{space: mbconv}}")
    for step, settings in data.items():
        if step not in STEPS:
            if step in SearchConfig.settings():
                own = "finalists" if step in FinalsConfig.settings() else "search"
                raise InputError(
                    f"{where}: '{step}' is a setting of a search, and no step; write "
                    f"{own}: {{{step}: ...}}, or give a file of these settings to nas search --config"
                )
            raise InputError(f"{where}: unknown step '{step}'{suggest_word(str(step), list(STEPS))}")
        if settings is not None and not isinstance(settings, Mapping):
            raise InputError(
                f"{where}: {step}: {settings!r} is no mapping of settings; write {step}: {{}} for the "
                "defaults"
            )
    if "search" not in data:
        raise InputError(
            f"{where}: {next(iter(data))}: needs the step search, which is missing; add search: "
            "{space: FILE}"
        )
    return {step: name_keys(data[step] or {}, f"{where}: {step}") for step in STEPS if step in data}


@contextmanager
def _placed(where: str) -> Iterator[None]:
    """Name the file in messages."""
    try:
        yield
    except InputError as error:
        raise InputError(f"{where}: {error}") from None


@contextmanager
def _named(step: str) -> Iterator[None]:
    """Name the step in messages that do not."""
    try:
        yield
    except InputError as error:
        text = str(error)
        raise InputError(text if text.startswith(f"{step}: ") else f"{step}: {text}") from None


def _make_steps(given: Mapping[str, dict[str, Any]], plugins: tuple[Path, ...]) -> Iterator[Step]:
    searched = SearchSetup(_read_search(given), plugins)
    check_proxy(searched.config, given)
    with _named("search"):
        _ = searched.files  # what it names is there
        check_ends(searched.space, searched.config.budget)
    winner = "finalists" if "finalists" in given else "search"
    shown = (
        ("calibrate", "calibration.json"), ("versus", "versus.json"), ("profile", "profile.json"),
    )  # fmt: skip
    make: dict[str, Callable[[dict[str, Any]], Step]] = {
        "search": lambda own: SearchStep(searched, "finalists" in given),
        "calibrate": lambda own: CalibrateStep(searched, Plan.from_data(own, "calibrate")),
        "finalists": lambda own: FinalistsStep(searched),
        "scale": lambda own: ScaleStep(searched, winner, _read_scale(own)),
        "train": lambda own: _check_training(
            TrainStep(searched, winner, _read_network(TrainConfig, "train", own))
        ),
        "versus": lambda own: _check_versus(
            VersusStep(searched, winner, _read_network(VersusConfig, "versus", own))
        ),
        "profile": lambda own: ProfileStep(searched, winner, _read_profile(own)),
        "export": lambda own: ExportStep(
            searched, winner, _read_some(ExportConfig, "export", own, _EXPORT), "train" in given
        ),
        "report": lambda own: ReportStep(
            searched, winner, _read_nothing(own), tuple(one for one in shown if one[0] in given)
        ),
    }
    for name, own in given.items():
        with _named(name):
            step = make[name](own)
        yield step


def _read_search(given: Mapping[str, dict[str, Any]]) -> SearchConfig:
    """Return the config of a search with its finalists, which are a step of their own."""
    own = given["search"]
    for key in own:
        if key in FinalsConfig.settings():
            raise InputError(
                f"search: {key}: is a setting of the step finalists; write finalists: {{{key}: ...}}"
            )
    if "storage" in own:
        raise InputError("search: storage: a pipeline has its studies in its own folder; leave it out")
    config = SearchConfig.from_data(own, "search")
    with _named("search"):
        check_loggers(config.log)
    if "finalists" not in given:
        return config
    finals = FinalsConfig.from_data({"finalists": _FINALISTS, **given["finalists"]}, "finalists")
    if not finals.count:
        raise InputError("finalists: finalists: 0 trains none; give 1 or more, or leave the step out")
    config = SearchConfig.from_data({**own, **finals.to_data()}, "finalists")
    with _named("finalists"):
        if config.evaluator:
            check_used(finals.select_given(), User.EVALUATOR)
        check_rank(config)
    return config


def _read_network(
    kind: type[TrainConfig] | type[VersusConfig], step: str, own: dict[str, Any]
) -> dict[str, Any]:
    """Return the settings of a step that has a network, which is that of the search."""
    if "network" in own:
        raise InputError("network: is the best of the search here; leave it out")
    config = kind.from_data({**own, "network": "the best of the search"}, step)
    if isinstance(config, TrainConfig):
        check_loggers(config.log)
    return own


def _check_training(step: TrainStep) -> TrainStep:
    """Return a training. Raises InputError where what it names is not there."""
    _ = step.inputs
    if "input" in step.given:
        raise InputError("input: the search has its own; write it there, or give resolution")
    return step


def _check_versus(step: VersusStep) -> VersusStep:
    step.check()
    return step


def _read_scale(own: dict[str, Any]) -> dict[str, Any]:
    config = ScaleConfig.from_data(own, "scale")
    _ = config.way  # there is one
    if config.coefficients is not None:
        read_coefficients(config.coefficients)
    return config.select_given()


def _read_profile(own: dict[str, Any]) -> dict[str, Any]:
    found = _read_some(ProfileConfig, "profile", own, _PROFILE)
    check_profile(ProfileConfig.from_data(found, "profile"))
    return found


def _read_some(kind: type[Config], step: str, own: Mapping[str, Any], known: Sequence[str]) -> dict[str, Any]:
    """Return the settings of a step that are no defaults, of those that it knows of a config."""
    for key in own:
        if key not in known:
            raise InputError(f"{step}: unknown key '{key}'{suggest_word(key, list(known))}")
    return kind.from_data(own, step).select_given()


def _read_nothing(own: dict[str, Any]) -> dict[str, Any]:
    for key in own:
        raise InputError(f"unknown key '{key}'; a report has no settings")
    return own
