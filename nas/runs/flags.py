"""Settings as flags of a command that a user may copy."""

from __future__ import annotations

from shlex import quote
from typing import Any

from nas.kinds import dump_value
from nas.settings import Config, Setting


def format_flag(flag: str, value: object) -> str:
    """Return a flag with its value, with a space before."""
    return f" {flag} {quote(str(value))}"


def format_setting(setting: Setting, value: Any, section: str = "") -> str:
    """Return the flags that give a setting a plain value. `section`: the flag of its section."""
    if not setting.flags:
        return format_flag(section, f"{setting.key}={value if isinstance(value, str) else dump_value(value)}")
    flag = setting.flags[0]
    if isinstance(value, bool):
        return f" {flag}" if value else f" --no-{flag[2:]}"
    if setting.width > 1 and isinstance(value, list):
        return f" {flag} {' '.join(str(part).removesuffix('.0') for part in value)}"
    if isinstance(value, list):
        return "".join(format_flag(flag, one) for one in value)
    return format_flag(flag, value)


def format_given(config: Config) -> str:
    """Return the flags that give what a config without sections has that is no default."""
    settings = config.settings()
    return "".join(format_setting(settings[key], value) for key, value in config.select_given().items())
