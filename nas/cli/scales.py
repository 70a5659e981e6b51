"""The command that scales networks, and searches what to scale them by."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import rich_click as click

from nas.cli.completing import FILE, FOLDER
from nas.cli.options import OneName, with_settings
from nas.cli.shared import format_option, plugin_option, storage_option
from nas.errors import InputError
from nas.runs.coefficients import CoefficientsConfig

if TYPE_CHECKING:
    from nas.workflows.scaling import ScaledFile


@click.command(epilog="Example: nas scale runs/mbconv-1 --search-coefficients --family 0..7 -o net.yaml")
@click.option("--output", "-o", type=FILE, help="The YAML file to write.")
@click.option("--phi", type=click.IntRange(0, 7), help="A step: 1 scales as B0 to B1, 7 as B0 to B7.")
@click.option("--depth", type=float, help="Layers of each stage, times this.")
@click.option("--width", type=float, help="Channels, times this.")
@click.option("--resolution", type=float, help="Side of the input, times this.")
@click.option(
    "--target-flops", "--target-macs", cls=OneName, help="Multiply-accumulates to reach, up or down."
)
@click.option("--target-params", help="Parameters to reach, up or down.")
@click.option("--family", help="Write all steps of a range, such as 0..7, as NAME_b0.yaml, ...")
@click.option(
    "--coefficients",
    metavar="D,W,R",
    help="What a step multiplies depth, width and resolution by, the folder of a search of them, or "
    "'published'. [default: those searched for the run, else EfficientNet's]",
)
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
    of=CoefficientsConfig,
    leave_out=("resolution",),
    others={"dataset": "a run's, or digits", "seed": "a run's, or 0"},
)
@storage_option
@format_option
@plugin_option
def scale(
    given: Mapping[str, Any],
    output: Path | None,
    coefficients: str | None,
    is_search: bool,
    folder: Path | None,
    side: int | None,
    storage: str | None,
    form: str,
    plugins: tuple[Path, ...],
    **ways: Any,
) -> None:
    """Scale a network in depth, width and resolution together, as EfficientNet does.

    Name one way: --phi, --target-flops, --target-params, --family, or factors
    (--depth, --width, --resolution). The result is a file like any other.
    --search-coefficients trains ways to double the network, of which each
    training is kept: the same command goes on after a stop or a kill, and
    steps and targets of the run are by what it found from then on.
    """
    from nas.report.documents import document_scaled, give
    from nas.report.scaled import print_scaled
    from nas.workflows.scaling import scale as scale_network

    if "network" not in given:
        raise InputError("nas scale: no network is named; name a file, a bundled network or a run folder")
    factors = {name: ways.pop(name) for name in ("depth", "width", "resolution")}
    ways["factors"] = {name: factor for name, factor in factors.items() if factor is not None} or None
    ways = {name: value for name, value in ways.items() if value is not None}
    own = {key: value for key, value in given.items() if key != "network"}
    of_search = {**own, "folder": folder, "images": side, "storage": storage}
    _check_flags(
        is_search, [key for key, v in of_search.items() if v is not None], ways, output, coefficients
    )

    def scale_by(output: Path, coefficients: str | None) -> list[ScaledFile]:
        return scale_network(given["network"], output, coefficients=coefficients, plugins=plugins, **ways)

    if is_search:
        settings = own if side is None else {**own, "resolution": side}
        _search(given["network"], settings, folder, storage, form, plugins, scale_by, output)
        return
    assert output is not None
    files = scale_by(output, coefficients)
    give(form, lambda: document_scaled(files), lambda: print_scaled(files))


def _search(
    network: str,
    settings: Mapping[str, Any],
    folder: Path | None,
    storage: str | None,
    form: str,
    plugins: Sequence[Path],
    scale_by: Callable[[Path, str | None], list[ScaledFile]],
    output: Path | None,
) -> None:
    """Search coefficients, and scale by them where a file is named."""
    from nas.report.coefficients import CoefficientsScreen, give_found
    from nas.report.console import open_terminal
    from nas.workflows.coefficients import search_coefficients

    with CoefficientsScreen(open_terminal(stderr=form == "json")) as screen:
        found = search_coefficients(
            network, settings, screen, storage=storage, plugins=plugins, output=folder
        )
    give_found(form, found, scale_by(output, str(found.folder)) if output and found.ranking else [])


def _check_flags(
    is_search: bool,
    of_search: Sequence[str],
    ways: Mapping[str, Any],
    output: Path | None,
    coefficients: str | None,
) -> None:
    """Raise InputError for options that are of no use together."""
    if of_search and not is_search:
        flag = of_search[0].replace("_", "-")
        raise InputError(
            f"--{flag}: is of a search of coefficients; add --search-coefficients, or leave it out"
        )
    if is_search and coefficients is not None:
        raise InputError("--coefficients: are searched by --search-coefficients; leave one of them out")
    if output is None and (ways or not is_search):
        raise InputError("nas scale: no file to write is named; add -o FILE")
    if output is not None and is_search and not ways:
        raise InputError(f"-o {output}: a search writes no network; add --family 0..7, or leave it out")
