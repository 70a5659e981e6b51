"""The command line: parse arguments, call, print. Everything else is imported when a command needs it."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nas import __version__
from nas.errors import InputError, NasError
from nas.proxy.recipe import Recipe
from nas.settings import Settings, merged, read_config

if TYPE_CHECKING:
    from nas.plugins import Plugin
    from nas.runs import Run

app = typer.Typer(
    name="nas",
    help="Find the best CNN of a family under a budget, and get it as a plain PyTorch file.",
    epilog="Example: nas search mbconv --budget-flops 400M --trials 16",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
)


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


_Plugin = Annotated[
    list[Path] | None,
    typer.Option("--plugin", help="A Python file with blocks of your own, which is run; repeatable."),
]
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
    trials: Annotated[int | None, _setting("trials", "Networks to try.", _TRIALS)] = None,
    sampler: Annotated[str | None, _setting(
        "sampler", "What proposes networks: evolution, tpe, nsga2, random.", _TRIALS
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
        "dataset", "digits, cifar10, cifar100, mnist, fashion_mnist or imagefolder:PATH.", _PROXY
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
    scheduler: Annotated[str | None, _setting("scheduler", "asha stops poor trials early.", _RAY)] = None,
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
    plugin: _Plugin = None,
) -> None:  # fmt: skip
    """Search a space for the best network within a budget.

    Trains networks for a short while each, keeps every result in runs/NAME/,
    and exports the best as best.py. 'nas resume' goes on after a stop.
    """
    from nas.runs import RunExists, next_run_path

    flags = {
        "space": space, "budget_flops": budget_flops, "budget_params": budget_params, "trials": trials,
        "sampler": sampler, "seed": seed, "dataset": dataset, "epochs": epochs, "resolution": resolution,
        "batch": batch, "lr": lr, "max_images": max_images, "workers": workers,
        "cpus_per_trial": cpus_per_trial, "gpus_per_trial": gpus_per_trial, "trial_timeout": trial_timeout,
        "scheduler": scheduler, "address": address, "storage": storage, "keep": keep,
        "start": start or None, "scale": scale,
    }  # fmt: skip
    settings = Settings.from_data(merged(read_config(config) if config else {}, flags), "nas search")
    from nas import search as searching
    from nas.report.session import run_search

    if name is not None and (Path(name).name != name or name in ("", ".", "..")):
        raise InputError(f"--name: '{name}' is not a folder name; --runs says where the folder is made")
    plugins = _loaded(plugin)
    while True:
        path = runs / name if name else next_run_path(runs, settings.space)
        try:
            started = searching.start(settings, path, plugins)
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
    plugin: _Plugin = None,
) -> None:  # fmt: skip
    """Go on with a search that was stopped or killed.

    No finished trial is lost or trained again. With --trials a finished search goes further.
    """
    from nas import search as searching
    from nas.report.session import run_search

    opened, plugins = _opened(run, plugin)
    flags = {
        "trials": trials, "workers": workers, "cpus_per_trial": cpus_per_trial,
        "gpus_per_trial": gpus_per_trial, "address": address,
    }  # fmt: skip
    settings = Settings.from_data(merged(opened.settings.to_data(), flags), "nas resume")
    run_search(searching.resume(opened, settings, plugins))


@app.command()
def show(
    what: Annotated[
        str,
        typer.Argument(help="A space or network file, a bundled name, or a run folder.", metavar="FILE|RUN"),
    ],
    top: Annotated[int, typer.Option(help="How many trials of a run.", min=1)] = 5,
    plugin: _Plugin = None,
) -> None:
    """Show a space (size, costs, choices), a network (stages, shapes, costs) or a run."""
    from nas.report import tables
    from nas.space import load_space
    from nas.space.library import find_space, is_run

    if is_run(what):
        from nas.report.session import print_run

        print_run(_opened(Path(what), plugin)[0], top)
        return
    _loaded(plugin)
    space = load_space(find_space(what))
    tables.show(tables.architecture_view(space) if space.is_architecture else tables.space_view(space))


@app.command()
def export(
    what: Annotated[
        str, typer.Argument(help="A run folder, or the file of a network.", metavar="RUN|FILE")
    ],
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="The Python file. \\[default: best.py in the run, else NAME.py]"),
    ] = None,
    trial: Annotated[
        int | None, typer.Option(help="A trial of the run whose weights were kept. \\[default: the best]")
    ] = None,
    format: Annotated[
        str, typer.Option("--format", help="What to write; python is a module and its weights.")
    ] = "python",
    plugin: _Plugin = None,
) -> None:  # fmt: skip
    """Write a network as one Python file that imports only torch, checked in a fresh interpreter."""
    if format != "python":
        raise InputError(f"--format: '{format}' is not a format; it is python")
    from nas.results import export_network, export_trial
    from nas.space.library import find_space, is_run

    if is_run(what):
        files = export_trial(_opened(Path(what), plugin)[0], trial, output)
    elif trial is not None:
        raise InputError(f"--trial: {what} is a file, and trials are those of a run folder; leave it out")
    else:
        _loaded(plugin)
        files = export_network(find_space(what), output)
    for file in files:
        typer.echo(file)


@app.command()
def scale(
    what: Annotated[
        str,
        typer.Argument(help="A network or space file, a bundled name, or a run folder.", metavar="FILE|RUN"),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="The YAML file to write.")],
    phi: Annotated[
        int | None,
        typer.Option(help="EfficientNet's step: 1 scales as B0 to B1, 7 as B0 to B7.", min=0, max=7),
    ] = None,
    depth: Annotated[float | None, typer.Option(help="Layers of each stage, times this.")] = None,
    width: Annotated[float | None, typer.Option(help="Channels, times this.")] = None,
    resolution: Annotated[float | None, typer.Option(help="Side of the input, times this.")] = None,
    target_flops: Annotated[
        str | None,
        typer.Option("--target-flops", "--target-macs", help="Multiply-accumulates to reach, up or down."),
    ] = None,
    target_params: Annotated[str | None, typer.Option(help="Parameters to reach, up or down.")] = None,
    family: Annotated[
        str | None, typer.Option(help="Write all steps of a range, such as 0..7, as NAME_b0.yaml, ...")
    ] = None,
    plugin: _Plugin = None,
) -> None:
    """Scale a network in depth, width and resolution together, as EfficientNet does.

    Name one way: --phi, --target-flops, --target-params, --family, or factors
    (--depth, --width, --resolution). The result is a file like any other.
    """
    from nas.report import tables
    from nas.results import write_scaled
    from nas.space.library import find_space, is_run

    factors = {"depth": depth, "width": width, "resolution": resolution}
    ways: dict[str, Any] = {
        "phi": phi,
        "factors": {name: factor for name, factor in factors.items() if factor is not None} or None,
        "target-flops": target_flops,
        "target-params": target_params,
        "family": family,
    }
    given = [(way, value) for way, value in ways.items() if value is not None]
    if len(given) != 1:
        raise InputError(
            "scale in one way: by --phi, by --depth, --width and --resolution, to --target-flops, to "
            "--target-params, or to a --family"
        )
    if is_run(what):
        source = _opened(Path(what), plugin)[0].best_file
    else:
        _loaded(plugin)
        source = find_space(what)
    tables.show(tables.scaled_view(write_scaled(source, output, *given[0])))


@app.command()
def spaces() -> None:
    """List the bundled spaces."""
    from nas.report import tables
    from nas.space import load_space
    from nas.space.library import bundled_spaces

    rows = tables.table("name", ">networks", "about")
    for name, path in bundled_spaces().items():
        space = load_space(path)
        rows.add_row(name, tables.large_number(space.extent.count), space.about)
    tables.show(rows)


def _loaded(files: list[Path] | None) -> tuple[Plugin, ...]:
    """The plugins in files, their blocks registered."""
    from nas.plugins import load_plugins, read_plugins

    plugins = read_plugins(files or ())
    load_plugins(plugins)
    return plugins


def _opened(path: Path, files: list[Path] | None) -> tuple[Run, tuple[Plugin, ...]]:
    """A run folder and its plugins, which are loaded from the files that the user names."""
    from nas.plugins import load_plugins, read_plugins
    from nas.runs import Run

    run, plugins = Run.open(path), read_plugins(files or ())
    run.check_plugins(plugins)
    load_plugins(plugins)
    return run, plugins


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"nas {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    """Find the best CNN of a family under a budget, and get it as a plain PyTorch file."""


def main() -> None:
    """Entry point: errors become one line and an exit code, 2 for input and 1 for failure."""
    try:
        app(prog_name="nas")
    except NasError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except BrokenPipeError:
        with suppress(OSError):
            sys.stdout.close()
        sys.exit(1)
