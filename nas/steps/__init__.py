"""A search and what follows it in one file: each step is a call of what the command of its name calls."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from shlex import join
from typing import Any

from nas.errors import InputError, suggest_word
from nas.runs.common import check_folder_name
from nas.runs.pipeline import PipelineFolder
from nas.steps.reading import STEPS, read_pipeline
from nas.workflows.pipeline import EndedStep, PipelineObserver, run_steps


@dataclass(frozen=True)
class PipelineResult:
    """What a pipeline came to. `folder`: where all of it is; `steps`: those that it has, in their order."""

    folder: Path
    steps: tuple[EndedStep, ...]

    def __getitem__(self, name: str) -> EndedStep:
        """Return a step by its name."""
        return next(step for step in self.steps if step.name == name)


def pipeline(
    what: Path | str | Mapping[str, Any],
    observer: PipelineObserver | None = None,
    *,
    plugins: Sequence[Path | str] = (),
    runs: Path | str = "runs",
    name: str | None = None,
    force: Collection[str] = (),
) -> PipelineResult:
    """Do the steps of a file: search, calibrate, finalists, scale, train, versus, profile, export, report.

    `what`: the YAML file, or the mapping that it would have. All settings are checked before the first step.
    In the folder `runs/name`, called like the file where no name is given, a step is skipped while nothing
    that it reads has changed since it was done; the same call goes on after a stop or a kill. `force`: steps
    that are done all the same. `plugins`: Python files of blocks and operators, which are run.

        >>> import nas
        >>> short = {"max_images": 200, "workers": 0, "in_process": True}
        >>> search = {"space": "tiny.yaml", "trials": 2, **short}
        >>> found = nas.pipeline({"search": search, "export": {"format": "python"}}, name="two-steps")
        >>> [(step.name, step.why) for step in found.steps]
        [('search', 'not done yet'), ('export', 'not done yet')]

    Raises InputError for a step or a setting that is wrong, and what the functions raise, named after the
    step; Stopped on Ctrl-C.
    """
    steps = read_pipeline(what, plugins)
    for step in force:
        if step not in [one.name for one in steps]:
            hint = suggest_word(step, [one.name for one in steps])
            raise InputError(f"--force: there is no step '{step}' in it{hint}")
    file = None if isinstance(what, Mapping) else Path(what)
    name = name or (file.stem if file else "pipeline")
    check_folder_name(name)
    folder = PipelineFolder.of(Path(runs) / name)
    command = "the same call" if file is None else _format_command(file, plugins, Path(runs), name)
    return PipelineResult(
        folder.home, run_steps(steps, folder, observer or PipelineObserver(), command, force)
    )


def _format_command(file: Path, plugins: Sequence[Path | str], runs: Path, name: str) -> str:
    """Return the command that goes on with a pipeline."""
    flags = ["--runs", str(runs)] if runs != Path("runs") else []
    flags += ["--name", name] if name != file.stem else []
    for plugin in plugins:
        flags += ["--plugin", str(plugin)]
    return join(["nas", "run", str(file), *flags])


__all__ = ["STEPS", "PipelineResult", "pipeline", "read_pipeline"]
