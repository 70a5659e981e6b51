"""The operators by name, and what may become one."""

from __future__ import annotations

from typing import TypeVar

from nas.errors import NasError
from nas.ops.arguments import list_arguments
from nas.ops.base import Join, Operator, Unary

Kind = TypeVar("Kind", bound=Operator)

OPERATORS: dict[str, type[Operator]] = {}


def operator(kind: type[Kind]) -> type[Kind]:
    """Register a class of operators under its `name`.

    The class is a frozen dataclass of `Unary` or `Join`, whose fields are its arguments, each annotated with
    one kind of `nas.ops.arguments`:

        @operator
        @dataclass(frozen=True)
        class Halve(Unary):
            name: ClassVar[str] = "halve"

    Raises NasError where the name is taken, or the class is not such a one.
    """
    name = getattr(kind, "name", None)
    if not isinstance(name, str) or not issubclass(kind, Unary | Join):
        raise NasError(
            f"operator '{kind.__name__}': an operator is a Unary or a Join of nas.ops with a name; add "
            'name: ClassVar[str] = "..."'
        )
    if name in OPERATORS:
        raise NasError(f"an operator named '{name}' is registered already; give yours another name")
    missing = sorted(getattr(kind, "__abstractmethods__", ()))
    if missing:
        raise NasError(f"operator '{name}': has no {' and no '.join(missing)}; define it in the class")
    parameters = vars(kind).get("__dataclass_params__")
    if parameters is None or not parameters.frozen:
        raise NasError(
            f"operator '{name}': is not a frozen dataclass; write @dataclass(frozen=True) between @operator "
            "and the class"
        )
    try:
        for argument in list_arguments(kind).values():
            if not argument.required:
                argument.kind.read(argument.default)
    except ValueError as error:
        raise NasError(f"operator '{name}': {error}") from None
    OPERATORS[name] = kind
    return kind
