"""The commands that search: their settings are flags."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from nas.cli.app import PluginOption, app, loaded, opened
from nas.cli.options import begun, prepared, read_settings, resumable, with_settings
from nas.errors import InputError
from nas.runs.config import SearchConfig, merge


@app.command()
@with_settings()
def search(
    given: Mapping[str, Any],
    config: Annotated[
        Path | None, typer.Option(help="A YAML file of these settings; flags win over it.")
    ] = None,
    name: Annotated[
        str | None, typer.Option(help="Name of the run folder. \\[default: the space's name and a number]")
    ] = None,
    runs: Annotated[Path, typer.Option(help="Where run folders are made.")] = Path("runs"),
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only forecast time and memory, from three short trainings.")
    ] = False,
    plugin: PluginOption = None,
) -> None:
    """Search a space for the best network within a budget.

    Trains networks for a short while each, keeps every result in runs/NAME/,
    and exports the best as best.py. 'nas resume' goes on after a stop.
    """
    began = time.monotonic()
    settings = read_settings(given, config, "nas search")
    from nas.report.forecast import print_forecast
    from nas.report.session import run_search
    from nas.workflows.forecast import forecast

    ready = prepared(settings, name, loaded(plugin))
    if dry_run:
        print_forecast(ready, forecast(ready))
        return
    run_search(begun(ready, runs, name, settings.space), began)


@app.command()
@with_settings(only=resumable(), default="as before")
def resume(
    run: Annotated[Path, typer.Argument(help="The run folder, such as runs/mbconv-1.")],
    given: Mapping[str, Any],
    plugin: PluginOption = None,
) -> None:
    """Go on with a search that was stopped or killed.

    No finished trial is lost or trained again. With --trials a finished search goes further.
    """
    from nas.report.calibration import run_calibration
    from nas.report.decoding import DecodingBar
    from nas.report.session import run_search
    from nas.workflows import search as searching
    from nas.workflows.calibration import Calibration, chosen, read_plan

    began = time.monotonic()
    found, plugins = opened(run, plugin)
    if found.is_calibration and given.keys() & {"trials", "finalists"}:
        raise InputError(f"{run}: is a calibration, which has no --trials and no --finalists; leave them out")
    settings = SearchConfig.from_data(merge(found.settings.to_data(), given), "nas resume")
    with DecodingBar() as bar:
        resumed = searching.resume(found, settings, plugins, bar)
    if found.is_calibration:
        plan = read_plan(found)
        points = chosen(resumed.space, resumed.settings, plan)
        run_calibration(Calibration(resumed, plan, points), began)
    else:
        run_search(resumed, began)
