"""A calibration as a person sees it: its figures, and a table of proxies."""

from __future__ import annotations

from rich.console import Console, Group, RenderableType
from rich.text import Text

from nas.deadline import duration_text
from nas.report.console import duration, plural, say, show
from nas.report.tables import table
from nas.workflows.calibration import CalibrationResult
from nas.workflows.figures import Figures, Interval, too_few


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
    say(console, f"Written: {', '.join(map(str, result.files))}")


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
    return "-" if found is None else found.text(factor)
