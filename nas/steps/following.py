"""The steps that follow a search: scale, train, versus, profile, export, report."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from nas.errors import InputError
from nas.files import make_folder, write_atomically
from nas.report.console import pluralise
from nas.report.latency import dump_profile, format_ms
from nas.report.page import write_report
from nas.runs.coefficients import CoefficientsFolder, OwnCoefficients
from nas.runs.comparison import VersusConfig, VersusFolder
from nas.runs.exporting import ExportConfig
from nas.runs.factors import ScaleConfig
from nas.runs.folder import TrainingFolder, choose_run_path
from nas.runs.profiling import ProfileConfig
from nas.runs.training import SEARCH, WHERE, TrainConfig
from nas.space import load_space
from nas.space.library import find_space
from nas.steps.digests import digest_data, digest_named
from nas.steps.searching import SearchSetup
from nas.training.metrics import FIELDS, describe_value
from nas.workflows.export import write_network
from nas.workflows.pipeline import Done, Step, Work
from nas.workflows.profile import keep_profile, take_profile
from nas.workflows.resume import resume
from nas.workflows.scaling import read_coefficients, scale_network
from nas.workflows.train import train
from nas.workflows.train.teaching import find_teacher_file
from nas.workflows.train.values import TrainResult
from nas.workflows.versus import versus
from nas.workflows.versus.contestants import OF_RUNS

_BEST, _WEIGHTS = "best.yaml", "best.safetensors"


@dataclass(frozen=True)
class Following(Step):
    """A step after the search. `winner`: the step that names the best network; `given`: its settings."""

    searched: SearchSetup
    winner: str
    given: Mapping[str, Any]

    @property
    def inputs(self) -> Mapping[str, Any]:
        return self.given

    @property
    def reads(self) -> Sequence[tuple[str, str]]:
        return ((self.winner, _BEST),)


@dataclass(frozen=True)
class ScaleStep(Following):
    """`nas scale` of the best network."""

    name: ClassVar[str] = "scale"

    @property
    def inputs(self) -> Mapping[str, Any]:
        given = self.given.get("coefficients")
        named = read_coefficients(given) if given is not None else None
        if not isinstance(named, OwnCoefficients):
            return self.given
        file = CoefficientsFolder(named.folder).ranking_file
        return {**self.given, f"the coefficients of {given}": digest_named(file)}

    @property
    def finds(self) -> Sequence[str]:
        is_own = self.given.get("coefficients") is None and "factors" not in self.given
        return ("{search}/coefficients/coefficients.json",) if is_own else ()

    def run(self, work: Work) -> Done:
        file, plugins = work.place / "network.yaml", self.searched.plugins
        config = ScaleConfig.from_data(self.given, self.name)
        found = scale_network(work.places["search"], file, config, plugins=plugins)
        files = {one.path.name: one.path for one in found}
        costs = ", ".join(
            str(one.space.cost(one.space.largest())) for one in (found[0], found[-1])[: len(found)]
        )
        return Done(files, f"{pluralise(len(found), 'network')}: {costs}", found)


@dataclass(frozen=True)
class TrainStep(Following):
    """`nas train` of the best network."""

    name: ClassVar[str] = "train"

    @property
    def inputs(self) -> Mapping[str, Any]:
        config = TrainConfig.from_data({**self.given, "network": "the best"}, self.name)
        found = {key: value for key, value in config.select_given().items() if key not in ("network", *WHERE)}
        if config.teacher is not None:
            found[f"the teacher {config.teacher}"] = digest_named(find_teacher_file(config.teacher))
        if config.init not in (None, SEARCH):
            found[f"the weights {config.init}"] = digest_named(str(config.init))
        if "dataset" in self.given and (digest := digest_data(config.data.dataset)):
            found[f"the data {config.data.dataset}"] = digest
        return {**found, **self.searched.trained_by}

    @property
    def reads(self) -> Sequence[tuple[str, str]]:
        weights = [(self.winner, _WEIGHTS)] if self.given.get("init") == SEARCH else []
        return ((self.winner, _BEST), *weights)

    def run(self, work: Work) -> Done:
        folder, plugins, heard = TrainingFolder(work.place), self.searched.plugins, work.heard
        result: TrainResult | None = None
        if not folder.manifest_file.is_file():
            result = train(
                work.places["search"], self.given, heard, plugins=plugins, runs=work.place.parent,
                name=work.place.name,
            )  # fmt: skip
        elif not folder.report_file.is_file():
            given = {key: value for key, value in self.given.items() if key in WHERE}
            changes = {"address": "local", "log": None} | given  # the file is what names them
            resumed = resume(folder.path, heard, changes=changes, plugins=plugins)
            assert isinstance(resumed, TrainResult)
            result = resumed
        figures = json.loads(folder.report_file.read_text(encoding="utf-8"))
        names = ("best.py", _WEIGHTS, folder.network_file.name, folder.report_file.name)
        tested = describe_value(figures["metric"], figures[FIELDS[figures["metric"]]])
        summary = f"{tested} on {figures['tested_on']}"
        return Done({name: folder.path / name for name in names}, summary, result)


@dataclass(frozen=True)
class VersusStep(Following):
    """`nas versus`, in the folder of the search, where its report looks for it. One with other settings is
    moved aside."""

    name: ClassVar[str] = "versus"
    at: ClassVar[str] = "{search}/versus"
    grows: ClassVar[frozenset[str]] = frozenset(("seeds",))

    @property
    def inputs(self) -> Mapping[str, Any]:
        config = self._config
        found = {key: value for key, value in config.select_given().items() if key not in _NOT_OF_RESULTS}
        files = {name: find_space(name) for name in config.references}
        digests = {f"the network {name}": digest_named(file) for name, file in files.items()}
        return {**found, "seeds": config.seeds, **digests, **self.searched.trained_by}

    @property
    def _config(self) -> VersusConfig:
        return VersusConfig.from_data({**self.given, "network": "the best"}, self.name)

    def check(self) -> None:
        """Raise InputError for what is the search's, and for a baseline that is no network."""
        for key in OF_RUNS & self.given.keys():
            raise InputError(
                f"{key}: is that of the search, by which its networks are compared; leave it out"
            )
        for name in self._config.references:
            file = find_space(name)
            if not load_space(file).is_architecture:
                raise InputError(f"baseline: {file} is a space with choices; name the file of one network")

    def run(self, work: Work) -> Done:
        if not work.goes_on and work.place.exists():
            work.place.rename(choose_run_path(work.place.parent, self.name))
        where = self.searched.config.executor.select_given()
        settings, plugins = {**where, **self.given}, self.searched.plugins
        result = versus(work.places["search"], settings, work.heard, plugins=plugins)
        folder = VersusFolder(work.place)
        files = {file.name: file for file in (folder.verdict_file, folder.table_file)}
        return Done(files, result.verdict.claim, result)


_NOT_OF_RESULTS = {"network", *VersusConfig.settings()} & {
    "network", "workers", "in_process", "cpus_per_trial", "gpus_per_trial", "accelerator", "address",
}  # fmt: skip


@dataclass(frozen=True)
class ProfileStep(Following):
    """`nas profile` of the best network."""

    name: ClassVar[str] = "profile"

    def run(self, work: Work) -> Done:
        tell, plugins = work.heard or (lambda text: None), self.searched.plugins
        config = ProfileConfig.from_data(self.given, self.name)
        found = take_profile([work.places["search"]], config, plugins=plugins, progress=tell)
        keep_profile(found, [work.places["search"]])
        make_folder(work.place)
        contents = {
            "profile.json": json.dumps(found.to_data(), indent=1) + "\n",
            "profile.csv": dump_profile(found),
        }
        for name, content in contents.items():
            write_atomically(work.place / name, content)
        times = (f"{one.runtime} {format_ms(one.low_s)} ms, {one.batch} at a time" for one in found.latencies)
        return Done({name: work.place / name for name in contents}, "; ".join(times), found)


@dataclass(frozen=True)
class ExportStep(Following):
    """`nas export` into a folder: of the network that was trained in full, where there is that step."""

    name: ClassVar[str] = "export"
    is_trained: bool

    @property
    def reads(self) -> Sequence[tuple[str, str]]:
        if self.is_trained:
            return (("train", _WEIGHTS), ("train", "network.yaml"))
        return ((self.winner, _BEST), (self.winner, _WEIGHTS))

    def run(self, work: Work) -> Done:
        what = work.places["train" if self.is_trained else "search"]
        if not work.place.exists():  # else it was written as a whole before a kill
            tell, plugins = work.heard or (lambda text: None), self.searched.plugins
            write_network(what, f"{work.place}/", self._config, plugins=plugins, progress=tell)
        files = {file.name: file for file in sorted(work.place.iterdir()) if file.is_file()}
        return Done(files, f"{work.place}: {','.join(self._config.chosen)}", list(files.values()))

    @property
    def _config(self) -> ExportConfig:
        return ExportConfig.from_data(self.given, self.name)


@dataclass(frozen=True)
class ReportStep(Following):
    """`nas report` of the search, with what was compared, measured and calibrated beside it."""

    name: ClassVar[str] = "report"
    at: ClassVar[str] = "report.html"
    others: tuple[tuple[str, str], ...]

    @property
    def inputs(self) -> Mapping[str, Any]:
        return self.searched.config.finals.select_given()

    @property
    def reads(self) -> Sequence[tuple[str, str]]:
        return (("search", "trials.csv"), (self.winner, _BEST), *self.others)

    def run(self, work: Work) -> Done:
        tell = work.heard or (lambda text: None)
        run, plugins = work.places["search"], self.searched.plugins
        file = write_report(run, work.place, plugins=plugins, tell=tell)
        return Done({file.name: file}, str(file), file)
