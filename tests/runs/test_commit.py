"""The commit of a run, against git itself, and that nothing of a repository is run."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from nas.runs.commit import find_commit
from nas.runs.provenance import describe_versions

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")


def git(*arguments: str, at: Path) -> str:
    who = ("-c", "user.name=me", "-c", "user.email=me@example.org", "-c", "init.defaultBranch=main")
    done = subprocess.run(["git", *who, *arguments], cwd=at, capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    folder = tmp_path / "repository"
    folder.mkdir()
    git("init", at=folder)
    (folder / "tracked.txt").write_text("one\n")
    git("add", "tracked.txt", at=folder)
    git("commit", "-m", "first", at=folder)
    return folder


def head(folder: Path) -> str:
    return git("rev-parse", "HEAD", at=folder)


def test_a_commit_and_whether_files_differ(repository: Path) -> None:
    (repository / "inner").mkdir()
    (repository / "untracked.txt").write_text("two\n")
    assert find_commit(repository) == find_commit(repository / "inner") == head(repository)
    (repository / "tracked.txt").write_text("other\n")
    assert find_commit(repository) == head(repository) + "+"
    git("add", "tracked.txt", at=repository)
    assert find_commit(repository) == head(repository) + "+"


@pytest.mark.parametrize(
    "command", [("pack-refs", "--all"), ("checkout", "--detach"), ("gc",), ("branch", "-m", "a/b")]
)
def test_however_it_is_kept(repository: Path, command: tuple[str, ...]) -> None:
    git(*command, at=repository)
    assert find_commit(repository) == head(repository)


def test_a_worktree_and_a_submodule(repository: Path, tmp_path: Path) -> None:
    git("worktree", "add", "-b", "other", str(tmp_path / "tree"), at=repository)
    (tmp_path / "tree" / "tracked.txt").write_text("other\n")
    assert find_commit(tmp_path / "tree") == head(repository) + "+"
    assert find_commit(repository) == head(repository)
    git("init", "--separate-git-dir", str(tmp_path / "apart"), at=repository)
    assert find_commit(repository) == head(repository)


def test_nothing_of_a_repository_is_run(repository: Path, tmp_path: Path) -> None:
    """A monitor, a hook and a filter, of which git itself runs each."""
    noticed = tmp_path / "noticed"
    trap = tmp_path / "trap"
    trap.write_text(f"#!/bin/sh\necho $0 >> {noticed}\ncat\n")
    trap.chmod(0o755)
    hooks = repository / ".git" / "hooks"
    hooks.mkdir(exist_ok=True)
    (hooks / "post-index-change").symlink_to(trap)
    git("config", "core.fsmonitor", str(trap), at=repository)
    git("config", "filter.theirs.clean", str(trap), at=repository)
    (repository / ".git" / "info").mkdir(exist_ok=True)
    (repository / ".git" / "info" / "attributes").write_text("*.txt filter=theirs\n")
    (repository / ".gitattributes").write_text("*.txt filter=theirs\n")
    os.utime(repository / "tracked.txt", (1, 1))
    before = {p: p.read_bytes() for p in repository.rglob("*") if p.is_file()}
    assert find_commit(repository) == head(repository)
    assert not noticed.exists()
    assert before == {p: p.read_bytes() for p in repository.rglob("*") if p.is_file()}
    git("status", at=repository)
    assert noticed.exists()


def test_without_git_it_is_not_known_whether_files_differ(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = head(repository)
    monkeypatch.setenv("PATH", "")
    assert find_commit(repository) == f"{commit}?"


@pytest.mark.parametrize(
    "text", ["ref: ../../secret", "ref: refs/heads/../../../../secret", "ref: refs/none", "", "0"]
)
def test_a_head_that_is_none(repository: Path, text: str) -> None:
    (repository.parent / "secret").write_text("0" * 40)
    (repository / ".git" / "HEAD").write_text(text)
    assert find_commit(repository) is None


def test_a_head_that_is_a_pipe_is_not_waited_for(repository: Path) -> None:
    (repository / ".git" / "HEAD").unlink()
    os.mkfifo(repository / ".git" / "HEAD")
    assert find_commit(repository) is None


def test_no_repository(tmp_path: Path) -> None:
    assert find_commit(tmp_path) is None
    (tmp_path / ".git").write_text("gitdir: nowhere\n")
    assert find_commit(tmp_path) is None


def test_what_was_made_outside_of_a_repository_names_no_commit() -> None:
    versions = {"versions": {"nas": "0.1.0"}}
    assert describe_versions({**versions, "git_commit": None}) == "Versions: nas 0.1.0."
    assert describe_versions({**versions, "git_commit": "abc"}) == "Versions: nas 0.1.0; commit abc."
