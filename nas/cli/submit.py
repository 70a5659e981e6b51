"""Searches whose driver is on a cluster."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import rich_click as click

from nas.cli.completing import RUN
from nas.errors import InputError

if TYPE_CHECKING:
    from nas.runs.config import SearchConfig
    from nas.workflows.submission import Submitted

_DETACHED = 130


def submit_search(
    settings: SearchConfig, plugins: Sequence[Path], runs: Path, name: str | None, form: str, *, join: bool
) -> None:
    """Submit a search and follow it. Raises InputError for a form other than text."""
    if form != "text":
        raise InputError(
            f"--format {form}: is done on this machine alone; leave out --submit, or --format {form}"
        )
    from nas.report.console import open_terminal, say
    from nas.workflows.submission import SendingStopped, submit

    try:
        submitted = submit(settings, plugins, runs, name, join)
    except SendingStopped as stopped:
        print()  # a terminal has shown ^C
        if stopped.is_received:
            _say_detached(stopped.submitted)
        else:
            job, attach_command = stopped.submitted.job, stopped.submitted.attach_command
            say(open_terminal(), f"Stopped while job {job} was sent. See whether it came: {attach_command}")
        sys.exit(_DETACHED)
    say(open_terminal(), f"Submitted to the Ray cluster at {submitted.jobs.address} as job {submitted.job}.")
    say(open_terminal(), f"Ctrl-C leaves it running. Come back with: {submitted.attach_command}")
    _follow(submitted)


@click.command()
@click.argument("run", type=RUN, help="The run folder, such as runs/mbconv-1.")
@click.option(
    "--address", required=True, help="The cluster that it was submitted to: auto or http://HOST:8265."
)
def attach(run: Path, address: str) -> None:
    """Follow a search that was submitted to a cluster, and fetch its results when it ends.

    Prints what the search has printed from its beginning on. Exits with the code of the search.
    """
    from nas.workflows.submission import attach as attach_to

    _follow(attach_to(run, address))


def _follow(submitted: Submitted) -> None:
    """Show a search until it ends, then fetch its results. Exits with its code."""
    from nas.errors import make_lines_printable
    from nas.report.console import open_terminal, say

    def show(text: str) -> None:
        sys.stdout.write(make_lines_printable(text.expandtabs(1)))
        sys.stdout.flush()

    code = None
    try:
        code = submitted.follow(show)
        if submitted.fetch():
            where = submitted.folder.path
            say(open_terminal(), f"Its run folder is fetched to {where}; the paths above are the cluster's.")
    except KeyboardInterrupt:
        print()  # a terminal has shown ^C
        if code is None:
            _say_detached(submitted)
        else:
            fetch = f"its results are still to be fetched with: {submitted.attach_command}"
            say(open_terminal(), f"Detached; {fetch}")
        code = _DETACHED
    sys.exit(code)


def _say_detached(submitted: Submitted) -> None:
    """Say how to come back to a search that goes on, and how to stop it."""
    from nas.report.console import open_terminal, say

    come_back = f"the search goes on. Come back with: {submitted.attach_command}"
    say(open_terminal(), f"Detached; {come_back}")
    say(open_terminal(), f"Or stop it with: {submitted.stop_command}")
