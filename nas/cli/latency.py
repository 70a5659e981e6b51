"""The command that measures the parts of a space on this device."""

from __future__ import annotations

from pathlib import Path

import rich_click as click

from nas.cli.completing import NETWORK
from nas.cli.shared import classes_option, format_option, input_option, plugin_option
from nas.errors import make_printable


@click.command()
@click.argument("space", type=NETWORK, help="A space: a file, or a bundled name such as mbconv.")
@click.option("--runtime", default="onnx", metavar="NAME", help="What applies its networks: torch or onnx.")
@click.option("--threads", type=click.IntRange(1), default=1, help="Of the runtime.")
@classes_option
@click.option("--anew", is_flag=True, help="Measure again where there is a table already.")
@format_option
@input_option
@plugin_option
def latency(
    space: str,
    runtime: str,
    threads: int,
    classes: int | None,
    anew: bool,
    form: str,
    side: int | None,
    plugins: tuple[Path, ...],
) -> None:
    """Measure the parts of a space, by which a search limits latency.

    Each part and some whole networks are timed on this device, in turn, in
    minutes; the table is kept for the next search of the same space. Shows how
    well it predicts whole networks that it does not know.
    """
    from rich.console import Console

    from nas.report.console import show
    from nas.report.documents import give
    from nas.report.latency_table import document_table, render_table
    from nas.workflows.latency import time_parts

    with Console(stderr=True).status("") as status:
        table = time_parts(
            space,
            runtime=runtime,
            threads=threads,
            side=side,
            classes=classes,
            plugins=plugins,
            anew=anew,
            progress=lambda text: status.update(make_printable(text).replace("[", "\\[").capitalize()),
        )
    give(form, lambda: document_table(table), lambda: show(render_table(table)))
