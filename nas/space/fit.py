"""A space for images of another size: its early strides become 1, so that its late maps stay as large.

Networks for 224 pixels halve an image five times, to 7 x 7; at 32 pixels that leaves 1 x 1 for half of their
depth. Networks for 32 pixels halve it twice, late, to 8 x 8 (He et al. 2016, section 4.2; Huang et al. 2017,
section 3; Zoph et al. 2018, figure 2; Liu et al. 2019, section 3.1). The rule here does so too.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from nas.blocks import get_block_arguments
from nas.errors import InputError
from nas.kinds import INPUT_SIDE
from nas.ops import Shape
from nas.ops.base import format_shape
from nas.space.language.source import SpaceError
from nas.space.language.tree import (
    Alternative,
    Call,
    Cells,
    Choice,
    LayerNodes,
    Node,
    Option,
    Parallel,
    PerLayer,
    Residual,
    SameAs,
    Sequence,
    Stage,
    StageStride,
    Value,
    find_couplings,
    list_chain,
    list_own_values,
    walk,
)
from nas.space.space import Choices, Space

_POOLS = ("max_pool", "avg_pool")


@dataclass(frozen=True)
class Fitted:
    """A space at another input. `strides`: whose became 1. `last` and `of_last`: shape of the last map before
    and at its own input; `of` is that input."""

    space: Space
    strides: tuple[str, ...]
    last: Shape
    of: Shape
    of_last: Shape

    def fit(self, other: Space) -> Space:
        """Return another space at this input, with a last map as near to the same. Raises as `fit_input`."""
        return fit_input(other, self.space.input[1], min(self.of_last[1:])).space

    def __str__(self) -> str:
        size = format_shape(self.space.input[1:])
        what = f"strides of {', '.join(self.strides)} are 1" if self.strides else "all strides stay"
        last, of_last, of = (format_shape(shape[1:]) for shape in (self.last, self.of_last, self.of))
        return f"Input {size}: {what}; the last map is {last}, of {of_last} at {of}."


def fit_input(space: Space, side: int, last: int | None = None) -> Fitted:
    """Return the same family for inputs of `side` x `side` pixels.

    The strides of as many parts as it takes become 1, from the first on, so that the side of the last map is
    nearest, as a ratio, to that at the space's own input, or to `last`. A pool without its stride goes, and
    so does a choice of a stride that is 1, or of an input size. All else is as it was, other choices too.

    Raises InputError where the space does not take such images.
    """
    try:
        INPUT_SIDE.check(side)
    except ValueError as error:
        raise InputError(f"--input: {error}") from None
    try:
        return _fit(space, side, last)
    except InputError as error:
        raise InputError(f"--input {side}: {error}") from None


def _fit(space: Space, side: int, last: int | None) -> Fitted:
    own = _set_side(space, max(space.input_sizes))
    of_last = find_last_shape(own)
    target = min(of_last[1:]) if last is None else last
    found: list[tuple[float, Fitted]] = []
    refused = None
    for one, names in _lower_strides(_set_side(space, side)):
        try:
            _check_couplings(one)
            shape = find_last_shape(one)
        except InputError as error:
            refused = error
            continue
        size = min(shape[1:])
        fitted = Fitted(one, names, shape, own.input, of_last)
        found.append((max(size / target, target / size), fitted))
    if not found:
        assert refused is not None
        raise refused
    fitted = min(found, key=lambda pair: pair[0])[1]  # of equals the first, which changes least
    if not fitted.strides and space.input == fitted.space.input:
        return replace(fitted, space=space)
    meta = {"input": own.input[1], "strides_of_1": list(fitted.strides)}
    return replace(fitted, space=replace(fitted.space, meta={**space.meta, "fitted_from": meta}))


def find_small_maps(space: Space, side: int) -> list[str]:
    """Return the stages whose maps are 1 x 1 at an input of `side` x `side`, and larger at the space's own.

    They are stages and stacks of cells; of a network without any, what stands in it one after the other.
    """
    try:
        own = _set_side(space, max(space.input_sizes))
        choices = _find_point(own)
        maps = zip(_list_maps(own, choices), _list_maps(_set_side(space, side), choices), strict=False)
    except InputError:
        return []  # the search says itself what it cannot build
    small = [node for (node, large), (_, here) in maps if max(here[1:]) == 1 < max(large[1:])]
    stages = [node for node in small if isinstance(node, Stage | Cells)]
    return [_name(node) for node in stages or small]


def find_last_shape(space: Space) -> Shape:
    """Return the shape of the last image before what turns images into classes. Raises SpaceError where no
    network can be built."""
    maps = _list_maps(space, _find_point(space))
    return maps[-1][1] if maps else space.input


def _set_side(space: Space, side: int) -> Space:
    """Return a space with another input and no more change.

    Raises InputError where the size was a choice that something else is coupled with.
    """
    result = replace(space, input=(space.input[0], side, side))
    _check_couplings(result)
    return result


def _find_point(space: Space) -> Choices:
    """Return a point that can be built: of first options and largest strides, which needs no count, or the
    smallest."""

    def choose(name: str, options: tuple[Option, ...]) -> Option:
        strides = [option for option in options if isinstance(option, int)]
        return max(strides, default=options[0]) if name.endswith(".stride") else options[0]

    point = space.sample(choose)
    try:
        space.cost(point)
    except SpaceError:
        return space.smallest()
    return point


def _list_maps(space: Space, choices: Choices) -> list[tuple[Node, Shape]]:
    """Return the nodes before the head of a network, one after the other, each with the image it gives."""
    maps: list[tuple[Node, Shape]] = []
    for node, shape in space.trace(choices):
        if len(shape) != 3 or (isinstance(node, Call) and node.block == "global_pool"):
            break
        maps.append((node, shape))
    return maps


def _lower_strides(space: Space) -> Iterator[tuple[Space, tuple[str, ...]]]:
    """Yield a space, and it with one more of its strides become 1 each time, and whose these are."""
    network = space.network
    names: tuple[str, ...] = ()
    faller = _Faller(space.declared)
    yield space, names
    for node in list(list_chain(network)):
        fallen = faller.fall_on_chain(node)
        if fallen != node:
            network, names = _replace(network, node, fallen), (*names, _name(node))
            yield replace(space, network=network), names


def _replace(within: Sequence, old: Node, new: Node) -> Sequence:
    """Return a sequence with one node, that very object, replaced by another."""
    items = tuple(
        new if item is old else _replace(item, old, new) if isinstance(item, Sequence) else item
        for item in within.items
    )
    return replace(within, items=items)


@dataclass(frozen=True)
class _Faller:
    """Strides that become 1."""

    declared: Mapping[str, Choice]

    def fall_on_chain(self, node: Node) -> Node:
        """Return a node of the main path without strides; a pool is there for its stride alone."""
        if isinstance(node, Call) and node.block in _POOLS and self._is_strided(_find_stride(node)):
            return _make_identity(node)
        return self.fall(node)

    def fall(self, node: Node) -> Node:
        match node:
            case Call():
                return self._fall_call(node)
            case Sequence():
                return replace(node, items=tuple(map(self.fall, node.items)))
            case Stage():
                stride = 1 if self._is_strided(node.stride) else node.stride
                return replace(node, stride=stride, block=self.fall(node.block))
            case Residual():
                return replace(node, body=self.fall(node.body))
            case Parallel():
                return replace(node, branches=tuple(map(self.fall, node.branches)))
            case Alternative() | LayerNodes():
                return replace(node, nodes=tuple(map(self.fall, node.nodes)))
            case Cells():
                return node  # its reductions are what it is made of

    def _fall_call(self, node: Call) -> Call:
        if not self._is_strided(_find_stride(node)):
            return node
        if node.block in _POOLS and not _is_odd(dict(node.args).get("kernel", 2)):
            return _make_identity(node)  # at stride 1 it would not keep the size
        return replace(node, args=tuple({**dict(node.args), "stride": 1}.items()))

    def _is_strided(self, value: Value) -> bool:
        """Return whether a stride is more than 1, or can be."""
        match value:
            case SameAs():
                return self._is_strided(self.declared[value.target])
            case Choice() | PerLayer():
                return any(map(self._is_strided, value.values))
            case StageStride():
                return False  # falls with its stage's
        return isinstance(value, int) and value > 1


def _find_stride(node: Call) -> Any:
    known = get_block_arguments(node.block)
    default = known["stride"].default if "stride" in known else 1
    return dict(node.args).get("stride", default)


def _is_odd(kernel: Value) -> bool:
    return isinstance(kernel, int) and kernel % 2 == 1


def _make_identity(node: Call) -> Call:
    return replace(node, block="identity", args=())


def _name(node: Node) -> str:
    if isinstance(node, Alternative):
        return node.choice.name.removesuffix(".block")
    assert not isinstance(node, Sequence | LayerNodes)
    return node.path


def _check_couplings(space: Space) -> None:
    """Raise InputError where a choice of a stride or a size has gone that something else is coupled with."""
    known = space.declared
    for node in walk(space.network):
        for one in find_couplings(list_own_values(node)):
            if one.target not in known:
                raise InputError(
                    f"{one.place}: is the same as '{one.target}', a stride or size that is no choice at "
                    "another input; give one of the two a value of its own"
                )
