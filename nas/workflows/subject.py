"""The network that a workflow is about: the best of a run, or that of a file."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from nas.errors import InputError
from nas.runs.state import RunState
from nas.space import Space, SpaceError, load_space
from nas.space.fit import fit_input
from nas.space.library import check_no_trial, find_space, is_run
from nas.space.plugins import Plugin, load_plugins


@dataclass(frozen=True)
class Subject:
    """A network, and the run that it is of; `space` is what it is a member of, `origin` where it is from."""

    network: Space
    space: Space
    run: RunState | None
    origin: str

    def fit(self, side: int | None, channels: int, classes: int) -> Subject:
        """Return the network of a file at the input of `side` and for such data; a run's as it is."""
        if self.run is not None:
            return self
        space = self.space if side is None else fit_input(self.space, side).space
        space = space.for_data(channels, classes)
        return replace(self, network=space.resolve({}), space=space)


def find_subject(
    what: str, trial: int | None, storage: str | None, plugins: Sequence[Plugin], verb: str
) -> Subject:
    """Return the best network of a run, a `trial` of it, or that of a file. `verb`: what is done with it,
    such as `compare`.

    Raises InputError where there is none, or images are not what it is trained on.
    """
    if not is_run(what):
        check_no_trial(what, trial, storage)
        load_plugins(plugins)
        space = load_one(what, f"networks are {verb}d")
        return Subject(space.resolve({}), space, None, what)
    state = RunState.load(Path(what), plugins, storage)
    if state.folder.is_calibration:
        raise InputError(f"{what}: is a calibration, which has no best network; name the run of a search")
    best = state.best_trial if trial is None else state.trial(trial)
    if best is None:
        raise InputError(
            f"{what}: no trial has a score, so that there is no best network to {verb}; "
            f"{state.manifest.describe_way_to_score(state.folder)}"
        )
    if state.manifest.data is None:
        raise InputError(
            f"{what}: was searched by an evaluator of a user's own, and images are classified here; name "
            f"{state.folder.best_file} and --dataset"
        )
    return Subject(state.network(best), state.space, state, f"trial {best.number} of {what}")


def load_one(name: str, use: str) -> Space:
    """Return the network of a file. `use`: what is done with it. Raises InputError where it is a space with
    choices."""
    file = find_space(name)
    space = load_space(file)
    if not space.is_architecture:
        raise InputError(
            f"{file}: is a space with choices, and {use}; name a run folder, or the file of one network, "
            "such as a run's best.yaml"
        )
    return space


def check_builds(network: Space, side: int, flag: str = "--resolution") -> None:
    """Raise InputError where a network cannot be built for images of `side` pixels, as `flag` says."""
    try:
        network.adapt(network.input[0], side, network.classes).architecture()
    except SpaceError as error:
        raise InputError(f"{error}. That is at {side} x {side}; raise {flag}") from None


def find_place(network: str, work: str) -> Path:
    """Return where the `work` on a network is kept where no folder is named: in its run, or beside runs."""
    return Path(network, work) if is_run(network) else Path("runs", f"{work}-{to_slug(Path(network).name)}")


def to_slug(name: str) -> str:
    """Return a name as one of a file."""
    return re.sub(r"[^A-Za-z0-9_-]+", "-", name.removesuffix(".yaml")).strip("-") or "network"
