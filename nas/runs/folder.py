"""The run folder: its paths, its lock, and writes that a kill leaves whole or undone."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Any, ClassVar, Self

from nas.errors import InputError, NasError, suggest_word
from nas.exporters import list_suffixes
from nas.files import check_regular, find_way_out, read_text, scratch_folder, write_atomically
from nas.runs.common import check_folder_name
from nas.runs.holder import Holder, find_holder, hold_lock, make_mark, name_standing_file, read_mark
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
    MANIFEST: ClassVar[str] = "run.yaml"
    """The file that makes a folder one of these."""
    MAKER: ClassVar[str] = "nas search"
    WORK: ClassVar[str] = "searching"
    DONE: ClassVar[str] = "searched"

    @property
    def manifest_file(self) -> Path:
        return self.path / self.MANIFEST

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
    def lock_file(self) -> Path:
        """Its lock, which names who works in it, as `PID HOST`."""
        return self.path / ".lock"

    @property
    def holder(self) -> Holder | None:
        """The process that works in it now."""
        return find_holder(self.lock_file)

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
    def table_file(self) -> Path:
        """The table of latencies, of a run that limits latency or judges by it."""
        return self.path / "latency.json"

    @property
    def believed_file(self) -> Path:
        """What all scores together say of the best networks."""
        return self.path / "believed.json"

    @property
    def measured_file(self) -> Path:
        """The latencies of networks that were measured whole."""
        return self.path / "measured.json"

    @property
    def profile_file(self) -> Path:
        """The latencies of the best network, as `nas profile` measured them."""
        return self.path / "profile.json"

    @property
    def weights_folder(self) -> Path:
        return self.path / "weights"

    def weights_file(self, number: int) -> Path:
        """Return the file of a trial's weights."""
        return self.weights_folder / f"trial-{number:05d}.safetensors"

    def final_weights_file(self, number: int) -> Path:
        """Return the file of the weights of a long training of a finalist."""
        return self.weights_folder / f"final-{number:05d}.safetensors"

    def list_weights(self) -> Iterator[Path]:
        """List the files of weights of trials."""
        return self.weights_folder.glob("trial-*.safetensors")

    def log_folder(self, name: str) -> Path:
        """Return the folder that a logger has of the run."""
        return self.path / "logs" / name

    def source_file(self, name: str) -> Path:
        """Return the copy of a user's file, for whoever names it: nothing in a run folder runs by itself."""
        return self.path / "plugins" / name

    def format_plugin_flags(self, names: Iterable[str]) -> str:
        """Return the flags that name its copies of these files, for a command."""
        return "".join(f" --plugin {quote(str(self.source_file(name)))}" for name in names)

    @classmethod
    def open(cls, path: Path) -> Self:
        """Return an existing run folder. Raises InputError for what is none, or has a pipe for a file."""
        if not path.is_dir():
            near = [
                str(p.parent)
                for folder in (path.parent, Path("runs"))
                for p in folder.glob(f"[!.]*/{cls.MANIFEST}")
            ]
            hint = suggest_word(str(path), near) or f"; name a folder that {cls.MAKER} made"
            what = "is a file, not a run" if path.is_file() else "there is no such run"
            raise InputError(f"{path}: {what}{hint}")
        folder = cls(path)
        if not folder.manifest_file.is_file():
            if cls is RunFolder and TrainingFolder(path).manifest_file.is_file():
                ended = TrainingFolder(path).report_file.is_file()
                more = "" if ended else f", and nas resume {quote(str(path))} goes on with it"
                network = path / "network.yaml"
                raise InputError(
                    f"{path}: is a training, and has no trials; its network is in {network}{more}"
                )
            raise InputError(
                f"{path}: is not a run folder, it has no {cls.MANIFEST}; name a folder that {cls.MAKER} made"
            )
        folder.check_inside()
        return folder

    def check_inside(self) -> None:
        """Raise InputError where something in the folder leads out of it, or is a pipe or a device.

        A link to the folder itself, or above it, leads into it.
        """
        inside = os.path.realpath(self.path)
        for parent, folders, files in os.walk(self.path):
            for name in (*folders, *files):
                _check_entry(Path(parent, name), inside)

    @classmethod
    def create(cls, path: Path, files: Mapping[str, str | bytes], sources: Sequence[SourceFile] = ()) -> Self:
        """Make a run folder with `files`, by name, and copies of a user's `sources`.

        A kill leaves the whole folder or none: it is made beside, under a name of its own, where run.yaml,
        which makes a folder a run, comes last. Raises RunExists where there is one, NasError where it cannot
        be made.
        """
        with _making(path):
            if not path.parent.exists():
                path.parent.mkdir(parents=True, exist_ok=True)
            left = [other for other in path.parent.glob(".*.tmp") if _BESIDE.fullmatch(other.name)]
            with scratch_folder(path.parent, f".{path.name}.", ".tmp", left) as made:
                beside = cls(made)
                beside.weights_folder.mkdir()
                for source in sources:
                    copy = beside.source_file(source.name)
                    copy.parent.mkdir(exist_ok=True)
                    write_atomically(copy, source.text)
                for file in sorted(map(made.joinpath, files), key=beside.manifest_file.__eq__):
                    write_atomically(file, files[file.name])
                made.rename(path)
        return cls(path)

    @classmethod
    def check_new(cls, path: Path) -> None:
        """Raise what `create` would raise where a run folder cannot be made; nothing is left of the try."""
        with _making(path):
            place = next(parent for parent in path.absolute().parents if parent.exists())
            with scratch_folder(place, f".{path.name}.", ".tmp"):
                pass

    @classmethod
    def find_place(cls, parent: Path, name: str | None, like: str) -> Path:
        """Return where a run called `name`, or else like a space and a number, is to be made. Raises
        InputError where it cannot be; nothing is written."""
        if name is not None:
            check_folder_name(name)
        path = parent / name if name else choose_run_path(parent, like)
        try:
            cls.check_new(path)
        except RunExists:
            if name:
                raise  # else another has just taken the number
        return path

    @contextmanager
    def locked(self, wait_s: float = 0.0) -> Iterator[None]:
        """Be the folder's only writer. The system drops the lock with its process, however that ends.
        `wait_s`: how long another one is waited for.

        Where the file system has no such locks, a file stands for it, which a process that is killed may
        leave. Raises InputError where another process holds it, NasError where the folder cannot be written.
        """
        file = self.lock_file
        try:
            descriptor = os.open(file, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o644)
        except OSError as error:
            raise self._explain_unwritable(error) from None
        with ExitStack() as held:
            held.callback(os.close, descriptor)
            try:
                hold_lock(file, descriptor, wait_s, held)
            except TimeoutError:
                raise InputError(
                    f"{self.path}: another process is {self.WORK} in it; wait for it, or stop it first. "
                    f"Where none is, on any machine, one was killed: remove {name_standing_file(file)}"
                ) from None
            except BlockingIOError:
                holder = read_mark(os.read(descriptor, 400).decode(errors="replace"))
                raise InputError(
                    f"{self.path}: {holder} is {self.WORK} in it; wait for it, or stop it first"
                ) from None
            except OSError as error:
                raise self._explain_unwritable(error) from None
            links = os.fstat(descriptor).st_nlink
            if links == 0:  # who held it has removed it, and another may make a new one
                held.close()
                held.enter_context(self.locked(wait_s))
            elif links == 1:  # else it is a file elsewhere too
                os.ftruncate(descriptor, 0)
                os.write(descriptor, make_mark().encode())
            self._remove_parts()
            yield

    def _remove_parts(self) -> None:
        """Remove what writers that were killed have left of files."""
        for folder in (self.path, self.weights_folder):
            for file in folder.glob(".*.tmp"):
                if _PART.fullmatch(file.name):
                    with suppress(OSError):
                        file.unlink()

    def _explain_unwritable(self, error: OSError) -> NasError:
        return NasError(f"{self.path}: cannot be written: {error.strerror}; check the folder's permissions")

    def write_best(
        self, space: Space, trial: Trial, facts: Mapping[str, Any], measures: Sequence[Measure]
    ) -> None:
        """Write best.yaml: the network of a trial as a space without choices, its figures under `meta`.

        Where that is another than before, the exports and the drawing of the one before go.
        """
        text = dump_space(_add_meta(space, trial, facts, measures))
        with suppress(InputError):  # what cannot be read is another
            if read_text(self.best_file) == text:
                return
        self._remove_exports()
        write_atomically(self.best_file, text)

    def remove_best(self) -> None:
        """Remove best.yaml, its exports and its drawing, where no network is the best any more."""
        self.best_file.unlink(missing_ok=True)
        self._remove_exports()

    def _remove_exports(self) -> None:
        for suffix in (*list_suffixes(), ".svg"):
            (self.path / f"{self.best_file.stem}{suffix}").unlink(missing_ok=True)


class TrainingFolder(RunFolder):
    """A folder `runs/NAME/` with everything that one full training made."""

    MANIFEST = "train.yaml"
    MAKER = "nas train"
    WORK = "training"
    DONE = "trained"

    @property
    def network_file(self) -> Path:
        """The network, for the data that it trains on."""
        return self.path / "network.yaml"

    @property
    def initial_file(self) -> Path:
        """The weights before the first epoch."""
        return self.path / "initial.safetensors"

    @property
    def metrics_file(self) -> Path:
        """A row for each epoch."""
        return self.path / "metrics.csv"

    @property
    def report_file(self) -> Path:
        """The figures of a training that is finished."""
        return self.path / "figures.json"

    @property
    def checkpoint_file(self) -> Path:
        """All that the next epoch needs."""
        return self.path / "checkpoint.pt"

    def epoch_file(self, epoch: int) -> Path:
        """Return the file of the weights after an epoch, of the best one."""
        return self.weights_folder / f"epoch-{epoch:05d}.safetensors"


@contextmanager
def _making(path: Path) -> Iterator[None]:
    """Say of a run folder that cannot be made why."""
    try:
        if path.exists():
            raise RunExists(
                f"{path}: exists already; continue it with 'nas resume {path}', or choose another --name"
            )
        yield
    except OSError as error:
        if error.errno in (errno.EEXIST, errno.ENOTEMPTY) and path.is_dir():
            raise RunExists(f"{path}: another search has just made it; choose another --name") from None
        other = "choose a folder that you can write with --runs"
        way = other if error.errno == errno.ENOENT else find_way_out(error, other)
        raise NasError(f"{path}: cannot be made: {error.strerror}; {way}") from None


_BESIDE = re.compile(r"\..+\.[0-9]+-[0-9a-f]{8}\.tmp")
"""The name of a run folder that is being made."""
_PART = re.compile(r"\..+\.[0-9]+\.tmp")
"""The name of a file that is being written."""


def _check_entry(entry: Path, inside: str) -> None:
    if not entry.is_symlink():
        check_regular(entry)
    elif not Path(target := os.path.realpath(entry)).is_relative_to(inside):
        raise InputError(
            f"{entry}: is a link out of the run folder, to {target}; put what is there in its place, or "
            "remove the link"
        )


def choose_run_path(folder: Path, space: str) -> Path:
    """Return `folder/NAME-N` with the first free number; NAME is that of the space's file."""
    stem = re.sub(r"[^A-Za-z0-9_-]+", "-", Path(space).stem).strip("-") or "run"
    taken = {p.name for p in folder.glob(f"{stem}-*")} if folder.is_dir() else set()
    number = 1
    while f"{stem}-{number}" in taken:
        number += 1
    return folder / f"{stem}-{number}"


def _add_meta(space: Space, trial: Trial, facts: Mapping[str, Any], measures: Sequence[Measure]) -> Space:
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
