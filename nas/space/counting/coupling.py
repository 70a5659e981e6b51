"""Which choices of a space are coupled: needed in several places, so that a part cannot decide them alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from nas.space.language.tree import (
    Choice,
    Node,
    PerLayer,
    SameAs,
    Stage,
    Value,
    list_children,
    list_own_values,
)


@dataclass(frozen=True)
class Coupling:
    """Choices that several places need, and where the last of their uses is.

    `ends` are the choices whose uses all lie inside a node, by the node's id.
    """

    coupled: frozenset[str]
    ends: dict[int, frozenset[str]]

    @classmethod
    def none(cls) -> Coupling:
        """Return the coupling of a single point: every choice has one option, so none is to be remembered."""
        return cls(frozenset(), {})

    @classmethod
    def of(cls, network: Node, outside: tuple[Value, ...], declared: dict[str, Choice]) -> Coupling:
        """Return the coupling of a network and the values outside it, which every part may need."""
        counts: dict[int, Counter[str]] = {}

        def count(node: Node) -> Counter[str]:
            inside: Counter[str] = Counter()
            for child in list_children(node):
                inside.update(count(child))
            if isinstance(node, Stage):
                # The nodes inside take the stride by the name of the stage, which does not show here.
                inside.update(_list_choices(node.stride, declared))
                # The block is repeated, so one use in it is one in each layer, but for what each layer
                # decides by itself.
                for name in inside:
                    if declared[name].stage != node.path:
                        inside[name] *= 2
            inside.update(name for value in list_own_values(node) for name in _list_choices(value, declared))
            counts[id(node)] = inside
            return inside

        total = Counter(count(network))
        global_names = {name for value in outside for name in _list_choices(value, declared)}
        for name in global_names:
            total[name] += 2  # coupled, however seldom the network itself needs it
        coupled = frozenset(name for name, n in total.items() if n > 1)
        ends: dict[int, frozenset[str]] = {}

        def mark(node: Node) -> None:
            inner = list_children(node)
            for child in inner:
                mark(child)
            # The innermost node with all uses of a choice: none of its children has them all. Those from
            # outside are left out, as they are needed to the end.
            here = frozenset(
                name
                for name in coupled - global_names
                if counts[id(node)][name] == total[name]
                and all(counts[id(child)][name] != total[name] for child in inner)
            )
            if here:
                ends[id(node)] = here

        mark(network)
        return cls(coupled, ends)


def _list_choices(value: Value, declared: dict[str, Choice]) -> Iterator[str]:
    if isinstance(value, Choice):
        yield value.name
    elif isinstance(value, SameAs):
        yield value.target
    elif isinstance(value, PerLayer):
        for inner in value.values:
            yield from _list_choices(inner, declared)
