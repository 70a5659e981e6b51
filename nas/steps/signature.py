"""Settings of a step that are the arguments of a function of `nas`: its names and types are the only list."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable, Collection, Mapping, Sequence
from types import NoneType
from typing import Any

from nas.errors import InputError, suggest_word
from nas.kinds import BOOLEAN, Kind, is_number, is_whole

_KINDS: dict[Any, Kind] = {
    bool: BOOLEAN,
    int: Kind("a whole number, 0 or more", lambda value: is_whole(value, 0)),
    float: Kind("a number", is_number),
    str: Kind("text; put it in quotes", lambda value: isinstance(value, str) and value != ""),
}


def read_arguments(
    function: Callable[..., Any], given: Mapping[str, Any], where: str, without: Collection[str]
) -> dict[str, Any]:
    """Return the settings of a step as keyword arguments of a function; those of `without` are no settings.

    Lists may be written as text, `torch,onnx`. Raises InputError for an unknown one, and for a value of
    another type.
    """
    hints = typing.get_type_hints(function)
    known = [
        name
        for name, one in inspect.signature(function).parameters.items()
        if one.kind is one.KEYWORD_ONLY and name not in without
    ]
    found = {}
    for key, value in given.items():
        if key not in known:
            raise InputError(f"{where}: unknown key '{key}'{suggest_word(key, known)}")
        try:
            found[key] = _read(hints[key], value)
        except ValueError as error:
            raise InputError(f"{where}: {key}: {error}") from None
    return found


def _read(hint: Any, value: Any) -> Any:
    """Return a value of a type. Raises ValueError."""
    types = [one for one in typing.get_args(hint) if one is not NoneType]
    if NoneType in typing.get_args(hint):
        return None if value is None else _read(types[0], value)
    if typing.get_origin(hint) is Sequence:
        items = value.split(",") if isinstance(value, str) else value if isinstance(value, list) else [value]
        return [_read(types[0], item.strip() if isinstance(item, str) else item) for item in items]
    if typing.get_origin(hint) is Mapping:
        if not isinstance(value, Mapping):
            raise ValueError(f"{value!r} is not a mapping, such as {{depth: 1.2}}")
        return {key: _read(types[1], one) for key, one in value.items()}
    _KINDS[hint].check(value)
    return value
