"""The commands for spaces, networks and the results of runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from nas.cli.app import PluginOption, app, load
from nas.cli.options import budget_option
from nas.errors import InputError
from nas.runs.budget import read_budget


@app.command()
def show(
    what: Annotated[
        str,
        typer.Argument(help="A space or network file, a bundled name, or a run folder.", metavar="FILE|RUN"),
    ],
    budget_flops: Annotated[
        str | None,
        typer.Option(help="Count the networks of a space inside it: 400M, or 300M..400M; MACs.", metavar="B"),
    ] = None,
    budget_params: Annotated[
        str | None, typer.Option(help="The same of parameters: 5M, or 4M..5M.", metavar="B")
    ] = None,
    budget: Annotated[list[str] | None, budget_option("The same of any measure")] = None,
    top: Annotated[int, typer.Option(help="How many trials of a run.", min=1)] = 5,
    plugin: PluginOption = None,
) -> None:
    """Show a space (size, costs, choices), a network (stages, shapes, costs) or a run.

    With a budget, show how many networks of a space are inside it and how their cost is spread.
    """
    from nas.report import tables
    from nas.report.console import show as show_view
    from nas.space import load_space
    from nas.space.library import find_space, is_run

    limits = read_budget(budget_flops, budget_params, budget or [])
    if limits and is_run(what):
        raise InputError(f"{what}: is a run, and a budget is for a space; name the file of one")
    if is_run(what):
        from nas.report.session import print_run
        from nas.runs.state import RunState
        from nas.space.plugins import read_plugins

        print_run(RunState.load(Path(what), read_plugins(plugin or ())), top)
        return
    load(plugin)
    space = load_space(find_space(what))
    if not limits:
        show_view(tables.architecture_view(space) if space.is_architecture else tables.space_view(space))
        return
    if space.is_architecture:
        raise InputError(f"{what}: is one network, and a budget is for a space; leave it out")
    from rich.console import Console

    from nas.space.counting.census import census
    from nas.workflows.checks import check_budget

    check_budget(space, limits)
    with Console(stderr=True).status("Counting"):
        counted = census(space, limits)
    show_view(tables.census_view(space, limits, counted))


@app.command()
def draw(
    what: Annotated[
        str,
        typer.Argument(help="A network file, a bundled name, or a run folder.", metavar="FILE|RUN"),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="The SVG file to write.")],
    depth: Annotated[
        int,
        typer.Option(
            help="Levels of the names to open: 1 draws stages, 2 their layers, 3 what a block has inside; "
            "as many as the names have draw every operator.",
            min=1,
        ),
    ] = 1,
    largest: Annotated[
        bool | None,
        typer.Option(
            "--largest/--smallest", help="Of a space with choices, draw the network of most or least MACs."
        ),
    ] = None,
    plugin: PluginOption = None,
) -> None:
    """Draw a network as SVG: a box for each part, with its output shape and MACs, and how they connect.

    Of a run, its best network is drawn.
    """
    from nas.report.drawing import write_drawing
    from nas.runs.state import find_network
    from nas.space import load_space
    from nas.space.plugins import read_plugins

    write_drawing(load_space(find_network(what, read_plugins(plugin or ()))), output, depth, largest)
    typer.echo(output)


@app.command()
def export(
    what: Annotated[
        str, typer.Argument(help="A run folder, or the file of a network.", metavar="RUN|FILE")
    ],
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="The Python file. \\[default: best.py in the run, else NAME.py]"),
    ] = None,
    trial: Annotated[
        int | None, typer.Option(help="A trial of the run whose weights were kept. \\[default: the best]")
    ] = None,
    format: Annotated[
        str, typer.Option("--format", help="What to write; python is a module and its weights.")
    ] = "python",
    plugin: PluginOption = None,
) -> None:  # fmt: skip
    """Write a network as one Python file that imports only torch, checked in a fresh interpreter."""
    from nas.workflows.export import export as export_network

    files = export_network(what, output, format=format, trial=trial, plugins=plugin or ())
    for file in files:
        typer.echo(file)


@app.command()
def scale(
    what: Annotated[
        str,
        typer.Argument(help="A network or space file, a bundled name, or a run folder.", metavar="FILE|RUN"),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="The YAML file to write.")],
    phi: Annotated[
        int | None,
        typer.Option(help="EfficientNet's step: 1 scales as B0 to B1, 7 as B0 to B7.", min=0, max=7),
    ] = None,
    depth: Annotated[float | None, typer.Option(help="Layers of each stage, times this.")] = None,
    width: Annotated[float | None, typer.Option(help="Channels, times this.")] = None,
    resolution: Annotated[float | None, typer.Option(help="Side of the input, times this.")] = None,
    target_flops: Annotated[
        str | None,
        typer.Option("--target-flops", "--target-macs", help="Multiply-accumulates to reach, up or down."),
    ] = None,
    target_params: Annotated[str | None, typer.Option(help="Parameters to reach, up or down.")] = None,
    family: Annotated[
        str | None, typer.Option(help="Write all steps of a range, such as 0..7, as NAME_b0.yaml, ...")
    ] = None,
    plugin: PluginOption = None,
) -> None:
    """Scale a network in depth, width and resolution together, as EfficientNet does.

    Name one way: --phi, --target-flops, --target-params, --family, or factors
    (--depth, --width, --resolution). The result is a file like any other.
    """
    from nas.report import tables
    from nas.report.console import show as show_view
    from nas.workflows.scaling import scale as scale_network

    given = {"depth": depth, "width": width, "resolution": resolution}
    files = scale_network(
        what,
        output,
        phi=phi,
        factors={name: factor for name, factor in given.items() if factor is not None},
        target_flops=target_flops,
        target_params=target_params,
        family=family,
        plugins=plugin or (),
    )
    show_view(tables.scaled_view(files))


@app.command()
def spaces() -> None:
    """List the bundled spaces."""
    from nas.report import tables
    from nas.report.console import show as show_view
    from nas.space import load_space
    from nas.space.library import list_spaces

    rows = tables.table("name", ">networks", "about")
    for name, path in list_spaces().items():
        space = load_space(path)
        rows.add_row(name, tables.large_number(space.count), space.about)
    show_view(rows)
