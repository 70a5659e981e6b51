"""The commands for spaces, networks and the results of runs."""

from __future__ import annotations

from pathlib import Path

import rich_click as click

from nas.cli.completing import FILE, NETWORK
from nas.cli.shared import (
    budget_option,
    classes_option,
    format_option,
    input_option,
    load,
    plugin_option,
    storage_option,
)
from nas.errors import InputError, make_printable


@click.command()
@click.argument(
    "what", type=NETWORK, metavar="FILE|RUN", help="A space or network file, a bundled name, or a run folder."
)
@click.option(
    "--budget-flops",
    metavar="B",
    help="Count the networks of a space inside it: 400M, or 300M..400M; MACs.",
)
@click.option("--budget-params", metavar="B", help="The same of parameters: 5M, or 4M..5M.")
@budget_option("The same of any measure")
@input_option
@classes_option
@click.option("--top", type=click.IntRange(1), default=5, help="How many trials of a run.")
@click.option("--trial", type=int, help="The network of this trial of a run, whatever became of it.")
@storage_option
@format_option
@plugin_option
def show(
    what: str,
    budget_flops: str | None,
    budget_params: str | None,
    budget: tuple[str, ...],
    side: int | None,
    classes: int | None,
    top: int,
    trial: int | None,
    storage: str | None,
    form: str,
    plugins: tuple[Path, ...],
) -> None:
    """Show a space (size, costs, choices), a network (stages, shapes, costs) or a run.

    With a budget, show how many networks of a space are inside it and how their cost is spread.
    """
    from nas.report import documents, tables
    from nas.report.console import show as show_view
    from nas.report.documents import give
    from nas.runs.budget import read_budget
    from nas.runs.counted import Counted
    from nas.space import load_space
    from nas.space.library import check_no_trial, find_space, is_run

    limits = read_budget(budget_flops, budget_params, budget)
    if limits and is_run(what):
        raise InputError(f"{what}: is a run, and a budget is for a space; name the file of one")
    _check_input(what, side)
    if classes is not None and is_run(what):
        raise InputError(f"--classes: {what} was counted when it was searched; name the file of a space")
    if is_run(what):
        _show_run(Path(what), top, trial, storage, form, plugins)
        return
    check_no_trial(what, trial, storage)
    load(plugins)
    space = load_space(find_space(what))
    if side is not None:
        from nas.space.fit import fit_input

        fitted = fit_input(space, side)
        space = fitted.space
        click.echo(make_printable(fitted), err=form == "json")
    space = Counted.DEPLOYED.of(space, classes, None)
    if not limits and space.is_architecture:
        give(
            form,
            lambda: documents.document_network(space),
            lambda: show_view(tables.render_architecture(space)),
        )
        return
    if not limits:
        give(form, lambda: documents.document_space(space), lambda: show_view(tables.render_space(space)))
        return
    if space.is_architecture:
        raise InputError(f"{what}: is one network, and a budget is for a space; leave it out")
    from rich.console import Console

    from nas.space.counting.census import take_census
    from nas.workflows.checks import check_budget

    check_budget(space, limits)
    with Console(stderr=True).status("Counting"):
        counted = take_census(space, limits)
    give(
        form,
        lambda: documents.document_census(space, limits, counted),
        lambda: show_view(tables.render_census(space, limits, counted)),
    )


@click.command()
@click.argument(
    "what", type=NETWORK, metavar="FILE|RUN", help="A network file, a bundled name, or a run folder."
)
@click.option(
    "--output",
    "-o",
    type=FILE,
    help="The .svg, .png or .pdf file. [default: best.svg or trial_N.svg in the run, else NAME.svg]",
)
@click.option("--trial", type=int, help="A trial of the run, whatever became of it. [default: the best]")
@click.option(
    "--depth",
    type=click.IntRange(1),
    default=1,
    help="Levels of the names to open: 1 draws stages, 2 their layers, 3 what a block has inside; "
    "as many as the names have draw every operator.",
)
@click.option(
    "--unfold",
    is_flag=True,
    help="Draw every layer, one below the other. By default a run of equal ones is drawn once, and what is "
    "higher than 2,000 pixels has columns.",
)
@click.option(
    "--largest/--smallest",
    default=None,
    help="Of a space with choices, draw the network of most or least MACs.",
)
@input_option
@storage_option
@plugin_option
def draw(
    what: str,
    output: Path | None,
    trial: int | None,
    depth: int,
    unfold: bool,
    largest: bool | None,
    side: int | None,
    storage: str | None,
    plugins: tuple[Path, ...],
) -> None:
    """Draw a network: a box for each part, with its output shape and MACs, and how they connect.

    Of a run, its best network is drawn.
    """
    from nas.report.drawing import write_drawing
    from nas.runs.state import load_network
    from nas.space.library import is_run
    from nas.space.plugins import read_plugins

    _check_input(what, side)
    network = load_network(what, read_plugins(plugins), trial, storage)
    if side is not None:
        from nas.space.fit import fit_input

        network = fit_input(network, side).space
    name = Path(what, "best" if trial is None else f"trial_{trial}") if is_run(what) else Path(what).stem
    output = output or Path(f"{name}.svg")
    write_drawing(network, output, depth, largest, unfold=unfold)
    click.echo(make_printable(output))


@click.command()
@format_option
def spaces(form: str) -> None:
    """List the bundled spaces."""
    from nas.report.console import show as show_view
    from nas.report.documents import document_spaces, give
    from nas.report.tables import render_spaces
    from nas.space import load_space
    from nas.space.library import list_spaces

    found = {}
    for name, path in list_spaces().items():
        space = load_space(path)
        count = 1 if space.is_architecture else space.count  # a bundled network can be built
        found[name] = count, space.about
    give(form, lambda: document_spaces(found), lambda: show_view(render_spaces(found)))


def _show_run(
    run: Path, top: int, trial: int | None, storage: str | None, form: str, plugins: tuple[Path, ...]
) -> None:
    from nas.report.documents import give
    from nas.report.run_documents import document_run, document_trial
    from nas.report.search_lines import print_run, print_trial
    from nas.runs.state import RunState
    from nas.space.plugins import read_plugins

    state = RunState.load(run, read_plugins(plugins), storage)
    if trial is None:
        give(form, lambda: document_run(state, top), lambda: print_run(state, top))
    else:
        one = state.trial(trial)
        give(form, lambda: document_trial(state, one), lambda: print_trial(state, one))


def _check_input(what: str, side: int | None) -> None:
    """Raise InputError where a run is to be fitted to an input."""
    from nas.space.library import is_run

    if side is not None and is_run(what):
        raise InputError(f"--input: {what} is a run, and was searched at its input; leave it out")
