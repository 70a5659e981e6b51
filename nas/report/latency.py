"""How long networks take, for a person, and as a table for machines."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.text import Text

from nas.cost import format_count
from nas.errors import printable
from nas.report.tables import table

if TYPE_CHECKING:
    from nas.latency import Latency
    from nas.workflows.profile import Profile


def profile_view(profile: Profile) -> RenderableType:
    """Latencies, stages, what is slow, and whether the machine was quiet."""
    first = profile.latencies[0]
    versions = ", ".join(f"{name} {version}" for name, version in profile.versions.items())
    threads = "1 thread" if first.threads == 1 else f"{first.threads} threads"
    head = f"{profile.machine}, {threads}; {versions}; {profile.rounds} rounds, seed {profile.seed}"
    rows = table(
        "network", "runtime", ">batch", ">MACs", ">10 % ms", ">differs", ">median", ">95 %", ">99 %",
        ">images/s", ">memory",
    )  # fmt: skip
    rows.padding = (0, 1, 0, 0)
    for one in profile.latencies:
        memory = "" if one.memory_bytes is None else f"{format_count(one.memory_bytes)}B"
        rows.add_row(
            one.network, one.runtime, str(one.batch), format_count(one.macs), _ms(one.low_s),
            f"{100 * one.differs:.1f} %", _ms(one.median_s), _ms(one.p95_s), _ms(one.p99_s),
            f"{one.images_per_s:,.4g}", memory,
        )  # fmt: skip
    parts: list[RenderableType] = [_line(head), rows]
    parts += [_stage_table(one) for one in profile.latencies if one.stages]
    parts += [_line(f"Known to be slow: {text}.") for text in profile.warnings]
    parts += [_line(text) for text in _trust(profile)]
    return Group(*parts)


def _trust(profile: Profile) -> list[str]:
    """Say what the figures are worth where others used the machine."""
    busy = [one for one in profile.latencies if one.contention]
    if not busy:
        return []
    worst = max(busy, key=lambda one: max(one.waited or 0.0, abs(one.drift)))
    return [
        f"Others used the machine while {len(busy)} of {len(profile.latencies)} were measured; the worst is "
        f"{_title(worst)}: {worst.contention}. The 10 % figures are good as far as they differ little "
        "between rounds, the others are not; profile again when the machine is quiet, or with more --rounds."
    ]


def _stage_table(one: Latency) -> RenderableType:
    rows = table("stage", ">MACs", ">of all", ">10 % ms", ">of all", title=printable(_title(one)))
    rows.padding = (0, 1, 0, 0)
    macs, seconds = sum(s.macs for s in one.stages), sum(s.low_s for s in one.stages)
    for stage in one.stages:
        rows.add_row(
            stage.name, format_count(stage.macs), _share(stage.macs, macs), _ms(stage.low_s),
            _share(stage.low_s, seconds),
        )  # fmt: skip
    return rows


def _title(one: Latency) -> str:
    return f"{one.network} in {one.runtime}, {one.batch} at a time"


def _share(part: float, whole: float) -> str:
    return f"{100 * part / whole:.1f} %" if whole else ""


def _ms(seconds: float | None) -> str:
    """Return milliseconds with three digits."""
    if seconds is None:
        return ""
    ms = 1e3 * seconds
    return f"{ms:.{max(0, 2 - (len(str(int(ms))) - 1))}f}" if ms >= 1 else f"{ms:.3g}"


def _line(text: str) -> Text:
    return Text(printable(text))


COLUMNS = (
    "network", "runtime", "batch", "threads", "device", "macs", "runs", "min_s", "low_s", "median_s", "p95_s",
    "p99_s", "images_per_s", "memory_bytes", "differs", "drift", "waited", "contention",
)  # fmt: skip


def profile_table(profile: Profile) -> str:
    """Return the latencies as CSV, a row each."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for one in profile.latencies:
        data = one.to_data()
        writer.writerow(["" if data[key] is None else data[key] for key in COLUMNS])
    return text.getvalue()
