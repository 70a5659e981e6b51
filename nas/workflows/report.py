"""What the report of a run shows, read once: the run, and what lies in its folder and beside it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from shlex import quote

from nas.errors import InputError
from nas.runs.beside import find_random
from nas.runs.coefficients import CoefficientsFolder, CoefficientsManifest
from nas.runs.comparison import VersusFolder, VersusManifest
from nas.runs.folder import RunFolder
from nas.runs.state import RunState
from nas.space.plugins import read_plugins
from nas.workflows.calibration_lookup import find_calibration
from nas.workflows.profile import Profile, read_profile
from nas.workflows.versus.verdict import Verdict


@dataclass(frozen=True)
class Report:
    """What is known of a run. Of what others found of it, None where there is nothing, and what is wrong
    where it cannot be read.

    `random`: the run of random search that it is compared with. `calibration`: what one beside it says, in a
    line. `verdict`: of the comparison with baselines. `profile`: how long its network takes.
    """

    state: RunState
    random: RunState | None
    calibration: str | None
    verdict: Verdict | InputError | None
    profile: Profile | InputError | None


def gather_report(run: Path, plugins: Sequence[Path | str] = (), storage: str | None = None) -> Report:
    """Read what a report shows. `plugins`: files of the run's blocks, which are run; `storage`: the database
    of its trials, where they are in one.

    Raises InputError for what is no run of a search.
    """
    _check_kind(run)
    state = RunState.load(run, read_plugins([Path(plugin) for plugin in plugins]), storage)
    if state.folder.is_calibration:
        raise InputError(
            f"{state.folder.path}: is a calibration, and a report is of a search; name the run folder of "
            f"one, or see 'nas show {state.folder.path}'"
        )
    return add_others(state)


def add_others(state: RunState) -> Report:
    """Return a run with what others found of it."""
    folder = state.folder
    return Report(
        state,
        find_random(state),
        find_calibration(folder, state.manifest),
        _read_verdict(VersusFolder(folder.path / "versus")),
        _read_profile(folder),
    )


def _read_verdict(folder: VersusFolder) -> Verdict | InputError | None:
    try:
        return Verdict.read(folder)
    except InputError as error:
        return error


def _read_profile(folder: RunFolder) -> Profile | InputError | None:
    try:
        return read_profile(folder)
    except InputError as error:
        return error


def _check_kind(path: Path) -> None:
    """Raise InputError for a search of coefficients and a comparison, which are of a network, with what they
    have in place of a report."""
    coefficients, versus = CoefficientsFolder(path), VersusFolder(path)
    if coefficients.manifest_file.is_file():
        what, shown = "a search of coefficients", coefficients.plot_file
        network = CoefficientsManifest.read(coefficients).config.network
    elif versus.manifest_file.is_file():
        what, shown = "a comparison", versus.table_file
        network = VersusManifest.read(versus).config.network
    else:
        return
    has = f"see {shown}" if shown.is_file() else f"{shown} is written when it ends"
    run = next((run for run in (Path(network), path.parent) if RunFolder(run).manifest_file.is_file()), None)
    of = f"the run that it is of has one: nas report {quote(str(run))}" if run else f"it is of {network}"
    raise InputError(f"{path}: is {what}, and a report is of a search of networks; {has}; {of}")
