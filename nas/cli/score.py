"""The command that scores networks without training them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import rich_click as click

from nas.cli.completing import NETWORK
from nas.cli.options import with_settings
from nas.cli.shared import format_option, plugin_option
from nas.data.config import DataConfig
from nas.errors import InputError, make_printable
from nas.training.screens import ZERO_COST_NAMES


@click.command()
@click.argument(
    "networks",
    type=NETWORK,
    nargs=-1,
    required=True,
    metavar="ARCH...",
    help="Network files, bundled names such as reference/resnet18, or run folders.",
)
@with_settings(only=("dataset", "resolution", "max_broken", "columns", "suffix", "background", "levels"))
@click.option("--batch", type=click.IntRange(4), default=64, help="Images in the batch.")
@click.option("--seed", type=click.IntRange(0), default=0, help="Of the weights and the batch.")
@click.option("--scores", help=f"Some of {', '.join(ZERO_COST_NAMES)}.")
@format_option
@plugin_option
def score(
    given: Mapping[str, Any],
    networks: tuple[str, ...],
    batch: int,
    seed: int,
    scores: str | None,
    form: str,
    plugins: tuple[Path, ...],
) -> None:
    """Score networks that are not trained, by one batch of images.

    Higher is said to be better by each paper. No such score carries over between spaces: compare it with
    trained scores before it decides anything.
    """
    from nas.report.console import show
    from nas.report.documents import document_scores, give
    from nas.report.tables import render_scores
    from nas.runs.state import load_network
    from nas.space.plugins import read_plugins
    from nas.workflows.prescreen import load_batch, parse_scores, score_untrained

    chosen, found = parse_scores(scores), read_plugins(plugins)
    spaces = []
    for what in networks:
        space = load_network(what, found)
        if not space.is_architecture:
            raise InputError(f"{what}: is a space with choices; name networks, such as runs/mbconv-1")
        spaces.append(space)
    data = load_batch(DataConfig.from_data(given, "nas score"), batch=batch, seed=seed)
    for note in data.notes:
        click.echo(make_printable(note), err=form == "json")
    scored = score_untrained(spaces, chosen, data, batch=batch, seed=seed)
    give(form, lambda: document_scores(scored), lambda: show(render_scores(scored)))
