"""The command that measures samplers."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import rich_click as click

from nas.bench.config import BenchConfig
from nas.cli.completing import FILE, NETWORK
from nas.cli.options import with_settings
from nas.cli.shared import format_option, plugin_option
from nas.errors import make_printable


@click.command()
@click.argument("space", type=NETWORK, help="A space: a YAML file, or the name of a bundled one.")
@click.argument(
    "table",
    type=FILE,
    help="A CSV file of networks: a column for each choice; 'score', or 'score_1', 'score_2', ... "
    "for several seeds; and 'true_score', which is reported in place of their mean.",
)
@with_settings(BenchConfig, leave_out=("budget_latency",))
@click.option("--output", "-o", type=FILE, help="Write figures, curves and a plot to this folder.")
@format_option
@plugin_option
def bench(
    given: Mapping[str, Any],
    space: str,
    table: Path,
    output: Path | None,
    form: str,
    plugins: tuple[Path, ...],
) -> None:
    """Measure samplers on a table of trained networks: what would a search have found?

    Every repeat gives all samplers the same seed. The best score is the true score of the network that a
    search would return, and is compared with random search in pairs.
    """
    config = BenchConfig.from_data(given, "nas bench")
    from nas.bench.contest import prepare_contest, run_contest
    from nas.bench.report import dump_figures, print_contest, show_progress, write_contest
    from nas.bench.standings import compute_standings
    from nas.files import make_folder
    from nas.report.documents import give
    from nas.report.heartbeat import waiting
    from nas.space.plugins import read_plugins

    sources = read_plugins(plugins)
    with waiting(f"Reading {table}"):
        contest = prepare_contest(space, table, config, sources)
    if output:
        make_folder(output)  # before the work
    ended = show_progress(run_contest(contest, config.jobs, sources), contest)
    result = compute_standings(ended, contest.most if contest.deviation else None)
    give(form, lambda: dump_figures(contest, result), lambda: print_contest(contest, result))
    for file in write_contest(output, contest, ended, result) if output else ():
        click.echo(make_printable(file), err=form == "json")
