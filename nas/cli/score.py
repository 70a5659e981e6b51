"""The command that scores networks without training them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from nas.cli.app import PluginOption, app
from nas.cli.options import with_settings
from nas.data.config import DataConfig
from nas.errors import InputError
from nas.training.screens import ZERO_COST_NAMES


@app.command()
@with_settings(only=("dataset", "resolution", "max_broken"))
def score(
    networks: Annotated[
        list[str],
        typer.Argument(
            help="Network files, bundled names such as reference/resnet18, or run folders.", metavar="ARCH..."
        ),
    ],
    given: Mapping[str, Any],
    batch: Annotated[int, typer.Option(help="Images in the batch.", min=4)] = 64,
    seed: Annotated[int, typer.Option(help="Of the weights and the batch.", min=0)] = 0,
    scores: Annotated[str | None, typer.Option(help=f"Some of {', '.join(ZERO_COST_NAMES)}.")] = None,
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
    data = batch_data(DataConfig.from_data(given, "nas score"), batch=batch, seed=seed)
    for note in data.notes:
        typer.echo(note)
    show(tables.scores_view(untrained_scores(spaces, chosen, data, batch=batch, seed=seed)))
