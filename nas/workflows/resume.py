"""Going on with a run, whatever it is of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from nas.errors import InputError
from nas.runs.config import check_used
from nas.runs.folder import RunFolder, TrainingFolder
from nas.runs.training import WHERE
from nas.settings import User
from nas.training.base import Evaluator
from nas.workflows.calibration import CalibrationResult, resume_calibration
from nas.workflows.observer import Observer
from nas.workflows.search import SearchResult, resume_search
from nas.workflows.train import resume_training
from nas.workflows.train.values import TrainObserver, TrainResult


def resume(
    folder: Path | str,
    observer: Observer | TrainObserver | None = None,
    *,
    changes: Mapping[str, Any] | None = None,
    evaluator: Evaluator | None = None,
    plugins: Sequence[Path | str] = (),
    repair: bool = False,
) -> SearchResult | CalibrationResult | TrainResult:
    """Go on with a search, a calibration or a training that was stopped or killed.

    Nothing finished is trained again.

    `changes`: settings that are others from now on, as in a config file; a finished search goes further with
    more `trials`, a training elsewhere with other `workers`, `cpus`, `address` or `log`. `evaluator`,
    `plugins` and the `log` of a run that had one as it began with: nothing that a folder names is run by
    itself. `repair`: of a damaged journal keep what is whole; the observer hears what that is.

        >>> import nas
        >>> nas.resume("runs/mine", changes={"trials": 4}).counts.complete
        4

    Raises as `nas.search` does, and InputError where data or files are not those that it began with.
    """
    given = dict(changes or {})
    if is_training(folder):
        others = [key for key in given if key not in WHERE]
        if others or repair or evaluator is not None:
            what = next(iter(others), "repair" if repair else "evaluator")
            raise InputError(
                f"{folder}: {what.replace('_', '-')}: has no effect on a training that goes on; leave it "
                "out, or start a new one"
            )
        if isinstance(observer, Observer):
            raise InputError(f"{folder}: is of a training; a nas.TrainObserver hears it; give one, or none")
        return resume_training(TrainingFolder.open(Path(folder)), observer, changes=given, plugins=plugins)
    if isinstance(observer, TrainObserver):
        raise InputError(f"{folder}: is of no training; a nas.Observer hears it; give one, or none")
    found = RunFolder.open(Path(folder))
    if not found.is_calibration:
        return resume_search(
            found, observer, changes=given, evaluator=evaluator, plugins=plugins, repair=repair
        )
    check_used(given, User.CALIBRATION, str(folder))
    return resume_calibration(found, observer, changes=given, plugins=plugins, repair=repair)


def is_training(folder: Path | str) -> bool:
    """Return whether a folder is of a full training."""
    return TrainingFolder(Path(folder)).manifest_file.is_file()
