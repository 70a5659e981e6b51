"""Settings: fields with a kind and an option, and the dataclasses that they are gathered in.

    trials: Annotated[int, whole("a number of trials; ...", 1), Option("Networks to try.", "Search")] = 50

From such a field come the flag, its help, the key in files, the message about a wrong value and the row of
the documentation.
"""

from __future__ import annotations

import dataclasses
import sys
import typing
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import MISSING, dataclass
from enum import Flag, auto
from inspect import Signature, signature
from typing import Any, Self

from nas.errors import InputError, suggest_word
from nas.kinds import Kind, dump_value


class User(Flag):
    """Who takes the settings of a search beside a search by the proxy, and may have no use for some."""

    NOBODY = 0
    EVALUATOR = auto()
    """A search by an evaluator of a user's own."""
    CALIBRATION = auto()


@dataclass(frozen=True)
class Option:
    """How a setting is given. `help` says what it does; a word in backticks is a value.

    `panel`: the group that it is listed in. `key`: its name in files, where that is not the field's. `flags`:
    its options, None for one like the key, empty for none of its own. `is_argument`: it needs no flag.
    `is_repeatable`: it may be given several times, as lists that are not written as text always may.
    `resumable`: a search or training that goes on may change it. `again`: of which plain values that imports,
    opens or connects to something, so that they act only where they are given again. `unused_by`: on whom it
    has no effect. `missing`: the way out where it is not given and has no default.
    """

    help: str
    panel: str | None = None
    key: str | None = None
    flags: tuple[str, ...] | None = None
    is_argument: bool = False
    is_repeatable: bool = False
    resumable: bool = False
    again: Callable[[Any], bool] | None = None
    unused_by: User = User.NOBODY
    missing: str = "give it"


@dataclass(frozen=True)
class Setting:
    """One setting: its key in files, the type, kind and default of its values, and how it is given."""

    key: str
    type: Any
    kind: Kind
    option: Option
    default: Any = MISSING

    @property
    def flags(self) -> tuple[str, ...]:
        """The options that give it on a command line: those that it names, else one like the key."""
        if self.option.is_argument:
            return ()
        return (f"--{self.key.replace('_', '-')}",) if self.option.flags is None else self.option.flags

    @property
    def types(self) -> list[Any]:
        """The types of its values, but for None."""
        return [t for t in typing.get_args(self.type) or (self.type,) if t is not type(None)]

    @property
    def width(self) -> int:
        """How many values its option takes: two of a range."""
        return len(typing.get_args(self.types[0])) or 1

    @property
    def shown_default(self) -> str | None:
        """The default as a user writes it; None where nothing stands for it."""
        plain = None if self.default is MISSING else self.kind.write(self.default)
        return None if plain in (None, []) else plain if isinstance(plain, str) else dump_value(plain)


@dataclass(frozen=True)
class Keys:
    """A value that files have under several keys, declared by the fields of `of`.

    `read` makes it of the values of the keys that are given, `write` gives their values. `value_type`: as the
    annotation has it.
    """

    of: type[Config]
    read: Callable[[Mapping[str, Any]], Any]
    write: Callable[[Any], Mapping[str, Any]]
    value_type: Any = None


class _Plain:
    """The signature of a config without its annotations, which declare more than a notebook shows."""

    def __get__(self, config: object, of: type[Config]) -> Signature:
        whole = signature(of.__init__)
        return Signature([one.replace(annotation=one.empty) for one in [*whole.parameters.values()][1:]])


class Config:
    """A frozen dataclass of settings, in a file a mapping of their keys.

    A field is a setting, annotated with a `Kind` and an `Option`; or a value of several keys, with `Keys`; or
    another Config, whose keys stand among the others or, where that has a `SECTION`, under it.

    Raises InputError for a value that is not allowed.
    """

    SECTION = ""

    __signature__ = _Plain()

    def __init_subclass__(cls) -> None:
        setattr(cls, "__repr__", Config.__repr__)  # noqa: B010  # else a dataclass makes its own

    def __repr__(self) -> str:
        return f"{type(self).__name__}.from_data({self.select_given()!r})"

    def __post_init__(self) -> None:
        for name, part in list_parts(type(self)).items():
            value = getattr(self, name)
            if isinstance(part, Setting):
                self._check(name, part, value)
            elif not isinstance(value, part.value_type):
                raise InputError(
                    f"{name}: {value!r:.60} is no {part.value_type.__name__}; give one, or plain values to "
                    f"{type(self).__name__}.from_data"
                )

    def _check(self, name: str, setting: Setting, value: Any) -> None:
        try:
            setting.kind.check(value)
        except ValueError as error:
            if setting.kind.can_read(value):
                raise InputError(
                    f"{name}: {value!r:.60} is a plain value, as files have it; give it to "
                    f"{type(self).__name__}.from_data as {setting.key}"
                ) from None
            raise InputError(f"{self.place(setting.key)}: {error}") from None

    @classmethod
    def place(cls, key: str) -> str:
        """Return a key as messages name it: as an option, or in its section."""
        return f"{cls.SECTION}: {key}" if cls.SECTION else key.replace("_", "-")

    @classmethod
    def settings(cls) -> dict[str, Setting]:
        """Return the settings by key, without those that have a section of their own."""
        found: dict[str, Setting] = {}
        for part in list_parts(cls).values():
            if isinstance(part, Setting):
                found[part.key] = part
            elif not part.of.SECTION:
                found |= part.of.settings()
        return found

    @classmethod
    def sections(cls) -> dict[str, type[Config]]:
        """Return the classes that have a section of their own, by its name."""
        return {p.of.SECTION: p.of for p in list_parts(cls).values() if isinstance(p, Keys) and p.of.SECTION}

    @classmethod
    def from_data(cls, data: Any, where: str = "config") -> Self:
        """Return the config of a mapping of plain values; `where` names what they are from in messages.

        Raises InputError for an unknown key, for a value that is not allowed, and where a setting without a
        default is not given.
        """
        if isinstance(data, Mapping):
            cls.check_named(data, where)
        try:
            return cls(**cls.read(data))
        except InputError as error:
            raise InputError(f"{where}: {error}") from None

    @classmethod
    def expect(cls, config: object) -> Self:
        """Return a config that is given from Python. Raises InputError for what is none."""
        if not isinstance(config, cls):
            raise InputError(
                f"config: {config!r:.60} is no {cls.__name__}; give one, or make one of plain values by "
                f"{cls.__name__}.from_data"
            )
        return config

    @classmethod
    def check_named(cls, data: Mapping[str, Any], where: str) -> None:
        """Raise InputError where plain values lack that of a setting without a default."""
        for key, setting in cls.settings().items():
            if setting.default is MISSING and key not in data:
                raise InputError(f"{where}: no {key} is named; {setting.option.missing}")

    def to_data(self) -> dict[str, Any]:
        """Return plain values, from which `from_data` makes an equal config."""
        data: dict[str, Any] = {}
        for name, part in list_parts(type(self)).items():
            value = getattr(self, name)
            if isinstance(part, Setting):
                data[part.key] = part.kind.write(value)
            elif part.of.SECTION:
                data[part.of.SECTION] = dict(part.write(value))
            else:
                data |= part.write(value)
        return data

    def select_given(self) -> dict[str, Any]:
        """Return the plain values that are no defaults, from which `from_data` makes an equal config."""
        data = self.to_data()
        found = {
            key: data[key]
            for key, setting in self.settings().items()
            if setting.default is MISSING or data[key] != setting.kind.write(setting.default)
        }
        for name, section in self.sections().items():
            found[name] = {k: v for k, v in data[name].items() if v != section.settings()[k].default}
        return {key: value for key, value in found.items() if value != {}}

    def select_asked_again(self) -> dict[str, Any]:
        """Return the plain settings by which what goes on imports, opens or connects to something: it does so
        only where they are given again."""
        data = self.to_data()
        known = {key: setting.option.again for key, setting in self.settings().items()}
        return {key: data[key] for key, again in known.items() if again is not None and again(data[key])}

    @classmethod
    def find_unused(cls, data: Mapping[str, Any], user: User) -> Iterator[tuple[str, Any]]:
        """List what has no effect on a user of plain values, of those that are given: place and value."""
        for key, setting in cls.settings().items():
            if key in data and user in setting.option.unused_by:
                yield cls.place(key), data[key]
        for name, section in cls.sections().items():
            if isinstance(data.get(name), Mapping):
                yield from section.find_unused(data[name], user)

    @classmethod
    def read(cls, data: Any) -> dict[str, Any]:
        """Return the values of the fields that are given, by field. Raises as `from_data`."""
        cls._check_keys(data)
        values: dict[str, Any] = {}
        for name, part in list_parts(cls).items():
            if isinstance(part, Keys):
                section = part.of.SECTION
                given = data.get(section, {}) if section else _pick(data, part.of.settings())
                if given or not isinstance(given, Mapping):
                    values[name] = part.read(part.of.read(given))
            elif part.key in data:
                try:
                    values[name] = part.kind.read(data[part.key])
                except ValueError as error:
                    raise InputError(f"{cls.place(part.key)}: {error}") from None
        return values

    @classmethod
    def _check_keys(cls, data: Any) -> None:
        """Raise InputError for what is no mapping of known keys."""
        place, sections = f"{cls.SECTION}: " if cls.SECTION else "", cls.sections()
        if not isinstance(data, Mapping):
            raise InputError(f"{place}wanted {_give_example(cls)}")
        own = cls.settings()
        for key in data:
            if key in own or key in sections:
                continue
            for section, inner in sections.items():
                if key in inner.settings():
                    raise InputError(f"{key} is a setting of the {section}; write {section}: {{{key}: ...}}")
            near = [s.key for s in own.values() if f"--{key}".replace("_", "-") in s.flags]
            raise InputError(f"{place}unknown key '{key}'{suggest_word(str(key), near or [*own, *sections])}")
        for section, inner in sections.items():
            given = data.get(section)
            for key in given if isinstance(given, Mapping) else ():
                if key in own and key not in inner.settings():
                    raise InputError(
                        f"{section}: {key} is no setting of the {section}; write it beside {section}"
                    )


def name_keys(data: Mapping[Any, Any], where: str) -> dict[str, Any]:
    """Return what a file has, whose keys may be written as options are, `budget-flops`. Raises InputError for
    a setting that is there in both ways."""
    names: dict[str, Any] = {}
    for name in data:
        key = str(name).replace("-", "_")
        if key in names:
            raise InputError(f"{where}: {name}: is given twice, also as {names[key]}; keep one")
        names[key] = name
    return {key: data[name] for key, name in names.items()}


def _give_example(cls: type[Config]) -> str:
    """Return what a mapping of a config looks like, by its first setting with a default."""
    settings = cls.settings().values()
    setting = next((setting for setting in settings if setting.shown_default), next(iter(settings)))
    example = f"{setting.key}: {setting.shown_default or '...'}"
    return f"a mapping, such as {{{example}}}" if cls.SECTION else f"a mapping of settings, such as {example}"


def _pick(data: Mapping[str, Any], keys: Iterable[str]) -> dict[str, Any]:
    return {key: data[key] for key in keys if key in data}


_PARTS: dict[type[Config], dict[str, Setting | Keys]] = {}


def list_parts(cls: type[Config]) -> dict[str, Setting | Keys]:
    """Return what each field of a config is, by the field's name."""
    if cls not in _PARTS:
        _PARTS[cls] = dict(_find_parts(cls))
    return _PARTS[cls]


def _find_parts(cls: type[Config]) -> Iterator[tuple[str, Setting | Keys]]:
    # Python would have lambdas in annotations look names up in the class, not in its module
    hints = typing.get_type_hints(cls, vars(sys.modules[cls.__module__]), include_extras=True)
    for field in dataclasses.fields(typing.cast(Any, cls)):
        hint = hints[field.name]
        marks = getattr(hint, "__metadata__", ())
        several = [mark for mark in marks if isinstance(mark, Keys)]
        if several:
            yield field.name, dataclasses.replace(several[0], value_type=hint.__origin__)
        elif not marks:
            yield field.name, _nest(hint)
        else:
            (kind,) = (mark for mark in marks if isinstance(mark, Kind))
            (option,) = (mark for mark in marks if isinstance(mark, Option))
            key = option.key or field.name
            yield field.name, Setting(key, hint.__origin__, kind, option, field.default)


def _nest(of: type[Config]) -> Keys:
    """Return another config inside one."""
    return Keys(of, lambda values: of(**values), lambda config: config.to_data(), of)
