"""The command that writes a network in the formats that it leaves in."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import rich_click as click

from nas.cli.completing import NETWORK
from nas.cli.shared import plugin_option, storage_option
from nas.errors import InputError, make_printable
from nas.exporters import EXPORTERS
from nas.kinds import join_or


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
@click.option("--trial", type=int, help="A trial of the run whose weights were kept. [default: the best]")
@click.option(
    "--format",
    "formats",
    help=f"What to write: {join_or(EXPORTERS)}, where python is a module and its weights; or several, such "
    "as python,onnx, into a folder. [default: python; in int8 onnx]",
)
@click.option("--headless", is_flag=True, help="Without pool and classifier: the last map of features.")
@click.option(
    "--quantize",
    type=click.Choice(["int8"]),
    help="Write the best network of a run in int8, calibrated on its images: onnx, openvino, pt2.",
)
@click.option(
    "--calibration-images",
    "images",
    type=int,
    metavar="N",
    help="Training images that the scales of int8 are set on. [default: 256]",
)
@click.option(
    "--target-cpu",
    type=click.Choice(["vnni", "avx2", "arm"]),
    help="The kind of CPU that int8 is for. [default: this machine's]",
)
@click.option(
    "--max-drop",
    type=float,
    metavar="SHARE",
    help="Refuse int8 where accuracy falls by more, such as 0.01. [default: warn above 0.01]",
)
@storage_option
@plugin_option
def export(
    what: str,
    output: str | None,
    trial: int | None,
    formats: str | None,
    headless: bool,
    quantize: str | None,
    images: int | None,
    target_cpu: str | None,
    max_drop: float | None,
    storage: str | None,
    plugins: tuple[Path, ...],
) -> None:
    """Write a network in a format, compared with it in a fresh interpreter.

    By default it is one Python file that imports only torch. Several formats, or an output that ends in a
    slash, make a folder, with labels, preprocessing, samples and a card. With --quantize int8 accuracy and
    latency of each format are printed beside those of float32.
    """

    def progress(text: str) -> None:
        click.echo(make_printable(text), err=True)

    of_int8: dict[str, Any] = {"calibration_images": images, "target_cpu": target_cpu, "max_drop": max_drop}
    given = {name: value for name, value in of_int8.items() if value is not None}
    own: dict[str, Any] = {"trial": trial, "plugins": plugins, "storage": storage, "progress": progress}
    if quantize is None:
        if given:
            raise InputError(
                f"--{next(iter(given)).replace('_', '-')}: is of --quantize int8; give both, or none"
            )
        from nas.workflows.export import export as export_network

        files: Sequence[Path] = export_network(
            what, output, format="python" if formats is None else formats, headless=headless, **own
        )
    else:
        if headless:
            raise InputError("--headless: int8 has accuracies to compare; give it or --quantize, not both")
        from nas.report.console import open_terminal
        from nas.report.console import show as show_view
        from nas.report.int8 import render_quantized
        from nas.workflows.quantize import quantize as quantize_network

        found = quantize_network(what, output, format="onnx" if formats is None else formats, **own, **given)
        show_view(render_quantized(found), open_terminal(stderr=True))
        files = found.files
    for file in files:
        click.echo(make_printable(file))
