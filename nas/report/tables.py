"""Tables for the terminal: a space, a network stage by stage, the best trials of a search."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich import box
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from nas.cost import format_count, format_large
from nas.errors import make_lines_printable, make_printable
from nas.measures import PARAMS, SHOWN, Amounts, Budget, Measure, make_amounts
from nas.ops.base import format_shape
from nas.report.console import pluralise
from nas.study.objective import ACCURACY, Objective
from nas.study.pareto import compute_hypervolume, find_worst_costs

if TYPE_CHECKING:
    from nas.graph import Architecture
    from nas.ops import Shape
    from nas.report.stage_rows import StageRow
    from nas.runs.finals import Finalist
    from nas.space import Space
    from nas.space.counting.census import Census
    from nas.study.records import Counts, Trial
    from nas.workflows.prescreen import Untrained


def make_table(*columns: str, title: str | None = None) -> Table:
    """Return an empty table; columns whose name starts with `>` are right-aligned."""
    result = _PlainTable(box=box.SIMPLE_HEAD, title=title, title_justify="left", pad_edge=False)
    for column in columns:
        right = column.startswith(">")
        result.add_column(
            _make_line(column.removeprefix(">")), justify="right" if right else "left", no_wrap=right
        )
    return result


class _PlainTable(Table):
    """A table whose cells are plain text: `[red]` is no colour, as anyone may have written it."""

    def add_row(self, *cells: RenderableType | None, **options: Any) -> None:
        super().add_row(*(_make_line(cell) if isinstance(cell, str) else cell for cell in cells), **options)


def _make_line(text: str) -> Text:
    return Text(make_printable(text))


def _make_text(text: str) -> Text:
    return Text(make_lines_printable(text))


def render_space(space: Space) -> RenderableType:
    """Return size, extremes of cost and choices of a space."""
    extent = space.extent
    head = _make_text(f"{make_printable(space.name)}: {format_large(extent.count)} networks")
    if space.about:
        head.append(make_lines_printable(f"\n{space.about}"))
    costs = make_table("", *_list_heads(SHOWN))
    smallest, largest = make_amounts(extent.smallest_cost), make_amounts(extent.largest_cost)
    costs.add_row("smallest", *_format_cells(SHOWN, smallest))
    costs.add_row("largest", *_format_cells(SHOWN, largest))
    fewest, most = (end.value for end in space.ends(PARAMS))
    if (fewest, most) != (smallest(PARAMS), largest(PARAMS)):
        costs.add_row(f"fewest {PARAMS.label}", "", f"{fewest:,}")
        costs.add_row(f"most {PARAMS.label}", "", f"{most:,}")
    choices = make_table("choice", "decided", "options")
    for choice in space.declared.values():
        options = ", ".join(
            "true" if o is True else "false" if o is False else str(o) for o in choice.options
        )
        choices.add_row(choice.name, "in each layer" if choice.stage else "once", options)
    parts: list[RenderableType] = [head, costs, choices]
    if extent.obstacles:
        parts.append(_make_text(f"Some combinations cannot be built and are left out: {extent.obstacles[0]}"))
    return Group(*parts)


def render_spaces(spaces: Mapping[str, tuple[int, str]]) -> Table:
    """Return spaces by name: how many networks each has, and what it is about."""
    rows = make_table("name", ">networks", "about")
    for name, (count, about) in spaces.items():
        rows.add_row(name, format_large(count), about)
    return rows


_UNREADABLE = 10**60
"""A count from this on is not printed exactly."""


def render_census(space: Space, budget: Budget, census: Census) -> RenderableType:
    """Return how many networks of a space are inside a budget, and a histogram of their cost."""
    total = space.extent.count
    middle = (census.low + census.high) // 2
    share = f"{100 * middle / total:.3g} %"
    head = f"{make_printable(space.name)}: {format_large(total)} networks\n{budget}: "
    if census.is_exact:
        exact = format_large(middle) if middle >= _UNREADABLE else f"{middle:,}"
        head += f"{exact} network{'' if middle == 1 else 's'}, {share}"
    else:
        bounds = f"{format_large(census.low)} to {format_large(census.high)}"
        head += f"about {format_large(middle)} networks, {share}; {bounds} with 95 % confidence, from samples"
    if not census.quantiles:
        return _make_text(head)
    number = census.measure.format
    quantiles = make_table("", *(f">{100 * q:.0f} %" for q in census.quantiles))
    quantiles.add_row(
        f"of them have up to, in {census.measure.label}", *map(number, census.quantiles.values())
    )
    rows = make_table(f">{census.measure.label}", ">share", "")
    most = max((share for *_, share in census.rows), default=1.0)
    for start, end, share_of_row in census.rows:
        bar = "\u2588" * round(_BAR * share_of_row / most)
        rows.add_row(f"{number(start)} to {number(end)}", f"{100 * share_of_row:.1f} %", bar)
    return Group(_make_text(head), quantiles, rows)


_BAR = 40


def render_architecture(space: Space) -> RenderableType:
    """Return a network stage by stage, as papers print it: block, layers, stride, output, MACs, parameters.

    Figures are exact; a terminal that is too narrow for them gets rounded ones, and where that is not enough
    no strides, which the outputs tell. A block that is too long for its column goes on in the next line.
    """
    from nas.report.stage_rows import list_stages

    architecture = space.architecture()
    head = _make_text(f"{make_printable(space.name)}: one network, {architecture.cost}")
    if space.about:
        head.append(make_lines_printable(f"\n{space.about}"))
    stages = list_stages(space, architecture)
    exact = _tabulate_stages(architecture, stages, "{:,}".format)
    rounded, narrow = (_tabulate_stages(architecture, stages, format_count, wide) for wide in (True, False))
    return Group(head, FirstFit(exact, rounded, narrow))


_BLOCK = len("mbconv 3x3, expand 6, se 0.25")
"""Width of what is in one line of a block's column, where the terminal is wide enough."""


def _tabulate_stages(
    architecture: Architecture, stages: Sequence[StageRow], number: Callable[[int], str], wide: bool = True
) -> Table:
    strides = [">stride"] if wide else []
    rows = make_table("part", "block", ">depth", *strides, ">channels", ">output", *_list_heads(SHOWN))
    rows.padding = (0, 1, 0, 0)
    rows.columns[0].no_wrap = True
    if wide:
        rows.columns[1].min_width = min(_BLOCK, max((len(row.block) for row in stages), default=0))
    blank = [""] * (2 + len(strides))
    rows.add_row("input", *blank, *_format_output(architecture.input_shape))
    for row in stages:
        depth = "" if row.depth is None else str(row.depth)
        stride = [str(row.stride) if len(row.shape) == 3 else ""] if wide else []
        costs = _format_cells(SHOWN, make_amounts(row.cost), number)
        rows.add_row(row.name, row.block, depth, *stride, *_format_output(row.shape), *costs)
    rows.add_section()
    rows.add_row("total", *blank, "", "", *_format_cells(SHOWN, make_amounts(architecture.cost), number))
    return rows


class FirstFit:
    """The first view that there is room for, else the last one."""

    def __init__(self, *views: RenderableType) -> None:
        self._views = views

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        *others, last = self._views
        unbound = options.update(width=1000)
        needed = ((Measurement.get(console, unbound, view).minimum, view) for view in others)
        yield next((view for width, view in needed if width <= options.max_width), last)


def _format_output(shape: Shape) -> tuple[str, str]:
    """Return `64` and `56 x 56`; a vector has features alone."""
    return str(shape[0]), format_shape(shape[1:])


def render_best(
    best: Sequence[Trial], objective: Objective = ACCURACY, measures: Sequence[Measure] = SHOWN
) -> Table:
    """Return the best trials of a search, with their rewards where these are not the scores."""
    rewards = [">reward"] if objective.factors else []
    score = "score" if objective.metric == ACCURACY.metric else objective.metric.name
    rows = make_table(">rank", *rewards, f">{score}", *_list_heads(measures), ">trial")
    for rank, trial in enumerate(best, 1):
        c = trial.candidate
        assert trial.score is not None
        rewards = [f"{objective.compute_reward(trial.score, c.amount):.4f}"] if objective.factors else []
        figures = (f"{trial.score:.4f}", *_format_cells(measures, c.amount), str(c.number))
        rows.add_row(str(rank), *rewards, *figures)
    return rows


def render_finals(ranked: Sequence[Finalist], measures: Sequence[Measure] = SHOWN) -> Table:
    """Return networks that were trained longer: mean and standard deviation of these scores, and the one
    before."""
    rows = make_table(">rank", ">mean", ">std", ">seeds", ">in search", *_list_heads(measures), ">trial")
    for rank, one in enumerate(ranked, 1):
        c = one.trial.candidate
        deviation = "" if one.deviation is None else f"{one.deviation:.4f}"
        figures = (f"{one.mean:.4f}", deviation, str(len(one.scores)), f"{one.trial.score:.4f}")
        rows.add_row(str(rank), *figures, *_format_cells(measures, c.amount), str(c.number))
    return rows


def render_front(
    front: Sequence[Trial],
    objective: Objective,
    measures: Sequence[Measure],
    volume: str | None,
) -> RenderableType:
    """Return the networks that no other beats in score and costs, with columns of `measures`; and what
    `describe_volume` says of them."""
    text = (
        f"Front of score and {' and '.join(cost.noun for cost in objective.costs)}: "
        f"{pluralise(len(front), 'network')}"
    )
    if volume:
        text += f", {volume}"
    rows = make_table(">score", *_list_heads(measures), ">trial")
    for trial in front:
        c = trial.candidate
        rows.add_row(f"{trial.score:.4f}", *_format_cells(measures, c.amount), str(c.number))
    return Group(Text(text + "."), rows)


def describe_volume(front: Sequence[Trial], objective: Objective, space: Space, budget: Budget) -> str | None:
    """Say what share of the box of scores and costs a front dominates; None where scores have no range, and
    so no worst one."""
    if objective.metric.range is None:
        return None
    low, high = objective.metric.range
    worst = find_worst_costs(space, budget, objective.costs)
    box = " and ".join(f"0 to {cost.show(most)} {cost.noun}" for cost, most in worst.items())
    share = compute_hypervolume(front, worst, objective.metric)
    return f"hypervolume {share:.4f} of score {low:g} to {high:g} and {box}"


def render_scores(rows: Sequence[Untrained]) -> RenderableType:
    """Return costs and zero-cost scores of networks."""
    view = make_table("network", *_list_heads(SHOWN), *(f">{name}" for name in rows[0].scores))
    for row in rows:
        scores = (f"{score:.4g}" for score in row.scores.values())
        view.add_row(row.name, *_format_cells(SHOWN, make_amounts(row.cost)), *scores)
    return view


def describe_counts(counts: Counts, budget: Budget) -> str:
    """Return what became of the trials and of the proposals that never became one."""
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
    parts = [f"{pluralise(sum(trials.values()), 'trial')}: {_list_amounts(trials)}."]
    if budget:
        parts.append(f"Budget: {budget}.")
    if left_out := _list_amounts(rejected):
        parts.append(f"Proposals left out before training: {left_out}.")
    return " ".join(parts)


def describe_budget(budget: Budget) -> str:
    """Return `budget MACs <= 400,000,000`, or `no budget`."""
    return f"budget {budget}" if budget else str(budget)


def describe_sampling(budget: Budget) -> str:
    """Return how networks are drawn, where what is limited is not all counted."""
    others = " or ".join(measure.noun for measure in budget.others)
    counted, limit = budget.counted, budget.counted_limit
    if counted in budget:
        how = f"evenly by their {counted.noun}"
    elif limit.high is not None:
        how = f"from those with up to {counted.show(limit.high)} {counted.noun}"
    else:
        how = "from the whole space"
    return f"Networks are sampled {how}, and anew while their {others} are outside."


def format_networks(space: Space) -> str:
    """Return `1 network`, `7.76 x 10^25 networks`."""
    count = space.extent.count
    return f"{format_large(count)} network" + ("" if count == 1 else "s")


def _list_heads(measures: Sequence[Measure]) -> list[str]:
    """Return names of columns of measures."""
    return [f">{m.label}" for m in measures]


def _format_cells(
    measures: Sequence[Measure], amounts: Amounts, number: Callable[[int], str] | None = None
) -> list[str]:
    """Return the amounts of a network in columns of measures, each as it is shown unless by `number`."""
    return [(number or measure.show)(amounts(measure)) for measure in measures]


def _list_amounts(amounts: Mapping[str, int]) -> str:
    return ", ".join(f"{amount:,} {name}" for name, amount in amounts.items() if amount)
