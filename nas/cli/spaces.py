"""The commands for spaces, networks and the results of runs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import rich_click as click

from nas.cli.completing import FILE, NETWORK
from nas.cli.options import with_settings
from nas.cli.shared import format_option, plugin_option, storage_option
from nas.errors import make_printable
from nas.runs.showing import DrawConfig, ShowConfig


@click.command()
@click.argument(
    "what", type=NETWORK, metavar="FILE|RUN", help="A space or network file, a bundled name, or a run folder."
)
@with_settings(ShowConfig, leave_out=("budget_latency",))
@storage_option
@format_option
@plugin_option
def show(
    given: Mapping[str, Any], what: str, storage: str | None, form: str, plugins: tuple[Path, ...]
) -> None:
    """Show a space (size, costs, choices), a network (stages, shapes, costs) or a run.

    With a budget, show how many networks of a space are inside it and how their cost is spread.
    """
    config = ShowConfig.from_data(given, "nas show")
    from nas.report.heartbeat import waiting
    from nas.report.shown import give_shown
    from nas.workflows.show import find_shown

    with waiting() as progress:
        found = find_shown(what, config, plugins=plugins, storage=storage, progress=progress)
    give_shown(form, found)


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
@with_settings(DrawConfig)
@storage_option
@plugin_option
def draw(
    given: Mapping[str, Any],
    what: str,
    output: Path | None,
    storage: str | None,
    plugins: tuple[Path, ...],
) -> None:
    """Draw a network: a box for each part, with its output shape and MACs, and how they connect.

    Of a run, its best network is drawn.
    """
    config = DrawConfig.from_data(given, "nas draw")
    from nas.files import write_output
    from nas.report.drawing import draw as draw_network
    from nas.report.drawing import is_drawing
    from nas.workflows.show import find_drawn

    drawn = find_drawn(what, config, output, is_drawing=is_drawing, plugins=plugins, storage=storage)
    svg = draw_network(drawn.network, config.depth, unfold=config.unfold)
    write_output(drawn.file, drawn.convert(svg))
    click.echo(make_printable(drawn.file))


@click.command()
@format_option
def spaces(form: str) -> None:
    """List the bundled spaces."""
    from nas.report.console import show as show_view
    from nas.report.documents import document_spaces, give
    from nas.report.tables import render_spaces
    from nas.workflows.show import count_bundled

    found = count_bundled()
    give(form, lambda: document_spaces(found), lambda: show_view(render_spaces(found)))
