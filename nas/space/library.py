"""The spaces that come with nas, and how a space is found."""

from __future__ import annotations

from pathlib import Path

from nas.errors import InputError, suggest_word


def list_spaces() -> dict[str, Path]:
    """Return the files of the bundled spaces by name; `reference/…` are networks without choices."""
    folder = _find_folder()
    files = [*sorted(folder.glob("*.yaml")), *sorted((folder / "reference").glob("*.yaml"))]
    return {path.relative_to(folder).with_suffix("").as_posix(): path for path in files}


def find_space(path_or_name: str) -> Path:
    """Return the file of a space, by its path or a bundled name. Raises InputError where there is neither."""
    path = Path(path_or_name)
    if is_run(path_or_name):
        raise InputError(f"{path_or_name}: is a folder; name the space file in it")
    if path.exists():
        return path
    known = list_spaces()
    if path_or_name in known:
        return known[path_or_name]
    beside = [str(p) for p in path.parent.glob("*") if p.suffix == ".yaml" or (p / "run.yaml").is_file()]
    names = [] if "/" in path_or_name and beside else list(known)
    hint = suggest_word(path_or_name, [*beside, *names], "'nas spaces' lists them")
    raise InputError(f"{path_or_name}: no such file or folder, and no bundled space has this name{hint}")


def is_run(path: str) -> bool:
    """Return whether the path is a folder, so that a run is meant and no space."""
    try:
        return Path(path).is_dir()
    except OSError as error:
        raise InputError(f"{path[:60]}...: cannot be read: {error.strerror}; name a file") from None


def check_no_trial(what: str, trial: int | None, storage: str | None = None) -> None:
    """Raise InputError for a trial, or a database of trials, of a file or a bundled name."""
    for flag, given in (("--trial", trial), ("--storage", storage)):
        if given is not None:
            kind = "the folder of a training" if is_run(what) else "a file"
            raise InputError(f"{flag}: {what} is {kind}, and trials are those of a run folder; leave it out")


def _find_folder() -> Path:
    """Return `search_spaces`: inside the package when installed from a wheel, beside it in a checkout."""
    package = Path(__file__).parent.parent
    inside = package / "search_spaces"
    return inside if inside.is_dir() else package.parent / "search_spaces"
