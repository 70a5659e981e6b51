"""A calibration as a person sees it: its figures, and a table of proxies."""

from __future__ import annotations

from rich.console import Console, Group, RenderableType
from rich.text import Text

from nas.deadline import dump_duration
from nas.report.console import format_duration, pluralise, say, show
from nas.report.tables import make_table
from nas.workflows.calibration import CalibrationResult
from nas.workflows.hardware import count_slots
from nas.workflows.proxy_figures import ConfidenceInterval, Figures, ProxyFigures, describe_too_few


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
        "proxy",
        ">networks",
        ">epochs",
        ">side",
        ">seconds",
        f">trials in {_IN}",
        ">Kendall's tau",
        ">tau per minute",
    )
    for proxy in found.proxies:
        training = result.trainings[proxy.name]
        view.add_row(
            proxy.name,
            str(proxy.networks),
            str(training.recipe.epochs),
            str(training.data.resolution),
            f"{proxy.seconds:.1f}",
            f"{_count_trials(result, proxy):,}",
            _format_interval(proxy.ranking.kendall),
            _format_interval(proxy.quality_per_second, 60),
        )
    return Group(Text("\n".join(lines)), view, *(Text(line) for line in _compare_proxies(result, found)))


_SEARCH_S = 1800.0
_IN = "30 minutes"
"""The time of a search that proxies are compared for."""


def _count_trials(result: CalibrationResult, proxy: ProxyFigures) -> int:
    """Return how many trials of a proxy train in that time, as many at once as there is room for."""
    session = result.session
    assert session.proxy is not None, "a calibration is of the proxy"
    return int(count_slots(session.config, session.proxy.device) * _SEARCH_S / proxy.seconds)


def _compare_proxies(result: CalibrationResult, found: Figures) -> list[str]:
    """Return which proxy gives the most for its time, said of those that give more beyond their intervals,
    and how many trials of it a search has."""
    if not any(proxy.ranking.kendall for proxy in found.proxies):
        return []
    if best := found.best:
        trials = pluralise(_count_trials(result, best), "trial")
        epochs = pluralise(result.trainings[best.name].recipe.epochs, "epoch")
        return [
            f"The most ranking quality per second: {best.name}; in {_IN}, {trials} of {epochs}. Intervals "
            "are of 95 %."
        ]
    return [
        "No proxy ranks better per second than the others beyond the intervals, which are of 95 %; more "
        "--networks narrow them."
    ]


def _format_interval(found: ConfidenceInterval | None, factor: float = 1.0) -> str:
    return "-" if found is None else found.format(factor)
