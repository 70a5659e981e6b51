"""What shells are told that a word may go on to: files, run folders, spaces. Values are read as they are."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import rich_click as click
from click.shell_completion import CompletionItem


class _File(click.ParamType[Path]):
    """A path, which is completed by the shell. `kind`: file or dir."""

    name = "path"

    def __init__(self, kind: str) -> None:
        self._kind = kind

    def convert(self, value: str | Path, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        return Path(value)

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        return [CompletionItem(incomplete, type=self._kind)]


class _RunPath(_File):
    """A run folder, and by the shell any other."""

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        found = [CompletionItem(run) for run in find_runs(incomplete)]
        return found or super().shell_complete(ctx, param, incomplete)


class _NetworkName(click.ParamType[str]):
    """A bundled space or a run folder, and by the shell any file."""

    name = "text"

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        from nas.space.library import list_spaces

        known = (name for name in list_spaces() if name.startswith(incomplete))
        found = [CompletionItem(name) for name in (*known, *find_runs(incomplete))]
        return found or [CompletionItem(incomplete, type="file")]


FILE, FOLDER, RUN, NETWORK = _File("file"), _File("dir"), _RunPath("dir"), _NetworkName()


def find_runs(incomplete: str) -> Iterator[str]:
    """Return the run folders whose paths begin so; those in `runs` where nothing but a part of that is
    typed."""
    folder, slash, name = incomplete.rpartition("/")
    if not slash and "runs".startswith(incomplete):
        folder, slash, name = "runs", "/", ""
    manifests = ("run.yaml", "train.yaml", "job.yaml")
    try:
        places = sorted(path for path in Path(folder + slash).iterdir() if path.name.startswith(name or ""))
        for path in places:
            if path.name[0] != "." and any((path / manifest).is_file() for manifest in manifests):
                yield f"{folder}{slash}{path.name}"
    except OSError:  # there is none, or it cannot be read
        return
