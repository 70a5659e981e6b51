"""The commands that search: their settings are flags."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from nas.cli.app import PluginOption, app, loaded, opened
from nas.cli.options import OTHERS, begun, number, prepared, recipe_settings, setting
from nas.errors import InputError
from nas.runs.config import Settings, merged, read_config

_BUDGET, _PROXY, _TRIALS, _RAY = "Budget", "Proxy training", "Search", "Workers"


@app.command()
def search(
    space: Annotated[
        str | None,
        typer.Argument(help="A space: a YAML file, or the name of a bundled one (see 'nas spaces')."),
    ] = None,
    budget_flops: Annotated[str | None, setting(
        "budget_flops", "Multiply-accumulates of one image: 400M at most, or a band 300M..400M.",
        _BUDGET, "--budget-flops", "--budget-macs",
    )] = None,
    budget_params: Annotated[str | None, setting(
        "budget_params", "Parameters: 5M at most, or a band 4M..5M.", _BUDGET
    )] = None,
    budget_fill: Annotated[float | None, setting(
        "budget_fill", "The part of a budget that networks use at least: 0.9 of 400M is 360M..400M.", _BUDGET
    )] = None,
    trials: Annotated[int | None, setting("trials", "Networks to try.", _TRIALS)] = None,
    sampler: Annotated[str | None, setting(
        "sampler", "What proposes networks: predictor, evolution, local, reinforce, tpe, nsga2, nsga3, gp, "
        "random, or MODULE:CLASS of an Optuna sampler.", _TRIALS,
    )] = None,
    objective: Annotated[str | None, setting(
        "objective", "accuracy; accuracy,flops for a front; or a reward, accuracy*(flops/400M)^-0.07.",
        _TRIALS,
    )] = None,
    seed: Annotated[int | None, setting(
        "seed", "With one worker, the same seed gives the same search.", _TRIALS
    )] = None,
    prescreen: Annotated[str | None, setting(
        "prescreen", "Train the best of several candidates by a score without training, such as naswot:8.",
        _TRIALS,
    )] = None,
    start: Annotated[list[str] | None, setting(
        "start", "Try this network first: a file, or the name of a bundled one; repeatable.", _TRIALS
    )] = None,
    scale: Annotated[str | None, setting(
        "scale", "Scale the best network in the end, by EfficientNet's steps 1..3.", _TRIALS
    )] = None,
    finalists: Annotated[int | None, setting(
        "finalists", "Train so many of the best longer, under fresh seeds, before the winner is named.",
        _TRIALS,
    )] = None,
    final_epochs: Annotated[int | None, setting("final_epochs", "Epochs of a finalist.", _TRIALS)] = None,
    final_seeds: Annotated[int | None, setting("final_seeds", "Seeds of a finalist.", _TRIALS)] = None,
    dataset: Annotated[str | None, setting(
        "dataset",
        "digits, cifar10, cifar100, mnist, fashion_mnist, imagefolder:PATH, csv:FILE, npz:FILE or "
        "FILE.py:FUNCTION, which is run.", _PROXY
    )] = None,
    epochs: Annotated[int | None, setting("epochs", "Epochs of one proxy training.", _PROXY)] = None,
    resolution: Annotated[int | None, setting(
        "resolution", "Side of the proxy's images in pixels.", _PROXY
    )] = None,
    batch: Annotated[int | None, setting("batch", "Images in a batch.", _PROXY)] = None,
    lr: Annotated[float | None, setting(
        "lr", "Peak learning rate, else the optimizer's own.", _PROXY
    )] = None,
    max_images: Annotated[int | None, setting(
        "max_images", "Use so many images at most, else all.", _PROXY
    )] = None,
    score: Annotated[str | None, setting(
        "score", "Of the epochs' accuracies: last, best, mean_last_k, auc or extrapolated.", _PROXY
    )] = None,
    folds: Annotated[int | None, setting(
        "folds", "Train a network once for each of so many parts to validate on, for few images.", _PROXY
    )] = None,
    max_broken: Annotated[float | None, setting(
        "max_broken", "Leave files out that cannot be read, up to this share.", _PROXY
    )] = None,
    inherit: Annotated[bool | None, setting(
        "inherit", "Start trials from the weights of the kept trial that is most like them.", _PROXY
    )] = None,
    recipe: Annotated[list[str] | None, typer.Option(
        help=f"A setting of the training, such as optimizer=adamw; repeatable. Also: {OTHERS}.",
        metavar="KEY=VALUE", rich_help_panel=_PROXY,
    )] = None,
    workers: Annotated[int | None, setting(
        "workers", "Trials at a time, else as many as fit; 0 runs them in this process without Ray.",
        _RAY, "--workers", "--concurrency",
    )] = None,
    time_limit: Annotated[str | None, setting(
        "time_limit", "Stop training after 2h, 90m or 1h30m, whatever the trials do.", _RAY
    )] = None,
    cpus_per_trial: Annotated[int | None, setting("cpus_per_trial", "CPU threads of a trial.", _RAY)] = None,
    gpus_per_trial: Annotated[float | None, setting(
        "gpus_per_trial", "GPUs of a trial, else 1 where there is a GPU; 0.5 lets two share one.", _RAY
    )] = None,
    trial_timeout: Annotated[float | None, setting(
        "trial_timeout", "Seconds after which a training fails, else none.", _RAY, "--trial-timeout",
    )] = None,
    scheduler: Annotated[str | None, setting(
        "scheduler", "asha or hyperband stop poor trials early.", _RAY
    )] = None,
    address: Annotated[str | None, setting(
        "address", "The Ray cluster to join, auto or HOST:PORT; local starts Ray here.", _RAY
    )] = None,
    storage: Annotated[str | None, setting(
        "storage", "Keep the study in a database, such as sqlite:///study.db, else in the run folder."
    )] = None,
    keep: Annotated[int | None, setting("keep", "Keep the weights of so many best trials.")] = None,
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
) -> None:  # fmt: skip
    """Search a space for the best network within a budget.

    Trains networks for a short while each, keeps every result in runs/NAME/,
    and exports the best as best.py. 'nas resume' goes on after a stop.
    """
    began = time.monotonic()
    flags = {
        "space": space, "budget_flops": budget_flops, "budget_params": budget_params,
        "budget_fill": budget_fill, "trials": trials, "sampler": sampler, "seed": seed, "dataset": dataset,
        "epochs": epochs, "resolution": resolution, "batch": batch, "lr": lr, "max_images": max_images,
        "max_broken": max_broken, "score": score, "folds": folds, "workers": workers,
        "cpus_per_trial": cpus_per_trial,
        "gpus_per_trial": gpus_per_trial, "trial_timeout": trial_timeout, "scheduler": scheduler,
        "address": address, "storage": storage,
        "keep": keep, "start": start or None, "scale": scale, "objective": objective,
        "finalists": finalists, "final_epochs": final_epochs, "final_seeds": final_seeds,
        "time_limit": time_limit, "prescreen": prescreen, "inherit": inherit,
    }  # fmt: skip
    given = merged(read_config(config) if config else {}, flags)
    given["recipe"] |= recipe_settings(recipe or [], flags)
    settings = Settings.from_data(given, "nas search")
    from nas.report.forecast import print_forecast
    from nas.report.session import run_search
    from nas.workflows.forecast import forecast

    ready = prepared(settings, name, loaded(plugin))
    if dry_run:
        print_forecast(ready, forecast(ready))
        return
    run_search(begun(ready, runs, name, settings.space), began)


@app.command()
def resume(
    run: Annotated[Path, typer.Argument(help="The run folder, such as runs/mbconv-1.")],
    trials: Annotated[
        int | None,
        typer.Option(
            help="Networks to try in all. \\[default: as before]", parser=number(int), metavar="NUMBER"
        ),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(
            "--workers", "--concurrency", help="Trials at a time. \\[default: as before]",
            parser=number(int), metavar="NUMBER",
        ),
    ] = None,
    cpus_per_trial: Annotated[
        int | None,
        typer.Option(
            help="CPU threads of a trial. \\[default: as before]", parser=number(int), metavar="NUMBER"
        ),
    ] = None,
    gpus_per_trial: Annotated[
        float | None,
        typer.Option(help="GPUs of a trial. \\[default: as before]", parser=number(float), metavar="NUMBER"),
    ] = None,
    address: Annotated[
        str | None, typer.Option(help="The Ray cluster: auto, HOST:PORT or local. \\[default: as before]")
    ] = None,
    finalists: Annotated[
        int | None,
        typer.Option(
            help="Train so many of the best longer. \\[default: as before]",
            parser=number(int), metavar="NUMBER",
        ),
    ] = None,
    time_limit: Annotated[
        str | None, typer.Option(help="Stop training after 2h, 90m or 1h30m. \\[default: as before]")
    ] = None,
    plugin: PluginOption = None,
) -> None:  # fmt: skip
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
    flags = {
        "trials": trials, "workers": workers, "cpus_per_trial": cpus_per_trial,
        "gpus_per_trial": gpus_per_trial, "address": address, "finalists": finalists,
        "time_limit": time_limit,
    }  # fmt: skip
    if found.is_calibration and not trials is finalists is None:
        raise InputError(f"{run}: is a calibration, which has no --trials and no --finalists; leave them out")
    settings = Settings.from_data(merged(found.settings.to_data(), flags), "nas resume")
    with DecodingBar() as bar:
        resumed = searching.resume(found, settings, plugins, bar)
    if found.is_calibration:
        plan = read_plan(found)
        points = chosen(resumed.space, resumed.settings, plan)
        run_calibration(Calibration(resumed, plan, points), began)
    else:
        run_search(resumed, began)
