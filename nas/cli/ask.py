"""The commands for runs whose networks are trained elsewhere."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import rich_click as click

from nas.cli.completing import RUN
from nas.cli.options import make_reader, with_settings
from nas.cli.shared import name_option, plugin_option, repair_option, runs_option
from nas.errors import InputError, make_printable
from nas.runs.asking import AskConfig, MetricConfig
from nas.runs.config import SearchConfig
from nas.runs.config_file import read_settings
from nas.serving import SETTINGS
from nas.workflows.observer import Observer

_run = click.argument("run", type=RUN, help="The run folder, such as runs/mbconv-1.")


@click.command()
@with_settings(SearchConfig, only=SETTINGS)
@with_settings(MetricConfig, into="scored")
@name_option("the space's name and a number")
@runs_option
@plugin_option
def init(
    given: Mapping[str, Any],
    scored: Mapping[str, Any],
    name: str | None,
    runs: Path,
    plugins: tuple[Path, ...],
) -> None:
    """Make a run whose networks other programs train, and may propose.

    'nas ask' gives the next network to train, 'nas tell' takes its score.
    """
    from nas.serving.begin import init_run

    config, scores = read_settings(given, None, "nas init"), MetricConfig.from_data(scored, "nas init")
    metric = scores.to_metric()
    run = init_run(config, _Notes(), metric=metric, plugins=plugins, runs=runs, name=name)
    click.echo(make_printable(run.folder.path))


@click.command()
@_run
@with_settings(AskConfig)
@repair_option
@plugin_option
def ask(given: Mapping[str, Any], run: Path, repair: bool, plugins: tuple[Path, ...]) -> None:
    """Print the next networks of a run to train, or enter those that are proposed, as lines of JSON.

    A refusal is a line too, and the exit code is 2 then.
    """
    from nas.serving import answers
    from nas.serving.open_run import open_run

    config = AskConfig.from_data(given, "nas ask")
    proposals = [] if config.points is None else _read_lines(config.points)
    with open_run(run, _Notes(), plugins=plugins, repair=repair) as opened:
        _print(answers.answer_config(opened, config, proposals))


@click.command(context_settings={"ignore_unknown_options": True})  # of which -0.5 would be one
@_run
@click.argument("number", type=int, required=False, help="Of the trial.")
@click.argument("score", required=False, help="What its training came to.")
@click.option("--failed", metavar="REASON", help="The training gave no score.")
@plugin_option
def tell(
    run: Path, number: int | None, score: str | None, failed: str | None, plugins: tuple[Path, ...]
) -> None:
    """Take the score of a trial that was trained elsewhere.

    Without a number, standard input has lines of JSON: {"number": 3, "score": 0.91}, or {"number": 3,
    "failed": "out of memory"}. Each is answered by a line; after a refusal the exit code is 2.
    """
    from nas.serving import answers
    from nas.serving.open_run import open_run

    if number is None and failed is not None:
        raise InputError("--failed: of which trial? Write nas tell RUN NUMBER --failed REASON")
    with open_run(run, _Notes(), plugins=plugins) as opened:
        if number is None:
            _print(answers.answer_lines(_read_lines("-"), lambda line: answers.call(opened, "tell", line)))
        else:
            value = None if score is None else make_reader(float)(score)
            _print([answers.tell(opened, number, value, failed)])


@click.command()
@_run
@plugin_option
def serve(run: Path, plugins: tuple[Path, ...]) -> None:
    """Answer requests for a run, lines of JSON on standard input, until it ends.

    {"ask": {}}, {"propose": {"choices": {...}}}, {"tell": {"number": 3, "score": 0.91}}, {"best": {"k": 5}},
    {"running": {}}: a line of JSON answers each.
    """
    from nas.serving import answers
    from nas.serving.open_run import open_run

    with open_run(run, _Notes(), plugins=plugins) as opened:
        for answer in answers.answer_lines(
            _read_lines("-"), lambda request: answers.respond(opened, request)
        ):
            _write(answer)


@click.command()
@_run
@plugin_option
def mcp(run: Path, plugins: tuple[Path, ...]) -> None:
    """Serve a run to a client of the Model Context Protocol, on standard input and output.

    Tools ask, propose, tell, best and running; resources nas://space, nas://budget, nas://limits and
    nas://lineage. Needs the package mcp.
    """
    from nas.serving.mcp_server import make_server
    from nas.serving.open_run import open_run

    with open_run(run, _Notes(), plugins=plugins) as opened:
        make_server(opened).run("stdio")


class _Notes(Observer):
    """Says what a person may want to know beside the answers."""

    def noted(self, text: str) -> None:
        click.echo(make_printable(text), err=True)


def _read_lines(source: str) -> Iterable[bytes]:
    """Return the lines of a file, or of standard input as they come."""
    if source == "-":
        return iter(sys.stdin.buffer.readline, b"")
    from nas.files import read_given_text

    return read_given_text(Path(source)).encode().splitlines()


def _print(found: Iterable[Mapping[str, Any]]) -> None:
    """Print answers, and exit with 2 where one is a refusal."""
    refused = False
    for answer in found:
        refused |= "refused" in answer
        _write(answer)
    if refused:
        sys.exit(InputError.exit_code)


def _write(answer: Mapping[str, Any]) -> None:
    click.echo(json.dumps(answer))  # which ends up on the other side at once
