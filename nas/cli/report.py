"""The command that writes the report of a run."""

from __future__ import annotations

import sys
from pathlib import Path

import rich_click as click

from nas.cli.completing import FILE, RUN
from nas.cli.shared import check_run, plugin_option, storage_option
from nas.errors import make_printable


@click.command()
@click.argument("run", type=RUN, help="A run folder of a search, while it is searched or after.")
@click.option("--output", "-o", type=FILE, help="The HTML file to write. [default: report.html in the run]")
@storage_option
@plugin_option
def report(run: Path, output: Path | None, storage: str | None, plugins: tuple[Path, ...]) -> None:
    """Write the report of a search as one HTML file, which a browser opens without a network.

    It has the best network, how the best rose, the front of score and each cost, which choices matter, and
    how far to trust the score. It may be written at any time, and anew.
    """
    from nas.report.heartbeat import waiting
    from nas.runs.folder import RunFolder

    if RunFolder(run).manifest_file.is_file() or not run.is_dir():
        check_run(run, plugins)

    def tell(text: str) -> None:
        print(make_printable(text), file=sys.stderr)  # above what is shown meanwhile

    with waiting("Writing the report"):
        from nas.report.page import write_report

        file = write_report(run, output, plugins=plugins, storage=storage, tell=tell)
    click.echo(make_printable(file))
