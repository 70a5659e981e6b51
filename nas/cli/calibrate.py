"""The command that measures a proxy."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from nas.cli.app import PluginOption, app
from nas.cli.options import OTHERS, budget_option, recipe_settings, setting
from nas.runs.config import SearchConfig, merged, read_config

_PROXY, _RAY = "Proxy training", "Workers"


@app.command()
def calibrate(
    space: Annotated[
        str | None, typer.Argument(help="A space: a YAML file, or the name of a bundled one.")
    ] = None,
    budget_flops: Annotated[
        str | None, setting("budget_flops", "As in a search.", None, "--budget-flops", "--budget-macs")
    ] = None,
    budget_params: Annotated[str | None, setting("budget_params", "As in a search.")] = None,
    budget: Annotated[list[str] | None, budget_option("As in a search")] = None,
    budget_fill: Annotated[float | None, setting("budget_fill", "As in a search.")] = None,
    networks: Annotated[int, typer.Option(help="Networks that are trained.")] = 12,
    seeds: Annotated[int, typer.Option(help="Seeds that the proxy trains each under.")] = 3,
    long_epochs: Annotated[int, typer.Option(help="Epochs of the longer training.")] = 30,
    seed: Annotated[int | None, setting("seed", "Of the networks, the data's split and the weights.")] = None,
    dataset: Annotated[str | None, setting("dataset", "As in a search.", _PROXY)] = None,
    epochs: Annotated[int | None, setting("epochs", "Epochs of one proxy training.", _PROXY)] = None,
    resolution: Annotated[
        int | None, setting("resolution", "Side of the proxy's images in pixels.", _PROXY)
    ] = None,
    batch: Annotated[int | None, setting("batch", "Images in a batch.", _PROXY)] = None,
    lr: Annotated[float | None, setting("lr", "Peak learning rate.", _PROXY)] = None,
    max_images: Annotated[
        int | None, setting("max_images", "Use so many images at most, else all.", _PROXY)
    ] = None,
    score: Annotated[str | None, setting("score", "What the accuracies are made into.", _PROXY)] = None,
    recipe: Annotated[
        list[str] | None,
        typer.Option(
            help=f"A setting of the training, such as optimizer=adamw; repeatable. Also: {OTHERS}.",
            metavar="KEY=VALUE",
            rich_help_panel=_PROXY,
        ),
    ] = None,
    folds: Annotated[int | None, setting("folds", "As in a search.", _PROXY)] = None,
    max_broken: Annotated[float | None, setting("max_broken", "As in a search.", _PROXY)] = None,
    time_limit: Annotated[
        str | None, setting("time_limit", "Stop training after 2h, 90m or 1h30m.", _RAY)
    ] = None,
    workers: Annotated[
        int | None, setting("workers", "As in a search.", _RAY, "--workers", "--concurrency")
    ] = None,
    cpus_per_trial: Annotated[int | None, setting("cpus_per_trial", "CPU threads of each.", _RAY)] = None,
    gpus_per_trial: Annotated[float | None, setting("gpus_per_trial", "GPUs of each.", _RAY)] = None,
    address: Annotated[str | None, setting("address", "The Ray cluster to join.", _RAY)] = None,
    config: Annotated[
        Path | None, typer.Option(help="A YAML file of a search's settings; flags win over it.")
    ] = None,
    name: Annotated[
        str | None, typer.Option(help="Name of the run folder. \\[default: calibrate-SPACE and a number]")
    ] = None,
    runs: Annotated[Path, typer.Option(help="Where run folders are made.")] = Path("runs"),
    plugin: PluginOption = None,
) -> None:
    """Measure what the scores of a search's short trainings are worth.

    Trains networks from the whole budget by the proxy under several seeds,
    longer, and by cheaper and dearer proxies, for the noise of a score, its
    agreement with the longer training, and its cost. 'nas resume' goes on
    after a stop. Searches of the same space and proxy print what was found.
    """
    flags = {
        "space": space, "budget_flops": budget_flops, "budget_params": budget_params,
        "budgets": budget or None, "budget_fill": budget_fill, "seed": seed, "dataset": dataset, "epochs": epochs,
        "resolution": resolution, "batch": batch, "lr": lr, "max_images": max_images, "score": score,
        "workers": workers, "cpus_per_trial": cpus_per_trial, "gpus_per_trial": gpus_per_trial,
        "address": address, "folds": folds, "max_broken": max_broken, "time_limit": time_limit,
    }  # fmt: skip
    given = merged(read_config(config) if config else {}, flags)
    given["recipe"] |= recipe_settings(recipe or [], flags)
    settings = SearchConfig.from_data(given, "nas calibrate")
    from nas.report.calibration import print_calibration
    from nas.report.console import terminal
    from nas.report.progress import SearchScreen
    from nas.workflows.calibration import Plan
    from nas.workflows.calibration import calibrate as calibrate_proxy

    plan, console = Plan(networks, seeds, long_epochs), terminal()
    with SearchScreen(console) as screen:
        result = calibrate_proxy(settings, plan, screen, plugins=plugin or (), runs=runs, name=name)
    print_calibration(result, console)
