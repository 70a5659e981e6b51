"""The command that measures a proxy."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import rich_click as click

from nas.cli.completing import FILE
from nas.cli.options import with_settings
from nas.cli.shared import format_option, name_option, plugin_option, runs_option
from nas.runs.config import SearchConfig
from nas.runs.config_file import read_settings
from nas.runs.plan import Plan
from nas.settings import User

_OF_SEARCHES = [
    key for key, setting in SearchConfig.settings().items() if User.CALIBRATION in setting.option.unused_by
]
"""Settings without a meaning for a calibration."""


@click.command()
@with_settings(SearchConfig, leave_out=_OF_SEARCHES)
@with_settings(Plan, into="planned")
@click.option("--config", type=FILE, help="A YAML file of a search's settings; flags win over it.")
@name_option("calibrate-SPACE and a number")
@runs_option
@format_option
@plugin_option
def calibrate(
    given: Mapping[str, Any],
    planned: Mapping[str, Any],
    config: Path | None,
    name: str | None,
    runs: Path,
    form: str,
    plugins: tuple[Path, ...],
) -> None:
    """Measure what the scores of a search's short trainings are worth.

    Trains networks from the whole budget by the proxy under several seeds,
    longer, and by cheaper and dearer proxies, for the noise of a score, its
    agreement with the longer training, and its cost. 'nas resume' goes on
    after a stop. Searches of the same space and proxy print what was found.
    """
    settings = read_settings(given, config, "nas calibrate")
    from nas.report.calibration import print_calibration
    from nas.report.console import open_terminal
    from nas.report.documents import give
    from nas.report.run_documents import document_calibration
    from nas.report.search_screen import SearchScreen
    from nas.workflows.calibration import calibrate as calibrate_proxy

    plan, console = Plan(**planned), open_terminal(stderr=form == "json")
    with SearchScreen(console) as screen:
        result = calibrate_proxy(settings, plan, screen, plugins=plugins, runs=runs, name=name)
    give(form, lambda: document_calibration(result), lambda: print_calibration(result, console))
