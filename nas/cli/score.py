"""The command that scores networks without training them."""

from __future__ import annotations

from typing import Annotated

import typer

from nas.cli.app import PluginOption, app
from nas.errors import InputError


@app.command()
def score(
    networks: Annotated[
        list[str],
        typer.Argument(
            help="Network files, bundled names such as reference/resnet18, or run folders.", metavar="ARCH..."
        ),
    ],
    dataset: Annotated[str, typer.Option(help="Where the batch is from, as in a search.")] = "digits",
    resolution: Annotated[int, typer.Option(help="Side of the images in pixels.", min=8)] = 32,
    batch: Annotated[int, typer.Option(help="Images in the batch.", min=4)] = 64,
    seed: Annotated[int, typer.Option(help="Of the weights and the batch.", min=0)] = 0,
    scores: Annotated[
        str | None, typer.Option(help="Some of grad_norm, snip, synflow, naswot, jacob_cov, zico, zen.")
    ] = None,
    max_broken: Annotated[
        float, typer.Option(help="Leave files out that cannot be read, up to this share.", min=0, max=1)
    ] = 0.01,
    plugin: PluginOption = None,
) -> None:
    """Score networks that are not trained, by one batch of images.

    Higher is said to be better by each paper. No such score carries over between spaces: compare it with
    trained scores before it decides anything.
    """
    from nas.report import tables
    from nas.report.console import show
    from nas.runs.state import find_network
    from nas.space import load_space
    from nas.space.plugins import read_plugins
    from nas.workflows.prescreen import batch_data, chosen_scores, untrained_scores

    chosen, plugins = chosen_scores(scores), read_plugins(plugin or ())
    spaces = []
    for what in networks:
        space = load_space(find_network(what, plugins))
        if not space.is_architecture:
            raise InputError(f"{what}: is a space with choices; name networks, such as runs/mbconv-1")
        spaces.append(space)
    data = batch_data(dataset, resolution=resolution, batch=batch, seed=seed, max_broken=max_broken)
    for note in data.notes:
        typer.echo(note)
    show(tables.scores_view(untrained_scores(spaces, chosen, data, batch=batch, seed=seed)))
