"""How long networks take, for a person, and as a table for machines."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.text import Text

from nas.cost import format_count
from nas.errors import make_printable
from nas.measures import MACS
from nas.report.console import format_figure
from nas.report.tables import FirstFit, make_table

if TYPE_CHECKING:
    from nas.latency import Latency
    from nas.workflows.profile import Profile


def render_profile(profile: Profile) -> RenderableType:
    """Return latencies, stages, what is slow, and whether the machine was quiet."""
    tables = (_tabulate_latencies(profile, columns) for columns in (HEADS, _NARROW))
    parts: list[RenderableType] = [make_line(describe_profile(profile)), FirstFit(*tables)]
    for one in profile.latencies:
        parts += [make_line(_describe_stages(one)), _tabulate_stages(one)] if one.stages else []
    if silent := dict.fromkeys(one.runtime for one in profile.latencies if not one.stages):
        parts.append(make_line(f"No time by stage in {', '.join(silent)}, where none is told."))
    parts += [make_line(f"Known to be slow: {text}.") for text in profile.warnings]
    parts += [make_line(text) for text in list_profile_doubts(profile)]
    return Group(*parts)


def describe_profile(profile: Profile) -> str:
    """Return in a line where, by what and how often it was measured."""
    first = profile.latencies[0]
    versions = ", ".join(f"{name} {version}" for name, version in profile.versions.items())
    threads = "1 thread" if first.threads == 1 else f"{first.threads} threads"
    return f"{profile.machine}, {threads}; {versions}; {profile.rounds} rounds, seed {profile.seed}"


HEADS = (
    "network", "runtime", ">batch", ">MACs", ">10 % ms", ">differs", ">median", ">95 %", ">99 %", ">images/s",
    ">memory",
)  # fmt: skip
"""Of a table of latencies; those of figures start with `>`."""
_NARROW = tuple(column for column in HEADS if column not in (">MACs", ">memory"))


def _tabulate_latencies(profile: Profile, columns: Sequence[str]) -> RenderableType:
    rows = make_table(*columns)
    rows.padding = (0, 1, 0, 0)
    rows.columns[0].no_wrap, rows.columns[0].overflow = columns is HEADS, "fold"
    for one in profile.latencies:
        shown = dict(zip(HEADS, format_latency_cells(one), strict=True))
        rows.add_row(*(shown[column] for column in columns))
    return rows


def format_latency_cells(one: Latency) -> list[str]:
    """Return what a row has under `HEADS`."""
    memory = "" if one.memory_bytes is None else f"{format_count(one.memory_bytes)}B"
    return [
        one.network, one.runtime, str(one.batch), format_count(one.macs), format_ms(one.low_s),
        f"{100 * one.differs:.1f} %", format_ms(one.median_s), format_ms(one.p95_s), format_ms(one.p99_s),
        format_figure(one.images_per_s), memory,
    ]  # fmt: skip


def list_profile_doubts(profile: Profile) -> list[str]:
    """Say what the figures are worth where the machine was not quiet."""
    busy = [one for one in profile.latencies if one.contention]
    if not busy:
        return []
    worst = max(busy, key=lambda one: max(one.waited or 0.0, abs(one.drift)))
    return [
        f"The machine was not quiet, for {len(busy)} of {len(profile.latencies)}; the worst is "
        f"{_format_title(worst)}: {worst.contention}. The 10 % figures are good as far as they differ little "
        "between rounds, the others are not; profile again when the machine is quiet, or with more --rounds."
    ]


def _describe_stages(one: Latency) -> str:
    whole, total = one.low_s, sum(stage.low_s for stage in one.stages)
    return (
        f"{_format_title(one)}: stages sum up to {format_ms(total)} ms, {_format_share(total, whole)} of the "
        f"{format_ms(whole)} ms of the whole"
    )


def _tabulate_stages(one: Latency) -> RenderableType:
    rows = make_table("stage", ">MACs", ">of all", ">10 % ms", ">of all")
    rows.padding = (0, 1, 0, 0)
    macs, seconds = sum(s.macs for s in one.stages), sum(s.low_s for s in one.stages)
    for stage in one.stages:
        rows.add_row(
            stage.name or "(of no stage)", format_count(stage.macs), _format_share(stage.macs, macs),
            format_ms(stage.low_s), _format_share(stage.low_s, seconds),
        )  # fmt: skip
    return rows


def _format_title(one: Latency) -> str:
    return f"{one.network} in {one.runtime}, {one.batch} at a time"


def _format_share(part: float, whole: float) -> str:
    return f"{100 * part / whole:.1f} %" if whole else ""


def format_ms(seconds: float | None) -> str:
    """Return milliseconds with three digits."""
    if seconds is None:
        return ""
    ms = 1e3 * seconds
    return f"{ms:.{max(0, 2 - (len(str(int(ms))) - 1))}f}" if ms >= 1 else f"{ms:.3g}"


def make_line(text: str) -> Text:
    return Text(make_printable(text))


COLUMNS = (
    "network", "runtime", "batch", "threads", "device", MACS.name, "runs", "min_s", "low_s", "median_s",
    "p95_s", "p99_s", "images_per_s", "memory_bytes", "differs", "drift", "waited", "contention",
)  # fmt: skip


def dump_profile(profile: Profile) -> str:
    """Return the latencies as CSV, a row each."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for one in profile.latencies:
        data = one.to_data()
        writer.writerow(["" if data[key] is None else data[key] for key in COLUMNS])
    return text.getvalue()
