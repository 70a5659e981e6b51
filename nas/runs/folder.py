"""The run folder: what one search made, and how to come back to it."""

from __future__ import annotations

import fcntl
import hashlib
import os
import platform
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from nas import __version__
from nas.data.card import DataCard
from nas.errors import InputError, NasError, did_you_mean
from nas.files import write_atomically
from nas.runs.config import FORMAT, SearchConfig, read_format_1
from nas.space import Choices, Space, dump_space, load_space
from nas.space.language.source import plain_data, read_text, read_yaml
from nas.space.plugins import Plugin

if TYPE_CHECKING:
    from nas.study.records import Record

_MOST_VALUES = 10_000_000
"""Of run.yaml, which lists every class of the data."""


@dataclass(frozen=True)
class Start:
    """A network to try first: the file it was given as, and the point of the space that it is."""

    file: str
    choices: Choices


class RunExists(InputError):
    """There is a run of this name already."""


@dataclass(frozen=True)
class Run:
    """A run folder: `run.yaml`, `space.yaml`, `study.journal`, `weights/`, `plugins/`, and the results."""

    path: Path

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
    def plan_file(self) -> Path:
        """The plan of a calibration."""
        return self.path / "calibration.yaml"

    @property
    def is_calibration(self) -> bool:
        """Whether the run is a calibration, whose trials are no search."""
        return self.plan_file.is_file()

    def weights_file(self, number: int) -> Path:
        return self.path / "weights" / f"trial-{number:05d}.safetensors"

    def plugin_file(self, name: str) -> Path:
        """The copy of a plugin, for whoever names it: nothing in a run folder is run by itself."""
        return self.path / "plugins" / name

    @classmethod
    def create(
        cls,
        path: Path,
        settings: SearchConfig,
        space: Space,
        data: DataCard,
        device: str,
        *,
        starts: Sequence[Start] = (),
        plugins: Sequence[Plugin] = (),
        plan: str | None = None,
    ) -> Run:
        """A new run folder, with the space as searched and every setting as resolved; with `plan`, one of a
        calibration.

        A kill leaves the whole folder or none. Raises RunExists where there is one, NasError where it cannot
        be made.
        """
        space_text = dump_space(space)
        document = {
            "format": FORMAT,
            "study": path.name,
            "settings": settings.to_data(),
            "versions": _versions(),
            "git_commit": _git_commit(),
            "machine": {"platform": platform.platform(), "cpus": os.cpu_count(), "device": device},
            "data": data.to_data(),
            "space_sha256": _digest(space_text),
            "starts": [asdict(start) for start in starts],
            "plugins": {plugin.name: plugin.sha256 for plugin in plugins},
        }
        beside = cls(path.with_name(f".{path.name}.{os.getpid()}.tmp"))
        try:
            if path.exists():
                raise RunExists(
                    f"{path}: exists already; continue it with 'nas resume {path}', or choose another --name"
                )
            beside.weights_file(0).parent.mkdir(parents=True)
            write_atomically(beside.space_file, space_text)
            for plugin in plugins:
                beside.plugin_file(plugin.name).parent.mkdir(exist_ok=True)
                write_atomically(beside.plugin_file(plugin.name), plugin.text)
            if plan is not None:
                write_atomically(beside.plan_file, plan)
            beside._write_document(document)
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

    @classmethod
    def open(cls, path: Path) -> Run:
        """An existing run folder. Raises InputError for what is none, or one of another version."""
        if not path.is_dir():
            near = [
                str(p.parent) for folder in (path.parent, Path("runs")) for p in folder.glob("*/run.yaml")
            ]
            hint = did_you_mean(str(path), near) or "; name a folder that nas search made"
            what = "is a file, not a run" if path.is_file() else "there is no such run"
            raise InputError(f"{path}: {what}{hint}")
        run = cls(path)
        if not (path / "run.yaml").is_file():
            raise InputError(
                f"{path}: is not a run folder, it has no run.yaml; name a folder that nas search made"
            )
        version = run.document.get("format")
        if version not in (1, FORMAT):
            raise InputError(
                f"{path}: has format {version}, this nas {__version__} reads formats 1 to {FORMAT}; "
                "use the nas that made it, or start a new run"
            )
        return run

    def write_settings(self, settings: SearchConfig) -> None:
        """Bring run.yaml in line with settings that a resume changed."""
        data = settings.to_data()
        document = self.document
        if document["settings"] != data or document["format"] != FORMAT:
            self._write_document({**document, "format": FORMAT, "settings": data})

    def _write_document(self, document: Mapping[str, Any]) -> None:
        write_atomically(self.path / "run.yaml", yaml.safe_dump(document, sort_keys=False))

    @property
    def document(self) -> dict[str, Any]:
        """The content of run.yaml."""
        path = self.path / "run.yaml"
        data = deepcopy(_parsed(read_text(path), str(path)))
        if not isinstance(data, dict) or not data:
            raise InputError(f"{path}: is damaged, it has no settings; restore it, or start a new run")
        return data

    @property
    def settings(self) -> SearchConfig:
        """The settings of the run, as its last resume left them."""
        document = self.document
        data = document.get("settings", {})
        if document.get("format") == 1:
            data = read_format_1(data)
        return SearchConfig.from_data(data, str(self.path / "run.yaml"))

    @property
    def data(self) -> DataCard:
        """The data set the run trains on."""
        try:
            return DataCard.from_data(self.document["data"])
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise self._damaged("data", error) from None

    def _damaged(self, key: str, error: Exception) -> InputError:
        return InputError(f"{self.path / 'run.yaml'}: {key}: is damaged ({error}); restore the file")

    @property
    def starts(self) -> list[Choices]:
        """The points that are tried first."""
        try:
            starts = [dict(start["choices"]) for start in self.document.get("starts", [])]
            for choices in starts:
                self.space.resolve(choices)
        except (InputError, KeyError, TypeError, ValueError) as error:
            raise self._damaged("starts", error) from None
        return starts

    @property
    def plugins(self) -> dict[str, str]:
        """The names of the plugins that the run was searched with, and their sha256."""
        try:
            return {str(name): str(digest) for name, digest in self.document.get("plugins", {}).items()}
        except AttributeError as error:
            raise self._damaged("plugins", error) from None

    @property
    def plugin_flags(self) -> str:
        """What a command about this run names besides it: ` --plugin FILE`, with a space before."""
        return "".join(f" --plugin {self.plugin_file(name)}" for name in self.plugins)

    def check_plugins(self, plugins: Sequence[Plugin]) -> None:
        """Raises InputError where these are not the plugins that the run was searched with."""
        needed = self.plugins
        given = {plugin.name: plugin for plugin in plugins}
        for name, digest in needed.items():
            copy = self.plugin_file(name)
            if name not in given:
                raise InputError(
                    f"{self.path}: was searched with blocks of {name}, and no plugin is loaded that is not "
                    f"named; add --plugin {copy}"
                )
            if given[name].sha256 != digest:
                raise InputError(
                    f"{given[name].file}: is not as it was when {self.path} was searched; restore it, or "
                    f"name the copy, --plugin {copy}"
                )
        for name in given.keys() - needed.keys():
            raise InputError(f"{given[name].file}: {self.path} was searched without it; leave it out")

    @property
    def space(self) -> Space:
        """The space as searched and counted: with at least the channels and classes of the data set.

        The network that is shipped costs no more than the one that is counted. Raises InputError where the
        file was changed.
        """
        if _digest(read_text(self.space_file)) != self.document.get("space_sha256"):
            raise InputError(
                f"{self.space_file}: was changed since the search began, but its trials are of the space as "
                "it was; restore the file, or search the new one in a run of its own"
            )
        return load_space(self.space_file).counted_with(self.data.channels, len(self.data.classes))

    @property
    def storage(self) -> Path | str:
        """Where the study is kept."""
        return self.settings.storage or self.journal

    @property
    def study(self) -> str:
        """The study's name in its storage, whatever the folder is called today."""
        return str(self.document.get("study"))

    def records(self) -> list[Record]:
        """Every trial, while the run is searched or after.

        Raises InputError where there are results of trials, but no trials.
        """
        from nas.study.records import read_records  # with Optuna, which takes its time

        found = read_records(self.storage, self.study)
        if not found and (self.best_file.exists() or any(self.weights())):
            raise InputError(
                f"{self.path}: the study '{self.study}' is not in {self.storage}, though the run has results "
                "of it; restore it, or start a new run"
            )
        return found

    def weights(self) -> Iterator[Path]:
        """The files of kept weights."""
        return self.weights_file(0).parent.glob("trial-*.safetensors")

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

    def write_best(self, space: Space, record: Record, facts: Mapping[str, Any]) -> None:
        """best.yaml: the network of a trial as a space without choices, with its figures under `meta`.

        Where that is another than before, the exports of the one before go.
        """
        text = dump_space(_with_meta(space, record, facts))
        if self.best_file.is_file() and self.best_file.read_text(encoding="utf-8") == text:
            return
        for suffix in (".py", ".pt", ".safetensors"):
            self.best_file.with_suffix(suffix).unlink(missing_ok=True)
        write_atomically(self.best_file, text)

    def write_tables(self, records: list[Record]) -> None:
        """trials.csv, a row per trial; pareto.csv, the trials that no other beats in score and cost. Costs
        are those of the objective, else MACs."""
        from nas.study.pareto import pareto
        from nas.study.records import trials_table

        names = sorted({name for r in records for name in r.candidate.choices})
        costs = self.settings.objective.costs or ("macs",)
        write_atomically(self.path / "trials.csv", trials_table(records, names))
        write_atomically(self.path / "pareto.csv", trials_table(pareto(records, costs), names))


def next_run_path(folder: Path, space: str) -> Path:
    """`folder/NAME-N` with the first free number; NAME is that of the space's file."""
    stem = re.sub(r"[^A-Za-z0-9_-]+", "-", Path(space).stem).strip("-") or "run"
    taken = {p.name for p in folder.glob(f"{stem}-*")} if folder.is_dir() else set()
    number = 1
    while f"{stem}-{number}" in taken:
        number += 1
    return folder / f"{stem}-{number}"


def _with_meta(space: Space, record: Record, facts: Mapping[str, Any]) -> Space:
    candidate = record.candidate
    meta = {
        "score": record.score,
        "macs": candidate.cost.macs,
        "params": candidate.cost.params,
        "trial": candidate.number,
        "space": space.name,
        **facts,
        "choices": dict(candidate.choices),
    }
    return replace(space.resolve(candidate.choices), meta=meta)


@lru_cache(4)
def _parsed(text: str, name: str) -> Any:
    """The plain data of a run.yaml, which is read many times and changed seldom."""
    return plain_data(read_yaml(text, name, _MOST_VALUES))


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _versions() -> dict[str, str]:
    from importlib.metadata import PackageNotFoundError, version

    versions = {"nas": __version__, "python": platform.python_version()}
    for package in ("torch", "torchvision", "optuna", "ray", "networkx"):
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            continue
    return versions


def _git_commit() -> str | None:
    """The commit of the folder the search was started in, `+` behind it when files differ from it."""
    try:
        commit = subprocess.run(
            ["git", "rev-parse", "HEAD"], capture_output=True, text=True, timeout=10, check=True
        ).stdout.strip()
        changes = subprocess.run(
            ["git", "status", "--porcelain", "--untracked-files=no"],
            capture_output=True, text=True, timeout=10, check=True,
        ).stdout  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return None
    return commit + ("+" if changes.strip() else "")
