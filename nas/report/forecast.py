"""A forecast as a person reads it."""

from __future__ import annotations

from nas.cost import large_number
from nas.deadline import duration_text
from nas.measures import SHOWN
from nas.report.console import duration, plural, say, show, terminal
from nas.report.session import say_start
from nas.report.tables import budget_text, table
from nas.workflows.forecast import Forecast
from nas.workflows.prepared import Prepared


def print_forecast(prepared: Prepared, found: Forecast) -> None:
    """What there is to search, what was measured, and what the search will take."""
    console, config = terminal(), prepared.config
    say_start(prepared, console)
    inside, count = found.networks, large_number((found.networks.low + found.networks.high) // 2)
    about = "" if inside.is_exact else "about "
    say(console, f"Inside {budget_text(config.budget)}: {about}{count} networks.")
    rows = table("of draws", *(f">{m.label}" for m in SHOWN), ">seconds per epoch", ">peak memory")
    for one in found.members:
        memory = f"{one.peak_bytes / 2**30:.2f} GiB"
        costs = (f"{measure.of(one.cost):,}" for measure in SHOWN)
        rows.add_row(one.name, *costs, f"{one.epoch_s:.2f}", memory)
    show(rows, console)
    memory = "of the GPU" if found.on_gpu else "of a process, with torch and the data"
    say(console, f"Memory is that {memory}, at its highest up to that network.")
    say(
        console,
        f"{plural(config.trials, 'trial')} of {plural(config.recipe.epochs, 'epoch')}: "
        f"{duration(found.trial_s)} each, {found.slots} at a time.",
    )
    if config.finals.count:
        say(
            console,
            f"Then {plural(config.finals.count, 'finalist')}, {plural(config.finals.epochs, 'epoch')} under "
            f"{plural(config.finals.seeds, 'seed')}.",
        )
    kind = "GPU" if found.on_gpu else "CPU"
    say(console, f"Forecast: {duration(found.wall_s)}, {found.device_s / 3600:.2f} {kind} hours.")
    if config.time_limit is not None and config.time_limit < found.wall_s:
        say(console, f"That is longer than the time limit of {duration_text(config.time_limit)}.")
