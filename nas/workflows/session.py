"""What a search or a calibration works with: what is prepared, and its run folder."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nas.data.card import DataCard
from nas.data.functions import is_function
from nas.data.kept import pack_data, read_data
from nas.data.traits import describe_renewed
from nas.errors import InputError
from nas.execution import make_executor
from nas.execution.base import Executor
from nas.loggers import check_loggers
from nas.runs.config import SearchConfig, check_used
from nas.runs.finals import name_finals
from nas.runs.folder import RunExists, RunFolder, choose_run_path
from nas.runs.manifest import Manifest
from nas.runs.measured import MeasuredLatencies
from nas.runs.posterior import mark_believed
from nas.runs.starting import check_join
from nas.runs.state import RunState, read_space, read_study, repair_study
from nas.settings import User
from nas.space import dump_space
from nas.space.plugins import read_plugins
from nas.study.database import Database
from nas.study.storage import claim_storage
from nas.study.stored import read_terms, read_trials
from nas.study.terms import check_terms
from nas.training.base import Evaluator
from nas.training.elsewhere import Elsewhere
from nas.workflows.checks import (
    check_gpus,
    check_machine,
    check_rank,
)
from nas.workflows.hardware import check_cluster, count_trial_gpus, name_device
from nas.workflows.observer import Observer
from nas.workflows.prepared import (
    Prepared,
    assemble_search,
    check_data,
    load_data,
    load_search_space,
    name_reading,
)

if TYPE_CHECKING:
    from optuna.storages import BaseStorage

    from nas.data.datasets import ImageData
    from nas.study.study import Study


@dataclass(frozen=True, kw_only=True)
class Session(Prepared):
    """What is prepared, with the run folder that it is trained into. `changed`: settings are others than
    those in the folder."""

    folder: RunFolder
    manifest: Manifest
    changed: bool = False

    def open_storage(self, observer: Observer) -> BaseStorage:
        """Open the storage of the run's studies. Call it while the folder is locked: it moves aside what an
        earlier writer tore, which the observer hears."""
        storage = claim_storage(self.manifest.find_storage(self.folder), observer.noted)
        if isinstance(storage, Database):
            storage.work_in(self.folder.path)
        return storage

    def write_changes(self) -> None:
        """Write settings that a resume has changed. Call it while the folder is locked."""
        if self.changed:
            self.manifest.write(self.folder)

    def note_end(self, study: Study) -> Session:
        """Return the session whose folder says whether its study has found no untried network any more. Call
        it while the folder is locked."""
        at = len(study.trials) if study.exhausted else None
        if at == self.manifest.exhausted_at:
            return self
        manifest = replace(self.manifest, exhausted_at=at)
        manifest.write(self.folder)
        return replace(self, manifest=manifest)

    def make_state(
        self, trials: Sequence[Any], finals: Sequence[Any] = (), repeats: Sequence[Any] = ()
    ) -> RunState:
        """Return the state of the run with these trials."""
        marked = MeasuredLatencies.read(self.folder).mark(trials, self.config.budget)
        marked = mark_believed(self.folder, marked)
        return RunState(self.folder, self.manifest, self.space, marked, tuple(finals), tuple(repeats))

    @property
    def resume_command(self) -> str:
        """The command that goes on with the run."""
        return self.manifest.resume_command(self.folder)

    @property
    def storage(self) -> str | None:
        """The database that its study is in, if it is in one."""
        return self.config.storage

    def make_command(self, path: Path) -> str:
        """Return the command that goes on with the run where its folder is another."""
        return self.manifest.resume_command(RunFolder(path))

    @property
    def way_out(self) -> str:
        """What a message says where something that the search needs has gone."""
        return f"Nothing finished is lost. Go on with: {self.resume_command}"

    @property
    def executor(self) -> Executor:
        """What trains."""
        labels = {"run": self.folder.path.name, "sampler": self.config.sampler}
        return make_executor(self.config.executor, count_trial_gpus(self.config), self.way_out, labels)


def check_place(config: SearchConfig, runs: Path, name: str | None, like: str, join: bool = False) -> None:
    """Raise what `start` would where no run folder can be made, before data are read. Nothing is written but
    a database that is to have the study."""
    check_join(config, name, join)
    path = RunFolder.find_place(runs, name, like)
    _check_storage(config, path.name, join)


def start(
    prepared: Prepared,
    runs: Path,
    name: str | None,
    like: str,
    files: dict[str, str] | None = None,
    join: bool = False,
) -> Session:
    """Make a run folder in `runs`, called `name` or else like a space and a number; with more `files`.
    `join`: for a driver of a study that is in its database already.

    Raises InputError where it cannot be made, RunExists where there is one of that name.
    """
    config = prepared.config
    sources = [*prepared.plugins, *([prepared.evaluator_file] if prepared.evaluator_file else [])]
    space_text = dump_space(load_search_space(config)[0])
    data_files = _list_data_files(prepared)
    while True:
        path = runs / name if name else choose_run_path(runs, like)
        _check_storage(config, path.name, join)
        manifest = Manifest.make(
            path.name,
            config,
            prepared.recipe,
            DataCard.of(prepared.data) if prepared.data else None,
            prepared.evaluator.metric,
            space_text,
            name_device(config),
            prepared.warm_start,
            prepared.plugins,
            prepared.evaluator_file,
            isinstance(prepared.evaluator, Elsewhere),
        )
        if join and (terms := read_terms(config.storage or "", path.name)):
            check_terms(path.name, manifest.terms, terms)
        content = {
            "run.yaml": manifest.to_text(),
            "space.yaml": space_text,
            **data_files,
            **_list_table_files(prepared),
            **(files or {}),
        }
        try:
            folder = RunFolder.create(path, content, sources)
        except RunExists:
            if name:
                raise  # else another search has just taken the number
            continue
        return Session(**vars(prepared), folder=folder, manifest=manifest)


def _list_table_files(prepared: Prepared) -> dict[str, str]:
    """Return what a run folder has of the table of latencies."""
    if prepared.table is None:
        return {}
    return {RunFolder(Path()).table_file.name: json.dumps(prepared.table.to_data())}


def _list_data_files(prepared: Prepared) -> dict[str, str | bytes]:
    """Return what a run folder has of its data: the images of a function, and why others are left out."""
    data, files = prepared.data, RunFolder(Path())
    found: dict[str, str | bytes] = {}
    if data and is_function(prepared.config.data.dataset):
        found[files.data_file.name] = pack_data(data)
    if data and data.broken:
        found[files.broken_file.name] = "".join(f"{why}\n" for why in data.broken)
    return found


def reopen(
    folder: RunFolder,
    changes: dict[str, Any],
    evaluator: Evaluator | None = None,
    plugins: Sequence[Path | str] = (),
    observer: Observer | None = None,
    repair: bool = False,
) -> Session:
    """Return a run to go on with. `changes`: settings that this resume changes. `repair`: keep what is whole
    of a damaged journal, which the observer hears.

    Raises InputError where its data or files are not those that it began with.
    """
    heard = observer or Observer()
    manifest = Manifest.read(folder)
    if manifest.elsewhere:
        raise InputError(
            f"{folder.path}: its networks are trained elsewhere, as 'nas tell' hears; go on with: "
            f"{manifest.resume_command(folder)}"
        )
    manifest.check_again(folder, changes)
    config = manifest.config.change(changes, "nas resume")
    check_loggers(config.log)
    if manifest.data is None:
        check_used(changes, User.EVALUATOR, "nas resume")
    if evaluator is None:
        # What the folder names is not run by itself: who resumes names it.
        manifest.check_evaluator(folder, config.evaluator if "evaluator" in changes else None)
        if manifest.data is None and config.evaluator is None:
            raise InputError(
                f"{folder.path}: was searched by an evaluator that was given in Python; go on with "
                "nas.resume(folder, evaluator=...)"
            )
    files = read_plugins(map(Path, plugins))
    space = read_space(folder, manifest, files)
    if repair:
        heard.noted(repair_study(folder, manifest.with_config(config)))
    # where it is lost, nothing is to be begun anew and written over
    read_study(folder, manifest.with_config(config))
    check_machine(config, heard)
    check_rank(config)
    check_cluster(config, heard)

    def read() -> ImageData:
        # A function's file is run where someone names it, and nowhere else.
        kept = is_function(config.data.dataset)
        if kept:
            return read_data(folder.data_file)
        return load_data(config.data, config.seed, heard, download="dataset" in changes)

    heard.doing(name_reading(config))
    if note := check_gpus(config):
        heard.noted(note)
    prepared = assemble_search(config, space, manifest.counted, evaluator, files, read)
    if prepared.data is not None and manifest.data is not None:
        check_data(prepared.data, manifest.data)
        if manifest.data.background is None and (renewed := describe_renewed(prepared.data.traits)):
            note = f"Images are read otherwise than when the run began: {renewed}."
            prepared = replace(prepared, data=replace(prepared.data, notes=(*prepared.data.notes, note)))
    if prepared.evaluator.metric != manifest.metric:
        raise InputError(
            f"{folder.path}: was searched for {manifest.metric}, and this evaluator gives "
            f"{prepared.evaluator.metric}; resume it with the evaluator that it began with"
        )
    kept = replace(prepared, warm_start=manifest.warm_start)
    changed = config != manifest.config
    return Session(**vars(kept), folder=folder, manifest=manifest.with_config(config), changed=changed)


def _check_storage(config: SearchConfig, study: str, join: bool = False) -> None:
    """Raise InputError where a database has a study of the name, or to `join` it has none."""
    if not config.storage:
        return
    if join:
        if read_terms(config.storage, study) is None:
            raise InputError(
                f"storage '{config.storage}': has no study '{study}' that can be joined; mend --name, or "
                "leave out --join"
            )
        return
    for name, trials in zip(
        (study, name_finals(study)), read_trials(config.storage, study, name_finals(study)), strict=True
    ):
        if trials:
            raise InputError(
                f"storage '{config.storage}': has a study '{name}' already; choose another --name, or work "
                "on it too with --join"
            )
