"""The command that trains a network in full."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import rich_click as click

from nas.cli.options import with_settings
from nas.cli.shared import (
    check_is_there,
    format_option,
    name_option,
    plugin_option,
    runs_option,
    storage_option,
)
from nas.runs.starting import TrainStartConfig
from nas.runs.training import FULL, TrainConfig

_SHOWN = FULL.to_data() | {"resolution": "the input size, or a run's own"}


@click.command(epilog="Example: nas train runs/mbconv-1 --init search --epochs 50")
@with_settings(TrainConfig, leave_out=("folds", "score"), others=_SHOWN)
@with_settings(TrainStartConfig, into="way")
@name_option("train-NETWORK and a number")
@runs_option
@storage_option
@format_option
@plugin_option
def train(
    given: Mapping[str, Any],
    way: Mapping[str, Any],
    name: str | None,
    runs: Path,
    storage: str | None,
    form: str,
    plugins: tuple[Path, ...],
) -> None:
    """Train a network in full, test it once, and export it.

    Trains the best network of a run on the run's data, or the network of a
    file on --dataset, by a long recipe. In runs/NAME/ it leaves curves, what
    is confused, figures of each class, the images that are most wrong, and
    the network of the best epoch as best.py. Images to test on are those of
    a test split, which no search reads; where there is none, figures are of
    the validation images. 'nas resume' goes on after a stop or a kill.
    """
    TrainConfig.check_named(given, "nas train")
    check_is_there(given["network"], plugins)
    start = TrainStartConfig.from_data(way, "nas train")
    from nas.malloc import keep_memory
    from nas.report.console import open_terminal
    from nas.report.documents import give
    from nas.report.run_documents import document_training, document_training_forecast
    from nas.report.training import TrainScreen, print_forecast, print_training
    from nas.workflows.train import forecast_training
    from nas.workflows.train import train as train_network

    keep_memory()
    console = open_terminal(stderr=form == "json")
    own = {key: value for key, value in given.items() if key != "network"}
    with TrainScreen(console) as screen:
        if start.dry_run:
            found = forecast_training(
                given["network"], own, screen, trial=start.trial, storage=storage, plugins=plugins
            )
        else:
            result = train_network(
                given["network"],
                own,
                screen,
                trial=start.trial,
                storage=storage,
                plugins=plugins,
                runs=runs,
                name=name,
            )
    if start.dry_run:
        give(form, lambda: document_training_forecast(found), lambda: print_forecast(found, console))
    else:
        give(form, lambda: document_training(result), lambda: print_training(result, console))
