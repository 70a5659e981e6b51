"""The command that writes a network in the formats that it leaves in."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import rich_click as click

from nas.cli.completing import NETWORK
from nas.cli.options import with_settings
from nas.cli.shared import plugin_option, storage_option
from nas.errors import make_printable
from nas.runs.exporting import ExportConfig


@click.command()
@click.argument(
    "what",
    type=NETWORK,
    metavar="RUN|FILE",
    help="A run folder, or the file of a network.",
)
@click.option(
    "--output",
    "-o",
    help="The file, or the new folder of several formats. [default: best.py in the run, else NAME.py]",
)
@with_settings(ExportConfig)
@storage_option
@plugin_option
def export(
    given: Mapping[str, Any],
    what: str,
    output: str | None,
    storage: str | None,
    plugins: tuple[Path, ...],
) -> None:
    """Write a network in a format, compared with it in a fresh interpreter.

    By default it is one Python file that imports only torch. Several formats, or an output that ends in a
    slash, make a folder, with labels, preprocessing, samples and a card. With --quantize int8 accuracy and
    latency of each format are printed beside those of float32.
    """
    config = ExportConfig.from_data(given, "nas export")

    def tell(text: str) -> None:
        print(make_printable(text), file=sys.stderr)  # above what is shown meanwhile

    from nas.report.heartbeat import waiting

    doing = waiting(f"Exporting {what}, and checking it")
    files: Sequence[Path]
    if config.quantize is None:
        from nas.workflows.export import write_network

        with doing:
            files = write_network(what, output, config, plugins=plugins, storage=storage, progress=tell)
    else:
        from nas.report.console import open_terminal, show
        from nas.report.int8 import render_quantized
        from nas.workflows.quantize import write_int8

        with doing:
            quantized = write_int8(what, output, config, plugins=plugins, storage=storage, progress=tell)
        show(render_quantized(quantized), open_terminal(stderr=True))
        files = quantized.files
    for file in files:
        click.echo(make_printable(file))
