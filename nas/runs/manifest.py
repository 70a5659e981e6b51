"""run.yaml: every setting of a run as resolved, and where and of what it was made."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Any

import yaml

from nas import __version__
from nas.data.card import DataCard
from nas.errors import InputError, make_printable
from nas.files import write_atomically
from nas.importing import read_file
from nas.passwords import SecretUrl
from nas.runs.asking import MetricConfig
from nas.runs.config import SearchConfig
from nas.runs.counted import Counted
from nas.runs.flags import format_flag, format_given, format_setting
from nas.runs.folder import RunFolder
from nas.runs.old_settings import add_old_defaults, read_format_1
from nas.runs.provenance import (
    check_plugins,
    check_unchanged,
    describe_environment,
    digest_text,
    read_count,
    read_digests,
    read_document,
    read_environment,
)
from nas.settings import User
from nas.space import Choices
from nas.study.objective import Objective
from nas.training.base import ACCURACY_METRIC, Metric
from nas.training.recipe import LATER, Recipe

if TYPE_CHECKING:
    from nas.importing import FileFunction, SourceFile

FORMAT = 3
"""Version of the folder's layout. Formats 1 and 2 are read too; a folder of any other is refused."""


_LATER = {"rank": "float32"}
"""As `LATER`, of the search."""


@dataclass(frozen=True)
class WarmStart:
    """A network to try first: the file it was given as, and the point of the space that it is."""

    file: str
    choices: Choices


@dataclass(frozen=True)
class Manifest:
    """What run.yaml says.

    `study`: the study's name in its storage, whatever the folder is called today. `recipe`: that of `config`,
    as it is fitted to the data; a folder keeps it in the place of the other. `data`: of the data set,
    None where a user's evaluator has its own. `counted`: what costs are of. `metric`: what scores measure.
    `plugins`: sha256 of the files of blocks by name; `evaluator`: that of the evaluator's file.
    `environment`: versions, commit and machine of the start. `elsewhere`: other programs train its networks.
    `picked`: settings of the recipe that fit it to the data, as they were before. `exhausted_at`: so
    many trials there were when no untried network was found any more.
    """

    study: str
    config: SearchConfig
    recipe: Recipe
    data: DataCard | None
    metric: Metric
    space_sha256: str
    warm_start: tuple[WarmStart, ...] = ()
    plugins: Mapping[str, str] = field(default_factory=dict)
    evaluator: str | None = None
    environment: Mapping[str, Any] = field(default_factory=dict)
    counted: Counted = Counted.DEPLOYED
    elsewhere: bool = False
    picked: Mapping[str, Any] = field(default_factory=dict)
    exhausted_at: int | None = None

    @property
    def objective(self) -> Objective:
        """What the trials are ranked by."""
        return replace(self.config.objective, metric=self.metric)

    @classmethod
    def make(
        cls,
        study: str,
        config: SearchConfig,
        recipe: Recipe,
        data: DataCard | None,
        metric: Metric,
        space_text: str,
        device: str,
        warm_start: Sequence[WarmStart],
        plugins: Sequence[SourceFile],
        evaluator: SourceFile | None,
        elsewhere: bool = False,
    ) -> Manifest:
        """Return the manifest of a new run."""
        environment = describe_environment(device)
        digests = {plugin.name: plugin.sha256 for plugin in plugins}
        own = evaluator.sha256 if evaluator else None
        digest, fitted = digest_text(space_text), recipe.to_data()
        picked = {key: value for key, value in config.recipe.to_data().items() if value != fitted[key]}
        return cls(
            study, config, recipe, data, metric, digest, tuple(warm_start), digests, own, environment,
            elsewhere=elsewhere, picked=picked,
        )  # fmt: skip

    def to_text(self) -> str:
        """Return the content of run.yaml."""
        document = {
            "format": FORMAT,
            "study": self.study,
            "settings": self.settings,
            **self.environment,
            "metric": {
                "name": self.metric.name,
                "maximize": self.metric.maximize,
                "range": list(self.metric.range) if self.metric.range else None,
            },
            "data": self.data.to_data() if self.data else None,
            "counted": self.counted.value,
            "space_sha256": self.space_sha256,
            "starts": [{"file": start.file, "choices": dict(start.choices)} for start in self.warm_start],
            "plugins": dict(self.plugins),
            "evaluator_sha256": self.evaluator,
            "elsewhere": self.elsewhere,
            "picked": dict(self.picked),
            "exhausted_at": self.exhausted_at,
        }
        return yaml.safe_dump(document, sort_keys=False)

    @classmethod
    def read(cls, folder: RunFolder) -> Manifest:
        """Read the manifest of a run. Raises InputError for a damaged one, or one of another format."""
        path = folder.manifest_file
        document = read_document(path)
        if document is None:
            raise InputError(f"{path}: is damaged, it has no settings; restore it, or start a new run")
        version = document.get("format")
        if version not in range(1, FORMAT + 1):
            raise InputError(
                f"{folder.path}: has format {version}, this nas {__version__} reads formats 1 to {FORMAT}; "
                "use the nas that made it, or start a new run"
            )
        settings = document.get("settings", {})
        if version == 1:
            settings = read_format_1(settings)
        config = SearchConfig.from_data(add_old_defaults(settings), str(path))
        parts: dict[str, Any] = {}
        for key, read in _PARTS.items():
            try:
                parts[key] = read(document)
            except (AttributeError, InputError, LookupError, TypeError, ValueError) as error:
                raise InputError(f"{path}: {key}: is damaged ({error}); restore the file") from None
        return cls(
            study=str(document.get("study")),
            config=config,
            recipe=config.recipe,
            data=parts["data"],
            metric=parts["metric"],
            space_sha256=str(document.get("space_sha256")),
            warm_start=parts["starts"],
            plugins=parts["plugins"],
            evaluator=document.get("evaluator_sha256"),
            environment=read_environment(document),
            counted=parts["counted"],
            elsewhere=document.get("elsewhere") is True,
            picked=parts["picked"],
            exhausted_at=parts["exhausted_at"],
        )

    def write(self, folder: RunFolder) -> None:
        """Write the manifest to its folder."""
        write_atomically(folder.manifest_file, self.to_text())

    def with_config(self, config: SearchConfig) -> Manifest:
        """Return the manifest after a resume that changed settings. The recipe of a folder's config is
        fitted."""
        picked = self.picked if config.recipe == self.recipe else {}
        return replace(self, config=config, recipe=config.recipe, picked=picked)

    @property
    def settings(self) -> dict[str, Any]:
        """The plain settings, with the recipe as it is fitted."""
        return {**self.config.to_data(), Recipe.SECTION: self.recipe.to_data()}

    def select_given(self) -> dict[str, Any]:
        """Return those that are no defaults."""
        found = {**self.config.select_given(), Recipe.SECTION: self.recipe.select_given()}
        return {key: value for key, value in found.items() if value != {}}

    def with_recipe_given(self) -> Manifest:
        """Return the manifest with the recipe as it was given, before it was fitted."""
        return replace(self, recipe=replace(self.recipe, **self.picked), picked={})

    @property
    def terms(self) -> dict[str, Any]:
        """What all trials of a study have in common, for drivers that share it: settings, but those of which
        each machine has its own."""
        settings = SearchConfig.settings()
        own = {"space", "start", "storage", "keep", "trial_timeout", *(("dataset",) if self.data else ())}
        kept = {
            key: value
            for key, value in self.settings.items()
            if key not in own and not (key in settings and settings[key].option.resumable)
        }
        # as drivers of before have noted them
        kept = {key: value for key, value in kept.items() if _LATER.get(key) != value}
        kept["recipe"] = {key: value for key, value in kept["recipe"].items() if LATER.get(key) != value}
        card = self.data.to_data() if self.data else {}
        return {
            **kept,
            "space_sha256": self.space_sha256,
            "metric": str(self.metric),
            "data": {key: card.get(key) for key in ("classes", "channels", "train", "validation")},
            "starts": [dict(start.choices) for start in self.warm_start],
            "plugins": dict(self.plugins),
            "evaluator_sha256": self.evaluator,
        }

    def is_exhausted_by(self, trials: Sequence[object]) -> bool:
        """Return whether no untried network was found after these trials."""
        return self.exhausted_at == len(trials)

    def find_storage(self, folder: RunFolder) -> Path | str:
        """Return where the study is kept."""
        return self.config.storage or folder.journal

    def format_plugin_flags(self, folder: RunFolder) -> str:
        """Return what a command about a network of this run names besides it: ` --plugin FILE`, with a space
        before."""
        return "".join(format_flag("--plugin", folder.source_file(name)) for name in self.plugins)

    def format_study_flags(self, folder: RunFolder) -> str:
        """Return what a command that reads the trials of this run names besides it."""
        storage = format_flag("--storage", self.config.storage) if self.config.storage else ""
        return self.format_plugin_flags(folder) + storage

    def start_command(self, folder: RunFolder) -> str:
        """Return the command of a search of these settings."""
        settings, sections = SearchConfig.settings(), SearchConfig.sections()
        flags = ""
        for key, value in self.with_recipe_given().select_given().items():
            if key in sections:
                own = sections[key].settings()
                flags += "".join(format_setting(own[k], v, f"--{key}") for k, v in value.items())
            elif not settings[key].option.is_argument:
                flags += format_setting(settings[key], value)
        if self.elsewhere:
            flags += format_given(MetricConfig.of(self.metric))
        command = "init" if self.elsewhere else "search"
        return f"nas {command} {quote(self.config.space)}{flags}{self.format_plugin_flags(folder)}"

    def resume_command(self, folder: RunFolder) -> str:
        """Return the command that goes on with a run."""
        own = _format_again(self._select_asked_again(folder))
        if self.config.evaluator:
            own += format_flag("--evaluator", self._name_evaluator_copy(folder))
        command = "ask" if self.elsewhere else "resume"
        return f"nas {command} {quote(str(folder.path))}{self.format_plugin_flags(folder)}{own}"

    def describe_way_to_score(self, folder: RunFolder) -> str:
        """Return what a run without a score is gone on with."""
        tell = f", and nas tell {quote(str(folder.path))} NUMBER SCORE" if self.elsewhere else ""
        return f"go on with: {self.resume_command(folder)}{tell}"

    def with_storage(self, folder: RunFolder, named: str | None) -> Manifest:
        """Return the manifest for a command that reads the trials, where `named` is the database that the
        user names. Raises InputError where they are in one and none is named, or the other way about."""
        if named is None and self.config.storage is None:
            return self
        if named is None:
            raise InputError(
                f"{folder.path}: has its trials in a database, and none that a run folder names is opened by "
                f"itself; where you trust it, add{format_flag('--storage', self.config.storage)}"
            )
        self._check_has_database(folder, named)
        return self.with_config(self.config.change({"storage": named}, "--storage"))

    def check_again(self, folder: RunFolder, given: Mapping[str, Any]) -> None:
        """Raise InputError where a setting that imports, opens or connects to something is not among the
        plain ones that are given, or one that no resume changes is given as another."""
        own, settings = self.config.to_data(), SearchConfig.settings()
        if given.get("storage") is not None:
            self._check_has_database(folder, given["storage"])
        for key, value in given.items():
            option = settings[key].option if key in settings else None
            if option and option.again and not option.resumable and value != own[key]:
                flag = settings[key].flags[0]
                was = (
                    f"with{format_flag(flag, own[key])}; give that"
                    if own[key]
                    else "without it; leave it out"
                )
                raise InputError(f"{flag} {value}: {folder.path} was searched {was}, or start a new run")
        missing = {key: value for key, value in self._select_asked_again(folder).items() if key not in given}
        if missing:
            raise InputError(
                f"{folder.path}: was searched with{_format_again(missing)}, and nothing that a run folder "
                "names is imported, opened or connected to by itself; where you trust it, go on with: "
                f"{self.resume_command(folder)}"
            )

    def _select_asked_again(self, folder: RunFolder) -> dict[str, Any]:
        """Return them of a calibration without what only searches use."""
        user = User.CALIBRATION if folder.is_calibration else User.NOBODY
        unused = {key for key, one in SearchConfig.settings().items() if user & one.option.unused_by}
        return {key: value for key, value in self.config.select_asked_again().items() if key not in unused}

    def _check_has_database(self, folder: RunFolder, named: str) -> None:
        if self.config.storage is None:
            raise InputError(
                f"--storage {SecretUrl(named)}: {folder.path} has its trials in {folder.journal.name}; leave "
                "it out"
            )

    def check_plugins(self, folder: RunFolder, given: Sequence[SourceFile]) -> None:
        """Raise InputError where these are not the plugins that the run was searched with."""
        check_plugins(self.plugins, folder, given)

    def check_evaluator(self, folder: RunFolder, named: FileFunction | None) -> None:
        """Raise InputError where this is not the evaluator of a file that the run was searched with."""
        own = self.config.evaluator
        if own is None:
            if named is not None:
                raise InputError(f"--evaluator {named}: {folder.path} was searched without it; leave it out")
            return
        flag = f"--evaluator {self._name_evaluator_copy(folder)}"
        if named is None:
            raise InputError(
                f"{folder.path}: was searched by an evaluator of a user's own, and no file is run that is "
                f"not named; add {flag}"
            )
        check_unchanged(folder, read_file(named.file), self.evaluator, flag)
        if named.function != own.function:
            raise InputError(
                f"--evaluator {named}: {folder.path} was searched by '{own.function}' of this file; give "
                f"{flag}"
            )

    def _name_evaluator_copy(self, folder: RunFolder) -> str:
        """Return FILE:FUNCTION of the folder's copy."""
        own = self.config.evaluator
        assert own is not None
        return f"{folder.source_file(own.file.name)}:{own.function}"


def _format_again(settings: Mapping[str, Any]) -> str:
    return "".join(
        format_flag(SearchConfig.settings()[key].flags[0], value) for key, value in settings.items()
    )


def _read_data(document: Mapping[str, Any]) -> DataCard | None:
    return None if document["data"] is None else DataCard.from_data(document["data"])


def _read_metric(document: Mapping[str, Any]) -> Metric:
    """Return the metric of a run; those of before it had a range are of 0 to 1 where `nas` trained."""
    given = document.get("metric")
    if not given:
        return ACCURACY_METRIC
    ends = given["range"] if "range" in given else ACCURACY_METRIC.range if document.get("data") else None
    known = (float(ends[0]), float(ends[1])) if ends else None
    return Metric(make_printable(given["name"]), bool(given["maximize"]), known)


def _read_warm_start(document: Mapping[str, Any]) -> tuple[WarmStart, ...]:
    starts = document.get("starts") or []
    return tuple(WarmStart(str(start.get("file")), dict(start["choices"])) for start in starts)


def _read_picked(document: Mapping[str, Any]) -> Mapping[str, Any]:
    given = document.get("picked") or {}
    Recipe.from_data(given, "of the recipe")
    return Recipe.read(given)


_PARTS: Mapping[str, Callable[[Mapping[str, Any]], Any]] = {
    "data": _read_data,
    "metric": _read_metric,
    "starts": _read_warm_start,
    "plugins": lambda document: read_digests(document.get("plugins", {})),
    "counted": lambda document: Counted(document.get("counted", Counted.AT_LEAST.value)),
    "exhausted_at": lambda document: read_count(document.get("exhausted_at")),
    "picked": _read_picked,
}
