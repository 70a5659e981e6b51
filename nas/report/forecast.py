"""A forecast as a person reads it."""

from __future__ import annotations

from nas.cost import format_large
from nas.deadline import dump_duration
from nas.measures import SHOWN
from nas.report.console import format_duration, format_lap, open_terminal, pluralise, say, show
from nas.report.search_lines import say_start
from nas.report.tables import describe_budget, make_table
from nas.workflows.forecast import Forecast
from nas.workflows.prepared import Prepared


def print_forecast(prepared: Prepared, found: Forecast) -> None:
    """Print what there is to search, what was measured, and what the search will take."""
    console, config = open_terminal(), prepared.config
    say_start(prepared, console)
    inside, count = found.networks, format_large((found.networks.low + found.networks.high) // 2)
    about = "" if inside.is_exact else "about "
    say(console, f"Inside {describe_budget(config.budget)}: {about}{count} networks.")
    rows = make_table("of samples", *(f">{m.label}" for m in SHOWN), ">seconds per epoch", ">peak memory")
    for one in found.members:
        memory = f"{one.peak_bytes / 2**30:.2f} GiB"
        costs = (f"{measure.of(one.cost):,}" for measure in SHOWN)
        rows.add_row(one.name, *costs, f"{one.epoch_s:.2f}", memory)
    show(rows, console)
    memory = "of the GPU" if found.on_gpu else "of a process, with torch and the data"
    say(console, f"Memory is that {memory}, at its highest up to that network.")
    say(
        console,
        f"{pluralise(config.trials, 'trial')} of {pluralise(config.recipe.epochs, 'epoch')}: "
        f"{format_lap(found.trial_s)} each, {found.slots} at a time.",
    )
    if config.repeats:
        say(console, f"Then {pluralise(config.repeats, 'network')} of these again, under another seed.")
    if config.finals.count:
        say(
            console,
            f"Then {pluralise(config.finals.count, 'finalist')}, {pluralise(config.finals.epochs, 'epoch')} "
            f"under {pluralise(config.finals.seeds, 'seed')}.",
        )
    kind = "GPU" if found.on_gpu else "CPU"
    say(console, f"Forecast: {format_duration(found.wall_s)}, {found.device_s / 3600:.2f} {kind} hours.")
    if config.time_limit is not None and config.time_limit < found.wall_s:
        say(console, f"That is longer than the time limit of {dump_duration(config.time_limit)}.")
