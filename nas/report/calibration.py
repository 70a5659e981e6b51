"""A calibration as a person sees it: its progress, its figures, a table and a plot."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree as ET

from rich.console import Console, Group, RenderableType
from rich.text import Text

from nas.deadline import duration_text
from nas.files import write_atomically
from nas.plots.chart import (
    BOTTOM,
    COLOURS,
    HEIGHT,
    LEFT,
    RIGHT,
    TOP,
    WIDTH,
    fit_scale,
    make_page,
    mark_columns,
    mark_rows,
    render,
    write_text,
)
from nas.plots.svg import format_coordinate
from nas.report.console import duration, plural, say, show
from nas.report.tables import table
from nas.workflows.calibration import CalibrationResult
from nas.workflows.figures import LONG, PROXY, Figures, Interval, too_few


def print_calibration(result: CalibrationResult, console: Console) -> None:
    """Print what a calibration found."""
    session, found = result.session, result.figures
    if found is None:
        limit, command = duration_text(session.config.time_limit or 0), session.resume_command
        say(console, f"The time limit of {limit} is over. Go on with: {command}")
        return
    if result.left_out:
        say(
            console,
            f"Left out: {plural(result.left_out, 'network')} of which a training by the proxy, or the longer "
            "one, gave no score.",
        )
    show(calibration_view(result, found), console)
    files = (session.folder.figures_file, session.folder.path / "networks.csv", _plot_file(result))
    say(console, f"Written: {', '.join(map(str, files))}")


def draw_calibration(result: CalibrationResult) -> None:
    """Draw what a calibration found into its folder, where it has ended."""
    if found := result.figures:
        plot = scatter(result.session.space.name, result.plan.long_epochs, found)
        write_atomically(_plot_file(result), plot)


def _plot_file(result: CalibrationResult) -> Path:
    return result.session.folder.path / "calibration.svg"


def calibration_view(result: CalibrationResult, found: Figures) -> RenderableType:
    """Noise, and how well each proxy ranks the networks."""
    epochs, ranking = result.plan.long_epochs, found.proxy.ranking
    networks = plural(len(found.rows), "network")
    lines = [
        f"One score has a noise of {found.noise:.4f} (standard deviation over seeds): differences below "
        f"{found.resolvable:.4f} mean nothing.",
        f"With {plural(epochs, 'epoch')}, over {networks}: Kendall's tau {_interval(ranking.kendall)}, "
        f"Spearman's rho {_interval(ranking.spearman)}."
        if ranking.kendall
        else f"With {plural(epochs, 'epoch')}: {too_few(len(found.rows))}.",
    ]
    if ranking.kendall_top:
        lines.append(
            f"In the best third: Kendall's tau {_interval(ranking.kendall_top)}, Spearman's rho "
            f"{_interval(ranking.spearman_top)}."
        )
    lines.append(
        f"One trial takes {duration(found.proxy.seconds)}, {plural(epochs, 'epoch')} "
        f"{duration(found.long_seconds)}."
    )
    view = table("proxy", ">networks", ">epochs", ">side", ">seconds", ">Kendall's tau", ">tau per minute")
    for proxy in found.proxies:
        training = result.trainings[proxy.name]
        view.add_row(
            proxy.name,
            str(proxy.networks),
            str(training.recipe.epochs),
            str(training.data.resolution),
            f"{proxy.seconds:.1f}",
            _interval(proxy.ranking.kendall),
            _interval(proxy.quality_per_second, 60),
        )
    return Group(Text("\n".join(lines)), view, *(Text(line) for line in _comparison(found)))


def _comparison(found: Figures) -> list[str]:
    """Which proxy gives the most for its time, said of those that give more beyond their intervals."""
    if not any(proxy.ranking.kendall for proxy in found.proxies):
        return []
    if found.best:
        return [f"The most ranking quality per second: {found.best.name}. Intervals are of 95 %."]
    return [
        "No proxy ranks better per second than the others beyond the intervals, which are of 95 %; more "
        "--networks narrow them."
    ]


def _interval(found: Interval | None, factor: float = 1.0) -> str:
    if found is None:
        return "-"
    return f"{factor * found.value:.2f} ({factor * found.low:.2f} to {factor * found.high:.2f})"


def scatter(space: str, long_epochs: int, found: Figures) -> str:
    """The SVG of the proxy's scores against those of the longer training: a dot for each seed."""
    tau = found.proxy.ranking.kendall
    ranks = f"Kendall's tau {_interval(tau)}, " if tau else ""
    svg = make_page(
        f"{space}: proxy against {plural(long_epochs, 'epoch')}",
        f"{plural(len(found.rows), 'network')}; {ranks}noise {found.noise:.4f}",
    )
    short = [score for row in found.rows for score in row.scores[PROXY]]
    x = fit_scale(short, LEFT, WIDTH - RIGHT)
    y = fit_scale([row.scores[LONG][0] for row in found.rows], HEIGHT - BOTTOM, TOP)
    mark_rows(svg, y)
    mark_columns(svg, x)
    write_text(svg, f"score after {plural(long_epochs, 'epoch')}", 8, TOP - 10, "plain")
    write_text(svg, "score of the proxy, each seed", (LEFT + WIDTH - RIGHT) / 2, HEIGHT - 16, "middle")
    for row in found.rows:
        _dots(svg, [(x(score), y(row.scores[LONG][0])) for score in row.scores[PROXY]], str(row.number))
    return render(svg)


def _dots(svg: ET.Element, places: Sequence[tuple[float, float]], name: str) -> None:
    for left, top in places:
        ET.SubElement(
            svg,
            "circle",
            {"class": "dot", "data-name": name, "fill": COLOURS[0], "r": "4", "opacity": "0.7"}
            | {"cx": format_coordinate(left), "cy": format_coordinate(top)},
        )
