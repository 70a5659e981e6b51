"""A calibration as a person sees it: its progress, its figures, a table and a plot."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree as ET

from rich.console import Group, RenderableType
from rich.text import Text

from nas.deadline import TimeIsUp, deadline, duration_text
from nas.errors import NasError
from nas.files import write_atomically
from nas.report.chart import (
    BOTTOM,
    COLOURS,
    HEIGHT,
    LEFT,
    RIGHT,
    TOP,
    WIDTH,
    finished,
    mark_columns,
    mark_rows,
    padded,
    page,
    write_text,
)
from nas.report.progress import SearchProgress, duration
from nas.report.session import resume_command, say, say_start, stoppable, terminal, time_left
from nas.report.svg import number
from nas.report.tables import plural, show, table
from nas.workflows.calibration import (
    LEAST,
    LONG,
    PROXY,
    Calibration,
    Figures,
    Interval,
    figures,
    write_figures,
)


def run_calibration(calibration: Calibration, began: float) -> None:
    """Train what is still to be trained, showing progress, then the figures.

    `began`: when the command did, by `time.monotonic`. Raises Stopped on Ctrl-C and NasError where too few
    trainings gave a score.
    """
    console, run, plan = terminal(), calibration.run, calibration.plan
    settings = calibration.search.settings
    with stoppable(run), run.locked():
        jobs = calibration.jobs()
        say_start(calibration.search, console)
        say(
            console,
            f"Calibration: {plural(plan.networks, 'network')}, {plural(len(jobs.names), 'training')}: by the "
            f"proxy under {plural(plan.seeds, 'seed')}, for {plural(plan.long_epochs, 'epoch')}, by other "
            f"proxies. Run folder: {run.path}",
        )
        epochs = max(proxy.recipe.epochs for proxy in calibration.trainings.values())
        try:
            with (
                deadline(time_left(settings, began)),
                SearchProgress(console, len(jobs.names), epochs) as bar,
            ):
                bar.follow(jobs)
                calibration.go(jobs, bar)
        except TimeIsUp:
            limit = duration_text(settings.time_limit or 0)
            say(console, f"The time limit of {limit} is over. Go on with: {resume_command(run)}")
            return
        rows = calibration.rows(jobs)
    left_out = plan.networks - len(rows)
    if left_out:
        say(
            console,
            f"Left out: {plural(left_out, 'network')} of which a training by the proxy, or the longer one, "
            "gave no score.",
        )
    if len(rows) < LEAST:
        raise NasError(
            f"{run.path}: {plural(len(rows), 'network')} gave all scores, and {LEAST} are needed; start a "
            "calibration of more --networks, or of a recipe that trains them"
        )
    found = figures(rows, calibration.search.settings.seed)
    files = _write(calibration, found)
    show(calibration_view(calibration, found), console)
    say(console, f"Written: {', '.join(map(str, files))}")


def calibration_view(calibration: Calibration, found: Figures) -> RenderableType:
    """Noise, and how well each proxy ranks the networks."""
    epochs, ranking = calibration.plan.long_epochs, found.proxy.ranking
    lines = [
        f"One score has a noise of {found.noise:.4f} (standard deviation over seeds): differences below "
        f"{found.resolvable:.4f} mean nothing.",
        f"With {plural(epochs, 'epoch')}, over {plural(len(found.rows), 'network')}: Kendall's tau "
        f"{_interval(ranking.kendall)}, Spearman's rho {_interval(ranking.spearman)}.",
        f"In the best third: Kendall's tau {_interval(ranking.kendall_top)}, Spearman's rho "
        f"{_interval(ranking.spearman_top)}.",
        f"One trial takes {duration(found.proxy.seconds)}, {plural(epochs, 'epoch')} "
        f"{duration(found.long_seconds)}.",
    ]
    view = table("proxy", ">networks", ">epochs", ">side", ">seconds", ">Kendall's tau", ">tau per minute")
    for proxy in found.proxies:
        training = calibration.trainings[proxy.name]
        view.add_row(
            proxy.name,
            str(proxy.networks),
            str(training.recipe.epochs),
            str(training.resolution),
            f"{proxy.seconds:.1f}",
            _interval(proxy.ranking.kendall),
            f"{60 * proxy.quality_per_second:.2f}",
        )
    best = f"The most ranking quality per second: {found.best.name}. Intervals are of 95 %."
    return Group(Text("\n".join(lines)), view, Text(best))


def _interval(found: Interval) -> str:
    return f"{found.value:.2f} ({found.low:.2f} to {found.high:.2f})"


def _write(calibration: Calibration, found: Figures) -> list[Path]:
    table_file = calibration.run.path / "networks.csv"
    plot_file = calibration.run.path / "calibration.svg"
    write_atomically(table_file, networks_table(found))
    write_atomically(plot_file, scatter(calibration.search.space.name, calibration.plan.long_epochs, found))
    return [write_figures(calibration, found), table_file, plot_file]


def networks_table(found: Figures) -> str:
    """The networks as CSV, a row each: cost, every score and its seconds, decisions."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    counts = {name: len(scores) for row in found.rows for name, scores in row.scores.items()}
    trainings = [(name, i) for name, count in counts.items() for i in range(count)]
    names = sorted({name for row in found.rows for name in row.choices})
    heads = [f"{kind} {name} {i}" for kind in ("score", "seconds") for name, i in trainings]
    writer.writerow(["network", "macs", "params", *heads, *names])
    for row in found.rows:
        cells = [
            of[name][i] if name in of else "" for of in (row.scores, row.seconds) for name, i in trainings
        ]
        choices = [row.choices.get(name, "") for name in names]
        writer.writerow([row.number, row.cost.macs, row.cost.params, *cells, *choices])
    return text.getvalue()


def scatter(space: str, long_epochs: int, found: Figures) -> str:
    """The SVG of the proxy's scores against those of the longer training: a dot for each seed."""
    tau = found.proxy.ranking.kendall
    svg = page(
        f"{space}: proxy against {plural(long_epochs, 'epoch')}",
        f"{plural(len(found.rows), 'network')}; Kendall's tau {_interval(tau)}, noise {found.noise:.4f}",
    )
    short = [score for row in found.rows for score in row.scores[PROXY]]
    x = padded(short, LEFT, WIDTH - RIGHT)
    y = padded([row.scores[LONG][0] for row in found.rows], HEIGHT - BOTTOM, TOP)
    mark_rows(svg, y)
    mark_columns(svg, x)
    write_text(svg, f"score after {plural(long_epochs, 'epoch')}", 8, TOP - 10, "plain")
    write_text(svg, "score of the proxy, each seed", (LEFT + WIDTH - RIGHT) / 2, HEIGHT - 16, "middle")
    for row in found.rows:
        _dots(svg, [(x(score), y(row.scores[LONG][0])) for score in row.scores[PROXY]], str(row.number))
    return finished(svg)


def _dots(svg: ET.Element, places: Sequence[tuple[float, float]], name: str) -> None:
    for left, top in places:
        ET.SubElement(
            svg,
            "circle",
            {"class": "dot", "data-name": name, "fill": COLOURS[0], "r": "4", "opacity": "0.7"}
            | {"cx": number(left), "cy": number(top)},
        )
