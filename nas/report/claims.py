"""A comparison on a terminal: how it starts, its table, and what may be claimed."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from nas.measures import find_measure
from nas.report.console import format_duration, pluralise, say, show
from nas.report.search_screen import TrialScreen
from nas.report.tables import make_table
from nas.workflows.versus import VersusObserver, VersusResult
from nas.workflows.versus.assembly import VersusSession
from nas.workflows.versus.verdict import EqualCost, Verdict, VersusStanding, list_doubts_before, name_measure


class VersusScreen(TrialScreen, VersusObserver):
    """Shows a comparison while it runs."""

    def compared(self, session: VersusSession) -> None:
        self._lines.show()
        say_comparison(session, self._console)
        self._heartbeat.hear()


def say_comparison(session: VersusSession, console: Console) -> None:
    """Print what is compared, on what, and where it goes."""
    config, data, side = session.config, session.images.data, session.contestants[0].resolution
    say(console, f"Network: {session.contestants[0].about}. Budget for all: {session.budget}.")
    members = [one for one in session.contestants if one.is_random]
    for one in session.contestants:
        cost = one.network.cost({})
        if one not in members:
            say(console, f"  {one.name}: {one.about}; {cost.macs:,} MACs, {cost.params:,} parameters")
    if members:
        say(console, f"  random: {pluralise(len(members), 'member')} of the space, drawn evenly")
    say(
        console,
        f"Data {data.name}: {data.num_classes} classes, {len(data.train_labels):,} images to train on; "
        f"compared on {session.images.title}, at {side} x {side}.",
    )
    for note in data.notes:
        say(console, note)
    recipe = config.recipe
    say(
        console,
        f"Trainings: {len(session.jobs)} of {pluralise(recipe.epochs, 'epoch')}, {config.seeds} seeds, batch "
        f"{recipe.batch_size:,}, {recipe.optimizer} at {recipe.peak_lr:g}, on {session.device}. "
        f"Folder: {session.folder.path}",
    )
    count = len(session.contestants) - 1 - len(members) + bool(members)
    for note in list_doubts_before(count, config.seeds, session.manifest.before):
        say(console, note)


def print_verdict(result: VersusResult, console: Console) -> None:
    """Print the table of a comparison, and what may be claimed."""
    verdict = result.verdict
    show(render_verdict(verdict), console)
    say(console, f"Differences are of the network less each, with their 95 % interval; {verdict.test}.")
    for note in verdict.notes:
        say(console, note)
    if verdict.equal_cost:
        say(console, describe_equal_cost(verdict.equal_cost))
    say(console, verdict.claim)
    say(console, f"Written: {', '.join(map(str, result.files))}")


def render_verdict(verdict: Verdict) -> Table:
    """Return a row for each network: scores, costs, and how far the network is ahead of it."""
    view = make_table(*list_heads(verdict))
    for cells in format_cells(verdict):
        view.add_row(*cells)
    return view


def list_heads(verdict: Verdict) -> list[str]:
    """Return the heads of the table; those of figures start with `>`."""
    costs = [f">{name_measure(name)}" for name in verdict.own.amounts]
    return ["network", ">mean", ">deviation", ">difference", ">95 % interval", ">p", *costs]


def format_cells(verdict: Verdict) -> list[list[str]]:
    """Return the table as text: name, mean, deviation, difference, interval, corrected p and costs."""
    return [
        [
            name_standing(verdict, one), _format_figure(one.mean), _format_figure(one.deviation),
            *_format_difference(one),
            *(_format_amount(name, ends) for name, ends in one.amounts.items()),
        ]
        for one in verdict.standings
    ]  # fmt: skip


def describe_equal_cost(found: EqualCost) -> str:
    """Return in a sentence what random search reaches at the cost of the search."""
    return (
        f"After {format_duration(found.seconds)} of trainings the search had a best score of "
        f"{found.search:.4f}, "
        f"and random search is expected to have {found.random:.4f}, by the trials of {found.run}."
    )


def name_standing(verdict: Verdict, one: VersusStanding) -> str:
    """Return what a row is called."""
    if one is verdict.own:
        return verdict.network
    return one.name if one.networks == 1 else f"{one.name} ({one.networks} networks)"


def _format_figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"


def _format_difference(one: VersusStanding) -> Sequence[str]:
    found = one.difference
    if found is None:
        return ("", "", "")
    interval = "{:+.4f} to {:+.4f}".format(*found.interval) if found.interval else "-"
    return (f"{found.mean:+.4f}", interval, f"{found.corrected:.3g}")


def _format_amount(name: str, ends: tuple[int, int]) -> str:
    measure, (least, most) = find_measure(name), ends
    return measure.show(least) if least == most else f"{measure.format(least)} to {measure.format(most)}"
