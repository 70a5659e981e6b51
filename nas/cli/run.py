"""The command that does all steps of a file."""

from __future__ import annotations

from pathlib import Path

import rich_click as click

from nas.cli.completing import FILE
from nas.cli.shared import format_option, name_option, plugin_option, runs_option


@click.command(epilog="Example: nas run examples/cifar10.yaml")
@click.argument("file", type=FILE, help="A YAML file of steps with their settings.")
@name_option("that of the file")
@runs_option
@click.option(
    "--force", metavar="STEP", multiple=True, help="Do this step though nothing has changed; repeatable."
)
@click.option("--check", is_flag=True, help="Only check the file and all settings in it.")
@format_option
@plugin_option
def run(
    file: Path,
    name: str | None,
    runs: Path,
    force: tuple[str, ...],
    check: bool,
    form: str,
    plugins: tuple[Path, ...],
) -> None:
    """Do the steps of a file: search, calibrate, finalists, scale, train, versus, profile, export, report.

    All settings are checked before the first step. A step is skipped while
    nothing that it reads has changed since it was done; after a stop or a
    kill the same command goes on.
    """
    from nas.malloc import keep_memory
    from nas.report.console import open_terminal, say, show
    from nas.report.documents import give
    from nas.report.pipeline import PipelineScreen, describe_plan, document_steps, render_pipeline
    from nas.steps import pipeline, read_pipeline

    console = open_terminal(stderr=form == "json")
    if check:
        names = [step.name for step in read_pipeline(file, plugins)]
        give(form, lambda: {"kind": "pipeline", "steps": names}, lambda: say(console, describe_plan(names)))
        return
    keep_memory()  # a training of a step is in this process
    screen = PipelineScreen(console)
    found = pipeline(file, screen, plugins=plugins, runs=runs, name=name, force=force)
    give(
        form,
        lambda: document_steps(found.folder, found.steps),
        lambda: show(render_pipeline(found.steps), console),
    )
