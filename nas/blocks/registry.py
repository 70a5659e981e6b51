"""The blocks by name, and what a block is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from inspect import Parameter, signature

from nas.blocks.builder import Ref
from nas.errors import NasError
from nas.ops import OPERATORS, Operator, Unary
from nas.ops.arguments import Argument, list_arguments

BLOCKS: dict[str, Callable[..., Ref]] = {}


def block(recipe: Callable[..., Ref]) -> Callable[..., Ref]:
    """Register a block under its function's name.

    The recipe takes a builder and the input, then keyword-only arguments, each annotated with one kind of
    `nas.ops.arguments`:

        @block
        def twice(net, x, *, out: Channels, kernel: Kernel = 3):
            x = net.conv_norm_act(x, out, kernel, name="first")
            return net.conv_norm_act(x, out, kernel, name="second")

    Raises NasError where the name is taken, or the recipe does not take this.
    """
    name = recipe.__name__
    if name in BLOCKS or name in OPERATORS:
        raise NasError(f"a block named '{name}' is registered already; give yours another name")
    positional = [p for p in signature(recipe).parameters.values() if p.kind is not p.KEYWORD_ONLY]
    if [p.kind for p in positional] != [Parameter.POSITIONAL_OR_KEYWORD] * 2:
        raise NasError(f"block '{name}': a block takes (net, x, *, ...), all arguments after the star")
    try:
        for argument in list_arguments(recipe).values():
            if not argument.required:
                argument.kind.read(argument.default)
    except ValueError as error:
        raise NasError(f"block '{name}': {error}") from None
    BLOCKS[name] = recipe
    return recipe


def list_blocks() -> list[str]:
    """Return the names that a space can call: blocks, and operators with one input."""
    return sorted([*BLOCKS, *(name for name, op in OPERATORS.items() if issubclass(op, Unary))])


def is_operator(name: str) -> bool:
    return name not in BLOCKS


def is_bundled(name: str) -> bool:
    """Return whether a block is one of nas: what it adds depends on its arguments and its input alone, where
    one of a user's own may do anything."""
    return BLOCKS[name].__module__.startswith("nas.blocks.")


def is_detail(name: str, argument: str) -> bool:
    """Return whether blocks leave that argument of an operator open."""
    return is_operator(name) and name in OPERATORS and argument in OPERATORS[name].details


def get_block_arguments(name: str) -> Mapping[str, Argument]:
    """Return the arguments of a block or operator by name."""
    return list_arguments(BLOCKS[name] if name in BLOCKS else OPERATORS[name])


def make_operator(name: str, arguments: Mapping[str, object]) -> Operator:
    """Make the operator of that name."""
    return OPERATORS[name](**arguments)
