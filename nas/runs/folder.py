"""The run folder: its paths, its lock, and writes that a kill leaves whole or undone."""

from __future__ import annotations

import fcntl
import os
import re
import secrets
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nas.errors import InputError, NasError, did_you_mean
from nas.exporters import export_suffixes
from nas.files import write_atomically
from nas.space import Space, dump_space

if TYPE_CHECKING:
    from nas.importing import SourceFile
    from nas.measures import Measure
    from nas.study.records import Trial


class RunExists(InputError):
    """There is a run of this name already."""


@dataclass(frozen=True)
class RunFolder:
    """A folder `runs/NAME/` with everything that one search made. It reads nothing by itself: `RunState`
    has what it says."""

    path: Path

    @property
    def manifest_file(self) -> Path:
        return self.path / "run.yaml"

    @property
    def space_file(self) -> Path:
        return self.path / "space.yaml"

    @property
    def journal(self) -> Path:
        return self.path / "study.journal"

    @property
    def best_file(self) -> Path:
        return self.path / "best.yaml"

    @property
    def trials_file(self) -> Path:
        return self.path / "trials.csv"

    @property
    def broken_file(self) -> Path:
        """The images that are left out, and why."""
        return self.path / "broken.txt"

    @property
    def data_file(self) -> Path:
        """The images of a run whose data set is a user's function."""
        return self.path / "data.npz"

    @property
    def plan_file(self) -> Path:
        """The plan of a calibration."""
        return self.path / "calibration.yaml"

    @property
    def figures_file(self) -> Path:
        """What a calibration found."""
        return self.path / "calibration.json"

    @property
    def is_calibration(self) -> bool:
        """Whether the run is a calibration, whose trials are no search."""
        return self.plan_file.is_file()

    @property
    def weights_folder(self) -> Path:
        return self.path / "weights"

    def weights_file(self, number: int) -> Path:
        """The weights of a trial."""
        return self.weights_folder / f"trial-{number:05d}.safetensors"

    def final_weights_file(self, number: int) -> Path:
        """The weights of a long training of a finalist."""
        return self.weights_folder / f"final-{number:05d}.safetensors"

    def kept_weights(self) -> Iterator[Path]:
        """List the files of weights of trials."""
        return self.weights_folder.glob("trial-*.safetensors")

    def source_file(self, name: str) -> Path:
        """The copy of a user's file, for whoever names it: nothing in a run folder is run by itself."""
        return self.path / "plugins" / name

    @classmethod
    def open(cls, path: Path) -> RunFolder:
        """Return an existing run folder. Raises InputError for what is none."""
        if not path.is_dir():
            near = [
                str(p.parent) for folder in (path.parent, Path("runs")) for p in folder.glob("[!.]*/run.yaml")
            ]
            hint = did_you_mean(str(path), near) or "; name a folder that nas search made"
            what = "is a file, not a run" if path.is_file() else "there is no such run"
            raise InputError(f"{path}: {what}{hint}")
        folder = cls(path)
        if not folder.manifest_file.is_file():
            raise InputError(
                f"{path}: is not a run folder, it has no run.yaml; name a folder that nas search made"
            )
        return folder

    @classmethod
    def create(
        cls, path: Path, files: Mapping[str, str | bytes], sources: Sequence[SourceFile] = ()
    ) -> RunFolder:
        """Make a run folder with `files`, by name, and copies of a user's `sources`.

        A kill leaves the whole folder or none: it is made beside, under a name of its own, where run.yaml,
        which makes a folder a run, comes last. Raises RunExists where there is one, NasError where it cannot
        be made.
        """
        beside = cls(path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}.tmp"))
        try:
            if path.exists():
                raise RunExists(
                    f"{path}: exists already; continue it with 'nas resume {path}', or choose another --name"
                )
            beside.weights_folder.mkdir(parents=True)
            for source in sources:
                copy = beside.source_file(source.name)
                copy.parent.mkdir(exist_ok=True)
                write_atomically(copy, source.text)
            for file in sorted(map(beside.path.joinpath, files), key=beside.manifest_file.__eq__):
                write_atomically(file, files[file.name])
            beside.path.rename(path)
        except OSError as error:
            if path.exists():
                raise RunExists(f"{path}: another search has just made it; choose another --name") from None
            raise NasError(
                f"{path}: cannot be made: {error.strerror}; choose a folder that you can write with --runs"
            ) from None
        finally:
            shutil.rmtree(beside.path, ignore_errors=True)
        return cls(path)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Be the folder's only writer. The system drops the lock with its process, however that ends.

        Raises InputError where another process holds it, NasError where the folder cannot be written.
        """
        try:
            file = os.open(self.path / ".lock", os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as error:
            raise NasError(
                f"{self.path}: cannot be written: {error.strerror}; check the folder's permissions"
            ) from None
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            holder = os.pread(file, 32, 0).decode(errors="replace").strip()
            os.close(file)
            raise InputError(
                f"{self.path}: process {holder} is searching in it; wait for it, or stop it first"
            ) from None
        try:
            os.ftruncate(file, 0)
            os.pwrite(file, str(os.getpid()).encode(), 0)
            yield
        finally:
            os.close(file)

    def write_best(
        self, space: Space, trial: Trial, facts: Mapping[str, Any], measures: Sequence[Measure]
    ) -> None:
        """Write best.yaml: the network of a trial as a space without choices, its figures under `meta`.

        Where that is another than before, the exports and the drawing of the one before go.
        """
        text = dump_space(_with_meta(space, trial, facts, measures))
        if self.best_file.is_file() and self.best_file.read_text(encoding="utf-8") == text:
            return
        for suffix in (*export_suffixes(), ".svg"):
            self.best_file.with_suffix(suffix).unlink(missing_ok=True)
        write_atomically(self.best_file, text)


def next_run_path(folder: Path, space: str) -> Path:
    """Return `folder/NAME-N` with the first free number; NAME is that of the space's file."""
    stem = re.sub(r"[^A-Za-z0-9_-]+", "-", Path(space).stem).strip("-") or "run"
    taken = {p.name for p in folder.glob(f"{stem}-*")} if folder.is_dir() else set()
    number = 1
    while f"{stem}-{number}" in taken:
        number += 1
    return folder / f"{stem}-{number}"


def _with_meta(space: Space, trial: Trial, facts: Mapping[str, Any], measures: Sequence[Measure]) -> Space:
    candidate = trial.candidate
    meta = {
        "score": trial.score,
        **{measure.name: candidate.amount(measure) for measure in measures},
        "trial": candidate.number,
        "space": space.name,
        **facts,
        "choices": dict(candidate.choices),
    }
    return replace(space.resolve(candidate.choices), meta=meta)
