"""What commands print, as documents for programs: the values of the text, under keys that stay."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import rich_click as click

from nas.cost import format_large
from nas.measures import SHOWN, make_amounts

if TYPE_CHECKING:
    from nas.cost import Cost
    from nas.measures import Budget
    from nas.space import Space
    from nas.space.counting.census import Census
    from nas.workflows.prescreen import Untrained
    from nas.workflows.scaling import ScaledFile

Document = dict[str, Any]


def give(form: str, document: Callable[[], Mapping[str, Any]], text: Callable[[], object]) -> None:
    """Print facts in the form that was asked for: `json`, as one document, or as text."""
    if form == "json":
        print_document(document())
    else:
        text()


def print_document(document: Mapping[str, Any]) -> None:
    """Print a document as JSON. A number that is not finite is null there."""
    click.echo(json.dumps(_to_plain(document), indent=1, allow_nan=False))


def document_space(space: Space) -> Document:
    """Return size, extremes of cost and choices of a space."""
    extent = space.extent
    return {
        "kind": "space",
        "name": space.name,
        "about": space.about,
        "networks": extent.count,
        "smallest": document_cost(extent.smallest_cost),
        "largest": document_cost(extent.largest_cost),
        "choices": [
            {
                "name": choice.name,
                "decided": "in each layer" if choice.stage else "once",
                "options": list(choice.options),
            }
            for choice in space.declared.values()
        ],
        "left_out": extent.obstacles[0] if extent.obstacles else None,
    }


def document_census(space: Space, budget: Budget, census: Census) -> Document:
    """Return how many networks of a space are inside a budget, and how their cost is spread."""
    return {
        "kind": "census",
        "name": space.name,
        "networks": space.extent.count,
        "budget": document_budget(budget),
        "inside": {"low": census.low, "high": census.high, "exact": census.is_exact},
        "measure": census.measure.name,
        "quantiles": dict(census.quantiles),
        "histogram": [{"from": start, "to": end, "share": share} for start, end, share in census.rows],
    }


def document_network(space: Space) -> Document:
    """Return a network stage by stage."""
    from nas.report.stage_rows import list_stages

    architecture = space.architecture()
    return {
        "kind": "network",
        "name": space.name,
        "about": space.about,
        "input": list(architecture.input_shape),
        "cost": document_cost(architecture.cost),
        "parts": [
            {
                "name": row.name,
                "block": row.block,
                "depth": row.depth,
                "stride": row.stride if len(row.shape) == 3 else None,
                "output": list(row.shape),
                "cost": document_cost(row.cost),
            }
            for row in list_stages(space, architecture)
        ],
    }


def document_spaces(spaces: Mapping[str, tuple[int, str]]) -> Document:
    """Return the bundled spaces: how many networks each has, and what it is about."""
    return {
        "spaces": [
            {"name": name, "networks": count, "about": about} for name, (count, about) in spaces.items()
        ]
    }


def document_scores(rows: Sequence[Untrained]) -> Document:
    """Return costs and zero-cost scores of networks."""
    return {
        "networks": [
            {"name": row.name, "cost": document_cost(row.cost), "scores": row.scores} for row in rows
        ]
    }


def document_scaled(files: Sequence[ScaledFile]) -> Document:
    """Return the files that were written: the factors, and the extremes of what is in them."""
    return {
        "files": [
            {
                "file": str(one.path),
                "depth": one.scale.depth,
                "width": one.scale.width,
                "resolution": one.scale.resolution,
                "input": list(one.space.input_sizes),
                "smallest": one.space.extent.smallest_cost.to_data(),
                "largest": one.space.extent.largest_cost.to_data(),
            }
            for one in files
        ]
    }


def document_cost(cost: Cost) -> Document:
    """Return a cost as tables have it."""
    found = make_amounts(cost)
    return {measure.name: found(measure) for measure in SHOWN}


def document_budget(budget: Budget) -> Document:
    """Return a budget: both ends of each measure that is limited."""
    return {
        measure.name: {"low": interval.low, "high": interval.high} for measure, interval in budget.items()
    }


def _to_plain(value: Any) -> Any:
    """Return a value as JSON has it."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): _to_plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_to_plain(inner) for inner in value]
    if isinstance(value, int) and value.bit_length() > _MOST_BITS:
        return format_large(value)
    return value if value is None or isinstance(value, str | int) else str(value)


_MOST_BITS = 14_000
"""Of a number: Python writes no longer ones."""
