"""Steps that follow one another: each is skipped while nothing that it reads has changed since then."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from nas.errors import InputError, NasError
from nas.runs.pipeline import PipelineFolder, StepRecord
from nas.runs.provenance import digest_file
from nas.workflows.stops import Stopped


@dataclass(frozen=True)
class Work:
    """What a step is to do: at its `place`, with those of the steps before by name. `goes_on`: it was begun
    there, with settings that let it go on. `heard`: who hears it, as the observer of the pipeline says."""

    place: Path
    places: Mapping[str, Path]
    goes_on: bool
    heard: Any


@dataclass(frozen=True)
class Done:
    """What a step came to. `files`: what other steps read and what is to stay as it is, by name; `summary`:
    in one line; `result`: as the function of `nas` gives it that did it."""

    files: Mapping[str, Path]
    summary: str
    result: Any


class Step(ABC):
    """One step.

    `grows`: settings that may change, numbers upwards, while it goes on where it is. `at`: where it works
    below the pipeline's folder, with places of other steps in braces; nothing for a new folder of its own.
    """

    name: ClassVar[str]
    grows: ClassVar[Collection[str]] = ()
    at: ClassVar[str] = ""

    @property
    @abstractmethod
    def inputs(self) -> Mapping[str, Any]:
        """Its settings as plain values by key, and sha256 of files and data that they name."""

    @property
    @abstractmethod
    def reads(self) -> Sequence[tuple[str, str]]:
        """The files that it reads of steps before: step, and name."""

    @property
    def finds(self) -> Sequence[str]:
        """The files that it reads too where they are there, though no step makes them: below the pipeline's
        folder, with places of steps before in braces."""
        return ()

    @abstractmethod
    def run(self, work: Work) -> Done:
        """Do it, or go on with it where a kill has left it."""


@dataclass(frozen=True)
class EndedStep:
    """A step that is over. `why` it was done; None where it was skipped, and there is no `result`."""

    name: str
    why: str | None
    record: StepRecord
    result: Any = None


class PipelineObserver:
    """Hears what happens in a pipeline. Extend it and override what is of interest."""

    def hear(self, step: str) -> AbstractContextManager[Any]:
        """Return the context in which a step runs; it gives who hears the step, or None.

        That is a `nas.Observer` of a search, a calibration and finalists, a `nas.TrainObserver`, a
        `nas.VersusObserver`, and of other steps a function that is told what they do.
        """
        return nullcontext()

    def planned(self, steps: Sequence[str], folder: Path) -> None:
        """These steps follow, in the folder of the pipeline."""

    def began(self, step: str, why: str) -> None:
        """A step begins."""

    def ended(self, step: EndedStep) -> None:
        """A step is over, or is skipped."""


def run_steps(
    steps: Sequence[Step],
    folder: PipelineFolder,
    observer: PipelineObserver,
    command: str,
    forced: Collection[str] = (),
) -> tuple[EndedStep, ...]:
    """Do the steps whose inputs or outputs are not as they were, and those that are `forced`.

    `command`: goes on with the pipeline. Raises what steps raise, named after the step.
    """
    with folder.locked():
        observer.planned([step.name for step in steps], folder.home)
        ended: dict[str, EndedStep] = {}
        for step in steps:
            ended[step.name] = _run_step(step, folder, observer, command, forced, ended)
            observer.ended(ended[step.name])
    return tuple(ended.values())


def _run_step(
    step: Step,
    folder: PipelineFolder,
    observer: PipelineObserver,
    command: str,
    forced: Collection[str],
    ended: Mapping[str, EndedStep],
) -> EndedStep:
    records = {name: one.record for name, one in ended.items()}
    places = {name: record.place for name, record in records.items()}
    inputs = {**step.inputs, **dict(_read_outputs(step, records)), **dict(_read_found(step, folder, places))}
    before = folder.read(step.name)
    why = "forced" if step.name in forced else _find_reason(before, inputs, folder)
    if why is None:
        assert before is not None
        return EndedStep(step.name, None, before)
    goes_on = step.name not in forced and before is not None and _can_go_on(step, before.inputs, inputs)
    place = step.at.format(**places)
    if not place:
        stays = goes_on and before is not None and (step.grows or not before.is_done)
        place = before.place if stays and before is not None else folder.choose_place(step.name)
    goes_on = goes_on and before is not None and before.place == place
    record = StepRecord(inputs, place)
    folder.write(step.name, record)
    observer.began(step.name, why)
    began = time.monotonic()
    before_it = {name: folder.home / one for name, one in places.items()}
    with observer.hear(step.name) as heard:
        done = _do(step, Work(folder.home / place, before_it, goes_on, heard), command)
    record = folder.finish(record, done.files, done.summary, time.monotonic() - began)
    folder.write(step.name, record)
    return EndedStep(step.name, why, record, done.result)


def _do(step: Step, work: Work, command: str) -> Done:
    try:
        return step.run(work)
    except Stopped as end:
        text = f"{step.name}: stopped; nothing finished is lost. Go on with: {command}"
        raise type(end)(text) from None
    except NasError as error:
        kind = InputError if isinstance(error, InputError) else NasError
        told = str(error).replace(error.command, command) if error.command else error
        raise kind(f"{step.name}: {told}") from error


def _read_outputs(step: Step, records: Mapping[str, StepRecord]) -> Iterator[tuple[str, str]]:
    """Yield what the outputs are that a step reads, and their digests."""
    for name, wanted in step.reads:
        for file, digest in (records[name].outputs or {}).items():
            if Path(file).name == wanted:
                yield f"{wanted} of {name}", digest


def _read_found(step: Step, folder: PipelineFolder, places: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Yield the files that a step finds, and their digests."""
    for name in step.finds:
        file = folder.home / name.format(**places)
        if file.is_file():
            yield file.name, digest_file(file)


def _find_reason(before: StepRecord | None, inputs: Mapping[str, Any], folder: PipelineFolder) -> str | None:
    """Return why a step is to be done; None where nothing has changed."""
    if before is None:
        return "not done yet"
    for key in dict.fromkeys((*inputs, *before.inputs)):
        if inputs.get(key) != before.inputs.get(key):
            return f"{key} changed"
    return folder.find_change(before) if before.is_done else "was not finished"


def _can_go_on(step: Step, before: Mapping[str, Any], now: Mapping[str, Any]) -> bool:
    """Return whether a step that was begun with other inputs may go on with these."""
    for key in (*before, *now):
        was, new = before.get(key), now.get(key)
        grown = isinstance(was, int) and isinstance(new, int) and new >= was
        if was != new and not (key in step.grows and (grown or not isinstance(new, int))):
            return False
    return True
