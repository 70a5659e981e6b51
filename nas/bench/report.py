"""What a contest leaves: tables on the terminal; figures, curves and a plot in a folder."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import optuna
from rich.progress import track
from rich.table import Table as View

from nas import __version__
from nas.bench.contest import BASELINE, Contest, Outcome
from nas.bench.plot import plot
from nas.bench.score_table import Table
from nas.bench.standings import Estimate, Naming, Standing, list_marks
from nas.cost import format_large
from nas.errors import make_printable
from nas.files import write_output
from nas.report.console import open_terminal, pluralise, show
from nas.report.heartbeat import Heartbeat
from nas.report.tables import describe_budget, make_table
from nas.study.records import RejectionReason

TEST = "Wilcoxon signed-rank test, two-sided"
INTERVAL = "95 % interval of the mean, Student's t over repeats"


def show_progress(outcomes: Iterable[Outcome], contest: Contest) -> list[Outcome]:
    """Collect all outcomes, with a progress bar on a terminal, and a line now and then in a log."""
    console = open_terminal(stderr=True)
    total, ended = contest.repeats * len(contest.samplers), list[Outcome]()
    heartbeat = Heartbeat(console, lambda: f"Searching: {len(ended):,} of {total:,} searches ended")
    heartbeat.start()
    bar = track(
        outcomes, "Searching", total, console=console, disable=not console.is_terminal, transient=True
    )
    try:
        ended.extend(bar)
    finally:
        heartbeat.stop()
    return ended


def print_contest(contest: Contest, result: Sequence[Standing]) -> None:
    """Print the figures as tables, with what they are figures of."""
    for line in (describe_table(contest.table), describe_contest(contest)):
        print(make_printable(line))
    print(f"\nBest true score after so many trials, ± half of the {INTERVAL}:")
    show(_tabulate_scores(result, list_marks(contest.trials)))
    if len(result) > 1:
        print(f"Difference to {BASELINE} in pairs of repeats, and p of the {TEST}:")
        show(_tabulate_differences(result, list_marks(contest.trials)))
    if any(one.naming for one in result):
        print(
            "Regret of the network named in the end, by its score, and by what all scores say where their "
            "leave-one-out error is below the noise of one:"
        )
        show(_tabulate_namings(result))
    print("Time of an ask, and proposals of a search that never became trials, on average:")
    show(_tabulate_work(result))


def write_contest(
    folder: Path, contest: Contest, outcomes: Sequence[Outcome], result: Sequence[Standing]
) -> list[Path]:
    """Write bench.json (figures), curves.csv (every search) and bench.svg (a plot). Returns the files.

    Raises NasError where they cannot be written.
    """
    files = {
        folder / "bench.json": json.dumps(dump_figures(contest, result), indent=1, allow_nan=False) + "\n",
        folder / "curves.csv": format_curves(outcomes),
        folder / "bench.svg": plot(_make_title(contest), _make_subtitle(contest), result),
    }
    for path, text in files.items():
        write_output(path, text)
    return list(files)


def describe_table(found: Table) -> str:
    """Describe what was read, and what is odd about it."""
    parts = [
        f"Table {found.file}: {pluralise(found.rows, 'row')}, "
        f"{pluralise(len(found.entries), 'distinct network')} of '{found.space.name}'."
    ]
    if found.conflicts:
        repeat = "row repeats" if found.conflicts == 1 else "rows repeat"
        parts.append(f"{found.conflicts:,} {repeat} a network with other scores; the mean counts.")
    if found.missing:
        parts.append(
            f"It lacks the networks of {format_large(found.missing)} of the space's "
            f"{format_large(found.space.count)} points; a search that asks for one is told that it "
            "cannot be built."
        )
    if found.missing is None:
        parts.append(
            f"The space has {format_large(found.space.count)} points; a search that asks for a network "
            "without a row is told that it cannot be built."
        )
    return " ".join(parts)


def describe_contest(contest: Contest) -> str:
    """Describe what was run."""
    told = "one of a network's scores at random" if contest.noisy else "the mean of a network's scores"
    if contest.noise:
        told += f", with noise of {contest.noise:g} added"
    return (
        f"{pluralise(contest.repeats, 'repeat')} of {pluralise(contest.trials, 'trial')}, "
        f"{describe_budget(contest.budget)}, seeds from {contest.seed}; a search is told {told}."
    )


def dump_figures(contest: Contest, result: Sequence[Standing]) -> dict[str, Any]:
    """Return the figures as plain values for JSON, NaN as null."""
    found = contest.table
    return {
        "space": found.space.name,
        "table": {
            "file": found.file,
            "rows": found.rows,
            "networks": len(found.entries),
            "inside_budget": found.count_inside(contest.budget),
            "conflicts": found.conflicts,
            "missing": found.missing,
        },
        "budget": str(contest.budget),
        "trials": contest.trials,
        "repeats": contest.repeats,
        "seed": contest.seed,
        "score": "random" if contest.noisy else "mean",
        "noise": contest.noise,
        "interval": INTERVAL,
        "test": TEST,
        "versions": {"nas": __version__, "optuna": optuna.__version__},
        "samplers": {one.sampler: _dump_standing(one, list_marks(contest.trials)) for one in result},
    }


def format_curves(outcomes: Sequence[Outcome]) -> str:
    """Return every search as CSV: a row a trial, with the best true score so far and the ask's seconds."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["sampler", "repeat", "trials", "best_true_score", "ask_s"])
    for one in sorted(outcomes, key=lambda o: (o.sampler, o.repeat)):
        for i, best in enumerate(one.best):
            seconds = f"{one.asked_s[i]:.6f}" if i < len(one.asked_s) else ""
            writer.writerow([one.sampler, one.repeat, i + 1, best, seconds])
    return text.getvalue()


def _make_title(contest: Contest) -> str:
    return f"{contest.table.space.name}: best true score, {describe_budget(contest.budget)}"


def _make_subtitle(contest: Contest) -> str:
    signal = "one score at random" if contest.noisy else "the mean score"
    repeats = pluralise(contest.repeats, "repeat")
    return f"Mean of {repeats} with its 95 % interval; searches are told {signal} of a network."


def _dump_standing(one: Standing, at: Sequence[int]) -> dict[str, Any]:
    return {
        "best": {n: _replace_nan(asdict(one.curve[n - 1])) for n in at},
        f"difference_to_{BASELINE}": {
            n: _replace_nan({**asdict(d.estimate), "p": d.p}) for n, d in one.differences.items()
        },
        "ask_ms": {"median": 1000 * one.ask_median_s, "p95": 1000 * one.ask_p95_s},
        "rejected": dict(one.rejected),
        "naming": one.naming and _dump_naming(one.naming),
    }


def _dump_naming(found: Naming) -> dict[str, Any]:
    return {
        "regret_by_score": _replace_nan(asdict(found.by_score)),
        "regret_by_all": _replace_nan(asdict(found.by_all)),
        "difference": _replace_nan({**asdict(found.difference.estimate), "p": found.difference.p}),
        "used": found.used,
    }


def _replace_nan(figures: Mapping[str, float]) -> dict[str, float | None]:
    return {key: value if math.isfinite(value) else None for key, value in figures.items()}


def _tabulate_scores(result: Sequence[Standing], at: Sequence[int]) -> View:
    view = make_table("sampler", *(f">{n:,}" for n in at))
    for one in result:
        view.add_row(
            one.sampler, *(_format_error(one.curve[n - 1], f"{one.curve[n - 1].mean:.5g}") for n in at)
        )
    return view


def _tabulate_differences(result: Sequence[Standing], at: Sequence[int]) -> View:
    view = make_table("sampler", *(f">{n:,}" for n in at))
    for one in (one for one in result if one.differences):
        found = [one.differences[n] for n in at]
        cells = [f"{_format_error(d.estimate, f'{d.estimate.mean:+.3g}')}, p {d.p:.1g}" for d in found]
        view.add_row(one.sampler, *cells)
    return view


def _format_error(estimate: Estimate, mean: str) -> str:
    return mean if math.isnan(estimate.low) else f"{mean} ± {estimate.high - estimate.mean:.2g}"


def _tabulate_namings(result: Sequence[Standing]) -> View:
    view = make_table("sampler", ">by its score", ">by all", ">difference", ">p", ">used in")
    for one in result:
        if (found := one.naming) is None:
            continue
        regrets = [_format_error(regret, f"{regret.mean:.3g}") for regret in (found.by_score, found.by_all)]
        difference = _format_error(found.difference.estimate, f"{found.difference.estimate.mean:+.3g}")
        view.add_row(one.sampler, *regrets, difference, f"{found.difference.p:.1g}", f"{found.used:.0%}")
    return view


def _tabulate_work(result: Sequence[Standing]) -> View:
    view = make_table("sampler", ">median", ">95 %", ">over budget", ">duplicate", ">without a row")
    for one in result:
        times = [f"{1000 * seconds:.2f} ms" for seconds in (one.ask_median_s, one.ask_p95_s)]
        rejected = [f"{one.rejected[reason]:,.1f}" for reason in RejectionReason]
        view.add_row(one.sampler, *times, *rejected)
    return view
