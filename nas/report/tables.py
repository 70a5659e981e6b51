"""Tables for the terminal: a space, a network stage by stage, the best trials of a search."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING

from rich import box
from rich.console import Console, Group, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from nas.cost import Budget, Cost, format_count
from nas.graph.architecture import INPUT
from nas.ops.base import size_text

if TYPE_CHECKING:
    from nas.graph import Architecture
    from nas.records import Counts, Record
    from nas.results import ScaledFile
    from nas.space import Space


def table(*columns: str, title: str | None = None) -> Table:
    """An empty table; columns whose name starts with `>` are right-aligned."""
    result = Table(box=box.SIMPLE_HEAD, title=title, title_justify="left", pad_edge=False)
    for column in columns:
        right = column.startswith(">")
        result.add_column(
            escape(column.removeprefix(">")), justify="right" if right else "left", no_wrap=right
        )
    return result


def space_view(space: Space) -> RenderableType:
    """Size, extremes of cost and choices of a space."""
    extent = space.extent
    head = Text(f"{space.name}: {large_number(extent.count)} networks")
    if space.about:
        head.append(f"\n{space.about}")
    costs = table("", ">MACs", ">params")
    costs.add_row("smallest", f"{extent.smallest_cost.macs:,}", f"{extent.smallest_cost.params:,}")
    costs.add_row("largest", f"{extent.largest_cost.macs:,}", f"{extent.largest_cost.params:,}")
    if (extent.fewest_params, extent.most_params) != (
        extent.smallest_cost.params,
        extent.largest_cost.params,
    ):
        costs.add_row("fewest params", "", f"{extent.fewest_params:,}")
        costs.add_row("most params", "", f"{extent.most_params:,}")
    choices = table("choice", "decided", "options")
    for choice in space.declared.values():
        options = ", ".join(
            "true" if o is True else "false" if o is False else str(o) for o in choice.options
        )
        choices.add_row(Text(choice.name), "in each layer" if choice.stage else "once", Text(options))
    parts: list[RenderableType] = [head, costs, choices]
    if extent.obstacles:
        parts.append(Text(f"Some combinations cannot be built and are left out: {extent.obstacles[0]}"))
    return Group(*parts)


def architecture_view(space: Space) -> RenderableType:
    """A network stage by stage: output shape, MACs, parameters."""
    architecture = space.architecture()
    rows = table("part", "output", ">MACs", ">params", ">%", title=None)
    total = architecture.cost
    rows.add_row("input", size_text(architecture.input_shape), "", "", "")
    for name, shape, cost in stage_costs(architecture, _nested(space)):
        share = f"{100 * cost.macs / total.macs:.1f}" if total.macs else ""
        rows.add_row(Text(name), size_text(shape), f"{cost.macs:,}", f"{cost.params:,}", share)
    rows.add_section()
    rows.add_row("total", "", f"{total.macs:,}", f"{total.params:,}", "")
    head = Text(
        f"{space.name}: one network, {format_count(total.macs)} MACs, {format_count(total.params)} params"
    )
    if space.about:
        head.append(f"\n{space.about}")
    return Group(head, rows)


def stage_costs(architecture: Architecture, nested: set[str]) -> Iterable[tuple[str, tuple[int, ...], Cost]]:
    """Name, output shape and cost of each part: the layers of stages, and what stands between stages."""
    parts: dict[str, tuple[tuple[int, ...], Cost]] = {}
    for node in architecture.nodes:
        if node.name == INPUT:
            continue
        first, _, rest = node.name.partition(".")
        part = f"{first}.{rest.split('.')[0]}" if first in nested and rest else first
        _, cost = parts.get(part, ((), Cost()))
        parts[part] = (node.shape, cost + architecture.node_cost(node))
    return [(name, shape, cost) for name, (shape, cost) in parts.items()]


def scaled_view(files: Sequence[ScaledFile]) -> Table:
    """What was scaled: the factors, and what a network costs; a space with choices has its extremes."""
    rows = table("file", ">depth", ">width", ">resolution", ">input", ">MACs", ">params", ">activations")
    for one in files:
        factors = [f"{f:.3f}" for f in (one.scale.depth, one.scale.width, one.scale.resolution)]
        extent = one.space.extent
        least, most = extent.smallest_cost, extent.largest_cost
        pairs = (
            (least.macs, most.macs), (least.params, most.params), (least.activations, most.activations)
        )  # fmt: skip
        figures = [f"{low:,}" if low == high else f"{low:,} to {high:,}" for low, high in pairs]
        sizes = one.space.input_sizes
        size = str(sizes[0]) if len(sizes) == 1 else f"{sizes[0]} to {sizes[-1]}"
        rows.add_row(Text(str(one.path)), *factors, size, *figures)
    return rows


def best_view(best: Sequence[Record]) -> Table:
    """The best trials of a search."""
    rows = table(">rank", ">score", ">MACs", ">params", ">trial")
    for rank, record in enumerate(best, 1):
        c = record.candidate
        score = "" if record.score is None else f"{record.score:.4f}"
        rows.add_row(str(rank), score, f"{c.cost.macs:,}", f"{c.cost.params:,}", str(c.number))
    return rows


def counts_line(counts: Counts, budget: Budget) -> str:
    """What became of the trials and of the proposals that never became one."""
    trials = {
        "finished": counts.complete,
        "stopped early": counts.pruned,
        "failed": counts.failed,
        "interrupted": counts.running,
    }
    rejected = {
        "outside the budget": counts.over_budget,
        "already tried": counts.duplicate,
        "not buildable": counts.unbuildable,
    }
    parts = [f"{plural(sum(trials.values()), 'trial')}: {_listed(trials)}."]
    if budget != Budget():
        parts.append(f"Budget: {budget}.")
    if left_out := _listed(rejected):
        parts.append(f"Proposals left out before training: {left_out}.")
    return " ".join(parts)


def budget_text(budget: Budget) -> str:
    """`budget MACs <= 400,000,000`, or `no budget`."""
    return f"budget {budget}" if budget != Budget() else str(budget)


def plural(count: int, noun: str) -> str:
    """`1 trial`, `2 trials`."""
    return f"{count:,} {noun}" + ("" if count == 1 else "s")


def networks(space: Space) -> str:
    """`1 network`, `7.76 x 10^25 networks`."""
    count = space.extent.count
    return f"{large_number(count)} network" + ("" if count == 1 else "s")


def large_number(value: int) -> str:
    """`6,561`, and `7.76 x 10^25` from a million million on."""
    if value < 10**12:
        return f"{value:,}"
    mantissa, exponent = f"{Decimal(value):.2e}".split("e+")
    return f"{mantissa} x 10^{exponent}"


def show(view: RenderableType, console: Console | None = None) -> None:
    """Print a view to the terminal; a pipe gets the same text without colour, as wide as it needs."""
    console = console or Console()
    if not console.is_terminal:
        console = Console(width=200, no_color=True, file=console.file)
    console.print(view)


def _listed(amounts: Mapping[str, int]) -> str:
    return ", ".join(f"{amount:,} {name}" for name, amount in amounts.items() if amount)


def _nested(space: Space) -> set[str]:
    """Names of the stages and stacks: parts that are shown layer by layer, cell by cell."""
    from nas.space.tree import Cells, Stage

    return {item.name for item in space.network.items if isinstance(item, Stage | Cells) and item.name}
