"""What is shown or drawn: a run, a trial of it, a space, a network, or what a budget leaves of a space."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from nas.cost import format_large
from nas.errors import InputError
from nas.files import check_replaceable
from nas.runs.counted import Counted
from nas.runs.showing import DrawConfig, ShowConfig
from nas.space import Space, load_space
from nas.space.library import check_no_trial, find_space, is_run, list_spaces
from nas.space.plugins import load_plugins, read_plugins

if TYPE_CHECKING:
    from nas.measures import Budget
    from nas.plots.pictures import Convert
    from nas.runs.state import RunState
    from nas.space.counting.census import Census
    from nas.study.records import Trial
    from nas.workflows.calibration_lookup import KeptFigures


@dataclass(frozen=True)
class ShownRun:
    """A run, of which the `top` trials are shown, or one `trial` alone. `is_running`: a process works in
    it."""

    state: RunState
    top: int
    trial: Trial | None
    is_running: bool


@dataclass(frozen=True)
class ShownCalibration:
    """A calibration in a folder. `kept`: its figures, None where it has none, or damaged ones."""

    folder: Path
    kept: KeptFigures | None


@dataclass(frozen=True)
class ShownSpace:
    """A space or a network, as it is counted. `budget`: that is asked about, and `census`: what it leaves,
    None where nothing is asked. `fitted`: what became of its strides, in a line, where it is at another
    input."""

    space: Space
    fitted: str | None
    budget: Budget
    census: Census | None


def find_shown(
    what: str,
    config: ShowConfig,
    *,
    plugins: Sequence[Path] = (),
    storage: str | None = None,
    progress: Callable[[str], None],
) -> ShownRun | ShownCalibration | ShownSpace:
    """Return what is to be shown of a file, a bundled name or a run folder.

    Raises InputError for a setting that has no meaning for it, and for a budget that no network is inside of.
    """
    sources = read_plugins(plugins)
    if is_run(what):
        _check_run(what, config)
        from nas.runs.state import RunState  # with Optuna, which takes its time

        state = RunState.load(Path(what), sources, storage)
        folder, trial = state.folder, None if config.trial is None else state.trial(config.trial)
        if folder.is_calibration and trial is None:
            from nas.workflows.calibration_lookup import read_figures  # with numpy

            return ShownCalibration(folder.path, read_figures(folder))
        return ShownRun(state, config.top, trial, folder.holder is not None)
    check_no_trial(what, config.trial, storage)
    load_plugins(sources)
    space, fitted = load_space(find_space(what)), None
    if config.input is not None:
        from nas.space.fit import fit_input

        found = fit_input(space, config.input)
        space, fitted = found.space, str(found)
    space = Counted.DEPLOYED.of(space, config.classes, None)
    if not config.budget:
        return ShownSpace(space, fitted, config.budget, None)
    if space.is_architecture:
        raise InputError(f"{what}: is one network, and a budget is for a space; leave it out")
    from nas.space.counting.census import take_census  # with numpy
    from nas.workflows.checks import check_budget

    check_budget(space, config.budget)
    progress("counting")
    return ShownSpace(space, fitted, config.budget, take_census(space, config.budget))


def count_bundled() -> dict[str, tuple[int, str]]:
    """Return how many networks each bundled space has, and what it is about, by name."""
    spaces = {name: load_space(path) for name, path in list_spaces().items()}
    return {  # a bundled network can be built
        name: (1 if space.is_architecture else space.count, space.about) for name, space in spaces.items()
    }


@dataclass(frozen=True)
class Drawn:
    """A network that is drawn, the `file` that is written, and what makes its content of an SVG."""

    network: Space
    file: Path
    convert: Convert


def find_drawn(
    what: str,
    config: DrawConfig,
    output: Path | None = None,
    *,
    is_drawing: Callable[[str], bool],
    plugins: Sequence[Path] = (),
    storage: str | None = None,
) -> Drawn:
    """Return what is to be drawn of a file, a bundled name or a run folder, and where.

    `output`: the file; where none is named, it is in the run, or in the current folder, where it takes the
    place of a drawing alone, as `is_drawing` says of a text.

    Raises InputError where there is no network, or several are left, for a setting that has no meaning for
    it, and for a file that is of no picture format or may not be replaced.
    """
    from nas.plots.pictures import find_picture_format
    from nas.runs.state import load_network

    _check_input(what, config.input)
    network = load_network(what, read_plugins(plugins), config.trial, storage)
    if config.input is not None:
        from nas.space.fit import fit_input

        network = fit_input(network, config.input).space
    file = output or _name_drawing(what, config.trial)
    if output is None and not is_run(what):
        check_replaceable(file, is_drawing)
    convert = find_picture_format(file)
    if config.largest is not None:
        network = network.resolve(network.largest() if config.largest else network.smallest())
    if not network.is_architecture:
        raise InputError(
            f"{network.file}: is a space of {format_large(network.count)} networks, and one is drawn at a "
            "time; add --largest or --smallest, or name a run folder or the file of one network"
        )
    return Drawn(network, file, convert)


def _name_drawing(what: str, trial: int | None) -> Path:
    if not is_run(what):
        return Path(f"{Path(what).stem}.svg")
    return Path(what, "best.svg" if trial is None else f"trial_{trial}.svg")


def _check_input(what: str, side: int | None) -> None:
    """Raise InputError where a run is to be fitted to an input."""
    if side is not None and is_run(what):
        raise InputError(f"--input: {what} is a run, and was searched at its input; leave it out")


def _check_run(run: str, config: ShowConfig) -> None:
    """Raise InputError for what is of spaces and networks alone."""
    if config.budget:
        raise InputError(f"{run}: is a run, and a budget is for a space; name the file of one")
    _check_input(run, config.input)
    if config.classes is not None:
        raise InputError(f"--classes: {run} was counted when it was searched; name the file of a space")
