"""The command that measures how long networks take."""

from __future__ import annotations

from pathlib import Path

import rich_click as click

from nas.cli.completing import FILE, NETWORK
from nas.cli.shared import format_option, input_option, plugin_option
from nas.errors import InputError, make_printable


@click.command()
@click.argument(
    "networks",
    type=NETWORK,
    nargs=-1,
    required=True,
    metavar="ARCH...",
    help="Network files, bundled names such as reference/resnet18, or run folders.",
)
@click.option(
    "--runtime",
    "runtimes",
    default="torch",
    metavar="NAME,...",
    help="What applies them: torch, compile, pt2, onnx, openvino, ncnn, litert or executorch; several side "
    "by side.",
)
@click.option("--batch", "batches", default="1", metavar="N,...", help="Images at a time, such as 1,32.")
@click.option("--threads", type=click.IntRange(1), default=1, help="Of each runtime.")
@click.option("--rounds", type=click.IntRange(2), default=20, help="Turns that each has.")
@click.option("--seed", type=click.IntRange(0), default=0, help="Of the order in each round.")
@click.option(
    "--device", type=click.Choice(["cpu", "cuda"]), default="cpu", help="For torch and compile: cuda."
)
@click.option("--strict", is_flag=True, help="Give no figure where the machine was not quiet.")
@format_option
@click.option("--csv", type=FILE, metavar="FILE", help="Write the figures there too, a row for each.")
@input_option
@plugin_option
def profile(
    networks: tuple[str, ...],
    runtimes: str,
    batches: str,
    threads: int,
    rounds: int,
    seed: int,
    device: str,
    strict: bool,
    form: str,
    csv: Path | None,
    side: int | None,
    plugins: tuple[Path, ...],
) -> None:
    """Measure how long networks take in runtimes, on this machine.

    Each network, runtime and batch is measured in a process of its own, all in
    turn, in rounds. The first figure, which 10 % of the runs were below, is
    the one to compare by. Says where the machine was not quiet. The folder of
    a search keeps the figures for its report.
    """
    sizes = [_read_size(part) for part in batches.split(",")]
    if csv is not None and csv.is_dir():
        raise InputError(f"--csv: {csv} is a folder; name a file")
    from rich.console import Console

    from nas.files import write_output
    from nas.report.console import show
    from nas.report.documents import give
    from nas.report.latency import dump_profile, render_profile
    from nas.workflows.profile import keep_profile
    from nas.workflows.profile import profile as profile_networks

    with Console(stderr=True).status("") as status:
        found = profile_networks(
            networks,
            runtimes=[part.strip() for part in runtimes.split(",")],
            batches=sizes,
            threads=threads,
            rounds=rounds,
            seed=seed,
            device=device,
            side=side,
            plugins=plugins,
            strict=strict,
            progress=lambda text: status.update(make_printable(text).replace("[", "\\[").capitalize()),
        )
    give(form, found.to_data, lambda: show(render_profile(found)))
    if csv is not None:
        write_output(csv, dump_profile(found))
    keep_profile(found, networks)


def _read_size(text: str) -> int:
    """Read a size of a batch. Raises InputError."""
    try:
        size = int(text)
    except ValueError:
        size = 0
    if size < 1:
        raise InputError(
            f"--batch: '{text}' is not a size of a batch; it is a whole number from 1, as in 1,32"
        )
    return size
