"""Runs beside a run that it is compared with."""

from __future__ import annotations

from nas.errors import InputError
from nas.execution.config import ExecutorConfig
from nas.runs.folder import RunFolder
from nas.runs.manifest import Manifest
from nas.runs.state import RunState, read_study

_OTHERS = {
    "sampler", "seed", "trials", "start", "scale", "finalists", "final_epochs", "final_seeds", "scheduler",
    "repeats", "inherit", "prescreen", "keep", "storage", "time_limit", *ExecutorConfig.settings(),
}  # fmt: skip
"""Settings that a run of random search may have otherwise: what it proposes by, how long, and where."""


def find_random(state: RunState) -> RunState | None:
    """Return the longest run of random search beside a run, or the run itself where it is one: of the same
    space, budget, objective, data and recipe, its trials drawn and trained to the end without regard to
    others. Runs whose trials are in a database are left out, as none is opened that was not named.

    None where there is none, where trials were scored by an evaluator that no file names, and where others
    than the sampler may have proposed them.
    """
    if state.manifest.data is None and state.config.evaluator is None:
        return state if _is_random(state.manifest) else None
    found = [state] if _is_random(state.manifest) else []
    for file in state.folder.path.resolve().parent.glob("*/run.yaml"):
        if file.parent == state.folder.path.resolve():
            continue
        try:
            folder = RunFolder.open(file.parent)
            if folder.is_calibration or "sampler: random" not in file.read_text(encoding="utf-8"):
                continue
            manifest = Manifest.read(folder)
            if _is_random(manifest) and not manifest.config.storage and _is_alike(manifest, state.manifest):
                found.append(RunState(folder, manifest, state.space, *read_study(folder, manifest)))
        except (InputError, OSError, UnicodeDecodeError):
            continue  # a damaged run beside says nothing
    return max(found, key=lambda run: sum(not trial.is_running for trial in run.trials), default=None)


def _is_random(manifest: Manifest) -> bool:
    """Return whether trials, those of a warm start apart, were drawn evenly and are scored each by itself."""
    config = manifest.config
    return config.sampler == "random" and not (
        manifest.elsewhere or config.inherit or config.prescreen or config.pruner
    )


def _is_alike(one: Manifest, other: Manifest) -> bool:
    settings = []
    for manifest in (one, other):
        found = manifest.settings.items()
        settings.append({key: value for key, value in found if key not in _OTHERS})
    return (
        one.space_sha256 == other.space_sha256
        and one.data == other.data
        and one.evaluator == other.evaluator
        and one.plugins == other.plugins
        and settings[0] == settings[1]
    )
