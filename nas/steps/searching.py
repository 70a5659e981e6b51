"""The steps that search: search, calibrate and finalists."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

from nas.errors import InputError, NasError
from nas.execution.config import ExecutorConfig
from nas.report.console import pluralise
from nas.runs.config import SearchConfig
from nas.runs.final_round import FinalsConfig
from nas.runs.folder import RunFolder
from nas.runs.plan import Plan
from nas.runs.provenance import digest_text
from nas.runs.state import RunState
from nas.settings import User
from nas.space import Space, dump_space
from nas.space.library import find_space
from nas.space.plugins import load_plugins, read_plugins
from nas.steps.digests import digest_data, digest_named, digest_plugins
from nas.study.records import LEAST_SCORED
from nas.workflows.calibration import CalibrationResult, calibrate
from nas.workflows.pipeline import Done, Step, Work
from nas.workflows.prepared import load_search_space
from nas.workflows.resume import resume
from nas.workflows.search import SearchResult, StopReason, search

_SETTINGS = {key: setting.option for key, setting in SearchConfig.settings().items()}
_FINALS = set(FinalsConfig.settings())
_WHERE = set(ExecutorConfig.settings())
"""Settings of where it trains, which change no result."""


@dataclass(frozen=True)
class SearchSetup:
    """What is searched, as all steps know it. `config` has the finalists that are trained in the end."""

    config: SearchConfig
    plugins: tuple[Path, ...]

    @cached_property
    def settings(self) -> dict[str, Any]:
        """Return the plain settings that are no defaults, but those of finalists and of where it trains."""
        given = self.config.select_given()
        own = {key: value for key, value in given.items() if key not in {*_FINALS, *_WHERE, "space"}}
        return {**own, "trials": self.config.trials}

    @cached_property
    def space(self) -> Space:
        """What is searched, fitted to its input."""
        load_plugins(read_plugins(self.plugins))
        return load_search_space(self.config)[0]

    @cached_property
    def files(self) -> dict[str, str]:
        """The checksums of what settings name: space, data, and code of the user's own."""
        config = self.config
        found = {
            f"the space {config.space}": digest_text(dump_space(self.space)),
            **digest_plugins(self.plugins),
        }
        if config.evaluator:
            found[f"the evaluator {config.evaluator}"] = digest_named(config.evaluator.file)
        elif own := digest_data(config.data.dataset):
            found[f"the data {config.data.dataset}"] = own
        return found

    @cached_property
    def trained_by(self) -> dict[str, Any]:
        """What trainings that are no trials of the search take of it: data, recipe, budget."""
        own = (key for key in self.settings if key not in _SETTINGS or _is_of_trainings(key))
        return {**{f"{key} of search": self.settings[key] for key in own}, **self.files}

    @property
    def changes(self) -> dict[str, Any]:
        """The plain settings that a run goes on with: those that may be others, and that are named again."""
        plain, given = self._drop_unused(self.config.to_data()), self.config.select_given()
        changes = {key: plain[key] for key, option in _SETTINGS.items() if option.resumable and key in plain}
        del changes["storage"]
        return changes | {key: given[key] for key in given if key in _SETTINGS and _SETTINGS[key].again}

    @property
    def no_finals(self) -> FinalsConfig:
        """The finalists of the step `search`: none, and what is compared has as many epochs all the same."""
        return FinalsConfig(epochs=self.config.finals.epochs, seeds=self.config.finals.seeds)

    def change_finals(self, finals: FinalsConfig) -> dict[str, Any]:
        """Return the plain settings with which a run goes on to other finalists."""
        return self.changes | self._drop_unused(finals.to_data())

    def _drop_unused(self, plain: Mapping[str, Any]) -> dict[str, Any]:
        """Return plain settings without those that have no effect on an evaluator of a user's own, if one
        trains."""
        unused = User.EVALUATOR if self.config.evaluator else User.NOBODY
        own = {key: option for key, option in _SETTINGS.items() if not unused & option.unused_by}
        return {key: value for key, value in plain.items() if key in own}


def _is_of_trainings(key: str) -> bool:
    return not _is_of_searches(key) and not _SETTINGS[key].resumable


def _is_of_searches(key: str) -> bool:
    return User.CALIBRATION in _SETTINGS[key].unused_by


@dataclass(frozen=True)
class SearchStep(Step):
    """`nas search`: trials, without finalists."""

    name: ClassVar[str] = "search"
    grows: ClassVar[frozenset[str]] = frozenset(key for key, one in _SETTINGS.items() if one.resumable)
    searched: SearchSetup
    has_finalists: bool

    @property
    def inputs(self) -> Mapping[str, Any]:
        config = self.searched.config
        starts = {f"the network {one}": digest_named(find_space(one)) for one in config.warm_start}
        return {**self.searched.settings, **self.searched.files, **starts}

    @property
    def reads(self) -> Sequence[tuple[str, str]]:
        return ()

    def run(self, work: Work) -> Done:
        own, place = self.searched, work.place
        if RunFolder(place).manifest_file.is_file():
            changes = own.change_finals(own.no_finals)
            result = resume(place, work.heard, changes=changes, plugins=own.plugins)
        else:
            alone = replace(own.config, finals=own.no_finals)
            result = search(alone, work.heard, plugins=own.plugins, runs=place.parent, name=place.name)
        assert isinstance(result, SearchResult)
        result.check()
        best = {} if self.has_finalists else _list_best_files(result)
        return Done({"trials.csv": result.state.folder.trials_file, **best}, _describe(result), result)


@dataclass(frozen=True)
class FinalistsStep(Step):
    """The last round of the search: its best networks again, longer, under fresh seeds."""

    name: ClassVar[str] = "finalists"
    at: ClassVar[str] = "{search}"
    searched: SearchSetup

    @property
    def inputs(self) -> Mapping[str, Any]:
        return self.searched.config.finals.select_given()

    @property
    def reads(self) -> Sequence[tuple[str, str]]:
        return (("search", "trials.csv"),)

    def run(self, work: Work) -> Done:
        own = self.searched
        trials = len(RunState.load(work.place, read_plugins(own.plugins)).trials)
        # no more trials, where the search was over before all were tried
        changes = own.change_finals(own.config.finals) | {"trials": trials}
        if own.config.repeats and trials < max(own.config.repeats, LEAST_SCORED):
            changes["repeats"] = 0
        result = resume(work.place, work.heard, changes=changes, plugins=own.plugins)
        assert isinstance(result, SearchResult)
        result.check()
        winner = result.state.winner
        if winner is None:
            over = result.stopped_by is StopReason.TIME_LIMIT
            why = "the time limit was over before all were trained; do it again to go on" if over else (
                "no long training gave a score; see nas show for the failures, and mend their cause"
            )  # fmt: skip
            raise NasError(f"{work.place}: {why}")
        spread = f", standard deviation {winner.deviation:.4f}" if winner.deviation is not None else ""
        epochs = pluralise(own.config.finals.epochs, "epoch")
        summary = f"{_describe(result)}; {winner.mean:.4f} after {epochs}{spread}"
        return Done(_list_best_files(result), summary, result)


@dataclass(frozen=True)
class CalibrateStep(Step):
    """`nas calibrate`: what a score of the search is worth."""

    name: ClassVar[str] = "calibrate"
    searched: SearchSetup
    plan: Plan

    @property
    def inputs(self) -> Mapping[str, Any]:
        return {**vars(self.plan), **self.searched.trained_by}

    @property
    def reads(self) -> Sequence[tuple[str, str]]:
        return ()

    def run(self, work: Work) -> Done:
        own, place = self.searched, work.place
        if RunFolder(place).manifest_file.is_file():
            changes = {key: value for key, value in own.changes.items() if not _is_of_searches(key)}
            result = resume(place, work.heard, changes=changes, plugins=own.plugins)
        else:
            config = replace(own.config, finals=FinalsConfig(), repeats=0)
            result = calibrate(
                config, self.plan, work.heard, plugins=own.plugins, runs=place.parent, name=place.name
            )
        assert isinstance(result, CalibrationResult)
        found = result.figures
        if found is None:
            raise NasError(f"{place}: the time limit was over before all were trained; do it again to go on")
        files = {file.name: file for file in result.files if file.suffix != ".svg"}
        return Done(files, f"differences of scores below {found.resolvable:.4f} are noise", result)


def check_proxy(config: SearchConfig, steps: Mapping[str, Mapping[str, Any]]) -> None:
    """Raise InputError where a step trains by the proxy, and the search by an evaluator of a user's own."""
    for name in ("calibrate", "versus", "train") if config.evaluator else ():
        if name in steps and "dataset" not in steps[name]:
            way = (
                "leave the step out, or name images with dataset" if name == "train" else "leave the step out"
            )
            raise InputError(
                f"{name}: {config.evaluator} trains by code of a user's own, and this step trains on images; "
                f"{way}"
            )


def _list_best_files(result: SearchResult) -> dict[str, Path]:
    """Return the files of the best network, and of its weights, by name."""
    weights = [file for file in result.exported if file.suffix == ".safetensors"]
    return {file.name: file for file in (result.state.folder.best_file, *weights)}


def _describe(result: SearchResult) -> str:
    best, metric = result.best, result.state.manifest.metric.name
    assert best is not None and best.score is not None
    return f"trial {best.candidate.number}: {metric} {best.score:.4f}, {best.candidate.cost}"
