"""The runs of a folder, a row for each: as little is read of them as tells how far they are."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from pathlib import Path
from shlex import quote

from nas.cost import Cost
from nas.errors import InputError, NasError
from nas.files import MOST_TABLE_BYTES, read_text
from nas.measures import MEASURES
from nas.runs.budget import explain_exhausted
from nas.runs.coefficients import CoefficientsFolder, CoefficientsManifest
from nas.runs.comparison import VersusFolder, VersusManifest
from nas.runs.folder import RunFolder, TrainingFolder
from nas.runs.job import ClusterJob, has_job
from nas.runs.manifest import Manifest
from nas.runs.pipeline import PipelineFolder, StepRecord
from nas.runs.status import Phase, SearchStatus, StatusReader, has_result
from nas.runs.training import TrainManifest, name_column
from nas.study.records import Candidate, Trial, TrialState


@dataclass(frozen=True)
class ListedRun:
    """A run in a list.

    `kind`: search, calibration, training, versus, coefficients or pipeline, nothing where that is not known.
    `space`: that, or the network, as it was given. `done` and `wanted`: trials, or epochs of a training; None
    where the folder does not say. `score`, of `metric`, and `cost` of the best. `began`: when its first trial
    did, else when its folder was written. `note`: who works in it, where it is, or why it cannot be read.
    `command`: goes on with it.
    """

    path: Path
    kind: str
    phase: Phase
    began: datetime
    space: str = ""
    done: int | None = None
    wanted: int | None = None
    score: float | None = None
    cost: Cost | None = None
    note: str = ""
    command: str = ""
    metric: str = "accuracy"


def list_runs(folder: Path) -> list[ListedRun]:
    """Return the runs in a folder, the newest first. Raises InputError where that is none."""
    if not folder.is_dir():
        what = "is a file, not a folder of runs" if folder.is_file() else "there is no such folder"
        raise InputError(
            f"{folder}: {what}; name the folder that runs are made in, as --runs of a search does"
        )
    try:
        found = [path for path in folder.iterdir() if _is_run(path)]
    except OSError as error:
        raise InputError(f"{folder}: cannot be read: {error.strerror}") from None
    return sorted(map(read_row, found), key=lambda row: (row.began, row.path.name), reverse=True)


def read_status(path: Path, storage: str | None = None) -> SearchStatus | ListedRun:
    """Return how far a run is; a row of what is no search, or none on this machine. As `open_status`."""
    return open_status(path, storage)()


def open_status(path: Path, storage: str | None = None) -> Callable[[], SearchStatus | ListedRun]:
    """Return what reads how far a run is, as often as it is called.

    `storage`: the database that its trials are in, where they are in one. Raises InputError for what is no
    run, or a damaged one.
    """
    is_training = (path / TrainingFolder.MANIFEST).is_file()
    if (path / VersusFolder.MANIFEST).is_file():
        versus = VersusFolder.open(path)
        return lambda: _read_versus(versus)
    if (path / CoefficientsFolder.MANIFEST).is_file():
        searched = CoefficientsFolder.open(path)
        return lambda: _read_coefficients(searched)
    if PipelineFolder.is_one(path):
        steps = PipelineFolder(path / PipelineFolder.STEPS)
        return lambda: _read_pipeline(steps)
    is_elsewhere = has_job(path) and not RunFolder(path).manifest_file.is_file()
    if not is_training and not is_elsewhere:
        return StatusReader.open(path, storage).read
    if storage is not None:
        raise InputError(f"--storage: {path} has no trials in a database of this machine; leave it out")
    folder = TrainingFolder.open(path) if is_training else None
    return lambda: _read_training(folder) if folder else _read_submitted(path)


def read_row(path: Path) -> ListedRun:
    """Return how far the run in a folder is; what cannot be read is a row too."""
    try:
        if not RunFolder(path).manifest_file.is_file():
            found = read_status(path)
            return found if isinstance(found, ListedRun) else make_row(found)
        folder = RunFolder.open(path)
        manifest = Manifest.read(folder)
        if manifest.config.storage is None:
            return make_row(StatusReader(folder, manifest, epochs=False).read())
        trials, holder = _read_table(folder), folder.holder
        return make_row(
            SearchStatus(
                folder, manifest, trials, (), holder, has_result(folder), is_calibration=folder.is_calibration
            )
        )
    except (NasError, OSError) as error:
        why = error.strerror if isinstance(error, OSError) else str(error).removeprefix(f"{path}: ")
        return ListedRun(path, "", Phase.DAMAGED, _find_date(path), note=str(why))


def make_row(status: SearchStatus) -> ListedRun:
    """Return how far a search is."""
    best, first = status.best, next(iter(status.trials), None)
    return ListedRun(
        status.folder.path,
        status.kind,
        status.phase,
        first.began if first and first.began else _find_date(status.folder.path),
        status.config.space,
        status.counts.ended,
        status.wanted,
        best.score if best else None,
        best.candidate.cost if best else None,
        str(status.holder or (explain_exhausted(status.config.budget) if status.is_exhausted else "")),
        status.resume_command,
        status.objective.metric.name,
    )


def _read_training(folder: TrainingFolder) -> ListedRun:
    manifest, holder = TrainManifest.read(folder), folder.holder
    metric = manifest.config.recipe.metric
    with _damage_told(folder.metrics_file):
        values = [float(row[name_column(metric)]) for row in _read_rows(folder.metrics_file)]
    phase = Phase.ENDED if folder.report_file.is_file() else Phase.STOPPED
    return ListedRun(
        folder.path,
        "training",
        Phase.RUNNING if holder else phase,
        _find_date(folder.path),
        manifest.config.network,
        len(values),
        manifest.config.recipe.epochs,
        max(values, default=None),
        note=str(holder or ""),
        command=manifest.command(folder.path),
        metric=metric,
    )


def _read_versus(folder: VersusFolder) -> ListedRun:
    manifest = VersusManifest.read(folder)
    command = manifest.command(folder, folder.path)
    return _read_fixed("versus", folder, manifest.config.network, folder.verdict_file, command)


def _read_coefficients(folder: CoefficientsFolder) -> ListedRun:
    manifest = CoefficientsManifest.read(folder)
    command = manifest.command(folder, folder.path)
    return _read_fixed("coefficients", folder, manifest.config.network, folder.ranking_file, command)


def _read_fixed(kind: str, folder: RunFolder, network: str, result: Path, command: str) -> ListedRun:
    """Return how far a folder of trainings is that are decided beforehand."""
    phase = Phase.ENDED if result.is_file() else Phase.STOPPED
    return ListedRun(
        folder.path,
        kind,
        Phase.RUNNING if folder.holder else phase,
        _find_date(folder.path),
        network,
        note=str(folder.holder or ""),
        command=command,
    )


def _read_pipeline(folder: PipelineFolder) -> ListedRun:
    """Return how far a pipeline is, as far as it has begun; its runs have rows of their own."""
    records = [StepRecord.read(file) for file in folder.list_records()]
    done = sum(record.is_done for record in records)
    phase = Phase.ENDED if done == len(records) else Phase.STOPPED
    command = f"nas ls {quote(str(folder.home))}"
    note = f"{done} of the {len(records)} steps that it has begun are done; its runs: {command}"
    return ListedRun(
        folder.home,
        "pipeline",
        Phase.RUNNING if folder.holder else phase,
        datetime.fromtimestamp(folder.path.stat().st_mtime, UTC),
        note=f"{folder.holder}; {note}" if folder.holder else note,
    )


def _read_submitted(path: Path) -> ListedRun:
    job = ClusterJob.read(path)
    cluster = f"the cluster that was at {job.address}"
    to = f"to {cluster}" if job.received else f"which {cluster} may not have received"
    note = f"as job {job.name}, {to}"
    return ListedRun(path, "search", Phase.SUBMITTED, _find_date(path), note=note)


def _read_table(folder: RunFolder) -> list[Trial]:
    """Read the trials of a run that has them in a database, which is not opened here, as the table has them
    that is written when a search stops."""
    with _damage_told(folder.trials_file):
        return [_read_trial(row) for row in _read_rows(folder.trials_file)]


def _read_trial(row: Mapping[str, str]) -> Trial:
    figures = {name: int(row[name]) for name in MEASURES if row.get(name)}
    cost = Cost(**{figure.name: figures.pop(figure.name, 0) for figure in fields(Cost)})
    score = float(row["score"]) if row["score"] else None
    return Trial(Candidate(int(row["trial"]), {}, cost, "", figures), TrialState(row["state"]), score)


def _read_rows(table: Path) -> Iterator[dict[str, str]]:
    """Read the rows of a table, none where there is none."""
    if table.is_file():
        yield from csv.DictReader(read_text(table, MOST_TABLE_BYTES).splitlines())


@contextmanager
def _damage_told(table: Path) -> Iterator[None]:
    try:
        yield
    except (ValueError, KeyError, TypeError, csv.Error) as error:
        raise InputError(f"{table}: is damaged ({error}); restore it") from None


def _is_run(path: Path) -> bool:
    files = (RunFolder.MANIFEST, TrainingFolder.MANIFEST, "study.journal", ".lock")
    try:
        of_pipeline = path.name == PipelineFolder.STEPS and PipelineFolder.is_one(path.parent)
        if path.name[0] == "." or of_pipeline:
            return False
        is_one = any((path / file).is_file() for file in files)
        return is_one or has_job(path) or PipelineFolder.is_one(path)
    except OSError:  # it cannot be entered
        return False


def _find_date(path: Path) -> datetime:
    """Return when a folder of a run was made, as far as its files tell."""
    files = (
        RunFolder.MANIFEST,
        TrainingFolder.MANIFEST,
        VersusFolder.MANIFEST,
        CoefficientsFolder.MANIFEST,
        "space.yaml",
        "",
    )
    times = [file.stat().st_mtime for file in map(path.joinpath, files) if file.exists()]
    return datetime.fromtimestamp(min(times, default=0), UTC)
