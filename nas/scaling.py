"""Compound scaling: a deeper, wider network of the same family for larger images (Tan & Le 2019).

Depth multiplies the layers of stages and the normal cells between reductions, rounded up. Width multiplies
channels, rounded to a multiple of 8 that is not below 90 % of the exact product. Resolution multiplies the
input's height and width.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Literal

from nas.cost import format_count
from nas.errors import InputError
from nas.space import Space, SpaceError
from nas.space.stages import most_layers
from nas.space.tree import (
    Alternative,
    Call,
    Cells,
    Choice,
    LayerNodes,
    Node,
    Parallel,
    PerLayer,
    Residual,
    SameAs,
    Sequence,
    Stage,
    Value,
    children,
    own_values,
    walk,
)

ALPHA, BETA, GAMMA = 1.2, 1.1, 1.15
"""Depth, width and resolution of one step of phi (Tan & Le 2019, section 3.3, step 1)."""

MAX_FACTOR = 100
"""A larger factor is a mistake."""

MAX_PHI = 12
"""About 4,096 times the MACs, or a 4,096th of them."""

TOLERANCE = 0.03
"""How far from a target its network may be, as a share of the target."""


@dataclass(frozen=True, slots=True)
class Scale:
    """Factors of depth (layers of stages), width (channels) and resolution (side of the input).

    Raises InputError for a factor that is not above 0 and at most MAX_FACTOR.
    """

    depth: float = 1
    width: float = 1
    resolution: float = 1

    def __post_init__(self) -> None:
        for name in ("depth", "width", "resolution"):
            factor = getattr(self, name)
            if not 0 < factor <= MAX_FACTOR:
                raise InputError(
                    f"{name}: {factor:g} is not a factor; a factor is a number above 0, at most {MAX_FACTOR}"
                )

    def __str__(self) -> str:
        return f"depth x {self.depth:.4g}, width x {self.width:.4g}, resolution x {self.resolution:.4g}"


PUBLISHED = (
    Scale(),
    Scale(1.1, 1.0, 240 / 224),
    Scale(1.2, 1.1, 260 / 224),
    Scale(1.4, 1.2, 300 / 224),
    Scale(1.8, 1.4, 380 / 224),
    Scale(2.2, 1.6, 456 / 224),
    Scale(2.6, 1.8, 528 / 224),
    Scale(3.1, 2.0, 600 / 224),
)
"""EfficientNet-B0 to B7, as in the code published with the paper: near the curve of `compound`, not on it."""


def parse_steps(text: str) -> range:
    """The steps of `PUBLISHED` in a range such as `1..3`, both ends in. Raises InputError for other text."""
    match = re.fullmatch(r"([0-7])\.\.([0-7])", text)
    if not match or match[1] > match[2]:
        raise InputError(f"'{text}' is not a range of steps; write LOW..HIGH within 0..7")
    return range(int(match[1]), int(match[2]) + 1)


def compound(phi: float) -> Scale:
    """The scale of a compound coefficient, negative for a smaller network (Tan & Le 2019, equation 3).

    The MACs grow about 2^phi times.
    """
    return Scale(ALPHA**phi, BETA**phi, GAMMA**phi)


def scaled(space: Space, scale: Scale) -> Space:
    """The space with every depth, width and input size scaled; choices stay choices, of scaled options.

    A stage inside a stage keeps its depth. Where layers of a stage differ, a layer of the deeper stage is
    like the one at its share of the depth: the first like the first, the last like the last.

    Raises InputError where the scale does not apply, or the result cannot be built.
    """
    scaler = _Scaler(space, scale)
    result = replace(
        space,
        input=(space.input[0], *map(scaler.side, space.input[1:])),
        width=scaler.width(space.width),
        network=Sequence(space.network.name, tuple(map(scaler.node, space.network.items))),
    )
    try:
        _ = result.extent
    except SpaceError as error:
        raise InputError(f"'{space.name}' cannot be built at {scale}: {error}") from None
    return result


@dataclass(frozen=True, slots=True)
class Solution:
    """A space that was scaled. Where that was to a target, `scale` is that of `phi` but for one dimension."""

    space: Space
    scale: Scale
    phi: float | None = None


def solve(space: Space, what: Literal["macs", "params"], target: int) -> Solution:
    """The scaled network with `target` MACs or parameters, up or down: TOLERANCE below it at most.

    Layers and channels move in steps, so phi alone reaches few costs. At those phi that come nearest, the
    width, or for MACs the resolution, takes up what is missing; the network for which it has to take up
    least is given. One above the target, within TOLERANCE, is given where there is no other.

    Raises InputError where nothing comes within TOLERANCE of the target, with the nearest costs; also for a
    space with choices left, whose networks have no one cost.
    """
    if not space.is_architecture:
        raise InputError(
            f"'{space.name}' is a space of {space.extent.count:,} networks, and a target is for one; scale "
            "the file of a network, or the space by factors"
        )
    if target < 1:
        raise InputError(f"a network has no {target} {_WORDS[what]}; ask for 1 or more")
    found: dict[int, Solution] = {}
    strain: dict[int, float] = {}

    def attempt(phi: float, fine: float = 1, dimension: str = "width") -> int | None:
        base = compound(phi)
        try:
            scale = replace(base, **{dimension: getattr(base, dimension) * fine})
            result = scaled(space, scale)
        except InputError:
            return None
        cost: int = getattr(result.cost({}), what)
        if abs(math.log(fine)) < strain.get(cost, math.inf):
            found[cost], strain[cost] = Solution(result, scale, phi), abs(math.log(fine))
        return cost

    start = attempt(0)
    assert start is not None
    direction = 1 if target > start else -1
    costs = {0.0: start}
    for step in range(1, MAX_PHI * _STEPS + 1):
        phi = direction * step / _STEPS
        cost = attempt(phi)
        if cost is not None:
            costs[phi] = cost
            if (cost - target) * direction >= 0:
                break
    for phi in sorted(costs, key=lambda phi: abs(costs[phi] - target))[:_NEAREST]:
        exact = math.sqrt(target / costs[phi])  # both grow with the square
        for dimension in ("width", "resolution") if what == "macs" else ("width",):
            for percent in range(-10, 11):
                attempt(phi, exact * (1 + percent / 100), dimension)
    near = [cost for cost in found if abs(cost - target) <= TOLERANCE * target]
    if not near:
        below, above = (
            max((c for c in found if c < target), default=None),
            min((c for c in found if c > target), default=None),
        )
        nearest = " and ".join(f"{cost:,}" for cost in (below, above) if cost is not None)
        raise InputError(
            f"no scale of '{space.name}' has about {format_count(target)} {_WORDS[what]}; the nearest have "
            f"{nearest}"
        )
    return found[min(near, key=lambda cost: (cost > target, strain[cost], target - cost))]


_STEPS = 8
_NEAREST = 6
_WORDS = {"macs": "MACs", "params": "parameters"}


class _Scaler:
    def __init__(self, space: Space, scale: Scale) -> None:
        self._space = space
        self._scale = scale
        self._layers: dict[str, tuple[int, ...]] = {}
        """For each scaled stage, the old layer, from 0, that each new one is like."""
        stages = list(_outer_stages(space.network))
        if scale.depth != 1 and not stages:
            raise InputError(f"'{space.name}' has no stage, so its depth cannot be scaled; leave depth at 1")
        scaled_values: list[Value] = [*(stage.depth for stage in stages), *space.input[1:], space.width]
        self._check_couplings(scaled_values)

    def side(self, value: Value) -> Value:
        """A height or width of the input."""
        return _mapped(value, lambda side: max(1, round(side * self._scale.resolution)))

    def width(self, value: Value) -> Value:
        """The multiplier of channels; ten digits, so that 1.1 * 1.1 reads 1.21."""
        return _mapped(value, lambda width: round(width * self._scale.width, 10))

    def node(self, node: Node) -> Node:
        match node:
            case Call():
                return replace(node, args=tuple((key, self._value(v)) for key, v in node.args))
            case Sequence():
                return Sequence(node.name, tuple(map(self.node, node.items)))
            case Alternative():
                return replace(node, nodes=tuple(map(self.node, node.nodes)))
            case Parallel():
                return replace(
                    node, branches=tuple(map(self.node, node.branches)), join=self._value(node.join)
                )
            case Residual():
                return replace(
                    node,
                    body=self.node(node.body),
                    shortcut=self._value(node.shortcut),
                    act=self._value(node.act),
                )
            case LayerNodes():
                nodes = tuple(map(self.node, node.nodes))
                return replace(node, nodes=tuple(self._each_layer(nodes, node.stage)))
            case Stage():
                return self._stage(node)
            case Cells():
                return replace(node, depth=_mapped(node.depth, self._deeper))

    def _stage(self, stage: Stage) -> Stage:
        if self._layers:
            return replace(
                stage,
                depth=self._value(stage.depth),
                stride=self._value(stage.stride),
                block=self.node(stage.block),
            )
        old = most_layers(stage.depth, self._space.declared)
        depth = _mapped(stage.depth, self._deeper)
        new = self._deeper(old)
        self._layers[stage.path] = tuple(
            0 if new == 1 else round(i * (old - 1) / (new - 1)) for i in range(new)
        )
        result = replace(stage, depth=depth, block=self.node(stage.block))
        del self._layers[stage.path]
        return result

    def _deeper(self, depth: int) -> int:
        """Rounded up, but not for what floating point adds to a whole number."""
        return max(1, math.ceil(round(depth * self._scale.depth, 9)))

    def _value(self, value: Value) -> Value:
        if isinstance(value, PerLayer):
            return replace(value, values=tuple(self._each_layer(value.values, value.stage)))
        return value

    def _each_layer(self, old: tuple[Any, ...], stage: str) -> Iterator[Any]:
        """What the layers of a stage have, for its new layers."""
        return (old[i] for i in self._layers.get(stage, range(len(old))))

    def _check_couplings(self, scaled_values: list[Value]) -> None:
        """Raise InputError where a value that is scaled is the same decision as one that is not."""
        own = {value.name for value in scaled_values if isinstance(value, Choice)}
        for node in walk(self._space.network):
            for value in own_values(node):
                if isinstance(value, SameAs) and (value.target in own) != any(
                    value is v for v in scaled_values
                ):
                    raise InputError(
                        f"{value.place}: '{value.target}' couples a depth, width or input size with "
                        "something else, so it cannot be scaled; scale a network of the space instead"
                    )


def _mapped(value: Value, change: Callable[[Any], Any]) -> Value:
    """A value, or every option of a choice, changed; options that become equal are one."""
    if isinstance(value, SameAs):
        return value
    if isinstance(value, Choice):
        values = tuple(dict.fromkeys(map(change, value.values)))
        return replace(value, options=values, values=values)
    return change(value)


def _outer_stages(node: Node) -> Iterator[Stage | Cells]:
    if isinstance(node, Stage | Cells):
        yield node
        return
    for child in children(node):
        yield from _outer_stages(child)
