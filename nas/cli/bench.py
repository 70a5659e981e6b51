"""The command that measures samplers."""

from __future__ import annotations

from pathlib import Path

import rich_click as click

from nas.cli.completing import FILE, NETWORK
from nas.cli.shared import budget_option, format_option, load, plugin_option
from nas.errors import InputError, make_printable
from nas.machine import count_cores


@click.command()
@click.argument("space", type=NETWORK, help="A space: a YAML file, or the name of a bundled one.")
@click.argument(
    "table",
    type=FILE,
    help="A CSV file of networks: a column for each choice; 'score', or 'score_1', 'score_2', ... "
    "for several seeds; and 'true_score', which is reported in place of their mean.",
)
@click.option("--sampler", required=True, help="Samplers to compare with random, such as evolution,tpe.")
@click.option("--trials", type=click.IntRange(1), default=100, help="Networks that a search tries.")
@click.option("--repeats", type=click.IntRange(1), default=30, help="Searches by each sampler.")
@click.option("--budget-flops", "--budget-macs", help="As in a search: 400M, 300M..400M.")
@click.option("--budget-params", help="As in a search: 5M, or 4M..5M.")
@budget_option("As in a search")
@click.option(
    "--score",
    default="mean",
    help="What a search is told: the mean of a network's scores, or a random one.",
)
@click.option(
    "--seed", type=click.IntRange(0), default=0, help="Of the first repeat; the next have the next seeds."
)
@click.option(
    "--jobs",
    type=click.IntRange(1),
    help="Searches at a time, each in a process. [default: one a core]",
)
@click.option("--output", "-o", type=FILE, help="Write figures, curves and a plot to this folder.")
@format_option
@plugin_option
def bench(
    space: str,
    table: Path,
    sampler: str,
    trials: int,
    repeats: int,
    budget_flops: str | None,
    budget_params: str | None,
    budget: tuple[str, ...],
    score: str,
    seed: int,
    jobs: int | None,
    output: Path | None,
    form: str,
    plugins: tuple[Path, ...],
) -> None:
    """Measure samplers on a table of trained networks: what would a search have found?

    Every repeat gives all samplers the same seed. The best score is the true score of the network that a
    search would return, and is compared with random search in pairs.
    """
    if score not in ("mean", "random"):
        raise InputError(f"--score: '{score}' is not mean or random, which is what a search can be told")
    from nas.bench.contest import BASELINE, Contest, run_contest
    from nas.bench.report import dump_figures, print_contest, show_progress, write_contest
    from nas.bench.score_table import read_table
    from nas.bench.standings import compute_standings
    from nas.files import make_folder
    from nas.report.documents import give
    from nas.runs.budget import read_budget
    from nas.samplers import find_sampler
    from nas.space import load_space
    from nas.space.library import find_space
    from nas.workflows.checks import check_budget

    names = [BASELINE, *(name.strip() for name in sampler.split(","))]
    for name in names:
        find_sampler(name)
    limits = read_budget(budget_flops, budget_params, budget)
    loaded = load(plugins)
    found = load_space(find_space(space))
    check_budget(found, limits)
    contest = Contest(
        read_table(table, found),
        tuple(dict.fromkeys(names)),
        trials,
        repeats,
        limits,
        seed,
        score == "random",
    )
    if output:
        make_folder(output)
    ended = show_progress(run_contest(contest, jobs or count_cores(), loaded), contest)
    result = compute_standings(ended)
    give(form, lambda: dump_figures(contest, result), lambda: print_contest(contest, result))
    if output:
        for file in write_contest(output, contest, ended, result):
            click.echo(make_printable(file), err=form == "json")
