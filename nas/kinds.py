"""Kinds of value: the one check of what operators, blocks, files and options are given, and its message.

A kind annotates a field or parameter: `kernel: Annotated[int, Kind("an odd size; ...", ...)] = 3`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from nas.errors import InputError


def _to_tuples(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _to_lists(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


@dataclass(frozen=True)
class Kind:
    """One kind of value. `rule` completes the sentence "VALUE is not ..." and says what to write instead.

    `accepts` judges a value. `parse` makes it of the plain one that a file or option has, and may raise
    InputError; `write` is its inverse.
    """

    rule: str
    accepts: Callable[[Any], bool]
    parse: Callable[[Any], Any] = _to_tuples
    write: Callable[[Any], Any] = _to_lists

    def read(self, plain: Any) -> Any:
        """Return the value that a plain one stands for. Raises ValueError where it is not of this kind."""
        try:
            value = self.parse(plain)
        except InputError as error:
            raise ValueError(str(error)) from None
        if not self.accepts(value):
            raise ValueError(self.explain(plain))
        return value

    def can_read(self, plain: Any) -> bool:
        """Return whether `read` gives a value."""
        try:
            self.read(plain)
        except ValueError:
            return False
        return True

    def check(self, value: Any) -> None:
        """Raise ValueError where a value is not of this kind."""
        if not self.accepts(value):
            raise ValueError(self.explain(value))

    def explain(self, value: Any) -> str:
        """Return value, rule and way out in one line."""
        return f"{dump_value(value)} is not {self.rule}{self._give_hint(value)}"

    def _give_hint(self, value: Any) -> str:
        """Return what a user cannot see from the value: YAML 1.1 reads 5e-4 as text."""
        try:
            number = float(value) if isinstance(value, str) else math.nan
        except ValueError:
            return ""
        return f"; in YAML write it as {number}, as {value!r} is text there" if self.accepts(number) else ""

    @property
    def is_parsed(self) -> bool:
        """Whether a plain value is text that is parsed."""
        return self.parse is not _to_tuples


def dump_value(value: Any) -> str:
    """Return a value as a file has it."""
    if value is None or isinstance(value, bool):
        return json.dumps(value)
    return repr(_to_lists(value))


def is_whole(value: Any, low: int) -> bool:
    """Return whether a value is a whole number from `low`."""
    return isinstance(value, int) and not isinstance(value, bool) and value >= low


def is_number(value: Any) -> bool:
    """Return whether a value is a finite number."""
    return isinstance(value, int | float) and not isinstance(value, bool) and -math.inf < value < math.inf


FINITE = Kind("a finite number", lambda value: is_number(value) and abs(value) < 1e300)
COUNT = Kind("a whole number, 0 or more", lambda value: is_whole(value, 0) and value < 1e30)
FIGURE = Kind("a number", lambda value: isinstance(value, int | float) and not isinstance(value, bool))
TEXT = Kind("a text", lambda value: isinstance(value, str))


def whole(rule: str, low: int, high: int | None = None) -> Kind:
    """Return the kind of whole numbers in a range, both ends in."""
    return Kind(rule, lambda value: is_whole(value, low) and (high is None or value <= high))


def number(rule: str, inside: Callable[[float], bool]) -> Kind:
    """Return the kind of finite numbers for which `inside` holds."""
    return Kind(rule, lambda value: is_number(value) and inside(value))


def one_of(what: str, names: Iterable[str]) -> Kind:
    """Return the kind of a few names."""
    allowed = tuple(names)
    return Kind(
        f"{what}; it is {join_or(allowed)}", lambda value: isinstance(value, str) and value in allowed
    )


def join_or(names: Iterable[str]) -> str:
    """Return names as a sentence has them, `sgd, adamw or rmsprop`."""
    *first, last = names
    return f"{', '.join(first)} or {last}" if first else last


def quote_each(names: Iterable[str]) -> str:
    """Return names as a list in help has them, each between backticks."""
    return ", ".join(f"`{name}`" for name in names)


def quote_or(names: Iterable[str]) -> str:
    """Return names as a sentence of help has them, "`torch` or `onnx`"."""
    return join_or(f"`{name}`" for name in names)


def text(rule: str) -> Kind:
    """Return the kind of texts that are not empty."""
    return Kind(rule, lambda value: isinstance(value, str) and value != "")


def optional(kind: Kind, null: str = "") -> Kind:
    """Return a kind with None in it, of what is not parsed; `null` says what that stands for, "for all"."""
    assert not kind.is_parsed, "what is parsed says itself what null is"
    rule = f"{kind.rule}, or null {null}" if null else kind.rule
    return replace(kind, rule=rule, accepts=lambda value: value is None or kind.accepts(value))


def parsed(
    rule: str,
    accepts: Callable[[Any], bool],
    parse: Callable[[str], Any],
    write: Callable[[Any], str],
    **null: Any,
) -> Kind:
    """Return the kind of values that are written as text. `null=VALUE` is a value that is written as null."""

    def read(plain: Any) -> Any:
        if plain is None and null:
            return null["null"]
        return parse(plain) if isinstance(plain, str) else plain

    return Kind(rule, accepts, read, lambda value: None if null and value == null["null"] else write(value))


def listed(
    rule: str,
    accepts: Callable[[Any], bool],
    parse: Callable[[Any], Any] = lambda part: part,
    **null: Any,
) -> Kind:
    """Return the kind of lists that may be written as text with commas, `1,32`. `parse` makes a part of the
    plain one, and `accepts` judges it. `null=VALUE` is as in `parsed`; else a list is not empty."""

    def read(plain: Any) -> Any:
        if plain is None and null:
            return null["null"]
        parts = plain.split(",") if isinstance(plain, str) else plain
        several = parts if isinstance(parts, Sequence) else (parts,)
        return tuple(parse(part.strip() if isinstance(part, str) else part) for part in several)

    def is_list(value: Any) -> bool:
        return isinstance(value, tuple) and bool(value) and all(map(accepts, value))

    return Kind(
        rule,
        lambda value: is_list(value) or (bool(null) and value == null["null"]),
        read,
        lambda value: None if null and value == null["null"] else ",".join(map(str, value)),
    )


BOOLEAN = Kind("true or false", lambda value: isinstance(value, bool))

INPUT_SIDE = whole("an input size; it is a whole number of pixels, 1 to 1,000,000", 1, 1_000_000)
EPOCHS = whole("a number of epochs; it is a whole number, 1 or more", 1)
CLASSES = whole("a number of classes; it is a whole number, 1 or more", 1)
SEED = whole("a seed; it is a whole number, 0 or more", 0)
CPUS = whole("a number of CPUs; it is a whole number from 1 to 1,024", 1, 1_024)
WORKERS = whole("a number of workers; it is a whole number, 0 or more", 0)
THREADS = whole("a number of threads; it is a whole number, 1 or more", 1)
TRIAL = whole("a trial; it is a whole number, 0 or more", 0)
TRIALS = whole("a number of trials; it is a whole number, 1 or more", 1)
