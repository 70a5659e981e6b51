"""Joins of joins: how a network groups its sums, products and concatenations does not tell it from others."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache

from nas.graph.architecture import INPUT, Architecture
from nas.graph.simplify import simplify
from nas.ops import Flatten, Join, Operator, Shape

Edges = list[list[int]]


def regroup(simple: Architecture) -> tuple[list[str], Edges]:
    """Return a simplified network as labels of its nodes and the nodes that each reads, in topological order.

    The input stands first, the output last. Networks that differ only in how joins are grouped become alike:
    `(a + b) + c` and `a + (b + c)`, or a sum that is read within another sum and one whose values are added
    again. Inputs of a join are unordered, but for a concatenation whose order the weights behind it cannot
    make up for: it reads each of them through a node that says at which channel it stands.

    Operators other than joins are neither merged nor left out, so all that has a cost stays.
    """
    index = {INPUT: 0} | {node.name: i for i, node in enumerate(simple.nodes, 1)}
    labels = [f"input {simple.input_shape}"] + [_label(node.op, node.shape) for node in simple.nodes]
    inputs: Edges = [[]] + [[index[name] for name in node.inputs] for node in simple.nodes]
    joins = {
        i: node.op
        for i, node in enumerate(simple.nodes, 1)
        if node.op.is_join and isinstance(node.op, Join) and node.op.is_associative
    }
    if not joins:
        return labels, inputs
    return _Regrouping(simple, labels, inputs, joins).build()


@lru_cache(1 << 14)
def _label(op: Operator, shape: Shape) -> str:
    """Return a label that is equal for equal operators: 1 and 1.0 are one number."""
    arguments = {name: _drop_point(value) for name, value in op.arguments().items()}
    return f"{type(op).__qualname__} {arguments} {shape}"


def _drop_point(value: object) -> object:
    return int(value) if isinstance(value, float) and value.is_integer() else value


@dataclass
class _Regrouping:
    """A network whose nodes are numbers, and those of its `joins` that can be grouped in another way.

    A join that only joins like it read is within these. The others stand for a multiset of values each: what
    they join when every join within is one with them. Their normal form is a function of these sets alone.
    """

    network: Architecture
    labels: list[str]
    inputs: Edges
    joins: Mapping[int, Join]
    _zeros: frozenset[int] = frozenset()
    """Zeros in concatenations whose shape tells of them, where no cost goes with them."""
    _same: dict[int, int] = field(default_factory=dict)
    """Of a join the one before it that joins the same."""

    def build(self) -> tuple[list[str], Edges]:
        stacks = [join for join, op in self.joins.items() if op.stacks_channels]
        self._zeros = self._find_free_zeros(stacks)
        ordered = {stack for stack in stacks if self._is_order_seen(stack)}
        if not self._zeros and self._is_simple(ordered):
            for stack in ordered:
                self._mark(self._place(self.inputs[stack]))
            return self.labels, self.inputs
        if repeats := self._find_repeats():
            return regroup(self._drop_repeats(repeats))
        within = {
            join
            for join, op in self.joins.items()
            if self._readers[join] and all(self.joins.get(i) == op for i in self._readers[join])
        }
        apart = [join for join in self.joins if join not in within]
        terms = self._merge(within)
        uses = Counter((self.joins[join], value) for join in apart for value in terms[join])
        placed = {stack: self._place(self._put_in_order(stack)) for stack in apart if stack in ordered}
        times = Counter(value for stack in placed.values() for value, _ in stack)
        read: dict[int, list[tuple[int, str]]] = {}
        met: dict[object, int] = {}
        for join in apart:
            if join in ordered:
                self._mark([(value, place) for value, place in placed[join] if times[value] == 1])
                read[join] = [(value, place if times[value] > 1 else "") for value, place in placed[join]]
            else:
                own = (
                    terms[join]
                    if self._is_normal(join, terms[join], uses)
                    else self._find_factors(join, apart)
                )
                same = Counter[int]()
                for value, n in own.items():
                    same[self._same.get(value, value)] += n
                read[join] = [(value, f" {n} times" if n > 1 else "") for value, n in same.items()]
            key = (self.joins[join], self._get_shape(join), frozenset(read[join]))
            first = met.setdefault(key, join)
            if first != join:
                self._same[join] = first
        return self._rewrite(read)

    def _find_repeats(self) -> dict[int, int]:
        """Return, for each join of the same values as one before it, whatever the grouping, that one."""
        repeats: dict[int, int] = {}
        values: dict[int, Counter[int] | list[int]] = {}
        met: dict[object, int] = {}
        for join, op in self.joins.items():
            own: Counter[int] | list[int] = [] if op.stacks_channels else Counter()
            for i in (repeats.get(i, i) for i in self.inputs[join]):
                more = values[i] if self.joins.get(i) == op else [i]
                own.extend(more) if isinstance(own, list) else own.update(more)
            values[join] = own
            key = tuple(own) if isinstance(own, list) else frozenset(own.items())
            first = met.setdefault((op, self._get_shape(join), key), join)
            if first != join:
                repeats[join] = first
        return repeats

    def _drop_repeats(self, repeats: Mapping[int, int]) -> Architecture:
        nodes = self.network.nodes
        names = {nodes[join - 1].name: nodes[first - 1].name for join, first in repeats.items()}
        kept = (node for node in nodes if node.name not in names)
        read = (replace(n, inputs=tuple(names.get(name, name) for name in n.inputs)) for n in kept)
        return simplify(Architecture(self.network.input_shape, tuple(read)))

    def _mark(self, placed: Sequence[tuple[int, str]]) -> None:
        for value, place in placed:
            self.labels[value] += place

    def _is_simple(self, ordered: Collection[int]) -> bool:
        """Return whether all joins are in their normal form, as `_is_normal` would say of each; at once."""
        met: set[tuple[str, int]] = set()
        for join, op in self.joins.items():
            inner = 0
            for i in self.inputs[join]:
                if i in self.joins and self.joins[i].name == op.name:
                    inner += 1
                    if (
                        inner > 1
                        or join in ordered
                        or all(self.joins.get(reader) == op for reader in self._readers[i])
                    ):
                        return False
                elif (op.name, i) in met:
                    return False
                else:
                    met.add((op.name, i))
        return True

    @cached_property
    def _readers(self) -> Edges:
        readers: Edges = [[] for _ in self.inputs]
        for node, sources in enumerate(self.inputs):
            for source in sources:
                readers[source].append(node)
        return readers

    def _get_op(self, node: int) -> Operator:
        return self.network.nodes[node - 1].op

    def _get_shape(self, node: int) -> Shape:
        return self.network.nodes[node - 1].shape if node else self.network.input_shape

    def _find_free_zeros(self, stacks: Sequence[int]) -> frozenset[int]:
        zeros = {i for stack in stacks for i in self.inputs[stack] if i and self._is_zero(i)}
        needed = (
            {i for i in range(len(self.inputs)) if not zeros.issuperset(self._readers[i])} if zeros else set()
        )
        return frozenset(zero for zero in zeros if needed.issuperset(self.inputs[zero]))

    def _is_zero(self, node: int) -> bool:
        return self._get_op(node).gives_zero([False] * len(self.inputs[node]))

    def _is_order_seen(self, stack: int) -> bool:
        """Return whether the order of a concatenation is part of what the network computes.

        It is not where every path leads, through what treats channels alone, to filters that see all of them:
        with their weights in another order they compute the same. Where it is concatenated again, it is one
        with what it is part of.
        """
        met: set[int] = set()
        waiting = [stack]
        while waiting:
            node = waiting.pop()
            if node == len(self.inputs) - 1:
                return True
            for reader in self._readers[node]:
                op = self._get_op(reader)
                groups = getattr(op, "groups", 1)
                if reader in met or (op.has_filters and groups == 1):
                    continue
                if not (
                    op.is_channelwise
                    or isinstance(op, Flatten)
                    or (isinstance(op, Join) and op.stacks_channels)
                    or groups == self._get_shape(node)[0] == self._get_shape(reader)[0]
                ):
                    return True
                if node != stack or not isinstance(op, Join):
                    met.add(reader)
                    waiting.append(reader)
        return False

    def _merge(self, within: Collection[int]) -> dict[int, Counter[int]]:
        """Return what each join reads once the joins within are one with it, each value with how often."""
        found: dict[int, Counter[int]] = {}
        for join in self.joins:
            found[join] = Counter[int]()
            for i in self.inputs[join]:
                found[join].update(found[i] if i in within and self.joins[i] == self.joins[join] else (i,))
            found[join] = self._without_zeros(found[join])
        return found

    @cached_property
    def _values(self) -> dict[int, Counter[int]]:
        """Of each join the values that it joins when every join within is one with it."""
        return self._merge(self.joins)

    def _without_zeros(self, terms: Counter[int]) -> Counter[int]:
        if not self._zeros or self._zeros.issuperset(terms):
            return terms
        return Counter({value: times for value, times in terms.items() if value not in self._zeros})

    def _is_normal(self, join: int, terms: Counter[int], uses: Counter[tuple[Join, int]]) -> bool:
        """Return whether no other join is of a part of what this one joins, but for one that it reads."""
        op = self.joins[join]
        inner = [value for value in terms if self.joins.get(value) == op]
        return (
            len(inner) <= 1
            and all(times == 1 for times in terms.values())
            and all(uses[op, value] == 1 for value in terms if value not in inner)
        )

    def _find_factors(self, join: int, apart: Sequence[int]) -> Counter[int]:
        """Return the values of a join, those of the largest join within it as one if it holds all others."""
        values = self._values[join]
        parts: dict[frozenset[tuple[int, int]], int] = {}
        for other in apart:
            if self.joins[other] == self.joins[join]:
                inside = self._values[other]
                if inside < values:
                    parts.setdefault(frozenset(inside.items()), other)
        most = max(parts.values(), key=lambda part: self._values[part].total(), default=None)
        if most is None or not all(self._values[part] <= self._values[most] for part in parts.values()):
            return values
        return values - self._values[most] + Counter([most])

    def _put_in_order(self, stack: int) -> list[int]:
        """Return what a concatenation joins, in order."""
        found: list[int] = []
        for i in self.inputs[stack]:
            found += (
                self._put_in_order(i) if self.joins.get(i) == self.joins[stack] else [self._same.get(i, i)]
            )
        return found

    def _place(self, stack: Sequence[int]) -> list[tuple[int, str]]:
        """Return the values of a concatenation, each with the channel at which it stands."""
        placed, channel = [], 0
        for value in stack:
            if value not in self._zeros or self._zeros.issuperset(stack):
                placed.append((value, f" from channel {channel}"))
            channel += self._get_shape(value)[0]
        return placed

    def _rewrite(self, read: Mapping[int, Sequence[tuple[int, str]]]) -> tuple[list[str], Edges]:
        """Return the nodes that the output needs, in topological order; a value that a join reads in a way
        of its own, it reads through a node that says so."""
        number: dict[int, int] = {}
        labels: list[str] = []
        inputs: Edges = []
        last = len(self.inputs) - 1
        waiting = [self._same.get(last, last)]
        while waiting:
            node = waiting[-1]
            sources = read.get(node) or [(self._same.get(i, i), "") for i in self.inputs[node]]
            missing = [source for source, _ in sources if source not in number]
            if missing and node not in number:
                waiting += missing
                continue
            waiting.pop()
            if node in number:
                continue
            own = []
            for source, way in sources:
                if way:
                    labels.append(way)
                    inputs.append([number[source]])
                own.append(len(labels) - 1 if way else number[source])
            number[node] = len(labels)
            labels.append(self.labels[node])
            inputs.append(own)
        return labels, inputs
