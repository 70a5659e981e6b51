"""The commands that search: their settings are flags."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import rich_click as click

from nas.cli.completing import FILE, RUN
from nas.cli.options import with_settings
from nas.cli.shared import check_run, format_option, name_option, plugin_option, repair_option, runs_option
from nas.runs.config import SearchConfig
from nas.runs.config_file import list_resumable, read_settings
from nas.runs.starting import StartConfig


@click.command()
@with_settings(SearchConfig)
@with_settings(StartConfig, into="way")
@click.option("--config", type=FILE, help="A YAML file of these settings; flags win over it.")
@name_option("the space's name and a number")
@runs_option
@format_option
@plugin_option
def search(
    given: Mapping[str, Any],
    way: Mapping[str, Any],
    config: Path | None,
    name: str | None,
    runs: Path,
    form: str,
    plugins: tuple[Path, ...],
) -> None:
    """Search a space for the best network within a budget.

    Trains networks for a short while each, keeps every result in runs/NAME/,
    and exports the best as best.py. 'nas resume' goes on after a stop.
    """
    settings, start = read_settings(given, config, "nas search"), StartConfig.from_data(way, "nas search")
    if start.submit:
        from nas.cli.submit import submit_search

        submit_search(settings, plugins, runs, name, form, join=start.join)
        return
    from nas.report.console import open_terminal
    from nas.report.documents import give
    from nas.report.run_documents import document_forecast, document_result
    from nas.report.search_lines import print_result
    from nas.report.search_screen import SearchScreen
    from nas.workflows.search import search as search_space

    console = open_terminal(stderr=form == "json")
    with SearchScreen(console) as screen:
        if start.dry_run:
            from nas.malloc import keep_memory
            from nas.report.forecast import print_forecast
            from nas.workflows.forecast import forecast_search

            keep_memory()  # as workers do
            prepared, found = forecast_search(settings, screen, plugins=plugins)
            give(form, lambda: document_forecast(found), lambda: print_forecast(prepared, found))
            return
        result = search_space(settings, screen, plugins=plugins, runs=runs, name=name, join=start.join)
    give(form, lambda: document_result(result), lambda: print_result(result, console))


@click.command()
@click.argument("run", type=RUN, help="The run folder, such as runs/mbconv-1.")
@with_settings(SearchConfig, only=list_resumable(), default="as before")
@repair_option
@format_option
@plugin_option
def resume(given: Mapping[str, Any], run: Path, repair: bool, form: str, plugins: tuple[Path, ...]) -> None:
    """Go on with a search, a calibration or a training that was stopped or killed.

    No finished trial or epoch is lost or trained again. With --trials a finished search goes further.
    """
    check_run(run, plugins)
    from nas.report.calibration import print_calibration
    from nas.report.console import open_terminal
    from nas.report.documents import give
    from nas.report.run_documents import document_calibration, document_result, document_training
    from nas.report.search_lines import print_result
    from nas.report.search_screen import SearchScreen
    from nas.workflows.calibration import CalibrationResult
    from nas.workflows.resume import is_training
    from nas.workflows.resume import resume as resume_run
    from nas.workflows.search import SearchResult
    from nas.workflows.train.values import TrainResult

    console = open_terminal(stderr=form == "json")
    if is_training(run):
        from nas.malloc import keep_memory
        from nas.report.training import TrainScreen, print_training

        keep_memory()
        with TrainScreen(console) as heard:
            trained = resume_run(run, heard, changes=given, plugins=plugins, repair=repair)
        assert isinstance(trained, TrainResult)
        give(form, lambda: document_training(trained), lambda: print_training(trained, console))
        return
    with SearchScreen(console) as screen:
        result = resume_run(run, screen, changes=given, plugins=plugins, repair=repair)
    if isinstance(result, CalibrationResult):
        give(form, lambda: document_calibration(result), lambda: print_calibration(result, console))
    elif isinstance(result, SearchResult):
        give(form, lambda: document_result(result), lambda: print_result(result, console))
