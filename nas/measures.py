"""What networks are limited by and judged by, and budgets over that.

Another measure is a row of `MEASURES`, a test, and its row in `docs/measures.md`: nothing else knows one by
its name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from nas.cost import (
    BYTES,
    Cost,
    Interval,
    format_count,
    format_latency,
    parse_bytes,
    parse_count,
    parse_interval,
    parse_latency,
    shorten_latency,
)
from nas.errors import InputError, suggest_word

if TYPE_CHECKING:
    from nas.graph import Architecture


@dataclass(frozen=True)
class Measure:
    """Something that a network has so much of, a whole number.

    `name`: in options, files and objectives, where `aliases` stand for it too. `label`: in tables. `noun`: of
    what a number is, in a sentence. `about`: what is counted, for the documentation. `unit`: written behind a
    figure, none where things are counted. `parse` reads an amount, `show` writes it exactly, and `short` with
    three digits.

    It is had either from a cost or from the whole graph. With `of_cost` it adds up along a network, being a
    sum of figures of the cost: it is counted exactly over a space. With `of_architecture` it does not, and
    networks inside a limit are found by drawing; `at_least` then says of which measure that adds up a network
    always has so many times as much, so that fewer are drawn in vain. Measures of one name are equal.
    """

    name: str
    label: str = field(compare=False)
    noun: str = field(compare=False)
    about: str = field(compare=False)
    aliases: tuple[str, ...] = field(default=(), compare=False)
    unit: str = field(default="", compare=False)
    parse: Callable[[str], int] = field(default=parse_count, compare=False)
    show: Callable[[int], str] = field(default="{:,}".format, compare=False)
    short: Callable[[int], str] = field(default=format_count, compare=False)
    of_cost: Callable[[Cost], int] | None = field(default=None, compare=False)
    of_architecture: Callable[[Architecture], int] | None = field(default=None, compare=False)
    at_least: tuple[int, Measure] | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        assert (self.of_cost is None) != (self.of_architecture is None), "from a cost, or from the graph"

    @property
    def is_additive(self) -> bool:
        """Whether the amount of a network is the sum of the amounts of its parts."""
        return self.of_cost is not None

    @property
    def word(self) -> str:
        """The name by which it is written in objectives: FLOPs are known better than MACs."""
        return "flops" if "flops" in self.aliases else self.name

    @property
    def of(self) -> Callable[[Cost], int]:
        """The amount at a cost, of a measure that adds up."""
        assert self.of_cost is not None, f"{self.name} does not follow from a cost"
        return self.of_cost

    def parse_interval(self, text: str) -> Interval:
        """Read a limit, `400M` or `300M..400M`. Raises InputError for one that cannot be read."""
        return parse_interval(text, self.parse)

    def format(self, amount: int) -> str:
        """Return an amount with three digits and its unit, `386M` or `8.21MB`, for reading."""
        return self.short(amount) + self.unit


Amounts = Callable[[Measure], int]
"""The amounts of one network: how much of a measure it has."""


def make_amounts(cost: Cost) -> Amounts:
    """Return the amounts of a network of this cost, of measures that add up."""
    return lambda measure: measure.of(cost)


def _get_macs(cost: Cost) -> int:
    return cost.macs


def _get_params(cost: Cost) -> int:
    return cost.params


def _get_activations(cost: Cost) -> int:
    return cost.activations


def _get_latency(cost: Cost) -> int:
    return cost.latency


def _compute_memory(architecture: Architecture) -> int:
    from nas.graph.memory import compute_peak_memory  # with the operators, which take their time

    return compute_peak_memory(architecture)


MACS = Measure(
    "macs", "MACs", "MACs",
    "multiply-accumulates of convolutions, linear layers and matrix products",
    aliases=("flops",), of_cost=_get_macs,
)  # fmt: skip
PARAMS = Measure(
    "params", "params", "parameters", "learnable numbers", aliases=("parameters",), of_cost=_get_params
)
ACTIVATIONS = Measure(
    "activations", "activations", "activations",
    "elements that convolutions and linear layers write (Radosavovic et al. 2020, section 3.1)",
    of_cost=_get_activations,
)  # fmt: skip
MEMORY = Measure(
    "memory", "memory", "bytes of memory",
    "bytes that inference of one image takes at most, in float32, weights included",
    unit="B", parse=parse_bytes, of_architecture=_compute_memory, at_least=(BYTES, PARAMS),
)  # fmt: skip
LATENCY = Measure(
    "latency", "latency", "latency",
    "time of one image in a runtime, as a table of this device predicts it",
    parse=parse_latency, show=format_latency, short=shorten_latency, of_cost=_get_latency,
)  # fmt: skip

MEASURES: dict[str, Measure] = {measure.name: measure for measure in (MACS, PARAMS, ACTIVATIONS, MEMORY)}
"""By name. Of the limited ones that add up the first is the one that networks are counted and drawn by.

They are known of any space; latency is of one with a `nas.space.clock.Clock` alone."""

SHOWN = (MACS, PARAMS)
"""What tables have columns of, whatever is limited."""


def find_measure(text: str) -> Measure:
    """Return the measure of a name or an alias, in capitals or not. Raises InputError where there is none.

    >>> find_measure("FLOPs") is MACS
    True
    """
    known = {word: measure for measure in _list_known() for word in (measure.name, *measure.aliases)}
    if text.strip().lower() not in known:
        raise InputError(f"'{text}' is not a measure{suggest_word(text.lower(), list(known))}")
    return known[text.strip().lower()]


def is_known(measure: Measure) -> bool:
    """Return whether `find_measure` finds a measure by its name."""
    return measure in _list_known()


def _list_known() -> tuple[Measure, ...]:
    return (*MEASURES.values(), LATENCY)


class Budget(Mapping[Measure, Interval]):
    """What a network may have: an interval of each measure that is limited, those that add up first.

    It does not change and can be hashed; the order of what it is made of does not count.
    """

    __slots__ = ("_additive", "_limits")

    def __init__(self, limits: Mapping[Measure, Interval] | None = None) -> None:
        given = {m: interval for m, interval in (limits or {}).items() if interval != Interval()}
        self._limits = {measure: given[measure] for measure in sorted(given, key=_rank)}
        self._additive = _find_implied(self._limits)

    @classmethod
    def parse(cls, texts: Mapping[str, str]) -> Budget:
        """Return the budget of limits by the names of their measures, `{"flops": "300M..400M"}`.

        >>> str(Budget.parse({"flops": "300M..400M", "memory": "8MB"}))
        'MACs 300,000,000..400,000,000 and memory <= 8,000,000 B'

        Raises InputError for an unknown measure, one that is limited twice and a limit that cannot be read.
        """
        limits: dict[Measure, Interval] = {}
        for name, text in texts.items():
            measure = find_measure(name)
            if measure in limits:
                raise InputError(f"{name}: {measure.noun} are limited twice; keep one limit")
            given: object = text  # of a user's own
            if not isinstance(given, str):
                raise InputError(f"{name}: {given!r:.60} is not a limit; write it as text, such as '400M'")
            try:
                limits[measure] = measure.parse_interval(text)
            except InputError as error:
                raise InputError(f"{name}: {error}") from None
        return cls(limits)

    @property
    def texts(self) -> dict[str, str]:
        """The limits as text by the names of their measures, from which `parse` makes an equal budget."""
        return {measure.name: interval.text for measure, interval in self.items()}

    @property
    def counted(self) -> Measure:
        """What networks inside are counted and drawn by: the first limit that adds up, else the first that
        follows from one that does not, else MACs."""
        return next(iter(self._additive), MACS)

    @property
    def counted_limit(self) -> Interval:
        """The limit of `counted`, or what follows for it."""
        return self._additive.get(self.counted, Interval())

    @property
    def others(self) -> tuple[Measure, ...]:
        """What is limited besides `counted`: a network that is drawn may be outside of it."""
        return tuple(measure for measure in self if measure != self.counted)

    def admits(self, amounts: Amounts) -> bool:
        """Return whether a network is inside: the only test of it.

        What does not add up is worked out last, and only where all else is inside.
        """
        if not all(amounts(measure) in interval for measure, interval in self._additive.items()):
            return False
        return all(amounts(m) in interval for m, interval in self.items() if not m.is_additive)

    def __getitem__(self, measure: Measure) -> Interval:
        return self._limits[measure]

    def __iter__(self) -> Iterator[Measure]:
        return iter(self._limits)

    def __len__(self) -> int:
        return len(self._limits)

    def __hash__(self) -> int:
        return hash(tuple(self.items()))

    def __repr__(self) -> str:
        return f"<Budget {self}>"

    def __str__(self) -> str:
        parts = (f"{m.label} {interval.format(m.show)} {m.unit}".rstrip() for m, interval in self.items())
        return " and ".join(parts) or "no budget"


def _find_implied(limits: Mapping[Measure, Interval]) -> dict[Measure, Interval]:
    """Return the limits of what adds up, and after them those that follow from the limits of what does
    not."""
    found = {measure: interval for measure, interval in limits.items() if measure.is_additive}
    for measure, interval in limits.items():
        if measure.at_least is not None and interval.high is not None:
            times, other = measure.at_least
            known, most = found.get(other, Interval()), interval.high // times
            found[other] = replace(known, high=most if known.high is None else min(known.high, most))
    return found


def _rank(measure: Measure) -> tuple[bool, int, str]:
    order = [*MEASURES]
    place = order.index(measure.name) if measure.name in order else len(order)
    return not measure.is_additive, place, measure.name
