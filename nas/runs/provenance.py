"""What the YAML file of a folder says of how it was made: plain data of a known format, checked."""

from __future__ import annotations

import hashlib
import os
import platform
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nas import __version__
from nas.errors import InputError
from nas.files import MOST_TABLE_BYTES, read_text
from nas.runs.commit import find_commit
from nas.space.language.source import read_yaml, to_plain_data

if TYPE_CHECKING:
    from nas.importing import SourceFile
    from nas.runs.folder import RunFolder

_MOST_VALUES = 1_000_000
"""Of such a file, which lists every class of the data."""


def read_document(path: Path) -> dict[str, Any] | None:
    """Return the content of a file; None where it is damaged, having no settings. Raises InputError for text
    that is no YAML."""
    document = to_plain_data(read_yaml(read_text(path, MOST_TABLE_BYTES), str(path), _MOST_VALUES))
    return document if isinstance(document, dict) and document else None


def read_document_of(path: Path, form: int, way_out: str) -> dict[str, Any]:
    """Return the content of a file of a format. Raises InputError, which ends in the `way_out`, for a damaged
    one, or one of another format."""
    document = read_document(path)
    if document is None:
        raise InputError(f"{path}: is damaged (it has no settings); restore it, or {way_out}")
    if document.get("format") != form:
        raise InputError(
            f"{path.parent}: has format {document.get('format')}, and this nas reads format {form}; use "
            f"the nas that made it, or {way_out}"
        )
    return document


@contextmanager
def damage_told(path: Path, way_out: str) -> Iterator[None]:
    """Say of a file of which a part is not there, or is of another type, that it is damaged: raise
    InputError, which ends in the `way_out`."""
    try:
        yield
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path}: is damaged ({error}); restore it, or {way_out}") from None


def read_digests(given: Mapping[str, Any]) -> dict[str, str]:
    """Return digests by the names of files in a folder. Raises ValueError for a name that is of none."""
    found = {str(name): str(digest) for name, digest in given.items()}
    for name in found:
        if name in ("", "..") or Path(name).name != name:
            raise ValueError(f"'{name}' is not the name of a file in the folder")
    return found


def read_count(given: Any) -> int | None:
    """Return a number of things, None where there is none. Raises TypeError for what is no such number."""
    if given is not None and type(given) is not int:
        raise TypeError(f"{given!r} is no whole number")
    return given


def read_environment(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return what `describe_environment` had written."""
    return {key: document.get(key) for key in ("versions", "git_commit", "machine")}


def describe_environment(device: str) -> dict[str, Any]:
    """Return the versions, commit and machine of now."""
    return {
        "versions": _read_versions(),
        "git_commit": find_commit(Path()),
        "machine": {"platform": platform.platform(), "cpus": os.cpu_count(), "device": device},
    }


def describe_versions(environment: Mapping[str, Any]) -> str:
    """Return in a sentence what a folder was made with."""
    versions = ", ".join(f"{name} {version}" for name, version in (environment.get("versions") or {}).items())
    commit = environment.get("git_commit")
    return f"Versions: {versions}{f'; commit {commit}' if commit else ''}."


def _read_versions() -> dict[str, str]:
    from importlib.metadata import PackageNotFoundError, version

    versions = {"nas": __version__, "python": platform.python_version()}
    for package in ("torch", "torchvision", "optuna", "ray", "networkx"):
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            continue
    return versions


def digest_text(text: str) -> str:
    """Return the sha256 of a text."""
    return hashlib.sha256(text.encode()).hexdigest()


def digest_file(path: Path) -> str:
    """Return the sha256 of what is in a file. Raises OSError where it cannot be read."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def check_plugins(plugins: Mapping[str, str], folder: RunFolder, given: Sequence[SourceFile]) -> None:
    """Raise InputError where the given plugins are not those with these digests by name."""
    by_name = {plugin.name: plugin for plugin in given}
    for name, digest in plugins.items():
        copy = folder.source_file(name)
        if name not in by_name:
            raise InputError(
                f"{folder.path}: was {folder.DONE} with blocks of {name}, and no plugin is loaded that is "
                f"not named; add --plugin {copy}"
            )
        check_unchanged(folder, by_name[name], digest, f"--plugin {copy}")
    for name in by_name.keys() - plugins.keys():
        raise InputError(f"{by_name[name].file}: {folder.path} was {folder.DONE} without it; leave it out")


def check_unchanged(folder: RunFolder, source: SourceFile, digest: str | None, flag: str) -> None:
    """Raise InputError where a file is not the one with a digest. `flag`: what names the folder's copy."""
    if source.sha256 != digest:
        raise InputError(
            f"{source.file}: is not as it was when {folder.path} was {folder.DONE}; restore it, or name the "
            f"copy, {flag}"
        )
