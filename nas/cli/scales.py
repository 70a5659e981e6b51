"""The command that scales networks, and searches what to scale them by."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import rich_click as click

from nas.cli.completing import FILE, FOLDER
from nas.cli.options import with_settings
from nas.cli.shared import format_option, plugin_option, storage_option
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
    type=int,
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
    from nas.workflows.scaling import scale_network

    CoefficientsConfig.check_named(given, "nas scale")
    own = {key: value for key, value in given.items() if key != "network"}
    of_search = {**own, "folder": folder, "images": side, "storage": storage}
    _check_flags(is_search, [key for key, v in of_search.items() if v is not None], config, output)

    if is_search:
        settings = own if side is None else {**own, "resolution": side}
        _search(given["network"], settings, folder, storage, form, plugins, config, output)
        return
    assert output is not None
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
    from nas.workflows.coefficients import search_coefficients
    from nas.workflows.scaling import scale_network

    with CoefficientsScreen(open_terminal(stderr=form == "json")) as screen:
        found = search_coefficients(
            network, settings, screen, storage=storage, plugins=plugins, output=folder
        )
    by_own = replace(config, coefficients=str(found.folder))
    give_found(
        form,
        found,
        scale_network(network, output, by_own, plugins=plugins) if output and found.ranking else [],
    )


def _check_flags(
    is_search: bool,
    of_search: Sequence[str],
    config: ScaleConfig,
    output: Path | None,
) -> None:
    """Raise InputError for options that are of no use together."""
    if of_search and not is_search:
        flag = of_search[0].replace("_", "-")
        raise InputError(
            f"--{flag}: is of a search of coefficients; add --search-coefficients, or leave it out"
        )
    if is_search and config.coefficients is not None:
        raise InputError("--coefficients: are searched by --search-coefficients; leave one of them out")
    if is_search and config.factors.scale is not None:
        raise InputError(
            "factors: are no steps, which --search-coefficients finds; give --phi or --family, or leave one "
            "of the two out"
        )
    if output is None and (config.ways or not is_search):
        raise InputError("nas scale: no file to write is named; add -o FILE")
    if output is not None and is_search and not config.ways:
        raise InputError(f"-o {output}: a search writes no network; add --family 0..7, or leave it out")
