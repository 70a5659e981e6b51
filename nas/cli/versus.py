"""The command that compares a network with baselines."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import rich_click as click

from nas.cli.completing import FOLDER
from nas.cli.options import with_settings
from nas.cli.shared import check_is_there, format_option, plugin_option, storage_option
from nas.runs.comparison import EPOCHS, VersusConfig

_SHOWN = {"epochs": f"those of a run's finalists, or {EPOCHS}", "resolution": "a run's, or the input size"}


@click.command(epilog="Example: nas versus runs/mbconv-1 --baseline reference/mobilenet_v2,random")
@with_settings(VersusConfig, leave_out=("folds", "score"), others=_SHOWN)
@click.option(
    "--output",
    "-o",
    type=FOLDER,
    help="Where it is kept. [default: versus in the run, or runs/versus-NETWORK]",
)
@storage_option
@format_option
@plugin_option
def versus(
    given: Mapping[str, Any],
    output: Path | None,
    storage: str | None,
    form: str,
    plugins: tuple[Path, ...],
) -> None:
    """Compare a network with baselines, and say what may be claimed.

    Baselines are known networks, scaled to the budget of the run, and random
    members of its space. All are trained by one recipe on the same data
    under the same seeds, on images that no search has read where there are
    some. Each training is kept as it ends: the same command goes on after a
    stop or a kill, and with more --seeds.
    """
    VersusConfig.check_named(given, "nas versus")
    check_is_there(given["network"], plugins)
    from nas.report.claims import VersusScreen, print_verdict
    from nas.report.console import open_terminal
    from nas.report.documents import give
    from nas.report.run_documents import document_versus
    from nas.workflows.versus import versus as compare

    console = open_terminal(stderr=form == "json")
    own = {key: value for key, value in given.items() if key != "network"}
    with VersusScreen(console) as screen:
        result = compare(given["network"], own, screen, storage=storage, plugins=plugins, output=output)
    give(form, lambda: document_versus(result), lambda: print_verdict(result, console))
