"""The command that scales networks, and searches what to scale them by."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import rich_click as click

from nas.cli.completing import FILE, FOLDER
from nas.cli.options import make_reader, with_settings
from nas.cli.shared import format_option, plugin_option, storage_option
from nas.data.config import RESOLUTION
from nas.errors import InputError
from nas.runs.coefficients import CoefficientsConfig
from nas.runs.factors import ScaleConfig


@click.command(epilog="Example: nas scale runs/mbconv-1 --search-coefficients --family 0..7 -o net.yaml")
@click.option("--output", "-o", type=FILE, help="The YAML file to write.")
@with_settings(ScaleConfig, into="ways")
@click.option(
    "--search-coefficients",
    "is_search",
    is_flag=True,
    help="Find them: train networks of twice the MACs on the data of the run, or on those that are named.",
)
@click.option(
    "--folder",
    type=FOLDER,
    panel="Coefficients",
    help="Where the search is kept. [default: coefficients in the run, or runs/coefficients-NETWORK]",
)
@click.option(
    "--images",
    "side",
    type=make_reader(int),
    panel="Coefficients",
    metavar="SIDE",
    help="Side of the images that the network itself is trained on. [default: a run's, or the input size]",
)
@with_settings(
    CoefficientsConfig,
    leave_out=("resolution",),
    others={"dataset": "a run's, or digits", "seed": "a run's, or 0"},
)
@storage_option
@format_option
@plugin_option
def scale(
    given: Mapping[str, Any],
    ways: Mapping[str, Any],
    output: Path | None,
    is_search: bool,
    folder: Path | None,
    side: int | None,
    storage: str | None,
    form: str,
    plugins: tuple[Path, ...],
) -> None:
    """Scale a network in depth, width and resolution together, as EfficientNet does.

    Name one way: --phi, --target-flops, --target-params, --family, or factors
    (--depth, --width, --resolution). The result is a file like any other.
    --search-coefficients trains ways to double the network, of which each
    training is kept: the same command goes on after a stop or a kill, and
    steps and targets of the run are by what it found from then on.
    """
    config = ScaleConfig.from_data(ways, "nas scale")
    from nas.report.documents import document_scaled, give
    from nas.report.scaled import print_scaled
    from nas.workflows.scaling import NO_OUTPUT, scale_network

    CoefficientsConfig.check_named(given, "nas scale")
    own = {key: value for key, value in given.items() if key != "network"}
    if is_search:
        settings = own if side is None else {**own, "resolution": side}
        if side is not None and not RESOLUTION.accepts(side):
            raise InputError(f"images: {RESOLUTION.explain(side)}")
        _search(given["network"], settings, folder, storage, form, plugins, config, output)
        return
    of_search = {**own, "folder": folder, "images": side, "storage": storage}
    if named := [key.replace("_", "-") for key, value in of_search.items() if value is not None]:
        raise InputError(
            f"--{named[0]}: is of a search of coefficients; add --search-coefficients, or leave it out"
        )
    if output is None:
        raise InputError(NO_OUTPUT)
    files = scale_network(given["network"], output, config, plugins=plugins)
    give(form, lambda: document_scaled(files), lambda: print_scaled(files))


def _search(
    network: str,
    settings: Mapping[str, Any],
    folder: Path | None,
    storage: str | None,
    form: str,
    plugins: Sequence[Path],
    config: ScaleConfig,
    output: Path | None,
) -> None:
    """Search coefficients, and scale by them where a file is named."""
    from nas.report.coefficients import CoefficientsScreen, give_found
    from nas.report.console import open_terminal
    from nas.workflows.scaling import search_and_scale

    with CoefficientsScreen(open_terminal(stderr=form == "json")) as screen:
        found, files = search_and_scale(
            network, settings, output, config, screen, storage=storage, plugins=plugins, folder=folder
        )
    give_found(form, found, files)
