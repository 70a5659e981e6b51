"""Settings as options of commands."""

from __future__ import annotations

import typing
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import wraps
from typing import Any

import rich_click as click
from click.core import ParameterSource

from nas.cli.completing import NETWORK
from nas.cli.shared import Command, Decorator
from nas.errors import InputError, suggest_word
from nas.kinds import dump_value
from nas.settings import Config, Setting, list_parts


def with_settings(
    of: type[Config],
    *,
    only: Iterable[str] | None = None,
    leave_out: Iterable[str] = (),
    default: str | None = None,
    others: Mapping[str, Any] | None = None,
    into: str = "given",
) -> Decorator:
    """Return a decorator that gives a command the settings `of` a config as options.

    The command takes `into`, a mapping as a file has it of those that a user gave, in place of them. `only`
    and `leave_out`: keys, and `recipe`, of which single keys may be left out too. `default` is shown for
    every setting in place of its own; `others` are shown for some, by key.
    """
    names = [*of.settings(), *of.sections()]
    left_out = set(leave_out)
    wanted = set(names if only is None else only) - left_out
    assert wanted <= set(names), wanted - set(names)
    shown = {
        key: value if isinstance(value, str) else dump_value(value)
        for key, value in (others or {}).items()
        if value is not None
    }
    shown = dict.fromkeys(names, default) if default else shown
    options = {key: made for key, made in _make_options(of, wanted, shown) if key not in left_out}

    def decorate(command: Command) -> Command:
        @wraps(command)
        def run(**values: Any) -> None:
            settings = {key: values.pop(key) for key in options}
            command(**{into: _collect_given(settings, of)}, **values)

        decorated: Command = run
        for option in reversed(options.values()):
            decorated = option(decorated)
        return decorated

    return decorate


def _make_options(
    config: type[Config], wanted: set[str], shown: Mapping[str, str]
) -> Iterator[tuple[str, Decorator]]:
    """Return an option for each setting in the order of fields, of sections those with a flag of their
    own."""
    for part in list_parts(config).values():
        if isinstance(part, Setting):
            if part.key in wanted:
                yield part.key, _make_option(part, shown.get(part.key))
        elif not part.of.SECTION:
            yield from _make_options(part.of, wanted, shown)
        elif part.of.SECTION in wanted:
            settings = part.of.settings().values()
            yield from (
                (s.key, _make_option(s, shown.get(part.of.SECTION) or shown.get(s.key)))
                for s in settings
                if s.flags
            )
            if not all(setting.flags for setting in settings):
                yield part.of.SECTION, _make_section_option(part.of)


def _make_option(setting: Setting, default: str | None) -> Decorator:
    """Return the option of a setting, None where nothing is given."""
    option, shown = setting.option, default or setting.shown_default
    help = option.help.replace("`", "") + (f" [default: {shown}]" if shown else "")
    if option.is_argument:
        return click.argument(setting.key, type=NETWORK, required=False, help=help)
    flags = [f"{flag}/--no-{flag[2:]}" if setting.type is bool else flag for flag in setting.flags]
    kind = OneName if len(flags) > 1 else None
    return click.option(setting.key, *flags, cls=kind, help=help, panel=option.panel, **_choose_form(setting))


class OneName(click.RichOption):
    """An option of several names, of which a user gives one."""

    def add_to_parser(self, parser: Any, ctx: click.Context) -> None:
        for flag in self.opts:
            parser.add_option(obj=self, opts=[flag], dest=flag, action="store", nargs=self.nargs)

    def consume_value(self, ctx: click.Context, opts: Mapping[str, Any]) -> tuple[Any, ParameterSource]:
        given = {flag: opts[flag] for flag in self.opts if flag in opts}
        if len(given) > 1 and not ctx.resilient_parsing:
            (first, one), (second, other), *_ = given.items()
            raise InputError(
                f"{second}: {other} is given, and {first} {one} too, which is the same setting; leave one out"
            )
        assert self.name
        return super().consume_value(ctx, {self.name: next(iter(given.values()))} if given else {})


def _make_section_option(section: type[Config]) -> Decorator:
    settings = section.settings().values()
    others = ", ".join(setting.key for setting in settings if not setting.flags)
    return click.option(
        f"--{section.SECTION}",
        help=f"A setting of the training, such as optimizer=adamw; repeatable. Also: {others}.",
        metavar="KEY=VALUE",
        multiple=True,
        panel=next(setting.option.panel for setting in settings),
    )


def _choose_form(setting: Setting) -> dict[str, Any]:
    """Return how the option of a setting is read."""
    of = setting.types[0]
    if setting.option.is_repeatable:
        return {"multiple": True}
    if setting.kind.is_parsed:
        return {}
    if typing.get_origin(setting.type) is tuple:
        return {"multiple": True}
    if (width := setting.width) > 1:
        return {"nargs": width, "type": make_reader(float), "metavar": " ".join(["NUMBER"] * width)}
    if of in (int, float):
        return {"type": make_reader(of), "metavar": "NUMBER"}
    return {"type": of, "default": None}


def make_reader(kind: type[int] | type[float]) -> Callable[[str], Any]:
    """Return what reads a number; what is none stays text, which the settings refuse with their own rule."""

    def read(text: str) -> int | float | str:
        try:
            return kind(text)
        except ValueError:
            return text

    return read


def _collect_given(values: dict[str, Any], of: type[Config]) -> dict[str, Any]:
    """Return what a user gave, as a file has it: settings of a section under it."""
    given = {key: value for key, value in values.items() if value not in (None, ())}
    for name, section in of.sections().items():
        texts = given.pop(name, ())
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
    from nas.runs.config import SearchConfig
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
            raise InputError(f"{where}: unknown key '{key}'{suggest_word(key, known)}")
        if key in found or key in (flags or {}):
            raise InputError(f"{where}: {key} is given twice; keep one")
        found[key] = to_plain_data(read_yaml(value, where))
    return found
