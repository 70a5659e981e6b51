"""The command that measures how long networks take."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import rich_click as click

from nas.cli.completing import FILE, NETWORK
from nas.cli.options import with_settings
from nas.cli.shared import format_option, plugin_option
from nas.runs.profiling import ProfileConfig


@click.command()
@click.argument(
    "networks",
    type=NETWORK,
    nargs=-1,
    required=True,
    metavar="ARCH...",
    help="Network files, bundled names such as reference/resnet18, or run folders.",
)
@with_settings(ProfileConfig)
@format_option
@click.option("--csv", type=FILE, metavar="FILE", help="Write the figures there too, a row for each.")
@plugin_option
def profile(
    given: Mapping[str, Any],
    networks: tuple[str, ...],
    form: str,
    csv: Path | None,
    plugins: tuple[Path, ...],
) -> None:
    """Measure how long networks take in runtimes, on this machine.

    Each network, runtime and batch is measured in a process of its own, all in
    turn, in rounds. The first figure, which 10 % of the runs were below, is
    the one to compare by. Says where the machine was not quiet. The folder of
    a search keeps the figures for its report.
    """
    config = ProfileConfig.from_data(given, "nas profile")
    from nas.files import check_no_folder, write_output
    from nas.report.console import show
    from nas.report.documents import give
    from nas.report.heartbeat import waiting
    from nas.report.latency import dump_profile, render_profile
    from nas.workflows.profile import keep_profile, take_profile

    check_no_folder(csv, "--csv")
    with waiting("Reading the networks") as progress:
        found = take_profile(networks, config, plugins=plugins, progress=progress)
    give(form, found.to_data, lambda: show(render_profile(found)))
    if csv is not None:
        write_output(csv, dump_profile(found))
    keep_profile(found, networks)
