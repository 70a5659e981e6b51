"""Going on with a run, whatever it is of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from nas.runs.config import check_used
from nas.runs.folder import RunFolder
from nas.settings import User
from nas.training.base import Evaluator
from nas.workflows.calibration import CalibrationResult, resume_calibration
from nas.workflows.observer import Observer
from nas.workflows.search import SearchResult, resume_search


def resume(
    folder: Path | str,
    observer: Observer | None = None,
    *,
    changes: Mapping[str, Any] | None = None,
    evaluator: Evaluator | None = None,
    plugins: Sequence[Path | str] = (),
    repair: bool = False,
) -> SearchResult | CalibrationResult:
    """Go on with a search or a calibration that was stopped or killed; nothing finished is trained again.

    `changes`: settings that are others from now on, as in a config file; a finished search goes further with
    more `trials`. `evaluator` and `plugins` as it began with: nothing that a folder names is run by itself.
    `repair`: of a damaged journal keep what is whole; the observer hears what that is.

        >>> import nas
        >>> nas.resume("runs/mbconv-1", changes={"trials": 64}).counts.complete  # doctest: +SKIP
        64

    Raises as `nas.search` does, and InputError where data or files are not those that it began with.
    """
    found = RunFolder.open(Path(folder))
    given = dict(changes or {})
    if not found.is_calibration:
        return resume_search(
            found, observer, changes=given, evaluator=evaluator, plugins=plugins, repair=repair
        )
    check_used(given, User.CALIBRATION, str(folder))
    return resume_calibration(found, observer, changes=given, plugins=plugins, repair=repair)
