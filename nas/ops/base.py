"""What an operator is: one primitive layer, the only place that knows its own formulas."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, ClassVar

from nas.cost import Cost
from nas.errors import InputError
from nas.ops.ranges import ANY, Range

if TYPE_CHECKING:
    from torch import nn

Shape = tuple[int, ...]
"""Of one image: `(C, H, W)`, or `(F,)` after flatten."""


class ShapeError(InputError):
    """Shapes that do not fit; the message says which, the caller adds the place."""


@dataclass(frozen=True)
class Layer:
    """A call of a torch layer class, from which both the module and the exported source are made.

    `target` is `nn.NAME`, the name of a class in `nas.ops.layers`, or a class of one's own, which uses torch
    alone. `init` is one of `nas.ops.arguments.INITS` or a standard deviation; of a batch norm, its scale.
    """

    target: str | type[nn.Module]
    args: tuple[Any, ...] = ()
    kwargs: tuple[tuple[str, Any], ...] = ()
    init: str | float = "torch"

    def source(self) -> str:
        """Return the call as Python text, such as `nn.Conv2d(3, 32, 3, stride=2)`, without `init`."""
        shown = [repr(a) for a in self.args] + [f"{k}={v!r}" for k, v in self.kwargs]
        return f"{self.name}({', '.join(shown)})"

    @property
    def name(self) -> str:
        """The class as an exported file names it: `nn.Conv2d`, `StochasticDepth`."""
        return self.target if isinstance(self.target, str) else self.target.__name__

    def carried(self) -> type[nn.Module] | None:
        """Return the class whose source an exported file carries; None for one of torch.nn."""
        return None if self.name.startswith("nn.") else self._find_class()

    def build(self) -> nn.Module:
        """Build the module, with its initial weights."""
        from nas.ops.initial import initialise

        module = self._find_class()(*self.args, **dict(self.kwargs))
        if self.init != "torch":
            initialise(module, self.init)
        return module

    def _find_class(self) -> type[nn.Module]:
        from torch import nn

        from nas.ops import layers

        if not isinstance(self.target, str):
            return self.target
        owner = nn if self.target.startswith("nn.") else layers
        kind: type[nn.Module] = getattr(owner, self.target.removeprefix("nn."))
        return kind


@dataclass(frozen=True)
class Operator(ABC):
    """One primitive layer without its place in a network. Its fields are its arguments.

    Shapes passed in are those of the inputs, in the order of their slots.
    """

    name: ClassVar[str]
    is_identity: ClassVar[bool] = False
    """Output equals input, whatever the weights."""
    is_training_only: ClassVar[bool] = False
    """Changes values while training; in evaluation the output equals the input."""
    is_channelwise: ClassVar[bool] = False
    """Channel i of the output is made from channel i of the input alone. So are weights, if it has any: there
    is one of each for a channel."""
    has_filters: ClassVar[bool] = False
    """Its `weight` is (O, I, ...), a filter for each output channel; other parameters have one value each."""
    keeps_zero: ClassVar[bool] = False
    """A zero input gives a zero output."""
    is_idempotent: ClassVar[bool] = False
    """Applied again to its own output it changes nothing, while training either."""
    is_join: ClassVar[bool] = False
    """It is a `Join`, which takes a hundred times as long to ask of its class."""
    leaves_out_zeros: ClassVar[bool] = False
    """Inputs that are zero can be left out: of a sum."""
    is_view: ClassVar[bool] = False
    """While a network is not trained, the output of one image lies in the memory of the input."""
    details: ClassVar[tuple[str, ...]] = ()
    """Arguments that change neither shape nor cost: a space's defaults for them reach inside blocks."""

    @abstractmethod
    def output_shape(self, *inputs: Shape) -> Shape:
        """Return the shape of the output. Raises ShapeError where the inputs do not fit."""

    def cost(self, *inputs: Shape) -> Cost:
        """Return the cost at these input shapes; none unless the operator overrides it."""
        return Cost()

    def gives_zero(self, zeros: Sequence[bool]) -> bool:
        """Return whether the output is zero whatever the weights, given which inputs are."""
        return self.keeps_zero and zeros[0]

    def output_range(self, *inputs: Range) -> Range:
        """Return the range of the output's values, while training too and whatever the weights, given those
        of the inputs; any unless the operator says more."""
        return ANY

    def is_identity_on(self, shape: Shape, values: Range) -> bool:
        """Return whether the output equals an input of this shape whose values are in this range, while
        training too. It is asked where the output has the shape of the input."""
        return self.is_identity

    def absorbs(self, before: Operator) -> bool:
        """Return whether the output is the same where `before`, which stands before it, is left out."""
        return self.is_idempotent and before == self

    def arguments(self) -> dict[str, Any]:
        """Return the fields by name as plain values, as files store them."""
        return {f.name: getattr(self, f.name) for f in fields(self)}


class Unary(Operator):
    """An operator with one input, which is one torch layer."""

    @abstractmethod
    def layer(self, shape: Shape) -> Layer:
        """Return the torch layer for an input of this shape."""


class Join(Operator):
    """An operator with several inputs whose order does not matter, which is an expression."""

    is_join: ClassVar[bool] = True
    is_associative: ClassVar[bool] = False
    """A join of joins like it is one join of all that they join, in the same order."""
    stacks_channels: ClassVar[bool] = False
    """The channels of its inputs stand in the output one behind the other: the order is that of channels."""

    @abstractmethod
    def apply(self, inputs: Sequence[Any]) -> Any:
        """Join tensors or fx proxies."""

    @abstractmethod
    def expression(self, inputs: Sequence[str]) -> str:
        """Return the join as Python text, given the text of its inputs."""


def expect_image(shape: Shape) -> tuple[int, int, int]:
    """Return a shape as `(C, H, W)`. Raises ShapeError for a vector."""
    if len(shape) != 3:
        raise ShapeError(f"needs an image (C, H, W), got a vector of {shape[0]} features after flatten")
    return shape[0], shape[1], shape[2]


def format_shape(shape: Shape) -> str:
    """Return a shape as text for messages, such as `64 x 56 x 56`."""
    return " x ".join(str(n) for n in shape)
