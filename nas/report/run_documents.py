"""Runs as documents for programs: in lists, how far each is, what is in it, what a search came to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

from nas.report.documents import Document, document_budget, document_cost, document_network
from nas.runs.status import SearchStatus
from nas.study.records import Trial, TrialState

if TYPE_CHECKING:
    from nas.runs.finals import Finalist
    from nas.runs.holder import Holder
    from nas.runs.listing import ListedRun
    from nas.runs.state import RunState
    from nas.study.objective import Objective
    from nas.workflows.calibration import CalibrationResult
    from nas.workflows.coefficients import CoefficientsResult
    from nas.workflows.forecast import Forecast
    from nas.workflows.search import SearchResult
    from nas.workflows.show import ShownCalibration
    from nas.workflows.train.values import TrainForecast, TrainResult
    from nas.workflows.versus import VersusResult


def document_rows(rows: Sequence[ListedRun]) -> Document:
    """Return the runs of a folder."""
    return {"runs": [_document_row(row) for row in rows]}


def document_status(found: SearchStatus | ListedRun) -> Document:
    """Return how far a run is."""
    if not isinstance(found, SearchStatus):
        return _document_row(found)
    pace, best, failures = found.pace, found.best, found.failures
    return {
        "name": found.folder.path.name,
        "path": str(found.folder.path),
        "kind": found.kind,
        "state": found.phase.value,
        "settings": found.config.to_data(),
        "process": _document_holder(found.holder),
        "metric": _document_metric(found.objective),
        "trials": _document_counts(found.trials, found.wanted, is_running=found.holder is not None),
        "repeats": {"wanted": found.repeats_wanted, "ended": found.repeats_ended},
        "long_trainings": {"wanted": found.finals_wanted, "ended": found.finals_ended},
        "running": [_document_progress(trial) for trial in found.running],
        "per_hour": pace and pace.per_hour,
        "seconds_left": pace and pace.left_s,
        "best": best and _document_score(best, found.objective),
        "finalists": [_document_finalist(one, found.objective) for one in found.finalists],
        "last_failure": _document_failure(failures[-1]) if failures else None,
        "exhausted": found.is_exhausted,
        "command": found.resume_command,
    }


def document_run(state: RunState, top: int, *, is_running: bool = False) -> Document:
    """Return what is in a run: its best trials, finalists and front. `is_running`: a process works in it."""
    folder, config, objective = state.folder, state.config, state.objective
    failures = [trial for trial in state.trials if trial.failure]
    return {
        "kind": "run",
        "path": str(folder.path),
        "space": state.space.name,
        "networks": state.space.extent.count,
        "budget": document_budget(config.budget),
        "metric": _document_metric(objective),
        "trials": _document_counts(state.trials, config.trials, is_running=is_running),
        "best": [_document_score(trial, objective) for trial in state.best(top)],
        "finalists": [_document_finalist(one, objective) for one in state.finalists],
        "front": [_document_score(trial, objective) for trial in state.front] if objective.costs else None,
        "last_failure": _document_failure(failures[-1]) if failures else None,
        "command": state.manifest.resume_command(folder),
    }


def document_trial(state: RunState, trial: Trial) -> Document:
    """Return what became of a trial, its choices and its network."""
    return {
        "kind": "trial",
        "path": str(state.folder.path),
        **_document_score(trial, state.objective),
        "state": trial.state.value,
        "curve": [trial.curve[epoch] for epoch in sorted(trial.curve)],
        "seconds": trial.result.seconds,
        "failure": _document_failure(trial) if trial.failure else None,
        "choices": dict(trial.candidate.choices),
        "network": document_network(state.network(trial)),
    }


def document_result(result: SearchResult) -> Document:
    """Return what a search came to. Raises NasError where no trial has a score."""
    result.check()
    usage = result.usage
    return {
        **document_run(result.state, 5),
        "stopped_by": result.stopped_by.value,
        "left_out": {reason.value: count for reason, count in result.counts.rejected.items()},
        "seconds": {"trained": usage.trained_s, "started": usage.started_s, "waited": usage.waited_s},
        "exported": [str(file) for file in result.exported],
        "elsewhere": result.elsewhere or None,
        "scaled": [str(one.path) for one in result.scaled],
        "logged": dict(result.logged),
    }


def document_calibration(result: CalibrationResult) -> Document:
    """Return what a calibration found; no figures where its time was over before."""
    folder = result.session.folder
    return {
        "kind": "calibration",
        "path": str(folder.path),
        "left_out": result.left_out,
        "figures": result.to_data(),
        "command": result.session.resume_command,
    }


def document_figures(found: ShownCalibration) -> Document:
    """Return what is in the folder of a calibration."""
    return {"kind": "calibration", "path": str(found.folder), "figures": found.kept and found.kept.data}


def document_training(result: TrainResult) -> Document:
    """Return what a full training came to."""
    return {
        "kind": "training",
        "path": str(result.folder),
        "figures": result.figures,
        "exported": [str(file) for file in result.exported],
        "files": {what: str(file) for what, file in result.files.items()},
        "logged": dict(result.logged),
    }


def document_versus(result: VersusResult) -> Document:
    """Return what a comparison came to."""
    files = [str(file) for file in result.files]
    return {"kind": "versus", "path": str(result.folder), **result.verdict.to_data(), "files": files}


def document_coefficients(result: CoefficientsResult) -> Document:
    """Return what a search of coefficients came to; only its folder where it is not over."""
    ranking = result.ranking.to_data() if result.ranking else {}
    written = [str(file) for file in result.files]
    return {"kind": "coefficients", "path": str(result.folder), **ranking, "written": written}


def document_training_forecast(found: TrainForecast) -> Document:
    """Return what a full training will take."""
    return {"kind": "forecast", **asdict(found), "seconds": found.seconds}


def document_forecast(found: Forecast) -> Document:
    """Return what a search will take: time and memory, from three of its networks."""
    inside = found.networks
    return {
        "kind": "forecast",
        "inside": {"low": inside.low, "high": inside.high, "exact": inside.is_exact},
        "networks": [{**asdict(one), "cost": one.cost.to_data()} for one in found.members],
        "seconds_per_trial": found.trial_s,
        "at_a_time": found.slots,
        "seconds": found.wall_s,
        "device_seconds": found.device_s,
        "device": "gpu" if found.on_gpu else "cpu",
    }


def _document_row(row: ListedRun) -> Document:
    return {
        "name": row.path.name,
        "path": str(row.path),
        "kind": row.kind or None,
        "state": row.phase.value,
        "space": row.space or None,
        "done": row.done,
        "wanted": row.wanted,
        "score": row.score,
        "cost": row.cost and document_cost(row.cost),
        "began": row.began.isoformat(),
        "note": row.note or None,
        "command": row.command or None,
    }


def _document_holder(holder: Holder | None) -> Document | None:
    if holder is None:
        return None
    return {"pid": holder.pid, "host": holder.host or None, "since": holder.since.isoformat()}


def _document_metric(objective: Objective) -> Document:
    return {"name": objective.metric.name, "maximize": objective.metric.maximize}


def _document_counts(trials: Sequence[Trial], wanted: int | None, *, is_running: bool = False) -> Document:
    states = [trial.state for trial in trials]
    not_ended = states.count(TrialState.RUNNING)
    return {
        "wanted": wanted,
        "ended": len(states) - not_ended,
        "finished": states.count(TrialState.COMPLETE),
        "stopped_early": states.count(TrialState.PRUNED),
        "failed": states.count(TrialState.FAILED),
        "running": not_ended if is_running else 0,
        "interrupted": 0 if is_running else not_ended,
    }


def _document_score(trial: Trial, objective: Objective) -> Document:
    """Return number, score and amounts of a trial, with its reward where that is not the score."""
    score, amount = trial.score, trial.candidate.amount
    own = {"trial": trial.number, "score": score, "cost": trial.candidate.figures}
    if objective.factors and score is not None:
        own["reward"] = objective.compute_reward(score, amount)
    return own


def _document_finalist(one: Finalist, objective: Objective) -> Document:
    return {
        **_document_score(one.trial, objective),
        "mean": one.mean,
        "std": one.deviation,
        "scores": one.scores,
    }


def _document_progress(trial: Trial) -> Document:
    epoch = max(trial.curve, default=0)
    return {
        "trial": trial.number,
        "job": trial.job,
        "epoch": epoch,
        "value": trial.curve.get(epoch),
        "began": trial.began and trial.began.isoformat(),
        "cost": trial.candidate.figures,
    }


def _document_failure(trial: Trial) -> Document:
    assert trial.failure is not None
    return {
        "trial": trial.number,
        "job": trial.job,
        "reason": trial.failure.reason.value,
        "message": trial.failure.message,
    }
