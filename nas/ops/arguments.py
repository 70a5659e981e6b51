"""Kinds of argument that operators and blocks take: what is allowed, and how the rule reads.

A kind annotates a parameter, `kernel: Kernel = 3`; `list_arguments` reads the annotations back. The one check
of a value is `Kind.read`, used for operators, blocks and the space language alike.
"""

from __future__ import annotations

import dataclasses
import inspect
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any

from nas.kinds import BOOLEAN, Kind, is_number, is_whole

ACTIVATIONS = {
    "relu": "nn.ReLU",
    "relu6": "nn.ReLU6",
    "leaky_relu": "nn.LeakyReLU",
    "elu": "nn.ELU",
    "gelu": "nn.GELU",
    "silu": "nn.SiLU",
    "hardswish": "nn.Hardswish",
    "mish": "nn.Mish",
    "tanh": "nn.Tanh",
    "sigmoid": "nn.Sigmoid",
    "hardsigmoid": "nn.Hardsigmoid",
}


_MOST_CHANNELS = 1_000_000
_MOST_RATIO = 1_000


def _allow_pair(check: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: (
        check(value) or (isinstance(value, tuple) and len(value) == 2 and all(check(v) for v in value))
    )


Channels = Annotated[
    int,
    Kind(
        f"a number of channels; channels are a whole number from 1 to {_MOST_CHANNELS:,}",
        lambda v: is_whole(v, 1) and v <= _MOST_CHANNELS,
    ),
]
Count = Annotated[int, Kind("a count; a count is a whole number, 1 or more", lambda v: is_whole(v, 1))]
Kernel = Annotated[
    int | tuple[int, int],
    Kind(
        "an odd kernel size; a kernel is 1, 3, 5, 7, ... or a pair of these, such as [1, 7]",
        _allow_pair(lambda v: is_whole(v, 1) and v % 2 == 1),
    ),
]
OddSize = Annotated[
    int, Kind("an odd size; a size is 1, 3, 5, 7, ...", lambda v: is_whole(v, 1) and v % 2 == 1)
]
Window = Annotated[
    int, Kind("a pooling window; a window is a whole number of pixels, 1 or more", lambda v: is_whole(v, 1))
]
Stride = Annotated[int, Kind("a stride; a stride is a whole number, 1 or more", lambda v: is_whole(v, 1))]
Padding = Annotated[
    int | tuple[int, int] | None,
    Kind(
        "a padding; a padding is a whole number of pixels, 0 or more, or a pair of these",
        lambda v: v is None or _allow_pair(lambda p: is_whole(p, 0))(v),
    ),
]
Probability = Annotated[
    float, Kind("a probability; it is a number from 0 to below 1", lambda v: is_number(v) and 0 <= v < 1)
]
Ratio = Annotated[
    float,
    Kind(
        f"a ratio; a ratio is a number above 0, at most {_MOST_RATIO:,}",
        lambda v: is_number(v) and 0 < v <= _MOST_RATIO,
    ),
]
Fraction = Annotated[
    float, Kind("a fraction; a fraction is a number from 0 to 1", lambda v: is_number(v) and 0 <= v <= 1)
]
Positive = Annotated[float, Kind("a positive number", lambda v: is_number(v) and v > 0)]
Index = Annotated[int, Kind("an index; an index is a whole number, 0 or more", lambda v: is_whole(v, 0))]
Flag = Annotated[bool, BOOLEAN]
Activation = Annotated[
    str,
    Kind(
        f"an activation; an activation is none, {', '.join(ACTIVATIONS)}",
        lambda v: v in ("none", *ACTIVATIONS),
    ),
]

INITS = (
    "torch",
    "lecun",
    "fan_in",
    "fan_out",
    "fan_out_grouped",
    "fan_in_uniform",
    "fan_out_uniform",
    "out_uniform",
)
"""Distributions of initial weights by name; `nas.ops.initial.initialise` draws from them."""

Init = Annotated[
    str | float,
    Kind(
        f"an initialisation; it is {', '.join(INITS)}, or the standard deviation of a normal distribution",
        lambda v: v in INITS or (is_number(v) and v > 0),
    ),
]


@dataclass(frozen=True)
class Argument:
    """One argument of an operator or block; `default` is `Argument.REQUIRED` where it must be given."""

    kind: Kind
    default: Any

    REQUIRED: typing.ClassVar[object] = inspect.Parameter.empty

    @property
    def required(self) -> bool:
        return self.default is Argument.REQUIRED


@cache
def list_arguments(recipe: Callable[..., Any]) -> Mapping[str, Argument]:
    """Return the arguments of an operator class or of a block function, by name.

    A block's arguments are its keyword-only parameters; an operator's are its fields. Raises ValueError where
    one is not annotated with a kind, or has the name of what every node has.
    """
    hints = typing.get_type_hints(recipe, include_extras=True)
    keyword_only = not dataclasses.is_dataclass(recipe)
    arguments = {}
    for name, parameter in inspect.signature(recipe).parameters.items():
        if keyword_only and parameter.kind is not inspect.Parameter.KEYWORD_ONLY:
            continue
        kinds = [k for k in getattr(hints.get(name), "__metadata__", ()) if isinstance(k, Kind)]
        if len(kinds) != 1:
            raise ValueError(
                f"argument '{name}' has no kind; annotate it with one of nas.ops.arguments, such as Channels"
            )
        if name == "name":
            raise ValueError("'name' is every node's own argument; choose another name")
        arguments[name] = Argument(kinds[0], parameter.default)
    return arguments
