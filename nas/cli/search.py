"""The commands that search: their settings are flags."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Annotated, Any

import typer

from nas.cli.app import PluginOption, app, loaded, opened
from nas.errors import InputError
from nas.proxy.recipe import Recipe
from nas.settings import Settings, merged, read_config


def _setting(name: str, help: str, panel: str | None = None, *flags: str) -> Any:
    """The option of a setting of a search; the help shows the default that the settings have."""
    settings = {f.name: f for kind in (Settings, Recipe) for f in fields(kind)}
    default = settings[name].default
    shown = "" if default in (None, ()) else f" \\[default: {default}]"
    number = _NUMBERS.get(str(settings[name].type).partition(" ")[0])
    reader: dict[str, Any] = {"parser": _number(number), "metavar": "NUMBER"} if number else {}
    return typer.Option(*flags, help=help + shown, rich_help_panel=panel, **reader)


_NUMBERS: dict[str, type[int] | type[float]] = {"int": int, "float": float}


def _number(kind: type[int] | type[float]) -> Callable[[str], Any]:
    """Reads a number; what is none stays text, which the settings refuse with their own rule."""

    def read(text: str) -> int | float | str:
        try:
            return kind(text)
        except ValueError:
            return text

    return read


_BUDGET, _PROXY, _TRIALS, _RAY = "Budget", "Proxy training", "Search", "Workers"


@app.command()
def search(
    space: Annotated[
        str | None,
        typer.Argument(help="A space: a YAML file, or the name of a bundled one (see 'nas spaces')."),
    ] = None,
    budget_flops: Annotated[str | None, _setting(
        "budget_flops", "Multiply-accumulates of one image: 400M at most, or a band 300M..400M.",
        _BUDGET, "--budget-flops", "--budget-macs",
    )] = None,
    budget_params: Annotated[str | None, _setting(
        "budget_params", "Parameters: 5M at most, or a band 4M..5M.", _BUDGET
    )] = None,
    budget_fill: Annotated[float | None, _setting(
        "budget_fill", "The part of a budget that networks use at least: 0.9 of 400M is 360M..400M.", _BUDGET
    )] = None,
    trials: Annotated[int | None, _setting("trials", "Networks to try.", _TRIALS)] = None,
    sampler: Annotated[str | None, _setting(
        "sampler", "What proposes networks: predictor, evolution, local, reinforce, tpe, nsga2, nsga3, gp, "
        "random, or MODULE:CLASS of an Optuna sampler.", _TRIALS,
    )] = None,
    objective: Annotated[str | None, _setting(
        "objective", "accuracy; accuracy,flops for a front; or a reward, accuracy*(flops/400M)^-0.07.",
        _TRIALS,
    )] = None,
    seed: Annotated[int | None, _setting(
        "seed", "With one worker, the same seed gives the same search.", _TRIALS
    )] = None,
    start: Annotated[list[str] | None, _setting(
        "start", "Try this network first: a file, or the name of a bundled one; repeatable.", _TRIALS
    )] = None,
    scale: Annotated[str | None, _setting(
        "scale", "Scale the best network in the end, by EfficientNet's steps 1..3.", _TRIALS
    )] = None,
    dataset: Annotated[str | None, _setting(
        "dataset",
        "digits, cifar10, cifar100, mnist, fashion_mnist, imagefolder:PATH, csv:FILE or npz:FILE.", _PROXY
    )] = None,
    epochs: Annotated[int | None, _setting("epochs", "Epochs of one proxy training.", _PROXY)] = None,
    resolution: Annotated[int | None, _setting(
        "resolution", "Side of the proxy's images in pixels.", _PROXY
    )] = None,
    batch: Annotated[int | None, _setting("batch", "Images in a batch.", _PROXY)] = None,
    lr: Annotated[float | None, _setting("lr", "Peak learning rate.", _PROXY)] = None,
    max_images: Annotated[int | None, _setting(
        "max_images", "Use so many images at most, else all.", _PROXY
    )] = None,
    score: Annotated[str | None, _setting(
        "score", "Of the epochs' accuracies: last, best, mean_last_k, auc or extrapolated.", _PROXY
    )] = None,
    folds: Annotated[int | None, _setting(
        "folds", "Train a network once for each of so many parts to validate on, for few images.", _PROXY
    )] = None,
    max_broken: Annotated[float | None, _setting(
        "max_broken", "Leave files out that cannot be read, up to this share.", _PROXY
    )] = None,
    workers: Annotated[int | None, _setting(
        "workers", "Trials at a time, else as many as fit; 0 runs them in this process without Ray.",
        _RAY, "--workers", "--concurrency",
    )] = None,
    cpus_per_trial: Annotated[int | None, _setting("cpus_per_trial", "CPU threads of a trial.", _RAY)] = None,
    gpus_per_trial: Annotated[float | None, _setting(
        "gpus_per_trial", "GPUs of a trial, else 1 where there is a GPU; 0.5 lets two share one.", _RAY
    )] = None,
    trial_timeout: Annotated[float | None, _setting(
        "trial_timeout", "Seconds after which a training fails, else none.", _RAY, "--trial-timeout",
    )] = None,
    scheduler: Annotated[str | None, _setting(
        "scheduler", "asha or hyperband stop poor trials early.", _RAY
    )] = None,
    address: Annotated[str | None, _setting(
        "address", "The Ray cluster to join, auto or HOST:PORT; local starts Ray here.", _RAY
    )] = None,
    storage: Annotated[str | None, _setting(
        "storage", "Keep the study in a database, such as sqlite:///study.db, else in the run folder."
    )] = None,
    keep: Annotated[int | None, _setting("keep", "Keep the weights of so many best trials.")] = None,
    config: Annotated[
        Path | None, typer.Option(help="A YAML file of these settings; flags win over it.")
    ] = None,
    name: Annotated[
        str | None, typer.Option(help="Name of the run folder. \\[default: the space's name and a number]")
    ] = None,
    runs: Annotated[Path, typer.Option(help="Where run folders are made.")] = Path("runs"),
    plugin: PluginOption = None,
) -> None:  # fmt: skip
    """Search a space for the best network within a budget.

    Trains networks for a short while each, keeps every result in runs/NAME/,
    and exports the best as best.py. 'nas resume' goes on after a stop.
    """
    from nas.runs import RunExists, next_run_path

    flags = {
        "space": space, "budget_flops": budget_flops, "budget_params": budget_params,
        "budget_fill": budget_fill, "trials": trials, "sampler": sampler, "seed": seed, "dataset": dataset,
        "epochs": epochs, "resolution": resolution, "batch": batch, "lr": lr, "max_images": max_images,
        "max_broken": max_broken, "score": score, "folds": folds, "workers": workers,
        "cpus_per_trial": cpus_per_trial, "gpus_per_trial": gpus_per_trial, "trial_timeout": trial_timeout,
        "scheduler": scheduler, "address": address,
        "storage": storage, "keep": keep, "start": start or None, "scale": scale, "objective": objective,
    }  # fmt: skip
    settings = Settings.from_data(merged(read_config(config) if config else {}, flags), "nas search")
    from nas import search as searching
    from nas.report.decoding import DecodingBar
    from nas.report.session import run_search

    if name is not None and (Path(name).name != name or name in ("", ".", "..")):
        raise InputError(f"--name: '{name}' is not a folder name; --runs says where the folder is made")
    plugins = loaded(plugin)
    while True:
        path = runs / name if name else next_run_path(runs, settings.space)
        try:
            with DecodingBar() as bar:
                started = searching.start(settings, path, plugins, bar)
        except RunExists:
            if name:
                raise
        else:
            break  # else another search has just taken the number
    run_search(started)


@app.command()
def resume(
    run: Annotated[Path, typer.Argument(help="The run folder, such as runs/mbconv-1.")],
    trials: Annotated[
        int | None,
        typer.Option(
            help="Networks to try in all. \\[default: as before]", parser=_number(int), metavar="NUMBER"
        ),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(
            "--workers", "--concurrency", help="Trials at a time. \\[default: as before]",
            parser=_number(int), metavar="NUMBER",
        ),
    ] = None,
    cpus_per_trial: Annotated[
        int | None,
        typer.Option(
            help="CPU threads of a trial. \\[default: as before]", parser=_number(int), metavar="NUMBER"
        ),
    ] = None,
    gpus_per_trial: Annotated[
        float | None,
        typer.Option(help="GPUs of a trial. \\[default: as before]", parser=_number(float), metavar="NUMBER"),
    ] = None,
    address: Annotated[
        str | None, typer.Option(help="The Ray cluster: auto, HOST:PORT or local. \\[default: as before]")
    ] = None,
    plugin: PluginOption = None,
) -> None:  # fmt: skip
    """Go on with a search that was stopped or killed.

    No finished trial is lost or trained again. With --trials a finished search goes further.
    """
    from nas import search as searching
    from nas.report.decoding import DecodingBar
    from nas.report.session import run_search

    found, plugins = opened(run, plugin)
    flags = {
        "trials": trials, "workers": workers, "cpus_per_trial": cpus_per_trial,
        "gpus_per_trial": gpus_per_trial, "address": address,
    }  # fmt: skip
    settings = Settings.from_data(merged(found.settings.to_data(), flags), "nas resume")
    with DecodingBar() as bar:
        resumed = searching.resume(found, settings, plugins, bar)
    run_search(resumed)
