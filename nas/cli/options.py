"""Settings as options of commands."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import wraps
from pathlib import Path
from typing import Annotated, Any

import typer

from nas.errors import InputError, did_you_mean
from nas.measures import MEASURES
from nas.runs.config import SearchConfig, merge, read_config
from nas.settings import Config, Setting, parts_of

Command = Callable[..., None]


def with_settings(
    *, only: Iterable[str] | None = None, leave_out: Iterable[str] = (), default: str | None = None
) -> Callable[[Command], Command]:
    """Return a decorator that gives a command the settings of a search as options.

    The command takes `given`, a mapping as a file has it of those that a user gave, in place of them. `only`
    and `leave_out`: keys, and `recipe`. `default` is shown for every setting in place of its own.
    """
    names = [*SearchConfig.settings(), *SearchConfig.sections()]
    wanted = set(names if only is None else only) - set(leave_out)
    assert wanted <= set(names), wanted - set(names)

    def decorate(command: Command) -> Command:
        options = {option.name: option for option in _options(SearchConfig, wanted, default)}
        own = [p for p in inspect.signature(command, eval_str=True).parameters.values() if p.name != "given"]

        @wraps(command)
        def run(**values: Any) -> None:
            settings = {name: values.pop(name) for name in options}
            command(given=_given(settings), **values)

        own = [p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in own]
        vars(run)["__signature__"] = inspect.Signature([*options.values(), *own])
        run.__annotations__ = {p.name: p.annotation for p in (*options.values(), *own)}
        return run

    return decorate


def read_settings(given: Mapping[str, Any], config: Path | None, where: str) -> SearchConfig:
    """Return the config of what a user gave as options, over that of a file. Raises InputError."""
    return SearchConfig.from_given(merge(read_config(config) if config else {}, given), where)


def resumable() -> list[str]:
    """Return the keys of settings that a search that goes on may change."""
    return [key for key, setting in SearchConfig.settings().items() if setting.option.resumable]


def _options(config: type[Config], wanted: set[str], default: str | None) -> Iterator[inspect.Parameter]:
    """A parameter for each setting in the order of fields, of sections those with a flag of their own."""
    for part in parts_of(config).values():
        if isinstance(part, Setting):
            if part.key in wanted:
                yield _parameter(part, default)
        elif not part.of.SECTION:
            yield from _options(part.of, wanted, default)
        elif part.of.SECTION in wanted:
            settings = part.of.settings().values()
            yield from (_parameter(setting, default) for setting in settings if setting.option.flags != ())
            yield _section_parameter(part.of)


def _parameter(setting: Setting, default: str | None) -> inspect.Parameter:
    option = setting.option
    shown = default or setting.shown_default
    help = option.help.replace("`", "") + (f" \\[default: {shown}]" if shown else "")
    kind, more = _form(setting)
    if option.is_argument:
        mark = typer.Argument(help=help)
    else:
        mark = typer.Option(*option.flags or (), help=help, rich_help_panel=option.panel, **more)
    return _optional(setting.key, kind, mark)


def _section_parameter(section: type[Config]) -> inspect.Parameter:
    settings = section.settings().values()
    others = ", ".join(setting.key for setting in settings if setting.option.flags == ())
    panel = next(setting.option.panel for setting in settings)
    mark = typer.Option(
        help=f"A setting of the training, such as optimizer=adamw; repeatable. Also: {others}.",
        metavar="KEY=VALUE",
        rich_help_panel=panel,
    )
    return _optional(section.SECTION, list[str], mark)


def _optional(name: str, kind: Any, mark: Any) -> inspect.Parameter:
    """A parameter that is None where nothing is given."""
    annotation = Annotated[kind | None, mark]
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)


def _form(setting: Setting) -> tuple[Any, dict[str, Any]]:
    """The type of an option as typer has it, and how it is read."""
    if setting.kind.is_parsed:
        return str, {}
    types = [t for t in typing.get_args(setting.type) or (setting.type,) if t is not type(None)]
    if typing.get_origin(setting.type) is tuple:
        return list[str], {}
    if types[0] in (int, float):
        return types[0], {"parser": number(types[0]), "metavar": "NUMBER"}
    return types[0], {}


def number(kind: type[int] | type[float]) -> Callable[[str], Any]:
    """Reads a number; what is none stays text, which the settings refuse with their own rule."""

    def read(text: str) -> int | float | str:
        try:
            return kind(text)
        except ValueError:
            return text

    return read


def _given(values: dict[str, Any]) -> dict[str, Any]:
    """What a user gave, as a file has it: settings of a section under it."""
    given = {key: value for key, value in values.items() if value not in (None, [])}
    for name, section in SearchConfig.sections().items():
        texts = given.pop(name, [])
        flags = {key: given.pop(key) for key in section.settings() if key in given}
        inner = {**flags, **read_pairs(section, texts, flags)}
        if inner:
            given[name] = inner
    return given


def read_pairs(
    section: type[Config], texts: Iterable[str], flags: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Return the settings of a section in texts `KEY=VALUE`, values as YAML reads them.

    Raises InputError for what is none, and for a setting that is given twice, or by `flags` too.
    """
    from nas.space.language.source import read_yaml, to_plain_data

    name, known = section.SECTION, list(section.settings())
    found: dict[str, Any] = {}
    for text in texts:
        where = f"--{name} '{text}'"
        key, equals, value = text.partition("=")
        if not (key and equals and value):
            raise InputError(f"{where}: wanted KEY=VALUE, such as optimizer=adamw")
        if key in SearchConfig.settings():
            raise InputError(f"{where}: {key} is no setting of the {name}; give --{key.replace('_', '-')}")
        if key not in known:
            raise InputError(f"{where}: unknown key '{key}'{did_you_mean(key, known)}")
        if key in found or key in (flags or {}):
            raise InputError(f"{where}: {key} is given twice; keep one")
        found[key] = to_plain_data(read_yaml(value, where))
    return found


def budget_option(help: str) -> Any:
    """Return the option of limits by the names of their measures, for commands without a config."""
    return typer.Option(
        "--budget", help=f"{help}, such as memory=8M: {', '.join(MEASURES)}; repeatable.",
        metavar="NAME=INTERVAL",
    )  # fmt: skip
