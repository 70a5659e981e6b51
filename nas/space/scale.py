"""Scaling a space: deeper, wider, for larger images (Tan & Le 2019).

Depth multiplies the layers of stages and the normal cells between reductions, rounded up. Width multiplies
channels, rounded to a multiple of 8 that is not below 90 % of the exact product. Resolution multiplies the
input's height and width.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from nas.errors import InputError
from nas.kinds import Kind, number
from nas.ops.arguments import Ratio
from nas.space.language.parse_cells import CELL_DEPTH
from nas.space.language.parse_nodes import STAGE_DEPTH
from nas.space.language.parse_values import get_kind
from nas.space.language.source import SpaceError
from nas.space.language.stages import find_max_depth
from nas.space.language.tree import (
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
    find_couplings,
    list_children,
    list_own_values,
    walk,
)
from nas.space.space import Space

MAX_FACTOR = 100
"""A larger factor is a mistake."""
FACTOR = number(
    f"a factor; a factor is a number above 0, at most {MAX_FACTOR}", lambda factor: 0 < factor <= MAX_FACTOR
)


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
            try:
                FACTOR.check(getattr(self, name))
            except ValueError as error:
                raise InputError(f"{name}: {error}") from None

    def __str__(self) -> str:
        return f"depth x {self.depth:.4g}, width x {self.width:.4g}, resolution x {self.resolution:.4g}"


def scale_space(space: Space, scale: Scale) -> Space:
    """Scale every depth, width and input size of a space; choices stay choices, of scaled options.

    A stage inside a stage keeps its depth. Where layers of a stage differ, a layer of the deeper stage is
    like the one at its share of the depth: the first like the first, the last like the last.

    Raises InputError where the scale does not apply, or the result cannot be built.
    """
    result = scale_unchecked(space, scale)
    try:
        _ = result.points
    except SpaceError as error:
        raise InputError(f"'{space.name}' cannot be built at {scale}: {error}") from None
    return result


def scale_unchecked(space: Space, scale: Scale) -> Space:
    """Scale as `scale_space`, without the proof that the result can be built."""
    scaler = _Scaler(space, scale)
    return replace(
        space,
        input=(space.input[0], *map(scaler.scale_side, space.input[1:])),
        width=scaler.scale_width(space.width),
        network=Sequence(space.network.name, tuple(map(scaler.scale_node, space.network.items))),
    )


class _Scaler:
    def __init__(self, space: Space, scale: Scale) -> None:
        self._space = space
        self._scale = scale
        self._layers: dict[str, tuple[int, ...]] = {}
        """For each scaled stage, the old layer, from 0, that each new one is like."""
        stages = list(_find_outer_stages(space.network))
        if scale.depth != 1 and not stages:
            raise InputError(f"'{space.name}' has no stage, so its depth cannot be scaled; leave depth at 1")
        scaled_values: list[Value] = [*(stage.depth for stage in stages), *space.input[1:], space.width]
        self._check_couplings(scaled_values)

    def scale_side(self, value: Value) -> Value:
        """Scale a height or width of the input."""
        return _map_options(value, lambda side: max(1, round(side * self._scale.resolution)))

    def scale_width(self, value: Value) -> Value:
        """Scale the multiplier of channels, to ten digits, so that 1.1 * 1.1 reads 1.21."""
        return _map_options(
            value, lambda width: self._check(get_kind(Ratio), round(width * self._scale.width, 10))
        )

    def scale_node(self, node: Node) -> Node:
        match node:
            case Call():
                return replace(node, args=tuple((key, self._stretch_value(v)) for key, v in node.args))
            case Sequence():
                return Sequence(node.name, tuple(map(self.scale_node, node.items)))
            case Alternative():
                return replace(node, nodes=tuple(map(self.scale_node, node.nodes)))
            case Parallel():
                return replace(
                    node,
                    branches=tuple(map(self.scale_node, node.branches)),
                    join=self._stretch_value(node.join),
                )
            case Residual():
                return replace(
                    node,
                    body=self.scale_node(node.body),
                    shortcut=self._stretch_value(node.shortcut),
                    act=self._stretch_value(node.act),
                )
            case LayerNodes():
                nodes = tuple(map(self.scale_node, node.nodes))
                values = (v for layer in node.nodes for inner in walk(layer) for v in list_own_values(inner))
                return replace(node, nodes=self._stretch_layers(nodes, node.stage, values))
            case Stage():
                return self._scale_stage(node)
            case Cells():
                return replace(node, depth=_map_options(node.depth, partial(self._scale_depth, CELL_DEPTH)))

    def _scale_stage(self, stage: Stage) -> Stage:
        if self._layers:
            return replace(
                stage,
                depth=self._stretch_value(stage.depth),
                stride=self._stretch_value(stage.stride),
                block=self.scale_node(stage.block),
            )
        old = find_max_depth(stage.depth, self._space.declared)
        depth = _map_options(stage.depth, partial(self._scale_depth, STAGE_DEPTH))
        new = self._scale_depth(STAGE_DEPTH, old)
        self._layers[stage.path] = tuple(
            0 if new == 1 else round(i * (old - 1) / (new - 1)) for i in range(new)
        )
        result = replace(stage, depth=depth, block=self.scale_node(stage.block))
        del self._layers[stage.path]
        return result

    def _scale_depth(self, kind: Kind, depth: int) -> int:
        """Scale and round up, but not for what floating point adds to a whole number."""
        return int(self._check(kind, max(1, math.ceil(round(depth * self._scale.depth, 9)))))

    def _check(self, kind: Kind, scaled: Any) -> Any:
        """Return a scaled value. Raises InputError for one that no file of a space may have."""
        try:
            return kind.read(scaled)
        except ValueError as error:
            name = self._space.name
            raise InputError(f"'{name}' cannot be scaled so far: {error}; scale it by less") from None

    def _stretch_value(self, value: Value) -> Value:
        if isinstance(value, PerLayer):
            values = tuple(map(self._stretch_value, value.values))
            return replace(value, values=self._stretch_layers(values, value.stage, values))
        return value

    def _stretch_layers(self, old: tuple[Any, ...], stage: str, values: Iterable[Value]) -> tuple[Any, ...]:
        """Return what the layers of a stage have, for its new layers; `values` are all in the `old` ones.

        Raises InputError where a layer has a choice of its own, whose name says which layer it is of.
        """
        same = tuple(range(len(old)))
        layers = self._layers.get(stage, same)
        choice = next(_find_choices(values), None) if layers != same else None
        if choice:
            raise InputError(
                f"{self._space.file}: '{choice.name}' is a choice of one layer, so the depth of its stage "
                "cannot be scaled; scale a network of the space instead"
            )
        return tuple(old[i] for i in layers)

    def _check_couplings(self, scaled_values: list[Value]) -> None:
        """Raise InputError where a value that is scaled is the same decision as one that is not."""
        own = {value.name for value in scaled_values if isinstance(value, Choice)}
        for node in walk(self._space.network):
            for value in find_couplings(list_own_values(node)):
                if (value.target in own) != any(value is v for v in scaled_values):
                    raise InputError(
                        f"{value.place}: '{value.target}' couples a depth, width or input size with "
                        "something else, so it cannot be scaled; scale a network of the space instead"
                    )


def has_stages(space: Space) -> bool:
    """Return whether there is anything in a space whose depth is scaled."""
    return next(_find_outer_stages(space.network), None) is not None


def _find_choices(values: Iterable[Value]) -> Iterator[Choice]:
    for value in values:
        if isinstance(value, PerLayer):
            yield from _find_choices(value.values)
        elif isinstance(value, Choice):
            yield value


def _map_options(value: Value, change: Callable[[Any], Any]) -> Value:
    """Change a value, or every option of a choice; options that become equal are merged."""
    if isinstance(value, SameAs):
        return value
    if isinstance(value, Choice):
        values = tuple(dict.fromkeys(map(change, value.values)))
        return replace(value, options=values, values=values)
    return change(value)


def _find_outer_stages(node: Node) -> Iterator[Stage | Cells]:
    if isinstance(node, Stage | Cells):
        yield node
        return
    for child in list_children(node):
        yield from _find_outer_stages(child)
