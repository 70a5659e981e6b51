"""Space: a family of networks. Without choices, it is one network."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from functools import cached_property, reduce
from typing import TYPE_CHECKING, Any, NamedTuple

from nas.blocks import is_detail
from nas.blocks.builder import Parts
from nas.cost import Cost, format_large
from nas.errors import InputError, make_printable, suggest_word
from nas.graph import Architecture, hash_simplified, simplify
from nas.measures import MACS, Amounts, Budget, Measure
from nas.ops import Shape
from nas.space.clock import Clock
from nas.space.counting.algebra import Sum
from nas.space.counting.compose import Composer
from nas.space.counting.coupling import Coupling
from nas.space.counting.effort import check_effort
from nas.space.counting.part_costs import PartCosts
from nas.space.counting.point_sets import ONE, Extreme, Points, count_points, find_extreme, sort_sets
from nas.space.counting.recall import Memory
from nas.space.elaborate import elaborate
from nas.space.keys import remember
from nas.space.language.source import SpaceError
from nas.space.language.tree import (
    Choice,
    Node,
    Option,
    SameAs,
    Sequence,
    Value,
    find_choices,
    find_couplings,
    list_chain,
    list_own_values,
    walk,
)
from nas.space.resolve import Choose, Resolver

if TYPE_CHECKING:
    from nas.space.counting.uniform import Uniform

INPUT_AXES = ("channels", "height", "width")

Choices = dict[str, Option]
"""One point of a space: the decisions it takes, by name.

It is a plain dict, as samplers, journals and users have it, and nobody changes one that is given. What tells
points apart goes by `nas.space.keys.make_point_key`, and what tells networks apart by `Space.identity`.
"""


@dataclass(frozen=True)
class Extent:
    """The points of a space: how many can be built, and the ones of least and of most MACs."""

    count: int
    smallest: Choices
    smallest_cost: Cost
    largest: Choices
    largest_cost: Cost
    obstacles: tuple[SpaceError, ...]
    """Why some points cannot be built; empty when all can."""


class Ends(NamedTuple):
    """The points of a space that have the least and the most of a measure."""

    least: Extreme
    most: Extreme


@dataclass
class _PointCache:
    """What a space has worked out of its points, by their keys, and of their parts."""

    costs: dict[bytes, Cost] = field(default_factory=dict)
    identities: dict[bytes, str] = field(default_factory=dict)
    amounts: dict[Measure, dict[bytes, int]] = field(default_factory=dict)
    ends: dict[Measure, Ends] = field(default_factory=dict)
    blocks: Parts = field(default_factory=dict)
    memory: Memory = field(default_factory=Memory)


@dataclass(frozen=True)
class Space:
    """A network description in which some values are open choices.

    `input` is (channels, height, width) of the deployed network, where costs are counted. `width`
    multiplies every block's channels. `meta` is free data that travels with the file. `clock` is what latency
    is predicted by, for the networks as they are counted here; none where it is not known.

        >>> import nas
        >>> nas.load_space("mbconv")
        <Space mbconv, choices: 28, input: 3 x 224 x 224>
    """

    name: str
    about: str
    input: tuple[Value, ...]
    classes: int
    width: Value
    drop_path: float
    network: Sequence
    defaults: Mapping[str, Mapping[str, Value]] = field(default_factory=dict)
    meta: Mapping[str, Any] = field(default_factory=dict)
    file: str = field(default="<text>", compare=False)
    clock: Clock | None = field(default=None, compare=False, repr=False)

    def __repr__(self) -> str:
        size = " x ".join(str(axis) if isinstance(axis, int) else "?" for axis in self.input)
        return f"<Space {make_printable(self.name)}, choices: {len(self.declared)}, input: {size}>"

    @cached_property
    def declared(self) -> dict[str, Choice]:
        """The choices by the name they are declared under, in the order of the file."""
        values = [*self.input, self.width, *(v for node in walk(self.network) for v in list_own_values(node))]
        used = {choice.name: choice for choice in find_choices(values)}
        targets = {coupling.target for coupling in find_couplings(values)}
        defaults = find_choices(value for args in self.defaults.values() for value in args.values())
        return {choice.name: choice for choice in defaults if choice.name in targets} | used

    @property
    def is_architecture(self) -> bool:
        """Whether no choices are left."""
        return not self.declared

    def sample(self, choose: Choose) -> Choices:
        """Return a point, asking `choose(name, options)` once for each decision that it needs."""
        decided: Choices = {}

        def once(name: str, options: tuple[Option, ...]) -> Option:
            if name not in decided:
                decided[name] = choose(name, options)
            return decided[name]

        try:
            cost = self._count(once)  # as who draws a point asks for its cost
        except SpaceError:
            return self._resolve(once)[1]
        self.note_cost(decided, cost)
        return decided

    def resolve(self, choices: Mapping[str, Option]) -> Space:
        """Return the space without choices at a point.

        Raises InputError where the choices are not a point of this space.
        """
        resolved, used = self._resolve(self._make_lookup(choices))
        extra = sorted(set(choices) - set(used))
        if extra:
            hint = suggest_word(extra[0], sorted(used))
            raise InputError(f"{self.file}: '{extra[0]}' is not a decision of this point{hint}")
        return resolved

    def architecture(self, choices: Mapping[str, Option] | None = None) -> Architecture:
        """Return the simplified graph at a point. Raises SpaceError where it cannot be built."""
        space = self.resolve(choices or {})
        height, width = space.input[1], space.input[2]
        return simplify(
            elaborate(
                space.network,
                (space.input[0], height, width),
                space.classes,
                space.width,
                space.drop_path,
                space.details,
                self._known.blocks,
            )
        )

    def with_details_of(self, other: Space) -> Space:
        """Return the same networks, with the details of another space inside their blocks."""
        details = other.details
        own = {
            name: {k: v for k, v in args.items() if not is_detail(name, k)}
            for name, args in self.defaults.items()
        }
        names = [*own, *(name for name in details if name not in own)]
        return replace(self, defaults={n: {**own.get(n, {}), **details.get(n, {})} for n in names})

    @property
    def details(self) -> dict[str, dict[str, Value]]:
        """The defaults that reach inside blocks: what blocks leave open of the operators they are made of."""
        found = {
            name: {key: value for key, value in args.items() if is_detail(name, key)}
            for name, args in self.defaults.items()
        }
        return {name: args for name, args in found.items() if args}

    def identity(self, choices: Mapping[str, Option]) -> str:
        """Return the canonical hash of the network at a point, which is cached."""
        return remember(self._known.identities, choices, lambda: hash_simplified(self.architecture(choices)))

    def cost(self, choices: Mapping[str, Option]) -> Cost:
        """Return the cost of the network at a point, at the space's own input and classes.

        Points and parts that were met before are not worked out again. Raises SpaceError where it cannot be
        built.
        """
        look_up = self._make_lookup(choices)
        return remember(self._known.costs, choices, lambda: self._count(look_up))

    def note_cost(self, choices: Mapping[str, Option], cost: Cost) -> None:
        """Keep the cost of the network at a point at hand, by whoever has worked it out."""
        remember(self._known.costs, choices, lambda: cost)

    def amounts(self, choices: Mapping[str, Option]) -> Amounts:
        """Return how much of each measure the network at a point has, worked out when it is asked for.

        Raises SpaceError where it cannot be built.
        """
        cost = self.cost(choices)
        return lambda measure: measure.of(cost) if measure.is_additive else self._measure(choices, measure)

    def amount(self, choices: Mapping[str, Option], measure: Measure) -> int:
        """Return how much of a measure the network at a point has; known at once for a point that was met.

        Raises SpaceError where it cannot be built.
        """
        return self.amounts(choices)(measure)

    def trace(self, choices: Mapping[str, Option]) -> list[tuple[Node, Shape]]:
        """Return the nodes that follow one another at a point, each with the shape that it gives.

        Raises SpaceError where it cannot be built.
        """
        composer = self._make_point_composer(self._make_lookup(choices))
        states = composer.traverse_network(Sequence(None, ()), self.input, Sum())
        found = []
        for node in list_chain(self.network):
            states = composer.traverse(node, states)
            if not states:
                raise composer.obstacles[0]
            ((flow, _),) = states
            found.append((node, flow.shape))
        return found

    def uniform(self, budget: Budget) -> Uniform:
        """Return a sampler of points inside a budget, each with the same chance.

        Raises InputError where its networks have more than can be counted.
        """
        from nas.space.counting.uniform import MOST_AMOUNT, MOST_POINTS, Uniform  # with numpy

        counted = budget.counted
        most = self.ends(counted).most.value
        if most > MOST_AMOUNT:
            raise InputError(
                f"{self.file}: its networks have up to {most:,} {counted.noun}, more than can be counted"
            )
        if self.count > MOST_POINTS:
            raise InputError(
                f"{self.file}: has {format_large(self.count)} networks, more than can be drawn from; leave "
                "some choices out, or make them for whole stages"
            )
        return Uniform(self.points, most, budget, self.amount, self.note_cost)

    def smallest(self) -> Choices:
        """Return the point of least MACs."""
        return self.extent.smallest

    def largest(self) -> Choices:
        """Return the point of most MACs."""
        return self.extent.largest

    @cached_property
    def extent(self) -> Extent:
        """Number of points and their extremes, exactly, without listing them.

        Raises SpaceError where no point can be built.
        """
        smallest, largest = (end.choices for end in self.ends(MACS))
        costs = self.cost(smallest), self.cost(largest)
        return Extent(self.count, smallest, costs[0], largest, costs[1], self._points[1])

    @cached_property
    def count(self) -> int:
        """The number of points that can be built, without listing them. Raises SpaceError where none can."""
        return count_points(self._order)

    def ends(self, measure: Measure) -> Ends:
        """Return the points of the least and of the most of a measure that adds up, without listing any.

        Raises SpaceError where no point can be built.
        """
        known = self._known.ends
        if measure not in known:
            known[measure] = Ends(*(find_extreme(self._order, measure.of, pick) for pick in (min, max)))
        return known[measure]

    def __getstate__(self) -> dict[str, Any]:
        """Drop the caches, which are large."""
        return {f.name: getattr(self, f.name) for f in fields(self)}

    @property
    def points(self) -> Points:
        """All points that can be built. Raises SpaceError where none can."""
        return self._points[0]

    @cached_property
    def _order(self) -> list[Points]:
        return sort_sets(self.points)

    @cached_property
    def _points(self) -> tuple[Points, tuple[SpaceError, ...]]:
        """All points that can be built, and why others cannot."""
        coupling = Coupling.of(self.network, (*self.input, self.width), self.declared)
        check_effort(self.network, (*self.input, self.width), self.declared, coupling)
        composer = self._make_composer(lambda choice, name: choice.options, coupling, None)
        ends = list(composer.traverse_network(self.network, self.input, ONE).values())
        if not ends:
            raise composer.obstacles[0]
        return reduce(Points.with_other, ends), tuple(composer.obstacles)

    @property
    def input_sizes(self) -> list[int]:
        """Heights and widths that the input can have."""
        values = (self.declared[v.target] if isinstance(v, SameAs) else v for v in self.input[1:])
        return sorted({size for v in values for size in (v.values if isinstance(v, Choice) else (v,))})

    def adapt(self, channels: int, resolution: int, classes: int) -> Space:
        """Return the same family for another input and number of classes, as a proxy trains it."""
        return replace(self, input=(channels, resolution, resolution), classes=classes, clock=None)

    def for_data(self, channels: int, classes: int) -> Space:
        """Return the same family for the channels and classes of a data set, at its own input size."""
        return replace(self, input=(channels, *self.input[1:]), classes=classes, clock=None)

    def with_at_least(self, channels: int, classes: int) -> Space:
        """Return the family with at least these channels and classes, as runs were counted once."""
        own = self.input[0]
        most = max(own.values) if isinstance(own, Choice) else own
        return self.for_data(max(most, channels), max(self.classes, classes))

    def _resolve(self, choose: Choose) -> tuple[Space, Choices]:
        resolver = Resolver(self.declared, choose)
        space = replace(
            self,
            input=tuple(resolver.resolve_value(value, {}) for value in self.input),
            width=resolver.resolve_value(self.width, {}),
            network=resolver.resolve_sequence(self.network, {}),
            clock=None,
        )
        settled = {
            block: {k: resolver.resolve_value(v, {}) for k, v in args.items() if resolver.is_settled(v)}
            for block, args in self.defaults.items()
        }
        return replace(space, defaults=settled), resolver.decided

    def _count(self, choose: Choose) -> Cost:
        composer = self._make_point_composer(choose)
        ends = composer.traverse_network(self.network, self.input, Sum())
        if not ends:
            raise composer.obstacles[0]
        (total,) = ends.values()
        cost: Cost = total.cost
        return cost

    def _measure(self, choices: Mapping[str, Option], measure: Measure) -> int:
        """Return the amount of a measure that does not add up."""
        measured = measure.of_architecture
        assert measured is not None
        known = self._known.amounts.setdefault(measure, {})
        return remember(known, choices, lambda: measured(self.architecture(choices)))

    def _make_lookup(self, choices: Mapping[str, Option]) -> Choose:
        def look_up(name: str, options: tuple[Option, ...]) -> Option:
            if name not in choices:
                raise InputError(f"{self.file}: the choices lack '{name}'; it is one of {list(options)}")
            option = choices[name]
            if option not in options:
                raise InputError(f"{self.file}: {name}: {option!r} is not one of {list(options)}")
            return option

        return look_up

    @cached_property
    def _known(self) -> _PointCache:
        return _PointCache()

    @cached_property
    def _parts(self) -> PartCosts:
        if self.clock is None:
            return PartCosts(self.classes)
        return PartCosts(self.classes, self.clock.of, Cost(latency=self.clock.constant))

    def _make_point_composer(self, choose: Choose) -> Composer:
        return self._make_composer(
            lambda choice, name: (choose(name, choice.options),), Coupling.none(), self._known.memory
        )

    def _make_composer(self, options: Any, coupling: Coupling, memory: Memory | None) -> Composer:
        return Composer(self.declared, self._parts, options, coupling, self.width, memory)
