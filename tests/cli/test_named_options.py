"""Options that text of the library names, outside of the command line: there are such, as settings too."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterator
from pathlib import Path

import nas
from nas.cli import app
from nas.cli.reference import ALONE
from nas.runs.config import SearchConfig
from nas.settings import Config
from nas.training.recipe import Recipe

PACKAGE = Path(nas.__file__).parent
OPTION = re.compile(r"(?<![\w-])--[a-z][a-z-]*[a-z](?![\w-])")
OF_OTHERS = {
    "--backend-store-uri", "--dashboard-host", "--head", "--ignore-submodules", "--logdir",
    "--modules-to-load", "--object-store-memory", "--porcelain", "--project", "--strict", "--timeout",
    "--untracked-files",
}  # fmt: skip
# Of Ray, of loggers and of git, and in the commands of services.
OF_COMMANDS = {
    "--anew", "--config", "--dry-run", "--folder", "--images", "--jobs", "--search-coefficients", "--submit",
}  # fmt: skip
# What is done by a command alone, or called otherwise in Python.


def list_texts(path: Path) -> Iterator[str]:
    """Give the texts of a module that are no docstrings."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    alone = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in alone:
            yield node.value


def find_named() -> set[str]:
    """Return the options that texts name, but for those of pages and of the suites."""
    found: set[str] = set()
    for path in PACKAGE.rglob("*.py"):
        if path.parent.name in ("cli", "testing") or path.name == "page.py":
            continue
        found |= {name for text in list_texts(path) for name in OPTION.findall(text)}
    return found - OF_OTHERS


def test_an_option_that_a_message_names_is_there() -> None:
    known = {
        option
        for command in app.commands.values()
        for parameter in command.params
        for option in (*parameter.opts, *parameter.secondary_opts)
    }
    named = find_named()
    assert len(named) > 70
    assert named - known == set()


def test_in_python_it_is_the_setting_or_the_argument_of_its_name() -> None:
    """As `nas.InputError` says: `--max-images` is `max_images`, and so is an option's second name."""
    known = {"--plugin", "--recipe"}  # `plugins`, of which one option names one; a section
    configs: list[type[Config]] = [SearchConfig, Recipe, *ALONE.values()]
    for config in configs:
        for setting in config.settings().values():
            flags = {one for flag in setting.flags for one in flag.split("/")}
            known |= flags | {f"--no-{flag[2:]}" for flag in flags if setting.type is bool}
    for name in nas.__all__:
        if inspect.isfunction(function := getattr(nas, name)):
            known |= {f"--{one.replace('_', '-')}" for one in inspect.signature(function).parameters}
    assert find_named() - OF_COMMANDS - known == set()
