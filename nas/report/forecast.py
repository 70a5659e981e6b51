"""A forecast as a person reads it."""

from __future__ import annotations

from nas.deadline import duration_text
from nas.report.progress import duration
from nas.report.session import say, say_start, terminal
from nas.report.tables import budget_text, large_number, plural, show, table
from nas.workflows.forecast import Forecast
from nas.workflows.search import Prepared


def print_forecast(prepared: Prepared, found: Forecast) -> None:
    """What there is to search, what was measured, and what the search will take."""
    console, settings = terminal(), prepared.settings
    say_start(prepared, console)
    inside, count = found.networks, large_number((found.networks.low + found.networks.high) // 2)
    about = "" if inside.is_exact else "about "
    say(console, f"Inside {budget_text(settings.budget)}: {about}{count} networks.")
    rows = table("of draws", ">MACs", ">params", ">seconds per epoch", ">peak memory")
    for one in found.members:
        memory = f"{one.peak_bytes / 2**30:.2f} GiB"
        rows.add_row(one.name, f"{one.cost.macs:,}", f"{one.cost.params:,}", f"{one.epoch_s:.2f}", memory)
    show(rows, console)
    memory = "of the GPU" if found.on_gpu else "of a process, with torch and the data"
    say(console, f"Memory is that {memory}, at its highest up to that network.")
    say(
        console,
        f"{plural(settings.trials, 'trial')} of {plural(settings.recipe.epochs, 'epoch')}: "
        f"{duration(found.trial_s)} each, {found.slots} at a time.",
    )
    finals = settings.finals
    if finals.count:
        say(
            console,
            f"Then {plural(finals.count, 'finalist')}, {plural(finals.epochs, 'epoch')} under "
            f"{plural(finals.seeds, 'seed')}.",
        )
    kind = "GPU" if found.on_gpu else "CPU"
    say(console, f"Forecast: {duration(found.wall_s)}, {found.device_s / 3600:.2f} {kind} hours.")
    if settings.time_limit is not None and settings.time_limit < found.wall_s:
        say(console, f"That is longer than the time limit of {duration_text(settings.time_limit)}.")
