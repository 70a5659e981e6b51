"""The command that scores networks without training them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import rich_click as click

from nas.cli.completing import NETWORK
from nas.cli.options import with_settings
from nas.cli.shared import format_option, plugin_option
from nas.errors import make_printable
from nas.runs.scoring import ScoreConfig

_SETTINGS = (
    "dataset", "resolution", "max_broken", "columns", "suffix", "background", "levels", "batch", "seed",
    "scores",
)  # fmt: skip


@click.command()
@click.argument(
    "networks",
    type=NETWORK,
    nargs=-1,
    required=True,
    metavar="ARCH...",
    help="Network files, bundled names such as reference/resnet18, or run folders.",
)
@with_settings(ScoreConfig, only=_SETTINGS)
@format_option
@plugin_option
def score(given: Mapping[str, Any], networks: tuple[str, ...], form: str, plugins: tuple[Path, ...]) -> None:
    """Score networks that are not trained, by one batch of images.

    Higher is said to be better by each paper. No such score carries over between spaces: compare it with
    trained scores before it decides anything.
    """
    config = ScoreConfig.from_data(given, "nas score")
    from nas.report.console import show
    from nas.report.documents import document_scores, give
    from nas.report.tables import render_scores
    from nas.workflows.prescreen import score_networks

    def tell(text: str) -> None:
        click.echo(make_printable(text), err=form == "json")

    scored = score_networks(networks, config, plugins=plugins, tell=tell)
    give(form, lambda: document_scores(scored), lambda: show(render_scores(scored)))
