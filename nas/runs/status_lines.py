"""How far a search is, as lines for who watches it from elsewhere: all of it first, then what is new."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

from nas.errors import InputError, NasError
from nas.runs.config import SearchConfig
from nas.runs.folder import RunFolder
from nas.runs.holder import Holder
from nas.runs.manifest import Manifest
from nas.runs.provenance import read_count
from nas.runs.status import SearchStatus, StatusReader
from nas.study.records import Trial, TrialState, dump_candidate, make_trial
from nas.training.base import Metric

_MARK = "nas-status:"
"""Before each line, as other programs may print beside them."""
_TRIALS_PER_LINE = 50
_KEYS = ("trials", "finals", "repeats")
"""What a status has of trials."""


def say_status(runs: Path, seconds: float, every_s: float = 1.0) -> None:
    """Print how far the run in a folder of runs is, again and again for so many seconds, or until it cannot
    be read."""
    end, writer = time.monotonic() + seconds, None
    while time.monotonic() < end:
        try:
            if writer is None and (made := next(runs.glob("[!.]*/run.yaml"), None)):
                writer = StatusWriter(StatusReader.open(made.parent))
            lines = list(writer.write()) if writer else [_mark({"none": True})]
        except NasError as error:
            print(_mark({"error": str(error), "code": error.exit_code}), flush=True)
            return
        print(*lines, sep="\n", flush=True)
        time.sleep(every_s)


class StatusWriter:
    """Writes what a reader gives, of its trials each time those that have changed."""

    def __init__(self, reader: StatusReader) -> None:
        self._reader = reader
        self._manifest: Manifest | None = None
        self._written: dict[str, tuple[Trial, ...]] = {}

    def write(self) -> Iterator[str]:
        """Return the lines of now, of which the last one says that all is said. Raises what reading does."""
        status = self._reader.read()
        of = {key: tuple(getattr(status, key)) for key in _KEYS}
        shrunk = any(len(trials) < len(self._written.get(key, ())) for key, trials in of.items())  # a repair
        if status.manifest is not self._manifest or shrunk:
            metric = status.manifest.metric
            own = {"name": metric.name, "maximize": metric.maximize, "range": metric.range}
            at = status.manifest.exhausted_at
            yield _mark({"settings": status.manifest.settings, "metric": own, "exhausted_at": at})
            self._manifest, self._written = status.manifest, {}
        for key, trials in of.items():
            before = self._written.get(key, ())
            new = [t for i, t in enumerate(trials) if i >= len(before) or not _is_same(t, before[i])]
            for first in range(0, len(new), _TRIALS_PER_LINE):
                yield _mark({key: [_dump_trial(t) for t in new[first : first + _TRIALS_PER_LINE]]})
        self._written = of
        holder = status.holder
        known = holder and {"pid": holder.pid, "host": holder.host, "since": holder.since.isoformat()}
        yield _mark({"now": status.now.isoformat(), "holder": known, "has_result": status.has_result})


def _is_same(trial: Trial, before: Trial) -> bool:
    """Return whether a trial is as it was: those that are marked anew are other objects."""
    marks, marked = ((one.too_slow, one.believed) for one in (trial, before))
    return trial is before or (marks == marked and trial == before)


class StatusReceiver:
    """Makes such lines a status again. `folder`: of the run where it is watched.

    `status`: the last one that was whole; None where none was yet. `is_missing`: there is no run yet.
    `others`: the end of what other programs have printed beside them.
    """

    def __init__(self, folder: RunFolder) -> None:
        self._folder = folder
        self._manifest: Manifest | None = None
        self._trials: dict[str, dict[int, Trial]] = {}
        self._rest = ""
        self.status: SearchStatus | None = None
        self.is_missing = False
        self.others = ""

    def take(self, text: str) -> None:
        """Take a piece of what was printed. Raises what its writer has met, NasError for other lines."""
        *lines, self._rest = (self._rest + text).split("\n")
        for line in lines:
            if not line.startswith(_MARK):
                self.others = f"{self.others}{line}\n"[-1000:]
                continue
            try:
                data = json.loads(line.removeprefix(_MARK))
                error = self._take_line(data)
            except (AttributeError, InputError, KeyError, OverflowError, TypeError, ValueError) as wrong:
                raise NasError(
                    f"{self._folder.path}: what its cluster says of it cannot be read ({wrong!s:.200}); "
                    "install the same nas on both"
                ) from None
            if error:
                raise error

    def forget(self) -> None:
        """Begin anew with another writer; the last status stays until that has said one."""
        self._rest = ""

    def _take_line(self, data: Mapping[str, Any]) -> NasError | None:
        if "error" in data:
            return (InputError if data["code"] == InputError.exit_code else NasError)(str(data["error"]))
        self.is_missing = "none" in data
        if "settings" in data:
            config = SearchConfig.from_data(data["settings"], "its settings")
            ends = data["metric"]["range"]
            own = {**data["metric"], "range": (float(ends[0]), float(ends[1])) if ends else None}
            at = read_count(data.get("exhausted_at"))
            self._manifest = Manifest("", config, config.recipe, None, Metric(**own), "", exhausted_at=at)
            self._trials = {key: {} for key in _KEYS}
        for key, known in self._trials.items():
            known.update((trial.number, trial) for trial in map(_read_trial, data.get(key, ())))
        if "now" in data:
            if self._manifest is None:
                raise ValueError("it has no settings")
            found = {key: [known[n] for n in sorted(known)] for key, known in self._trials.items()}
            self.status = SearchStatus(
                self._folder, self._manifest, **found, holder=_read_holder(data["holder"]),
                has_result=data["has_result"] is True, now=datetime.fromisoformat(data["now"]),
                is_calibration=self._folder.is_calibration,
            )  # fmt: skip
        return None


def _mark(data: Mapping[str, Any]) -> str:
    return _MARK + json.dumps(data, separators=(",", ":"))


def _dump_trial(trial: Trial) -> dict[str, Any]:
    attrs = dump_candidate(trial.candidate)
    if not trial.is_running:
        attrs["result"] = trial.result.to_data()
    if trial.failure:
        attrs["result"] |= {"reason": trial.failure.reason.value, "message": trial.failure.message}
    attrs |= {key: value for key in ("job", "prescreen") if (value := getattr(trial, key)) is not None}
    return {
        "number": trial.number,
        "attrs": attrs,
        "state": trial.state.value,
        "score": trial.score,
        "curve": list(trial.curve.items()),
        "times": [time and time.isoformat() for time in (trial.began, trial.ended)],
        "too_slow": trial.too_slow,
        "believed": trial.believed,
    }


def _read_trial(data: Mapping[str, Any]) -> Trial:
    began, ended = (time and datetime.fromisoformat(time) for time in data["times"])
    score = None if data["score"] is None else [float(data["score"])]
    curve = {int(epoch): float(value) for epoch, value in data["curve"]}
    state = TrialState(data["state"])
    trial = make_trial(int(data["number"]), {}, data["attrs"], state, score, curve, (began, ended))
    believed = data["believed"]
    return replace(trial, too_slow=data["too_slow"] is True, believed=believed and float(believed))


def _read_holder(data: Mapping[str, Any] | None) -> Holder | None:
    if data is None:
        return None
    pid = data["pid"] if data["pid"] is None else int(data["pid"])
    return Holder(pid, str(data["host"]), datetime.fromisoformat(data["since"]))
