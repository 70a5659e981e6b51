"""How far a search on a cluster is, read as often as wanted: a job there says it again and again."""

from __future__ import annotations

import time
from contextlib import suppress
from datetime import UTC, datetime
from threading import Lock, Thread
from typing import Self

from nas.errors import NasError
from nas.runs.listing import ListedRun
from nas.runs.status import Phase, SearchStatus
from nas.runs.status_lines import StatusReceiver
from nas.workflows.submission import Submitted

_JOB_S = 120.0
"""Seconds after which such a job ends by itself, whoever reads it, and the next one is begun."""
_SILENT_S = 60.0
"""Seconds without a word of the cluster, after which it counts as gone."""
_OVER = ("stopped", "succeeded", "failed")


class FarStatus:
    """How far a search on a cluster is, while this is entered, which raises InputError where the cluster does
    not know its job."""

    def __init__(self, submitted: Submitted) -> None:
        self._of = submitted
        self._received = StatusReceiver(submitted.folder)
        self._error: NasError | None = None
        self._note = "its cluster is asked"
        self._heard = time.monotonic()
        self._beside: str | None = None
        self._is_over = False
        self._begins = Lock()

    def __enter__(self) -> Self:
        self._of.jobs.ask_state(self._of.job)
        Thread(target=self._listen, daemon=True).start()
        return self

    def __exit__(self, *error: object) -> None:
        with self._begins:
            self._is_over = True
        if self._beside is not None:
            with suppress(NasError):  # it ends by itself
                self._of.jobs.stop(self._beside)

    def read(self) -> SearchStatus | ListedRun:
        """Return the last that is known. Raises what reading it there has raised, InputError where the search
        has ended before it made a run, NasError where the cluster is silent."""
        if self._error is not None:
            raise self._error
        if time.monotonic() - self._heard > _SILENT_S:
            raise NasError(
                f"the Ray cluster at address '{self._of.jobs.address}' has said nothing for "
                f"{_SILENT_S:.0f} s; job {self._of.job} may go on all the same, watch it again"
            )
        path = self._of.folder.path
        waits = ListedRun(path, "search", Phase.SUBMITTED, datetime.now(UTC), note=self._note)
        return self._received.status or waits

    def _listen(self) -> None:
        """Have one job after the other say it."""
        jobs = self._of.jobs
        try:
            while True:
                with self._begins:
                    if self._is_over:
                        return
                    self._beside = jobs.watch(self._of.job, _JOB_S)
                self._received.forget()
                code = jobs.follow(self._beside, self._hear)
                if code and not self._is_over:
                    said = self._received.others.strip()[-300:] or "no reason is given"
                    raise NasError(f"job {self._of.job} cannot be asked: {said}")
                jobs.remove(self._beside)
        except NasError as error:
            self._error = self._error or error

    def _hear(self, text: str) -> None:
        """Take what a job has printed. What is wrong with it is kept for `read`."""
        self._heard = time.monotonic()
        try:
            self._received.take(text)
            if self._received.is_missing:
                state = self._of.jobs.ask_state(self._of.job)
                self._note = f"its job is {state}, and has made no run folder yet"
                if state in _OVER:
                    raise self._of.refuse_missing(state)
        except NasError as error:
            self._error = error
