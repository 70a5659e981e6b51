"""A search of coefficients on a terminal: how it starts, its table, and what may be said of it."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from nas.measures import MEASURES
from nas.report.console import format_duration, open_terminal, pluralise, say, show
from nas.report.documents import document_scaled, print_document
from nas.report.run_documents import document_coefficients
from nas.report.scaled import print_scaled
from nas.report.search_screen import TrialScreen
from nas.report.tables import make_table
from nas.workflows.coefficients import CoefficientsObserver, CoefficientsResult
from nas.workflows.coefficients.gathering import CoefficientsSession
from nas.workflows.coefficients.ranking import CoefficientsStanding, Ranking
from nas.workflows.scaling import ScaledFile


class CoefficientsScreen(TrialScreen, CoefficientsObserver):
    """Shows a search of coefficients while it runs."""

    def gathered(self, session: CoefficientsSession) -> None:
        self._lines.show()
        say_search(session, self._console)
        self._heartbeat.hear()


def say_search(session: CoefficientsSession, console: Console) -> None:
    """Print what is trained, on what, where it goes, and about how long it takes."""
    config, data, (own, *doubled) = session.config, session.data, session.entries
    cost = own.network.cost({})
    say(
        console,
        f"Network: {session.subject.origin}; {cost.macs:,} MACs, {cost.params:,} parameters. "
        f"{pluralise(len(doubled), 'way')} to double its MACs, as they are counted.",
    )
    sides = [one.side for one in doubled]
    say(
        console,
        f"Data {data.name}: {data.num_classes} classes, {len(data.train_labels):,} images to train on, "
        f"{len(data.val_labels):,} to validate on; at {own.side} x {own.side}, those of larger networks at "
        f"up to {max(sides)} x {max(sides)}.",
    )
    for note in (*data.notes, *session.notes):
        say(console, note)
    recipe = config.recipe
    say(
        console,
        f"Trainings: {len(session.jobs)} of {pluralise(recipe.epochs, 'epoch')}, {config.seeds} seeds, batch "
        f"{recipe.batch_size:,}, {recipe.optimizer} at {recipe.peak_lr:g}, on {session.device}. "
        f"Folder: {session.folder.path}",
    )
    if seconds := session.seconds:
        say(
            console,
            f"That is about {format_duration(seconds)} of trainings, by the time that the run's own took.",
        )


def give_found(form: str, found: CoefficientsResult, files: Sequence[ScaledFile]) -> None:
    """Print what a search of coefficients found, and the files that were scaled by it, as text or one JSON
    document."""
    if form == "json":
        print_document({**document_coefficients(found), **(document_scaled(files) if files else {})})
        return
    print_coefficients(found, open_terminal())
    if files:
        print_scaled(files)


def print_coefficients(result: CoefficientsResult, console: Console) -> None:
    """Print the table of a search of coefficients, and what may be said."""
    if result.ranking is None:
        say(console, f"The time limit is over before two seeds are. Go on with: {result.resume_command}")
        return
    show(render_ranking(result.ranking), console)
    say(
        console,
        "Differences are to the best, with 95 % intervals and p by Tukey's test in blocks of seeds, which "
        "hold for all of them at once.",
    )
    for note in result.ranking.notes:
        say(console, note)
    say(console, result.ranking.claim)
    say(console, f"Written: {', '.join(map(str, result.files))}")


def render_ranking(ranking: Ranking) -> Table:
    """Return a row for each network: factors, scores, how far behind the best, and every measure."""
    measures = list(MEASURES.values())
    heads = [">depth", ">width", ">resolution", ">mean", ">behind", ">95 % interval", ">p", ">images"]
    view = make_table(*heads, *(f">{measure.label}" for measure in measures))
    for one in (*ranking.standings, ranking.own):
        view.add_row(
            *_format_factors(one), "-" if one.mean is None else f"{one.mean:.4f}",
            *_format_behind(one, ranking),
            f"{one.side} px",
            *(measure.format(one.amounts[measure.name]) for measure in measures),
        )  # fmt: skip
    return view


def _format_factors(one: CoefficientsStanding) -> list[str]:
    own = one.coefficients
    if own is None:
        return ["1", "1", "1"]
    return [f"{factor:.4g}" for factor in (own.depth, own.width, own.resolution)]


def _format_behind(one: CoefficientsStanding, ranking: Ranking) -> list[str]:
    found = one.behind
    if found is None or one is ranking.standings[0]:
        return ["", "", ""]
    return [f"{found.mean:.4f}", f"{found.low:+.4f} to {found.high:+.4f}", f"{found.p:.3g}"]
