"""What `nas show` prints, of whatever it is."""

from __future__ import annotations

from rich_click import echo

from nas.errors import make_printable
from nas.report.console import open_terminal, say, show
from nas.report.documents import document_census, document_network, document_space, give
from nas.report.tables import render_architecture, render_census, render_space
from nas.workflows.show import ShownCalibration, ShownRun, ShownSpace


def give_shown(form: str, found: ShownRun | ShownCalibration | ShownSpace) -> None:
    """Print what is to be shown."""
    if isinstance(found, ShownRun):
        _give_run(form, found)
        return
    if isinstance(found, ShownCalibration):
        _give_calibration(form, found)
        return
    space, budget, census = found.space, found.budget, found.census
    if found.fitted:
        echo(make_printable(found.fitted), err=form == "json")
    if census is not None:
        give(
            form,
            lambda: document_census(space, budget, census),
            lambda: show(render_census(space, budget, census)),
        )
    elif space.is_architecture:
        give(form, lambda: document_network(space), lambda: show(render_architecture(space)))
    else:
        give(form, lambda: document_space(space), lambda: show(render_space(space)))


def _give_run(form: str, found: ShownRun) -> None:
    from nas.report.run_documents import document_run, document_trial
    from nas.report.search_lines import print_run, print_trial

    state, trial, top = found.state, found.trial, found.top
    if trial is None:
        give(
            form,
            lambda: document_run(state, top, is_running=found.is_running),
            lambda: print_run(state, top),
        )
    else:
        give(form, lambda: document_trial(state, trial), lambda: print_trial(state, trial))


def _give_calibration(form: str, found: ShownCalibration) -> None:
    from nas.report.run_documents import document_figures

    line = found.kept.line if found.kept else f"{found.folder}: a calibration that is not finished"
    give(form, lambda: document_figures(found), lambda: say(open_terminal(), line))
