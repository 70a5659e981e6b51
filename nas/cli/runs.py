"""The commands that look at runs, and stop them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import rich_click as click

from nas.cli.completing import FOLDER, RUN
from nas.cli.shared import format_option, storage_option
from nas.deadline import parse_duration
from nas.errors import InputError, make_lines_printable

if TYPE_CHECKING:
    from nas.workflows.submission import Submitted

_address_option = click.option(
    "--address", help="Ask the cluster that it was submitted to: auto or http://HOST:8265."
)


@click.command()
@click.argument("folder", type=FOLDER, default=Path("runs"), help="Where run folders are.")
@format_option
def ls(folder: Path, form: str) -> None:
    """List the runs of a folder, the newest first: how far each is, and its best network.

    A run whose trials are in a database is as its last driver here left it.
    """
    from nas.runs.listing import list_runs

    rows = list_runs(folder)
    if form == "json":
        from nas.report.documents import print_document
        from nas.report.run_documents import document_rows

        print_document(document_rows(rows))
        return
    from nas.report.console import show
    from nas.report.overview import render_runs

    show(render_runs(rows))


@click.command()
@click.argument("run", type=RUN, help="A run folder, such as runs/mbconv-1.")
@_address_option
@storage_option
@format_option
def status(run: Path, address: str | None, storage: str | None, form: str) -> None:
    """Say how far a run is: trials by state, the best, the time left, and how to go on.

    Only reads, also while the run goes on.
    """
    from nas.runs.listing import read_status

    if address is not None:
        _say(_attach(run, address).ask("status", "--format", form))
        return
    found = read_status(run, storage)
    if form == "json":
        from nas.report.documents import print_document
        from nas.report.run_documents import document_status

        print_document(document_status(found))
        return
    from nas.report.console import open_terminal, say
    from nas.report.overview import describe_status

    console = open_terminal()
    for line in describe_status(found):
        say(console, line)


@click.command()
@click.argument("run", type=RUN, help="A run folder, such as runs/mbconv-1.")
@click.option("--timeout", default="1m", metavar="TIME", help="How long to wait for its end.")
@_address_option
def stop(run: Path, timeout: str, address: str | None) -> None:
    """Stop what works in a run folder, as Ctrl-C there would, and wait until it has ended.

    Nothing finished is lost; 'nas resume' goes on.
    """
    try:
        timeout_s = parse_duration(timeout)
    except InputError as error:
        raise InputError(f"--timeout: {error}") from None
    if address is not None:
        submitted = _attach(run, address)
        _say(submitted.stop(timeout_s))
        _say(f"Fetch its results with: {submitted.attach_command}\n")
        return
    from nas.report.console import open_terminal, say
    from nas.report.overview import describe_stopped
    from nas.runs.listing import read_row
    from nas.workflows.stopping import stop as stop_run

    holder = stop_run(run, timeout_s=timeout_s)
    say(open_terminal(), describe_stopped(holder, read_row(run)))


@click.command()
@click.argument("run", type=RUN, help="A run folder, such as runs/mbconv-1.")
@_address_option
@storage_option
def top(run: Path, address: str | None, storage: str | None) -> None:
    """Watch a run on a live screen: progress, what trains now, the best, the rate and failures.

    Only reads. Each second anew, until q or Ctrl-C; without a terminal it prints what nas status does.
    """
    from nas.report.console import open_terminal
    from nas.report.top import watch
    from nas.runs.listing import open_status

    console = open_terminal()
    if address is None:
        watch(open_status(run, storage), console)
    elif not console.is_terminal:
        _say(_attach(run, address).ask("status"))
    else:
        from nas.workflows.far_status import FarStatus

        submitted = _attach(run, address)
        with FarStatus(submitted) as far:
            watch(far.read, console, f"Fetch its results with: {submitted.attach_command}")


def _attach(run: Path, address: str) -> Submitted:
    from nas.workflows.submission import attach

    return attach(run, address)


def _say(text: str) -> None:
    """Print lines that another process has said."""
    click.echo(make_lines_printable(text), nl=False)
