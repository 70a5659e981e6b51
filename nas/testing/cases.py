"""Cases of operators and blocks, made from the kinds of their arguments."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from itertools import islice, product
from typing import Any, TypeVar, get_args

from nas.blocks import BLOCKS, Builder, get_block_arguments
from nas.graph import Architecture
from nas.ops import OPERATORS, Join, Operator, Shape, ShapeError
from nas.ops.arguments import Argument, Channels, list_arguments

IMAGE = (6, 9, 8)
"""What operators are tried on, as (C, H, W)."""
LARGE_IMAGE = (24, 12, 12)
"""What blocks are tried on."""
VECTOR = (24,)

_CHANNELS = (24, 8, 32, 4, 1)
"""Values that channels are tried with."""
_VALUES = (2, 3, 1, 4, 5, 0, 0.5, 0.25, "relu", "silu", "fan_in", True, False)
"""Values that other arguments are tried with, where their kind accepts them."""
_VALUES_EACH = 4
"""Values of an argument that need not be given."""
_MOST = 256
"""Combinations of required arguments that are tried."""
_BASES = 4
"""Combinations of required arguments that are kept, of those that fit."""

Case = TypeVar("Case")


@dataclass(frozen=True)
class OperatorCase:
    """An operator and the shapes of its inputs."""

    op: Operator
    inputs: tuple[Shape, ...]

    def __str__(self) -> str:
        return f"{self.op}-{self.inputs}"


@dataclass(frozen=True)
class BlockCase:
    """A block by its name, its arguments as a file has them, and the shape of its input."""

    name: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    shape: Shape = LARGE_IMAGE

    def __str__(self) -> str:
        return f"{self.name}-{self.arguments}"

    def network(self, drop_path: float = 0.0) -> Architecture:
        """Return the network of this block alone. Raises ShapeError where its input does not fit."""
        net = Builder(self.shape, 10)
        net.drop_path = drop_path
        kinds = get_block_arguments(self.name)
        converted = {key: kinds[key].kind.read(value) for key, value in self.arguments.items()}
        return net.architecture(BLOCKS[self.name](net, net.input, **converted))


def operator_cases(name: str) -> list[OperatorCase]:
    """Return cases of a registered operator on images, else on vectors; none where nothing fits."""
    kind = OPERATORS[name]
    inputs: list[tuple[Shape, ...]] = [(IMAGE,), (VECTOR,)]
    if issubclass(kind, Join):
        inputs = [(IMAGE, IMAGE), (IMAGE, (IMAGE[0], 1, 1)), (VECTOR, VECTOR)]

    def make(shapes: tuple[Shape, ...], given: Mapping[str, Any]) -> OperatorCase:
        op = kind(**given)
        op.output_shape(*shapes)
        return OperatorCase(op, shapes)

    found = ([*_make_cases(list_arguments(kind), partial(make, shapes))] for shapes in inputs)
    return next((cases for cases in found if cases), [])


def block_cases(name: str) -> list[BlockCase]:
    """Return cases of a registered block on an image, else on a vector; none where nothing fits."""

    def make(shape: Shape, given: Mapping[str, Any]) -> BlockCase:
        case = BlockCase(name, given, shape)
        case.network()
        return case

    kinds = get_block_arguments(name)
    found = ([*_make_cases(kinds, partial(make, shape))] for shape in (LARGE_IMAGE, VECTOR))
    return next((cases for cases in found if cases), [])


def _make_cases(
    arguments: Mapping[str, Argument], make: Callable[[Mapping[str, Any]], Case]
) -> Iterator[Case]:
    """Give what is made, without a ShapeError, from the required arguments at a few values each, and from the
    others at values beside their defaults, one at a time."""

    def made(given: Mapping[str, Any]) -> Iterator[Case]:
        with suppress(ShapeError):
            yield make(given)

    values = {name: _list_accepted(argument) for name, argument in arguments.items()}
    required = [name for name, argument in arguments.items() if argument.required]
    combinations = islice(product(*(values[name] for name in required)), _MOST)
    tried = (dict(zip(required, combination, strict=True)) for combination in combinations)
    bases = islice(((given, case) for given in tried for case in made(given)), _BASES)
    first: dict[str, Any] | None = None
    for given, case in bases:
        first = given if first is None else first
        yield case
    if first is None:
        return
    for name in (name for name in arguments if name not in required):
        for value in values[name][:_VALUES_EACH]:
            yield from made({**first, name: value})


def _list_accepted(argument: Argument) -> list[Any]:
    accepted: list[Any] = []
    channels = get_args(Channels)[1]
    for value in _CHANNELS if argument.kind is channels else _VALUES:
        with suppress(ValueError):
            accepted.append(argument.kind.read(value))
    return accepted
