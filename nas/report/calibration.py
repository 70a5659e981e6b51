"""A calibration as a person sees it: its figures, and a table of proxies."""

from __future__ import annotations

from rich.console import Console, Group, RenderableType
from rich.text import Text

from nas.deadline import dump_duration
from nas.report.console import format_duration, pluralise, say, show
from nas.report.tables import make_table
from nas.workflows.calibration import CalibrationResult
from nas.workflows.proxy_figures import ConfidenceInterval, Figures, describe_too_few


def print_calibration(result: CalibrationResult, console: Console) -> None:
    """Print what a calibration found."""
    session, found = result.session, result.figures
    if found is None:
        limit, command = dump_duration(session.config.time_limit or 0), session.resume_command
        say(console, f"The time limit of {limit} is over. Go on with: {command}")
        return
    if result.left_out:
        say(
            console,
            f"Left out: {pluralise(result.left_out, 'network')} of which a training by the proxy, or the "
            "longer one, gave no score.",
        )
    show(render_calibration(result, found), console)
    say(console, f"Written: {', '.join(map(str, result.files))}")


def render_calibration(result: CalibrationResult, found: Figures) -> RenderableType:
    """Return noise, and how well each proxy ranks the networks."""
    epochs, ranking = result.plan.long_epochs, found.proxy.ranking
    networks = pluralise(len(found.rows), "network")
    lines = [
        f"One score has a noise of {found.noise:.4f} (standard deviation over seeds): differences below "
        f"{found.resolvable:.4f} mean nothing.",
        f"With {pluralise(epochs, 'epoch')}, over {networks}: Kendall's tau "
        f"{_format_interval(ranking.kendall)}, Spearman's rho {_format_interval(ranking.spearman)}."
        if ranking.kendall
        else f"With {pluralise(epochs, 'epoch')}: {describe_too_few(len(found.rows))}.",
    ]
    if ranking.kendall_top:
        lines.append(
            f"In the best third: Kendall's tau {_format_interval(ranking.kendall_top)}, Spearman's rho "
            f"{_format_interval(ranking.spearman_top)}."
        )
    lines.append(
        f"One trial takes {format_duration(found.proxy.seconds)}, {pluralise(epochs, 'epoch')} "
        f"{format_duration(found.long_seconds)}."
    )
    view = make_table(
        "proxy", ">networks", ">epochs", ">side", ">seconds", ">Kendall's tau", ">tau per minute"
    )
    for proxy in found.proxies:
        training = result.trainings[proxy.name]
        view.add_row(
            proxy.name,
            str(proxy.networks),
            str(training.recipe.epochs),
            str(training.data.resolution),
            f"{proxy.seconds:.1f}",
            _format_interval(proxy.ranking.kendall),
            _format_interval(proxy.quality_per_second, 60),
        )
    return Group(Text("\n".join(lines)), view, *(Text(line) for line in _compare_proxies(found)))


def _compare_proxies(found: Figures) -> list[str]:
    """Return which proxy gives the most for its time, said of those that give more beyond their intervals."""
    if not any(proxy.ranking.kendall for proxy in found.proxies):
        return []
    if found.best:
        return [f"The most ranking quality per second: {found.best.name}. Intervals are of 95 %."]
    return [
        "No proxy ranks better per second than the others beyond the intervals, which are of 95 %; more "
        "--networks narrow them."
    ]


def _format_interval(found: ConfidenceInterval | None, factor: float = 1.0) -> str:
    return "-" if found is None else found.format(factor)
