"""The folder of a pipeline, and what it keeps of each step."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import yaml

from nas.errors import InputError
from nas.files import make_folder, write_atomically
from nas.runs.folder import RunFolder, TrainingFolder, choose_run_path
from nas.runs.provenance import damage_told, digest_file, read_document_of

_FORMAT = 1


@dataclass(frozen=True)
class StepRecord:
    """What is kept of a step.

    `inputs`: its plain settings by key, and sha256 of what it reads by what that is. `place`: the folder or
    file that it works in, below that of the pipeline. `outputs`: sha256 of its files that are to stay as they
    are, by path below the pipeline's folder; None while it is not done. `summary`: what it came to;
    `seconds`: how long that took.
    """

    inputs: Mapping[str, Any]
    place: str
    outputs: Mapping[str, str] | None = None
    summary: str = ""
    seconds: float = 0.0

    @property
    def is_done(self) -> bool:
        return self.outputs is not None

    def to_text(self) -> str:
        """Return the content of its file."""
        return yaml.safe_dump({"format": _FORMAT, **vars(self)}, sort_keys=False)

    @classmethod
    def read(cls, path: Path) -> StepRecord:
        """Read a record. Raises InputError for a damaged one, or one of another format."""
        way_out = "remove it to do the step anew"
        document = read_document_of(path, _FORMAT, way_out)
        with damage_told(path, way_out):
            outputs, inputs = document["outputs"], document["inputs"]
            if not isinstance(inputs, dict):
                raise TypeError("inputs are no mapping")
            return cls(
                inputs,
                _check_inside(document["place"]),
                None if outputs is None else {_check_inside(file): str(own) for file, own in outputs.items()},
                str(document["summary"]),
                float(document["seconds"]),
            )


def _check_inside(place: Any) -> str:
    """Return a path below a folder. Raises ValueError for one that leads out of it."""
    if not isinstance(place, str) or Path(place).is_absolute() or ".." in Path(place).parts:
        raise ValueError(f"{place!r} is no path inside of the folder")
    return place


class PipelineFolder(RunFolder):
    """The folder `runs/NAME/steps` with a file for each step; what steps make lies beside it."""

    MAKER: ClassVar[str] = "nas run"
    WORK: ClassVar[str] = "working"
    STEPS: ClassVar[str] = "steps"

    @classmethod
    def of(cls, home: Path) -> PipelineFolder:
        """Make the folder of a pipeline, or find it again. Raises InputError where a run is in its place."""
        for kind in (RunFolder, TrainingFolder):
            if kind(home).manifest_file.exists():
                raise InputError(
                    f"{home}: is a folder that {kind.MAKER} made, and not of a pipeline; choose another "
                    "--name"
                )
        make_folder(home / cls.STEPS)
        return cls(home / cls.STEPS)

    @classmethod
    def is_one(cls, home: Path) -> bool:
        """Return whether a folder is that of a pipeline which has begun a step."""
        return any(cls(home / cls.STEPS).list_records())

    @property
    def home(self) -> Path:
        """The folder that everything of the pipeline is in."""
        return self.path.parent

    def record_file(self, step: str) -> Path:
        """Return the file of what is kept of a step."""
        return self.path / f"{step}.yaml"

    def list_records(self) -> Iterator[Path]:
        """List the files of steps that were begun."""
        return self.path.glob("*.yaml")

    def read(self, step: str) -> StepRecord | None:
        """Return the file of what is kept of a step; None where it was never begun."""
        file = self.record_file(step)
        return StepRecord.read(file) if file.exists() else None

    def write(self, step: str, record: StepRecord) -> None:
        """Keep a record in place of the one before."""
        write_atomically(self.record_file(step), record.to_text())

    def finish(
        self, record: StepRecord, files: Mapping[str, Path], summary: str, seconds: float
    ) -> StepRecord:
        """Return the record of a step that is done."""
        outputs = {str(file.relative_to(self.home)): digest_file(file) for file in files.values()}
        return replace(record, outputs=outputs, summary=summary, seconds=round(seconds, 1))

    def choose_place(self, step: str) -> str:
        """Return where a step works anew: `STEP-N`, with the first free number."""
        return choose_run_path(self.home, step).name

    def find_change(self, record: StepRecord) -> str | None:
        """Return which output of a step is not as it was, and how; None where all are."""
        for file, digest in (record.outputs or {}).items():
            path = self.home / file
            if not path.is_file():
                return f"{path} is gone"
            if digest_file(path) != digest:
                return f"{path} was changed"
        return None
