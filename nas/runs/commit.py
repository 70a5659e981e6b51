"""The commit of the folder that a search is started in: nothing that a repository names is run."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

_MOST_LINKS = 5
"""References that a reference leads to, one after the other."""
_MOST_BYTES = 64 * 2**20
_WAIT_S = 10


def find_commit(folder: Path) -> str | None:
    """Return the commit that is checked out in a folder, None where there is none.

    Behind it stands `+` where tracked files differ from it, and `?` where that cannot be known.
    """
    with suppress(OSError, ValueError):  # the latter of what is no text
        for root in (folder.absolute(), *folder.absolute().parents):
            git = _find_git_folder(root / ".git")
            if git is not None:
                common = _read_link(git / "commondir", "") or git
                commit = _read_reference(git, common)
                return None if commit is None else commit + _find_changes(root, git, common, commit)
    return None


def _find_git_folder(path: Path) -> Path | None:
    """Return where `.git` is: a folder, or what a file of a worktree or a submodule names."""
    found = path if path.is_dir() else _read_link(path, "gitdir:")
    return found if found is not None and (found / "HEAD").is_file() else None


def _read_link(file: Path, key: str) -> Path | None:
    text = _read(file)
    return None if text is None or not text.startswith(key) else file.parent / text.removeprefix(key).strip()


def _read_reference(git: Path, common: Path) -> str | None:
    name = "HEAD"
    for _ in range(_MOST_LINKS):
        found = next(_list_values(name, git, common), "")
        if re.fullmatch("[0-9a-f]{40}([0-9a-f]{24})?", found):
            return found
        name = found.removeprefix("ref:").strip()
        if not name.startswith("refs/") or ".." in name:
            return None
    return None


def _list_values(name: str, git: Path, common: Path) -> Iterator[str]:
    """Yield what is written of a reference, that of the worktree first."""
    for folder in (git, common):
        text = _read(folder / name)
        if text is not None:
            yield text.strip()
    for line in (_read(common / "packed-refs") or "").splitlines():
        commit, _, packed = line.partition(" ")
        if packed == name:
            yield commit


def _read(file: Path) -> str | None:
    """Return the text of a regular file that is not huge."""
    return file.read_text() if file.is_file() and file.stat().st_size <= _MOST_BYTES else None


def _find_changes(root: Path, git: Path, common: Path, commit: str) -> str:
    """Ask Git with the repository's objects and index alone: no configuration, so no hook, filter or monitor
    that it names, and nothing of the repository is written."""
    program = shutil.which("git", path=os.environ.get("PATH", os.defpath))
    if program is None or not (git / "index").is_file():
        return "?"
    with TemporaryDirectory(prefix="nas-git-") as empty:
        own = Path(empty, ".git")
        for part in ("objects", "refs"):
            (own / part).mkdir(parents=True)
        (own / "HEAD").write_text(commit + "\n")
        (own / "config").write_text("[core]\n\trepositoryformatversion = 0\n\tbare = false\n")
        shutil.copy2(git / "index", own / "index")
        environment = {key: value for key, value in os.environ.items() if not key.startswith("GIT_")} | {
            "GIT_ATTR_NOSYSTEM": "1",
            "GIT_CONFIG_GLOBAL": os.devnull,
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_DIR": str(own),
            "GIT_NO_LAZY_FETCH": "1",
            "GIT_OBJECT_DIRECTORY": str(common.absolute() / "objects"),
            "GIT_OPTIONAL_LOCKS": "0",
            "GIT_WORK_TREE": str(root),
        }
        try:
            said = subprocess.run(
                [program, "status", "--porcelain", "--untracked-files=no", "--ignore-submodules=all"],
                cwd=empty, env=environment, capture_output=True, timeout=_WAIT_S, check=True,
            ).stdout  # fmt: skip
        except (OSError, subprocess.SubprocessError):
            return "?"
    return "+" if said.strip() else ""
