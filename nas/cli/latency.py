"""The command that measures the parts of a space on this device."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import rich_click as click

from nas.cli.completing import NETWORK
from nas.cli.options import with_settings
from nas.cli.shared import format_option, plugin_option
from nas.runs.runtime import LatencyConfig


@click.command()
@click.argument("space", type=NETWORK, help="A space: a file, or a bundled name such as mbconv.")
@with_settings(LatencyConfig)
@format_option
@plugin_option
def latency(given: Mapping[str, Any], space: str, form: str, plugins: tuple[Path, ...]) -> None:
    """Measure the parts of a space, by which a search limits latency.

    Each part and some whole networks are timed on this device, in turn, in
    minutes; the table is kept for the next search of the same space. Shows how
    well it predicts whole networks that it does not know.
    """
    config = LatencyConfig.from_data(given, "nas latency")
    from nas.report.console import show
    from nas.report.documents import give
    from nas.report.heartbeat import waiting
    from nas.report.latency_table import document_table, render_table
    from nas.workflows.latency import time_space

    with waiting("Reading the space") as progress:
        table = time_space(space, config, plugins=plugins, progress=progress)
    give(form, lambda: document_table(table), lambda: show(render_table(table)))
