"""The command that measures samplers."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from nas.cli.app import PluginOption, app, load
from nas.cli.options import budget_option
from nas.errors import InputError


@app.command()
def bench(
    space: Annotated[str, typer.Argument(help="A space: a YAML file, or the name of a bundled one.")],
    table: Annotated[
        Path,
        typer.Argument(
            help="A CSV file of networks: a column for each choice; 'score', or 'score_1', 'score_2', ... "
            "for several seeds; and 'true_score', which is reported in place of their mean."
        ),
    ],
    sampler: Annotated[str, typer.Option(help="Samplers to compare with random, such as evolution,tpe.")],
    trials: Annotated[int, typer.Option(help="Networks that a search tries.", min=1)] = 100,
    repeats: Annotated[int, typer.Option(help="Searches by each sampler.", min=1)] = 30,
    budget_flops: Annotated[
        str | None, typer.Option("--budget-flops", "--budget-macs", help="As in a search: 400M, 300M..400M.")
    ] = None,
    budget_params: Annotated[str | None, typer.Option(help="As in a search: 5M, or 4M..5M.")] = None,
    budget: Annotated[list[str] | None, budget_option("As in a search")] = None,
    score: Annotated[
        str, typer.Option(help="What a search is told: the mean of a network's scores, or a random one.")
    ] = "mean",
    seed: Annotated[int, typer.Option(help="Of the first repeat; the next have the next seeds.", min=0)] = 0,
    jobs: Annotated[
        int | None, typer.Option(help="Searches at a time, each in a process. \\[default: one a core]", min=1)
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Write figures, curves and a plot to this folder.")
    ] = None,
    plugin: PluginOption = None,
) -> None:
    """Measure samplers on a table of trained networks: what would a search have found?

    Every repeat gives all samplers the same seed. The best score is the true score of the network that a
    search would return, and is compared with random search in pairs.
    """
    if score not in ("mean", "random"):
        raise InputError(f"--score: '{score}' is not mean or random, which is what a search can be told")
    from nas.bench.contest import BASELINE, Contest, run_contest
    from nas.bench.figures import compute_standings
    from nas.bench.report import print_contest, show_progress, write_contest
    from nas.bench.table import read_table
    from nas.files import make_folder
    from nas.runs.budget import read_budget
    from nas.samplers import find_sampler
    from nas.space import load_space
    from nas.space.library import find_space
    from nas.workflows.checks import check_budget

    names = [BASELINE, *(name.strip() for name in sampler.split(","))]
    for name in names:
        find_sampler(name)
    limits = read_budget(budget_flops, budget_params, budget or [])
    plugins = load(plugin)
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
    ended = show_progress(run_contest(contest, jobs or os.cpu_count() or 1, plugins), contest)
    result = compute_standings(ended)
    print_contest(contest, result)
    if output:
        for file in write_contest(output, contest, ended, result):
            typer.echo(file)
