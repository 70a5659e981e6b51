"""Where a node's `name` stands in a file, and where it must not."""

from __future__ import annotations

from nas.space.language.names import find_name_problem
from nas.space.language.parse_values import Context, to_plain
from nas.space.language.source import Item, Listing, Mapping, Scalar, SpaceError


def _find_holder(item: Item) -> Mapping | None:
    """Return the mapping that may hold a node's `name`."""
    if not isinstance(item, Mapping) or not item.entries:
        return None
    if "choice" in item.entries or "layers" in item.entries:
        return item
    inner = next(iter(item.entries.values()))
    return inner if isinstance(inner, Mapping) else None


def read_name(item: Item, context: Context) -> str | None:
    """Read the name that is written in a node."""
    holder = _find_holder(item)
    named = holder.entries.get("name") if holder else None
    if named is None:
        return None
    name = to_plain(named, context.path)
    problem = find_name_problem(name)
    if problem:
        raise SpaceError(named.place, context.path, problem)
    return str(name)


def reject_name(item: Item, context: Context, why: str) -> None:
    """Raise SpaceError for a node that is named."""
    holder = _find_holder(item)
    if holder and "name" in holder.entries:
        raise SpaceError(holder.entries["name"].place, context.path, f"'name' is not wanted here; {why}")


def wrap_named(item: Item) -> Item:
    """Return a node with a name of its own as a list, in which it keeps the name."""
    holder = _find_holder(item)
    return Listing((item,), item.place) if holder and "name" in holder.entries else item


def get_block(item: Item) -> str:
    """Return the block or form that a node is."""
    if isinstance(item, Scalar):
        return str(item.value)
    if isinstance(item, Mapping) and item.entries:
        return next((f for f in ("choice", "layers") if f in item.entries), next(iter(item.entries)))
    return "sequence"
